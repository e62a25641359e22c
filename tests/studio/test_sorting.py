"""Sorting photos without a class: what others decided stays, one step takes a batch back, and the
job that makes a plan goes on where it was killed.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from support.bundles import RUNNABLE_CLASSES
from support.bundles import write_runnable
from support.images import plain_image
from support.images import shape_image
from triptych import errors
from triptych.engines.options import EngineOptions
from triptych.studio.projects import Projects
from triptych.studio.sorting import INBOX
from triptych.studio.sorting import PROJECT
from triptych.studio.sorting import Plan
from triptych.studio.sorting import plan
from triptych.studio.sorting import sorting
from triptych.utils.worker import Worker


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    return Projects(tmp_path)


@pytest.fixture
def heap(projects: Projects) -> list[str]:
    """The digests of six photos without a class, in the project "heap" with two classes."""
    key = projects.make("Heap").key
    for name in ("ants", "bees"):
        projects.add_class(key, name)
    return [projects.add(key, f"{n}.png", plain_image((n, 0, 0))).digest for n in range(6)]


def classes(projects: Projects) -> dict[str, int | None]:
    photos = projects.photos("heap", excluded=None, limit=-1)
    return {photo.digest: photo.class_id for photo in photos if not photo.excluded}


def test_photos_that_somebody_decided_about_meanwhile_stay(projects: Projects, heap: list[str]):
    ants, bees = (each.id for each in projects.find("heap").classes)
    projects.decide("heap", heap[:1], class_id=ants)
    projects.decide("heap", heap[1:2], exclude=True)
    projects.erase("heap", heap[2:3])
    done = projects.sort("heap", dict.fromkeys(heap, bees), person="Ann")
    assert (done.digests, done.skipped) == (tuple(heap[3:]), 3)
    assert classes(projects) == {heap[0]: ants, **dict.fromkeys(heap[3:], bees)}
    decisions = [each for each in projects.history("heap") if each.batch == done.batch]
    assert [(each.after_name, each.person) for each in decisions] == [("bees", "Ann")] * 3


def test_one_step_takes_the_whole_batch_back_even_if_others_went_on(
    projects: Projects, heap: list[str]
):
    ants, bees = (each.id for each in projects.find("heap").classes)
    whole = projects.sort("heap", {heap[0]: ants, heap[1]: bees, heap[2]: None})
    other = projects.sort("heap", {heap[3]: bees})
    projects.undo("heap", whole.batch)
    assert classes(projects) == {**dict.fromkeys(heap), heap[3]: bees}
    with pytest.raises(errors.Conflict, match="not in effect"):
        projects.undo("heap", whole.batch)
    projects.decide("heap", heap[3:4], class_id=ants)
    with pytest.raises(errors.Conflict, match="decided about since"):
        projects.undo("heap", other.batch)
    assert classes(projects)[heap[3]] == ants


def test_nothing_is_sorted_into_a_class_that_is_gone(projects: Projects, heap: list[str]):
    ants, bees = (each.id for each in projects.find("heap").classes)
    projects.remove_class("heap", bees)
    with pytest.raises(errors.UnknownName):
        projects.sort("heap", {heap[0]: ants, heap[1]: bees})
    assert set(classes(projects).values()) == {None}


# ------------------------------------------------------------------ the job, with real networks


OPTIONS = {"precision": "f32"}


@pytest.fixture(scope="module")
def shapes(home: Path) -> Projects:
    """A project of discs and rays without classes, two of them twice, and one in the inbox."""
    projects = Projects(home)
    key = projects.make("Shapes").key
    for name in RUNNABLE_CLASSES:
        projects.add_class(key, name)
    for kind in ("discs", "rays"):
        for seed in range(11):
            projects.add(key, f"{kind}-{seed}.png", shape_image(kind, 700 + seed))
    projects.keep("kept.png", shape_image("rays", 800), {"status": "unsure"})
    return projects


def progress_until(stage: str, done: int):
    """Stops the making of a plan at a moment, as a kill does; and what was said until then."""
    said = []

    def progress(*now: object) -> None:
        said.append(now)
        if now[:2] == (stage, done):
            raise KeyboardInterrupt

    return progress, said


def names(projects: Projects, digests: list[str]) -> list[str]:
    known = {photo.digest: photo.name for photo in projects.photos("shapes", limit=-1)}
    return [known[digest].partition("-")[0] for digest in digests]


@pytest.mark.slow
def test_a_plan_is_made_goes_on_after_a_kill_and_is_followed(shapes: Projects, home: Path):
    options = EngineOptions(home, **OPTIONS)
    # Before anything was taught: both kinds come first, and groups are of one kind.
    stop, _ = progress_until(plan.COMPARING, 8)
    with pytest.raises(KeyboardInterrupt):
        plan.make(shapes, "shapes", PROJECT, options, stop)
    listen, said = progress_until("", 0)
    first = plan.make(shapes, "shapes", PROJECT, options, listen)
    assert (plan.COMPARING, 0, 22 - 8) in said
    assert set(names(shapes, first.order[:2])) == {"discs", "rays"}
    assert all(len(set(names(shapes, group))) == 1 for group in first.groups)
    assert (first.version, first.answers) == (None, {})
    assert sorted(first.order) == sorted(first.digests)

    bundle = write_runnable(home, "shapes")
    stop, _ = progress_until(plan.ASKING, plan.BATCH)
    with pytest.raises(KeyboardInterrupt):
        plan.make(shapes, "shapes", PROJECT, options, stop)
    listen, said = progress_until("", 0)
    second = plan.make(shapes, "shapes", PROJECT, options, listen)
    assert (plan.ASKING, 0, 22 - plan.BATCH) in said
    assert (plan.COMPARING, 0, 0) in said
    assert second.version == bundle.version
    # The same answers as when the committee is asked by itself.
    from triptych.bundles import loading

    classifier = loading.load_classifier(bundle, options)
    for digest, answer in second.answers.items():
        verdict = classifier.classify(shapes.read(digest))
        assert (answer.status, answer.label) == (verdict.status, verdict.label.index)
        assert answer.prob == pytest.approx(verdict.prob, abs=1e-5)
    offered = {digest for digest, answer in second.answers.items() if answer.is_selected}
    assert offered.isdisjoint(second.order)
    assert offered.union(second.order) == second.digests


@pytest.mark.slow
def test_a_killed_process_loses_nothing_and_the_next_one_writes_the_plan(
    shapes: Projects, home: Path
):
    before = Plan.read(home, "shapes", INBOX)
    assert before is None
    task = {"home": str(home), "key": "shapes", "source": INBOX, "options": OPTIONS}
    with Worker(sorting.WORKER) as child:
        child.send(task)
        next(child.messages())
        os.kill(child.pid, signal.SIGKILL)
        assert [message for message in child.messages() if "done" in message] == []
    assert Plan.read(home, "shapes", INBOX) is None
    heaps = sorting.Sorting(home, OPTIONS)
    heaps.start("shapes", INBOX)
    while heaps.latest("shapes").is_under_way:
        time.sleep(0.05)
    assert heaps.latest("shapes").state == "done", heaps.latest("shapes").said
    (waiting,) = shapes.inbox()
    heap = sorting.heap_of(shapes, home, "shapes", INBOX)
    assert (heap.total, heap.needs_plan) == (1, False)
    shown = [*heap.photos, *(photo for each in heap.proposals for photo in each.photos)]
    assert [photo.digest for photo in shown] == [waiting.digest]
    assert shown[0].suggested is not None
    # Somebody brings another one: the plan says what it knows, and asks for a new one.
    shapes.keep("later.png", shape_image("discs", 801), {"status": "unsure"})
    later = sorting.heap_of(shapes, home, "shapes", INBOX)
    assert (later.total, later.new, later.needs_plan) == (2, 1, True)
    heaps.close()


def test_a_damaged_plan_is_made_again(shapes: Projects, home: Path):
    digest = shapes.photos("shapes")[0].digest
    Plan(None, {}, [digest], [], frozenset([digest])).write(home, "shapes", "project")
    assert sorting.heap_of(shapes, home, "shapes", PROJECT).new == 21
    for damage in ("{", "[]", '{"answers": {}}', '{"answers": {"a": [1]}}'):
        plan.path(home, "shapes", PROJECT).write_text(damage)
        heap = sorting.heap_of(shapes, home, "shapes", PROJECT)
        assert heap.needs_plan
        assert len(heap.photos) == 22
