"""Sign-in with an OpenID Connect provider: the part that talks to it, without pages.

The authorization code flow of OpenID Connect Core 1.0 (2014) with PKCE (RFC 7636), by Authlib. A
person's role follows from the claims of the provider: nobody has one by default. Signing out is
OpenID Connect RP-Initiated Logout 1.0 (2022).
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.parse import urlsplit
from urllib.parse import urlunsplit

from werkzeug.exceptions import BadGateway
from werkzeug.exceptions import Forbidden
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import Unauthorized

from triptych import errors
from triptych.settings import Settings
from triptych.studio.keys import LONGEST_NAME
from triptych.studio.keys import ROLES
from triptych.utils import extras
from triptych.utils.formatting import plain_text
from triptych.utils.text import Text
from triptych.utils.text import text

# How long signing in at the provider may take, and the same attempt is remembered as used.
ATTEMPT_S = 600
# To connect, and between the bytes of an answer.
TIMEOUT_S = (5, 10)
MOST_BYTES = 1024 * 1024
# How long the provider's addresses and keys are believed.
METADATA_S = 3600
# A token with an unknown key is a reason to read the keys again, but not at every attempt.
KEYS_S = 30
CLOCK_SKEW_S = 60
# Signatures that only the provider can make; "none" and shared secrets are not among them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
EXPECTED_ROLES = (
    "expected ROLE:CLAIM=VALUE, separated by semicolons, such as own:groups=admins; "
    f"ask:email=@example.org, with one of the roles {', '.join(ROLES)}"
)


@dataclass(frozen=True)
class RoleRule:
    """A claim that gives a role.

    Args:
        role: One of `ROLES`.
        claim: Its name; dots lead into objects.
        value: What it is, or what is in its list. Of the claim ``email``, ``@example.org`` stands
            for all verified addresses there.
    """

    role: str
    claim: str
    value: str

    def holds(self, claims: Mapping[str, Any]) -> bool:
        """Whether a person has the claim.

        Example:
            >>> RoleRule("own", "groups", "admins").holds({"groups": ["staff", "admins"]})
            True
        """
        found = claim_of(claims, self.claim)
        if self.claim == "email" and self.value.startswith("@"):
            is_verified = claims.get("email_verified") is True
            return is_verified and str(found).casefold().endswith(self.value.casefold())
        return self.value in (found if isinstance(found, list) else [found])


@dataclass(frozen=True)
class Attempt:
    """What a browser keeps while its person is at the provider.

    Args:
        state: Comes back with the person.
        nonce: Comes back in the token.
        verifier: Proves that the code is redeemed by who asked for it (PKCE).
        redirect_uri: Where the provider sends the person back to.
        onward: The page of the studio to go on to.
    """

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    onward: str


@dataclass(frozen=True)
class Person:
    """Who signed in.

    Args:
        name: For the log and the history.
        role: One of `ROLES`.
        id_token: Tells the provider who signs out.
    """

    name: str
    role: str
    id_token: str = field(default="", repr=False)


def role_rules(setting: str) -> tuple[RoleRule, ...]:
    """The rules in the setting ``sso_roles``.

    Raises:
        errors.SettingError: There are none, or one is not of the form ``ROLE:CLAIM=VALUE``.

    Example:
        >>> role_rules("own:groups=admins; ask:email=@example.org")[1]
        RoleRule(role='ask', claim='email', value='@example.org')
    """
    rules = []
    for part in filter(None, (part.strip() for part in setting.replace("\n", ";").split(";"))):
        role, _, condition = part.partition(":")
        claim, _, value = condition.partition("=")
        if role.strip() not in ROLES or not claim.strip() or not value.strip():
            raise errors.SettingError(f"sso_roles has {part!r}; {EXPECTED_ROLES}.")
        rules.append(RoleRule(role.strip(), claim.strip(), value.strip()))
    if not rules:
        raise errors.SettingError(
            f"sso_issuer is set and sso_roles is not, so nobody could sign in; {EXPECTED_ROLES}."
        )
    return tuple(rules)


def claim_of(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the path to it in objects.

    Example:
        >>> claim_of({"realm_access": {"roles": ["a"]}}, "realm_access.roles")
        ['a']
    """
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


