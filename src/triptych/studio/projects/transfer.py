"""Import of projects from folders, zips and tables; export to folders and data sets."""

from __future__ import annotations

import csv
import dataclasses
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from triptych import errors
from triptych.data import findings
from triptych.data import opening
from triptych.data.formats import Missing
from triptych.data.layout import SEPARATOR
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.data.records import Dataset
from triptych.data.records import Finding
from triptych.studio.projects import dataset
from triptych.studio.projects import decisions
from triptych.studio.projects import naming
from triptych.studio.projects import photo_table
from triptych.studio.projects import project_table
from triptych.studio.projects.database import Database
from triptych.studio.projects.photo_store import PhotoStore
from triptych.studio.projects.photo_table import PhotoFacts
from triptych.studio.projects.records import Project
from triptych.studio.projects.records import ProjectPhoto
from triptych.typing import Progress
from triptych.utils import concurrency
from triptych.utils import storage
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

# Of an exported multi-label project: the classes of each photo.
TABLE = "labels.csv"


def _silent(done: int, total: int) -> None:
    pass


class Transfer:
    """The part of `Projects` that imports and exports."""

    database: Database
    photo_store: PhotoStore
    home: Path

    def dataset(self, key: str) -> Dataset:
        """A project as a data set for `training.train`, without opening photos that were measured.

        Args:
            key: Of the project; photos that were not reviewed or are excluded are left out.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SourceError: Fewer than two classes have photos.
        """
        with self.database.reading() as db:
            title, number = project_table.find(db, key).title, project_table.number_of(db, key)
        self.photo_store.measure_earlier(number)
        with self.database.reading() as db:
            return dataset.dataset_of(db, number, title, self.photo_store.blobs.read)

    def export(self, key: str, folder: Path, *, progress: Progress = _silent) -> int:
        """Write a folder per class; files keep their names unless two are the same.

        Of a multi-label project, one folder and `TABLE`, a CSV file with ``|`` between the classes
        of a photo.

        Args:
            key: Of the project; photos that were not reviewed or are excluded are left out.
            folder: Created, or empty.
            progress: Called after each photo with the number done and the total.

        Returns:
            How many photos were written.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SourceError: The folder is not empty, or cannot be written.
        """
        with self.database.reading() as db:
            number = project_table.number_of(db, key)
            entries = list(dataset.entries(db, number))
            multilabel = photo_table.is_multilabel(db, number)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise errors.SourceError(
                    text(
                        "{folder!r} is not empty, and nothing is ever overwritten. Name a new one.",
                        folder=str(folder),
                    )
                )
            for done, entry in enumerate(entries, start=1):
                (folder / entry.folder).mkdir(exist_ok=True)
                data = self.photo_store.blobs.read(entry.digest)
                (folder / entry.folder / entry.file).write_bytes(data)
                progress(done, len(entries))
            if multilabel:
                with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
                    lines = csv.writer(file)
                    lines.writerow(["path", "label"])
                    # Without a separator, the file would be read as one class a photo.
                    is_plain = not any(SEPARATOR in each.label for each in entries)
                    end = SEPARATOR if is_plain else ""
                    lines.writerows(
                        [f"{each.folder}/{each.file}", each.label + end] for each in entries
                    )
        except OSError as error:
            raise errors.SourceError(
                text(
                    "{folder!r} cannot be written: {strerror}. Name another folder.",
                    folder=str(folder),
                    strerror=error.strerror,
                )
            ) from error
        return len(entries)

    def import_from(
        self,
        source: Path | str,
        title: str | None = None,
        *,
        format: str = "auto",
        multilabel: bool = False,
        progress: Progress = _silent,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> Project:
        """Create a project from a folder, zip or CSV of photos, atomically.

        Args:
            source: As for `data.open`, with one class at least; train and val are joined.
            format: As for `data.open`.
            title: Of the project; by default the name of the folder or file.
            multilabel: Whether a photo that is in several folders has all of their classes, and the
                project is multi-label; a CSV file with ``|`` between classes says so itself.
            progress: Called after each file with the number done and of all.
            report: Called with what was left out.

        Raises:
            errors.SourceError: It cannot be opened, or has no photos in classes.
            errors.SettingError: The title is too long.
        """
        layout = opening.layout_of(source, self.photo_store.limits, format=format, least=1)
        layout = dataclasses.replace(layout, multilabel=layout.multilabel or multilabel)
        title = title or naming.as_title(opening.title_of(source))
        return self.import_layout(title, layout, progress=progress, report=report)

    def import_layout(
        self,
        title: str,
        layout: Layout,
        *,
        progress: Progress = _silent,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> Project:
        """Create a project from files with known classes, atomically.

        Args:
            title: Of the project.
            layout: The files.
            progress: Called after each file with the number done and of all.
            report: Called with what was left out.

        Raises:
            errors.SourceError: None of the files is a photo.
            errors.SettingError: The title is empty or too long.
        """
        title = naming.title(title)
        imported, left_out = self._store_photos(layout, progress)
        with self.database.writing() as db:
            key = project_table.make(db, self.home, title, multilabel=layout.multilabel)
            self._add_photos(db, key, layout, imported, person="")
            project = project_table.find(db, key)
            progress(len(layout.items), len(layout.items))  # the last chance to stop
        for finding in left_out:
            report(finding)
        return project

    def add_from(
        self,
        key: str,
        source: Path,
        *,
        person: str = "",
        progress: Progress = _silent,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> list[ProjectPhoto]:
        """Add the photos of a folder, zip or CSV to a project, all or none.

        Args:
            key: Of the project; classes that it lacks are added.
            source: As for `import_from`.
            person: Who does it, for the history: the name of a key.
            progress: Called after each file with the number done and of all.
            report: Called with what was left out.

        Returns:
            The photos; those that the project had are moved to their class, which is a decision. In
            a multi-label project they get the class beside those that they have.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SourceError: It cannot be opened, or has no photos in classes.
            errors.SettingError: The project would have too many classes; or a photo has several,
                or none, in a single-label project.
        """
        with self.database.reading() as db:
            multilabel = photo_table.is_multilabel(db, project_table.number_of(db, key))
        layout = opening.layout_of(source, self.photo_store.limits, least=1)
        layout = dataclasses.replace(layout, multilabel=layout.multilabel or multilabel)
        imported, left_out = self._store_photos(layout, progress)
        with self.database.writing() as db:
            number = self._add_photos(db, key, layout, imported, person=person)
            photos = [photo_table.find(db, number, facts.digest) for _, facts in imported]
            progress(len(layout.items), len(layout.items))  # the last chance to stop
        for finding in left_out:
            report(finding)
        return photos

    def _add_photos(
        self,
        db: sqlite3.Connection,
        key: str,
        layout: Layout,
        imported: Iterable[tuple[Item, PhotoFacts]],
        *,
        person: str,
    ) -> int:
        """Add stored photos to their classes; returns the number of the project."""
        number = project_table.number_of(db, key)
        names = {label: naming.as_class_name(label) for label in layout.classes}
        _check_distinct(names)
        class_ids = {
            label: project_table.class_named(db, number, name) for label, name in names.items()
        }
        for item, facts in imported:
            # Another process may have removed it meanwhile.
            if not self.photo_store.blobs.has(facts.digest):
                facts = self.photo_store.store(item.file.read())
            digest = photo_table.note(db, facts)
            name = naming.file_name(item.file.name)
            labels = project_table.labels(db, number, [class_ids[each] for each in item.all_labels])
            decisions.add_to_class(db, number, digest, name, labels, person)
        return number

    def _store_photos(
        self, layout: Layout, progress: Progress
    ) -> tuple[list[tuple[Item, PhotoFacts]], tuple[Finding, ...]]:
        """Store all photos of a layout, not in a project yet; returns them and findings."""
        imported: dict[str, tuple[Item, PhotoFacts]] = {}
        copies: defaultdict[str, list[Item]] = defaultdict(list)
        failures: list[tuple[Item, errors.TriptychError]] = []

        def store(read: Callable[[], bytes]) -> PhotoFacts | errors.TriptychError:
            try:
                return self.photo_store.store(read())
            except errors.StateError:
                raise
            except errors.TriptychError as error:
                if storage.is_outage(error):
                    raise
                return error

        threads = concurrency.cpu_count()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="triptych-import")
        try:
            # Each file once: a document may name one in many lines.
            readers = {
                id(item.file.read): item.file.read
                for item in layout.items
                if not isinstance(item.file.read, Missing)
            }
            results = concurrency.map_ahead(
                pool, store, storage.read_ahead(readers.values()), ahead=2 * threads
            )
            of_reader: dict[int, PhotoFacts | errors.TriptychError] = {}
            for done, item in enumerate(layout.items, start=1):
                read, number = item.file.read, id(item.file.read)
                if number not in of_reader:
                    if isinstance(read, Missing):
                        of_reader[number] = errors.SourceError(read.message)
                    else:
                        of_reader[number] = next(results)
                result = of_reader[number]
                if isinstance(result, PhotoFacts):
                    imported.setdefault(result.digest, (item, result))
                    copies[result.digest].append(item)
                else:
                    failures.append((item, result))
                progress(done, len(layout.items))
        finally:
            pool.shutdown(cancel_futures=True)
        if not imported:
            item, first = failures[0]
            raise errors.SourceError(
                text(
                    "None of {failures} files is a photo. The first, {source!r}: {first}",
                    failures=len(failures),
                    source=item.file.source,
                    first=first.message,
                )
            )
        left_out = [
            *layout.findings,
            *findings.unreadable(failures),
            *(() if layout.multilabel else _repeated(copies.values())),
        ]
        photos = list(imported.values())
        if layout.multilabel:  # each photo once, with the classes of all its copies
            photos = [(_joined(copies[facts.digest]), facts) for _, facts in photos]
        return photos, findings.in_order(left_out)


def _check_distinct(names: Mapping[str, str]) -> None:
    """Refuse to make one class of two whose names differ in more than case."""
    labels: dict[str, str] = {}
    for label, name in names.items():
        other = labels.setdefault(naming.folded(name), label)
        if naming.folded(" ".join(label.split())) != naming.folded(" ".join(other.split())):
            raise errors.SourceError(
                text(
                    "The classes {label!r} and {other!r} would both be called {name!r} in a "
                    "project. Rename one of them.",
                    label=plain_text(label),
                    other=plain_text(other),
                    name=name,
                )
            )


def _joined(same: Sequence[Item]) -> Item:
    labels = {name for item in same for name in item.all_labels}
    return Item.of_many(same[0].file, labels, "train")


def _repeated(groups: Iterable[Sequence[Item]]) -> Iterator[Finding]:
    """Findings about duplicates; a project has a photo once, in the first of its classes."""
    for same in groups:
        sources = tuple(dict.fromkeys(item.file.source for item in same))
        labels = list(dict.fromkeys(item.label for item in same))
        if len(labels) > 1:
            message = text(
                "The same file is in several classes. Taken into the first, {name!r}.",
                name=labels[0],
            )
            yield Finding("label_conflict", message, sources)
        elif len(same) > 1:
            message = text("The same file several times. Taken in once.")
            yield Finding("exact_duplicate", message, sources)
