"""The programs beside an ONNX file in JavaScript and C++, run as people run them.

What they need comes from the registries: onnxruntime-web and sharp from npm; the headers of
onnxruntime for C++ from a package for Unity, which has those of its release, and the library from
the Python package.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from PIL import ImageCms

from support.bundles import write_multilabel
from support.bundles import write_runnable
from triptych.bundles import loading
from triptych.engines.options import EngineOptions
from triptych.exports import checking
from triptych.exports import exporting
from triptych.exports import onnxruntime_web
from triptych.inference.classifier import Classifier

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

pytestmark = [pytest.mark.network, pytest.mark.thorough]

HEADERS = "com.github.asus4.onnxruntime@0.4.9"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_runnable(home)
    write_multilabel(home)
    return home


@pytest.fixture(scope="module", params=["tiny", "bowls"])
def name(request: pytest.FixtureRequest) -> str:
    """A committee with one class a photo, and one with any number."""
    return str(request.param)


@pytest.fixture(scope="module")
def folder(home: Path, name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export, and photos in all turns, one of them so large that it is decoded smaller."""
    folder = tmp_path_factory.mktemp("export")
    exporting.export(name, folder / "tiny.onnx", EngineOptions(home))
    drawn = checking.draw_photos()
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(drawn[0]).save(folder / f"turn-{turn}.jpg", exif=exif)
    Image.fromarray(drawn[9]).save(folder / "large.jpg", quality=95)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(drawn[2]).save(folder / "profile.jpg", icc_profile=profile)
    return folder


def photos(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


@pytest.fixture(scope="module")
def classifier(home: Path, name: str) -> Classifier:
    return loading.load_classifier(name, EngineOptions(home, precision="f32"))


def from_npm(folder: Path, *command: str) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    ran = subprocess.run(
        ["npm", *command, "--silent"], cwd=folder, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        pytest.skip(f"npm: {(ran.stderr or ran.stdout)[:200]}")


def test_the_program_in_javascript(folder: Path, classifier: Classifier) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    from_npm(folder, "install", f"onnxruntime-web@{onnxruntime_web.VERSION}", "sharp@0.34")
    command = ["node", "classify.mjs", *photos(folder)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [answer["photo"] for answer in answers] == photos(folder)
    for answer in answers:
        verdict = classifier.classify(folder / answer["photo"])
        assert answer["status"] == verdict.status
        if verdict.labels is not None:
            assert answer["labels"] == [
                {"label": guess.label.name, "prob": pytest.approx(guess.prob, abs=1e-3)}
                for guess in verdict.labels
            ]
            continue
        assert answer["label"] == verdict.label.name
        assert answer["prob"] == pytest.approx(verdict.prob, abs=1e-3)
        assert verdict.prediction_set
        assert set(answer["set"]) == {one.label.name for one in verdict.prediction_set.guesses}


def test_the_program_in_cpp(folder: Path, classifier: Classifier, tmp_path: Path) -> None:
    if shutil.which("g++") is None or not Path("/usr/include/jpeglib.h").exists():
        pytest.skip("g++ or libjpeg's headers are not installed")
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (tmp_path / name).symlink_to(library)
    from_npm(tmp_path, "pack", HEADERS)
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        headers = [
            name for name in archive.getnames() if "/ios-arm64/" in name and "/Headers/" in name
        ]
        archive.extractall(tmp_path, headers, filter="data")
    include = next(tmp_path.rglob("onnxruntime_cxx_api.h")).parent
    command = ["g++", "-std=c++17", "-O1", "-I", include, "classify.cpp", "-L", tmp_path]
    subprocess.run([*command, "-lonnxruntime", "-ljpeg", "-o", "classify"], cwd=folder, check=True)
    ran = subprocess.run(
        ["./classify", *photos(folder)],
        cwd=folder,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [row[0] for row in rows] == photos(folder)
    for name, *answer in rows:
        verdict = classifier.classify(folder / name)
        if verdict.labels is not None:
            status, *named = answer
            assert status == (verdict.status or "not promised")
            assert named[::2] == [
                label.name
                for label in classifier.committee.labels
                if label in {guess.label for guess in verdict.labels}
            ]
            probs = sorted(map(float, named[1::2]), reverse=True)
            assert probs == pytest.approx([guess.prob for guess in verdict.labels], abs=1e-3)
            continue
        label, prob, status, *named = answer
        assert label == verdict.label.name
        assert float(prob) == pytest.approx(verdict.prob, abs=1e-3)
        assert status == verdict.status
        assert verdict.prediction_set
        assert set(named) == {one.label.name for one in verdict.prediction_set.guesses}
    broken = folder / "notes.txt"
    broken.write_text("no photo")
    ran = subprocess.run(
        ["./classify", broken.name],
        cwd=folder,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "notes.txt: Not a JPEG file" in ran.stderr
