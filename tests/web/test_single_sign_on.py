"""Signing in with an OpenID Connect provider, which runs beside the studio, and may misbehave."""

from __future__ import annotations

import html
import io
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import flask
import pytest
import requests
from joserfc.jwk import RSAKey

from support import oidc_provider
from support import studios
from support.bundles import write_with_metrics
from support.images import squares
from support.oidc_provider import CLIENT
from support.oidc_provider import SECRET
from support.oidc_provider import Person
from support.oidc_provider import Provider
from support.oidc_provider import come_back
from support.oidc_provider import visit
from triptych import errors
from triptych import settings
from triptych.studio.keys import ROLES
from triptych.studio.keys import Keys
from triptych.web import access
from triptych.web import create_app
from triptych.web import oidc
from triptych.web import single_sign_on
from triptych.web.registry import Discovery
from triptych.web.registry import Registry

BROWSER = {"Accept": "text/html"}
ANNA = {
    "name": "Anna  Ant",
    "groups": ["staff", "botany"],
    "email": "anna@example.org",
    "email_verified": True,
}
RULES = "own:groups=admins; teach:groups=botany; ask:email=@example.org"


@pytest.fixture(scope="module")
def one_provider() -> Iterator[Provider]:
    with oidc_provider.running() as provider:
        yield provider


@pytest.fixture
def provider(one_provider: Provider) -> Provider:
    """The provider, well-behaved, with Anna signed in."""
    fresh = Provider(person=Person("anna", ANNA), key=one_provider.key)
    for name, value in vars(fresh).items():
        if name != "address":
            setattr(one_provider, name, value)
    return one_provider


def options_of(provider: Provider, **more: Any) -> dict[str, Any]:
    return {**provider.settings(RULES), "sso_label": "Our garden", **more}


def studio(home: Path, provider: Provider, **more: Any) -> flask.Flask:
    if not (home / "bundles").exists():
        write_with_metrics(home, "garden", "ant", "bee")
    registry = Registry(
        lambda name: studios.bundle_classifier(home, name), Discovery(home), "garden"
    )
    return create_app(settings.load({}, home=home, **options_of(provider, **more)), registry)


def sign_in(app: flask.Flask, next: str = "/projects") -> Any:
    client = app.test_client()
    come_back(client, visit(client, next))
    return client


# ------------------------------------------------------------------ signing in and out


def test_a_person_signs_in_and_out(tmp_path: Path, provider: Provider, caplog: Any) -> None:
    app = studio(tmp_path, provider)
    client = app.test_client()
    page = client.get("/projects?all=1", headers=BROWSER)
    assert page.status_code == 401
    link = html.unescape(re.search(r'href="(/sign-in/provider[^"]*)"', page.text)[1])
    assert "Sign in with Our garden" in page.text
    begun = client.get(link)
    query = {name: value[0] for name, value in parse_qs(urlsplit(begun.location).query).items()}
    assert query["response_type"] == "code"
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == "http://localhost/sign-in/provider/back"
    assert query["scope"].split()[0] == "openid"
    assert len({query["state"], query["nonce"], query["code_challenge"]}) == 3
    cookie = begun.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    sent = requests.get(begun.location, allow_redirects=False, timeout=60).headers["Location"]
    entered = come_back(client, sent)
    assert entered.status_code == 200
    assert 'content="0; url=/projects?all=1"' in entered.text
    assert entered.headers["Cache-Control"] == "no-store"
    assert provider.token_requests[-1]["code_verifier"]
    with caplog.at_level("INFO", "triptych"):
        assert client.get("/projects").status_code == 200
    assert caplog.records[-1].fields["key"] == "Anna Ant"
    assert client.get("/keys").status_code == 403
    stolen = app.test_client()
    stolen.set_cookie("triptych", client.get_cookie("triptych").value)
    assert stolen.get("/projects").status_code == 200
    assert client.post("/sign-out").status_code == 303
    assert client.get("/projects").status_code == stolen.get("/projects").status_code == 401


