"""The blueprint of the project pages, and how their routes answer a change."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.wrappers import Response

blueprint = flask.Blueprint("studio", __name__, url_prefix="/projects")


def wants_page() -> bool:
    """Whether a browser sent the request from a form or a link, without a script."""
    return "text/html" in flask.request.accept_mimetypes.values()


def redirect_or_json(address: str, **facts: Any) -> Response:
    """Respond to a change: with a redirect for a form, with JSON for a script.

    Args:
        address: The page that shows the change.
        **facts: Other values for a script.
    """
    if wants_page():
        return flask.redirect(address, 303)
    return flask.jsonify(address=address, **facts)
