"""Under a path of a reverse proxy: every address that the studio gives out stays below it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from support import studios
from support.bundles import write_garden
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.web import create_app
from triptych.web.registry import Registry

KEY = "a-long-random-key"
PREFIX = "/photos/triptych"
PAGES = ("/", "/docs", "/projects", "/bundles", "/projects/anew", "/nothing")
BROWSER = {"Accept": "text/html"}
ADDRESS = re.compile(r'(?:href|src|action|formaction|data-[a-z]+)="(/[^"]*)"')


@pytest.fixture
def studio(tmp_path):
    def make(**options):
        write_garden(tmp_path)
        registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
        options = {"home": tmp_path, "path_prefix": PREFIX, **options}
        return create_app(settings.load({}, **options), registry).test_client()

    return make


@pytest.mark.parametrize("before", ["", PREFIX])
def test_every_link_has_the_prefix(studio, before):
    client = studio()
    addresses = set()
    for page in PAGES:
        addresses.update(ADDRESS.findall(client.get(before + page, headers=BROWSER).text))
    assert len(addresses) > 10
    assert [address for address in addresses if not address.startswith(f"{PREFIX}/")] == []
    for address in addresses:
        path = urlsplit(address).path.removeprefix(PREFIX)
        with client.get(before + path, headers=BROWSER) as response:
            assert response.status_code < 500, address
    styles = [address for address in addresses if address.endswith((".css", ".js", ".svg"))]
    assert len(styles) > 3
    for address in styles:
        with client.get(address) as response:
            assert response.status_code == 200


def test_without_a_prefix_nothing_changes(studio):
    client = studio(path_prefix="")
    assert client.get(f"{PREFIX}/").status_code == 404
    assert 'href="/docs"' in client.get("/").text
    assert client.get("/openapi.json").json["servers"] == [{"url": "/"}]


def test_the_api_and_its_openapi_document_are_below_the_prefix(studio):
    client = studio()
    for before in ("", PREFIX):
        sent = {"data": squares(), "content_type": "image/png"}
        assert client.post(f"{before}/api/v1/classify", **sent).status_code == 200
        assert client.get(f"{before}/livez").text == "ok"
        assert client.get(f"{before}/v2/health/live").status_code == 200
        assert client.get(f"{before}/openapi.json").json["servers"] == [{"url": PREFIX}]
    assert client.get(PREFIX).status_code == 200
    assert client.get(f"{PREFIX}s/livez").status_code == 404
    docs = client.get("/docs", headers={"Host": "localhost"}).text
    assert f"http://localhost{PREFIX}/api/v1/classify" in docs


def test_signing_in_redirects_below_the_prefix_and_scopes_the_cookie(studio):
    client = studio(api_key=KEY)
    sign_in = client.get(f"{PREFIX}/docs?a=b", headers=BROWSER)
    assert sign_in.status_code == 401
    onward = f"{PREFIX}/docs?a=b"
    # The form to sign in, and the one to choose a language.
    assert re.findall(r'name="next" value="([^"]*)"', sign_in.text) == [onward, onward]
    response = client.post(f"{PREFIX}/sign-in", data={"key": KEY, "next": onward})
    assert response.headers["Location"] == onward
    assert f"Path={PREFIX};" in response.headers["Set-Cookie"] + ";"
    assert client.get(f"{PREFIX}/docs", headers=BROWSER).status_code == 200


@pytest.mark.parametrize("text", ["triptych", "//evil.example", "/a b", "/a?b", "/a#b", "/../a"])
def test_an_invalid_prefix_is_refused_at_the_start(studio, text):
    with pytest.raises(errors.SettingError, match="such as /triptych"):
        studio(path_prefix=text)
