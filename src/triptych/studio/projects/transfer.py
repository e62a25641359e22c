"""Import and export of projects: plain folders, zips and tables in, folders and data sets out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from triptych.data.layout import Layout
from triptych.data.records import Dataset
from triptych.data.records import Finding
from triptych.studio.projects import as_dataset
from triptych.studio.projects import folders
from triptych.studio.projects import naming
from triptych.studio.projects import project_table
from triptych.studio.projects.database import Database
from triptych.studio.projects.photo_store import PhotoStore
from triptych.studio.projects.records import Project
from triptych.typing import Progress


def _silent(done: int, total: int) -> None:
    pass


class Transfer:
    """The part of `Projects` that gives to other programs and takes from them."""

    database: Database
    photo_store: PhotoStore
    home: Path

    def dataset(self, key: str) -> Dataset:
        """A project as `training.train` learns from it, in an instant: no photo is opened.

        Args:
            key: Of the project; photos without a class or that are excluded are left out.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SourceError: Fewer than two classes have photos.
        """
        with self.database.reading() as db:
            title, number = project_table.find(db, key).title, project_table.number_of(db, key)
            return as_dataset.dataset_of(db, number, title, self.photo_store.blobs.read)

    def export(self, key: str, folder: Path, *, progress: Progress = _silent) -> int:
        """Write a plain folder per class; the files keep their names as far as they differ.

        Args:
            key: Of the project; photos without a class or that are excluded are left out.
            folder: Is made, or empty.
            progress: Called after each photo with the number done and of all.

        Returns:
            How many photos were written.

        Raises:
            errors.UnknownName: There is no such project.
            errors.SourceError: The folder has something in it, or cannot be written.
        """
        listed = self._entries(key)
        folders.write_folders(listed, self.photo_store.blobs.read, folder, progress)
        return len(listed)

    def _entries(self, key: str) -> list[folders.Entry]:
        with self.database.reading() as db:
            return list(folders.entries(db, project_table.number_of(db, key)))

    def import_from(
        self,
        source: Path,
        title: str | None = None,
        *,
        progress: Progress = _silent,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> Project:
        """Make a project of a folder, zip or CSV of photos, whole or not at all.

        Args:
            source: As for `dataset.open`, with one class at least; sides are joined.
            title: Of the project; that of the folder or file when it has none.
            progress: Called after each file with the number done and of all.
            report: Called with what was left out.

        Raises:
            errors.SourceError: It cannot be opened, or has no photos in classes.
            errors.SettingError: The title is too long.
        """
        layout = folders.layout_of(source, self.photo_store.limits)
        title = title or naming.as_title(source.resolve().stem)
        return self.import_layout(title, layout, progress=progress, report=report)

    def import_layout(
        self,
        title: str,
        layout: Layout,
        *,
        progress: Progress = _silent,
        report: Callable[[Finding], None] = lambda finding: None,
    ) -> Project:
        """Make a project of files whose classes are known, whole or not at all.

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
        imported, left_out = folders.store_photos(layout, self.photo_store, progress)
        with self.database.writing() as db:
            key = project_table.make(db, self.home, title)
            folders.add_to_project(
                db, project_table.number_of(db, key), layout, imported, self.photo_store
            )
            project = project_table.find(db, key)
        for finding in left_out:
            report(finding)
        return project
