"""Rows of projects and their classes."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from triptych import bundles
from triptych import errors
from triptych.studio.projects import naming
from triptych.studio.projects.records import UNSORTED
from triptych.studio.projects.records import Class
from triptych.studio.projects.records import Labels
from triptych.studio.projects.records import Project
from triptych.utils.text import ntext
from triptych.utils.text import text

# Words after /projects/ in addresses of pages, which cannot be keys.
RESERVED_KEYS = frozenset({"export", "import", "inbox", "new", "photos", "sample", "static"})
MAX_CLASSES = 1000


def find(db: sqlite3.Connection, key: str) -> Project:
    """A project with its classes and counts.

    Raises:
        errors.UnknownName: There is none.
    """
    number = number_of(db, key)
    title, created_s, multilabel = db.execute(
        "SELECT title, created_s, multilabel FROM project WHERE id = ?", (number,)
    ).fetchone()
    # Without `reviewed`, the index alone answers.
    column, group = ("reviewed", ", reviewed") if multilabel else ("0", "")
    query = (
        f"SELECT class, {column}, excluded, count(*) FROM photo WHERE project = ? "
        f"GROUP BY class, excluded{group}"
    )
    counts = db.execute(query, (number,)).fetchall()
    included: Counter[int | None] = Counter()  # by class; only single-label projects have them here
    reviewed = 0
    for class_id, is_reviewed, is_excluded, count in counts:
        if not is_excluded:
            included[class_id] += count
            reviewed += count * is_reviewed
    photos, with_photos, unsorted = sum(row[-1] for row in counts), included, included[None]
    if multilabel:
        query = (
            "SELECT photo_class.class, count(*) FROM photo_class "
            "JOIN photo ON photo.id = photo_class.photo "
            "WHERE photo.project = ? AND NOT excluded GROUP BY photo_class.class"
        )
        with_photos = Counter(dict(db.execute(query, (number,)).fetchall()))
        query = (
            "SELECT count(DISTINCT photo) FROM photo_class JOIN photo ON photo.id = photo "
            "WHERE project = ? AND NOT excluded"
        )
        with_any = db.execute(query, (number,)).fetchone()[0]
        unsorted = included.total() - reviewed
    query = "SELECT id, name FROM class WHERE project = ? AND NOT removed ORDER BY id"
    classes = db.execute(query, (number,))
    return Project(
        key=key,
        title=title,
        created_s=created_s,
        classes=tuple(Class(each, name, with_photos[each]) for each, name in classes),
        photos=photos,
        excluded=photos - included.total(),
        unsorted=unsorted,
        multilabel=bool(multilabel),
        without_class=reviewed - with_any if multilabel else 0,
    )


def number_of(db: sqlite3.Connection, key: str) -> int:
    """The number of a project.

    Raises:
        errors.UnknownName: There is none.
    """
    row = db.execute("SELECT id FROM project WHERE key = ?", (key,)).fetchone()
    if row is None:
        keys = [name for (name,) in db.execute("SELECT key FROM project ORDER BY key LIMIT 20")]
        if not keys:
            raise errors.UnknownName(
                text("There is no project {key!r}; there are no projects yet.", key=key[:80])
            )
        raise errors.UnknownName(
            text(
                "There is no project {key!r}; expected one of: {keys}.",
                key=key[:80],
                keys=", ".join(keys),
            )
        )
    return int(row[0])


def make(db: sqlite3.Connection, home: Path, title: str, *, multilabel: bool = False) -> str:
    """Create a project.

    Args:
        db: In a transaction that writes.
        home: Home folder.
        title: Its title.
        multilabel: Whether a photo can have any number of classes.

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
        "INSERT INTO project (key, title, created_s, multilabel) VALUES (?, ?, ?, ?)",
        (key, title, time.time(), multilabel),
    )
    return key


