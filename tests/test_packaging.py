"""The wheel: what it needs, how large that is, and that it serves a photo on its own."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support import imagenet_drawings
from support.image_formats import encode
from support.images import picture

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# The base installation, and an environment that only serves bundles, which needs no more.
# Of it, 185 MB are OpenVINO, 71 MB NumPy, and 34 MB the languages of the world in Babel.
LIMIT_MB = 425
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network: Hatchling is among the tests' requirements."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def new_environment(folder: Path, python: str | Path = sys.executable) -> Path:
    """An empty virtual environment; gives its interpreter."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


def install(interpreter: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "--quiet", "install"]
    return subprocess.run([*pip, *arguments], capture_output=True, text=True, check=False)


def site_packages(interpreter: Path) -> Path:
    (folder,) = interpreter.parent.parent.glob("lib/python3.*/site-packages")
    return folder


def needed(distribution: Distribution) -> Iterable[Distribution]:
    """The distributions that one requires here, without extras, directly and indirectly."""
    waiting = [(Requirement(text), "") for text in distribution.requires or ()]
    distributions: dict[tuple[str, str], Distribution] = {}
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in ("", *requirement.extras):
            if (requirement.name, wanted) not in distributions:
                distributions[requirement.name, wanted] = importlib.metadata.distribution(
                    requirement.name
                )
                texts = distributions[requirement.name, wanted].requires or ()
                waiting += [(Requirement(text), wanted) for text in texts]
    return distributions.values()


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that can import only the wheel and its declared requirements."""
    interpreter = new_environment(tmp_path_factory.mktemp("bare") / "venv")
    ran = install(interpreter, "--no-deps", "--no-index", wheel)
    assert ran.returncode == 0, ran.stderr
    site = site_packages(interpreter)
    (triptych,) = importlib.metadata.distributions(path=[str(site)])
    for distribution in needed(triptych):
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            target = Path(str(distribution.locate_file(top)))
            if target.exists() and not (site / top).exists():
                (site / top).symlink_to(target)
    return interpreter


def verdict_of_server(interpreter: Path, home: Path) -> dict[str, object]:
    """The verdict of an environment's `triptych serve` on a drawing of a traffic light."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith(("TRIPTYCH_", "KERAS_"))
    }
    server = subprocess.Popen(
        [interpreter.parent / "triptych", "serve", "--port", "0", "--home", home],
        env=environment,
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            assert server.stderr is not None
            lines = []
            for line in server.stderr:
                lines.append(line)
                if "http://" in line:
                    break
            assert "http://" in lines[-1], "".join(lines)
            address = next(word for word in lines[-1].split() if word.startswith("http://"))
            request = urllib.request.Request(
                f"{address}api/v1/classify",
                encode(imagenet_drawings.traffic_light(), "PNG"),
                {"Content-Type": "image/png"},
            )
            with urllib.request.urlopen(request) as response:
                return dict(json.load(response)["results"][0]["verdict"])
        finally:
            server.terminate()


def test_the_base_installation_is_small(bare: Path) -> None:
    site = site_packages(bare)
    sizes = {
        path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if path.is_dir()
        else path.stat().st_size
        for path in site.iterdir()
    }
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert sum(sizes.values()) < LIMIT_MB * 1e6, largest


def test_it_serves_a_photo_with_only_what_it_declares_to_need(bare: Path, tmp_path: Path) -> None:
    for package in ("keras", "scipy", "sklearn", "tensorflow"):
        ran = subprocess.run(
            [bare, "-I", "-c", f"import {package}"], capture_output=True, check=False
        )
        assert b"ModuleNotFoundError" in ran.stderr
    assert verdict_of_server(bare, tmp_path)["label"] == "traffic light"


def test_it_answers_from_a_bundle_that_was_trained_elsewhere(bare: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "written_by_0_1_0" / "home", tmp_path / "home")
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture(format="PNG"))
    arguments = ["classify", photo, "--committee", "shapes", "--home", tmp_path / "home", "--json"]
    ran = subprocess.run(
        [bare, "-I", "-m", "triptych", *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["members"]


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["fit", "."], "teach"),
        (["train", ".", "--name", "garden"], "teach"),
        (["classify", ".", "--members", "ResNet50", "--weights", "random"], "keras"),
        (["optimize", "lite", "--images", "."], "int8"),
    ],
)
def test_commands_name_their_missing_extra(
    bare: Path, tmp_path: Path, command: list[str], extra: str
) -> None:
    ran = subprocess.run(
        [bare, "-I", "-m", "triptych", *command],
        cwd=tmp_path,
        env={**os.environ, "TRIPTYCH_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert f'Install what is missing with: pip install "triptych[{extra}]"' in ran.stderr


def interpreter_of(version: str) -> str | None:
    """A Python of that version on this machine: on the path, or installed by pyenv."""
    pyenv_versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [f"python{version}", *sorted(map(str, pyenv_versions.glob(f"{version}.*/bin/python")))]
    for name in names:
        command = [name, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            continue
        if ran.stdout.strip() == version:
            return name
    return None


@pytest.mark.thorough
@pytest.mark.network
@pytest.mark.parametrize("version", PYTHONS)
def test_it_installs_from_a_registry_and_serves_a_photo(
    wheel: Path, tmp_path: Path, version: str
) -> None:
    python = interpreter_of(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    interpreter = new_environment(tmp_path / "venv", python)
    if install(interpreter, "--dry-run", "--retries", "0", "--timeout", "10", "click").returncode:
        pytest.skip("no package registry can be reached")
    ran = install(interpreter, wheel)
    assert ran.returncode == 0, ran.stderr
    assert verdict_of_server(interpreter, tmp_path)["label"] == "traffic light"
