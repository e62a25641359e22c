"""A committee as a page in one file: what is in it, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.bundles import RUNNABLE_CLASSES
from support.bundles import rename_classes
from support.bundles import write_runnable
from triptych import errors
from triptych.bundles import loading
from triptych.cli import main
from triptych.engines.options import EngineOptions
from triptych.exports import exporting
from triptych.exports import html_page
from triptych.exports import onnxruntime_web

pytest.importorskip("onnx")

EVIL = '</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_runnable(home)
    rename_classes(home, EVIL, *RUNNABLE_CLASSES[1:])
    return home


def fake_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_web, "read", lambda home: (b"script", b"wasm"))


def test_nothing_in_a_name_ends_an_element(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_runtime(monkeypatch)
    done = exporting.export("tiny", tmp_path / "tiny.html", EngineOptions(home))
    text = done.files[0].read_text()
    assert EVIL not in text
    assert text.count("</script>") == 6
    (about,) = re.findall(r'id="metadata">(.*?)</script>', text)
    assert json.loads(about)["labels"][0]["name"] == EVIL
    assert "default-src 'none'" in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert [file.name for file in done.files] == ["tiny.html", "README.md", "labels.txt"]
    assert html_page.model_of(done.files[0])[:1] == b"\x08"  # the first field of an ONNX file
    assert done.comparison.verdicts == 0


def test_the_runtime_is_the_one_that_was_tested_or_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "onnxruntime-web-1.30.0.tgz"
    other.write_bytes(b"something else")
    command = ["export", "tiny", str(tmp_path / "tiny.html"), "--home", str(tmp_path / "none")]
    ran = CliRunner().invoke(main, [*command, "--onnxruntime-web", str(other)])
    assert ran.exit_code == 1
    assert "is not onnxruntime-web 1.30.0: its hash is sha512-" in ran.stderr

    empty = tmp_path / "empty"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.SettingError, match=r"npm is not installed\. Fetch it on another"):
        onnxruntime_web.read(empty)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(errors.SettingError, match="npm cannot fetch it: npm error code ENOTFOUND"):
        onnxruntime_web.read(empty)
    npm.write_text(f"#!/bin/sh\n{shutil.which('cp', path=os.defpath)} {other} .\n")
    with pytest.raises(errors.SourceError, match="its hash is sha512-"):
        onnxruntime_web.read(empty)
    assert [path.name for path in (empty / "runtimes").iterdir()] == []
    folder = tmp_path / "kept" / "runtimes"
    folder.mkdir(parents=True)
    shutil.copy(other, folder)
    with pytest.raises(errors.SourceError, match=r"npm pack onnxruntime-web@1\.30\.0"):
        onnxruntime_web.read(tmp_path / "kept")


def test_a_page_takes_the_quantized_networks_where_there_are_some(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_runtime(monkeypatch)
    wanted = []
    load = loading.load_committee

    def record(name: str, options: EngineOptions, **how: Any) -> Any:
        wanted.append(options.precision)
        return load(name, options, **how)

    monkeypatch.setattr(loading, "load_committee", record)
    exporting.export("tiny", tmp_path / "tiny.html", EngineOptions(home))
    assert wanted == ["int8", "f32"]  # it has none
    with pytest.raises(errors.SettingError, match="triptych optimize tiny"):
        exporting.export("tiny", tmp_path / "b.html", EngineOptions(home, precision="int8"))


def test_a_file_that_is_no_page_has_no_model(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text("<p>Hello")
    with pytest.raises(errors.SourceError, match="is no page that Triptych exported"):
        html_page.model_of(tmp_path / "other.html")
