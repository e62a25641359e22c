"""Access: the key, signing in, host names, other sites, and the rate limit."""

from __future__ import annotations

import datetime

import pytest
from click.testing import CliRunner
from werkzeug.http import parse_cookie

from support.images import squares
from triptych import errors
from triptych import settings
from triptych.cli import main
from triptych.web import access
from triptych.web import context
from triptych.web import create_app
from triptych.web import rate_limit
from triptych.web import security

KEY = "sésame=öffne dich="
API = "/api/v1/classify"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.7"}


def sent(text: str) -> str:
    """A header as a WSGI environment variable."""
    return text.encode().decode("latin-1")


@pytest.fixture
def studio(registry):
    """Make a studio with some settings."""
    return lambda **options: create_app(settings.load({}, **options), registry)


@pytest.fixture
def locked(studio):
    return studio(api_key=KEY)


# ------------------------------------------------------------------ the key


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": KEY}, 200),
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"Authorization": f"bearer {KEY}"}, 200),
        ({"X-API-Key": KEY[:-1]}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": f"Bearer {KEY}x"}, 401),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, 401),
        ({"Authorization": "nonsense"}, 401),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/committees", "/metrics"])
def test_programs_send_the_key(locked, path, headers, status):
    headers = {name: sent(value) for name, value in headers.items()}
    response = locked.test_client().get(path, headers=headers)
    assert response.status_code == status
    if status == 401:
        assert response.json["error"]["code"] == "unauthorized"
        assert "X-API-Key: KEY" in response.json["error"]["message"]
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_requests_without_the_key_are_refused(locked):
    client = locked.test_client()
    assert client.post(API, data=squares(), content_type="image/png").status_code == 401
    assert client.get("/nothing").status_code == 401


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/healthz", "/static/studio.css", "/figures/colours.css"]
)
def test_probes_and_static_files_need_no_key(locked, path):
    with locked.test_client().get(path) as response:
        assert response.status_code == 200


def test_the_key_is_never_shown(locked, registry):
    client = locked.test_client()
    client.post("/sign-in", data={"key": KEY})
    assert KEY not in client.get("/").text
    assert KEY not in client.get("/metrics").text
    assert KEY not in client.get("/", headers={"X-API-Key": "wrong"}).text
    in_force = settings.load({"TRIPTYCH_API_KEY": KEY})
    assert in_force.api_key == KEY
    assert KEY not in repr(in_force)
    ran = CliRunner().invoke(main, ["serve", "--help"], env={"TRIPTYCH_API_KEY": KEY})
    assert KEY not in ran.output
    assert "--api-key" not in ran.output


# ------------------------------------------------------------------ signing in


def test_a_browser_is_redirected_to_sign_in(locked):
    response = locked.test_client().get("/", headers=BROWSER)
    assert response.status_code == 401
    assert 'action="/sign-in"' in response.text
    assert "This is not a key" not in response.text


def test_signing_in_gives_access_until_signing_out(locked):
    client = locked.test_client()
    wrong = client.post("/sign-in", data={"key": "wrong"}, headers=BROWSER)
    assert wrong.status_code == 401
    assert "This is not a key" in wrong.text
    assert "Set-Cookie" not in wrong.headers
    response = client.post("/sign-in", data={"key": f" {KEY}\n"}, headers=BROWSER)
    assert (response.status_code, response.location) == (303, "/")
    assert "Sign out" in client.get("/").text
    assert client.post(API, data=squares(), content_type="image/png").status_code == 200
    client.post("/sign-out")
    assert client.get("/").status_code == 401


def test_a_copied_cookie_is_invalid_after_signing_out(studio, tmp_path):
    app = studio(api_key=KEY, home=tmp_path)
    cookie, other = cookie_of(app), cookie_of(app)
    assert status_with(app, cookie) == 200
    client = app.test_client()
    client.set_cookie("triptych", cookie)
    client.post("/sign-out")
    assert status_with(app, cookie) == 401
    assert status_with(app, other) == 200  # of another browser
    # Nor after a restart, nor in another server on the same home.
    again = studio(api_key=KEY, home=tmp_path)
    assert status_with(again, cookie) == 401
    client.set_cookie("triptych", other)
    client.post("/sign-out")
    assert status_with(again, other) == 401
    assert len((tmp_path / "signed_out.txt").read_text().splitlines()) == 2
    # It knows no sign-in, only that it has ended, and a damaged file signs nobody in or out.
    (tmp_path / "signed_out.txt").write_bytes(b"\xff\n\0 x y\n")
    assert status_with(again, other) == 401
    assert status_with(again, cookie_of(again)) == 200


