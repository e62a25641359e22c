"""What follows a change: the page for a person's form, JSON for a page's script."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.wrappers import Response


def wants_page() -> bool:
    """Whether a browser sent this by itself, as a form or a link."""
    return "text/html" in flask.request.accept_mimetypes.values()


def after(address: str, **facts: Any) -> Response:
    """Answer a request that changed something.

    Args:
        address: The page that shows it; a form goes there.
        **facts: What a script is told beside it.
    """
    if wants_page():
        return flask.redirect(address, 303)
    return flask.jsonify(address=address, **facts)
