"""Findings about a project's photos, from facts stored when they were added: none is decoded."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from collections.abc import Mapping
from typing import NamedTuple

from triptych.data import findings
from triptych.data import near
from triptych.data import scan
from triptych.data.files import File
from triptych.data.layout import Item
from triptych.data.records import Finding

_PHOTOS = """
SELECT photo.digest, photo.name, class.name, format
FROM photo JOIN content USING (digest) JOIN class ON class.id = photo.class
WHERE photo.project = ? AND NOT excluded
"""
_SKETCHES = """
SELECT digest, sketch FROM content
WHERE digest IN (SELECT digest FROM photo WHERE project = ? AND NOT excluded)
"""
# Projects whose findings are cached.
_MOST = 16

Row = tuple[bytes, str, str, str]


class _State(NamedTuple):
    """All that findings depend on; the cache key."""

    photos: list[Row]
    classes: list[str]


class FindingsCache:
    """Computes findings, and caches them until a project changes."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[_State, tuple[Finding, ...]]] = {}

    def check(
        self, db: sqlite3.Connection, project: int, read: Callable[[str], bytes]
    ) -> tuple[Finding, ...]:
        """Findings about the photos that have a class and take part.

        Args:
            db: In a transaction.
            project: Its number.
            read: Gives the bytes of a photo.

        Returns:
            In the order of `dataset.records.KINDS`; their sources are digests.
        """
        query = "SELECT name FROM class WHERE project = ? AND NOT removed ORDER BY id"
        classes = [name for (name,) in db.execute(query, (project,))]
        state = _State(db.execute(_PHOTOS, (project,)).fetchall(), classes)
        before, found = self._known.get(project, (None, ()))
        if state != before:
            sketches = dict(db.execute(_SKETCHES, (project,)))
            found = _findings(state, sketches, read)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[project] = (state, found)
        return found


def _findings(
    state: _State, sketches: Mapping[bytes, bytes], read: Callable[[str], bytes]
) -> tuple[Finding, ...]:
    seen = findings.grouped([_look(row, sketches[row[0]], read) for row in state.photos])
    full = {photo.item.label for photo in seen}
    return findings.in_order(
        [
            *findings.odd_formats(seen),
            *findings.copies(seen),
            *findings.empty([name for name in state.classes if name not in full], []),
            *findings.sizes(seen, [name for name in state.classes if name in full]),
        ]
    )


def _look(row: Row, sketch: bytes, read: Callable[[str], bytes]) -> tuple[Item, scan.ScannedPhoto]:
    digest, name, label, kind = row
    file = File(digest.hex(), functools.partial(read, digest.hex()))
    look = scan.ScannedPhoto(digest, near.Sketch.from_bytes(sketch), scan.odd_format(name, kind))
    return Item(file, label, "train"), look
