"""Fetching weights from the page: from a mirror with files in the official layout."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from support import studios
from triptych import settings
from triptych.inference import committee
from triptych.models import weights
from triptych.models import zoo
from triptych.web import create_app
from triptych.web.registry import Registry

ADDRESS = "/committees/classic/weights"
CONTENT = b"\x89HDF" * 2_000_000
PIECE_BYTES = 100_000
PATIENCE_S = 300


class SlowMirror(http.server.BaseHTTPRequestHandler):
    """Serves the same content for every name, with ranges; waits in the middle while it is held."""

    held = threading.Event()
    requests: tuple[str, ...] = ()
    missing = False

    def do_GET(self) -> None:
        SlowMirror.requests += (f"{self.path} {self.headers.get('Range', '')}".strip(),)
        if self.missing:
            self.send_error(404)
            return
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        middle = max(first, len(CONTENT) // 2)
        try:
            self.wfile.write(CONTENT[first:middle])
            while self.held.is_set():  # all but the end
                piece = CONTENT[middle:-1][:PIECE_BYTES]
                self.wfile.write(piece)
                middle += len(piece)
                time.sleep(0.02)
            self.wfile.write(CONTENT[middle:])
        except OSError:  # the client stopped
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[str]:
    SlowMirror.held.clear()
    SlowMirror.requests, SlowMirror.missing = (), False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowMirror) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        SlowMirror.held.clear()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch) -> list[zoo.Backbone]:
    """Two networks of the zoo with CONTENT as their official files, in a cache of their own."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    digest = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    found = []
    for name in ("ResNet50", "VGG16"):
        row = zoo.find(name)
        found.append(
            dataclasses.replace(row, weights=dataclasses.replace(row.weights, hash=digest))
        )
    monkeypatch.setattr(
        committee, "missing", lambda name: [row for row in found if not weights.locate(row)]
    )
    return found


@pytest.fixture
def app(mirror: str, tmp_path: Path) -> Flask:
    registry = Registry(
        studios.fake_classifier,
        studios.catalogue("lite", "classic"),
        "lite",
        missing=lambda name: committee.missing(name) if name == "classic" else [],
    )
    registry.get()
    return create_app(settings.load({}, home=tmp_path, weights_source=mirror), registry)


def state_of(client) -> dict:
    response = client.get(ADDRESS)
    assert response.status_code == 200
    return response.json


def wait_for(client, state: str) -> dict:
    end = time.monotonic() + PATIENCE_S
    while (fetch := state_of(client))["state"] != state:
        assert time.monotonic() < end, fetch
        time.sleep(0.02)
    return fetch


def test_weights_are_fetched_and_the_committee_is_on_offer(app, rows):
    client = app.test_client()
    assert client.get(ADDRESS).status_code == 409
    page = client.get("/", headers={"Accept": "text/html"}).text
    assert "Fetch ResNet50, VGG16" in page
    assert client.post(ADDRESS).json["state"] == "running"
    fetch = wait_for(client, "done")
    assert fetch["done_bytes"] == fetch["total_bytes"] == 2 * len(CONTENT)
    assert [weights.locate(row).read_bytes() for row in rows] == [CONTENT, CONTENT]
    page = client.get("/", headers={"Accept": "text/html"}).text
    assert "Fetch ResNet50" not in page


def test_stopping_keeps_what_has_come(app, rows):
    client = app.test_client()
    SlowMirror.held.set()
    client.post(ADDRESS)
    end = time.monotonic() + PATIENCE_S
    while not state_of(client)["done_bytes"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    page = client.get("/", headers={"Accept": "text/html"}).text
    assert "Fetching ResNet50:" in page
    client.post(ADDRESS)  # again, while it is under way
    assert len(SlowMirror.requests) == 1
    # A form without a script goes back to the page.
    assert client.post(f"{ADDRESS}/stop", headers={"Accept": "text/html"}).status_code == 303
    wait_for(client, "stopped")
    SlowMirror.held.clear()
    client.post(ADDRESS)
    wait_for(client, "done")
    assert "bytes=" in SlowMirror.requests[1]  # it went on where it had stopped
    assert weights.locate(rows[0]).read_bytes() == CONTENT


def test_what_is_not_delivered_is_told(app):
    client = app.test_client()
    SlowMirror.missing = True
    client.post(ADDRESS)
    fetch = wait_for(client, "failed")
    assert "404" in fetch["error"]
    page = client.get("/", headers={"Accept": "text/html"}).text
    assert "404" in page
    assert "Fetch ResNet50, VGG16" in page
    SlowMirror.missing = False
    client.post(ADDRESS)
    wait_for(client, "done")


def test_an_unknown_committee_is_refused(app):
    response = app.test_client().post("/committees/nobody/weights")
    assert response.status_code == 404
    assert "expected one of" in response.json["error"]["message"]
