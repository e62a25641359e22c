"""What every request and answer is held to: own pages only, and nothing from elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

import flask
from werkzeug.exceptions import Forbidden

from triptych.web import context

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' blob: data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": under it browsers say "Origin: null" even of our own form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def register(app: flask.Flask) -> None:
    """Guard every request of an application."""
    app.before_request(_refuse_other_sites)
    app.before_request(_refuse_when_full)
    app.after_request(_add_headers)


def _refuse_other_sites() -> None:
    request = flask.request
    if request.method not in SAFE_METHODS and _from_another_site(request):
        raise Forbidden(
            "This request was sent by a page of another site, so it was not answered. "
            "Open the studio itself, or use the API from a program."
        )


def _refuse_when_full() -> None:
    # Before the body is read: photos that cannot be answered need not be received.
    if flask.request.method == "POST":
        context.current().queue.check()


def _from_another_site(request: flask.Request) -> bool:
    """Whether a browser says so; programs say nothing and are welcome."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    # Over plain HTTP from another machine browsers leave the header above out.
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host


def _add_headers(response: flask.Response) -> flask.Response:
    response.headers.update(HEADERS)
    if flask.request.method == "POST":
        response.headers["Cache-Control"] = "no-store"
    return response
