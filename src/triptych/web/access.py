"""Access with an API key: programs send it with each request, people sign in with it once."""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
import secrets
from datetime import timedelta

import flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response

from triptych import errors
from triptych.settings import Settings
from triptych.typing import Notify
from triptych.web import context
from triptych.web import cors
from triptych.web import errors as web_errors
from triptych.web import health
from triptych.web import sign_outs
from triptych.web.sign_outs import SignOuts

# Endpoints of style sheets and scripts, which contain no data.
STATIC = ("static", "figures.static")
blueprint = flask.Blueprint("access", __name__)

SIGNED_IN = "signed_in"
SIGN_OUTS = "sign_outs"
SHORTEST_KEY = 8
SIGNED_IN_FOR = timedelta(days=30)
FORM_BYTES = 4096
# Paths of this studio: browsers take `//host` and a backslash for addresses of other sites.
LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]{0,1000}")
NEW_KEY = "python -c 'import secrets; print(secrets.token_urlsafe())'"


def check(settings: Settings, *, insecure: bool, say: Notify) -> None:
    """Refuse to listen for other machines without a key, unless ``insecure``; then warn.

    Args:
        settings: The address and the key.
        insecure: Whether to allow it.
        say: Called with a line for people.

    Raises:
        errors.SettingError: Other machines could connect, and ``insecure`` is false.
    """
    if 0 < len(settings.api_key) < SHORTEST_KEY:
        raise errors.SettingError(
            f"The key has {len(settings.api_key)} characters, which can be guessed; expected "
            f"{SHORTEST_KEY} or more. Make one with: {NEW_KEY}"
        )
    if settings.api_key or is_loopback(settings.host):
        return
    if not insecure:
        raise errors.SettingError(
            f"Other machines can reach {settings.host}, and no API key is required. Set "
            f"TRIPTYCH_API_KEY to a long random text ({NEW_KEY}), or give --insecure to let "
            "anybody ask."
        )
    say(f"INSECURE: whoever can reach {settings.host} can use the studio, as it has no API key.")


@functools.lru_cache(1024)
def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address, or come from it.

    Example:
        >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class _Sessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: flask.Flask) -> bool:
        return flask.request.is_secure


def register(app: flask.Flask, settings: Settings) -> None:
    """Require the API key for every request; with an empty key, none is required."""
    if not (key := settings.api_key):
        return
    # Derived from the key, so that people stay signed in when the studio restarts, but not when the
    # key changes.
    app.secret_key = hmac.digest(key.encode(), b"triptych: signed in", "sha256")
    app.session_interface = _Sessions()
    app.extensions[SIGN_OUTS] = SignOuts(
        settings.home / sign_outs.FILE, lifetime_s=SIGNED_IN_FOR.total_seconds()
    )
    app.config.update(
        SESSION_COOKIE_NAME="triptych",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=SIGNED_IN_FOR,
    )
    app.register_blueprint(blueprint)
    app.before_request(_require_key)
    app.register_error_handler(Unauthorized, _answer)


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response:
    """Sign in a person who sends the key."""
    if flask.request.method == "POST":
        flask.request.max_content_length = FORM_BYTES
        if not _is_key(flask.request.form.get("key", "").strip().encode()):
            raise _unauthorized("This is not the key. The person who started the studio has it.")
        flask.session[SIGNED_IN] = secrets.token_urlsafe(16)
        flask.session.permanent = True
    # Redirect to the requested page, if that is a path of this studio (no open redirect).
    path = flask.request.form.get("next", "")
    onward = path if LOCAL_PATH.fullmatch(path) else flask.url_for("classify.page")
    return flask.redirect(onward, 303)


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """Sign a person out; copies of the cookie become invalid, too."""
    if sign_in := flask.session.pop(SIGNED_IN, None):
        ended: SignOuts = flask.current_app.extensions[SIGN_OUTS]
        context.current().change(lambda: ended.add(str(sign_in)))
    flask.session.clear()
    response = flask.redirect(flask.url_for("classify.page"), 303)
    response.headers["Clear-Site-Data"] = '"cache"'  # photos of projects, which browsers cache
    return response


def _require_key() -> None:
    request = flask.request
    if request.endpoint in STATIC or request.blueprint == blueprint.name:
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token if scheme.lower() == "bearer" else ""
    # Headers are decoded as Latin-1, whatever was sent.
    keys = [key.strip().encode("latin-1") for key in (bearer, request.headers.get("X-API-Key", ""))]
    if health.is_probe(request) or any(map(_is_key, keys)) or _is_signed_in(request):
        return
    raise _unauthorized(
        "This studio answers only to those who know its key. Send it as "
        "'Authorization: Bearer KEY' or 'X-API-Key: KEY'; in a browser, open the studio "
        "and sign in."
    )


def _is_signed_in(request: flask.Request) -> bool:
    # An id, with which signing out revokes it; pages of other sites need the key.
    sign_in = flask.session.get(SIGNED_IN)
    is_id = isinstance(sign_in, str) and not cors.is_shared(request)
    return is_id and sign_in not in flask.current_app.extensions[SIGN_OUTS]


def _is_key(sent: bytes) -> bool:
    return hmac.compare_digest(sent, context.current().settings.api_key.encode())


def _unauthorized(message: str) -> Unauthorized:
    return Unauthorized(message, www_authenticate=WWWAuthenticate("bearer", {"realm": "triptych"}))


def _answer(error: Unauthorized) -> flask.Response:
    """The usual error, but browsers get the sign-in page."""
    response = web_errors.answer(error)
    request = flask.request
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        is_here = request.endpoint == "access.sign_in"
        # The requested page; none if the request was not for a page.
        wanted_page = (
            request.script_root + request.full_path.removesuffix("?")
            if request.method == "GET"
            else ""
        )
        page = flask.render_template(
            "sign_in.html",
            wrong=error.description if is_here else None,
            onward=request.form.get("next", "") if is_here else wanted_page,
            days=SIGNED_IN_FOR.days,
        )
        response.set_data(page)
        response.mimetype = "text/html"
    return response
