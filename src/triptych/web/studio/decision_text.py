"""What people decided about photos, in their words."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from triptych import errors
from triptych.studio.projects import Decision
from triptych.studio.projects import Projects

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


def batches(door: Projects, key: str) -> list[Batch]:
    """What was decided in a project, the newest first.

    Raises:
        errors.UnknownName: There is no such project.
    """
    names = {photo.digest: photo.name for photo in door.photos(key, excluded=None, limit=-1)}
    return [_batch(own, names.get(own[0].digest)) for own in _groups(door, key)]


def undoable(door: Projects, key: str) -> Batch | None:
    """What would be undone next."""
    own = next((own for own in _groups(door, key) if not own[0].undone), None)
    if own is None:
        return None
    with contextlib.suppress(errors.UnknownName):
        return _batch(own, door.photo(key, own[0].digest).name)
    return _batch(own, None)


def _groups(door: Projects, key: str) -> Iterator[list[Decision]]:
    """The decisions of each batch, the newest first."""
    latest = door.history(key, limit=REMEMBERED)
    return (list(own) for _, own in itertools.groupby(latest, lambda each: each.batch))


def _batch(own: list[Decision], name: str | None) -> Batch:
    """A batch in words.

    Args:
        own: Its decisions.
        name: Of the first one's photo; none where it was removed from the project.
    """
    what = f"{len(own):,} photos" if len(own) > 1 else name or "a photo"
    return Batch(_sentence(own[0], what), own[0].at_s, own[0].undone)


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
