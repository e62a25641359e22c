"""Decisions about photos: their class, and whether they are excluded from training.

The table is append-only: undo marks the last decisions and restores the state of their photos.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from triptych import errors
from triptych.studio.projects import photo_table
from triptych.studio.projects import project_table
from triptych.studio.projects.records import UNSORTED
from triptych.studio.projects.records import Decision
from triptych.utils.text import ntext
from triptych.utils.text import text

_QUERY = """
SELECT decision.batch, photo.digest, before, after, excluded_before, excluded_after, at_s, undone,
       person,
       (SELECT name FROM class WHERE id = before), (SELECT name FROM class WHERE id = after)
FROM decision JOIN photo ON photo.id = decision.photo
WHERE decision.project = ?
"""


class Change(NamedTuple):
    """A change of one photo.

    Args:
        photo: Its number.
        before: Its class before.
        after: Its class after.
        excluded_before: Whether it was excluded before.
        excluded_after: Whether it is excluded after.
    """

    photo: int
    before: int | None
    after: int | None
    excluded_before: bool
    excluded_after: bool


def check_expected(
    db: sqlite3.Connection, project: int, expected: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse a decision that is based on what others have changed meanwhile.

    Args:
        db: In the transaction that decides.
        project: Number of the project.
        expected: Fields of a `ProjectPhoto` with the values that they are to have, by digest.

    Raises:
        errors.Conflict: A photo is different; it has those photos as they are now.
        errors.UnknownName: The project lacks one of them.
    """
    changed = []
    for digest, fields in expected.items():
        photo = photo_table.find(db, project, digest)
        if any(getattr(photo, name) != value for name, value in fields.items()):
            changed.append(photo)
    if changed:
        raise errors.Conflict(
            ntext(
                "{n} photo was changed meanwhile, so nothing was decided. Look at it as it is now, "
                "then decide anew.",
                "{n} photos were changed meanwhile, so nothing was decided. Look at them as they "
                "are now, then decide anew.",
                len(changed),
            ),
            photos=changed,
        )


def decide(
    db: sqlite3.Connection,
    project: int,
    digests: Sequence[str],
    *,
    class_id: int | None,
    exclude: bool,
    person: str,
) -> int:
    """Move, exclude or include photos; see `Projects.decide`."""
    if class_id not in (None, UNSORTED):
        project_table.check_class(db, project, class_id)
    changes = []
    for row in photo_table.rows(db, project, digests):
        before, excluded = row.class_id, row.excluded
        after = before if class_id is None else class_id or None
        changes.append(Change(row.id, before, after, excluded, exclude))
    return record(db, project, changes, person)


def add_to_class(
    db: sqlite3.Connection,
    project: int,
    digest: bytes,
    name: str,
    class_id: int | None,
    person: str = "",
) -> int | None:
    """Add a stored photo to a project and class.

    Args:
        db: In a write transaction.
        project: Number of the project.
        digest: Of the photo.
        name: Of the photo's file.
        class_id: Its class; ``None`` for none.
        person: Who does it.

    Returns:
        The photo's number; ``None`` if the project had it already: it is then moved.
    """
    number = photo_table.add(db, project, digest, name, class_id)
    if number is None and class_id is not None:
        (row,) = photo_table.rows(db, project, [digest.hex()])
        change = Change(row.id, row.class_id, class_id, row.excluded, row.excluded)
        record(db, project, [change], person)
    return number


def record(db: sqlite3.Connection, project: int, changes: Iterable[Change], person: str) -> int:
    """Apply and record changes, except those without effect.

    Returns:
        Their number; 0 if nothing changed.
    """
    real = [
        change
        for change in changes
        if (change.before, change.excluded_before) != (change.after, change.excluded_after)
    ]
    return _write(db, project, real, person)


def confirm(db: sqlite3.Connection, project: int, digests: Sequence[str], person: str) -> int:
    """Record that the labels of photos are right; see `Projects.confirm`."""
    rows = photo_table.rows(db, project, digests)
    stays = [Change(row.id, row.class_id, row.class_id, row.excluded, row.excluded) for row in rows]
    return _write(db, project, stays, person)


def confirmed(db: sqlite3.Connection, project: int) -> frozenset[str]:
    """The photos whose current label a person confirmed."""
    query = (
        "SELECT photo.digest FROM decision JOIN photo ON photo.id = decision.photo "
        "WHERE decision.project = ? AND NOT undone AND before = after AND after = photo.class "
        "AND excluded_before = excluded_after"
    )
    return frozenset(digest.hex() for (digest,) in db.execute(query, (project,)))


def _write(db: sqlite3.Connection, project: int, real: Sequence[Change], person: str) -> int:
    if not real:
        return 0
    query = "SELECT coalesce(max(batch), 0) + 1 FROM decision WHERE project = ?"
    batch = int(db.execute(query, (project,)).fetchone()[0])
    now = time.time()
    db.executemany(
        "INSERT INTO decision (project, batch, photo, before, after, excluded_before, "
        "excluded_after, at_s, person) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((project, batch, *change, now, person) for change in real),
    )
    _set(db, ((change.after, change.excluded_after, change.photo) for change in real))
    return batch


def undo(db: sqlite3.Connection, project: int, expected: int | None = None) -> list[Decision]:
    """Undo the last decisions in effect; see `Projects.undo`."""
    query = "SELECT max(batch) FROM decision WHERE project = ? AND NOT undone"
    batch = db.execute(query, (project,)).fetchone()[0]
    if expected not in (None, batch):
        raise errors.Conflict(
            text(
                "Batch {expected} is not the latest that is in effect, which is {batch}. Only the "
                "latest can be undone.",
                expected=expected,
                batch="none" if batch is None else batch,
            )
        )
    if batch is None:
        return []
    values = (project, batch)
    rows = db.execute(
        "SELECT photo, before, excluded_before FROM decision WHERE project = ? AND batch = ?",
        values,
    ).fetchall()
    back = {
        before: project_table.revive_class(db, before)
        for _, before, _ in rows
        if before is not None
    }
    _set(db, ((back.get(before), excluded, photo) for photo, before, excluded in rows))
    db.execute("UPDATE decision SET undone = 1 WHERE project = ? AND batch = ?", values)
    return _read(db.execute(f"{_QUERY} AND batch = ? ORDER BY decision.id", values))


def history(db: sqlite3.Connection, project: int, limit: int, offset: int = 0) -> list[Decision]:
    """The latest decisions, the last one first."""
    query = f"{_QUERY} ORDER BY decision.id DESC LIMIT ? OFFSET ?"
    return _read(db.execute(query, (project, limit, offset)))


def _set(db: sqlite3.Connection, states: Iterable[tuple[int | None, bool, int]]) -> None:
    db.executemany("UPDATE photo SET class = ?, excluded = ? WHERE id = ?", states)


def _read(rows: Iterable[tuple[Any, ...]]) -> list[Decision]:
    decisions = []
    for batch, digest, before, after, was_excluded, is_excluded, at_s, undone, *names in rows:
        flags = bool(was_excluded), bool(is_excluded)
        person, before_name, after_name = names
        decisions.append(
            Decision(
                batch,
                digest.hex(),
                before,
                after,
                *flags,
                at_s,
                bool(undone),
                before_name,
                after_name,
                person,
            )
        )
    return decisions
