"""The model repository extension: which committees there are, and loading and unloading them.

Source: Triton's ``extension_model_repository.md``.
"""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.exceptions import Conflict

from triptych.web import body
from triptych.web import context
from triptych.web.protocols import fields
from triptych.web.protocols import serving

blueprint = flask.Blueprint("repository", __name__)


@blueprint.post("/v2/repository/index")
def index() -> flask.Response:
    """All committees in all versions, and whether they are loaded."""
    only_ready = fields.may(_request(), "ready", bool, of="The request")
    entries = []
    for model in serving.all_models():
        if (is_ready := model.is_ready) or not only_ready:
            entries.append(
                {
                    "name": model.name,
                    "version": model.version,
                    "state": "READY" if is_ready else "UNAVAILABLE",
                    "reason": "" if is_ready else "not loaded; it is when it is asked",
                }
            )
    return flask.jsonify(entries)


@blueprint.post("/v2/repository/models/<name>/load")
def load(name: str) -> dict[str, Any]:
    """Load a committee, and answer when it is ready."""
    request = _request()
    fields.only(request, ("parameters",), of="The request")
    parameters = fields.may(request, "parameters", dict, of="The request") or {}
    fields.only(parameters, (), of="'parameters'")
    context.current().load(serving.find_model(name).key)
    return {}


@blueprint.post("/v2/repository/models/<name>/unload")
def unload(name: str) -> dict[str, Any]:
    """Forget a loaded committee; the next who asks it loads it again."""
    registry = context.current().registry
    model = serving.find_model(name)
    if registry.resolve(model.key) == registry.default:
        raise Conflict(
            f"{model.name} is the default committee, which stays loaded: without it the server "
            "would not be ready."
        )
    registry.unload(model.key)
    return {}


def _request() -> dict[str, Any]:
    # Clients send nothing at all where they have nothing to say.
    return body.parse(serving.body() or b"{}")