def test_a_person_signs_out_at_the_provider_too(tmp_path: Path, provider: Provider) -> None:
    provider.ends_sessions = True
    client = sign_in(studio(tmp_path, provider))
    cookie = client.get_cookie("triptych_sso_leave", path="/sign-in/provider")
    assert (cookie.http_only, cookie.same_site) == (True, "Strict")
    # Without having signed out here nobody is led there, whatever page has a link to it.
    assert client.get("/sign-in/provider/leave").location == "/"
    client = sign_in(studio(tmp_path, provider))
    out = client.post("/sign-out")
    assert (out.status_code, out.location) == (303, "/sign-in/provider/leave")
    assert client.get("/projects").status_code == 401  # whether the provider answers or not
    page = client.get(out.location)
    address = html.unescape(re.search(r'content="0; url=([^"]+)"', page.text)[1])
    assert address.startswith(f"{provider.address}/leave?realm=garden&id_token_hint=")
    sent = requests.get(address, allow_redirects=False, timeout=60)
    assert (sent.status_code, provider.person) == (302, None)
    other = client.application.test_client()  # a page of another site leads there
    assert come_back(other, sent.headers["Location"]).location == "/"
    for wrong in ("x", ""):
        changed = sent.headers["Location"].replace(provider.sign_outs[-1]["state"], wrong)
        assert come_back(client, changed).location == "/"
    back = come_back(client, sent.headers["Location"])
    assert "You are signed out here and at Our garden." in back.text
    assert client.get(out.location).location == "/"  # once


def test_signing_out_needs_no_provider(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaves(client: Any) -> str:
        """Where a person lands who signs out."""
        out = client.post("/sign-out")
        assert client.get("/projects").status_code == 401
        return str(client.get(out.location).location)

    assert leaves(sign_in(studio(tmp_path, provider))) == "/"  # it offers none
    provider.metadata = {"end_session_endpoint": "javascript:alert(1)"}
    assert leaves(sign_in(studio(tmp_path, provider))) == "/"
    provider.metadata, provider.ends_sessions = {}, True
    client = sign_in(studio(tmp_path, provider))
    monkeypatch.setattr(oidc, "METADATA_S", 0)  # it is asked again
    provider.metadata = {"issuer": "https://evil.example"}
    assert leaves(client) == "/"
    provider.metadata = {}
    client.set_cookie("triptych_sso_leave", "forged", path="/sign-in/provider")
    assert client.get("/sign-in/provider/leave").location == "/"
    monkeypatch.setattr(single_sign_on, "LONGEST_COOKIE", 100)
    client = sign_in(studio(tmp_path, provider))
    page = client.get(client.post("/sign-out").location)
    assert "client_id=triptych" in html.unescape(page.text)
    assert "id_token_hint" not in page.text
    text = Keys(tmp_path).add("Anna", "own")[1]
    client.post("/sign-in", data={"key": text})
    assert client.post("/sign-out").location == "/"  # who came with a key


def test_the_history_names_the_person(tmp_path: Path, provider: Provider) -> None:
    app = studio(tmp_path, provider)
    client = sign_in(app)
    projects = app.extensions["triptych"].projects
    key = projects.make("Fair").key
    ant = projects.add_class(key, "ant").id
    form: dict[str, Any] = {"class": str(ant), "photo": (io.BytesIO(squares()), "one.png")}
    assert client.post(f"/projects/{key}/photos", data=form).status_code == 200
    (photo,) = projects.photos(key)
    form = {"digest": photo.digest, "do": "exclude"}
    assert client.post(f"/projects/{key}/decisions", data=form).status_code == 200
    assert [each.person for each in projects.history(key)] == ["Anna Ant"]


def test_keys_and_people_of_a_provider_live_side_by_side(
    tmp_path: Path, provider: Provider
) -> None:
    text = Keys(tmp_path).add("Robot", "ask")[1]
    app = studio(tmp_path, provider)
    headers = {"Authorization": f"Bearer {text}"}
    assert app.test_client().get("/api/v1/committees", headers=headers).status_code == 200
    client = app.test_client()
    client.post("/sign-in", data={"key": text})
    assert client.get("/projects").status_code == 403
    come_back(client, visit(client))
    assert client.get("/projects").status_code == 200
    client.post("/sign-in", data={"key": text})
    assert client.get("/projects").status_code == 403


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/bundles?a=b", "/bundles?a=b"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_only_pages_of_the_studio_are_gone_on_to(
    wanted: str, reached: str, tmp_path: Path, provider: Provider
) -> None:
    client = studio(tmp_path, provider).test_client()
    entered = come_back(client, visit(client, wanted))
    assert f'content="0; url={reached}"' in entered.text


