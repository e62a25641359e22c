"""The studio's SQLite file: migrations and transactions.

Writers take the lock first (``BEGIN IMMEDIATE``), so they are serialised across threads and
processes, and data that a transaction has read cannot change before it writes. Transactions are
atomic and durable.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from triptych import errors
from triptych.studio.projects.migrations import MIGRATIONS
from triptych.utils import files
from triptych.utils.text import text

# A transaction takes milliseconds: after this time, another process must hang.
PATIENCE_S = 30.0


class Database:
    """The studio's tables.

    Args:
        path: The file; created with its folders if missing.
        migrations: The steps to the current tables.

    Raises:
        errors.StateError: It was written by a newer version, is damaged, or cannot be written.

    Example:
        >>> import tempfile
        >>> database = Database(Path(tempfile.mkdtemp()) / "studio.sqlite")
        >>> with database.reading() as db:
        ...     db.execute("SELECT count(*) FROM project").fetchone()[0]
        0
    """

    def __init__(self, path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = path
        self._migrations = migrations
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise _explained(path, error) from error
        self._set_journal()
        self._migrate()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: all reads see the same snapshot."""
        with self._connected() as db:
            db.execute("BEGIN")
            yield db

    @contextlib.contextmanager
    def writing(self, *, patience_s: float = PATIENCE_S) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end, rolled back after an error.

        Args:
            patience_s: How long to wait for another process that writes.

        Raises:
            errors.Overloaded: It did not finish in that time.
            errors.StateError: The file cannot be read or written.
        """
        with self._connected(patience_s) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    @contextlib.contextmanager
    def _connected(self, patience_s: float = PATIENCE_S) -> Iterator[sqlite3.Connection]:
        # A connection for each use costs 0.1 ms, and cannot be shared between threads or forks by
        # mistake.
        try:
            # A file that was lost meanwhile is not created again.
            uri = f"{self.path.absolute().as_uri()}?mode=rw"
            db = sqlite3.connect(uri, uri=True, timeout=patience_s, isolation_level=None)
            try:
                db.execute("PRAGMA foreign_keys = ON")
                # Durable against power failures, not only killed processes.
                db.execute("PRAGMA synchronous = FULL")
                yield db
            finally:
                # Uncommitted changes are rolled back.
                db.close()
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def _set_journal(self) -> None:
        # SQLite does not wait for locks when it changes the journal mode.
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._connected() as db:
                    db.execute("PRAGMA journal_mode = WAL")
                return
            except errors.Overloaded:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _migrate(self) -> None:
        with self.reading() as db:
            if self._version(db) == len(self._migrations):
                return
        with self.writing() as db:
            for number in range(self._version(db), len(self._migrations)):
                # Statement by statement: `executescript` would end the transaction.
                statement = ""
                for line in self._migrations[number].splitlines(keepends=True):
                    statement += line
                    if sqlite3.complete_statement(statement):
                        db.execute(statement)
                        statement = ""
                db.execute(f"PRAGMA user_version = {number + 1}")

    def _version(self, db: sqlite3.Connection) -> int:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > len(self._migrations):
            raise errors.StateError(
                text(
                    "{path!r} was written by a newer Triptych (version {version} of its tables; "
                    "this one knows {migrations}). Install that one, or start with another "
                    "--home.",
                    path=str(self.path),
                    version=version,
                    migrations=len(self._migrations),
                )
            )
        return version


def _explained(path: Path, error: Exception) -> errors.TriptychError:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return errors.Overloaded(
            f"Another program has been writing to {str(path)!r} for too long. Try again soon."
        )
    if disk := files.disk_error(error, path):
        return disk
    return errors.StateError(
        f"What the studio keeps cannot be read or written: {error} ({str(path)!r}). See that the "
        "disk has space and the folder belongs to you. A damaged file can be put back from a copy; "
        "without one, `triptych projects rebuild` makes a project of the photos."
    )
