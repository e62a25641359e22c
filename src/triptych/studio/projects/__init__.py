"""What the studio stores: projects of classes and photos, decisions about them, and an inbox.

    <home>/studio/
        studio.sqlite          projects, classes, photos, decisions, inbox, jobs
        photos/ab/<SHA-256>    the bytes of each photo, as they came; never changed
        thumbs/ab/<SHA-256>.jpg  thumbnails, made again when they are missing

`Projects` in `store` is the public interface; the modules behind it take an open transaction:

    records        what the tables hold, as dataclasses
    database       the SQLite file and its transactions; `migrations` to today's tables
    photo_store    files of photos and thumbnails, kept consistent with their rows
    project_table  rows of projects and classes
    photo_table    rows of photos
    job_table      rows of training jobs, which `triptych.studio.jobs` runs
    decisions      what people decided about photos, and undoing it
    inbox          photos that were kept for review
    dataset        a project as a data set to train on, and findings about it
    transfer       import and export
    recovery       photos whose database is lost
    naming         valid names of projects, classes and files
"""

from __future__ import annotations

from triptych.studio.projects.database import Database
from triptych.studio.projects.records import ALL
from triptych.studio.projects.records import UNSORTED
from triptych.studio.projects.records import Class
from triptych.studio.projects.records import Decision
from triptych.studio.projects.records import InboxPhoto
from triptych.studio.projects.records import Project
from triptych.studio.projects.records import ProjectPhoto
from triptych.studio.projects.store import Projects

__all__ = [
    "ALL",
    "UNSORTED",
    "Class",
    "Database",
    "Decision",
    "InboxPhoto",
    "Project",
    "ProjectPhoto",
    "Projects",
]
