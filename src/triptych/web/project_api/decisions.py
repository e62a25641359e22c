"""The classes of photos: deciding, undoing, the history."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flask
from werkzeug.exceptions import BadRequest

from triptych import errors
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import Projects
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api import photos
from triptych.web.project_api import schemas
from triptych.web.project_api.blueprint import KEY
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import SAMPLE_DIGEST
from triptych.web.project_api.blueprint import blueprint
from triptych.web.project_api.blueprint import curl
from triptych.web.project_api.blueprint import json_body
from triptych.web.project_api.blueprint import read_json
from triptych.web.project_api.blueprint import read_query

FORM, UNDO, FILTER = schemas.DecisionForm(), schemas.UndoForm(), schemas.HistoryFilter()
CONFLICT = {409: schemas.Conflict}


@blueprint.post("/<key>/decisions")
@openapi.describe(
    schemas.Decided,
    refuses=REFUSES,
    error_forms=CONFLICT,
    samples={
        "To another class": curl(
            "/garden/decisions",
            {"digests": [SAMPLE_DIGEST], "action": "move", "class_id": 2},
        )
    },
    parameters=[KEY],
    requestBody=json_body(schemas.DecisionForm),
)
def decide(key: str) -> tuple[flask.Response, int]:
    """Decide about photos, all or none: their class, whether they are excluded, or confirmed.

    Several people can decide at once. With `expected`, a decision is refused if others have changed
    a photo meanwhile; without it, it is recorded on top of theirs, and the history has both.
    """
    form, person = read_json(FORM), context.of_request().key.name
    carry_out = _decision(form)
    how = {"person": person, "expected": _expected(form.get("expected", {}))}

    def work(projects: Projects) -> tuple[int, list[str]]:
        return carry_out(projects, key, form["digests"], how), form["digests"]

    return _answer(key, work)


def _decision(form: dict[str, Any]) -> Callable[[Projects, str, list[str], dict[str, Any]], int]:
    """What carries out a decision: called with the projects, key, digests and other arguments."""
    action, given = form["action"], {"class_id", "class_ids"} & form.keys()
    is_move, is_one_class = action == schemas.MOVE, action in (schemas.ADD, schemas.REMOVE)
    if len(given) > is_move + is_one_class or (is_one_class and not form.get("class_id")):
        raise BadRequest(
            f"The action {action} came with {', '.join(sorted(given)) or 'no class'}; "
            "expected class_id with add and remove, class_id or class_ids with move, none of them "
            "with the others."
        )
    if is_one_class:
        return lambda projects, key, digests, how: projects.set_label(
            key, digests, form["class_id"], action == schemas.ADD, **how
        )
    if action == schemas.CONFIRM:
        return lambda projects, key, digests, how: projects.confirm(key, digests, **how)
    class_id = None
    if is_move:
        if not given:
            raise BadRequest("The action move came without a class; null is for none.")
        class_id = form["class_ids"] if "class_ids" in form else form["class_id"] or UNSORTED
    return lambda projects, key, digests, how: projects.decide(
        key, digests, class_id=class_id, exclude=action == schemas.EXCLUDE, **how
    )


def _expected(sent: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The fields of photos as the studio has them: its lists of classes are ordered tuples."""
    return {
        digest: {
            name: tuple(sorted(value)) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        for digest, fields in sent.items()
    }


@blueprint.post("/<key>/decisions/undo")
@openapi.describe(
    schemas.Decided,
    refuses=REFUSES,
    error_forms=CONFLICT,
    samples={"The latest decision": curl("/garden/decisions/undo")},
    parameters=[KEY],
    requestBody={**json_body(schemas.UndoForm), "required": False},
)
def undo(key: str) -> tuple[flask.Response, int]:
    """Undo a batch of decisions; by default the latest that is in effect.

    With `batch`, what another person decided meanwhile is not undone.
    """
    wanted = read_json(UNDO).get("batch")

    def work(projects: Projects) -> tuple[int, list[str]]:
        undone = projects.undo(key, wanted)
        return (undone[0].batch if undone else 0), [each.digest for each in undone]

    return _answer(key, work)


def _answer(
    key: str, work: Callable[[Projects], tuple[int, list[str]]]
) -> tuple[flask.Response, int]:
    """Change photos; the response has them as they are then.

    Args:
        key: Of the project.
        work: Changes them; returns the number of the batch, and their digests.
    """
    here = context.current()

    def change() -> tuple[int, list[dict[str, Any]]]:
        batch, digests = work(here.projects)
        listed = here.projects.photos_of(key, digests)
        return batch, photos.as_json(listed)

    try:
        batch, changed = here.change(change)
    except errors.Conflict as conflict:
        body = {"error": conflict.to_dict(), "photos": photos.as_json(conflict.photos)}
        return flask.jsonify(body), conflict.status
    return flask.jsonify(batch=batch, photos=changed), 200


@blueprint.get("/<key>/decisions")
@openapi.describe(
    schemas.Decisions,
    refuses=REFUSES,
    samples={"The latest": "curl '{base}/api/v1/projects/garden/decisions?limit=20'"},
    parameters=[KEY, {"in": "query", "schema": schemas.HistoryFilter}],
)
def history(key: str) -> flask.Response:
    """List who decided what and when, the latest first, with what was undone."""
    here, wanted = context.current(), read_query(FILTER)
    limit, offset = wanted.get("limit", 100), wanted.get("offset", 0)
    listed = here.do(lambda: here.projects.history(key, limit, offset))
    return flask.jsonify(decisions=[dataclasses.asdict(each) for each in listed])
