"""Exporting from the page of a bundle, by forms alone: start, follow, stop, download, remove."""

from __future__ import annotations

import html
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from support import bundles as small
from support import studios
from triptych.web import context

pytestmark = pytest.mark.slow

BROWSER = {"Accept": "text/html"}
PAGE = "/bundles/tiny"
EXPORTS = f"{PAGE}/exports"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    small.write_runnable(tmp_path)
    app = studios.app_over(tmp_path, "tiny")
    yield app
    app.extensions[context.KEY].exports.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def text_of(client: FlaskClient) -> str:
    response = client.get(PAGE, headers=BROWSER)
    assert response.status_code == 200
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.text))
    return html.unescape(text)


def start(client: FlaskClient, **changes: str) -> Any:
    data = {"version": "1", "format": "openvino", "precision": "f32", **changes}
    return client.post(EXPORTS, data=data, headers=BROWSER)


def ended(client: FlaskClient) -> dict[str, Any]:
    pause = threading.Event()
    while (state := client.get(f"{EXPORTS}/job.json").json)["under_way"]:
        pause.wait(0.02)
    return state


def test_an_export_is_started_followed_downloaded_and_removed(client: FlaskClient) -> None:
    assert "There are no int8 networks yet" in text_of(client)
    response = start(client)
    assert (response.status_code, response.location) == (303, f"{PAGE}#export")
    page = client.get(PAGE, headers=BROWSER).text
    if "export-job" in page and 'data-state="running"' in page:
        assert '<noscript><meta http-equiv="refresh"' in page
    state = ended(client)
    assert state["title"] == "Exported: version 1 as openvino, f32"
    assert "all verdicts the same" in state["said"]

    text = text_of(client)
    assert "tiny-1-openvino.zip" in text
    assert text.count("all verdicts the same") == 2  # of the job, and in the list
    with client.get(f"{EXPORTS}/{state['file']}") as file:
        assert file.headers["Content-Disposition"] == "attachment; filename=tiny-1-openvino.zip"
        with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
            assert "tiny.xml" in archive.namelist()

    removed = client.post(f"{EXPORTS}/{state['file']}/remove", headers=BROWSER)
    assert removed.status_code == 303
    assert client.get(f"{EXPORTS}/{state['file']}").status_code == 404


def test_a_running_export_is_stopped_and_a_second_one_refused(client: FlaskClient) -> None:
    start(client)
    refused = start(client)
    assert refused.status_code in (409, 503)
    assert "under way for tiny; one runs at a time" in html.unescape(refused.text)
    assert client.post(f"{EXPORTS}/stop", headers=BROWSER).status_code == 303
    assert ended(client)["title"] == "Stopped: version 1 as openvino, f32"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "x"}, "The version is 'x'"),
        ({"version": "9"}, "There is no committee 'tiny@9'"),
        ({"format": "coreml"}, "There is no format 'coreml'"),
        ({"precision": "int4"}, "There is no precision 'int4'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    client: FlaskClient, changes: dict[str, str], message: str
) -> None:
    response = start(client, **changes)
    assert 400 <= response.status_code < 500
    assert message in html.unescape(response.text)


def test_a_failure_is_said_on_the_page(client: FlaskClient) -> None:
    start(client, precision="int8")
    assert ended(client)["state"] == "failed"
    assert "tiny has no int8 networks yet" in text_of(client)
    assert client.get(f"{EXPORTS}/../../../bundle.json").status_code == 404
