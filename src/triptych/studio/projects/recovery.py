"""Photos whose database is lost: detected before a new one is created, and rebuilt.

The photo files do not contain people's decisions: classes, projects and history are lost with the
database, unless there is a copy of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from triptych import errors
from triptych import images
from triptych.studio.projects import decisions
from triptych.studio.projects import photo_table
from triptych.studio.projects import project_table
from triptych.studio.projects.database import Database
from triptych.studio.projects.photo_store import BlobStore
from triptych.studio.projects.photo_store import PhotoStore
from triptych.typing import Progress
from triptych.utils import files
from triptych.utils.text import text

DATABASE = "studio.sqlite"
TITLE = "Recovered photos"
COMMAND = "triptych projects rebuild"
# Files that SQLite keeps beside a database.
_PARTS = ("", "-wal", "-shm")


def check(folder: Path) -> None:
    """Check that there are no photos without their database.

    Args:
        folder: The studio's folder, with both.

    Raises:
        errors.StateError: There are; nothing was changed.
    """
    path = folder / DATABASE
    if _has_tables(path) or not any(_photos(folder)):
        return
    what = text("is empty") if path.exists() else text("is missing")
    raise errors.StateError(
        text(
            "There are photos in {folder!r}, and their database {database} {what}. "
            "Nothing was made in its place. Put it back from a copy; without one, "
            "`{command}` makes a project of the photos, whose classes are lost.",
            folder=str(folder / "photos"),
            database=DATABASE,
            what=what,
            command=COMMAND,
        )
    )


def rebuild(
    home: Path,
    *,
    limits: images.Limits = images.DEFAULT_LIMITS,
    progress: Progress = lambda done, total: None,
) -> tuple[str, int, list[Path]]:
    """Create a database of the stored photos; the remains of the old one are kept beside it.

    Args:
        home: Home folder.
        limits: Bytes and pixels allowed in a photo.
        progress: Called after each photo with the number done and the total.

    Returns:
        The key of a project with all of them, without classes; their number; and files that are
        damaged, which are left in place.

    Raises:
        errors.StateError: The database can be read, there are no photos, or nothing can be written.
    """
    folder = home / "studio"
    path, new = folder / DATABASE, folder / f"{DATABASE}.new"
    if _is_sound(path):
        raise errors.StateError(
            text("{path!r} can be read, so there is nothing to rebuild.", path=str(path))
        )
    paths = sorted(_photos(folder))
    if not paths:
        raise errors.StateError(
            text("There are no photos in {folder!r}.", folder=str(folder / "photos"))
        )
    for part in _PARTS:  # left by an interrupted rebuild
        new.with_name(new.name + part).unlink(missing_ok=True)
    database = Database(new)
    store = PhotoStore(database, BlobStore(folder, limits), limits)
    damaged: list[Path] = []
    with database.writing() as db:
        key = project_table.make(db, home, TITLE)
        number = project_table.number_of(db, key)
        for done, photo in enumerate(paths, start=1):
            data = photo.read_bytes()
            try:
                if hashlib.sha256(data).hexdigest() != photo.name:
                    raise errors.DamagedImage(text("Its bytes are others than its name says."))
                digest = photo_table.note(db, store.store(data))
                decisions.add_to_class(db, number, digest, photo.name[:12], None)
            except errors.ImageError:
                damaged.append(photo)
            progress(done, len(paths))
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{part}", f"{path}.lost{part}")
    files.replace(new, path)
    return key, len(paths) - len(damaged), damaged


def _photos(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("photos/[0-9a-f][0-9a-f]/*") if len(path.name) == 64)


def _has_tables(path: Path) -> bool:
    """Whether a database has tables; also true if it cannot be read, as it is not empty then."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with _opened(path) as db:
        try:
            return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        except sqlite3.Error:
            return True


def _is_sound(path: Path) -> bool:
    """Whether a database can be read and has photos."""
    if not _has_tables(path):
        return False
    with _opened(path) as db:
        try:
            contents = db.execute("SELECT count(*) FROM content").fetchone()[0]
            return bool(contents) and db.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        except sqlite3.OperationalError as error:  # a locked one may be sound
            return "no such table" not in str(error)
        except sqlite3.Error:
            return False


def _opened(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True))
