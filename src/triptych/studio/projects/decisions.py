"""Decisions about photos: their class, and whether they are excluded from training.

The table is append-only: undo marks the last decisions and restores the state of their photos.
"""

from __future__ import annotations

import contextlib
import json
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
from triptych.studio.projects.records import Decision
from triptych.studio.projects.records import Labels
from triptych.studio.projects.records import Sorted
from triptych.utils.text import ntext
from triptych.utils.text import text

_QUERY = """
SELECT decision.batch, photo.digest, before, labels_before, after, labels_after, excluded_before,
       excluded_after, at_s, undone, person
FROM decision JOIN photo ON photo.id = decision.photo
WHERE decision.project = ?
"""


class Change(NamedTuple):
    """A change of one photo.

    Args:
        photo: Its number.
        before: Its classes before.
        after: Its classes after.
        excluded_before: Whether it was excluded before.
        excluded_after: Whether it is excluded after.
    """

    photo: int
    before: Labels
    after: Labels
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
    class_id: int | Sequence[int] | None,
    exclude: bool,
    person: str,
) -> int:
    """Move, exclude or include photos; see `Projects.decide`."""
    labels = project_table.labels(db, project, class_id)
    changes = []
    for row in photo_table.rows(db, project, digests):
        after = row.labels if class_id is None else labels
        changes.append(Change(row.id, row.labels, after, row.excluded, exclude))
    return record(db, project, changes, person)


def sort(
    db: sqlite3.Connection, project: int, classes: Mapping[str, int | None], person: str
) -> Sorted:
    """Give classes to photos that have none, or exclude them; see `Projects.sort`."""
    labels = {
        class_id: project_table.labels(db, project, class_id)
        for class_id in {*classes.values()} - {None}
    }
    changes = {}
    for digest, class_id in classes.items():
        with contextlib.suppress(errors.UnknownName):  # somebody removed it meanwhile
            (row,) = photo_table.rows(db, project, [digest])
            if row.labels is None and not row.excluded:
                after = labels.get(class_id)
                changes[digest] = Change(row.id, None, after, False, class_id is None)
    batch = record(db, project, changes.values(), person)
    return Sorted(batch, tuple(changes), len(classes) - len(changes))


def set_label(
    db: sqlite3.Connection,
    project: int,
    digests: Sequence[str],
    class_id: int,
    *,
    present: bool,
    person: str,
) -> int:
    """Add one class to photos, or remove it from them; see `Projects.set_label`."""
    project_table.check_class(db, project, class_id)
    multilabel = photo_table.is_multilabel(db, project)
    changes = []
    for row in photo_table.rows(db, project, digests):
        others = {*(row.labels or ())} - {class_id} if multilabel or not present else set()
        after: Labels = tuple(sorted(others | {class_id} if present else others))
        if not after:  # without its last class, a photo is to be reviewed again
            after = row.labels if row.labels == () else None
        changes.append(Change(row.id, row.labels, after, row.excluded, row.excluded))
    return record(db, project, changes, person)


def add_to_class(
    db: sqlite3.Connection,
    project: int,
    digest: bytes,
    name: str,
    labels: Labels,
    person: str = "",
) -> int | None:
    """Add a stored photo to a project and its classes.

    Args:
        db: In a write transaction.
        project: Number of the project.
        digest: Of the photo.
        name: Of the photo's file.
        labels: Its classes; ``None`` if they are unknown.
        person: Who does it.

    Returns:
        The photo's number; ``None`` if the project had it already: it is then moved or, in a
        multi-label project, gets the classes beside those that it has.
    """
    number = photo_table.add(db, project, digest, name)
    if number is not None:
        photo_table.set_labels(db, project, [(number, labels, False)])
    elif labels is not None:
        (row,) = photo_table.rows(db, project, [digest.hex()])
        after: Labels = labels
        if photo_table.is_multilabel(db, project):
            after = tuple(sorted({*(row.labels or ()), *labels}))
        change = Change(row.id, row.labels, after, row.excluded, row.excluded)
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
    stays = [Change(row.id, row.labels, row.labels, row.excluded, row.excluded) for row in rows]
    return _write(db, project, stays, person)


def confirmed(db: sqlite3.Connection, project: int) -> frozenset[str]:
    """The photos whose current label a person confirmed."""
    query = (
        f"SELECT photo.digest, after, labels_after, {photo_table.LABELS} "
        "FROM decision JOIN photo ON photo.id = decision.photo "
        "WHERE decision.project = ? AND NOT undone AND excluded_before = excluded_after "
        "AND before IS after AND labels_before IS labels_after"
    )
    return frozenset(
        digest.hex()
        for digest, after, several, *columns in db.execute(query, (project,))
        if (labels := photo_table.labels_of(*columns)) is not None
        and labels == _labels(after, several)
    )


