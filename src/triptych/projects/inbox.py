"""Rows of photos that were kept for a person to look at.

One that was dealt with stays for a while, so that it can be taken back.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from triptych import errors
from triptych.projects import album
from triptych.projects import decisions
from triptych.projects import shelf
from triptych.projects.records import Kept

# How long dismissing can be taken back.
GRACE_S = 3600.0


def keep(db: sqlite3.Connection, seen: album.Look, name: str, verdict: dict[str, Any]) -> None:
    """Keep a photo; one that waits already gets the new verdict."""
    digest = album.note(db, seen)
    db.execute(
        "INSERT INTO kept (digest, name, verdict, at_s) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (digest) WHERE done_s IS NULL "
        "DO UPDATE SET verdict = excluded.verdict, at_s = excluded.at_s",
        (digest, name, json.dumps(verdict), time.time()),
    )


def waiting(db: sqlite3.Connection) -> int:
    """How many photos wait."""
    return int(db.execute("SELECT count(*) FROM kept WHERE done_s IS NULL").fetchone()[0])


def listed(db: sqlite3.Connection, *, offset: int, limit: int) -> list[Kept]:
    """The photos that wait, newest first."""
    query = (
        "SELECT id, digest, name, verdict, at_s FROM kept WHERE done_s IS NULL "
        "ORDER BY id DESC LIMIT ? OFFSET ?"
    )
    return [
        Kept(number, digest.hex(), name, json.loads(verdict), at_s)
        for number, digest, name, verdict, at_s in db.execute(query, (limit, offset))
    ]


def settle(
    db: sqlite3.Connection, kept_ids: Sequence[int], project: int, class_id: int | None
) -> None:
    """Move photos from the inbox to a project; see `Projects.settle`."""
    if class_id is not None:
        shelf.check_class(db, project, class_id)
    query = "SELECT digest, name FROM kept WHERE id = ?"
    for number in _checked(db, kept_ids):
        digest, name = db.execute(query, (number,)).fetchone()
        _finish(db, number, photo=decisions.place(db, project, digest, name, class_id))


def dismiss(db: sqlite3.Connection, kept_ids: Sequence[int]) -> None:
    """Take photos out of the inbox; see `Projects.dismiss`."""
    for number in _checked(db, kept_ids):
        _finish(db, number, photo=None)


def reopen(db: sqlite3.Connection, kept_ids: Sequence[int]) -> None:
    """Take settling or dismissing back; see `Projects.reopen`."""
    for number in kept_ids:
        row = db.execute("SELECT digest, photo FROM kept WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise _unknown(number)
        digest, photo = row
        # What the project had before stays there.
        db.execute("DELETE FROM photo WHERE id = ?", (photo,))
        query = "SELECT 1 FROM kept WHERE digest = ? AND done_s IS NULL"
        if db.execute(query, (digest,)).fetchone() is None:
            db.execute("UPDATE kept SET done_s = NULL WHERE id = ?", (number,))


def forget(db: sqlite3.Connection) -> None:
    """Drop what was dealt with long enough ago."""
    db.execute("DELETE FROM kept WHERE done_s < ?", (time.time() - GRACE_S,))


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
