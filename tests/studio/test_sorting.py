"""Sorting photos without a class: what others decided stays, and one step takes a batch back."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.images import plain_image
from triptych import errors
from triptych.studio.projects import Projects


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
