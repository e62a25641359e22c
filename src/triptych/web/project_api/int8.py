"""Int8 networks for a version: make them, see how it stands, stop."""

from __future__ import annotations

import flask

from triptych import bundles
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api import schemas
from triptych.web.project_api.blueprint import KEY
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import blueprint
from triptych.web.project_api.blueprint import curl
from triptych.web.project_api.blueprint import read_form
from triptych.web.project_api.blueprint import read_json
from triptych.web.studio import int8 as int8_pages

NEW, NEW_FORM = schemas.NewInt8(), schemas.NewInt8Form()


@blueprint.get("/<key>/int8")
@openapi.describe(
    schemas.Int8,
    refuses=REFUSES,
    samples={"Int8 networks": "curl {base}/api/v1/projects/garden/int8"},
    parameters=[KEY],
)
def int8(key: str) -> flask.Response:
    """List the versions that have int8 networks, and how the latest work on them stands."""
    context.current().projects.find(key)
    return _answer(key)


@blueprint.post("/<key>/int8")
@openapi.describe(
    schemas.Int8,
    refuses=REFUSES,
    samples={
        "With the project's photos": curl("/garden/int8", {"version": 1}),
        "With more photos": (
            "curl -F version=1 -F photos=@photos.zip {base}/api/v1/projects/garden/int8"
        ),
    },
    parameters=[KEY],
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": schemas.NewInt8},
            "multipart/form-data": {"schema": schemas.NewInt8Form},
        },
    },
)
def start_int8(key: str) -> flask.Response:
    """Start to make int8 networks for a version, with the project's photos; one runs at a time.

    They are kept only if they answer nearly as before.
    """
    context.current().projects.find(key)
    is_form = flask.request.mimetype == "multipart/form-data"
    wanted = read_form(NEW_FORM) if is_form else read_json(NEW)
    int8_pages.start_with(key, wanted["version"], wanted.get("photos"), project=key)
    return _answer(key)


@blueprint.post("/<key>/int8/stop")
@openapi.describe(
    schemas.Int8,
    refuses=REFUSES,
    samples={"To stop it": curl("/garden/int8/stop")},
    parameters=[KEY],
)
def stop_int8(key: str) -> flask.Response:
    """Stop making int8 networks, if that is under way; nothing of it is kept."""
    here = context.current()
    here.projects.find(key)
    here.change(lambda: here.quantizing.stop(key))
    return _answer(key)


def _answer(key: str) -> flask.Response:
    here = context.current()
    job, home = here.quantizing.latest(key), here.settings.home
    numbers = here.do(lambda: int8_pages.numbers_with_int8(home, key, bundles.versions(home, key)))
    return flask.jsonify(job=int8_pages.state(job) if job else None, versions=numbers)
