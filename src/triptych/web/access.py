"""Access with a key: programs send it with each request, people sign in with it once.

Keys are the setting ``api_key``, which owns the studio, and those of `triptych.studio.keys`.
"""

from __future__ import annotations

import contextlib
import functools
import hmac
import ipaddress
import re
import secrets
import time
from datetime import timedelta

import flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import NotFound
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response

from triptych import errors
from triptych.settings import Settings
from triptych.studio import keys
from triptych.studio.keys import Key
from triptych.studio.keys import Keys
from triptych.typing import Notify
from triptych.utils.text import text
from triptych.web import context
from triptych.web import cors
from triptych.web import errors as web_errors
from triptych.web import permissions
from triptych.web import sign_outs
from triptych.web.oidc import Provider
from triptych.web.sign_outs import SignOuts

# Endpoints of style sheets and scripts, which contain no data.
STATIC = ("static", "figures.static")
blueprint = flask.Blueprint("access", __name__)

# In a session: the id of the sign-in, and that of the key, or who came from a provider.
SIGNED_IN = "signed_in"
KEY_ID = "key"
PERSON = "person"
GATE = "gate"
SIGN_OUTS = "sign_outs"
SHORTEST_KEY = 8
SIGNED_IN_FOR = timedelta(days=30)
FORM_BYTES = 4096
# The page that links with a key open, and the field of the link that holds it.
SHARED = "studio_publish.share"
LINK_KEY = "key"
# Paths of this studio: browsers take `//host` and a backslash for addresses of other sites.
LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]{0,1000}")
# Their errors are shown above the form.
SIGN_IN_PAGES = ("access.sign_in", "sso.finish", "sso.start")
NEW_KEY = "python -c 'import secrets; print(secrets.token_urlsafe())'"


