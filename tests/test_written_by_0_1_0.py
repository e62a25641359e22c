"""What Triptych 0.1.0 wrote opens unchanged; `written_by_0_1_0/README.md` says what it is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
import pytest
from click.testing import CliRunner

import triptych
from triptych import bundles
from triptych.cli import main
from triptych.features import FeatureStore
from triptych.studio.jobs import Jobs
from triptych.studio.projects import Projects

WRITTEN = Path(__file__).parent / "written_by_0_1_0"
EXPECTED = json.loads((WRITTEN / "expected.json").read_text())


@pytest.fixture
def home(tmp_path: Path, engines: Path) -> Path:
    """A copy of the home folder; converted networks are those of the other tests."""
    copy = Path(shutil.copytree(WRITTEN / "home", tmp_path / "home"))
    (copy / "engines").symlink_to(engines, target_is_directory=True)
    return copy


@pytest.fixture
def projects(home: Path) -> Projects:
    return Projects(home)


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def listed(*arguments: str | Path) -> list[Any]:
    return [json.loads(line) for line in run(*arguments, "--json").splitlines()]


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def assert_alike(actual: Any, expected: Any) -> None:
    """Assert equality, up to the numerical differences between processors."""
    if isinstance(expected, dict):
        assert set(actual) >= set(expected)
        for name, value in expected.items():
            assert_alike(actual[name], value)
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_alike(one, other)
    else:
        alike = pytest.approx(expected, abs=1e-4) if isinstance(expected, float) else expected
        assert actual == alike


def test_a_bundle_gives_the_same_answers(home: Path) -> None:
    classifier = triptych.load("shapes", precision="f32", home=home)
    for name, expected in EXPECTED["verdicts"].items():
        assert_alike(classifier.classify(WRITTEN / "photos" / name, similar=2).to_dict(), expected)
    assert as_json(classifier.committee.params.to_dict()) == EXPECTED["doubt"]


def test_a_bundle_gives_its_status_reason(home: Path) -> None:
    classifier = triptych.load("shapes", precision="f32", home=home)
    verdict = classifier.classify(WRITTEN / "photos" / "1-rays.png")
    assert verdict.status == "unsure"
    assert verdict.status_reason is not None
    assert verdict.status_reason.code == "too_few_to_promise"
    assert verdict.status_reason.message.startswith("Only 19 photos were answered")
    # 59 - 19 = 40, and of 23 photos 19 were answered.
    missing = bundles.find(home, "shapes").missing_promise
    assert missing is not None
    assert "Add about 49 photos and train again; 17 % of all" in missing


def test_a_bundle_has_the_same_description(home: Path) -> None:
    (facts,) = listed("bundles", "list", "--home", home)
    assert {**facts, **EXPECTED["bundles"], "folder": facts["folder"]} == facts
    bundle = bundles.find(home, "shapes")
    assert bundle.card_texts == EXPECTED["words"]
    assert sorted(bundle.trained_on) == EXPECTED["learned"]
    assert json.loads(run("bundles", "show", "shapes", "--home", home))["metrics"] == json.loads(
        json.dumps(bundle.metrics)
    )
    assert bundle.metrics["committee"]["top1"] == EXPECTED["top1"]
    assert listed("suspects", "shapes", "--home", home) == EXPECTED["suspects"]


def test_a_bundle_with_int8_networks_is_served_and_exported(home: Path, tmp_path: Path) -> None:
    run("bundles", "activate", "shapes@2", "--home", home)  # compares all hashes
    run("bundles", "export", "shapes", tmp_path / "shapes.zip", "--home", home)
    run("bundles", "import", tmp_path / "shapes.zip", "--home", tmp_path / "other")
    for home_folder in (home, tmp_path / "other"):
        verdict = triptych.load("shapes", precision="int8", home=home_folder).classify(
            WRITTEN / "photos" / "1-rays.png"
        )
        assert [member.name for member in verdict.members] == ["TinySmall", "TinyLarge"]
        expected = EXPECTED["verdicts"]["1-rays.png"]["verdict"]
        assert (verdict.label.name, verdict.prob) == (
            expected["label"],
            pytest.approx(expected["prob"], abs=0.2),
        )


def test_stored_features_are_used(home: Path) -> None:
    store = FeatureStore(home / "features.sqlite")
    photos = [bytes.fromhex(digest) for digest in EXPECTED["digests"]]
    assert {space.name for space in store.spaces()} == set(EXPECTED["features"])
    for name, expected in EXPECTED["features"].items():
        stored = sorted(store.get(name, photos).items())
        raw = b"".join(photo + vector.tobytes() for photo, vector in stored)
        assert len(stored) == expected["photos"]
        assert hashlib.sha256(raw).hexdigest() == expected["sha256"]
        assert name in run("features", "list", "--home", home)


def test_a_project_opens_unchanged(home: Path, projects: Projects) -> None:
    # Of a project, a photo and a decision more is known by now.
    assert_alike(listed("projects", "list", "--home", home), [EXPECTED["projects"]])
    photos = projects.photos("shapes", excluded=None, limit=-1)
    assert_alike(as_json([dataclasses.asdict(one) for one in photos]), EXPECTED["photos"])
    for photo in photos:
        assert hashlib.sha256(projects.read(photo.digest)).hexdigest() == photo.digest
        assert projects.thumbnail(photo.digest).startswith(b"\xff\xd8")
    history = [dataclasses.asdict(one) for one in projects.history("shapes")]
    assert_alike(as_json(history), EXPECTED["history"])
    assert sorted(projects.confirmed("shapes")) == EXPECTED["confirmed"]


def test_the_inbox_and_jobs_open_unchanged(home: Path, projects: Projects) -> None:
    assert as_json([dataclasses.asdict(one) for one in projects.inbox()]) == EXPECTED["inbox"]
    jobs = Jobs(projects, home)
    # Of a job more is known by now.
    assert_alike(as_json([job.to_dict() for job in jobs.of("shapes")]), EXPECTED["jobs"])


def test_a_project_can_be_edited(projects: Projects) -> None:
    last = next(one for one in projects.history("shapes") if not one.undone)
    assert [one.digest for one in projects.undo("shapes")] == [last.digest]
    (waiting,) = projects.inbox()
    rays = next(label for label in projects.find("shapes").classes if label.name == "rays")
    projects.settle({waiting.id: rays.id}, "shapes")
    assert projects.photo("shapes", waiting.digest).class_id == rays.id
    assert projects.inbox() == []


def test_a_stored_fit_is_used(home: Path) -> None:
    committee = triptych.load("lite", precision="f32", home=home).committee
    assert as_json(committee.params.to_dict()) == EXPECTED["fit"]


def test_a_stopped_batch_run_resumes(home: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(WRITTEN / "answers", tmp_path / "answers"))
    first = out / "part-000000000.parquet"
    before = first.read_bytes()
    # Those that were answered are gone: nobody needs them again.
    for name in ("2-tiles.png", "3-discs.png"):
        photo = (WRITTEN / "photos" / name).read_bytes()
        fsspec.filesystem("memory").pipe_file(f"/written/photos/{name}", photo)
    options = ("--committee", "shapes", "--precision", "f32", "--similar", "1", "--home", home)
    run("classify", "memory://written/photos", "--out", out, *options)
    assert first.read_bytes() == before
    rows = [
        row
        for part in sorted(out.glob("*.parquet"))
        for row in pyarrow.parquet.read_table(part).to_pylist()
    ]
    assert_alike(rows, EXPECTED["answers"])
