"""The studio's storage: projects of classes and photos, decisions about them, and an inbox.

    <home>/studio/
        studio.sqlite          projects, classes, photos, decisions, inbox, jobs
        photos/ab/<SHA-256>    the original bytes of each photo; never changed
        thumbs/ab/<SHA-256>.jpg  thumbnails, made again if missing

`Projects` in `store` is the public interface; the modules behind it take an open transaction:

    records        the content of the tables, as dataclasses
    database       the SQLite file and its transactions; `migrations` to the current tables
    photo_store    files of photos and thumbnails, kept consistent with their rows
    project_table  rows of projects and classes
    photo_table    rows of photos
    job_table      rows of training jobs, which `triptych.studio.jobs` runs
    decisions      people's decisions about photos, and undoing them
    inbox          photos kept for review
    dataset        a project as a data set to train on, and findings about it
    transfer       import and export
    recovery       projects from photos whose database is lost
    naming         valid names of projects, classes and files
"""

from __future__ import annotations

from triptych.studio.projects.database import Database
from triptych.studio.projects.records import ALL
from triptych.studio.projects.records import NO_CLASS
from triptych.studio.projects.records import UNSORTED
from triptych.studio.projects.records import Class
from triptych.studio.projects.records import Decision
from triptych.studio.projects.records import InboxPhoto
from triptych.studio.projects.records import Project
from triptych.studio.projects.records import ProjectPhoto
from triptych.studio.projects.records import Sorted
from triptych.studio.projects.store import SORTING
from triptych.studio.projects.store import Projects

__all__ = [
    "ALL",
    "NO_CLASS",
    "SORTING",
    "UNSORTED",
    "Class",
    "Database",
    "Decision",
    "InboxPhoto",
    "Project",
    "ProjectPhoto",
    "Projects",
    "Sorted",
]
