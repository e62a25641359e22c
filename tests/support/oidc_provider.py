"""An OpenID Connect provider on 127.0.0.1, by Authlib's own server part, which may misbehave."""

from __future__ import annotations

import contextlib
import html
import threading
import time
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

import flask
import requests
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import grants as oidc_grants
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.jwk import OctKey
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET = "triptych", "a secret of the client"


@dataclass
class Person:
    """Who is signed in at the provider."""

    id: str
    claims: dict[str, Any]


class _Client(ClientMixin):  # type: ignore[misc]
    def get_client_id(self) -> str:
        return CLIENT

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.endswith("/sign-in/provider/back")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class _Code(AuthorizationCodeMixin):
    text: str
    person: Person
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Provider:
    """The state of the provider; tests change it.

    Args:
        person: Who is signed in; ``None`` refuses.
        of_token: Claims that the token has instead of right ones; ``None`` leaves one out.
        algorithm: With which the token is signed.
        signs_with: The key it is signed with, if not the published one.
        shows_page: Whether people see a page of the provider before they are sent back.
        in_token: Names of the claims in the token; the others are user information. All: ``None``.
        before: Called with the path of each request, before it is answered.
        ends_sessions: Whether people can sign out by RP-Initiated Logout.
        sign_outs: What was sent with those who signed out.
        metadata: What the provider says of itself instead.
        token_requests: The forms that were sent for tokens.
    """

    person: Person | None = None
    of_token: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    signs_with: Any = None
    shows_page: bool = False
    ends_sessions: bool = False
    sign_outs: list[dict[str, str]] = field(default_factory=list)
    in_token: tuple[str, ...] | None = None
    before: Callable[[str], None] = lambda path: None
    metadata: dict[str, Any] = field(default_factory=dict)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    codes: dict[str, _Code] = field(default_factory=dict)
    tokens: dict[str, Person] = field(default_factory=dict)

    def settings(self, roles: str) -> dict[str, str]:
        """Settings of a studio whose people sign in with it."""
        return {
            "sso_issuer": self.address,
            "sso_client_id": CLIENT,
            "sso_client_secret": SECRET,
            "sso_roles": roles,
        }

    def app(self) -> flask.Flask:
        """The provider as an application."""
        app = flask.Flask("provider")
        client = _Client()
        server = AuthorizationServer(
            app,
            query_client=lambda name: client if name == CLIENT else None,
            save_token=lambda token, request: self.tokens.update(
                {token["access_token"]: request.user}
            ),
        )
        server.register_grant(self._grant(), [CodeChallenge(required=True), self._openid()])
        app.before_request(lambda: self.before(flask.request.path))

        @app.get("/.well-known/openid-configuration")
        def configuration() -> dict[str, Any]:
            leaving = {"end_session_endpoint": f"{self.address}/leave?realm=garden"}
            return {
                **(leaving if self.ends_sessions else {}),
                "issuer": self.address,
                "authorization_endpoint": f"{self.address}/authorize",
                "token_endpoint": f"{self.address}/token",
                "jwks_uri": f"{self.address}/keys",
                "userinfo_endpoint": f"{self.address}/userinfo",
                **self.metadata,
            }

        @app.get("/authorize")
        def authorize() -> Any:
            if self.person is None:
                page = flask.request.args
                return flask.redirect(
                    f"{page['redirect_uri']}?error=access_denied&state={page['state']}"
                )
            if self.shows_page and "agreed" not in flask.request.args:
                address = html.escape(f"{flask.request.full_path}&agreed=1")
                link = f'<a href="{address}">Go on as Anna</a>'
                return f"<!doctype html><title>Provider</title>{link}"
            grant = server.get_consent_grant(end_user=self.person)
            return server.create_authorization_response(grant_user=self.person, grant=grant)

        @app.get("/leave")
        def leave() -> Any:
            sent = flask.request.args.to_dict()
            assert sent.pop("realm") == "garden"
            claims = jwt.decode(sent["id_token_hint"], self.key, [self.algorithm]).claims
            assert self.person
            assert (claims["sub"], sent["client_id"]) == (self.person.id, CLIENT)
            assert sent["post_logout_redirect_uri"].endswith("/sign-in/provider/left")
            self.person = None
            self.sign_outs.append(sent)
            return flask.redirect(f"{sent['post_logout_redirect_uri']}?state={sent['state']}")

        @app.post("/token")
        def token() -> Any:
            self.token_requests.append(flask.request.form.to_dict())
            return server.create_token_response()

        @app.get("/keys")
        def keys() -> Any:
            return KeySet([self.key]).as_dict(private=False)

        @app.get("/userinfo")
        def userinfo() -> Any:
            sent = flask.request.headers.get("Authorization", "").removeprefix("Bearer ")
            if sent not in self.tokens:
                return flask.Response(status=401)
            return {"sub": self.tokens[sent].id, **self.tokens[sent].claims}

        return app

    def _grant(outer) -> Any:  # noqa: N805
        class Grant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

            def save_authorization_code(self, code: str, request: Any) -> None:
                form = request.payload.data
                outer.codes[code] = _Code(
                    code,
                    request.user,
                    request.payload.redirect_uri,
                    request.payload.scope,
                    form.get("nonce"),
                    form.get("code_challenge"),
                    form.get("code_challenge_method"),
                )

            def query_authorization_code(self, code: str, client: Any) -> Any:
                return outer.codes.get(code)

            def delete_authorization_code(self, authorization_code: Any) -> None:
                del outer.codes[authorization_code.text]

            def authenticate_user(self, authorization_code: Any) -> Person:
                return authorization_code.person

        return Grant

    def _openid(outer) -> Any:  # noqa: N805
        class OpenID(oidc_grants.OpenIDCode):  # type: ignore[misc]
            def exists_nonce(self, nonce: str, request: Any) -> bool:
                return any(code.nonce == nonce for code in outer.codes.values())

            def resolve_client_private_key(self, client: Any) -> Any:
                if outer.algorithm.startswith("HS"):
                    return OctKey.import_key(SECRET)
                return outer.signs_with or outer.key

            def get_client_algorithm(self, client: Any) -> str:
                return outer.algorithm

            def get_client_claims(self, client: Any) -> dict[str, Any]:
                return {"iss": outer.address, "aud": [CLIENT]}

            def get_encode_header(self, client: Any) -> dict[str, Any]:
                key = outer.signs_with or outer.key
                return {"alg": outer.algorithm, "kid": key.kid}

            def generate_user_info(self, user: Person, scope: str) -> dict[str, Any]:
                names = user.claims if outer.in_token is None else outer.in_token
                return {"sub": user.id, **{name: user.claims[name] for name in names}}

            def encode_id_token(self, token: Any, request: Any) -> Any:
                if not outer.of_token and outer.algorithm != "none":
                    return super().encode_id_token(token, request)
                claims = {
                    **self.get_compatible_claims(request),
                    **self.get_authorization_code_claims(request.authorization_code),
                    **self.generate_user_info(request.user, token["scope"]),
                    **outer.of_token,
                }
                claims = {name: value for name, value in claims.items() if value is not None}
                key = self.resolve_client_private_key(request.client)
                header = self.get_encode_header(request.client)
                with warnings.catch_warnings():  # it warns of "none"
                    warnings.simplefilter("ignore")
                    return jwt.encode(header, claims, key, [outer.algorithm])

        return OpenID()


@contextlib.contextmanager
def running() -> Iterator[Provider]:
    """A provider on a free port of this machine."""
    provider = Provider()
    server = make_server("127.0.0.1", 0, provider.app(), threaded=True)
    provider.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def visit(client: Any, onward: str = "/projects") -> str:
    """Begin to sign in, and be sent back by the provider; returns the address one is sent to."""
    begun = client.get("/sign-in/provider", query_string={"next": onward})
    assert begun.status_code == 303, begun.text
    sent = requests.get(begun.location, allow_redirects=False, timeout=60)
    assert sent.status_code == 302, sent.text
    return str(sent.headers["Location"])


def come_back(client: Any, address: str) -> Any:
    """Follow the address to which the provider sends one."""
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}", headers={"Accept": "text/html"})
