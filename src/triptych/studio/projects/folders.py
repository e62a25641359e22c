"""A folder per class, files under the names they came with: written and taken in."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from triptych import errors
from triptych import images
from triptych.data import files
from triptych.data import findings
from triptych.data import opening
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.data.records import Finding
from triptych.images import formats
from triptych.studio.projects import decisions
from triptych.studio.projects import naming
from triptych.studio.projects import photo_table
from triptych.studio.projects import project_table
from triptych.studio.projects.photo_store import PhotoStore
from triptych.typing import Progress
from triptych.utils import concurrency

# The usual ending where a format has several.
_QUERY = """
SELECT photo.digest, photo.name, class.name, format
FROM photo JOIN content USING (digest) JOIN class ON class.id = photo.class
WHERE photo.project = ? AND NOT excluded
ORDER BY class.name, photo.id
"""


class Entry(NamedTuple):
    """A photo that is written out.

    Args:
        digest: The photo.
        label: Name of its class.
        file: Name of its file, which no other of its class has.
    """

    digest: str
    label: str
    file: str


def entries(db: sqlite3.Connection, project: int) -> Iterator[Entry]:
    """The photos of a project that have a class and take part, class by class."""
    used: set[tuple[str, str]] = set()
    for digest, name, label, kind in db.execute(_QUERY, (project,)):
        if not files.is_image(name):
            name = f"{name}.{formats.BY_NAME[kind].suffixes[0]}"
        free = next(free for free in _numbered(name) if (label, naming.folded(free)) not in used)
        used.add((label, naming.folded(free)))
        yield Entry(digest.hex(), label, free)


def _numbered(name: str) -> Iterator[str]:
    yield name
    stem, _, ending = name.rpartition(".")
    number = 2
    while True:
        yield f"{stem} ({number}).{ending}"
        number += 1


def write_folders(
    listed: Sequence[Entry], read: Callable[[str], bytes], folder: Path, progress: Progress
) -> None:
    """Write photos as a folder per class.

    Args:
        listed: The photos.
        read: Gives the bytes of one.
        folder: Is made, or empty.
        progress: Called after each photo with the number done and of all.

    Raises:
        errors.SourceError: The folder has something in it, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise errors.SourceError(
                f"{str(folder)!r} is not empty, and nothing is ever overwritten. Name a new one."
            )
        for done, entry in enumerate(listed, start=1):
            (folder / entry.label).mkdir(exist_ok=True)
            (folder / entry.label / entry.file).write_bytes(read(entry.digest))
            progress(done, len(listed))
    except OSError as error:
        raise errors.SourceError(
            f"{str(folder)!r} cannot be written: {error.strerror}. Name another folder."
        ) from error


@dataclass(frozen=True)
class ImportedPhoto:
    """A photo on its way into a project.

    Args:
        item: Its file and class.
        facts: What is known of it.
    """

    item: Item
    facts: photo_table.PhotoFacts


def layout_of(source: Path, limits: images.Limits) -> Layout:
    """Which files of a folder, zip or CSV belong to which class."""
    return opening.layout_of(source, limits, least=1)


def store_photos(
    layout: Layout, photo_store: PhotoStore, progress: Progress
) -> tuple[list[ImportedPhoto], tuple[Finding, ...]]:
    """Store all photos of a layout; they are in no project yet.

    Args:
        layout: Which files belong to which class.
        photo_store: Takes them.
        progress: Called after each file with the number done and of all.

    Returns:
        The photos, and what was left out.

    Raises:
        errors.SourceError: None of the files is a photo.
    """

    imported: dict[str, ImportedPhoto] = {}
    copies: defaultdict[str, list[Item]] = defaultdict(list)
    failures: list[tuple[Item, errors.TriptychError]] = []
    for done, (item, result) in enumerate(_stored(layout.items, photo_store), start=1):
        if isinstance(result, photo_table.PhotoFacts):
            imported.setdefault(result.digest, ImportedPhoto(item, result))
            copies[result.digest].append(item)
        else:
            failures.append((item, result))
        progress(done, len(layout.items))
    if not imported:
        item, first = failures[0]
        raise errors.SourceError(
            f"None of {len(failures)} files is a photo. The first, {item.file.source!r}: "
            f"{first.message}"
        )
    all_findings = [*layout.findings, *findings.unreadable(failures), *_repeated(copies.values())]
    return list(imported.values()), findings.in_order(all_findings)


def _stored(
    items: Sequence[Item], photo_store: PhotoStore
) -> Iterator[tuple[Item, photo_table.PhotoFacts | errors.TriptychError]]:
    """Store items in parallel; gives each with its facts, or with the error."""

    def store(item: Item) -> photo_table.PhotoFacts | errors.TriptychError:
        try:
            return photo_store.store(item.file.read())
        except errors.StateError:
            raise
        except errors.TriptychError as error:
            return error

    pool = ThreadPoolExecutor(concurrency.cpu_count(), thread_name_prefix="triptych-import")
    try:
        yield from zip(
            items,
            concurrency.map_ahead(pool, store, items, ahead=2 * concurrency.cpu_count()),
            strict=True,
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _repeated(groups: Iterable[Sequence[Item]]) -> Iterator[Finding]:
    """Photos that came more than once; a project has them once, in the class that was first."""
    for same in groups:
        sources = tuple(item.file.source for item in same)
        labels = list(dict.fromkeys(item.label for item in same))
        if len(labels) > 1:
            message = f"The same file is in several classes. Taken into the first, {labels[0]!r}."
            yield Finding("label_conflict", message, sources)
        elif len(same) > 1:
            yield Finding("exact_duplicate", "The same file several times. Taken in once.", sources)


def add_to_project(
    db: sqlite3.Connection,
    project: int,
    layout: Layout,
    imported: Sequence[ImportedPhoto],
    photo_store: PhotoStore,
) -> None:
    """Write the rows of classes and photos that were received."""
    names = {label: naming.as_class_name(label) for label in layout.classes}
    numbers = {label: project_table.class_named(db, project, name) for label, name in names.items()}
    for arrival in imported:
        facts, file = arrival.facts, arrival.item.file
        if not photo_store.blobs.has(facts.digest):  # another process removed it since
            facts = photo_store.store(file.read())
        digest = photo_table.note(db, facts)
        name = naming.file_name(file.name)
        decisions.place(db, project, digest, name, numbers[arrival.item.label])
