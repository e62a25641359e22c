"""The studio under a path of a small reverse proxy, and its API from a page of another origin, in a
real Chromium: any address outside of the prefix is an error in its console, which fails the test.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer

import pytest

from support import browser
from support import studios
from support.browser import expect
from support.browser import files
from support.browser import follow
from support.images import squares

PREFIX = "/photos/triptych"
SITE = "http://localhost"  # another origin than 127.0.0.1

pytestmark = [*browser.MARKS, pytest.mark.slow]


class Proxy(BaseHTTPRequestHandler):
    """Passes on what is below the prefix, which it removes as nginx does; the rest is a page."""

    protocol_version = "HTTP/1.1"
    upstream: str

    def __getattr__(self, name: str):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.startswith(f"{PREFIX}/"):
            is_page = self.path == "/page"
            return self.send(200 if is_page else 404, [("Content-Type", "text/html")], b"<p>Page")
        upstream = http.client.HTTPConnection(self.upstream)
        headers = {**dict(self.headers), "X-Forwarded-Host": self.headers["Host"]}
        headers |= {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
        upstream.request(self.command, self.path.removeprefix(PREFIX), body, headers)
        response = upstream.getresponse()
        hop = ("connection", "transfer-encoding", "content-length", "keep-alive")
        end_to_end = [row for row in response.getheaders() if row[0].lower() not in hop]
        self.send(response.status, end_to_end, response.read())
        upstream.close()

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for row in headers:
            self.send_header(*row)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    options = {
        "home": tmp_path_factory.mktemp("home"),
        "path_prefix": PREFIX,
        "proxies": 1,
        "cors_origins": f"{SITE}:{proxy.server_port}",
    }
    with proxy, studios.fake_studio(**options) as (_, upstream):
        Proxy.upstream = upstream.removeprefix("http://")
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


def test_people_use_the_studio_under_a_prefix(visit, address):
    page = visit(f"{PREFIX}/")
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    expect(page.locator("#cards figcaption")).to_have_text("cat.png")
    for name, path in (("Teach", "projects"), ("API", "docs"), ("Classify", "")):
        follow(page.locator("nav.around a", has_text=name))
        assert page.url == f"{address}{PREFIX}/{path}"
    follow(page.locator("nav.around a", has_text="Teach"))
    page.fill('[name="title"]', "Garden")
    follow(page.locator('form:has([name="title"]) button').first)
    assert page.url.startswith(f"{address}{PREFIX}/projects/")


def test_a_page_of_another_origin_uses_the_api(visit, address, expected):
    page = visit("/page")
    page.goto(address.replace("http://127.0.0.1", SITE) + "/page")
    ask = """async ([address, photo]) => {
        const body = Uint8Array.from(photo);
        const headers = {"Content-Type": "image/png", "X-API-Key": "none is needed"};
        const response = await fetch(address, {method: "POST", body, headers});
        return [response.status, response.headers.get("X-Request-ID"), await response.json()];
    }"""
    classify = f"{address}{PREFIX}/api/v1/classify"
    status, request_id, answer = page.evaluate(ask, [classify, list(squares(1))])
    assert status == 200
    assert len(request_id) == 32
    expected_verdict = studios.fake_classifier("lite").classify(squares(1))
    assert answer["results"][0]["verdict"]["label"] == expected_verdict.label.name
    # Pages are not shared, even with those that are named.
    expected += ["CORS policy", "ERR_FAILED"]
    failed = page.evaluate(
        "address => fetch(address).then(() => 'read', () => 'refused')", f"{address}{PREFIX}/docs"
    )
    assert failed == "refused"
