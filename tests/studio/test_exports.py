"""Exports that people start in the studio run one at a time, and can be stopped."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support import bundles as small
from triptych import errors
from triptych.exports import formats
from triptych.studio.exports import ExportJob
from triptych.studio.exports import Exports

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Path:
    small.write_runnable(tmp_path)
    return tmp_path


def wait_until(exports: Exports, holds: Callable[[ExportJob], bool]) -> ExportJob:
    pause = threading.Event()
    while True:
        job = exports.latest("tiny")
        assert job
        if holds(job):
            return job
        pause.wait(0.02)


def test_an_export_is_compared_packed_and_kept(home: Path) -> None:
    exports = Exports(home)
    exports.start("tiny", 1, "openvino")
    job = wait_until(exports, lambda job: not job.is_under_way)
    assert job.state == "done"
    assert "all verdicts the same" in job.said

    (file,) = Exports(home).files("tiny")  # those of an earlier studio, too
    assert file.name == job.file == "tiny-1-openvino.zip"
    assert file.comparison == job.said
    with zipfile.ZipFile(exports.find("tiny", file.name)) as archive:
        assert sorted(archive.namelist()) == [
            *("README.md", "classify.py", "labels.txt", "tiny.bin", "tiny.xml")
        ]
    exports.remove("tiny", file.name)
    assert exports.files("tiny") == []
    with pytest.raises(errors.UnknownName, match="There is no export"):
        exports.find("tiny", file.name)


def test_one_runs_at_a_time_and_stopped_it_leaves_nothing(home: Path) -> None:
    exports = Exports(home)
    exports.start("tiny", 1, "openvino")
    with pytest.raises(errors.Busy, match="under way for tiny; one runs at a time"):
        exports.start("tiny", 1, "openvino")
    exports.stop("tiny")
    assert exports.latest("tiny").state == "stopped"
    exports.close()
    assert exports.latest("tiny").state == "stopped"
    assert [path.name for path in (home / "studio" / "exports" / "tiny").iterdir()] == []
    exports.start("tiny", 1, "openvino")
    exports.close()


def test_what_fails_says_why_without_paths(home: Path) -> None:
    exports = Exports(home)
    exports.start("tiny", 1, "openvino", "int8")
    job = wait_until(exports, lambda job: not job.is_under_way)
    assert job.state == "failed"
    assert "tiny has no int8 networks yet" in job.said
    assert str(home) not in job.said


@pytest.mark.parametrize(
    ("version", "form", "precision", "message"),
    [
        (7, "openvino", "f32", "There is no committee .tiny@7"),
        (1, "coreml", "f32", "There is no format 'coreml'"),
        (1, "openvino", "int4", "There is no precision 'int4'"),
    ],
)
def test_what_does_not_exist_is_refused_at_once(
    home: Path, version: int, form: str, precision: str, message: str
) -> None:
    with pytest.raises(errors.TriptychError, match=message):
        Exports(home).start("tiny", version, form, precision)
    assert set(formats.FORMATS) >= {"openvino", "litert", "savedmodel", "keras"}
