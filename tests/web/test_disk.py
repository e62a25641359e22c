"""The page on disk space, and what it frees."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from flask import Flask

from support import studios
from support.bundles import write_with_metrics
from triptych import bundles
from triptych import errors
from triptych.features import FeatureStore
from triptych.studio import disk_usage


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for _ in range(2):
        write_with_metrics(tmp_path, "garden", "ant", "bee")
    store = FeatureStore(tmp_path / "features.sqlite")
    store.put("demo", {bytes([n]): np.ones(1000, np.float32) for n in range(200)})
    exported = tmp_path / "studio" / "exports" / "garden"
    exported.mkdir(parents=True)
    with zipfile.ZipFile(exported / "garden-1-onnx.zip", "w") as file:
        file.writestr("model.onnx", bytes(5000))
    (tmp_path / "runtimes").mkdir()
    (tmp_path / "runtimes" / "x.wasm").write_bytes(bytes(1000))
    (tmp_path / "engines" / "compiled").mkdir(parents=True)
    (tmp_path / "engines" / "compiled" / "x.blob").write_bytes(bytes(3000))
    for name in ("EfficientNetLite0-0123456789abcdef", "EfficientNetLite1-0123456789abcdef"):
        network = tmp_path / "engines" / name / "network.xml"
        network.parent.mkdir()
        network.write_bytes(bytes(2000))
    (network.parent / "int8-1").mkdir()
    return tmp_path


@pytest.fixture
def app(home: Path) -> Flask:
    return studios.app_over(home, "garden")


def test_the_parts_of_a_home_are_the_files_in_it(home: Path) -> None:
    sizes = {part.key: part.size_bytes for part in disk_usage.parts(home)}
    sizes.pop("weights", None)  # outside of the home
    files = [path for path in home.rglob("*") if path.is_file()]
    assert sum(sizes.values()) == sum(path.stat().st_size for path in files)
    assert (sizes["compiled"], sizes["outdated"], sizes["networks"]) == (3000, 2000, 2000)


def test_what_is_freed_is_gone_and_nothing_else(app: Flask, home: Path) -> None:
    client = app.test_client()
    assert b"Features of photos" in client.get("/disk").data
    for part in ("features", "exports", "compiled", "outdated"):
        answer = client.post("/disk/free", data={"part": part})
        assert b"were freed" in answer.data
    left = {part.key: part.size_bytes for part in disk_usage.parts(home)}
    assert {"exports", "compiled", "outdated"}.isdisjoint(left)
    assert left["features"] < 100_000
    assert left["networks"] == 2000  # its int8 form cannot be made again without photos
    assert bundles.versions(home, "garden") == [1, 2]


@pytest.mark.parametrize("part", ["", "bundles", "photos", "../studio"])
def test_what_a_person_made_is_not_freed(app: Flask, home: Path, part: str) -> None:
    before = disk_usage.size(home)
    assert app.test_client().post("/disk/free", data={"part": part}).status_code == 404
    assert disk_usage.size(home) == before


def test_a_version_is_removed_unless_it_is_active(app: Flask, home: Path) -> None:
    client = app.test_client()
    answer = client.post("/disk/remove-version", data={"version": "garden@2"})
    assert answer.status_code == 400
    assert b"is active" in answer.data
    assert client.post("/disk/remove-version", data={"version": "garden@x"}).status_code == 400
    answer = client.post("/disk/remove-version", data={"version": "garden@1"})
    assert b"Version 1 of garden is removed." in answer.data
    assert bundles.versions(home, "garden") == [2]
    with pytest.raises(errors.UnknownName):
        bundles.find(home, "garden@1")
