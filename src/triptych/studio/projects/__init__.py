"""What the studio keeps: projects of classes and photos, what was decided of them, an inbox.

    <home>/studio/
        studio.sqlite          projects, classes, photos, decisions, inbox, jobs
        photos/ab/<SHA-256>    the bytes of each photo, as they came; never changed
        thumbs/ab/<SHA-256>.jpg  made anew when they are missing

`Projects` is the door; the modules behind it work on one connection each:

    database    the file, its transactions, and steps to today's tables (`migrations`)
    contents    files by content
    shelf       rows of projects and classes
    album       rows of photos
    decisions   what a person decided, and taking it back
    inbox       photos that were kept for a person to look at
    stock       contents and their rows together
    checking    what the dataset check finds
    exchange    to and from plain folders (`folders`), and the table that teaching reads
    material    a project as teaching wants it
    jobs        rows of teachings; they are run by `triptych.studio.jobs`
    naming      what things may be called
"""

from __future__ import annotations

from triptych.studio.projects.database import Database
from triptych.studio.projects.records import ALL
from triptych.studio.projects.records import UNSORTED
from triptych.studio.projects.records import Class
from triptych.studio.projects.records import Decision
from triptych.studio.projects.records import InboxPhoto
from triptych.studio.projects.records import Photo
from triptych.studio.projects.records import Project
from triptych.studio.projects.store import Projects

__all__ = [
    "ALL",
    "UNSORTED",
    "Class",
    "Database",
    "Decision",
    "InboxPhoto",
    "Photo",
    "Project",
    "Projects",
]
