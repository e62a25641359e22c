"""What people decided about photos, in their words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from triptych import errors
from triptych.projects import Decision
from triptych.projects import Projects

# So many decisions are looked back upon.
REMEMBERED = 2000


@dataclass(frozen=True)
class Batch:
    """What was decided in one go, and is undone in one go.

    Args:
        said: A sentence for people.
        at_s: When, in seconds since 1970.
        undone: Whether it was undone since.
    """

    said: str
    at_s: float
    undone: bool


def batches(door: Projects, key: str) -> Iterator[Batch]:
    """What was decided in a project, the newest first, each put into words when it is asked for.

    Raises:
        errors.UnknownName: There is no such project.
    """
    groups = itertools.groupby(door.history(key, limit=REMEMBERED), lambda each: each.batch)
    for _, group in groups:
        own = list(group)
        yield Batch(_sentence(own[0], _what(door, key, own)), own[0].at_s, own[0].undone)


def undoable(door: Projects, key: str) -> Batch | None:
    """What would be undone next."""
    return next((batch for batch in batches(door, key) if not batch.undone), None)


def _sentence(one: Decision, what: str) -> str:
    """What a batch did, all of which did the same, to which photos."""
    if one.excluded_after and not one.excluded_before:
        return f"Excluded {what}."
    if one.excluded_before and not one.excluded_after and one.before == one.after:
        return f"Took {what} in again."
    if one.after_name is None:
        return f"Took {what} out of {one.before_name or 'its class'}."
    if one.before == one.after:
        return f"Called {what} right as {one.after_name}."
    return f"Moved {what} to {one.after_name}."


def _what(door: Projects, key: str, batch: list[Decision]) -> str:
    if len(batch) > 1:
        return f"{len(batch):,} photos"
    try:
        return door.photo(key, batch[0].digest).name
    except errors.UnknownName:  # it was removed from the project
        return "a photo"
