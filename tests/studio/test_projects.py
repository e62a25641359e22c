"""The store of projects: nothing confirmed is lost, originals are never changed."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from support import tiff_writer
from support.images import picture
from support.images import plain_image
from support.images import squares
from triptych import data as triptych_data
from triptych import errors
from triptych.cli import main
from triptych.studio import sample_images
from triptych.studio.projects import ALL
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import Database
from triptych.studio.projects import Project
from triptych.studio.projects import ProjectPhoto
from triptych.studio.projects import Projects
from triptych.studio.projects import inbox
from triptych.studio.projects import photo_store
from triptych.studio.projects.migrations import MIGRATIONS

OLDEST = Path(__file__).parent / "studio-1.sql"
SMALL = (12, 16)

# Adds photos and decides about them, and says what was confirmed, until it is killed.
WORKER = f"""
import sys
from pathlib import Path
from support.images import picture
from triptych.studio.projects import Projects
home, key, start, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
projects = Projects(home)
ants, bees = projects.find(key).classes
print("ready", flush=True)
for seed in range(start, start + count):
    photo = projects.add(key, f"{{seed}}.jpg", picture(seed, size={SMALL}), ants.id)
    print("added", seed, photo.digest, flush=True)
    projects.decide(key, [photo.digest], class_id=bees.id)
    print("moved", seed, photo.digest, flush=True)
