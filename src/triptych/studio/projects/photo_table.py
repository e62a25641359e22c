"""Rows of photos: one for each content, and one for each project with it."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

from triptych import errors
from triptych.data import near
from triptych.images.quality import Quality
from triptych.studio.projects.records import ALL
from triptych.studio.projects.records import NO_CLASS
from triptych.studio.projects.records import UNSORTED
from triptych.studio.projects.records import Labels
from triptych.studio.projects.records import ProjectPhoto

_DIGEST = re.compile("[0-9a-f]{64}")
# SQLite allows at most 32766 values in a statement; far fewer keep statements small.
_AT_ONCE = 500
# Columns of a photo from which `labels_of` reads its classes. Nothing is looked up of a photo in a
# single-label project that has its class.
LABELS = """
photo.class,
CASE WHEN photo.class IS NULL AND photo.reviewed
     THEN (SELECT multilabel FROM project WHERE project.id = photo.project) END,
CASE WHEN photo.class IS NULL AND photo.reviewed
     THEN (SELECT group_concat(class) FROM photo_class WHERE photo_class.photo = photo.id) END
"""
_QUERY = f"""
SELECT photo.digest, photo.name, photo.excluded, width, height, photo.added_s, {LABELS}
FROM photo JOIN content USING (digest)
"""


@dataclass(frozen=True)
class PhotoFacts:
    """The properties of a file's content.

    Args:
        digest: SHA-256 of its bytes, 64 hexadecimal digits.
        format: Named as in `triptych.images.formats`.
        size: (height, width) in pixels, upright.
        size_bytes: Size of the file.
        sketch: Used to find its copies.
        quality: Its exposure and sharpness.
        depth_guess: Why its pixels were scaled as they were, if the file does not say how.
    """

    digest: str
    format: str
    size: tuple[int, int]
    size_bytes: int
    sketch: near.Sketch
    quality: Quality
    depth_guess: str


class Row(NamedTuple):
    """The classes of a photo in a project, and whether it is excluded.

    Args:
        id: Its number.
        labels: Its classes.
        excluded: Whether it is excluded from training.
    """

    id: int
    labels: Labels
    excluded: bool


def note(db: sqlite3.Connection, facts: PhotoFacts) -> bytes:
    """Add the row of a content, unless it exists.

    Returns:
        Its digest, as stored in the tables.
    """
    digest = bytes.fromhex(facts.digest)
    height, width = facts.size
    db.execute(
        "INSERT INTO content (digest, format, width, height, size_bytes, sketch, quality, "
        "depth_guess) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            digest,
            facts.format,
            width,
            height,
            facts.size_bytes,
            facts.sketch.to_bytes(),
            facts.quality.to_bytes(),
            facts.depth_guess,
        ),
    )
    return digest


def labels_of(class_id: int | None, reviewed: int | None, several: str | None) -> Labels:
    """The classes of a photo from the columns `LABELS`.

    Args:
        class_id: Its class, in a single-label project.
        reviewed: Whether a person decided about it, in a multi-label project.
        several: Numbers of its classes, in a multi-label project.

    Example:
        >>> labels_of(3, 1, None), labels_of(None, 1, "4,2"), labels_of(None, 1, None)
        ((3,), (2, 4), ())
    """
    if class_id is not None:
        return (class_id,)
    if not reviewed:
        return None
    return tuple(sorted(map(int, several.split(",")))) if several else ()


def is_multilabel(db: sqlite3.Connection, project: int) -> bool:
    """Whether the photos of a project can have any number of classes."""
    query = "SELECT multilabel FROM project WHERE id = ?"
    return bool(db.execute(query, (project,)).fetchone()[0])


def set_labels(
    db: sqlite3.Connection,
    project: int,
    states: Iterable[tuple[int, Labels, bool]],
) -> None:
    """Set the classes of photos, and whether they are excluded.

    Args:
        db: In a transaction that writes.
        project: Number of their project.
        states: Number, classes and exclusion of each photo.
    """
    multilabel = is_multilabel(db, project)
    for photo, labels, excluded in states:
        db.execute(
            "UPDATE photo SET class = ?, reviewed = ?, excluded = ? WHERE id = ?",
            (
                labels[0] if labels and not multilabel else None,
                multilabel and labels is not None,
                excluded,
                photo,
            ),
        )
        if multilabel:
            db.execute("DELETE FROM photo_class WHERE photo = ?", (photo,))
            db.executemany(
                "INSERT INTO photo_class (photo, class) VALUES (?, ?)",
                ((photo, class_id) for class_id in labels or ()),
            )


def add(db: sqlite3.Connection, project: int, digest: bytes, name: str) -> int | None:
    """Add a stored photo to a project, without a class.

    Returns:
        The photo's number; ``None`` if the project had it already.
    """
    cursor = db.execute(
        "INSERT INTO photo (project, digest, name, added_s) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (project, digest) DO NOTHING",
        (project, digest, name, time.time()),
    )
    return cursor.lastrowid if cursor.rowcount else None


def find(db: sqlite3.Connection, project: int, digest: str) -> ProjectPhoto:
    """A photo of a project.

    Raises:
        errors.UnknownName: It has no such photo.
    """
    query = f"{_QUERY} WHERE photo.project = ? AND photo.digest = ?"
    row = db.execute(query, (project, in_bytes(digest))).fetchone()
    if row is None:
        raise unknown(digest)
    return _photo(row)


def listed(
    db: sqlite3.Connection,
    project: int,
    *,
    class_id: int | None,
    excluded: bool | None,
    offset: int,
    limit: int,
) -> list[ProjectPhoto]:
    """Photos of a project, in the order they were added; see `Projects.photos`."""
    clauses, values = ["photo.project = ?"], [project]
    if excluded is not None:
        clauses.append("photo.excluded = ?")
        values.append(int(excluded))
    if class_id == NO_CLASS:
        clauses.append("photo.reviewed")
        clauses.append("photo.id NOT IN (SELECT photo FROM photo_class)")
    elif class_id in (None, UNSORTED):
        clauses.append(
            "NOT photo.reviewed" if is_multilabel(db, project) else "photo.class IS NULL"
        )
    elif class_id != ALL and is_multilabel(db, project):
        clauses.append("photo.id IN (SELECT photo FROM photo_class WHERE class = ?)")
        values.append(class_id)
    elif class_id != ALL:
        clauses.append("photo.class = ?")
        values.append(class_id)
    query = f"{_QUERY} WHERE {' AND '.join(clauses)} ORDER BY photo.id LIMIT ? OFFSET ?"
    return [_photo(row) for row in db.execute(query, (*values, limit, offset))]


def rows(db: sqlite3.Connection, project: int, digests: Sequence[str]) -> Iterator[Row]:
    """The rows of photos, without duplicates.

    Raises:
        errors.UnknownName: The project lacks one of them.
    """
    wanted = list(dict.fromkeys(map(in_bytes, digests)))
    for start in range(0, len(wanted), _AT_ONCE):
        chunk = wanted[start : start + _AT_ONCE]
        marks = ",".join("?" * len(chunk))
        query = (
            f"SELECT digest, id, excluded, {LABELS} FROM photo "
            f"WHERE project = ? AND digest IN ({marks})"
        )
        rows = {row[0]: row[1:] for row in db.execute(query, (project, *chunk))}
        for digest in chunk:
            if digest not in rows:
                raise unknown(digest.hex())
            number, excluded, *labels = rows[digest]
            yield Row(number, labels_of(*labels), bool(excluded))


def in_bytes(digest: str) -> bytes:
    """A digest, as stored in the tables.

    Raises:
        errors.UnknownName: It is no digest.
    """
    if not _DIGEST.fullmatch(digest):
        raise unknown(digest)
    return bytes.fromhex(digest)


def unknown(digest: str) -> errors.UnknownName:
    """The error for a missing photo."""
    return errors.UnknownName(
        f"There is no photo {digest[:12]!r} here; it may have been removed. Load the page anew."
    )


def _photo(row: tuple[Any, ...]) -> ProjectPhoto:
    digest, name, excluded, width, height, added_s, *columns = row
    labels = labels_of(*columns)
    class_id = labels[0] if labels and len(labels) == 1 else None
    return ProjectPhoto(
        digest.hex(), name, class_id, bool(excluded), width, height, added_s, labels
    )
