"""CORS: pages of named other sites may use the API, with the key and without cookies."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import flask

from triptych import errors
from triptych.settings import Settings
from triptych.web import context

# Paths of the API and the protocols; nothing else is shared.
PATHS = ("/api/v1/", "/v1/", "/v2/")
ORIGIN = re.compile(r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
METHODS = "DELETE, GET, PATCH, POST"
SENT = ", ".join(
    (
        "Accept",
        "Authorization",
        "Content-Encoding",
        "Content-Type",
        "Inference-Header-Content-Length",
        "Last-Event-ID",
        "X-API-Key",
        context.ID_HEADER,
    )
)
READ = f"Inference-Header-Content-Length, Retry-After, {context.ID_HEADER}"
PREFLIGHT_LASTS_S = 600


def origins(text: str) -> frozenset[str]:
    """The origins in a setting.

    Raises:
        errors.SettingError: One is not an origin; `*`, which means any site, is refused, too.

    Example:
        >>> sorted(origins("https://app.example, http://localhost:3000/"))
        ['http://localhost:3000', 'https://app.example']
    """
    named = {part.rstrip("/") for part in re.split(r"[,\s]+", text.lower()) if part}
    wrong = sorted(part for part in named if not ORIGIN.fullmatch(part))
    if wrong:
        raise errors.SettingError(
            f"Got {wrong[0]!r} as an origin that may use the API; expected a scheme and a host, "
            "such as https://app.example or http://localhost:3000, each one by name."
        )
    return frozenset(named)


def register(app: flask.Flask, settings: Settings) -> None:
    """Let pages of the named origins use the API of an application."""
    app.extensions["cors"] = named = origins(settings.cors_origins)
    if named:
        app.before_request(_answer_preflight)
        app.after_request(_add_headers)


def is_foreign(request: flask.Request) -> bool:
    """Whether a request was sent by a browser for a page of another site."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site not in ("same-origin", "none")
    # Browsers omit it over plain HTTP from another machine.
    return origin is not None and urlsplit(origin).netloc != request.host


def is_shared(request: flask.Request) -> bool:
    """Whether a request for the API comes from a page of a named origin."""
    named: frozenset[str] = flask.current_app.extensions["cors"]
    is_named = request.headers.get("Origin", "").lower() in named
    return is_named and is_foreign(request) and request.path.startswith(PATHS)


def _answer_preflight() -> flask.Response | None:
    request = flask.request
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    if not is_shared(request):
        return None
    response = flask.Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = SENT
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_LASTS_S)
    return response


def _add_headers(response: flask.Response) -> flask.Response:
    request = flask.request
    if request.path.startswith(PATHS):
        response.vary.add("Origin")
        if is_shared(request):
            # No Access-Control-Allow-Credentials: other sites must not use a person's cookie.
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = READ
    return response
