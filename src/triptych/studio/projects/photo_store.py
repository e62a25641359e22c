"""Photos of all projects: their files and their rows, kept consistent.

A file is written before its row. It is removed under the writer's lock once no project and no inbox
refers to it, so no other process can be about to write a row for it.
"""

from __future__ import annotations

import sqlite3
import time

from triptych import images
from triptych.studio.projects import photo_table
from triptych.studio.projects.blobs import BlobStore
from triptych.studio.projects.database import Database

# How long a dismissal from the inbox can be undone.
GRACE_S = 3600.0


class PhotoStore:
    """The photos of all projects.

    Args:
        database: Has their rows.
        blobs: Has their files.
        limits: Bytes and pixels allowed.
    """

    def __init__(self, database: Database, blobs: BlobStore, limits: images.Limits) -> None:
        self.blobs = blobs
        self.limits = limits
        self._database = database

    def store(self, data: bytes) -> photo_table.PhotoFacts:
        """Validate a photo, and write it with its thumbnail.

        Raises:
            errors.ImageError: It is not a readable photo.
            errors.StateError: It cannot be written.
        """
        seen, pixels = photo_table.inspect(data, self.limits)
        self.blobs.put(seen.digest, data)
        self.blobs.draw_thumbnail(seen.digest, pixels)
        return seen

    def note(self, db: sqlite3.Connection, seen: photo_table.PhotoFacts, data: bytes) -> bytes:
        """Write the row of a stored photo.

        Returns:
            Its digest, as the tables have it.
        """
        # Again, with the lock: another process may have removed it since.
        self.blobs.put(seen.digest, data)
        return photo_table.note(db, seen)

    def collect(self) -> None:
        """Remove the photos that no project and no inbox refers to."""
        with self._database.writing() as db:
            db.execute("DELETE FROM kept WHERE done_s < ?", (time.time() - GRACE_S,))
            # With the lock, nobody can add a photo of these files. If the process is killed
            # before the commit, the rows stay and are collected another time.
            gone = photo_table.unused(db)
            for digest in gone:
                self.blobs.drop(digest.hex())
            db.executemany("DELETE FROM content WHERE digest = ?", ((digest,) for digest in gone))
