"""What the dataset check finds in a project, from what was noted when its photos came."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from collections.abc import Iterator

from triptych.dataset import findings
from triptych.dataset import near
from triptych.dataset import scan
from triptych.dataset.files import File
from triptych.dataset.layout import Item
from triptych.dataset.records import Finding

_QUERY = """
SELECT photo.digest, photo.name, class.name, format, sketch
FROM photo JOIN content USING (digest) JOIN class ON class.id = photo.class
WHERE photo.project = ? AND NOT excluded
"""


def check(
    db: sqlite3.Connection, project: int, read: Callable[[str], bytes]
) -> tuple[Finding, ...]:
    """Findings about the photos that have a class and take part.

    Args:
        db: In a transaction.
        project: Its number.
        read: Gives the bytes of a photo.

    Returns:
        In the order of `dataset.records.KINDS`; their sources are digests.
    """
    seen = findings.grouped(list(_looks(db, project, read)))
    query = "SELECT name FROM class WHERE project = ? AND NOT removed ORDER BY id"
    classes = [name for (name,) in db.execute(query, (project,))]
    full = {photo.item.label for photo in seen}
    return findings.in_order(
        [
            *findings.odd_formats(seen),
            *findings.copies(seen),
            *findings.empty([name for name in classes if name not in full], []),
            *(findings.sizes(seen, [name for name in classes if name in full]) if seen else ()),
        ]
    )


def _looks(
    db: sqlite3.Connection, project: int, read: Callable[[str], bytes]
) -> Iterator[tuple[Item, scan.Look]]:
    for digest, name, label, kind, sketch in db.execute(_QUERY, (project,)):
        source = digest.hex()
        look = scan.Look(digest, near.Sketch.from_bytes(sketch), scan.odd_format(name, kind))
        yield Item(File(source, functools.partial(read, source)), label, "train"), look