class Provider:
    """An OpenID Connect provider, by the settings; thread-safe.

    Its addresses are read when the first person signs in, so that it need not run at the start.

    Args:
        settings: Those that begin with ``sso_``; the issuer is set.

    Raises:
        errors.SettingError: One is missing or impossible, or the extra is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        extras.require("Signing in with sso_issuer", "authlib", "requests", extra="sso")
        self.issuer = settings.sso_issuer
        address = urlsplit(self.issuer)
        is_here = address.hostname in ("127.0.0.1", "::1", "localhost")
        if address.scheme != "https" and not (address.scheme == "http" and is_here):
            raise errors.SettingError(
                f"sso_issuer is {self.issuer!r}; expected the address of the provider, such as "
                "https://id.example.org/realms/garden."
            )
        self._client_id = settings.sso_client_id
        self.client_secret = _client_secret(settings)
        if not self._client_id or not self.client_secret:
            raise errors.SettingError(
                "sso_issuer needs sso_client_id, and the client's secret in the environment "
                "variable TRIPTYCH_SSO_CLIENT_SECRET or in the file sso_client_secret_file."
            )
        self._scopes = " ".join(dict.fromkeys(["openid", *settings.sso_scopes.split()]))
        self._name_claim = settings.sso_name_claim
        self._rules = role_rules(settings.sso_roles)
        self.label = settings.sso_label or str(address.hostname)
        self.session_hours = settings.sso_session_hours
        # Who signed in under other settings signs in again.
        parts = (self.issuer, self._client_id, self._name_claim, settings.sso_roles)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, Any] | None = None

    def begin(self, redirect_uri: str, onward: str) -> tuple[str, Attempt]:
        """Where to send a person to sign in; may wait for the provider.

        Args:
            redirect_uri: Where the provider is to send the person back to.
            onward: The page of the studio to go on to.

        Raises:
            BadGateway: The provider cannot be reached, or is another one.
        """
        metadata = self._current_metadata()
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            redirect_uri=redirect_uri,
            onward=onward,
        )
        with self._session() as session:
            url, _ = session.create_authorization_url(
                metadata["authorization_endpoint"],
                redirect_uri=redirect_uri,
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(url), attempt

    def finish(self, attempt: Attempt, answer: Mapping[str, str]) -> Person:
        """Who came back from the provider; may wait for it.

        Args:
            attempt: As `begin` gave it to the same browser.
            answer: The query of the address that the provider sent the person to.

        Raises:
            Unauthorized: The answer does not belong to the attempt, or the provider refused.
            Forbidden: The person has no role here.
            BadGateway: The provider cannot be reached, or its answer is invalid.
        """
        self._use(attempt, answer)
        metadata = self._current_metadata()
        says_issuer = metadata.get("authorization_response_iss_parameter_supported") is True
        if answer.get("iss", None if says_issuer else self.issuer) != self.issuer:
            raise Unauthorized(text("The answer is of another provider. Sign in once more."))
        if "code" not in answer:
            reason = plain_text(answer.get("error", "no code"))[:100]
            raise Unauthorized(
                text("{provider} refused: {reason}.", provider=self.label, reason=reason)
            )
        with self._session() as session, self._failures():
            token = session.fetch_token(
                metadata["token_endpoint"],
                grant_type="authorization_code",
                code=answer["code"],
                redirect_uri=attempt.redirect_uri,
                code_verifier=attempt.verifier,
                allow_redirects=False,
            )
            claims = self._verified(token, attempt.nonce)
            wanted = {self._name_claim, *(rule.claim for rule in self._rules)}
            endpoint = metadata.get("userinfo_endpoint")
            if endpoint and any(claim_of(claims, name) is None for name in wanted):
                answered = session.get(endpoint, allow_redirects=False)
                answered.raise_for_status()
                more = answered.json()
                if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
                    raise ValueError(text("its user information is of another person"))
                claims = {**more, **claims}
        return replace(self._person(claims), id_token=str(token["id_token"]))

    def end(self, id_token: str, return_uri: str, state: str) -> str | None:
        """Where to send a person to sign out at the provider, too; may wait for it.

        Args:
            id_token: As `finish` gave it; empty if it is not known any more.
            return_uri: Where the provider is to send the person back to.
            state: Comes back with the person.

        Returns:
            The address; ``None`` if the provider offers none.

        Raises:
            BadGateway: The provider cannot be reached.
            Unauthorized: What it says of itself is invalid.
        """
        endpoint = urlsplit(str(self._current_metadata().get("end_session_endpoint") or ""))
        if endpoint.scheme not in ("https", urlsplit(self.issuer).scheme):
            return None
        fields = {
            "id_token_hint": id_token,
            "client_id": self._client_id,
            "post_logout_redirect_uri": return_uri,
            "state": state,
        }
        sent = urlencode({name: value for name, value in fields.items() if value})
        query = "&".join(filter(None, (endpoint.query, sent)))
        return urlunsplit(endpoint._replace(query=query, fragment=""))

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name = claim_of(claims, self._name_claim)
        name = " ".join(plain_text(name).split())[:LONGEST_NAME] if isinstance(name, str) else ""
        if not name:
            raise Forbidden(
                text(
                    "{provider} does not say your name ({claim}), so you cannot be let in. Whoever "
                    "owns the studio can change the setting.",
                    provider=self.label,
                    claim=self._name_claim,
                )
            )
        roles = [rule.role for rule in self._rules if rule.holds(claims)]
        if not roles:
            raise Forbidden(
                text(
                    "You are signed in at {provider} as {name}, and nothing that it says of you "
                    "gives you a role here. Whoever owns the studio can change that.",
                    provider=self.label,
                    name=name,
                )
            )
        return Person(name, max(roles, key=ROLES.index))

    def _use(self, attempt: Attempt, answer: Mapping[str, str]) -> None:
        """Refuse an answer that belongs to no attempt of the browser, or to one that was used."""
        now = time.monotonic()
        is_right = secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode())
        with self._lock:
            self._used = {state: at for state, at in self._used.items() if at > now - 2 * ATTEMPT_S}
            if not is_right or attempt.state in self._used:
                raise Unauthorized(text("This sign-in was used or is not yours. Begin once more."))
            self._used[attempt.state] = now

    def _verified(self, token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of an ID token: signed by the provider, for this studio and this attempt."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import errors as jose_errors
        from joserfc import jwt

        encoded = token.get("id_token")
        if not isinstance(encoded, str):
            raise ValueError(text("it gave no ID token; is `openid` among the scopes?"))
        try:
            decoded = jwt.decode(encoded, self._current_keys(newer=False), list(ALGORITHMS))
        except (jose_errors.JoseError, ValueError):  # perhaps of a key that is new
            decoded = jwt.decode(encoded, self._current_keys(newer=True), list(ALGORITHMS))
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self._client_id},
                "sub": {"essential": True},
            },
            params={
                "nonce": nonce,
                "client_id": self._client_id,
                "access_token": token.get("access_token"),
            },
        )
        claims.validate(leeway=CLOCK_SKEW_S)
        return dict(claims)

    def _current_metadata(self) -> dict[str, Any]:
        """What the provider publishes of itself."""
        known = self._metadata
        if known and known[0] > time.monotonic() - METADATA_S:
            return known[1]
        address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        with self._session() as session, self._failures():
            answered = session.get(address, withhold_token=True, allow_redirects=False)
            answered.raise_for_status()
            metadata = answered.json()
            if not isinstance(metadata, dict) or metadata.get("issuer") != self.issuer:
                raise ValueError(text("it is not the issuer {issuer}", issuer=self.issuer))
            addresses = ["authorization_endpoint", "token_endpoint", "jwks_uri"]
            if metadata.get("userinfo_endpoint"):  # which is sent the person's token
                addresses.append("userinfo_endpoint")
            for name in addresses:
                scheme = urlsplit(str(metadata.get(name))).scheme
                if scheme not in ("https", urlsplit(self.issuer).scheme):
                    raise ValueError(text("its {name} is no address", name=name))
        self._metadata = (time.monotonic(), metadata)
        return metadata

    def _current_keys(self, *, newer: bool) -> Any:
        """The provider's public keys; ``newer`` than known ones, unless these are quite new."""
        from joserfc.jwk import KeySet

        known = self._keys
        oldest_s = KEYS_S if newer else METADATA_S
        if known and known[0] > time.monotonic() - oldest_s:
            return known[1]
        with self._session() as session:
            answered = session.get(
                self._current_metadata()["jwks_uri"], withhold_token=True, allow_redirects=False
            )
        answered.raise_for_status()
        keys = KeySet.import_key_set(answered.json())
        self._keys = (time.monotonic(), keys)
        return keys

    def _session(self) -> Any:
        from authlib.integrations.requests_client import OAuth2Session

        session = OAuth2Session(
            self._client_id,
            self.client_secret,
            scope=self._scopes,
            code_challenge_method="S256",
            token_endpoint_auth_method=self._auth_method(),
            default_timeout=TIMEOUT_S,
        )
        for scheme in ("http://", "https://"):
            session.mount(scheme, _bounded_adapter())
        return session

    def _auth_method(self) -> str:
        """How the client proves who it is; the usual way, unless the provider lacks it."""
        metadata = self._metadata[1] if self._metadata else {}
        offered = metadata.get("token_endpoint_auth_methods_supported")
        basic, post = "client_secret_basic", "client_secret_post"
        has_only_post = isinstance(offered, list) and post in offered and basic not in offered
        return post if has_only_post else basic

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Tell a provider that cannot be reached from one whose answer does not count."""
        import requests

        try:
            yield
        except HTTPException:
            raise
        except requests.RequestException as error:
            raise BadGateway(
                text(
                    "{provider} cannot be reached: {reason}. Try again later, or sign in with a "
                    "key.",
                    provider=self.label,
                    reason=_reason(error),
                )
            ) from error
        except Exception as error:  # of a library that reads what the provider sent
            raise Unauthorized(
                text(
                    "The answer of {provider} is not valid: {reason}. Sign in once more.",
                    provider=self.label,
                    reason=_reason(error),
                )
            ) from error


def _reason(error: Exception) -> str:
    """Why, in the language of the page where that is known, else in the words of the library."""
    import requests

    if error.args and isinstance(error.args[0], Text):
        return error.args[0]
    detail = plain_text(str(error) or type(error).__name__)[:200].rstrip(".")
    if isinstance(error, requests.exceptions.SSLError):
        return text("its certificate cannot be trusted ({detail})", detail=detail)
    if isinstance(error, requests.exceptions.Timeout):
        return text("it did not answer in time")
    if isinstance(error, requests.exceptions.ConnectionError):
        return text("there is no connection ({detail})", detail=detail)
    return detail


def _client_secret(settings: Settings) -> str:
    if not settings.sso_client_secret_file:
        return settings.sso_client_secret
    try:
        return Path(settings.sso_client_secret_file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingError(
            f"sso_client_secret_file cannot be read: {error}. Expected a file with the secret of "
            "the client."
        ) from error


def _bounded_adapter() -> Any:
    """Sends requests, and refuses answers that are too large."""
    from requests import RequestException
    from requests.adapters import HTTPAdapter

    # requests has no types, so that the signature of `send` is not known here.
    class BoundedAdapter(HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
            response = super().send(request, **{**options, "stream": True})
            content = response.raw.read(MOST_BYTES + 1, decode_content=True)
            response.close()
            if len(content) > MOST_BYTES:
                raise RequestException(
                    text("the answer has more than {most:,} bytes", most=MOST_BYTES)
                )
            response._content = content
            return response

    return BoundedAdapter()
