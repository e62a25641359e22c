"""The blueprint of the project pages, and how their routes answer a change."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.wrappers import Response

blueprint = flask.Blueprint("studio", __name__, url_prefix="/projects")


def wants_page() -> bool:
    """Whether a browser sent the request by itself, as a form or a link."""
    return "text/html" in flask.request.accept_mimetypes.values()


def redirect_or_json(address: str, **facts: Any) -> Response:
    """Answer a request that changed something: a form by a redirect, a script by JSON.

    Args:
        address: The page that shows the change.
        **facts: What a script gets beside the address.
    """
    if wants_page():
        return flask.redirect(address, 303)
    return flask.jsonify(address=address, **facts)
