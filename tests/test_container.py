"""The parts of a container that can be tested without one; `tools/try_container.py` does all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support import studios

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PARTS = ROOT / "container"


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text()
    return set(re.findall(r"^\S+==\S+", text, re.M))


def test_serving_requirements_have_the_studios_versions() -> None:
    names = {pin.split("==")[0] for pin in pins("serve.txt")}
    assert pins("serve.txt") < pins("run.txt")
    assert {"openvino", "flask", "gevent", "pillow-heif"} <= names
    assert not names & {"matplotlib", "scikit-learn", "tensorflow", "tensorflow-cpu"}


def test_copied_files_are_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    let_in = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M))
    for path in " ".join(copied).split():
        assert (ROOT / path).exists()
        assert path.split("/")[0] in let_in


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The files of the image, with a studio that only prints its arguments."""
    folder = tmp_path / "image"
    (folder / "home" / "engines" / "new-network").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "triptych").write_text('#!/bin/sh\necho "$@"\n')
    (folder / "bin" / "triptych").chmod(0o755)
    (folder / "start").write_bytes((PARTS / "start").read_bytes())
    (folder / "start").chmod(0o755)
    return folder


def test_start_links_the_networks_of_the_image(image: Path, tmp_path: Path) -> None:
    home = tmp_path / "volume"
    # As an older image and a person left it.
    (home / "engines" / "own-network").mkdir(parents=True)
    (home / "engines" / "old-network").symlink_to(tmp_path / "gone")
    for _ in range(2):
        ran = subprocess.run(
            [image / "start", "serve", "--port", "80"],
            env={**os.environ, "TRIPTYCH_HOME": str(home)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout == "serve --port 80\n"
        assert (home / "engines" / "own-network").is_dir()
        assert (home / "engines" / "new-network").resolve() == image / "home/engines/new-network"
        assert list((image / "home" / "engines" / "new-network").iterdir()) == []


def healthy(port: int | None) -> bool:
    ran = subprocess.run(
        [sys.executable, PARTS / "healthy.py"],
        env={**os.environ, "TRIPTYCH_PORT": str(port)},
        capture_output=True,
        check=False,
    )
    return ran.returncode == 0


def test_the_health_check_follows_readyz() -> None:
    with studios.fake_studio() as (process, address):
        port = urlsplit(address).port
        assert healthy(port)
        process.terminate()
        process.wait()
        assert not healthy(port)