def test_under_a_prefix_and_behind_a_proxy(tmp_path: Path, provider: Provider) -> None:
    app = studio(tmp_path, provider, path_prefix="/photos", proxies=1)
    client = app.test_client()
    forwarded = {
        "X-Forwarded-Host": "studio.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "198.51.100.7",
    }
    begun = client.get("/sign-in/provider?next=/photos/projects", headers=forwarded)
    query = parse_qs(urlsplit(begun.location).query)
    assert query["redirect_uri"] == ["https://studio.example/photos/sign-in/provider/back"]
    assert "; Secure" in begun.headers["Set-Cookie"]
    assert "Path=/photos/sign-in/provider" in begun.headers["Set-Cookie"]
    sent = requests.get(begun.location, allow_redirects=False, timeout=60).headers["Location"]
    cookie = {"Cookie": begun.headers["Set-Cookie"].partition(";")[0]}
    parts = urlsplit(sent)
    entered = app.test_client(use_cookies=False).get(
        f"{parts.path}?{parts.query}", headers={**forwarded, **cookie, **BROWSER}
    )
    assert 'content="0; url=/photos/projects"' in entered.text


# ------------------------------------------------------------------ who may what


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["admins", "botany"]}, "own"),
        ({"groups": "botany"}, "teach"),
        ({"groups": [], "email": "Anna@EXAMPLE.org"}, "ask"),
        ({"groups": ["admin"], "email_verified": False}, None),
        ({"groups": ["admin"], "email_verified": "true"}, None),
        ({"groups": {"admins": True}, "email": "anna@example.org.evil"}, None),
        ({"groups": None, "email": "anna@evil-example.org"}, None),
    ],
)
@pytest.mark.parametrize("in_token", [None, ()])
def test_claims_give_roles(
    claims: dict[str, Any],
    role: str | None,
    in_token: Any,
    tmp_path: Path,
    provider: Provider,
) -> None:
    provider.person = Person("anna", {**ANNA, **claims})
    provider.in_token = in_token  # none of them: they are user information
    client = studio(tmp_path, provider).test_client()
    entered = come_back(client, visit(client))
    assert entered.status_code == (200 if role else 403)
    if role is None:
        assert "Anna Ant, and nothing that it says of you gives you a role" in entered.text
    statuses = [client.get(page).status_code for page in ("/", "/projects", "/keys")]
    reached = ROLES.index(role) + 1 if role else 0
    assert [status == 200 for status in statuses] == [n < reached for n in range(3)]


def test_a_person_without_a_name_is_refused(tmp_path: Path, provider: Provider) -> None:
    provider.person = Person("anna", {**ANNA, "name": " "})
    client = studio(tmp_path, provider).test_client()
    entered = come_back(client, visit(client))
    assert entered.status_code == 403
    assert "does not say your name (name)" in entered.text
    client = studio(tmp_path, provider, sso_name_claim="email").test_client()
    assert come_back(client, visit(client)).status_code == 200


