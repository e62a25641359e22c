"""Int8 networks from the page of a bundle: from an uploaded zip, checked, kept or refused."""

from __future__ import annotations

import importlib.util
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from support import bundles as small
from support import studios
from support.images import picture
from triptych import bundles
from triptych.engines.conversion import int8
from triptych.studio.projects import Projects
from triptych.web import context

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("nncf"), reason="needs NNCF"),
]

BROWSER = {"Accept": "text/html"}
INT8 = "/bundles/tiny/int8"


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Flask]:
    """A studio over one bundle: of one class a photo, or of several and with a project."""
    if getattr(request, "param", "") == "bowls":
        Projects(tmp_path).make("Bowls", multilabel=True)
        small.write_multilabel(tmp_path, sides={"small": 32})
        app = studios.app_over(tmp_path, "bowls")
    else:
        small.write_with_metrics(tmp_path, "tiny", "ant", "bee")
        app = studios.app_over(tmp_path, "tiny")
    yield app
    app.extensions[context.KEY].quantizing.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def zip_of(count: int, *, label: str = "") -> io.BytesIO:
    """Different photos in one folder of a zip, and a list if they have a label."""
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(count):
            photo = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(photo, "PNG")
            archive.writestr(f"photos/{number}.png", photo.getvalue())
        if label:
            rows = [f"photos/{number}.png,{label}" for number in range(count)]
            archive.writestr("list.csv", "\n".join(["path,label", *rows]))
    file.seek(0)
    return file


def start(client: FlaskClient, photos: io.BytesIO | None, **changes: str) -> Any:
    data: dict[str, Any] = {"version": "1", **changes}
    if photos:
        data["photos"] = (photos, "photos.zip")
    return client.post(INT8, data=data, headers=BROWSER)


def ended(client: FlaskClient, address: str = INT8) -> dict[str, Any]:
    pause = threading.Event()
    while (state := client.get(f"{address}/job.json").json)["under_way"]:
        pause.wait(0.05)
    return state


def test_int8_networks_are_made_compared_and_kept_in_a_new_version(
    client: FlaskClient, tmp_path: Path
) -> None:
    response = start(client, zip_of(90))
    assert (response.status_code, response.location) == (303, "/bundles/tiny#int8")
    assert start(client, zip_of(1)).status_code == 409  # one at a time
    state = ended(client)
    if state["state"] == "done":
        assert "Version 2 is the same with int8 networks, too" in state["said"]
        kept = bundles.find(tmp_path, "tiny@2")
        assert all(int8.int8_path(network).exists() for network in kept.networks)
        assert "These versions have them: 2" in client.get("/bundles/tiny", headers=BROWSER).text
    else:  # random networks on noise may lose more than is allowed
        assert "Nothing was kept" in state["said"]
        assert bundles.versions(tmp_path, "tiny") == [1]


@pytest.mark.parametrize("app", ["bowls"], indirect=True)
def test_several_classes_a_photo_are_those_of_the_project_and_of_a_list_in_the_zip(
    client: FlaskClient, app: Flask, tmp_path: Path
) -> None:
    projects = Projects(tmp_path)
    ids = [projects.add_class("bowls", name).id for name in ("ant", "bee")]
    for seed in range(5):
        projects.add("bowls", f"{seed}.jpg", picture(seed), ids)
    data = {"version": "1", "project": "true", "photos": (zip_of(76, label="ant|cat"), "z.zip")}
    assert client.post("/bundles/bowls/int8", data=data, headers=BROWSER).status_code == 303
    state = ended(client, "/bundles/bowls/int8")
    # 81 photos, a third of which calibrates; all have classes, so F1 is compared.
    if state["state"] == "done":
        assert re.search(r"of 54 photos get the same classes, and .* of the F1 are", state["said"])
    else:  # random networks on noise may lose more than is allowed
        assert re.search(r"loses .* of its F1 on 54 photos, and 0.50 % are", state["said"])


def test_what_cannot_be_made_is_told(client: FlaskClient, tmp_path: Path) -> None:
    assert "Choose a zip" in start(client, None).text
    assert start(client, zip_of(1), version="x").status_code == 400
    assert start(client, zip_of(1), version="7").status_code == 404
    for photos, reason in (
        (io.BytesIO(b"no zip"), "is not a complete zip archive"),
        (zip_of(20), "What you chose has 14 different photos to evaluate int8 with"),
    ):
        start(client, photos)
        state = ended(client)
        assert state["state"] == "failed"
        assert reason in state["said"]
    assert bundles.versions(tmp_path, "tiny") == [1]


def test_stopped_it_leaves_nothing(client: FlaskClient, app: Flask, tmp_path: Path) -> None:
    start(client, zip_of(90))
    assert client.post(f"{INT8}/stop", headers=BROWSER).status_code == 303
    assert ended(client)["state"] == "stopped"
    app.extensions[context.KEY].quantizing.close()
    assert bundles.versions(tmp_path, "tiny") == [1]
