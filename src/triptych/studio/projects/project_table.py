"""Rows of projects and their classes."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from triptych import bundles
from triptych import errors
from triptych.studio.projects import naming
from triptych.studio.projects.records import Class
from triptych.studio.projects.records import Project

# Words after /projects/ in addresses of pages, which cannot be keys.
RESERVED_KEYS = frozenset({"export", "import", "inbox", "new", "photos", "sample", "static"})
MAX_CLASSES = 1000


def find(db: sqlite3.Connection, key: str) -> Project:
    """A project with its classes and counts.

    Raises:
        errors.UnknownName: There is none.
    """
    number = number_of(db, key)
    title, created_s = db.execute(
        "SELECT title, created_s FROM project WHERE id = ?", (number,)
    ).fetchone()
    query = "SELECT class, excluded, count(*) FROM photo WHERE project = ? GROUP BY class, excluded"
    counts = db.execute(query, (number,)).fetchall()
    included = {class_id: photos for class_id, excluded, photos in counts if not excluded}
    query = "SELECT id, name FROM class WHERE project = ? AND NOT removed ORDER BY id"
    classes = db.execute(query, (number,))
    photos = sum(count for _, _, count in counts)
    return Project(
        key=key,
        title=title,
        created_s=created_s,
        classes=tuple(Class(each, name, included.get(each, 0)) for each, name in classes),
        photos=photos,
        excluded=photos - sum(included.values()),
        unsorted=included.get(None, 0),
    )


def number_of(db: sqlite3.Connection, key: str) -> int:
    """The number of a project.

    Raises:
        errors.UnknownName: There is none.
    """
    row = db.execute("SELECT id FROM project WHERE key = ?", (key,)).fetchone()
    if row is None:
        keys = [name for (name,) in db.execute("SELECT key FROM project ORDER BY key LIMIT 20")]
        hint = f"expected one of: {', '.join(keys)}" if keys else "there are no projects yet"
        raise errors.UnknownName(f"There is no project {key[:80]!r}; {hint}.")
    return int(row[0])


def make(db: sqlite3.Connection, home: Path, title: str) -> str:
    """Create a project.

    Args:
        db: In a transaction that writes.
        home: Home folder.
        title: Its title.

    Returns:
        Its key, unique among projects and bundles.

    Raises:
        errors.SettingError: The title is empty or too long.
    """
    title = naming.title(title)
    used = {key for (key,) in db.execute("SELECT key FROM project")}
    used.update(RESERVED_KEYS, bundles.RESERVED)
    free = (key for key in naming.keys(title) if key not in used)
    key = next(key for key in free if not bundles.versions(home, key))
    db.execute(
        "INSERT INTO project (key, title, created_s) VALUES (?, ?, ?)", (key, title, time.time())
    )
    return key


def add_class(db: sqlite3.Connection, number: int, name: str) -> int:
    """Add a class.

    Args:
        db: In a transaction that writes.
        number: Of the project.
        name: Of the class.

    Returns:
        Its number.

    Raises:
        errors.SettingError: The name is invalid or taken, or there are too many classes.
    """
    name = naming.class_name(name)
    _check_is_new(db, number, name)
    query = "SELECT count(*) FROM class WHERE project = ? AND NOT removed"
    if db.execute(query, (number,)).fetchone()[0] >= MAX_CLASSES:
        raise errors.SettingError(f"A project has at most {MAX_CLASSES:,} classes.")
    cursor = db.execute(
        "INSERT INTO class (project, name, folded) VALUES (?, ?, ?)",
        (number, name, naming.folded(name)),
    )
    return int(cursor.lastrowid or 0)


def rename_class(db: sqlite3.Connection, number: int, class_id: int, name: str) -> None:
    """Rename a class.

    Raises:
        errors.UnknownName: The project has no such class.
        errors.SettingError: It cannot be called that.
    """
    check_class(db, number, class_id)
    name = naming.class_name(name)
    _check_is_new(db, number, name, besides=class_id)
    db.execute(
        "UPDATE class SET name = ?, folded = ? WHERE id = ?",
        (name, naming.folded(name), class_id),
    )


def revive_class(db: sqlite3.Connection, class_id: int) -> int:
    """Restore a class if it was removed.

    Returns:
        Its number; if another class has taken its name meanwhile, that one's.
    """
    project, folded, removed = db.execute(
        "SELECT project, folded, removed FROM class WHERE id = ?", (class_id,)
    ).fetchone()
    if removed:
        other = _named(db, project, folded)
        if other is not None:
            return other
        db.execute("UPDATE class SET removed = 0 WHERE id = ?", (class_id,))
    return class_id


def check_class(db: sqlite3.Connection, number: int, class_id: int) -> None:
    """Check that a project has a class.

    Raises:
        errors.UnknownName: It has no such class.
    """
    query = "SELECT 1 FROM class WHERE id = ? AND project = ? AND NOT removed"
    if db.execute(query, (class_id, number)).fetchone() is None:
        raise errors.UnknownName(
            f"The project has no class of number {class_id}; it may have been removed. Load the "
            f"page anew."
        )


def target(db: sqlite3.Connection, key: str, class_id: int | None) -> tuple[int, int | None]:
    """The destination of a photo: the numbers of a project, and of a class of it or ``None``.

    Raises:
        errors.UnknownName: There is no such project or class.
    """
    number = number_of(db, key)
    if class_id:
        check_class(db, number, class_id)
    return number, class_id or None


def class_named(db: sqlite3.Connection, number: int, name: str) -> int:
    """The number of a class by its name; the class is created if missing."""
    class_id = _named(db, number, naming.folded(naming.class_name(name)))
    return add_class(db, number, name) if class_id is None else class_id


def _check_is_new(
    db: sqlite3.Connection, number: int, name: str, *, besides: int | None = None
) -> None:
    if _named(db, number, naming.folded(name)) not in (None, besides):
        raise errors.SettingError(
            f"There is a class {name!r} already. Choose another name, or add the photos to that "
            f"class."
        )


def _named(db: sqlite3.Connection, number: int, folded: str) -> int | None:
    query = "SELECT id FROM class WHERE project = ? AND folded = ? AND NOT removed"
    row = db.execute(query, (number, folded)).fetchone()
    return None if row is None else int(row[0])