def test_a_role_that_was_taken_away_ends_with_the_session(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = studio(tmp_path, provider, sso_session_hours=2)
    client = sign_in(app)
    provider.person = Person("anna", {**ANNA, "groups": [], "email": "anna@elsewhere"})
    now = time.time()
    monkeypatch.setattr(access.time, "time", lambda: now + 2 * 3600 - 60)
    assert client.get("/projects").status_code == 200
    monkeypatch.setattr(access.time, "time", lambda: now + 2 * 3600 + 60)
    assert client.get("/projects").status_code == 401
    monkeypatch.undo()
    assert come_back(client, visit(client)).status_code == 403


def test_other_rules_or_no_provider_end_what_was_given_before(
    tmp_path: Path, provider: Provider
) -> None:
    cookie = sign_in(studio(tmp_path, provider)).get_cookie("triptych").value

    def status(app: flask.Flask) -> int:
        client = app.test_client()
        client.set_cookie("triptych", cookie)
        return int(client.get("/projects").status_code)

    assert status(studio(tmp_path, provider)) == 200
    assert status(studio(tmp_path, provider, sso_roles="own:groups=botany")) == 401
    assert status(studio(tmp_path, provider, sso_client_secret="another")) == 401
    without = studio(tmp_path, provider, sso_issuer="", api_key=SECRET)
    assert status(without) == 401
    assert without.test_client().get("/sign-in/provider").status_code == 404


# ------------------------------------------------------------------ hostile


@pytest.mark.parametrize(
    ("misbehaviour", "reason"),
    [
        ({"of_token": {"nonce": "another"}}, "nonce"),
        ({"of_token": {"nonce": None}}, "nonce"),
        ({"of_token": {"iss": "https://evil.example"}}, "iss"),
        ({"of_token": {"aud": ["another client"]}}, "aud"),
        ({"of_token": {"aud": [CLIENT, "more"], "azp": "more"}}, "azp"),
        ({"of_token": {"exp": 1_700_000_000}}, "expired"),
        ({"of_token": {"exp": None}}, "exp"),
        ({"of_token": {"iat": 4_000_000_000}}, "future"),
        ({"of_token": {"sub": None}}, "sub"),
        ({"of_token": {"at_hash": "wrong"}}, "at_hash"),
        ({"algorithm": "none"}, "lgorithm"),
        ({"algorithm": "HS256"}, "lgorithm"),
        ({"signs_with": RSAKey.generate_key(2048, {"kid": "one"})}, "ignature"),
        ({"signs_with": RSAKey.generate_key(2048, {"kid": "two"})}, "key"),
    ],
)
def test_a_token_that_is_not_right_is_refused(
    misbehaviour: dict[str, Any], reason: str, tmp_path: Path, provider: Provider
) -> None:
    for name, value in misbehaviour.items():
        setattr(provider, name, value)
    client = studio(tmp_path, provider).test_client()
    entered = come_back(client, visit(client))
    assert entered.status_code == 401
    wrong = html.unescape(re.search(r'role="alert">([^<]*)<', entered.text)[1])
    assert "The answer of Our garden is not valid" in wrong
    assert reason in wrong
    assert client.get("/projects").status_code == 401


def test_user_information_of_another_person_is_refused(tmp_path: Path, provider: Provider) -> None:
    provider.in_token = ()
    provider.person = Person("anna", {**ANNA, "sub": "bert"})
    client = studio(tmp_path, provider).test_client()
    entered = come_back(client, visit(client))
    assert entered.status_code == 401
    assert "user information is of another person" in entered.text


def test_answers_that_belong_to_no_attempt_are_refused(tmp_path: Path, provider: Provider) -> None:
    app = studio(tmp_path, provider)
    client, other = app.test_client(), app.test_client()
    address = visit(client)
    cookie = client.get_cookie("triptych_sso", path="/sign-in/provider").value
    assert come_back(other, address).status_code == 401  # of another browser
    state = parse_qs(urlsplit(address).query)["state"][0]
    for changed in ("x", "", state[:-1]):
        assert come_back(client, address.replace(state, changed)).status_code == 401
    assert come_back(client, address).status_code == 200
    assert client.get("/projects").status_code == 200
    # The same answer once more, with a copy of the cookie.
    other.set_cookie("triptych_sso", cookie, path="/sign-in/provider")
    again = come_back(other, address)
    assert again.status_code == 401
    assert "was used or is not yours" in again.text
    other.set_cookie("triptych_sso", cookie[:-2] + "AA", path="/sign-in/provider")
    assert "began no sign-in" in come_back(other, address).text
    # The answer to one attempt with the cookie of another.
    first, second = visit(client), visit(client)
    assert come_back(client, first).status_code == 401
    assert come_back(client, second).status_code == 200


def test_the_answer_of_another_provider_is_refused(tmp_path: Path, provider: Provider) -> None:
    client = studio(tmp_path, provider).test_client()
    mixed_up = come_back(client, visit(client) + "&iss=https://evil.example")
    assert "of another provider" in mixed_up.text
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    client = studio(tmp_path, provider).test_client()
    assert "of another provider" in come_back(client, visit(client)).text
    client = studio(tmp_path, provider).test_client()
    address = visit(client) + f"&iss={provider.address}"
    assert come_back(client, address).status_code == 200


def test_a_provider_that_refuses_is_quoted(tmp_path: Path, provider: Provider) -> None:
    provider.person = None
    client = studio(tmp_path, provider).test_client()
    entered = come_back(client, visit(client))
    assert entered.status_code == 401
    assert "Our garden refused: access_denied." in entered.text


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"issuer": "https://evil.example"}, "not the issuer"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint is no address"),
        ({"token_endpoint": None}, "token_endpoint is no address"),
        ({"userinfo_endpoint": "ftp://evil.example"}, "userinfo_endpoint is no address"),
    ],
)
def test_a_provider_that_describes_itself_wrongly_is_refused(
    metadata: dict[str, Any], reason: str, tmp_path: Path, provider: Provider
) -> None:
    provider.metadata = metadata
    begun = studio(tmp_path, provider).test_client().get("/sign-in/provider", headers=BROWSER)
    assert begun.status_code == 401
    assert reason in html.unescape(begun.text)


