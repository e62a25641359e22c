"""Millions of photos: one row for each photo, whatever is stopped, killed or repeated."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

import triptych
from support import studios
from support.bundles import write_runnable
from support.images import squares
from triptych import batch
from triptych import bundles
from triptych import errors
from triptych.batch import plan as planning
from triptych.batch import shards
from triptych.batch.preprocess import Preprocessor
from triptych.cli import main
from triptych.results import Failure
from triptych.results import Guess
from triptych.results import Label
from triptych.results import Prediction
from triptych.results import PredictionSet
from triptych.results import Similar
from triptych.results import Timing
from triptych.results import Verdict
from triptych.utils import storage
from triptych.workers.classifier import WorkerClassifier
from triptych.workers.pool import WorkerPool

MANIFEST = batch.Manifest({"committee": "garden"}, similar=2)


def put(folder: Path, count: int) -> Path:
    """Photos in two folders, and a text file named like a photo."""
    (folder / "more").mkdir(parents=True)
    for number in range(count - 1):
        target = folder / "more" if number % 3 else folder
        (target / f"{number:04}.png").write_bytes(squares(number))
    (folder / "liar.jpg").write_bytes(b"just text")
    (folder / "notes.txt").write_bytes(b"not a photo")
    return folder


def listed(folder: Path) -> list[str]:
    """The photos in a folder, in the order of a plan."""
    return [path for path in storage.walk(str(folder)) if not path.endswith(".txt")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return put(tmp_path / "photos", 23)


def prepare(
    out: str | Path, *sources: Path | str, rows: int | None = 5, **options: Any
) -> batch.BatchPlan:
    manifest = {**MANIFEST.to_dict(), **options}
    return batch.prepare(
        str(out), [str(source) for source in sources], manifest, rows_per_file=rows
    )


def run(plan: batch.BatchPlan, *, chunks: int | None = None) -> list[batch.Shard]:
    """Classify the remaining chunks, or a number of them."""
    done = batch.classify(studios.fake_classifier(studios.GARDEN), plan, MANIFEST)
    return list(itertools.islice(done, chunks))


def rows(out: str | Path) -> list[dict[str, Any]]:
    """All answers as JSON, without their timing."""
    stored = [
        row for number in sorted(shards.numbers(str(out))) for row in shards.read(str(out), number)
    ]
    return [{key: value for key, value in row.items() if key != "timing"} for row in stored]


def expected(sources: list[str]) -> list[dict[str, Any]]:
    garden = studios.fake_classifier(studios.GARDEN)
    answers = garden.classify_many(((source, source) for source in sources), MANIFEST.options)
    return [{k: v for k, v in answer.to_dict().items() if k != "timing"} for answer in answers]


# ------------------------------------------------------------------ rows

text = st.text(max_size=8)
prob = st.floats(0, 1)
guess = st.builds(Guess, st.builds(Label, text, text, st.integers(0, 2**31 - 1)), prob)
guesses = st.lists(guess, min_size=1, max_size=3).map(tuple)
similar = st.builds(Similar, text, st.builds(Label, text, text, st.just(0)), st.floats(0, 2))
ms = st.floats(0, 1e6)
verdict = st.builds(
    Verdict,
    source=text,
    rule=text,
    top=guesses,
    members=st.lists(st.builds(Prediction, text, guesses), min_size=1, max_size=3).map(tuple),
    timing=st.builds(Timing, ms, ms, st.dictionaries(text, ms, max_size=3), ms),
    warning=st.none() | text,
    status=st.none() | text,
    prediction_set=st.none() | st.builds(PredictionSet, prob, guesses),
    novelty=st.none() | prob,
    skipped=st.lists(text, max_size=2).map(tuple),
    reason=st.none() | text,
    similar=st.lists(similar, max_size=2).map(tuple),
)
failure = st.builds(Failure, text, text.filter(bool), text)


@given(st.lists(verdict | failure, min_size=1, max_size=5))
def test_rows_are_the_json_form_to_the_bit(answers: list[Verdict | Failure]) -> None:
    shards.write("memory://rows", 0, answers)
    assert shards.read("memory://rows", 0) == [answer.to_dict() for answer in answers]


def test_a_damaged_part_is_named() -> None:
    storage.write(shards.location("memory://damaged", 0), b"PAR1 and no more")
    with pytest.raises(errors.StateError, match="Parquet file is damaged"):
        shards.read("memory://damaged", 0)


# ------------------------------------------------------------------ runs


def test_each_photo_has_a_row_with_the_fields_of_classify(photos: Path, tmp_path: Path) -> None:
    plan = prepare(tmp_path / "out", photos)
    assert (plan.photos, len(plan.answered), plan.remaining_photos) == (23, 5, 23)
    done = run(plan)
    assert [(part.number, part.photos) for part in done] == [(0, 5), (1, 5), (2, 5), (3, 5), (4, 3)]
    assert sum(part.failed for part in done) == 1
    assert rows(plan.out) == expected(listed(photos))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["_plan", *(f"part-{number:09}.parquet" for number in range(5))]


def test_pyarrow_reads_the_folder_as_one_table(photos: Path, tmp_path: Path) -> None:
    import pyarrow.dataset

    run(prepare(tmp_path / "out", photos))
    table = pyarrow.dataset.dataset(tmp_path / "out").to_table()
    assert table.num_rows == 23
    assert table["verdict"].combine_chunks().field("label").null_count == 1
    assert table["error"].combine_chunks().field("code").drop_null().to_pylist() == ["not_an_image"]


def test_a_stopped_run_resumes_without_repeating_photos(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(prepare(out, photos), chunks=2)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert len(before) == 2
    again = prepare(out, photos, rows=None)
    assert again.remaining_photos == 13
    assert [part.number for part in run(again)] == [2, 3, 4]
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert rows(out) == expected([row["source"] for row in rows(out)])
    assert run(prepare(out, photos)) == []


def test_a_chunk_that_is_repeated_gives_the_same_rows(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(prepare(out, photos))
    before = rows(out)
    (out / "part-000000003.parquet").unlink()
    (out / "part-000000004.parquet").unlink()
    again = prepare(out, photos)
    assert again.remaining_photos == 8
    run(again)
    assert rows(out) == before


def test_photos_added_or_removed_later_do_not_change_the_plan(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(prepare(out, photos), chunks=1)
    (photos / "0000a.png").write_bytes(squares(99))
    (photos / "more" / "0001.png").unlink()
    run(prepare(out, photos))
    written = rows(out)
    assert len(written) == 23
    assert {row["error"]["code"] for row in written if "error" in row} == {"source", "not_an_image"}


def test_a_plan_of_many_pages_has_each_photo_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CHUNKS_PER_PAGE", 2)
    plan = prepare(tmp_path / "out", photos)
    assert list(plan.pages) == [0, 1, 2]
    assert [chunk.number for chunk in plan.remaining()] == [0, 1, 2, 3, 4]
    planned = [source for chunk in plan.remaining() for source in chunk.sources]
    assert planned == listed(photos)
    run(plan, chunks=3)
    again = prepare(tmp_path / "out", photos)
    assert list(again.pages) == [1, 2]
    assert [chunk.number for chunk in again.remaining()] == [3, 4]


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_photos_and_answers_may_be_at_urls(scheme: str, photos: Path, tmp_path: Path) -> None:
    if scheme == "file":
        source, out = f"file://{photos}", f"file://{tmp_path}/out"
    else:
        source, out = (f"memory://{uuid.uuid4().hex}/{name}" for name in ("photos", "out"))
        for path in storage.walk(str(photos)):
            url = storage.join(source, *Path(path).relative_to(photos).parts)
            storage.write(url, Path(path).read_bytes())
    run(prepare(out, source), chunks=3)
    run(prepare(out, source))
    written = rows(out)
    assert len(written) == 23
    assert all(row["source"].startswith(source) for row in written)
    run(prepare(tmp_path / "local", photos))
    bare = [{**row, "source": Path(row["source"]).name} for row in written]
    assert bare == [{**row, "source": Path(row["source"]).name} for row in rows(tmp_path / "local")]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take text only")
def test_a_file_name_that_is_not_valid_text_has_its_row(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (Path(os.fsdecode(bytes(folder) + b"/a\xff.png"))).write_bytes(squares(1))
    run(prepare(tmp_path / "out", folder))
    (row,) = rows(tmp_path / "out")
    assert row["source"].endswith("/a?.png")
    assert row["verdict"]["label"]


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": 5}, "top: 3 there, 5 now"),
        ({"digest": "another"}, "digest: '' there, 'another' now"),
        ({"rows": 6}, "rows_per_file: 5 there, 6 now"),
    ],
)
def test_a_run_with_other_options_is_refused(
    change: dict[str, Any], message: str, photos: Path, tmp_path: Path
) -> None:
    run(prepare(tmp_path / "out", photos), chunks=1)
    with pytest.raises(errors.SettingError, match=f"another run .*{message}"):
        prepare(tmp_path / "out", photos, **change)


def test_a_run_with_other_photos_is_refused(photos: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "out", photos)
    with pytest.raises(errors.SettingError, match=r"sources: .* Use the same photos and options"):
        prepare(tmp_path / "out", photos / "more")


def test_a_folder_of_answers_without_a_plan_is_refused(photos: Path, tmp_path: Path) -> None:
    run(prepare(tmp_path / "out", photos))
    (tmp_path / "out" / "_plan" / "about.json").unlink()
    with pytest.raises(errors.SettingError, match="holds answers, but no plan"):
        prepare(tmp_path / "out", photos)


def test_an_unfinished_plan_is_made_again(photos: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "out", photos)
    (tmp_path / "out" / "_plan" / "about.json").unlink()
    (photos / "new.png").write_bytes(squares(99))
    assert prepare(tmp_path / "out", photos).photos == 24


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 99}', "plan.schema is 99; expected"),
        ('{"schema": 1, "photos": 3, "rows_per_file": 2}', "plan.asked is missing"),
        ("{", "is not JSON"),
    ],
)
def test_a_damaged_plan_is_named(text: str, message: str, photos: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "out", photos)
    (tmp_path / "out" / "_plan" / "about.json").write_text(text)
    with pytest.raises(errors.StateError, match=rf"about.json.*{message}.* It is damaged"):
        prepare(tmp_path / "out", photos)


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_a_folder_without_photos_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.SourceError, match="expected a folder"):
        prepare(tmp_path / "out", tmp_path / name)


# ------------------------------------------------------------------ photos cut elsewhere


def test_preprocessed_photos_have_the_same_answers(photos: Path) -> None:
    sources = listed(photos)
    garden = studios.fake_classifier(studios.GARDEN)
    limits = {f"max_image_{what}": 10**6 for what in ("bytes", "pixels")}
    manifest = batch.Manifest(limits, fit="square", similar=2)
    question = manifest.options
    preprocessor = Preprocessor.of(garden, manifest)
    sent = preprocessor.pack([preprocessor.crop(source) for source in sources])
    cuts = list(preprocessor.unpack(sent))
    assert [cut.source for cut in cuts] == sources
    good = [cut for cut in cuts if not isinstance(cut, Failure)]
    answers = garden.classify_many(((cut.source, cut) for cut in good), question)
    plain = garden.classify_many(((source, source) for source in sources), question)
    for answer, other in zip(
        answers, (each for each in plain if isinstance(each, Verdict)), strict=True
    ):
        assert {**answer.to_dict(), "timing": 0} == {**other.to_dict(), "timing": 0}
    (lost,) = (cut for cut in cuts if isinstance(cut, Failure))
    assert (lost.source, lost.code) == (str(photos / "liar.jpg"), "not_an_image")


# ------------------------------------------------------------------ the command


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["classify", *arguments], catch_exceptions=False)


def test_a_committee_at_a_url_is_identified_by_its_hash(photos: Path, tmp_path: Path) -> None:
    bundle = write_runnable(tmp_path / "home")
    url = f"memory://{uuid.uuid4().hex}/tiny.zip"
    exact = bundles.upload(bundle, url)
    out, home = tmp_path / "out", tmp_path / "another"
    manifest = ["--committee", url, "--home", str(home), "--precision", "f32"]
    assert command(str(photos), *manifest, "--out", str(out)).exit_code == 0
    options = json.loads((out / "_plan" / "about.json").read_text())["asked"]
    assert options["committee"] == exact
    assert len(rows(out)) == 23


@pytest.fixture
def garden(photos: Path, tmp_path: Path) -> list[str]:
    """Arguments that classify photos with a small, fast bundle."""
    write_runnable(tmp_path / "home")
    out = str(tmp_path / "out")
    manifest = [str(photos), "--committee", "tiny", "--home", str(tmp_path / "home")]
    return [*manifest, "--out", out, "--rows-per-file", "4", "--precision", "f32"]


def test_the_command_writes_and_a_photo_that_failed_is_a_row(
    garden: list[str], tmp_path: Path
) -> None:
    ran = command(*garden)
    assert ran.exit_code == 0, ran.output
    assert "23 photos found." in ran.stderr
    assert "22 classified, 1 failed" in ran.stderr
    about = json.loads((tmp_path / "out" / "_plan" / "about.json").read_text())
    options = about["asked"]
    assert (options["committee"], options["precision"], options["rule"]) == (
        "tiny@1",
        "f32",
        "cascade",
    )
    lines = command(*garden[:-6], "--precision", "f32", "--json").stdout.splitlines()
    plain = [json.loads(line) for line in lines]
    for row in plain:
        row.pop("timing", None)
    assert sorted(rows(tmp_path / "out"), key=str) == sorted(plain, key=str)
    again = command(*garden)
    assert again.exit_code == 0
    assert "23 of 23 photos already have answers." in again.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="processes inherit connections")
def test_worker_processes_write_the_same_rows_also_when_they_are_killed(
    garden: list[str], photos: Path, tmp_path: Path
) -> None:
    assert command(*garden, "--workers", "1").exit_code == 0
    options: dict[str, Any] = {"precision": "f32", "home": tmp_path / "home"}
    manifest = batch.Manifest({"committee": "tiny"})
    plan = batch.prepare(str(tmp_path / "there"), [str(photos)], {}, rows_per_file=4)
    with WorkerPool(2) as pool:
        classifier = triptych.load("tiny", pool=pool, **options)
        assert isinstance(classifier, WorkerClassifier)
        for part in batch.classify(classifier, plan, manifest):
            if part.number in (1, 3):
                os.kill(pool.process_ids[-1], signal.SIGKILL)
    assert rows(tmp_path / "there") == rows(tmp_path / "out")
    ran = command(*garden[:-6], "--out", str(tmp_path / "two"), *garden[-4:], "--workers", "2")
    assert ran.exit_code == 0, ran.output
    assert rows(tmp_path / "two") == rows(tmp_path / "out")


def test_a_new_version_of_the_committee_is_refused(garden: list[str], tmp_path: Path) -> None:
    command(*garden)
    write_runnable(tmp_path / "home")
    ran = command(*garden)
    assert ran.exit_code == 2
    assert "committee: 'tiny@1' there, 'tiny@2' now" in ran.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes(stop: signal.Signals, garden: list[str], tmp_path: Path) -> None:
    put(tmp_path / "photos" / "many", 600)
    out = tmp_path / "out"
    words = [sys.executable, "-m", "triptych", "classify", *garden]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        while not list(out.glob("part-*")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.001)
        process.send_signal(stop)
        assert process.stderr
        stderr = process.stderr.read()
    assert "Traceback" not in stderr
    if stop == signal.SIGINT:
        assert "Stopped. Answers so far are kept; the same command resumes." in stderr
        assert process.returncode == 1
    assert 0 < len(list(out.glob("part-*"))) < 156
    assert command(*garden).exit_code == 0
    sources = [row["source"] for row in rows(out)]
    assert len(sources) == len(set(sources)) == 623


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "o", "--json"], "cannot be combined with --json"),
        (["--out", "o", "--csv"], "cannot be combined with --csv"),
        (["--out", "o", "--explain", "why.png"], "cannot be combined with --explain"),
        (["--out", "o", "-"], "not - (standard input)"),
        (["--rows-per-file", "9"], "--rows-per-file needs --out"),
        (["s3://bucket/photos"], "Photos at URLs need --out"),
    ],
)
def test_contradictory_options_are_refused(arguments: list[str], message: str) -> None:
    ran = command("a.jpg", *arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_without_pyarrow_it_says_what_to_install() -> None:
    probe = (
        "import sys; sys.modules['pyarrow'] = None; from triptych.cli import main\n"
        "main(['classify', 'photos', '--out', 'answers'])"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert 'pip install "triptych[storage]"' in ran.stderr
