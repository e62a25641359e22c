"""The inbox: photos that wait for a person's review.

Reviewed ones stay for an hour, so that the review can be undone.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from triptych import errors
from triptych.studio.projects import decisions
from triptych.studio.projects import naming
from triptych.studio.projects import photo_table
from triptych.studio.projects import project_table
from triptych.studio.projects.database import Database
from triptych.studio.projects.photo_store import PhotoStore
from triptych.studio.projects.records import InboxPhoto
from triptych.studio.projects.records import Sorted
from triptych.utils.text import text

# More than a person will review. Clients of a public server must not fill its disk.
MOST = 2000
_COLUMNS = "id, digest, name, verdict, at_s"


class Inbox:
    """The part of `Projects` that keeps photos for review."""

    database: Database
    photo_store: PhotoStore

    def keep(self, name: str, data: bytes, verdict: dict[str, Any]) -> bool:
        """Keep a photo for review; if it is waiting already, its verdict is replaced.

        Args:
            name: Name of its file.
            data: The bytes of the file.
            verdict: The committee's verdict, as a JSON object.

        Returns:
            Whether it was kept; false if `MOST` photos are waiting already.

        Raises:
            errors.ImageError: It is not a readable photo.
            errors.StateError: It cannot be written.
        """
        if self.waiting() >= MOST:
            return False
        facts = self.photo_store.store(data)
        with self.database.writing() as db:
            digest = self.photo_store.note(db, facts, data)
            db.execute(
                "INSERT INTO kept (digest, name, verdict, at_s) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (digest) WHERE done_s IS NULL "
                "DO UPDATE SET verdict = excluded.verdict, at_s = excluded.at_s",
                (digest, naming.file_name(name), json.dumps(verdict, allow_nan=False), time.time()),
            )
        return True

    def waiting(self) -> int:
        """How many photos are in the inbox."""
        with self.database.reading() as db:
            query = "SELECT count(*) FROM kept WHERE done_s IS NULL"
            return int(db.execute(query).fetchone()[0])

    def inbox(
        self, offset: int = 0, limit: int = 100, *, before: int | None = None
    ) -> list[InboxPhoto]:
        """Photos in the inbox, newest first.

        Args:
            offset: How many to skip.
            limit: How many at most; -1 for all.
            before: Only those with a lower number. Unlike an offset, it skips none when photos are
                added or settled meanwhile.
        """
        query = (
            f"SELECT {_COLUMNS} FROM kept WHERE done_s IS NULL "
            "AND (:before IS NULL OR id < :before) "
            "ORDER BY id DESC LIMIT :limit OFFSET :offset"
        )
        values = {"before": before, "limit": limit, "offset": offset}
        with self.database.reading() as db:
            return [_photo(row) for row in db.execute(query, values)]

    def in_inbox(self, number: int) -> InboxPhoto:
        """A photo in the inbox, by its number.

        Raises:
            errors.UnknownName: There is none of that number.
        """
        query = f"SELECT {_COLUMNS} FROM kept WHERE done_s IS NULL AND id = ?"
        with self.database.reading() as db:
            if (row := db.execute(query, (number,)).fetchone()) is None:
                raise _unknown(number)
        return _photo(row)

    def settle(
        self,
        classes: Mapping[int, int | Sequence[int] | None],
        key: str,
        *,
        person: str = "",
    ) -> Sorted:
        """Move photos from the inbox to a project, atomically and as one batch of decisions.

        A photo that somebody else dealt with meanwhile is skipped.

        Args:
            classes: The class or, in a multi-label project, classes of each photo, by its number
                in the inbox; ``None`` for none yet.
            key: Of the project.
            person: Who decides, for the history: the name of a key.

        Raises:
            errors.UnknownName: There is no such project or class.
            errors.SettingError: It is not one class, in a single-label project.
        """
        query = "SELECT digest, name FROM kept WHERE id = ? AND done_s IS NULL"
        changes, digests = [], {}
        with self.database.writing() as db:
            project = project_table.number_of(db, key)
            for number, class_id in classes.items():
                labels = project_table.labels(db, project, class_id)
                if (row := db.execute(query, (number,)).fetchone()) is None:
                    continue
                digest, name = row
                digests[number] = digest.hex()
                _finish(db, number, photo=photo_table.add(db, project, digest, name))
                (photo,) = photo_table.rows(db, project, [digest.hex()])
                after = photo.labels if labels is None else labels
                if photo.labels and photo_table.is_multilabel(db, project):
                    after = tuple(sorted({*photo.labels, *(labels or ())}))
                excluded = photo.excluded
                changes.append(decisions.Change(photo.id, photo.labels, after, excluded, excluded))
            batch = decisions.record(db, project, changes, person)
        skipped = len(classes) - len(digests)
        return Sorted(batch, tuple(digests.values()), skipped, tuple(digests))

    def dismiss(self, kept_ids: Sequence[int]) -> None:
        """Remove photos from the inbox.

        They can be put back for an hour. After that they are gone for good; their files are
        removed, if nothing else uses them, at the next removal or dismissal or when the studio
        starts.

        Raises:
            errors.UnknownName: One of them is not in the inbox; none is removed.
        """
        with self.database.writing() as db:
            for number in _checked(db, kept_ids):
                _finish(db, number, photo=None)
        self.photo_store.collect()

    def reopen(self, kept_ids: Sequence[int], key: str = "", batch: int = 0) -> None:
        """Put photos back into the inbox that were settled or dismissed within the last hour.

        A project keeps those that it had before.

        Args:
            kept_ids: Their numbers in the inbox.
            key: Of the project that they were moved to.
            batch: Number of the batch of decisions that moved them, which is undone; 0 for none.

        Raises:
            errors.UnknownName: One of them is gone for good; nothing is changed.
            errors.Conflict: Somebody decided about one in its project since; nothing is changed.
        """
        with self.database.writing() as db:
            if batch:
                decisions.undo(db, project_table.number_of(db, key), batch)
            for number in kept_ids:
                query = "SELECT digest, photo FROM kept WHERE id = ?"
                row = db.execute(query, (number,)).fetchone()
                if row is None:
                    raise _unknown(number)
                digest, photo = row
                query = "SELECT 1 FROM decision WHERE photo = ? AND NOT undone"
                if db.execute(query, (photo,)).fetchone():
                    raise errors.Conflict(
                        text(
                            "Somebody has decided about one of these photos in its project since, "
                            "so nothing was undone."
                        )
                    )
                db.execute("DELETE FROM photo WHERE id = ?", (photo,))
                query = "SELECT 1 FROM kept WHERE digest = ? AND done_s IS NULL"
                if db.execute(query, (digest,)).fetchone() is None:
                    db.execute("UPDATE kept SET done_s = NULL WHERE id = ?", (number,))


def _photo(row: tuple[int, bytes, str, str, float]) -> InboxPhoto:
    number, digest, name, verdict, at_s = row
    return InboxPhoto(number, digest.hex(), name, json.loads(verdict), at_s)


def _finish(db: sqlite3.Connection, number: int, *, photo: int | None) -> None:
    db.execute("UPDATE kept SET done_s = ?, photo = ? WHERE id = ?", (time.time(), photo, number))


def _checked(db: sqlite3.Connection, kept_ids: Sequence[int]) -> list[int]:
    for number in kept_ids:
        query = "SELECT 1 FROM kept WHERE id = ? AND done_s IS NULL"
        if db.execute(query, (number,)).fetchone() is None:
            raise _unknown(number)
    return list(dict.fromkeys(kept_ids))


def _unknown(number: int) -> errors.UnknownName:
    return errors.UnknownName(
        f"The inbox has no photo of number {number}; it may have been dealt with. Load the page "
        f"anew."
    )