def test_a_provider_that_is_down_or_floods_is_told_and_keys_still_work(
    tmp_path: Path, provider: Provider
) -> None:
    key = Keys(tmp_path).add("Anna", "own")[1]
    down = studio(tmp_path, provider, sso_issuer="http://127.0.0.1:9").test_client()
    begun = down.get("/sign-in/provider")
    assert begun.status_code == 502
    assert "Our garden cannot be reached" in begun.json["error"]["message"]
    assert "or sign in with a key" in begun.json["error"]["message"]
    assert down.get("/projects", headers={"X-API-Key": key}).status_code == 200
    provider.metadata = {"more": "x" * (oidc.MOST_BYTES + 1)}
    flooded = studio(tmp_path, provider).test_client().get("/sign-in/provider")
    assert flooded.status_code == 502
    assert "more than 1,048,576 bytes" in flooded.json["error"]["message"]


def test_new_keys_of_the_provider_are_read(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = studio(tmp_path, provider)
    sign_in(app)
    monkeypatch.setattr(oidc, "KEYS_S", 0)
    kept, provider.key = provider.key, RSAKey.generate_key(2048, {"kid": "new"})
    try:
        assert sign_in(app).get("/projects").status_code == 200
    finally:
        provider.key = kept


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sso_issuer": "http://id.example.org"}, "expected the address of the provider"),
        ({"sso_issuer": "id.example.org"}, "expected the address of the provider"),
        ({"sso_client_id": ""}, "needs sso_client_id, and the client's secret"),
        ({"sso_client_secret": ""}, "TRIPTYCH_SSO_CLIENT_SECRET"),
        ({"sso_client_secret_file": "/nowhere"}, "sso_client_secret_file cannot be read"),
        ({"sso_roles": ""}, "so nobody could sign in; expected ROLE:CLAIM=VALUE"),
        ({"sso_roles": "king:groups=x"}, "sso_roles has 'king:groups=x'"),
        ({"sso_roles": "own:groups"}, "sso_roles has 'own:groups'"),
    ],
)
def test_incomplete_settings_are_refused_at_the_start(
    wrong: dict[str, Any], message: str, tmp_path: Path, provider: Provider
) -> None:
    with pytest.raises(errors.SettingError, match=message) as caught:
        studio(tmp_path, provider, **wrong)
    assert SECRET not in caught.value.message


def test_the_secret_is_read_from_a_file_and_never_shown(tmp_path: Path, provider: Provider) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    more = {"sso_client_secret": "", "sso_client_secret_file": str(tmp_path / "secret")}
    assert sign_in(studio(tmp_path, provider, **more)).get("/projects").status_code == 200
    assert SECRET not in repr(settings.load({"TRIPTYCH_SSO_CLIENT_SECRET": SECRET}))


def test_without_its_extra_the_studio_does_not_start(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "authlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.SettingError, match=r'pip install "triptych\[sso\]"'):
        studio(tmp_path, provider)


def test_a_provider_suffices_to_listen_for_other_machines(
    tmp_path: Path, provider: Provider
) -> None:
    in_force = settings.load({}, home=tmp_path, host="0.0.0.0", **options_of(provider))
    access.check(in_force, insecure=False, say=pytest.fail)


# ------------------------------------------------------------------ over HTTP, and in a browser


def test_a_slow_provider_keeps_nobody_else_waiting(tmp_path: Path, provider: Provider) -> None:
    write_with_metrics(tmp_path, "garden", "ant", "bee")
    asked, go_on = threading.Event(), threading.Event()

    def wait(path: str) -> None:
        if path.endswith("openid-configuration"):
            asked.set()
            assert go_on.wait(300)

    provider.before = wait
    with studios.bundle_studio(tmp_path, **options_of(provider)) as address:
        answers: list[requests.Response] = []

        def begin() -> None:
            answers.append(
                requests.get(f"{address}/sign-in/provider", allow_redirects=False, timeout=60)
            )

        threads = [threading.Thread(target=begin) for _ in range(6)]
        for thread in threads:
            thread.start()
        assert asked.wait(300)
        # The provider has not answered, and the studio does.
        assert requests.get(f"{address}/healthz", timeout=60).status_code == 200
        assert requests.get(f"{address}/projects", timeout=60).status_code == 401
        go_on.set()
        for thread in threads:
            thread.join(300)
    assert [answer.status_code for answer in answers] == [303] * 6