def set_multilabel(db: sqlite3.Connection, number: int, *, multilabel: bool) -> None:
    """Allow any number of classes a photo, or one only; see `Projects.set_multilabel`.

    Raises:
        errors.SettingError: Photos have several classes, and are to have one.
    """
    query = (
        "SELECT count(*) FROM (SELECT photo FROM photo_class JOIN photo ON photo.id = photo "
        "WHERE project = ? GROUP BY photo HAVING count(*) > 1)"
    )
    several = db.execute(query, (number,)).fetchone()[0]
    if several and not multilabel:
        raise errors.SettingError(
            ntext(
                "{n} photo has several classes. Leave it one, then the project can have one class "
                "a photo.",
                "{n} photos have several classes. Leave each of them one, then the project can "
                "have one class a photo.",
                several,
            )
        )
    ours = "(SELECT id FROM photo WHERE project = :number)"
    statements = (
        (
            f"INSERT INTO photo_class SELECT id, class FROM photo WHERE id IN {ours} AND class > 0",
            "UPDATE photo SET reviewed = reviewed OR class IS NOT NULL, class = NULL "
            "WHERE project = :number",
        )
        if multilabel
        else (
            # `reviewed` stays: photos to which no class applies are remembered for a change back.
            "UPDATE photo SET class = (SELECT class FROM photo_class WHERE photo = photo.id) "
            "WHERE project = :number",
            f"DELETE FROM photo_class WHERE photo IN {ours}",
        )
    )
    for statement in (
        *statements,
        "UPDATE project SET multilabel = :multilabel WHERE id = :number",
    ):
        db.execute(statement, {"number": number, "multilabel": multilabel})


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
        raise errors.SettingError(
            text("A project has at most {max_classes:,} classes.", max_classes=MAX_CLASSES)
        )
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
            text(
                "The project has no class of number {class_id}; it may have been removed. "
                "Load the page anew.",
                class_id=class_id,
            )
        )


def target(
    db: sqlite3.Connection, key: str, class_id: int | Sequence[int] | None
) -> tuple[int, Labels]:
    """The destination of a photo: the number of a project, and classes of it.

    Raises:
        errors.UnknownName: There is no such project or class.
        errors.SettingError: It is not one class, in a single-label project.
    """
    number = number_of(db, key)
    return number, labels(db, number, class_id)


def labels(db: sqlite3.Connection, number: int, class_id: int | Sequence[int] | None) -> Labels:
    """The classes of a photo in a project.

    Args:
        db: In a transaction.
        number: Of the project.
        class_id: A class, or several; ``None`` or `UNSORTED` for a photo to be reviewed.

    Raises:
        errors.UnknownName: The project has no such class.
        errors.SettingError: It is not one class, in a single-label project.
    """
    if class_id is None or class_id == UNSORTED:
        return None
    class_ids = (class_id,) if isinstance(class_id, int) else tuple(sorted({*class_id}))
    for each in class_ids:
        check_class(db, number, each)
    query = "SELECT multilabel FROM project WHERE id = ?"
    if len(class_ids) != 1 and not db.execute(query, (number,)).fetchone()[0]:
        raise errors.SettingError(
            ntext(
                "{n} class was given for a photo; expected exactly one. Let the photos of the "
                "project have any number of classes first.",
                "{n} classes were given for a photo; expected exactly one. Let the photos of the "
                "project have any number of classes first.",
                len(class_ids),
            )
        )
    return class_ids


def class_named(db: sqlite3.Connection, number: int, name: str) -> int:
    """The number of a class by its name; the class is created if missing."""
    class_id = _named(db, number, naming.folded(naming.class_name(name)))
    return add_class(db, number, name) if class_id is None else class_id


def _check_is_new(
    db: sqlite3.Connection, number: int, name: str, *, besides: int | None = None
) -> None:
    if _named(db, number, naming.folded(name)) not in (None, besides):
        raise errors.SettingError(
            text(
                "There is a class {name!r} already. Choose another name, or add the photos "
                "to that class.",
                name=name,
            )
        )


def _named(db: sqlite3.Connection, number: int, folded: str) -> int | None:
    query = "SELECT id FROM class WHERE project = ? AND folded = ? AND NOT removed"
    row = db.execute(query, (number, folded)).fetchone()
    return None if row is None else int(row[0])