def check(settings: Settings, *, insecure: bool, say: Notify) -> None:
    """Refuse to listen for other machines without a key, unless ``insecure``; then warn.

    Args:
        settings: The address, the key and the home folder.
        insecure: Whether to allow it.
        say: Called with a line for people.

    Raises:
        errors.SettingError: Other machines could connect, and ``insecure`` is false.
        errors.StateError: The keys in the home folder cannot be read.
    """
    if 0 < len(settings.api_key) < SHORTEST_KEY:
        raise errors.SettingError(
            text(
                "The key has {count} characters, which can be guessed; expected "
                "{shortest_key} or more. Make one with: {new_key}",
                count=len(settings.api_key),
                shortest_key=SHORTEST_KEY,
                new_key=NEW_KEY,
            )
        )
    has_keys = Keys(settings.home).exist
    if settings.api_key or has_keys or settings.sso_issuer or is_loopback(settings.host):
        return
    if not insecure:
        raise errors.SettingError(
            text(
                "Other machines can reach {host}, and no API key is required. Set "
                "TRIPTYCH_API_KEY to a long random text ({new_key}), make a key with "
                "`triptych keys add NAME --role own`, or give --insecure to let anybody ask.",
                host=settings.host,
                new_key=NEW_KEY,
            )
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

    def get_signing_serializer(self, app: flask.Flask) -> URLSafeTimedSerializer | None:
        # Keys may be made while the studio runs.
        gate: Gate = app.extensions[GATE]
        app.secret_key = gate.secret
        return super().get_signing_serializer(app)


class Gate:
    """Who is let in: those with a key, of the settings or of the home folder, or of a provider.

    Args:
        settings: The key, the home folder, and the provider.

    Raises:
        errors.SettingError: Those of the provider are incomplete.
    """

    def __init__(self, settings: Settings) -> None:
        self.keys = Keys(settings.home)
        self.provider = Provider(settings) if settings.sso_issuer else None
        self._api_key = settings.api_key
        # Once a key was required, taking the last one back does not open the studio to everybody.
        self._was_required = bool(settings.api_key or self.provider)

    @property
    def is_required(self) -> bool:
        """Whether requests need a key."""
        with contextlib.suppress(errors.StateError):
            self._was_required = self._was_required or self.keys.exist
            return self._was_required
        return True  # there are keys, which cannot be read

    @property
    def secret(self) -> bytes:
        """Signs the cookies of those who sign in: the same after a restart and on other servers."""
        # People are signed out when it changes.
        secret = self._api_key or (self.provider.client_secret if self.provider else "")
        if not secret:
            with contextlib.suppress(errors.StateError):
                secret = self.keys.secret
        # Where the keys cannot be read, what is signed now is worth nothing later.
        secret = secret or secrets.token_urlsafe()
        return hmac.digest(secret.encode(), b"triptych: signed in", "sha256")

    def find(self, sent: bytes) -> Key | None:
        """The key that a request sends; ``None`` for anything else."""
        if self._api_key and hmac.compare_digest(sent, self._api_key.encode()):
            return keys.OWNER
        return self.keys.find(sent.decode(errors="replace"))

    def person(self, record: object) -> Key | None:
        """What a person may who came from the provider; ``None`` when the session has expired."""
        if not (isinstance(record, dict) and self.provider):
            return None
        is_current = record.get("provider") == self.provider.fingerprint
        is_current = is_current and float(record.get("until_s", 0)) > time.time()
        return Key("", record["name"], record["role"]) if is_current else None

    def by_id(self, key_id: str) -> Key | None:
        """The key that a person signed in with; ``None`` if it was taken back."""
        if not key_id:
            return keys.OWNER if self._api_key else None
        return self.keys.by_id(key_id)


def gate() -> Gate:
    """The gate of the studio that answers the current request."""
    current: Gate = flask.current_app.extensions[GATE]
    return current


def register(app: flask.Flask, settings: Settings) -> None:
    """Require a key for every request, if there is one."""
    app.extensions[GATE] = Gate(settings)
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
    app.add_template_global(_may, "may")


def _may(role: str) -> bool:
    """Whether the key of the current request may do what a role may, with all committees."""
    key = context.of_request().key
    return key.may(role) and not key.committee


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response:
    """Sign in a person who sends a key."""
    if not gate().is_required:
        raise NotFound(text("No key is required here, so nobody signs in."))
    if flask.request.method == "POST":
        flask.request.max_content_length = FORM_BYTES
        key = gate().find(flask.request.form.get("key", "").strip().encode())
        if key is None:
            raise _unauthorized(
                text("This is not a key. The person who started the studio has one.")
            )
        start_session(key)
    return flask.redirect(onward(flask.request.form.get("next", "")), 303)


def onward(path: str) -> str:
    """The page that was requested, if that is a path of this studio (no open redirect).

    Args:
        path: As it came with a request.
    """
    return path if LOCAL_PATH.fullmatch(path) else flask.url_for("classify.page")


def start_session(key: Key, *, lasts_s: float = 0.0, provider: str = "") -> None:
    """Sign the person in whose request is answered, as the holder of a key.

    Args:
        key: The key.
        lasts_s: For how long, for who came from a provider.
        provider: Identifies the provider and its settings, for the same.
    """
    for name in (KEY_ID, PERSON):
        flask.session.pop(name, None)
    flask.session[SIGNED_IN] = secrets.token_urlsafe(16)
    if provider:
        flask.session[PERSON] = {
            "name": key.name,
            "role": key.role,
            "until_s": time.time() + lasts_s,
            "provider": provider,
        }
    else:
        flask.session[KEY_ID] = key.id
    flask.session.permanent = True


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """Sign a person out; copies of the cookie become invalid, too.

    Who came from a provider goes on there, to sign out of that, too.
    """
    record = flask.session.get(PERSON)
    provider = gate().provider
    came_from = isinstance(record, dict) and provider and record.get("provider")
    is_theirs = bool(provider and came_from == provider.fingerprint)
    if sign_in := flask.session.pop(SIGNED_IN, None):
        ended: SignOuts = flask.current_app.extensions[SIGN_OUTS]
        context.current().change(lambda: ended.add(str(sign_in)))
    flask.session.clear()
    onward = "sso.leave" if is_theirs else "classify.page"
    response = flask.redirect(flask.url_for(onward), 303)
    response.headers["Clear-Site-Data"] = '"cache"'  # photos of projects, which browsers cache
    return response


def _require_key() -> str | None:
    request = flask.request
    if not gate().is_required:
        return None
    if permissions.role_of(request.endpoint) is None:
        return None
    key = _key_of(request)
    if request.endpoint == SHARED and request.method == "GET" and LINK_KEY in request.args:
        if key is None and (key := gate().find(request.args[LINK_KEY].encode())):
            start_session(key)
        # The address without the key, which is not to be passed on by accident.
        onward = flask.url_for(SHARED, **(request.view_args or {}))
        if key:
            context.of_request().key = key
            return flask.render_template("enter.html", onward=onward)
    if key is None:
        raise _unauthorized(
            text(
                "This studio answers only to those who know a key. Send it as "
                "'Authorization: Bearer KEY' or 'X-API-Key: KEY'; in a browser, open the "
                "studio and sign in."
            )
        )
    context.of_request().key = key
    permissions.check(key, request.endpoint)
    stored = gate().keys
    if stored.is_use_due(key):
        with contextlib.suppress(errors.Overloaded):  # a later request writes it
            context.current().changes.submit(lambda: stored.mark_used(key))
    return None


def _key_of(request: flask.Request) -> Key | None:
    """The key that comes with a request, or that a person signed in with."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token if scheme.lower() == "bearer" else ""
    for sent in (bearer, request.headers.get("X-API-Key", "")):
        # Headers are decoded as Latin-1, whatever was sent.
        if sent and (key := gate().find(sent.strip().encode("latin-1"))):
            return key
    # An id, with which signing out revokes it; pages of other sites need the key.
    sign_in = flask.session.get(SIGNED_IN)
    is_id = isinstance(sign_in, str) and not cors.is_shared(request)
    if not is_id or sign_in in flask.current_app.extensions[SIGN_OUTS]:
        return None
    if PERSON in flask.session:
        return gate().person(flask.session[PERSON])
    # Sign-ins of 0.1.0 and later have no id of a key: there was only that of the settings.
    return gate().by_id(str(flask.session.get(KEY_ID, "")))


def _unauthorized(message: str) -> Unauthorized:
    return Unauthorized(message, www_authenticate=WWWAuthenticate("bearer", {"realm": "triptych"}))


def _answer(error: Unauthorized) -> flask.Response:
    """The usual error, but browsers get the sign-in page."""
    response = web_errors.answer(error)
    request = flask.request
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        is_here = request.endpoint in SIGN_IN_PAGES
        # The requested page; none if the request was not for a page.
        wanted_page = (
            request.script_root + request.full_path.removesuffix("?")
            if request.method == "GET"
            else ""
        )
        page = sign_in_page(
            wrong=error.description if is_here else None,
            onward=request.form.get("next", "") if is_here else wanted_page,
        )
        response.set_data(page)
        response.mimetype = "text/html"
    return response


def sign_in_page(*, wrong: str | None = None, said: str = "", onward: str = "") -> str:
    """The page with the form to sign in.

    Args:
        wrong: What was wrong with what was sent.
        said: What happened before.
        onward: The page to go on to.
    """
    return flask.render_template(
        "sign_in.html",
        wrong=wrong,
        said=said,
        onward=onward,
        days=SIGNED_IN_FOR.days,
        provider=gate().provider,
    )
