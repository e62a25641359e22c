"""What several processes keep in one place: files written whole, and work done one at a time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

PATIENCE_S = 600.0


def replace(path: Path, data: bytes) -> None:
    """Write a file in place of the one that is there, if any; nobody ever reads half of it.

    Args:
        path: The file; its folder is there.
        data: What it shall hold.

    Raises:
        OSError: It cannot be written; what was there is still there.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as scratch:
        whole = Path(scratch) / path.name
        with whole.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Within it, no other thread or process of this machine is within it for the same path.

    A lock that the system takes back when its holder dies: SQLite's own, since that is the same
    on every system. Where the folder cannot be written, nobody can spoil anything, either, and
    nothing is waited for.

    Args:
        path: A file for the lock alone; made with its folder when it is not there.

    Example:
        >>> with alone(Path(tempfile.mkdtemp()) / "lock"):
        ...     print("nobody else is here")
        nobody else is here
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, sqlite3.OperationalError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
            stack.enter_context(contextlib.closing(lock))
            lock.execute("BEGIN EXCLUSIVE")
        yield