def _write(db: sqlite3.Connection, project: int, real: Sequence[Change], person: str) -> int:
    if not real:
        return 0
    query = "SELECT coalesce(max(batch), 0) + 1 FROM decision WHERE project = ?"
    batch = int(db.execute(query, (project,)).fetchone()[0])
    now = time.time()
    multilabel = photo_table.is_multilabel(db, project)
    db.executemany(
        "INSERT INTO decision (project, batch, photo, before, labels_before, after, labels_after, "
        "excluded_before, excluded_after, at_s, person) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                project,
                batch,
                change.photo,
                *_columns(change.before, multilabel=multilabel),
                *_columns(change.after, multilabel=multilabel),
                change.excluded_before,
                change.excluded_after,
                now,
                person,
            )
            for change in real
        ),
    )
    states = ((change.photo, change.after, change.excluded_after) for change in real)
    photo_table.set_labels(db, project, states)
    return batch


def _columns(labels: Labels, *, multilabel: bool) -> tuple[int | None, str | None]:
    """The class of a photo, and the JSON of its classes, as a decision stores them."""
    single = labels[0] if labels and len(labels) == 1 else None
    return single, json.dumps(labels, allow_nan=False) if multilabel else None


def _labels(single: int | None, several: str | None) -> Labels:
    """The classes of a photo, from the columns of a decision."""
    if several is None:
        return None if single is None else (single,)
    labels = json.loads(several)
    return None if labels is None else tuple(labels)


def undo(db: sqlite3.Connection, project: int, batch: int | None = None) -> list[Decision]:
    """Undo decisions that are in effect; see `Projects.undo`."""
    if batch is None:
        query = "SELECT max(batch) FROM decision WHERE project = ? AND NOT undone"
        batch = db.execute(query, (project,)).fetchone()[0]
        if batch is None:
            return []
    else:
        _check_untouched(db, project, batch)
    values = (project, batch)
    query = (
        "SELECT photo, excluded_before, before, labels_before FROM decision "
        "WHERE project = ? AND batch = ?"
    )
    rows = [
        (photo, _labels(before, several), bool(excluded))
        for photo, excluded, before, several in db.execute(query, values)
    ]
    if not photo_table.is_multilabel(db, project):
        _check_single(labels for _, labels, _ in rows)
    restored = {
        class_id: project_table.revive_class(db, class_id)
        for class_id in {each for _, labels, _ in rows for each in labels or ()}
    }
    photo_table.set_labels(
        db,
        project,
        (
            (photo, labels and tuple(sorted({restored[each] for each in labels})), excluded)
            for photo, labels, excluded in rows
        ),
    )
    db.execute("UPDATE decision SET undone = 1 WHERE project = ? AND batch = ?", values)
    return _read(db, db.execute(f"{_QUERY} AND batch = ? ORDER BY decision.id", values))


def _check_untouched(db: sqlite3.Connection, project: int, batch: int) -> None:
    query = "SELECT 1 FROM decision WHERE project = ? AND batch = ? AND NOT undone"
    if not db.execute(query, (project, batch)).fetchone():
        raise errors.Conflict(
            text("Batch {batch} is not in effect, so nothing was undone.", batch=batch)
        )
    query = (
        "SELECT count(DISTINCT photo) FROM decision WHERE project = ? AND batch > ? AND NOT undone "
        "AND photo IN (SELECT photo FROM decision WHERE project = ? AND batch = ?)"
    )
    if later := db.execute(query, (project, batch, project, batch)).fetchone()[0]:
        raise errors.Conflict(
            ntext(
                "{n} of these photos was decided about since, so nothing was undone. The history "
                "has every step.",
                "{n} of these photos were decided about since, so nothing was undone. The history "
                "has every step.",
                later,
            )
        )


def _check_single(sets: Iterable[Labels]) -> None:
    if several := sum(len(labels or ()) > 1 for labels in sets):
        raise errors.SettingError(
            ntext(
                "{n} photo had several classes before that decision, and the project has one class "
                "a photo now. Let its photos have any number of classes, then undo.",
                "{n} photos had several classes before that decision, and the project has one "
                "class a photo now. Let its photos have any number of classes, then undo.",
                several,
            )
        )


def history(db: sqlite3.Connection, project: int, limit: int, offset: int = 0) -> list[Decision]:
    """The latest decisions, the last one first."""
    query = f"{_QUERY} ORDER BY decision.id DESC LIMIT ? OFFSET ?"
    return _read(db, db.execute(query, (project, limit, offset)))


def _read(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[Decision]:
    names: dict[int, str] = {}
    decisions = []
    for batch, digest, before, all_before, after, all_after, *flags, at_s, undone, person in rows:
        labels_before, labels_after = _labels(before, all_before), _labels(after, all_after)
        for class_id in {*(labels_before or ()), *(labels_after or ())} - names.keys():
            query = "SELECT name FROM class WHERE id = ?"
            names[class_id] = db.execute(query, (class_id,)).fetchone()[0]
        decisions.append(
            Decision(
                batch=batch,
                digest=digest.hex(),
                before=before,
                after=after,
                excluded_before=bool(flags[0]),
                excluded_after=bool(flags[1]),
                at_s=at_s,
                undone=bool(undone),
                before_name=names.get(before or 0),
                after_name=names.get(after or 0),
                person=person,
                labels_before=labels_before,
                labels_after=labels_after,
                names_before=tuple(names[each] for each in labels_before or ()),
                names_after=tuple(names[each] for each in labels_after or ()),
            )
        )
    return decisions