"""


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    return Projects(tmp_path)


@pytest.fixture
def garden(projects: Projects) -> Project:
    """Ants and bees, without photos."""
    key = projects.make("My garden").key
    projects.add_class(key, "ants")
    projects.add_class(key, "bees")
    return projects.find(key)


def small(seed: int) -> bytes:
    return picture(seed, size=SMALL)


def add(
    projects: Projects, key: str, seeds: range, class_id: int | None = None
) -> list[ProjectPhoto]:
    return [projects.add(key, f"{seed}.jpg", small(seed), class_id) for seed in seeds]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# Projects and classes


def test_a_key_is_unique_among_projects_bundles_and_pages(
    projects: Projects, tmp_path: Path
) -> None:
    (tmp_path / "bundles" / "garden" / "1").mkdir(parents=True)
    titles = ["Garden", "Garden!", "Inbox", "Lite", "日本", "Käfer & Co.", "x" * 80]
    keys = [projects.make(title).key for title in titles]
    assert keys == ["garden-2", "garden-3", "inbox-2", "lite-2", "project", "kafer-co", "x" * 40]
    assert [project.title for project in projects.all()] == titles[::-1]


@pytest.mark.parametrize(
    ("title", "message"),
    [
        (" \t", "is empty; expected one such as 'my garden'"),
        ("x" * 81, "has 81 letters; expected at most 80"),
        ("a\x1b[2Jb", "letters that cannot be shown: 'a?"),
    ],
)
def test_invalid_titles_are_refused(projects: Projects, title: str, message: str) -> None:
    with pytest.raises(errors.SettingError, match=message):
        projects.make(title)
    assert projects.all() == []


def test_a_new_title_leaves_the_key(projects: Projects, garden: Project) -> None:
    projects.rename(garden.key, "  Roof   terrace ")
    renamed = projects.find(garden.key)
    assert (renamed.key, renamed.title) == ("my-garden", "Roof terrace")


def test_an_unknown_project_is_refused(projects: Projects, garden: Project) -> None:
    with pytest.raises(errors.UnknownName, match="no project 'yard'; expected one of: my-garden"):
        projects.find("yard")
    projects.remove(garden.key)
    with pytest.raises(errors.UnknownName, match="there are no projects yet"):
        projects.find(garden.key)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        ("x" * 61, "61 letters; expected at most 60"),
        ("a/b", "has / in it"),
        ("..", "has dots only"),
        ("\u200d", "is empty"),
        (".hidden", "No folder can be called '.hidden'"),
        ("C:\\x", r"has : \\ in it"),
        ("aux.jpg", "No folder can be called 'aux.jpg'"),
        ("a\u202eb", "letters that cannot be shown"),
        ("Validation", "evaluation photos"),
        (" BEES ", "There is a class 'BEES' already"),
    ],
)
def test_invalid_class_names_are_refused(
    projects: Projects, garden: Project, name: str, message: str
) -> None:
    ants = garden.classes[0]
    with pytest.raises(errors.SettingError, match=message):
        projects.add_class(garden.key, name)
    with pytest.raises(errors.SettingError, match=message):
        projects.rename_class(garden.key, ants.id, name)
    assert projects.find(garden.key) == garden


def test_a_class_can_be_renamed_in_case_only(projects: Projects, garden: Project) -> None:
    ants = garden.classes[0]
    (photo,) = add(projects, garden.key, range(1), ants.id)
    projects.rename_class(garden.key, ants.id, "Ants")
    projects.rename_class(garden.key, ants.id, "Wasps")
    assert projects.find(garden.key).classes[0].name == "Wasps"
    assert projects.photo(garden.key, photo.digest).class_id == ants.id


def test_classes_of_another_project_are_refused(projects: Projects, garden: Project) -> None:
    other = projects.make("Other").key
    (photo,) = add(projects, other, range(1))
    ants = garden.classes[0].id
    with pytest.raises(errors.UnknownName, match="no class of number"):
        projects.add(other, "1.jpg", small(1), ants)
    with pytest.raises(errors.UnknownName, match="no class of number"):
        projects.decide(other, [photo.digest], class_id=ants)
    with pytest.raises(errors.UnknownName, match="no class of number"):
        projects.remove_class(other, ants)
    assert projects.photos(other) == [photo]


# Photos


def test_the_bytes_of_a_photo_are_kept(projects: Projects, garden: Project, tmp_path: Path) -> None:
    data = picture(1, size=(600, 900))
    photo = projects.add(garden.key, "C:\\holiday\\a:b.JPG", data, garden.classes[0].id)
    assert (photo.name, photo.height, photo.width) == ("a_b.JPG", 600, 900)
    assert projects.read(photo.digest) == data
    path = tmp_path / "studio" / "photos" / photo.digest[:2] / photo.digest
    assert path.read_bytes() == data
    thumbnail = Image.open(io.BytesIO(projects.thumbnail(photo.digest)))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (240, 160))


def test_a_lost_thumbnail_is_made_again(
    projects: Projects, garden: Project, tmp_path: Path
) -> None:
    (photo,) = add(projects, garden.key, range(1))
    (path,) = files_below(tmp_path / "studio" / "thumbs")
    drawn = path.read_bytes()
    for spoil in (lambda: path.unlink(), lambda: path.write_bytes(b"")):
        spoil()
        assert projects.thumbnail(photo.digest) == drawn
        assert path.read_bytes() == drawn


def test_adding_the_same_content_again_adds_nothing(projects: Projects, garden: Project) -> None:
    ants, bees = garden.classes
    first = projects.add(garden.key, "first.jpg", small(1), ants.id)
    assert projects.add(garden.key, "second.jpg", small(1)) == first
    assert projects.add(garden.key, "second.jpg", small(1), ants.id) == first
    assert projects.history(garden.key) == []
    moved = projects.add(garden.key, "third.jpg", small(1), bees.id)
    assert (moved.name, moved.class_id) == ("first.jpg", bees.id)
    assert projects.undo(garden.key)[0].after_name == "bees"
    assert projects.photo(garden.key, first.digest) == first


def test_a_file_that_is_not_a_photo_is_refused_and_leaves_nothing(
    projects: Projects, garden: Project, tmp_path: Path
) -> None:
    with pytest.raises(errors.NotAnImage):
        projects.add(garden.key, "a.jpg", b"This is a text, not a photo.")
    with pytest.raises(errors.UnknownName):
        projects.add("nowhere", "a.jpg", small(1))
    assert projects.find(garden.key).photos == 0
    assert files_below(tmp_path / "studio" / "photos") == []


@pytest.mark.parametrize("digest", ["", "../../../etc/passwd", "ab" * 31, "AB" * 32, "ab" * 32])
def test_an_unknown_photo_is_refused(projects: Projects, garden: Project, digest: str) -> None:
    for ask in (
        projects.read,
        projects.thumbnail,
        lambda digest: projects.photo(garden.key, digest),
        lambda digest: projects.decide(garden.key, [digest]),
        lambda digest: projects.erase(garden.key, [digest]),
    ):
        with pytest.raises(errors.UnknownName, match="There is no photo"):
            ask(digest)


def test_photos_are_listed_by_class_and_part_page_by_page(
    projects: Projects, garden: Project
) -> None:
    ants, bees = garden.classes
    some = add(projects, garden.key, range(5), ants.id)
    more = add(projects, garden.key, range(5, 7), bees.id)
    loose = add(projects, garden.key, range(7, 8))
    projects.decide(garden.key, [some[4].digest], exclude=True)

    def names(**options: object) -> list[str]:
        return [photo.name for photo in projects.photos(garden.key, **options)]

    assert names() == [photo.name for photo in [*some[:4], *more, *loose]]
    assert names(class_id=ALL, excluded=None, limit=-1) == [f"{i}.jpg" for i in range(8)]
    assert names(class_id=ants.id, offset=1, limit=2) == ["1.jpg", "2.jpg"]
    assert names(class_id=ants.id, excluded=True) == ["4.jpg"]
    assert names(class_id=UNSORTED) == names(class_id=None) == ["7.jpg"]
    project = projects.find(garden.key)
    assert [label.photos for label in project.classes] == [4, 2]
    assert (project.photos, project.excluded, project.unsorted) == (8, 1, 1)


def test_files_of_photos_in_no_project_are_removed(
    projects: Projects, garden: Project, tmp_path: Path
) -> None:
    other = projects.make("Other").key
    shared, unshared = add(projects, garden.key, range(2))
    add(projects, other, range(1))
    assert projects.erase(garden.key, [shared.digest, unshared.digest]) == 2
    assert projects.read(shared.digest) == small(0)
    with pytest.raises(errors.UnknownName):
        projects.read(unshared.digest)
    projects.remove(other)
    assert files_below(tmp_path / "studio" / "photos") == []
    assert files_below(tmp_path / "studio" / "thumbs") == []


def test_an_interrupted_removal_is_completed(
    projects: Projects, garden: Project, tmp_path: Path
) -> None:
    add(projects, garden.key, range(2))
    projects.photo_store.blobs.put("ab" * 32, b"written, and killed before its row")
    with projects.database.writing() as db:
        db.execute("DELETE FROM project")
    Projects(tmp_path)
    assert [path.name for path in files_below(tmp_path / "studio" / "photos")] == ["ab" * 32]
    assert files_below(tmp_path / "studio" / "thumbs") == []


def test_a_full_disk_is_reported(projects: Projects, garden: Project, tmp_path: Path) -> None:
    photos = tmp_path / "studio" / "photos"
    photos.rename(tmp_path / "gone")
    photos.write_bytes(b"in the way")
    with pytest.raises(errors.StateError, match="See that the disk has space"):
        projects.add(garden.key, "a.jpg", small(1))
    assert projects.find(garden.key).photos == 0


# Decisions

PHOTOS = 5
CLASSES = ("ants", "bees", "wasps")
SOME = st.sets(st.integers(0, PHOTOS - 1), min_size=1)
STEP = st.one_of(
    st.tuples(st.just("move"), SOME, st.sampled_from(CLASSES)),
    st.tuples(st.just("unsort"), SOME, st.none()),
    st.tuples(st.just("exclude"), SOME, st.none()),
    st.tuples(st.just("include"), SOME, st.none()),
    st.tuples(st.just("remove"), st.none(), st.sampled_from(CLASSES)),
    st.tuples(st.just("undo"), st.none(), st.none()),
)


class Model:
    """The expected state, as plain dictionaries."""

    def __init__(self) -> None:
        self.state: dict[int, tuple[str | None, bool]] = dict.fromkeys(range(PHOTOS), (None, False))
        self.alive = set(CLASSES)
        self.past: list[dict[int, tuple[str | None, bool]]] = []

    def change(self, new: dict[int, tuple[str | None, bool]]) -> None:
        after = {**self.state, **new}
        if after != self.state:
            self.past.append(self.state)
        self.state = after

    def step(self, what: str, some: set[int] | None, name: str | None) -> None:
        old = self.state
        match what:
            case "move":
                self.change(dict.fromkeys(some, (name, False)))
            case "unsort":
                self.change(dict.fromkeys(some, (None, False)))
            case "exclude":
                self.change({n: (old[n][0], True) for n in some})
            case "include":
                self.change({n: (old[n][0], False) for n in some})
            case "remove":
                self.alive.discard(name)
                self.change({n: (None, old[n][1]) for n in old if old[n][0] == name})
            case "undo" if self.past:
                self.state = self.past.pop()
                self.alive |= {name for name, _ in self.state.values() if name}


def carry_out(
    projects: Projects, key: str, digests: list[str], step: tuple[str, set[int] | None, str | None]
) -> None:
    what, some, name = step
    ids = {label.name: label.id for label in projects.find(key).classes}
    which = [digests[n] for n in some or ()]
    match what:
        case "move":
            projects.decide(key, which, class_id=ids[name])
        case "unsort":
            projects.decide(key, which, class_id=UNSORTED)
        case "exclude" | "include":
            projects.decide(key, which, exclude=what == "exclude")
        case "remove":
            projects.remove_class(key, ids[name])
        case "undo":
            projects.undo(key)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    return Projects(tmp_path_factory.mktemp("model"))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(steps=st.lists(STEP, max_size=12))
def test_any_sequence_of_decisions_and_undoing_equals_a_model(
    shared: Projects, steps: list[tuple[str, set[int] | None, str | None]]
) -> None:
    key = shared.make("Model").key
    for name in CLASSES:
        shared.add_class(key, name)
    digests = [photo.digest for photo in add(shared, key, range(PHOTOS))]
    model = Model()
    for step in steps:
        if step[2] is None or step[2] in model.alive:
            model.step(*step)
            carry_out(shared, key, digests, step)
    names = {label.id: label.name for label in shared.find(key).classes}
    photos = shared.photos(key, excluded=None)
    assert set(names.values()) == model.alive
    assert {
        digests.index(photo.digest): (names.get(photo.class_id), photo.excluded) for photo in photos
    } == model.state
    for _ in model.past:
        assert shared.undo(key)
    assert shared.undo(key) == []
    assert all(decision.undone for decision in shared.history(key))


def test_a_batch_of_decisions_is_atomic(projects: Projects, garden: Project) -> None:
    ants, bees = garden.classes
    digests = [photo.digest for photo in add(projects, garden.key, range(3), ants.id)]
    with pytest.raises(errors.UnknownName):
        projects.decide(garden.key, [*digests, "ab" * 32], class_id=bees.id)
    assert projects.history(garden.key) == []
    assert projects.decide(garden.key, [*digests, digests[0]], class_id=bees.id) == 1
    assert projects.decide(garden.key, digests, class_id=bees.id) == 0
    assert projects.decide(garden.key, digests[:1], exclude=True) == 2
    assert [decision.batch for decision in projects.history(garden.key)] == [2, 1, 1, 1]
    last = projects.history(garden.key, limit=1)[0]
    assert (last.digest, last.before_name, last.excluded_after) == (digests[0], "bees", True)
    assert [decision.digest for decision in projects.undo(garden.key)] == digests[:1]
    assert [decision.digest for decision in projects.undo(garden.key)] == digests


def test_a_decision_can_say_what_it_is_based_on(projects: Projects, garden: Project) -> None:
    ants, bees = (projects.add_class(garden.key, name).id for name in ("one", "two"))
    first, second = (
        projects.add(garden.key, f"{seed}.png", picture(seed), ants) for seed in (1, 2)
    )
    both = [first.digest, second.digest]
    seen = {digest: {"class_id": ants, "excluded": False} for digest in both}
    projects.decide(garden.key, [second.digest], class_id=bees, person="Bert")
    history = projects.history(garden.key)
    for decide in (projects.decide, projects.confirm):
        with pytest.raises(errors.Conflict, match="1 photo was changed meanwhile") as caught:
            decide(garden.key, both, expected=seen)
        assert [photo.digest for photo in caught.value.photos] == [second.digest]
        assert caught.value.photos[0].class_id == bees
    with pytest.raises(errors.Conflict, match="2 photos were"):
        projects.decide(garden.key, [], expected={digest: {"excluded": True} for digest in both})
    assert projects.history(garden.key) == history
    projects.decide(
        garden.key, [first.digest], class_id=bees, expected={first.digest: seen[first.digest]}
    )
    assert projects.photo(garden.key, first.digest).class_id == bees
    with pytest.raises(errors.UnknownName):
        projects.decide(garden.key, [], expected={"0" * 64: {}})


def test_only_the_batch_that_is_meant_is_undone(projects: Projects, garden: Project) -> None:
    ants, bees = (projects.add_class(garden.key, name).id for name in ("one", "two"))
    photo = projects.add(garden.key, "a.png", picture(1), ants)
    with pytest.raises(errors.Conflict, match="Batch 1 is not in effect"):
        projects.undo(garden.key, 1)
    first = projects.decide(garden.key, [photo.digest], class_id=bees)
    second = projects.decide(garden.key, [photo.digest], exclude=True)
    with pytest.raises(errors.Conflict, match="1 of these photos was decided about since"):
        projects.undo(garden.key, first)
    assert [each.batch for each in projects.history(garden.key, 1, 1)] == [first]
    assert [each.batch for each in projects.undo(garden.key, second)] == [second]
    assert not projects.photo(garden.key, photo.digest).excluded


def test_undoing_restores_the_class_that_has_the_name_now(
    projects: Projects, garden: Project
) -> None:
    bees = garden.classes[1]
    (photo,) = add(projects, garden.key, range(1), bees.id)
    projects.remove_class(garden.key, bees.id)
    new = projects.add_class(garden.key, "Bees")
    projects.undo(garden.key)
    assert projects.photo(garden.key, photo.digest).class_id == new.id
    assert [label.name for label in projects.find(garden.key).classes] == ["ants", "Bees"]


# Kills, threads and processes


def start(home: Path, key: str, first: int, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(home), key, str(first), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.slow
def test_nothing_confirmed_is_lost_by_kills(
    projects: Projects, garden: Project, tmp_path: Path
) -> None:
    lot = random.Random(6)
    confirmed: list[list[str]] = []
    for kill in range(4):
        with start(tmp_path, garden.key, 1000 * kill, 1000) as worker:
            confirmed += [worker.stdout.readline().split() for _ in range(lot.randint(2, 25))]
            time.sleep(lot.uniform(0, 0.02))
            worker.send_signal(signal.SIGKILL)
            confirmed += [line.split() for line in worker.stdout if line.endswith("\n")]
        assert worker.returncode == -signal.SIGKILL
    reopened = Projects(tmp_path)
    bees = garden.classes[1].id
    messages = [line for line in confirmed if line != ["ready"]]
    assert len(messages) > 20
    for what, seed, digest in messages:
        assert reopened.read(digest) == small(int(seed))
        photo = reopened.photo(garden.key, digest)
        assert what == "added" or photo.class_id == bees
    every = reopened.photos(garden.key, limit=-1)
    assert all(reopened.read(photo.digest) for photo in every)
    moved = {decision.digest for decision in reopened.history(garden.key, limit=-1)}
    assert moved == {photo.digest for photo in every if photo.class_id == bees}
    with reopened.database.reading() as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_concurrent_writers_and_readers(
    projects: Projects, garden: Project, tmp_path: Path
) -> None:
    done = threading.Event()
    counts: list[int] = []

    def read_repeatedly() -> None:
        while not done.is_set():
            project = projects.find(garden.key)
            listed = projects.photos(garden.key, limit=-1)
            counts.append(len(listed))
            assert project.photos >= sum(label.photos for label in project.classes)

    with start(tmp_path, garden.key, 0, 15) as worker, ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read_repeatedly)
        # Both add what the other process adds, too.
        adders = [pool.submit(add, projects, garden.key, range(0, 30, step)) for step in (1, 2)]
        for adder in adders:
            adder.result()
        worker.communicate()
        done.set()
        reader.result()
    assert worker.returncode == 0
    assert counts == sorted(counts)
    assert sorted(photo.name for photo in projects.photos(garden.key)) == sorted(
        f"{seed}.jpg" for seed in range(30)
    )


def test_a_row_always_has_its_file_during_concurrent_removal(
    projects: Projects, garden: Project
) -> None:
    keys = [garden.key, projects.make("Other").key]

    def come_and_go(key: str) -> None:
        for _ in range(12):
            photo = projects.add(key, "same.jpg", small(1))
            assert projects.read(photo.digest) == small(1)
            projects.erase(key, [photo.digest])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(come_and_go, keys))


# The database


def test_tables_of_the_oldest_version_are_migrated(tmp_path: Path) -> None:
    path = tmp_path / "studio" / "studio.sqlite"
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.executescript(OLDEST.read_text())
    db.close()
    projects = Projects(tmp_path)
    (garden,) = projects.all()
    assert [(label.name, label.photos) for label in garden.classes] == [("ants", 1), ("bees", 2)]
    assert (garden.title, garden.photos, garden.excluded) == ("Garden", 4, 1)
    (decision,) = projects.undo(garden.key)
    assert (decision.before_name, decision.after_name) == ("ants", "bees")
    assert [photo.verdict for photo in projects.inbox()] == [{"status": "unsure"}]
    assert {finding.kind for finding in projects.findings(garden.key)} == {"small_class"}
    with projects.database.reading() as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_migrations_run_once_in_order_and_atomically(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "studio.sqlite"
    first, second = "CREATE TABLE a (x);\nINSERT INTO a VALUES (1);", "UPDATE a SET x = x + 1;"
    Database(path, migrations=[first])
    with pytest.raises(errors.StateError, match="no such table: b"):
        Database(path, migrations=[first, "UPDATE a SET x = 7;\nDROP TABLE b;"])
    for _ in range(2):
        database = Database(path, migrations=[first, second])
    with database.reading() as db:
        assert db.execute("SELECT x FROM a").fetchall() == [(2,)]


def test_the_database_can_be_created_concurrently(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(
            pool.map(lambda number: Projects(tmp_path).make(f"Project {number}"), range(8))
        )
    assert len({project.key for project in created}) == 8


def test_a_database_of_a_newer_version_is_refused(projects: Projects, tmp_path: Path) -> None:
    path = projects.database.path
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(errors.StateError, match="written by a newer Triptych"):
        Projects(tmp_path)


def test_unusable_databases_and_folders_are_reported(tmp_path: Path) -> None:
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "studio.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(errors.StateError, match="file is not a database"):
        Projects(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.StateError, match="cannot be read or written"):
        Projects(tmp_path / "file")


def test_an_error_rolls_back_changes(projects: Projects, garden: Project) -> None:
    def fail() -> None:
        with projects.database.writing() as db:
            db.execute("DELETE FROM project")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert projects.all() == [garden]


# Findings, folders, tables


def test_findings_are_beside_the_photos_they_concern(projects: Projects, garden: Project) -> None:
    ants, bees = garden.classes
    assert [finding.kind for finding in projects.findings(garden.key)] == ["empty_class"] * 2
    for seed in range(6):
        projects.add(garden.key, f"{seed}.jpg", picture(seed), ants.id)
    assert [finding.kind for finding in projects.findings(garden.key)] == ["empty_class"]
    near = projects.add(garden.key, "near.jpg", picture(0, size=(90, 121)), bees.id)
    odd = projects.add(garden.key, "odd.png", picture(9), bees.id)
    projects.add(garden.key, "loose.jpg", picture(1, size=(90, 121)))
    by_kind = {finding.kind: finding for finding in projects.findings(garden.key)}
    assert set(by_kind) == {"label_conflict", "odd_format", "small_class"}
    first = projects.photos(garden.key)[0]
    assert set(by_kind["label_conflict"].sources) == {near.digest, first.digest}
    assert by_kind["odd_format"].sources == (odd.digest,)
    projects.decide(garden.key, [near.digest], exclude=True)
    assert {finding.kind for finding in projects.findings(garden.key)} == {
        "imbalance",
        "odd_format",
        "small_class",
    }


def test_the_studio_reports_copies_as_training_does(projects: Projects, garden: Project) -> None:
    """A class that is one burst, and one of its photos in another class."""
    ants, bees = garden.classes
    for number in range(6):
        projects.add(garden.key, f"{number}.jpg", picture(0, size=(90, 120 + number)), ants.id)
        projects.add(garden.key, f"b{number}.jpg", picture(1 + number), bees.id)
    projects.add(garden.key, "b6.jpg", picture(0, size=(91, 120)), bees.id)
    kinds = [finding.kind for finding in projects.findings(garden.key)]
    assert sorted(kinds) == ["burst", "label_conflict"]
    assert kinds == [finding.kind for finding in projects.dataset(garden.key).findings]


def test_photos_of_older_versions_are_measured_by_the_next_check(
    projects: Projects, garden: Project
) -> None:
    ants, bees = garden.classes
    for seed in range(6):
        projects.add(garden.key, f"{seed}.png", squares(seed, size=(120, 180)), ants.id)
        projects.add(garden.key, f"b{seed}.png", squares(50 + seed, size=(120, 180)), bees.id)
    black = projects.add(garden.key, "black.png", plain_image((0, 0, 0)), ants.id)
    expected = projects.findings(garden.key)
    assert [(each.kind, each.sources) for each in expected] == [("blank", (black.digest,))]
    with projects.database.writing() as db:
        db.execute("UPDATE content SET quality = NULL")
    assert projects.findings(garden.key) == expected
    with projects.database.writing() as db:
        assert db.execute("SELECT count(*) FROM content WHERE quality IS NULL").fetchone() == (0,)
        db.execute("UPDATE content SET quality = NULL")
    assert list(projects.dataset(garden.key).findings) == [
        dataclasses.replace(expected[0], sources=("ants/black.png",))
    ]


def test_photos_whose_depth_was_guessed_are_found(projects: Projects, garden: Project) -> None:
    ants, bees = garden.classes
    for seed in range(6):
        projects.add(garden.key, f"{seed}.png", squares(seed, size=(120, 180)), ants.id)
        projects.add(garden.key, f"b{seed}.png", squares(50 + seed, size=(120, 180)), bees.id)
    # A detector's 12 bits in files of 16, and the same picture where all 16 bits are used.
    rng = np.random.default_rng(0)
    values = np.kron(rng.integers(0, 4096, (12, 18)), np.ones((10, 10))).astype(np.uint16)
    values[0, 0] = 4095
    guessed = projects.add(garden.key, "detector.tif", deep_tiff(values), ants.id)
    turned = values[::-1, ::-1].copy() * 16
    turned[-1, -1] = 65535
    projects.add(garden.key, "full.tif", deep_tiff(turned), ants.id)
    (finding,) = projects.findings(garden.key)
    assert (finding.kind, finding.sources) == ("guessed_depth", (guessed.digest,))
    assert "12" in finding.message
    (in_training,) = projects.dataset(garden.key).findings
    assert in_training == dataclasses.replace(finding, sources=("ants/detector.tif",))
    with projects.database.writing() as db:  # as a version wrote it that did not know
        db.execute("UPDATE content SET depth_guess = NULL")
    assert projects.findings(garden.key) == [finding]
    with projects.database.reading() as db:
        missing = db.execute("SELECT count(*) FROM content WHERE depth_guess IS NULL").fetchone()
    assert missing == (0,)


def deep_tiff(values: npt.NDArray[np.uint16]) -> bytes:
    """A grey TIFF of 16 bits that does not say which value is white."""
    return tiff_writer.write([tiff_writer.Page(values[..., None], 16, 1, 1)])


@pytest.fixture
def full(projects: Projects, garden: Project) -> str:
    """Photos with equal names, a pasted one, one without a class, one that is excluded."""
    ants, bees = garden.classes
    for seed, name in enumerate(("a.jpg", "A.jpg", "pasted", "b.png")):
        projects.add(garden.key, name, small(seed), ants.id)
    add(projects, garden.key, range(4, 7), bees.id)
    (photo,) = add(projects, garden.key, range(7, 8), bees.id)
    projects.decide(garden.key, [photo.digest], exclude=True)
    add(projects, garden.key, range(8, 9))
    return garden.key


EXPORTED = {
    "ants/a.jpg": 0,
    "ants/A (2).jpg": 1,
    "ants/pasted.jpg": 2,
    "ants/b.png": 3,
    "bees/4.jpg": 4,
    "bees/5.jpg": 5,
    "bees/6.jpg": 6,
}


def test_a_project_survives_export_and_import(
    projects: Projects, full: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    steps: list[tuple[int, int]] = []
    assert projects.export(full, out, progress=lambda *step: steps.append(step)) == len(EXPORTED)
    assert steps[-1] == (len(EXPORTED), len(EXPORTED))
    written = {path.relative_to(out).as_posix(): path.read_bytes() for path in files_below(out)}
    assert written == {name: small(seed) for name, seed in EXPORTED.items()}
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        for name, data in written.items():
            archive.writestr(f"outer/{name}", data)
    for source, title in ((out, None), (tmp_path / "out.zip", "Zipped")):
        back = projects.import_from(source, title)
        assert back.title == title or back.title == "out"
        assert [(label.name, label.photos) for label in back.classes] == [("ants", 4), ("bees", 3)]
        again = tmp_path / "again" / back.key
        projects.export(back.key, again)
        assert {path.relative_to(again).as_posix() for path in files_below(again)} == set(written)
    with pytest.raises(errors.SourceError, match="is not empty"):
        projects.export(full, out)


def test_one_class_can_be_imported_and_skipped_files_are_reported(
    projects: Projects, tmp_path: Path
) -> None:
    source = tmp_path / "only: one"
    (source / "con").mkdir(parents=True)
    (source / "con" / "text.jpg").write_bytes(b"a text")
    for name in ("1.jpg", "twice.jpg"):
        (source / "con" / name).write_bytes(small(1))
    (source / "empty").mkdir()
    findings: list[triptych_data.Finding] = []
    imported = projects.import_from(source, report=findings.append)
    assert [(label.name, label.photos) for label in imported.classes] == [
        ("class con", 1),
        ("empty", 0),
    ]
    assert imported.title == "only: one"
    assert {finding.kind: finding.sources for finding in findings} == {
        "unreadable": ("con/text.jpg",),
        "exact_duplicate": ("con/1.jpg", "con/twice.jpg"),
    }


def test_a_zip_is_added_to_a_project_that_exists(projects: Projects, tmp_path: Path) -> None:
    project = projects.make("Garden")
    bees = projects.add_class(project.key, "Bees").id
    known = projects.add(project.key, "old.png", picture(1), bees)
    path = tmp_path / "more.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, seed in (("ants/1.png", 1), ("ants/2.png", 2), ("bees/3.png", 3)):
            archive.writestr(name, picture(seed))
        archive.writestr("bees/notes.png", b"no photo")
    left_out: list[triptych_data.Finding] = []
    added = projects.add_from(project.key, path, person="Anna", report=left_out.append)
    names = {each.id: each.name for each in projects.find(project.key).classes}
    assert [(photo.name, names[photo.class_id or 0]) for photo in added] == [
        ("old.png", "ants"),
        ("2.png", "ants"),
        ("3.png", "Bees"),
    ]
    assert [finding.kind for finding in left_out] == ["unreadable"]
    (moved,) = projects.history(project.key)
    assert (moved.digest, moved.before, moved.person) == (known.digest, bees, "Anna")
    assert len(projects.add_from(project.key, path)) == 3  # the same photos
    assert projects.find(project.key).photos == 3
    with pytest.raises(errors.UnknownName):
        projects.add_from("nothing", path)


def test_a_file_in_two_classes_is_imported_into_the_first(
    projects: Projects, tmp_path: Path
) -> None:
    for name in ("ants/1.jpg", "bees/1.jpg", "bees/2.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small(int(path.stem)))
    findings: list[triptych_data.Finding] = []
    imported = projects.import_from(tmp_path / "in", report=findings.append)
    assert [(label.name, label.photos) for label in imported.classes] == [("ants", 1), ("bees", 1)]
    assert [(finding.kind, finding.sources) for finding in findings] == [
        ("label_conflict", ("ants/1.jpg", "bees/1.jpg"))
    ]
    assert projects.history(imported.key) == []


def test_a_source_without_photos_creates_no_project(projects: Projects, tmp_path: Path) -> None:
    (tmp_path / "in" / "ants").mkdir(parents=True)
    (tmp_path / "in" / "ants" / "text.jpg").write_bytes(b"a text")
    with pytest.raises(errors.SourceError, match="None of 1 files is a photo"):
        projects.import_from(tmp_path / "in")
    with pytest.raises(errors.SourceError, match="cannot be opened"):
        projects.import_from(tmp_path / "nowhere")
    (tmp_path / "in" / "list.csv").write_text("file;class\ntext.jpg;bees\n")
    with pytest.raises(errors.SourceError, match=r"begins with 'file;class'.* photos are 'ants'"):
        projects.import_from(tmp_path / "in")
    assert projects.all() == []


def test_hostile_names_in_an_archive_are_harmless(projects: Projects, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../../evil/1.jpg", small(1))
        archive.writestr("/etc/ants/2.jpg", small(2))
        archive.writestr("/etc/<script>/3\x1b.jpg", small(3))
        archive.writestr("/etc/ants/.hidden.jpg", small(4))
    imported = projects.import_from(tmp_path / "bad.zip")
    assert [(label.name, label.photos) for label in imported.classes] == [
        ("\uff1cscript\uff1e", 1),
        ("ants", 1),
    ]
    projects.export(imported.key, tmp_path / "out")
    assert {path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path / "out")} == {
        "out/\uff1cscript\uff1e/3%1B.jpg",
        "out/ants/2.jpg",
    }


def test_folders_that_are_called_otherwise_in_a_project_stay_apart(
    projects: Projects, tmp_path: Path
) -> None:
    species = "Animalia_Arthropoda_Insecta_Hymenoptera_Apidae_Bombus_Pyrobombus_"
    # With the mark that parts letters of Persian.
    folders = ["<5", ">5", "\ue000", species + "impatiens", species + "hypnorum", "می\u200cروم"]
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for number, folder in enumerate(folders):
            archive.writestr(f"{folder}/{number}.jpg", small(number))
    imported = projects.import_from(tmp_path / "in.zip")
    assert [(label.name, label.photos) for label in imported.classes] == [
        ("\uff1c5", 1),
        ("\uff1e5", 1),
        ("Animalia_Arthropoda_Insect…_Bombus_Pyrobombus_hypnorum", 1),
        ("Animalia_Arthropoda_Insect…Bombus_Pyrobombus_impatiens", 1),
        ("می\u200cروم", 1),
        ("_", 1),
    ]
    with pytest.raises(errors.SettingError, match="There is a class"):
        projects.add_class(imported.key, "میروم")
    with zipfile.ZipFile(tmp_path / "in.zip", "a") as archive:
        archive.writestr("\uff1c5/7.jpg", small(7))
    with pytest.raises(errors.SourceError, match="would both be called '\uff1c5'"):
        projects.import_from(tmp_path / "in.zip")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("日" * 300 + ".jpg", "日" * 65 + ".jpg"),
        ("a" * 300, "a" * 200 + ".jpg"),
        ("a." + "b" * 300, "a." + "b" * 198 + ".jpg"),
        ("nul.jpg", "_nul.jpg"),
        ("\udcff\u202e.jpg", "%FF%E2%80%AE.jpg"),
        (" .. ", "photo.jpg"),
    ],
)
def test_any_file_name_can_be_exported(
    projects: Projects, garden: Project, tmp_path: Path, name: str, written: str
) -> None:
    bees = projects.add_class(garden.key, "🐝" * 60)
    projects.add(garden.key, name, small(1), bees.id)
    projects.add(garden.key, name, small(2), bees.id)
    projects.export(garden.key, tmp_path / "out")
    exported = {path.name for path in files_below(tmp_path / "out")}
    assert exported == {written, f"{written[:-4]} (2).jpg"}


def test_projects_on_the_command_line(projects: Projects, full: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        home = ["--home", str(tmp_path)]
        ran = CliRunner().invoke(main, ["projects", *arguments, *home], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        return ran.output

    out = str(tmp_path / "out")
    assert "my-garden  My garden       9  ants 4, bees 3" in run("list")
    exported = run("export", full, out)
    assert f"{out}: 7 photos in 2 classes" in exported
    assert "1 not exported: without a class." in exported
    assert "1 not exported: excluded." in exported
    assert "roof: 7 photos in 2 classes" in run("import", out, "--title", "Roof")
    listed = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [row["key"] for row in listed] == ["roof", "my-garden"]
    wrong = CliRunner().invoke(main, ["projects", "export", "x", out, "--home", str(tmp_path)])
    assert (wrong.exit_code, "no project 'x'" in wrong.output) == (2, True)


def test_no_projects_on_the_command_line_says_how_to_begin(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["projects", "list", "--home", str(tmp_path)])
    assert "triptych projects import DIR" in ran.output


# Inbox and sample


@pytest.fixture
def waiting(projects: Projects) -> list[int]:
    """The ids of three photos in the inbox, the newest first."""
    for seed in range(3):
        projects.keep(f"{seed}.jpg", small(seed), {"seed": seed})
    return [photo.id for photo in projects.inbox()]


def test_the_inbox_keeps_a_photo_once_with_its_newest_verdict(
    projects: Projects, waiting: list[int]
) -> None:
    projects.keep("again.jpg", small(0), {"seed": "new"})
    waiting_photos = projects.inbox()
    assert [photo.id for photo in waiting_photos] == waiting
    assert [photo.verdict["seed"] for photo in waiting_photos] == [2, 1, "new"]
    assert projects.read(waiting_photos[0].digest) == small(2)
    assert [photo.id for photo in projects.inbox(offset=1, limit=1)] == waiting[1:2]
    assert projects.waiting() == 3


def test_a_full_inbox_keeps_no_more(
    projects: Projects, waiting: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST", 4)
    assert [projects.keep("a.jpg", small(seed), {}) for seed in (7, 8)] == [True, False]
    assert projects.waiting() == 4
    assert len(files_below(tmp_path / "studio" / "photos")) == 4
    projects.dismiss(waiting[:1])
    assert projects.keep("a.jpg", small(8), {})


def test_kept_photos_are_labelled_dismissed_and_restored(
    projects: Projects, garden: Project, waiting: list[int]
) -> None:
    ants = garden.classes[0].id
    (in_project,) = add(projects, garden.key, range(2, 3))
    sorted_ = projects.settle(dict.fromkeys(waiting[:2], ants), garden.key, person="Ann")
    assert (sorted_.skipped, sorted_.kept) == (0, tuple(waiting[:2]))
    projects.dismiss(waiting[2:])
    assert projects.waiting() == 0
    assert {photo.name: photo.class_id for photo in projects.photos(garden.key)} == {
        "1.jpg": ants,
        "2.jpg": ants,
    }
    (decision, _) = projects.history(garden.key)
    assert (decision.after_name, decision.person) == ("ants", "Ann")
    assert projects.settle(dict.fromkeys(waiting, ants), garden.key).skipped == 3
    projects.reopen(waiting, garden.key, sorted_.batch)
    assert [photo.id for photo in projects.inbox()] == waiting
    # What the project had before stays there.
    assert [photo.digest for photo in projects.photos(garden.key)] == [in_project.digest]


def test_labelling_and_dismissing_are_atomic(
    projects: Projects, garden: Project, waiting: list[int]
) -> None:
    with pytest.raises(errors.UnknownName, match="class"):
        projects.settle({waiting[0]: garden.classes[0].id, waiting[1]: 99}, garden.key)
    for act in (projects.dismiss, projects.reopen):
        with pytest.raises(errors.UnknownName, match="no photo of number 99"):
            act([*waiting, 99])
    assert [photo.id for photo in projects.inbox()] == waiting
    assert projects.find(garden.key).photos == 0


def test_dismissed_photos_are_deleted_after_an_hour(
    projects: Projects, waiting: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects.dismiss(waiting[:1])
    assert len(files_below(tmp_path / "studio" / "photos")) == 3
    monkeypatch.setattr(photo_store, "GRACE_S", 0.0)
    projects.dismiss(waiting[1:2])
    assert len(files_below(tmp_path / "studio" / "photos")) == 1
    with pytest.raises(errors.UnknownName):
        projects.reopen(waiting[:1])


@pytest.mark.slow
def test_the_sample_project_is_created_in_an_empty_studio(projects: Projects) -> None:
    sample = sample_images.make_project(projects)
    assert [(label.name, label.photos) for label in sample.classes] == [
        ("apples", sample_images.PHOTOS),
        ("lemons", sample_images.PHOTOS),
        ("pears", sample_images.PHOTOS),
    ]
    assert projects.findings(sample.key) == []
    assert projects.history(sample.key) == []
    assert projects.photos(sample.key)[0].name == "apples 01.jpg"
