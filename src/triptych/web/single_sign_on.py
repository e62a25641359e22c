"""Signing in with the provider of the settings: to it, and back."""

from __future__ import annotations

import dataclasses

import flask
from itsdangerous import BadSignature
from itsdangerous import URLSafeTimedSerializer
from werkzeug.exceptions import NotFound
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response

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
    response.set_cookie(
        COOKIE,
        _serializer().dumps(dataclasses.astuple(attempt)),
        max_age=ATTEMPT_S,
        path=flask.url_for(".start"),
        secure=flask.request.is_secure,
        httponly=True,
        samesite="Lax",
    )
    return response


@blueprint.get("/back")
def finish() -> Response:
    """Sign in a person who comes back from the provider."""
    provider, request = _provider(), flask.request
    try:
        attempt = Attempt(*_serializer().loads(request.cookies.get(COOKIE, ""), max_age=ATTEMPT_S))
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
    return response


def _provider() -> Provider:
    provider = access.gate().provider
    if provider is None:
        raise NotFound(
            text("Nobody signs in with a provider here: the setting sso_issuer is not set.")
        )
    return provider


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(access.gate().secret, salt="triptych: single sign-on")
