"""The photos of a project by class: uploading, viewing and deleting them, and findings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych import errors
from triptych.images import preview
from triptych.studio.projects import ALL
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import ProjectPhoto
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio import gallery
from triptych.web.studio.blueprint import blueprint
from triptych.web.studio.blueprint import redirect_or_json
from triptych.web.studio.blueprint import wants_page

DIGEST = re.compile(r"[0-9a-f]{64}")
# The photo at a digest's address never changes.
FOR_EVER = "private, max-age=31536000, immutable"

Refused = tuple[str, errors.TriptychError]


@blueprint.get("/<key>")
def photos(key: str) -> Response:
    """A project's classes and photos."""
    return _page(key)


@blueprint.post("/<key>/photos")
def add(key: str) -> Response:
    """Add photos to a class; files that are not photos are refused one by one."""
    files = [file for file in flask.request.files.getlist("photo") if file.filename]
    if not files:
        raise BadRequest(text("No photo came; expected files in the field 'photo'."))
    raw, class_id = flask.request.form.get("class", ""), None
    if raw.isascii() and raw.isdecimal() and len(raw) < 16:
        class_id = int(raw) if int(raw) != UNSORTED else None
    elif raw:
        raise BadRequest(
            text("The class is {raw!r}; expected its number, or nothing.", raw=raw[:40])
        )
    added, refused = add_files(key, files, class_id)
    if wants_page():
        return _page(key, refused=refused) if refused else redirect_or_json(_address(key))
    return flask.jsonify(
        photos=[{"digest": photo.digest, "name": photo.name} for photo in added],
        refused=[{"name": name, **error.to_dict()} for name, error in refused],
    )


def add_files(
    key: str, files: Sequence[FileStorage], class_id: int | Sequence[int] | None
) -> tuple[list[ProjectPhoto], list[Refused]]:
    """Add uploaded photos to a class; each is kept as soon as it is added.

    Args:
        key: Of the project.
        files: Uploads, read one by one.
        class_id: The class; ``None`` for none; several in a multi-label project.

    Returns:
        The photos, and the names and errors of files that are not photos.
    """
    here = context.current()
    here.projects.find(key)
    add_photo = partial(here.projects.add, person=context.of_request().key.name)
    added: list[ProjectPhoto] = []
    refused: list[Refused] = []
    for file in files:
        name, data = file.filename or "", file.read()
        try:
            added.append(here.change(partial(add_photo, key, name, data, class_id)))
        except errors.ImageError as error:
            refused.append((name, error))
    return added, refused


@blueprint.post("/<key>/photos/erase")
def erase(key: str) -> Response:
    """Remove photos for good."""
    here = context.current()
    digests = flask.request.form.getlist("digest")
    if not digests:
        raise BadRequest(text("No photo was chosen. Choose at least one, then delete."))
    erased = here.change(lambda: here.projects.erase(key, digests))
    return redirect_or_json(_address(key), erased=erased)


@blueprint.post("/<key>/classes")
def add_class(key: str) -> Response:
    """Add a class; or find the one for a folder's photos, with a similar name if need be."""
    here, form = context.current(), flask.request.form
    add = here.projects.class_of_folder if "of_folder" in form else here.projects.add_class
    added = here.change(lambda: add(key, form.get("name", "")))
    return redirect_or_json(_address(key, "new-class"), id=added.id, name=added.name)


@blueprint.post("/<key>/classes/<int:class_id>/rename")
def rename_class(key: str, class_id: int) -> Response:
    """Rename a class."""
    here, name = context.current(), flask.request.form.get("name", "")
    here.change(lambda: here.projects.rename_class(key, class_id, name))
    return redirect_or_json(_address(key, f"class-{class_id}"))


@blueprint.post("/<key>/classes/<int:class_id>/remove")
def remove_class(key: str, class_id: int) -> Response:
    """Remove a class; its photos stay, without one."""
    here = context.current()
    person = context.of_request().key.name
    here.change(lambda: here.projects.remove_class(key, class_id, person=person))
    return redirect_or_json(_address(key))


def _address(key: str, anchor: str | None = None) -> str:
    return flask.url_for(".photos", key=key, _anchor=anchor)


def _page(key: str, *, refused: Sequence[Refused] = ()) -> Response:
    here = context.current()
    project = here.projects.find(key)
    limits = gallery.shown_of(flask.request.args.getlist("show"))
    only = flask.request.args.get("only", type=int, default=ALL)
    page = flask.render_template(
        "studio/photos.html",
        tab="Photos",
        project=project,
        refused=refused,
        max_bytes=here.settings.max_image_bytes,
        **vars(here.do(lambda: gallery.build(here.projects, project, limits, only))),
    )
    return flask.make_response(page)


# ------------------------------------------------------------------ files


@blueprint.get("/photos/<digest>/thumb.jpg")
def thumb(digest: str) -> flask.Response:
    """A thumbnail of a photo."""
    check_digest(digest)
    # Not in the queue: it was created with the photo, and a page has many.
    return picture(context.current().projects.thumbnail(digest), "image/jpeg")


@blueprint.get("/photos/<digest>.jpg")
def full(digest: str) -> flask.Response:
    """The original photo, or a JPEG of it if browsers cannot show its format."""
    here = context.current()
    check_digest(digest)
    limits = here.settings.image_limits
    data, kind = here.do(lambda: preview.displayable(here.projects.read(digest), limits=limits))
    return picture(data, kind)


def check_digest(digest: str) -> None:
    """Refuse what is no digest of a photo.

    Raises:
        errors.UnknownName: It is something else.
    """
    if not DIGEST.fullmatch(digest):
        raise errors.UnknownName(
            text(
                "There is no photo {digest!r}; expected the SHA-256 of a photo, in 64 "
                "hexadecimal digits.",
                digest=digest[:80],
            )
        )


def picture(data: bytes, kind: str) -> flask.Response:
    """The response with a photo, which browsers may keep."""
    response = flask.Response(data, mimetype=kind)
    response.headers["Cache-Control"] = FOR_EVER
    return response
