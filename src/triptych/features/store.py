"""The store: one SQLite file with the features of each photo, by content.

Each batch is one transaction, so a kill at any moment loses at most that batch and damages
nothing, and several processes may share the file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych.typing import Float32Array
from triptych.utils import files

logger = logging.getLogger("triptych")

SCHEMA = """
CREATE TABLE IF NOT EXISTS space (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    used_s REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS feature (
    space INTEGER NOT NULL REFERENCES space (id) ON DELETE CASCADE,
    photo BLOB NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (space, photo)
) WITHOUT ROWID;
"""
# SQLite allows at most 32766 values in a statement; far fewer keep statements small.
KEYS_PER_QUERY = 500
LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Space:
    """Everything a feature depends on besides the photo, and how much the store holds of it.

    Args:
        name: The backbone, its weights, recipe and precision, in words.
        photos: How many photos have features.
        size_bytes: What the features take.
        used_s: When they were last used, in seconds since 1970.
    """

    name: str
    photos: int
    size_bytes: int
    used_s: float


class FeatureStore:
    """Features of photos, by content.

    A *space* names everything a feature depends on besides the photo: backbone, weights, recipe,
    precision. A photo is known by the SHA-256 of its bytes.

    Args:
        path: The file; made with its folders when it is not there.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(Path(tempfile.mkdtemp()) / "features.sqlite")
        >>> store.put("demo", {b"photo": np.ones(2, np.float32)})
        >>> store.get("demo", [b"photo", b"other"])
        {b'photo': array([1., 1.], dtype=float32)}
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        # SQLite waits for other processes by itself, except to change the journal mode (two
        # processes that made the file at once: every second time one of them failed).
        while True:
            try:
                with self._open() as database:
                    database.execute("PRAGMA journal_mode = WAL")
                    database.executescript(SCHEMA)
                return
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._set_aside(error)
                elif "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Go on without a file that is damaged: features can be computed again."""
        aside = self._path.with_name(f"{self._path.name}.damaged")
        logger.warning(
            "The features in %s cannot be read (%s). The file was set aside as %s, and features "
            "are computed again.",
            self._path,
            error,
            aside.name,
        )
        for part in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._path}{part}", f"{aside}{part}")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # A connection for each use costs 0.1 ms, and no thread or fork can share one by mistake.
        try:
            database = sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S)
            try:
                database.execute("PRAGMA foreign_keys = ON")
                with database:
                    yield database
            finally:
                database.close()
        except sqlite3.OperationalError as error:
            if disk := files.disk_error(error, self._path.parent):
                raise disk from error
            raise

    def get(self, space: str, photos: Sequence[bytes]) -> dict[bytes, Float32Array]:
        """The features that the store has; photos without any are left out."""
        try:
            return self._get(space, photos)
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return {}

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        """Set a damaged file aside and make an empty one; another error is raised again."""
        if not _is_damage(error):
            raise error
        self._set_aside(error)
        FeatureStore(self._path)

    def _get(self, space: str, photos: Sequence[bytes]) -> dict[bytes, Float32Array]:
        vectors: dict[bytes, Float32Array] = {}
        with self._open() as database:
            number = self._number(database, space)
            for start in range(0, len(photos), KEYS_PER_QUERY):
                chunk = photos[start : start + KEYS_PER_QUERY]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT photo, vector FROM feature WHERE space = ? AND photo IN ({marks})"
                for photo, vector in database.execute(query, (number, *chunk)):
                    vectors[photo] = np.frombuffer(vector, np.float32)
        return vectors

    def put(self, space: str, features: Mapping[bytes, Float32Array]) -> None:
        """Keep features, in one transaction.

        Args:
            space: What they depend on.
            features: A vector (F,) for each photo.
        """
        try:
            self._put(space, features)
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            self._put(space, features)

    def _put(self, space: str, features: Mapping[bytes, Float32Array]) -> None:
        with self._open() as database:
            number = self._number(database, space)
            database.executemany(
                "INSERT OR REPLACE INTO feature VALUES (?, ?, ?)",
                (
                    (number, photo, np.ascontiguousarray(vector, np.float32).tobytes())
                    for photo, vector in features.items()
                ),
            )

    @staticmethod
    def _number(database: sqlite3.Connection, space: str) -> int:
        query = (
            "INSERT INTO space (name, used_s) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET used_s = excluded.used_s RETURNING id"
        )
        return int(database.execute(query, (space, time.time())).fetchone()[0])

    def spaces(self) -> list[Space]:
        """What the store holds, most recently used first."""
        query = (
            "SELECT name, count(photo), coalesce(sum(length(vector) + length(photo)), 0), used_s "
            "FROM space LEFT JOIN feature ON feature.space = space.id "
            "GROUP BY space.id ORDER BY used_s DESC"
        )
        with self._open() as database:
            return [Space(*row) for row in database.execute(query)]

    def prune(self, *, unused_days: float = 0) -> int:
        """Delete the spaces that were not used lately, and shrink the file.

        Args:
            unused_days: How long a space must have been unused; 0 drops everything.

        Returns:
            How many spaces were deleted.
        """
        with self._open() as database:
            limit = time.time() - unused_days * 86400
            deleted = database.execute("DELETE FROM space WHERE used_s <= ?", (limit,)).rowcount
        with contextlib.closing(sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S)) as database:
            database.execute("VACUUM")
        return deleted


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return any(text in str(error) for text in ("malformed", "not a database"))
