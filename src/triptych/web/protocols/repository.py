"""The model repository extension: list, load and unload committees.

Source: Triton's ``extension_model_repository.md``.
"""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import Conflict

from triptych.utils import validation
from triptych.web import body
from triptych.web import context
from triptych.web import uploads
from triptych.web.protocols import serving

blueprint = flask.Blueprint("repository", __name__)


class _IndexRecord(validation.OpenRecord):
    ready = validation.Flag(allow_none=True)


class _LoadRecord(validation.Record):
    parameters = validation.Object(validation.Record, allow_none=True)  # it has no fields


@blueprint.post("/v2/repository/index")
def index() -> flask.Response:
    """All committees in all versions, and whether they are loaded."""
    only_ready = _request(_IndexRecord).get("ready")
    entries = []
    for model in serving.all_models():
        if (is_ready := model.is_ready) or not only_ready:
            entries.append(
                {
                    "name": model.name,
                    "version": model.version,
                    "state": "READY" if is_ready else "UNAVAILABLE",
                    "reason": "" if is_ready else "not loaded; the first request loads it",
                }
            )
    return flask.jsonify(entries)


@blueprint.post("/v2/repository/models/<name>/load")
def load(name: str) -> dict[str, Any]:
    """Load a committee, and respond when it is ready."""
    _request(_LoadRecord)
    context.current().load(serving.find_model(name).key)
    return {}


@blueprint.post("/v2/repository/models/<name>/unload")
def unload(name: str) -> dict[str, Any]:
    """Unload a committee; the next request loads it again."""
    registry = context.current().registry
    model = serving.find_model(name)
    if registry.resolve(model.key) == registry.default:
        raise Conflict(
            f"{model.name} is the default committee, which stays loaded: without it the server "
            "would not be ready."
        )
    registry.unload(model.key)
    return {}


def _request(record: type[validation.Record]) -> dict[str, Any]:
    # Clients send an empty body if they have no parameters.
    def parse(text: bytes) -> dict[str, Any]:
        value = body.parse(text or b"{}")
        checked: dict[str, Any] = validation.load(record, value, "request", error=BadRequest)
        return checked

    return uploads.read_json(flask.request, parse)
