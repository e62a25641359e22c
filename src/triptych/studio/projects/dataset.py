"""A project as a data set, and its findings, from data stored when photos were added.

No photo is decoded.
"""

from __future__ import annotations

import functools
import sqlite3
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

from triptych import data
from triptych.data import files
from triptych.data import findings
from triptych.data import near
from triptych.data import scan
from triptych.data.documents import File
from triptych.data.layout import SEPARATOR
from triptych.data.layout import Item
from triptych.data.records import Finding
from triptych.images import formats
from triptych.images.quality import Quality
from triptych.studio.projects import naming
from triptych.studio.projects import photo_table

# The names of several classes are joined by `layout.SEPARATOR`, which no name may have.
_LABELS = """coalesce(class.name, (
    SELECT group_concat(class.name, '|') FROM photo_class JOIN class ON class.id = photo_class.class
    WHERE photo_class.photo = photo.id
), '')"""
_PHOTOS = f"""
SELECT photo.digest, photo.name, {_LABELS}, format, quality IS NULL OR depth_guess IS NULL
FROM photo JOIN content USING (digest) JOIN project ON project.id = photo.project
LEFT JOIN class ON class.id = photo.class
WHERE photo.project = ? AND NOT excluded AND (photo.class IS NOT NULL OR multilabel AND reviewed)
"""
_FACTS = """
SELECT digest, sketch, format, height, width, quality, depth_guess FROM content
WHERE digest IN (SELECT digest FROM photo WHERE project = ? AND NOT excluded)
"""
_MOST_CACHED = 16  # projects
# Of the photos of a multi-label project, in an export.
FOLDER = "photos"

Row = tuple[bytes, str, str, str, bool]


class Entry(NamedTuple):
    """A photo as it is exported.

    Args:
        digest: The photo.
        label: Name of its class; of several, joined by `layout.SEPARATOR`.
        folder: Where it is exported to: in a single-label project, the name of its class.
        file: Name of its file, unique in its folder.
    """

    digest: str
    label: str
    folder: str
    file: str


def entries(db: sqlite3.Connection, project: int) -> Iterator[Entry]:
    """The reviewed photos of a project that are not excluded, class by class."""
    used: set[tuple[str, str]] = set()
    multilabel = photo_table.is_multilabel(db, project)
    rows = db.execute(f"{_PHOTOS} ORDER BY class.name, photo.id", (project,))
    for digest, name, label, kind, _ in rows:
        folder = FOLDER if multilabel else label
        if not files.is_image(name):
            name = f"{name}.{formats.BY_NAME[kind].suffixes[0]}"  # the first of several
        stem, _, ending = name.rpartition(".")
        number = 1
        while (folder, naming.folded(name)) in used:
            number += 1
            name = f"{stem} ({number}).{ending}"
        used.add((folder, naming.folded(name)))
        yield Entry(digest.hex(), SEPARATOR.join(_names(label)), folder, name)


def dataset_of(
    db: sqlite3.Connection, project: int, title: str, read: Callable[[str], bytes]
) -> data.Dataset:
    """The reviewed photos that are not excluded, with names as in an export.

    Args:
        db: In a transaction.
        project: Its number.
        title: Its title.
        read: Gives the bytes of a photo.

    Raises:
        errors.SourceError: Fewer than two classes have photos.
    """
    scanned_photo = _scanned(db, project)
    multilabel = photo_table.is_multilabel(db, project)
    scanned = []
    for digest, label, folder, name in entries(db, project):
        file = File(f"{folder}/{name}", functools.partial(read, digest))
        photo = scanned_photo(bytes.fromhex(digest), name)
        scanned.append((_item(file, label, multilabel=multilabel), photo))
    return data.from_scanned(title, scanned, multilabel=multilabel)


def _names(label: str) -> list[str]:
    return sorted(label.split(SEPARATOR)) if label else []


def _item(file: File, label: str, *, multilabel: bool) -> Item:
    if multilabel:
        return Item.of_many(file, _names(label), "train")
    return Item(file, label, "train")


def _scanned(db: sqlite3.Connection, project: int) -> Callable[[bytes, str], scan.ScannedPhoto]:
    """The result of a scan of a project's photo, by its digest and its file's name."""
    facts = {digest: rest for digest, *rest in db.execute(_FACTS, (project,))}

    def scanned_photo(digest: bytes, name: str) -> scan.ScannedPhoto:
        sketch, kind, height, width, quality, depth_guess = facts[digest]
        return scan.ScannedPhoto(
            digest=digest,
            sketch=near.Sketch.from_bytes(sketch),
            odd_format=scan.odd_format(name, kind),
            size=(height, width),
            quality=Quality.from_bytes(quality) if quality else None,
            depth_guess=depth_guess or "",
        )

    return scanned_photo


class FindingsCache:
    """Computes findings, and caches them until a project changes."""

    def __init__(self) -> None:
        # By project: all that its findings depend on (kind, photos and classes), with the findings.
        self._known: dict[int, tuple[tuple[bool, list[Row], list[str]], tuple[Finding, ...]]] = {}

    def check(
        self, db: sqlite3.Connection, project: int, read: Callable[[str], bytes]
    ) -> tuple[Finding, ...]:
        """Findings about the reviewed photos that are not excluded.

        Args:
            db: In a transaction.
            project: Its number.
            read: Gives the bytes of a photo.

        Returns:
            In the order of `data.records.KINDS`; their sources are digests.
        """
        query = "SELECT name FROM class WHERE project = ? AND NOT removed ORDER BY id"
        classes = [name for (name,) in db.execute(query, (project,))]
        rows: list[Row] = db.execute(_PHOTOS, (project,)).fetchall()
        multilabel = photo_table.is_multilabel(db, project)
        state = (multilabel, rows, classes)
        before, cached = self._known.get(project, (None, ()))
        if state == before:
            return cached
        scanned_photo = _scanned(db, project)
        scanned = []
        for digest, name, label, _, _ in rows:
            file = File(digest.hex(), functools.partial(read, digest.hex()))
            item = _item(file, label, multilabel=multilabel)
            scanned.append((item, scanned_photo(digest, name)))
        photos, of_photos = findings.of_photos(scanned)
        counts = Counter(name for photo in photos for name in photo.item.all_labels)
        universal = [name for name, count in counts.items() if multilabel and count == len(photos)]
        checked = findings.in_order(
            [
                *of_photos,
                *findings.empty([name for name in classes if name not in counts], []),
                *findings.universal(universal),
                *findings.sizes(
                    photos,
                    [name for name in classes if name in counts and name not in universal],
                    multilabel=multilabel,
                ),
            ]
        )
        if len(self._known) >= _MOST_CACHED:
            self._known.clear()
        self._known[project] = (state, checked)
        return checked