def test_signing_out_works_with_a_read_only_home(studio, tmp_path):
    app = studio(api_key=KEY, home=tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    cookie = cookie_of(app)
    client = app.test_client()
    client.set_cookie("triptych", cookie)
    assert client.post("/sign-out").status_code == 500
    assert status_with(app, cookie) == 401
    assert client.get("/").status_code == 401


def test_a_cookie_without_an_id_is_invalid(locked):
    # As 0.1.0 made them: they could not be ended.
    with locked.test_request_context():
        old = locked.session_interface.get_signing_serializer(locked).dumps({"signed_in": True})
    assert status_with(locked, old) == 401


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_http_only_and_same_site(locked, scheme):
    client = locked.test_client()
    response = client.post("/sign-in", data={"key": KEY}, base_url=f"{scheme}://localhost")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Expires=" in cookie
    assert ("Secure" in cookie) == (scheme == "https")


def cookie_of(app) -> str:
    response = app.test_client().post("/sign-in", data={"key": app_key(app)})
    return parse_cookie(response.headers["Set-Cookie"])["triptych"]


def app_key(app) -> str:
    return app.extensions[context.KEY].settings.api_key


def status_with(app, cookie: str) -> int:
    client = app.test_client()
    client.set_cookie("triptych", cookie)
    return client.get("/").status_code


def test_a_session_ends_when_the_key_changes(studio):
    cookie = cookie_of(studio(api_key=KEY))
    assert status_with(studio(api_key=KEY), cookie) == 200
    assert status_with(studio(api_key="another"), cookie) == 401
    head, _, tail = cookie.partition(".")
    assert status_with(studio(api_key=KEY), f"{head}A.{tail}") == 401


def test_a_session_expires(locked):
    cookie = cookie_of(locked)
    locked.permanent_session_lifetime = datetime.timedelta(seconds=-1)
    assert status_with(locked, cookie) == 401


def test_signing_in_works_while_the_queue_is_closed(locked):
    client = locked.test_client()
    locked.extensions[context.KEY].queue.close()
    assert client.post("/sign-in", data={"key": KEY}).status_code == 303
    assert client.post("/sign-in", data={"key": "x" * access.FORM_BYTES}).status_code == 413


def test_without_a_key_there_is_no_sign_in_page(client):
    assert client.post("/sign-in", data={"key": ""}).status_code == 404
    assert "Sign out" not in client.get("/").text


# ------------------------------------------------------------------ addresses and names


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_other_machines_need_a_key_or_insecure(host):
    warnings = []
    with pytest.raises(errors.SettingError, match=r"Set TRIPTYCH_API_KEY .* or give --insecure"):
        access.check(settings.load({}, host=host), insecure=False, say=warnings.append)
    access.check(settings.load({}, host=host, api_key=KEY), insecure=False, say=warnings.append)
    assert not warnings
    access.check(settings.load({}, host=host), insecure=True, say=warnings.append)
    assert "INSECURE" in warnings[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_key(host):
    access.check(settings.load({}, host=host), insecure=False, say=pytest.fail)


def test_serve_refuses_an_open_address_without_a_key():
    ran = CliRunner().invoke(main, ["serve", "--host", "0.0.0.0", "--committee", "lite"])
    assert ran.exit_code == 2
    assert "Other machines can reach 0.0.0.0" in ran.output


MINE = ("localhost", "LOCALHOST:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "[::1]")
OTHERS = ("evil.example", "127.0.0.1.evil.example:5000", "localhost.", "", "[::2]", "::1")


@pytest.mark.parametrize("host", [*MINE, *OTHERS])
def test_without_a_key_only_local_host_names_are_allowed(client, host):
    response = client.get("/api/v1/committees", headers={"Host": host})
    assert response.status_code == (200 if host in MINE else 403)
    if host == "evil.example":
        assert "--allowed-hosts evil.example" in response.json["error"]["message"]
    assert client.get("/readyz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"allowed_hosts": "photos.example, Other.example"}, 200),
        ({"allowed_hosts": "elsewhere.example"}, 403),
        ({"host": "0.0.0.0"}, 200),
        ({"host": "0.0.0.0", "allowed_hosts": "elsewhere.example"}, 403),
        ({"api_key": KEY}, 200),
        ({"api_key": KEY, "allowed_hosts": "elsewhere.example"}, 403),
    ],
)
def test_more_names_can_be_allowed(studio, options, status):
    headers = {"Host": "other.example:8080", "X-API-Key": sent(KEY)}
    assert studio(**options).test_client().get("/", headers=headers).status_code == status


# ------------------------------------------------------------------ other sites


def test_forms_of_other_sites_are_refused(locked):
    client = locked.test_client()
    client.post("/sign-in", data={"key": KEY})
    paths = [rule.rule for rule in locked.url_map.iter_rules() if "POST" in rule.methods]
    assert {"/", "/sign-in", "/sign-out", API} <= set(paths)
    for path in paths:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            response = client.post(path, data="x=y", content_type="text/plain", headers=headers)
            assert response.status_code == 403, path
            assert "sent by a page of another site" in response.text
    assert client.get("/").status_code == 200  # nobody was signed out


def test_hsts_is_sent_over_https_only(client):
    for scheme in ("http", "https"):
        response = client.get("/", base_url=f"{scheme}://localhost")
        assert ("Strict-Transport-Security" in response.headers) == (scheme == "https")
        assert "unsafe-inline" not in response.headers["Content-Security-Policy"]
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "geolocation=()" in response.headers["Permissions-Policy"]


def test_pages_behind_a_key_are_not_stored(locked, client):
    headers = {"X-API-Key": sent(KEY)}
    assert locked.test_client().get("/", headers=headers).headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in client.get("/").headers


# ------------------------------------------------------------------ how often


def test_the_rate_limit_applies_per_client(studio):
    client = studio(max_requests_per_minute=3).test_client()
    got = [client.get("/", environ_base=ELSEWHERE).status_code for _ in range(5)]
    assert got == [200, 200, 200, 429, 429]
    refused = client.get("/api/v1/committees", environ_base=ELSEWHERE)
    assert refused.json["error"]["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert client.get("/livez", environ_base=ELSEWHERE).status_code == 200
    assert client.get("/", environ_base={"REMOTE_ADDR": "198.51.100.8"}).status_code == 200
    assert [client.get("/").status_code for _ in range(5)] == [200] * 5  # this machine


def test_wrong_keys_are_rate_limited(studio):
    client = studio(max_requests_per_minute=3, api_key=KEY).test_client()
    data = {"key": "wrong"}
    got = [client.post("/sign-in", data=data, environ_base=ELSEWHERE) for _ in range(4)]
    assert [response.status_code for response in got] == [401, 401, 401, 429]


def test_the_rate_limit_can_be_turned_off(studio):
    client = studio(max_requests_per_minute=0).test_client()
    got = [client.get("/", environ_base=ELSEWHERE).status_code for _ in range(3)]
    assert got == [200] * 3


def test_the_rate_limit_recovers_with_time():
    now = [0.0]
    mine = rate_limit.Quota(2, clock=lambda: now[0])
    assert [mine.take("a"), mine.take("a")] == [0, 0]
    assert mine.take("a") == 30
    now[0] = 29.0
    assert mine.take("a") == 1
    now[0] = 30.0
    assert [mine.take("a"), mine.take("a")] == [0, 30]
    now[0] = 1000.0
    assert [mine.take("a"), mine.take("a"), mine.take("a")] == [0, 0, 30]


def test_the_number_of_remembered_clients_is_bounded():
    mine = rate_limit.Quota(1, clients=2, clock=lambda: 0.0)
    assert [mine.take(name) > 0 for name in "aabb"] == [False, True, False, True]
    mine.take("c")
    assert [mine.take(name) > 0 for name in "bca"] == [True, True, False]


@pytest.mark.parametrize(("proxies", "last"), [(0, 200), (1, 429), (2, 200)])
def test_only_the_configured_proxies_are_trusted(studio, proxies, last):
    client = studio(max_requests_per_minute=1, proxies=proxies).test_client()
    for number, status in enumerate([200, last]):
        forwarded = f"203.0.113.{number}, 198.51.100.7"
        response = client.get("/", headers={"X-Forwarded-For": forwarded})
        assert response.status_code == status
    spoken = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    secure = "Strict-Transport-Security" in client.get("/", headers=spoken).headers
    assert secure == (proxies == 1)


@pytest.mark.parametrize(("version", "warns"), [("12.3.0", True), ("13.0.0", False)])
def test_a_vulnerable_pillow_is_warned_of(monkeypatch, version, warns):
    monkeypatch.setattr(security.metadata, "version", {"pillow": version}.__getitem__)
    warnings: list[str] = []
    security.warn_of_old_pillow(warnings.append)
    assert [f"Pillow {version}" in line for line in warnings] == [True] * warns


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_short_key_is_refused(host):
    with pytest.raises(errors.SettingError, match=r"1 characters.*expected 8 or more"):
        access.check(settings.load({}, host=host, api_key="x"), insecure=True, say=print)
