"""Pages of other sites: only those named, only the API, only with the key, never by a cookie.

What browsers make of the headers is tried in a real Chromium, in test_prefix_browser.py.
"""

from __future__ import annotations

import pytest

from support.images import squares
from triptych import errors
from triptych import settings
from triptych.web import create_app

KEY = "a-long-random-key"
APP = "https://app.example"
CLASSIFY = "/api/v1/classify"
FOREIGN = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
PREFLIGHT = {**FOREIGN, "Access-Control-Request-Method": "POST"}


@pytest.fixture
def studio(registry, tmp_path):
    """Make a studio that shares its API, with some settings."""

    def make(**options):
        options = {"home": tmp_path, "cors_origins": f"{APP}, http://localhost:3000", **options}
        return create_app(settings.load({}, **options), registry).test_client()

    return make


def shares(response) -> bool:
    """Whether a browser would let the page have a response; the whole protocol is off otherwise."""
    names = {name.lower() for name, _ in response.headers}
    assert "access-control-allow-credentials" not in names
    allowed = response.headers.get("Access-Control-Allow-Origin")
    assert allowed in (None, APP)
    return allowed is not None


def post(client, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(CLASSIFY, data=squares(), content_type="image/png", headers=headers)


def test_by_default_no_other_origin_is_allowed(studio):
    client = studio(cors_origins="")
    for path in (CLASSIFY, "/"):
        assert not shares(client.options(path, headers=PREFLIGHT))
    assert not shares(client.get("/api/v1/committees", headers=FOREIGN))
    assert post(client, **FOREIGN).status_code == 403
    assert "Vary" not in client.get("/api/v1/committees").headers


def test_a_page_of_a_named_origin_may_use_the_api(studio):
    client = studio()
    preflight = client.options(CLASSIFY, headers=PREFLIGHT)
    assert preflight.status_code == 204
    assert shares(preflight)
    assert preflight.headers["Access-Control-Allow-Methods"] == "DELETE, GET, PATCH, POST"
    sent = preflight.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"X-API-Key", "Authorization", "Content-Type"} <= set(sent)
    answer = post(client, **FOREIGN)
    assert answer.status_code == 200
    assert shares(answer)
    assert "Origin" in answer.vary
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    # Refusals, too, so that the page can say what is wrong.
    assert shares(client.get("/api/v1/nothing", headers=FOREIGN))
    # Over plain HTTP from another machine, browsers leave Sec-Fetch-Site out.
    assert shares(post(client, Origin=APP))


@pytest.mark.parametrize(
    "origin",
    [
        "https://other.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://evil.example/https://app.example",
        "null",
        "*",
        "",
    ],
)
def test_other_origins_are_refused(studio, origin):
    client = studio()
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    preflight = {**headers, "Access-Control-Request-Method": "POST"}
    assert not shares(client.options(CLASSIFY, headers=preflight))
    assert not shares(client.get("/api/v1/committees", headers=headers))
    refused = post(client, **headers)
    assert refused.status_code == 403
    assert not shares(refused)


@pytest.mark.parametrize("path", ["/", "/projects", "/sign-in", "/metrics", "/api/v1x", "/docs"])
def test_only_api_paths_allow_other_origins(studio, path):
    client = studio()
    assert not shares(client.options(path, headers=PREFLIGHT))
    assert not shares(client.get(path, headers=FOREIGN))
    assert client.post(path, headers=FOREIGN).status_code == 403


def test_cross_origin_requests_need_the_key_despite_the_cookie(studio):
    client = studio(api_key=KEY)
    assert client.options(CLASSIFY, headers=PREFLIGHT).status_code == 204  # they carry no key
    assert client.post("/sign-in", data={"key": KEY}).status_code == 303
    assert post(client).status_code == 200
    # A page of a neighbour under the same domain: its browser sends the cookie.
    for site in ("same-site", "cross-site"):
        refused = post(client, Origin=APP, Sec_Fetch_Site=site)
        assert refused.status_code == 401
        assert shares(refused)
        with_key = {"Origin": APP, "Sec-Fetch-Site": site, "X-API-Key": KEY}
        assert post(client, **with_key).status_code == 200


def test_the_studios_own_origin_may_be_named(studio):
    client = studio(api_key=KEY, cors_origins="http://localhost")
    assert client.post("/sign-in", data={"key": KEY}).status_code == 303
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert post(client, **headers).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "app.example",
        "https://",
        "https://*.example",
        "https://app.example/page",
        "https://anna@app.example",
        "https://app.example?x",
        "file:///home",
        "https://a b",
    ],
)
def test_invalid_origins_are_refused_at_the_start(studio, text):
    with pytest.raises(errors.SettingError, match="each one by name"):
        studio(cors_origins=text)
