"""Rows of photos: one for each content, and one for each project with it."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

from triptych import errors
from triptych.data import near
from triptych.images.quality import Quality
from triptych.studio.projects.records import ALL
from triptych.studio.projects.records import UNSORTED
from triptych.studio.projects.records import ProjectPhoto

_DIGEST = re.compile("[0-9a-f]{64}")
# SQLite allows at most 32766 values in a statement; far fewer keep statements small.
_AT_ONCE = 500
_QUERY = """
SELECT photo.digest, photo.name, photo.class, photo.excluded, width, height, photo.added_s
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
    """The class of a photo in a project, and whether it is excluded.

    Args:
        id: Its number.
        class_id: Its class, if it has one.
        excluded: Whether it is excluded from training.
    """

    id: int
    class_id: int | None
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


def add(
    db: sqlite3.Connection, project: int, digest: bytes, name: str, class_id: int | None
) -> int | None:
    """Add a stored photo to a project.

    Returns:
        The photo's number; ``None`` if the project had it already.
    """
    cursor = db.execute(
        "INSERT INTO photo (project, digest, name, class, added_s) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (project, digest) DO NOTHING",
        (project, digest, name, class_id, time.time()),
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
    if class_id in (None, UNSORTED):
        clauses.append("photo.class IS NULL")
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
            "SELECT digest, id, class, excluded FROM photo "
            f"WHERE project = ? AND digest IN ({marks})"
        )
        rows = {row[0]: row[1:] for row in db.execute(query, (project, *chunk))}
        for digest in chunk:
            if digest not in rows:
                raise unknown(digest.hex())
            number, class_id, excluded = rows[digest]
            yield Row(number, class_id, bool(excluded))


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
    digest, name, class_id, excluded, width, height, added_s = row
    return ProjectPhoto(digest.hex(), name, class_id, bool(excluded), width, height, added_s)
