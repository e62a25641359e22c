"""A project as a data set, from facts stored when photos were added: none is decoded."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from collections.abc import Iterator

from triptych import data
from triptych.data import near
from triptych.data import scan
from triptych.data.files import File
from triptych.data.layout import Item
from triptych.studio.projects import folders

_QUERY = """
SELECT photo.digest, format, sketch FROM photo JOIN content USING (digest)
WHERE photo.project = ? AND NOT excluded
"""


def dataset_of(
    db: sqlite3.Connection, project: int, title: str, read: Callable[[str], bytes]
) -> data.Dataset:
    """The photos that have a class and take part, called as in an export.

    Args:
        db: In a transaction.
        project: Its number.
        title: Its name for people.
        read: Gives the bytes of a photo.

    Raises:
        errors.SourceError: Fewer than two classes have photos.
    """
    return data.from_scanned(title, list(_looks(db, project, read)))


def _looks(
    db: sqlite3.Connection, project: int, read: Callable[[str], bytes]
) -> Iterator[tuple[Item, scan.ScannedPhoto]]:
    noted = {digest.hex(): rest for digest, *rest in db.execute(_QUERY, (project,))}
    for digest, label, name in folders.entries(db, project):
        kind, sketch = noted[digest]
        look = scan.ScannedPhoto(
            bytes.fromhex(digest), near.Sketch.from_bytes(sketch), scan.odd_format(name, kind)
        )
        yield Item(File(f"{label}/{name}", functools.partial(read, digest)), label, "train"), look
