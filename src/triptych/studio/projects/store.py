"""`Projects`: the interface to the studio's storage."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych import errors
from triptych import images
from triptych.data import near
from triptych.data.records import Finding
from triptych.studio.projects import decisions
from triptych.studio.projects import naming
from triptych.studio.projects import photo_table
from triptych.studio.projects import project_table
from triptych.studio.projects import recovery
from triptych.studio.projects.database import Database
from triptych.studio.projects.dataset import FindingsCache
from triptych.studio.projects.inbox import Inbox
from triptych.studio.projects.photo_store import BlobStore
from triptych.studio.projects.photo_store import PhotoStore
from triptych.studio.projects.records import ALL
from triptych.studio.projects.records import Class
from triptych.studio.projects.records import Decision
from triptych.studio.projects.records import Project
from triptych.studio.projects.records import ProjectPhoto
from triptych.studio.projects.records import Sorted
from triptych.studio.projects.transfer import Transfer

FOLDER = "studio"
# Folder of what `triptych.studio.sorting` finds out about photos, by project.
SORTING = "sorting"
# How many photos of older versions are measured while a page waits: about a second.
MEASURED_AT_ONCE = 500


class Projects(Transfer, Inbox):
    """The projects in a home folder; safe to use from any number of threads and processes.

    Changes are durable when a call returns. Photos are stored by content hash, and are never
    changed.

    Args:
        home: Home folder; projects are stored in ``home/studio``.
        limits: Bytes and pixels allowed in a photo.

    Raises:
        errors.StateError: The database cannot be read or written, or is lost.

    Example:
        >>> import tempfile
        >>> projects = Projects(Path(tempfile.mkdtemp()))
        >>> garden = projects.make("My garden")
        >>> projects.add_class(garden.key, "bees")
        Class(id=1, name='bees', photos=0)
        >>> projects.find("my-garden").photos
        0
    """

    def __init__(self, home: Path, *, limits: images.Limits = images.DEFAULT_LIMITS) -> None:
        self.home = home
        recovery.check(home / FOLDER)
        self.database = Database(home / FOLDER / recovery.DATABASE)
        self._checker = FindingsCache()
        self.photo_store = PhotoStore(self.database, BlobStore(home / FOLDER, limits), limits)
        # Left by a process that was killed while removing photos; if locked, another time will do.
        with contextlib.suppress(errors.Overloaded):
            self.photo_store.collect(patience_s=0)

    # Projects and classes

    def make(self, title: str, *, multilabel: bool = False) -> Project:
        """Create a project with a new key, unique among projects and bundles.

        Args:
            title: Its title.
            multilabel: Whether a photo can have any number of classes, instead of one.

        Raises:
            errors.SettingError: The title is empty or too long.
        """
        with self.database.writing() as db:
            key = project_table.make(db, self.home, title, multilabel=multilabel)
            return project_table.find(db, key)

    def all(self) -> list[Project]:
        """All projects, newest first."""
        with self.database.reading() as db:
            keys = db.execute("SELECT key FROM project ORDER BY id DESC").fetchall()
            return [project_table.find(db, key) for (key,) in keys]

    def find(self, key: str) -> Project:
        """A project by its key.

        Raises:
            errors.UnknownName: There is none.
        """
        with self.database.reading() as db:
            return project_table.find(db, key)

    def rename(self, key: str, title: str) -> None:
        """Change the title of a project; its key stays the same.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SettingError: The title is empty or too long.
        """
        with self.database.writing() as db:
            values = naming.title(title), project_table.number_of(db, key)
            db.execute("UPDATE project SET title = ? WHERE id = ?", values)

    def set_multilabel(self, key: str, multilabel: bool) -> None:
        """Let the photos of a project have any number of classes, or exactly one.

        Photos keep their classes. Those to which no class applies are unsorted while photos have
        one class; they are remembered unless a class is given to them.

        Args:
            key: Of the project.
            multilabel: Whether a photo can have any number of classes.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SettingError: Photos have several classes, and are to have one.
        """
        with self.database.writing() as db:
            number = project_table.number_of(db, key)
            if photo_table.is_multilabel(db, number) != multilabel:
                project_table.set_multilabel(db, number, multilabel=multilabel)

    def remove(self, key: str) -> None:
        """Remove a project for good, with its history and the photos that no other project uses.

        Bundles that were trained from it stay.

        Raises:
            errors.UnknownName: There is no such project.
        """
        with self.database.writing() as db:
            db.execute("DELETE FROM project WHERE id = ?", (project_table.number_of(db, key),))
        shutil.rmtree(self.home / FOLDER / SORTING / key, ignore_errors=True)
        self.photo_store.collect()

    def add_class(self, key: str, name: str) -> Class:
        """Add a class.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SettingError: The name is invalid or taken.
        """
        with self.database.writing() as db:
            number = project_table.add_class(db, project_table.number_of(db, key), name)
            return next(each for each in project_table.find(db, key).classes if each.id == number)

    def class_of_folder(self, key: str, folder: str) -> Class:
        """The class for photos in a folder; it is added if there is none.

        Args:
            key: Of the project.
            folder: Its name; the class has it, or a similar one that classes can have.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SettingError: There are too many classes.
        """
        name = naming.as_class_name(folder)
        with self.database.writing() as db:
            number = project_table.class_named(db, project_table.number_of(db, key), name)
            return next(each for each in project_table.find(db, key).classes if each.id == number)

    def rename_class(self, key: str, class_id: int, name: str) -> None:
        """Rename a class.

        Raises:
            errors.UnknownName: There is no such project or class.
            errors.SettingError: The name is invalid or taken.
        """
        with self.database.writing() as db:
            project_table.rename_class(db, project_table.number_of(db, key), class_id, name)

    def remove_class(self, key: str, class_id: int, *, person: str = "") -> None:
        """Remove a class; photos that have no other become unsorted.

        This is a decision: `undo` restores the class and its photos.

        Args:
            key: Of the project.
            class_id: The class.
            person: Who decides, for the history: the name of a key.

        Raises:
            errors.UnknownName: There is no such project or class.
        """
        with self.database.writing() as db:
            project = project_table.number_of(db, key)
            project_table.check_class(db, project, class_id)
            photos = photo_table.listed(
                db, project, class_id=class_id, excluded=None, offset=0, limit=-1
            )
            digests = [photo.digest for photo in photos]
            decisions.set_label(db, project, digests, class_id, present=False, person=person)
            # Only marked: undo restores it under the same number.
            db.execute("UPDATE class SET removed = 1 WHERE id = ?", (class_id,))

    # Photos

    def add(
        self,
        key: str,
        name: str,
        data: bytes,
        class_id: int | Sequence[int] | None = None,
        *,
        person: str = "",
    ) -> ProjectPhoto:
        """Add a photo, unchanged.

        Args:
            key: Of the project.
            name: Name of its file.
            data: The bytes of the file.
            class_id: Its class, if it has one. If the project has the photo already, it is moved
                there, which counts as a decision; an excluded one stays excluded. In a multi-label
                project, classes: it gets them beside those that it has; ``()`` for a photo to which
                no class applies.
            person: Who decides, for the history: the name of a key.

        Raises:
            errors.ImageError: It is not a readable photo.
            errors.UnknownName: There is no such project or class.
            errors.SettingError: It is not one class, in a single-label project.
            errors.StateError: It cannot be written.
        """
        with self.database.reading() as db:
            project_table.target(db, key, class_id)
        facts = self.photo_store.store(data)
        with self.database.writing() as db:
            project, labels = project_table.target(db, key, class_id)
            digest = self.photo_store.note(db, facts, data)
            name = naming.file_name(name)
            decisions.add_to_class(db, project, digest, name, labels, person)
            return photo_table.find(db, project, facts.digest)

    def photos(
        self,
        key: str,
        *,
        class_id: int | None = ALL,
        excluded: bool | None = False,
        offset: int = 0,
        limit: int = 100,
    ) -> list[ProjectPhoto]:
        """Photos of a project, in the order they were added.

        Args:
            key: Of the project.
            class_id: Only those of a class; ``None`` or `UNSORTED`: to be reviewed, without a class
                yet; `NO_CLASS`: reviewed, and no class applies; `ALL`: all.
            excluded: Whether to list excluded photos or the others; ``None`` for both.
            offset: How many to skip.
            limit: How many at most; -1 for all.

        Raises:
            errors.UnknownName: There is no such project.
        """
        with self.database.reading() as db:
            return photo_table.listed(
                db,
                project_table.number_of(db, key),
                class_id=class_id,
                excluded=excluded,
                offset=offset,
                limit=limit,
            )

    def photo(self, key: str, digest: str) -> ProjectPhoto:
        """A photo of a project.

        Raises:
            errors.UnknownName: There is no such project, or it has no such photo.
        """
        with self.database.reading() as db:
            return photo_table.find(db, project_table.number_of(db, key), digest)

    def photos_of(self, key: str, digests: Sequence[str]) -> list[ProjectPhoto]:
        """Those of some photos that a project has, in the order of their digests here.

        Raises:
            errors.UnknownName: There is no such project.
        """
        photos = []
        with self.database.reading() as db:
            number = project_table.number_of(db, key)
            for digest in dict.fromkeys(digests):
                with contextlib.suppress(errors.UnknownName):
                    photos.append(photo_table.find(db, number, digest))
        return photos

    def sketches(self, digests: Sequence[str]) -> list[near.Sketch]:
        """The sketches of stored photos, by which copies are recognised.

        Raises:
            errors.UnknownName: One of them is not stored.
        """
        query = "SELECT sketch FROM content WHERE digest = ?"
        sketches = []
        with self.database.reading() as db:
            for digest in digests:
                row = db.execute(query, (photo_table.in_bytes(digest),)).fetchone()
                if row is None:
                    raise photo_table.unknown(digest)
                sketches.append(near.Sketch.from_bytes(row[0]))
        return sketches

    def erase(self, key: str, digests: Sequence[str]) -> int:
        """Remove photos from a project for good, with the files that no other project uses.

        Returns:
            How many.

        Raises:
            errors.UnknownName: There is no such project, or it lacks one of them; none is removed.
        """
        with self.database.writing() as db:
            rows = list(photo_table.rows(db, project_table.number_of(db, key), digests))
            db.executemany("DELETE FROM photo WHERE id = ?", ((row.id,) for row in rows))
        self.photo_store.collect()
        return len(rows)

    def read(self, digest: str) -> bytes:
        """The original bytes of a photo.

        Raises:
            errors.UnknownName: There is no such photo.
        """
        return self.photo_store.blobs.read(self._checked(digest))

    def thumbnail(self, digest: str) -> bytes:
        """A photo as a JPEG file whose longer side has 240 pixels.

        Raises:
            errors.UnknownName: There is no such photo.
        """
        return self.photo_store.blobs.thumbnail(self._checked(digest))

    @staticmethod
    def _checked(digest: str) -> str:
        # Validated, since it becomes part of a path.
        return photo_table.in_bytes(digest).hex()

    # Findings and decisions

    def findings(self, key: str) -> list[Finding]:
        """Check the photos that have a class and are not excluded; see `triptych.data.findings`.

        Returns:
            Their sources are digests of photos.

        Raises:
            errors.UnknownName: There is no such project.
        """
        with self.database.reading() as db:
            number = project_table.number_of(db, key)
        self.photo_store.measure_earlier(number, most=MEASURED_AT_ONCE)
        with self.database.reading() as db:
            return list(self._checker.check(db, number, self.read))

    def decide(
        self,
        key: str,
        digests: Sequence[str],
        *,
        class_id: int | Sequence[int] | None = None,
        exclude: bool = False,
        person: str = "",
        expected: Mapping[str, Mapping[str, Any]] = {},
    ) -> int:
        """Move photos to a class, exclude them, or include them again, in one transaction.

        In a multi-label project, `set_label` changes one class and leaves the others.

        Args:
            key: Of the project.
            digests: The photos.
            class_id: The class to move them to; ``None`` for no move, `UNSORTED` for no class. In a
                multi-label project, all classes that they are to have; ``()`` if none applies.
            exclude: Whether they take no part from now on.
            person: Who decides, for the history: the name of a key.
            expected: Fields of a `ProjectPhoto` that the decision is based on, by digest. By
                default it is recorded whatever others have decided meanwhile.

        Returns:
            The number of the batch, for the history; 0 if nothing changed.

        Raises:
            errors.UnknownName: There is no such project, class or photo; nothing is changed.
            errors.Conflict: A photo is not as expected; nothing is changed.
            errors.SettingError: It is not one class, in a single-label project.
        """
        with self.database.writing() as db:
            project = project_table.number_of(db, key)
            decisions.check_expected(db, project, expected)
            return decisions.decide(
                db, project, digests, class_id=class_id, exclude=exclude, person=person
            )

    def sort(self, key: str, classes: Mapping[str, int | None], *, person: str = "") -> Sorted:
        """Give classes to photos that have none, in one transaction and as one batch.

        A photo that somebody gave a class, excluded or removed meanwhile stays as it is.

        Args:
            key: Of the project.
            classes: The class of each photo, by digest; ``None`` excludes the photo.
            person: Who decides, for the history: the name of a key.

        Raises:
            errors.UnknownName: There is no such project or class; nothing is changed.
        """
        with self.database.writing() as db:
            return decisions.sort(db, project_table.number_of(db, key), classes, person)

    def set_label(
        self,
        key: str,
        digests: Sequence[str],
        class_id: int,
        present: bool,
        *,
        person: str = "",
        expected: Mapping[str, Mapping[str, Any]] = {},
    ) -> int:
        """Add one class to photos or remove it from them, in one transaction.

        Other classes of the photos stay, so that two people can label the same photos at once. A
        photo without its last class is to be reviewed again. In a single-label project, a class
        replaces the one before.

        Args:
            key: Of the project.
            digests: The photos.
            class_id: The class.
            present: Whether the photos are to have it.
            person: Who decides, for the history: the name of a key.
            expected: As for `decide`.

        Returns:
            The number of the batch, for the history; 0 if nothing changed.

        Raises:
            errors.UnknownName: There is no such project, class or photo; nothing is changed.
            errors.Conflict: A photo is not as expected; nothing is changed.
        """
        with self.database.writing() as db:
            project = project_table.number_of(db, key)
            decisions.check_expected(db, project, expected)
            return decisions.set_label(
                db, project, digests, class_id, present=present, person=person
            )

    def confirm(
        self,
        key: str,
        digests: Sequence[str],
        *,
        person: str = "",
        expected: Mapping[str, Mapping[str, Any]] = {},
    ) -> int:
        """Record that a person confirmed the labels of photos.

        This is a decision, which `undo` reverts.

        Args:
            key: Of the project.
            digests: The photos.
            person: Who decides, for the history: the name of a key.
            expected: As for `decide`.

        Returns:
            The number of the batch, for the history; 0 if no photo was named.

        Raises:
            errors.UnknownName: There is no such project or photo; nothing is changed.
            errors.Conflict: A photo is not as expected; nothing is changed.
        """
        with self.database.writing() as db:
            project = project_table.number_of(db, key)
            decisions.check_expected(db, project, expected)
            return decisions.confirm(db, project, digests, person)

    def confirmed(self, key: str) -> frozenset[str]:
        """Digests of the photos whose current label a person confirmed.

        Raises:
            errors.UnknownName: There is no such project.
        """
        with self.database.reading() as db:
            return decisions.confirmed(db, project_table.number_of(db, key))

    def undo(self, key: str, batch: int | None = None) -> list[Decision]:
        """Undo a batch of decisions that is still in effect.

        Args:
            key: Of the project.
            batch: The number of the batch; by default whichever is the last.

        Returns:
            The decisions that were undone; empty if there was nothing to undo.

        Raises:
            errors.UnknownName: There is no such project.
            errors.Conflict: It is not in effect, or its photos were decided about since.
            errors.SettingError: Photos would have several classes, in a single-label project.
        """
        with self.database.writing() as db:
            return decisions.undo(db, project_table.number_of(db, key), batch)

    def history(self, key: str, limit: int = 50, offset: int = 0) -> list[Decision]:
        """The latest decisions, newest first, undone ones included.

        Args:
            key: Of the project.
            limit: How many at most; -1 for all.
            offset: How many to skip.

        Raises:
            errors.UnknownName: There is no such project.
        """
        with self.database.reading() as db:
            return decisions.history(db, project_table.number_of(db, key), limit, offset)
