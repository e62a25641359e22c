"""Contents and their rows together: no row without its file, and no file that nobody has for long.

A file is written before its row. It is removed after its row, and only under the writer's lock, so
nobody can be just about to write the row of a file that goes.
"""

from __future__ import annotations

import sqlite3

from triptych import images
from triptych.projects import album
from triptych.projects.contents import SCRATCH_LIFE_S
from triptych.projects.contents import Contents
from triptych.projects.database import Database


class Stock:
    """All photos, whatever project they are in.

    Args:
        database: Has their rows.
        contents: Has their files.
        limits: Bytes and pixels allowed.
    """

    def __init__(self, database: Database, contents: Contents, limits: images.Limits) -> None:
        self.contents = contents
        self.limits = limits
        self._database = database

    def store(self, data: bytes) -> album.Look:
        """See that a file is a photo, and write it and its thumbnail.

        Raises:
            errors.ImageError: It is no photo that can be read.
            errors.StateError: It cannot be written.
        """
        seen, pixels = album.look(data, self.limits)
        self.contents.put(seen.digest, data)
        self.contents.draw_thumbnail(seen.digest, pixels)
        return seen

    def note(self, db: sqlite3.Connection, seen: album.Look, data: bytes) -> bytes:
        """Write the row of a content that was stored.

        Returns:
            Its digest, as the tables have it.
        """
        # Again, with the lock: somebody may have removed it since.
        self.contents.put(seen.digest, data)
        return album.note(db, seen)

    def collect(self) -> None:
        """Remove the photos that nobody has any more."""
        with self._database.writing() as db:
            gone = album.unused(db)
            db.executemany("DELETE FROM content WHERE digest = ?", ((digest,) for digest in gone))
        # A kill here leaves files without rows, which go another time. With the lock again, since
        # somebody may have added one of them anew.
        old = list(self.contents.older(SCRATCH_LIFE_S))
        with self._database.writing() as db:
            known = {digest.hex() for (digest,) in db.execute("SELECT digest FROM content")}
            for digest in [*(digest.hex() for digest in gone), *old]:
                if digest not in known:
                    self.contents.drop(digest)
