"""Photos: bringing, listing, reading and erasing them; findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import UnsupportedMediaType

from triptych import errors
from triptych.data.records import Finding
from triptych.images import formats
from triptych.images import signatures
from triptych.studio import projects as studio_projects
from triptych.studio.projects import ALL
from triptych.studio.projects import naming
from triptych.web import context
from triptych.web import errors as web_errors
from triptych.web import openapi
from triptych.web.project_api import schemas
from triptych.web.project_api.blueprint import KEY
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import SAMPLE_DIGEST
from triptych.web.project_api.blueprint import blueprint
from triptych.web.project_api.blueprint import curl
from triptych.web.project_api.blueprint import in_path
from triptych.web.project_api.blueprint import json_body
from triptych.web.project_api.blueprint import read_json
from triptych.web.project_api.blueprint import read_query
from triptych.web.studio import photos as photo_pages
from triptych.web.studio import project_list

DIGEST = in_path("digest", f"The photo: {schemas.DIGEST}.", SAMPLE_DIGEST)
PHOTO = {"schema": {"type": "string", "format": "binary"}}
FILTER, DIGESTS = schemas.PhotoFilter(), schemas.Digests()
EXCLUDED = {"false": False, "true": True, schemas.ANY: None}
EXPECTED = (
    "Send photos as multipart/form-data in the field 'photo' (curl -F photo=@bee.jpg), or a zip of "
    "them in the field 'zip'."
)


def facts(photo: studio_projects.ProjectPhoto) -> dict[str, Any]:
    """A photo as a JSON object."""
    return dataclasses.asdict(photo)


@blueprint.post("/<key>/photos")
@openapi.describe(
    schemas.Added,
    refuses=REFUSES,
    error_forms=dict.fromkeys((400, 413, 415), schemas.AddedNothing),
    samples={
        "Photos of a class": (
            "curl -F photo=@photo.jpg -F class_name=bees {base}/api/v1/projects/garden/photos"
        )
    },
    parameters=[KEY],
    requestBody={
        "required": True,
        "content": {"multipart/form-data": {"schema": schemas.PhotoForm}},
    },
)
def add_photos(key: str) -> tuple[flask.Response, int]:
    """Add photos to a project, or to a class of it.

    What is no photo is refused, and does not affect the others. A photo that the project has
    already stays the same photo, so that a request may be repeated; if a class is named, it is
    moved there, which is a decision. The photos of a zip are added all or none; what in it is no
    photo is left out, and is in the findings.
    """
    files, archive = _files()
    if archive:
        photos, findings = _add_zip(key, archive)
        found = [finding.to_dict() for finding in findings]
        return flask.jsonify(photos=[*map(facts, photos)], refused=[], findings=found), 200
    photos, refused = photo_pages.add_files(key, files, _classes(key))
    body: dict[str, Any] = {
        "photos": [facts(photo) for photo in photos],
        "refused": [{"name": name, **error.to_dict()} for name, error in refused],
    }
    if refused and len(files) == 1:
        ((_, error),) = refused
        return flask.jsonify(error=error.to_dict(), **body), web_errors.status_of(error.code)
    return flask.jsonify(body), 200


def _files() -> tuple[list[FileStorage], FileStorage | None]:
    """The photos of the request, or the zip in it."""
    request = flask.request
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(
            "The form came compressed, which is not undone: photos are compressed already. Send "
            "it without Content-Encoding."
        )
    known = {*schemas.PhotoForm().fields}
    # Of a part that is described badly, the name may be missing.
    unknown = [name or "" for name in (*request.form, *request.files) if name not in known]
    if unknown:
        raise BadRequest(f"There is no field {unknown[0][:40]!r} in this form. {EXPECTED}")
    files = [file for file in request.files.getlist("photo") if file.filename]
    archive = request.files.get("zip")
    if bool(files) == bool(archive and archive.filename):
        raise BadRequest(f"There are photos and a zip, or neither. {EXPECTED}")
    return files, None if files else archive


def _classes(key: str) -> int | tuple[int, ...] | None:
    """The class of the photos in the request, or their classes; ``None`` if none is named."""
    form, here = flask.request.form, context.current()
    class_ids = []
    for text in filter(None, form.getlist("class_id")):
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise BadRequest(f"The class_id is {text[:40]!r}; expected the number of a class.")
        class_ids.append(int(text))
    if names := list(filter(None, form.getlist("class_name"))):
        classes = here.do(lambda: here.projects.find(key)).classes
        known = {naming.folded(each.name): each.id for each in classes}
        for name in names:
            if naming.folded(name) not in known:
                listed = ", ".join(each.name for each in classes) or "none yet"
                raise errors.UnknownName(
                    f"The project has no class {name[:80]!r}; there are: {listed}. Add it first."
                )
            class_ids.append(known[naming.folded(name)])
    return tuple(class_ids) if len(class_ids) > 1 else next(iter(class_ids), None)


def _add_zip(
    key: str, archive: FileStorage
) -> tuple[list[studio_projects.ProjectPhoto], list[Finding]]:
    if any(filter(None, map(flask.request.form.get, ("class_id", "class_name")))):
        raise BadRequest("A zip came with a class; the folders in it name the classes.")
    here, person = context.current(), context.of_request().key.name
    here.projects.find(key)
    findings: list[Finding] = []
    photos = project_list.with_zip(
        archive,
        lambda path, check: here.projects.add_from(
            key, path, person=person, progress=check, report=findings.append
        ),
    )
    return photos, findings


@blueprint.get("/<key>/photos")
@openapi.describe(
    schemas.Photos,
    refuses=REFUSES,
    samples={
        "Photos without a class": "curl '{base}/api/v1/projects/garden/photos?class_id=0&limit=50'"
    },
    parameters=[KEY, {"in": "query", "schema": schemas.PhotoFilter}],
)
def photos(key: str) -> flask.Response:
    """List photos of a project, page by page, in the order they were added."""
    here, wanted = context.current(), read_query(FILTER)
    offset, limit = wanted.get("offset", 0), wanted.get("limit", 100)
    listed = here.do(
        lambda: here.projects.photos(
            key,
            class_id=wanted.get("class_id", ALL),
            excluded=EXCLUDED[wanted.get("excluded", "false")],
            offset=offset,
            limit=limit + 1,
        )
    )
    more = offset + limit if len(listed) > limit else None
    return flask.jsonify(photos=[facts(photo) for photo in listed[:limit]], next=more)


@blueprint.get("/<key>/photos/<digest>")
@openapi.describe(
    schemas.ProjectPhoto,
    refuses=REFUSES,
    samples={"One photo": f"curl {{base}}/api/v1/projects/garden/photos/{SAMPLE_DIGEST}"},
    parameters=[KEY, DIGEST],
)
def one_photo(key: str, digest: str) -> flask.Response:
    """Describe a photo of a project."""
    here = context.current()
    return flask.jsonify(facts(here.do(lambda: here.projects.photo(key, digest))))


@blueprint.get("/<key>/photos/<digest>/file")
@openapi.describe(
    None,
    refuses=REFUSES,
    other_forms={"image/*": PHOTO},
    samples={
        "Its bytes": (
            f"curl -o again.jpg {{base}}/api/v1/projects/garden/photos/{SAMPLE_DIGEST}/file"
        )
    },
    parameters=[KEY, DIGEST],
)
def file(key: str, digest: str) -> flask.Response:
    """The file of a photo, byte for byte as it was brought."""
    here = context.current()

    def read() -> tuple[studio_projects.ProjectPhoto, bytes]:
        return here.projects.photo(key, digest), here.projects.read(digest)

    photo, data = here.do(read)
    return as_file(photo.name, data)


def as_file(name: str, data: bytes) -> flask.Response:
    """The response with the file of a photo."""
    kind = formats.BY_NAME.get(signatures.identify(data).name)
    response = photo_pages.picture(data, kind.mime_type if kind else "application/octet-stream")
    # What a browser is led to is saved, not shown: strangers may have sent it.
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


@blueprint.get("/<key>/photos/<digest>/preview")
@openapi.describe(
    None,
    refuses=REFUSES,
    other_forms={"image/jpeg": PHOTO},
    samples={
        "A small copy": (
            f"curl -o small.jpg {{base}}/api/v1/projects/garden/photos/{SAMPLE_DIGEST}/preview"
        )
    },
    parameters=[KEY, DIGEST],
)
def preview(key: str, digest: str) -> flask.Response:
    """A small copy of a photo: a JPEG whose longer side has 240 pixels."""
    here = context.current()
    here.projects.photo(key, digest)  # of this project
    return photo_pages.picture(here.projects.thumbnail(digest), "image/jpeg")


@blueprint.post("/<key>/erase")
@openapi.describe(
    schemas.Removed,
    refuses=REFUSES,
    samples={"For good": curl("/garden/erase", {"digests": [SAMPLE_DIGEST]})},
    parameters=[KEY],
    requestBody=json_body(schemas.Digests),
)
def erase_photos(key: str) -> flask.Response:
    """Remove photos from a project for good, all or none; to leave them out, exclude them."""
    here, digests = context.current(), read_json(DIGESTS)["digests"]
    return flask.jsonify(removed=here.change(lambda: here.projects.erase(key, digests)))


@blueprint.get("/<key>/findings")
@openapi.describe(
    schemas.Findings,
    refuses=REFUSES,
    samples={"All findings": "curl {base}/api/v1/projects/garden/findings"},
    parameters=[KEY],
)
def findings(key: str) -> flask.Response:
    """List what is known of a project's photos: copies, blank or blurred ones, small classes."""
    here = context.current()
    listed = here.do(lambda: here.projects.findings(key))
    return flask.jsonify(findings=[each.to_dict() for each in listed])


def as_json(photos: Sequence[studio_projects.ProjectPhoto]) -> list[dict[str, Any]]:
    """Photos as JSON objects."""
    return [facts(photo) for photo in photos]
