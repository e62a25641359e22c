"""Signing in with the provider of the settings, and out: to it, and back."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from typing import Any

import flask
from itsdangerous import BadSignature
from itsdangerous import URLSafeTimedSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response

from triptych import errors
from triptych.studio.keys import Key
from triptych.utils.queueing import Queue
from triptych.utils.text import text
from triptych.web import access
from triptych.web import context
from triptych.web.oidc import ATTEMPT_S
from triptych.web.oidc import Attempt
from triptych.web.oidc import Provider

blueprint = flask.Blueprint("sso", __name__, url_prefix="/sign-in/provider")

# Holds the attempt while the person is at the provider. Unlike the session it is sent when another
# site leads back here.
COOKIE = "triptych_sso"
# Holds who is to be signed out at the provider. A page of another site cannot have it sent.
LEAVING = "triptych_sso_leave"
LONGEST_COOKIE = 3500  # browsers keep no cookie of more than 4096 bytes, with its attributes
# Requests to a provider that is slow wait in threads of their own.
THREADS, MOST_WAITING = 4, 64
_calls = Queue(THREADS, capacity=MOST_WAITING)


@blueprint.get("")
def start() -> Response:
    """Send a person to the provider."""
    provider = _provider()
    redirect_uri = flask.url_for(".finish", _external=True)
    onward = access.onward(flask.request.args.get("next", ""))
    call = _calls.submit(lambda: provider.begin(redirect_uri, onward))
    url, attempt = context.current().deadline().result(call)
    response = flask.redirect(url, 303)
    signed = _serializer().dumps(dataclasses.astuple(attempt))
    _set_cookie(response, COOKIE, signed, max_age=ATTEMPT_S, samesite="Lax")
    return response


@blueprint.get("/back")
def finish() -> Response:
    """Sign in a person who comes back from the provider."""
    provider, request = _provider(), flask.request
    try:
        kept = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=ATTEMPT_S)
        if not isinstance(kept, list):  # of signing out
            raise BadSignature("no attempt")
        attempt = Attempt(*kept)
    except BadSignature:
        raise Unauthorized(
            text("This browser began no sign-in within the last ten minutes. Begin once more.")
        ) from None
    answer = request.args.to_dict()
    call = _calls.submit(lambda: provider.finish(attempt, answer))
    person = context.current().deadline().result(call)
    key = Key("", person.name, person.role)
    access.start_session(key, lasts_s=provider.session_hours * 3600, provider=provider.fingerprint)
    context.of_request().key = key
    response = flask.make_response(flask.render_template("enter.html", onward=attempt.onward))
    response.delete_cookie(COOKIE, path=flask.url_for(".start"))
    hint = _serializer(LEAVING).dumps(person.id_token)
    if len(hint) > LONGEST_COOKIE:  # the provider then asks who is meant
        hint = _serializer(LEAVING).dumps("")
    lasts_s = provider.session_hours * 3600
    _set_cookie(response, LEAVING, hint, max_age=lasts_s, samesite="Strict")
    return response


@blueprint.get("/leave")
def leave() -> Response:
    """Send a person to the provider who has just signed out here, to sign out there."""
    provider, request = _provider(), flask.request
    response = flask.redirect(flask.url_for("classify.page"), 303)
    response.delete_cookie(LEAVING, path=flask.url_for(".start"))
    if access.SIGNED_IN in flask.session or LEAVING not in request.cookies:
        return response
    state, return_uri = secrets.token_urlsafe(16), flask.url_for(".left", _external=True)
    with contextlib.suppress(BadSignature, HTTPException, errors.TriptychError):
        lasts_s = provider.session_hours * 3600
        id_token = _serializer(LEAVING).loads(request.cookies[LEAVING], max_age=lasts_s)
        call = _calls.submit(lambda: provider.end(id_token, return_uri, state))
        if address := context.current().deadline().result(call):
            # No redirect: the policy on forms would hold for it, as a form led here.
            page = flask.render_template("leave.html", onward=address, provider=provider)
            response = flask.make_response(page)
            response.delete_cookie(LEAVING, path=flask.url_for(".start"))
            signed = _serializer().dumps(state)
            _set_cookie(response, COOKIE, signed, max_age=ATTEMPT_S, samesite="Lax")
    return response


@blueprint.get("/left")
def left() -> Response:
    """Tell a person who comes back from the provider of having signed out there."""
    provider, request = _provider(), flask.request
    said = None
    with contextlib.suppress(BadSignature):
        state = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=ATTEMPT_S)
        if isinstance(state, str) and secrets.compare_digest(
            state.encode(), request.args.get("state", "").encode()
        ):
            said = text("You are signed out here and at {provider}.", provider=provider.label)
    if said is None:
        return flask.redirect(flask.url_for("classify.page"), 303)
    response = flask.make_response(access.sign_in_page(said=said))
    response.delete_cookie(COOKIE, path=flask.url_for(".start"))
    return response


def _set_cookie(response: Response, name: str, value: str, **attributes: Any) -> None:
    response.set_cookie(
        name,
        value,
        path=flask.url_for(".start"),
        secure=flask.request.is_secure,
        httponly=True,
        **attributes,
    )


def _provider() -> Provider:
    provider = access.gate().provider
    if provider is None:
        raise NotFound(
            text("Nobody signs in with a provider here: the setting sso_issuer is not set.")
        )
    return provider


def _serializer(cookie: str = COOKIE) -> URLSafeTimedSerializer:
    salts = {COOKIE: "triptych: single sign-on", LEAVING: "triptych: single sign-out"}
    return URLSafeTimedSerializer(access.gate().secret, salt=salts[cookie])
