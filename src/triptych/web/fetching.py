"""The routes of fetching weights; `triptych.web.fetches` does it."""

from __future__ import annotations

import dataclasses

import flask
from werkzeug.exceptions import Conflict
from werkzeug.wrappers import Response

from triptych import errors
from triptych.models import zoo
from triptych.utils import extras
from triptych.utils.text import text
from triptych.web import context

blueprint = flask.Blueprint("fetching", __name__, url_prefix="/committees/<name>/weights")


@blueprint.post("")
def start(name: str) -> Response:
    """Fetch the weights that a committee of the zoo misses."""
    _check(name)
    # Networks are converted once, by Keras.
    extras.require(text("Running {name}", name=name), "keras", "h5py", extra="keras")
    context.current().fetches.start(name)
    return _back(name)


@blueprint.post("/stop")
def stop(name: str) -> Response:
    """Stop fetching; what has come stays for the next time."""
    _check(name)
    context.current().fetches.stop(name)
    return _back(name)


@blueprint.get("")
def state(name: str) -> Response:
    """How far it is."""
    _check(name)
    fetch = context.current().fetches.find(name)
    if fetch is None:
        raise Conflict(text("The weights of {name} are not being fetched.", name=name))
    return flask.jsonify(dataclasses.asdict(fetch))


def _check(name: str) -> None:
    if name not in zoo.COMMITTEES:
        raise errors.UnknownName(
            text(
                "There is no committee {name!r} in the zoo; expected one of: {committees}.",
                name=name[:80],
                committees=", ".join(zoo.COMMITTEES),
            )
        )


def _back(name: str) -> Response:
    if "text/html" in flask.request.accept_mimetypes.values():
        return flask.redirect(flask.url_for("classify.page", _anchor="options"), 303)
    return state(name)
