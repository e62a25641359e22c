"""Rows of training jobs: configuration, progress, and how each ended."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from triptych import errors
from triptych.studio.projects import project_table
from triptych.studio.projects.database import Database
from triptych.utils.text import Text
from triptych.utils.text import from_json
from triptych.utils.text import text
from triptych.utils.text import to_json

WAITING = "waiting"
RUNNING = "running"
DONE = "done"
STOPPED = "stopped"
FAILED = "failed"
INTERRUPTED = "interrupted"
UNDER_WAY = (WAITING, RUNNING)

_COLUMNS = (
    "options",
    "state",
    "stage",
    "done",
    "total",
    "rate",
    "news",
    "error",
    "version",
    "began_s",
    "ended_s",
)
_QUERY = f"SELECT job.id, key, job.created_s, {', '.join(_COLUMNS)} FROM job " + (
    "JOIN project ON project.id = job.project "
)


@dataclass(frozen=True)
class Job:
    """One training of a project.

    Args:
        id: Its number.
        key: Of the project.
        options: Fields of a `TrainingConfig`; and ``classes``, the numbers of the project's classes
            by their names at that time.
        state: ``"waiting"``, ``"running"``, ``"done"``, ``"stopped"``, ``"failed"`` or
            ``"interrupted"``.
        stage: The stage, for people.
        done: Steps done of the stage.
        total: Total steps of the stage; 0 if unknown.
        rate: Photos per second, if the stage processes photos.
        left_s: Estimated seconds until the stage ends, if known.
        is_stopping: Whether it was asked to stop, and is saving the best so far.
        epochs: Epochs of fine-tuning while it runs: ``member``, ``number``, ``right``,
            ``photos``, ``loss``.
        news: Accuracies as they come: ``member``, ``accuracy`` and on how many ``photos``.
        error: Reason why it ended without a result, for people; ``None`` otherwise.
        version: Version of the resulting bundle.
        created_s: When it was requested, in seconds since 1970.
        began_s: When it started.
        ended_s: When it ended.
    """

    id: int
    key: str
    created_s: float
    options: Mapping[str, Any] = field(repr=False)
    state: str = WAITING
    stage: str = ""
    done: int = 0
    total: int = 0
    rate: float | None = None
    news: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None
    version: int | None = None
    began_s: float | None = None
    ended_s: float | None = None
    left_s: float | None = None
    is_stopping: bool = False
    epochs: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_under_way(self) -> bool:
        """Whether it is waiting or running."""
        return self.state in UNDER_WAY

    def to_dict(self) -> dict[str, Any]:
        """The job as a JSON object."""
        return dataclasses.asdict(self)


class JobTable:
    """The jobs in the studio's database.

    Args:
        database: The database of the projects.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: str, options: Mapping[str, Any]) -> Job:
        """Add a waiting job.

        Raises:
            errors.UnknownName: There is no such project.
        """
        now = time.time()
        with self._database.writing() as db:
            number = db.execute(
                "INSERT INTO job (project, options, state, created_s) VALUES (?, ?, ?, ?)",
                (
                    project_table.number_of(db, key),
                    json.dumps(options, allow_nan=False),
                    WAITING,
                    now,
                ),
            ).lastrowid
            return _find(db, int(number or 0))

    def find(self, number: int) -> Job:
        """A job by its number.

        Raises:
            errors.UnknownName: There is none.
        """
        with self._database.reading() as db:
            return _find(db, number)

    def of(self, key: str) -> list[Job]:
        """The jobs of a project, the latest first.

        Raises:
            errors.UnknownName: There is no such project.
        """
        with self._database.reading() as db:
            number = project_table.number_of(db, key)
            rows = db.execute(f"{_QUERY} WHERE job.project = ? ORDER BY job.id DESC", (number,))
            return [_job(row) for row in rows]

    def numbers(self) -> set[int]:
        """The numbers of all jobs."""
        with self._database.reading() as db:
            return {number for (number,) in db.execute("SELECT id FROM job")}

    def put(self, job: Job) -> None:
        """Save the state of a job; ignored if its project was removed."""
        marks = ", ".join(f"{column} = ?" for column in _COLUMNS)
        fields = {
            **vars(job),
            "options": json.dumps(job.options, allow_nan=False),
            "news": json.dumps(job.news, allow_nan=False),
            "error": _stored(job.error),
        }
        values = [fields[column] for column in _COLUMNS]
        with self._database.writing() as db:
            db.execute(f"UPDATE job SET {marks} WHERE id = ?", (*values, job.id))

    def interrupt(self, reason: str) -> int:
        """Mark all waiting and running jobs as interrupted.

        Args:
            reason: Reason, for people.

        Returns:
            How many.
        """
        with self._database.writing() as db:
            return db.execute(
                "UPDATE job SET state = ?, error = ?, rate = NULL, ended_s = ? "
                "WHERE state IN (?, ?)",
                (INTERRUPTED, _stored(reason), time.time(), *UNDER_WAY),
            ).rowcount


def _stored(sentence: str | None) -> str | None:
    """A sentence as it can be translated when it is read; others as they are."""
    return to_json(sentence) if isinstance(sentence, Text) else sentence


def _find(db: sqlite3.Connection, number: int) -> Job:
    row = db.execute(f"{_QUERY} WHERE job.id = ?", (number,)).fetchone()
    if row is None:
        raise errors.UnknownName(
            text(
                "There is no job {number}; its project may have been removed. Load the page anew.",
                number=number,
            )
        )
    return _job(row)


def _job(row: tuple[Any, ...]) -> Job:
    number, key, created_s, *values = row
    fields = dict(zip(_COLUMNS, values, strict=True))
    fields["options"] = json.loads(fields["options"])
    fields["news"] = tuple(json.loads(fields["news"]))
    if (fields["error"] or "").startswith('{"$text"'):
        fields["error"] = from_json(fields["error"])
    return Job(number, key, created_s, **fields)
