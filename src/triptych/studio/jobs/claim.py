"""The right to run jobs: where several servers share a home, one of them has it at a time."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


class Claim:
    """A lock that the system takes back when its holder dies, however it dies.

    SQLite's own lock on a file, since that is the same on every system. Not to be used by several
    threads at once.

    Args:
        path: The file; made when it is not there.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "claim"
        >>> mine, other = Claim(path), Claim(path)
        >>> mine.take(), mine.take(), other.take()
        (True, True, False)
        >>> mine.give_back()
        >>> other.take()
        True
        >>> other.give_back()
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: sqlite3.Connection | None = None

    def take(self) -> bool:
        """Try to get it; at once true where it is held already."""
        if self._held:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Taken in one thread and given back in another.
        connection = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("BEGIN EXCLUSIVE")
            self._held = connection
            return True
        connection.close()
        return False

    def give_back(self) -> None:
        """Let others have it."""
        if self._held:
            self._held.close()
        self._held = None
