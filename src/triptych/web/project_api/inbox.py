"""The inbox: photos that were asked about in production and wait for a person's decision."""

from __future__ import annotations

import dataclasses
from typing import Any

import flask
import flask_smorest
from werkzeug.exceptions import BadRequest

from triptych.studio.projects import Sorted
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api import photos
from triptych.web.project_api import schemas
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import curl
from triptych.web.project_api.blueprint import in_path
from triptych.web.project_api.blueprint import json_body
from triptych.web.project_api.blueprint import read_json
from triptych.web.project_api.blueprint import read_query
from triptych.web.studio import photos as photo_pages

PREFIX = "/api/v1/inbox"
blueprint: flask.Blueprint = flask_smorest.Blueprint("inbox_api", __name__, url_prefix=PREFIX)

NUMBER = in_path("kept", "The number of the photo in the inbox.", 1)
FILTER, IDS = schemas.InboxFilter(), schemas.InboxIds()
MOVE, RETURN = schemas.InboxMove(), schemas.InboxReturn()


@blueprint.get("")
@openapi.describe(
    schemas.InboxPhotos,
    refuses=REFUSES,
    samples={"The newest": "curl '{base}/api/v1/inbox?limit=20'"},
    parameters=[{"in": "query", "schema": schemas.InboxFilter}],
)
def inbox() -> flask.Response:
    """List photos that wait for a decision, page by page, the newest first.

    A photo that comes or is decided about meanwhile moves no other photo to another page.
    """
    here, wanted = context.current(), read_query(FILTER)
    limit, before = wanted.get("limit", 100), wanted.get("before")
    listed, waiting = here.do(
        lambda: (here.projects.inbox(limit=limit + 1, before=before), here.projects.waiting())
    )
    page = listed[:limit]
    return flask.jsonify(
        photos=[dataclasses.asdict(photo) for photo in page],
        waiting=waiting,
        next=page[-1].id if len(listed) > limit else None,
    )


@blueprint.get("/<int:kept>/file")
@openapi.describe(
    None,
    refuses=REFUSES,
    other_forms={"image/*": photos.PHOTO},
    samples={"Its bytes": "curl -o photo.jpg {base}/api/v1/inbox/1/file"},
    parameters=[NUMBER],
)
def file(kept: int) -> flask.Response:
    """The file of a photo in the inbox, byte for byte as it was sent."""
    here = context.current()

    def read() -> tuple[str, bytes]:
        photo = here.projects.in_inbox(kept)
        return photo.name, here.projects.read(photo.digest)

    return photos.as_file(*here.do(read))


@blueprint.get("/<int:kept>/preview")
@openapi.describe(
    None,
    refuses=REFUSES,
    other_forms={"image/jpeg": photos.PHOTO},
    samples={"A small copy": "curl -o small.jpg {base}/api/v1/inbox/1/preview"},
    parameters=[NUMBER],
)
def preview(kept: int) -> flask.Response:
    """A small copy of a photo in the inbox: a JPEG whose longer side has 240 pixels."""
    here = context.current()
    digest = here.projects.in_inbox(kept).digest
    return photo_pages.picture(here.projects.thumbnail(digest), "image/jpeg")


@blueprint.post("/move")
@openapi.describe(
    schemas.Moved,
    refuses=REFUSES,
    samples={
        "To a class": curl("/move", {"ids": [1], "project": "garden", "class_id": 2}, below=PREFIX),
    },
    requestBody=json_body(schemas.InboxMove),
)
def move() -> flask.Response:
    """Move photos from the inbox to a project, with a class or without one, as one decision.

    Those that somebody else dealt with before are skipped. For an hour they can be put back.
    """
    here, form, person = context.current(), read_json(MOVE), context.of_request().key.name
    if {"class_id", "class_ids"} <= form.keys():
        raise BadRequest("Both class_id and class_ids came; expected one of them, or neither.")
    key, ids = form["project"], list(dict.fromkeys(form["ids"]))
    label = form["class_ids"] if "class_ids" in form else form.get("class_id")

    def settle() -> tuple[Sorted, list[dict[str, Any]]]:
        done = here.projects.settle(dict.fromkeys(ids, label), key, person=person)
        return done, photos.as_json(here.projects.photos_of(key, done.digests))

    done, moved = here.change(settle)
    return flask.jsonify(
        batch=done.batch,
        ids=done.kept,
        skipped=[number for number in ids if number not in set(done.kept)],
        photos=moved,
    )


@blueprint.post("/dismiss")
@openapi.describe(
    schemas.Waiting,
    refuses=REFUSES,
    samples={"One photo": curl("/dismiss", {"ids": [1]}, below=PREFIX)},
    requestBody=json_body(schemas.InboxIds),
)
def dismiss() -> flask.Response:
    """Dismiss photos of the inbox, all or none; for an hour they can be put back."""
    here, ids = context.current(), read_json(IDS)["ids"]
    here.change(lambda: here.projects.dismiss(ids))
    return flask.jsonify(waiting=here.do(here.projects.waiting))


@blueprint.post("/return")
@openapi.describe(
    schemas.Waiting,
    refuses=REFUSES,
    samples={
        "After a move": curl(
            "/return", {"ids": [1], "project": "garden", "batch": 7}, below=PREFIX
        ),
    },
    requestBody=json_body(schemas.InboxReturn),
)
def put_back() -> flask.Response:
    """Put photos back that were moved or dismissed within the last hour, all or none.

    After a move, name the project and the batch, which is undone. Refused with 409 if others have
    decided about one of them since.
    """
    here, form = context.current(), read_json(RETURN)
    key, batch = form.get("project", ""), form.get("batch", 0)
    if bool(key) != bool(batch):
        raise BadRequest("A batch is of a project; expected project and batch, or neither.")
    here.change(lambda: here.projects.reopen(form["ids"], key, batch))
    return flask.jsonify(waiting=here.do(here.projects.waiting))
