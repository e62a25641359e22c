"""Rules for all requests and responses: host names, other sites, limits, keys and headers."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

import flask
from werkzeug.exceptions import Forbidden
from werkzeug.exceptions import NotFound
from werkzeug.routing import IntegerConverter
from werkzeug.routing import Map

from triptych.settings import Settings
from triptych.typing import Notify
from triptych.utils.text import text
from triptych.web import access
from triptych.web import context
from triptych.web import cors
from triptych.web import health
from triptych.web import rate_limit

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
    # Not "no-referrer": with it browsers send "Origin: null" even for our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# The pages that may use the camera; all others may not.
CAMERA_PAGES = ("classify.page", "studio.photos", "studio.try_out", "studio_publish.share")
CAMERA_HEADERS = {"Permissions-Policy": "camera=(self), geolocation=(), microphone=()"}
SECURE_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}
LARGEST = 2**63 - 1  # what a column of SQLite holds
MENDED_PILLOW = 13  # its first version without CVE-2026-112403
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Number(IntegerConverter):
    """A number in an address; 404 for numbers that no row can have."""

    def __init__(self, map: Map, *args: Any, **kwargs: Any) -> None:
        super().__init__(map, *args, **{"max": LARGEST, **kwargs})


def warn_of_old_pillow(say: Notify) -> None:
    """Warn if the installed Pillow has a known vulnerability; Python 3.10 has no newer one.

    Args:
        say: Called with a line for people.
    """
    version = metadata.version("pillow")
    if int(version.partition(".")[0]) < MENDED_PILLOW:
        say(
            f"WARNING: Pillow {version} can be made to overflow by a malicious JPEG "
            "(CVE-2026-112403), and none without that fault exists for Python 3.10. Use Python "
            "3.11 or newer where strangers send photos."
        )


def register(app: flask.Flask, settings: Settings) -> None:
    """Check every request of an application; the cheapest checks come first."""
    app.before_request(_refuse_odd_paths)
    _register_names(app, settings)
    app.before_request(_refuse_other_sites)
    cors.register(app, settings)
    rate_limit.register(app, settings)
    access.register(app, settings)
    rate_limit.register_keys(app)
    app.before_request(_refuse_when_full)
    app.after_request(_add_headers)


def _refuse_odd_paths() -> None:
    # Such characters are invalid in file names and headers.
    if not flask.request.path.isprintable():
        raise NotFound(text("The address has characters in it that cannot be printed."))


def _register_names(app: flask.Flask, settings: Settings) -> None:
    """Refuse unknown Host headers (DNS rebinding): any site's name can resolve to this address."""
    allowed = tuple(filter(None, re.split(r"[,\s]+", settings.allowed_hosts.lower())))

    is_local = access.is_loopback(settings.host)

    def refuse_other_names() -> None:
        # A key is enough protection; without one, only this machine can connect.
        if not allowed and (not is_local or access.gate().is_required):
            return
        name = re.sub(r":\d*$", "", flask.request.host).strip("[]").lower()
        if not (name in allowed or access.is_loopback(name) or _is_public(flask.request)):
            raise Forbidden(
                text(
                    "This request was sent to {name!r}, and the studio answers only to {value}. "
                    "If this name is right, start it with --allowed-hosts {name}.",
                    name=name,
                    value=", ".join((*LOCAL_NAMES, *allowed)),
                )
            )

    app.before_request(refuse_other_names)


def _is_public(request: flask.Request) -> bool:
    return request.endpoint in access.STATIC or health.is_probe(request)


def _refuse_other_sites() -> None:
    """Refuse requests that browsers send for pages of other sites (CSRF); allows programs."""
    request = flask.request
    is_refused = cors.is_foreign(request) and not cors.is_shared(request)
    if is_refused and request.method not in SAFE_METHODS:
        raise Forbidden(
            text(
                "This request was sent by a page of another site, so it was not answered. "
                "Open the studio itself, or use the API from a program."
            )
        )


def _refuse_when_full() -> None:
    # Before the body is read, so that photos that cannot be answered are not received.
    is_change = flask.request.method not in SAFE_METHODS
    if is_change and flask.request.blueprint != access.blueprint.name:
        context.current().queue.check()


def _add_headers(response: flask.Response) -> flask.Response:
    request = flask.request
    present = {name.lower() for name, _ in response.headers}  # set by the page itself
    own = CAMERA_HEADERS if request.endpoint in CAMERA_PAGES else {}
    headers = {**HEADERS, **own}
    response.headers.extend([row for row in headers.items() if row[0].lower() not in present])
    # Browsers that keep to https would refuse a certificate that nobody vouches for from then on.
    if request.is_secure and context.current().settings.self_signed == "off":
        response.headers.update(SECURE_HEADERS)
    is_change = request.method not in SAFE_METHODS
    if is_change or (access.gate().is_required and not _is_public(request)):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
