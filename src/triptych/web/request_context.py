"""What is noted of a request while it is answered, for the log and the metrics."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from dataclasses import field
from typing import cast

import flask

from triptych.results import Failure
from triptych.results import Verdict

HEADER = "X-Request-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass
class Notes:
    """One request.

    Args:
        id: The client's own name for it, else a new one.
        begun_s: When it began, by `time.perf_counter`.
        committee: Who was asked; empty if nobody was.
        images: About how many images.
        answers: What came of them; none if it went wrong.
        error: The code of what went wrong; empty if nothing did.
    """

    id: str
    begun_s: float = field(default_factory=time.perf_counter)
    committee: str = ""
    images: int = 0
    answers: list[Verdict | Failure] = field(default_factory=list)
    error: str = ""

    @property
    def spent_s(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.begun_s


def current() -> Notes:
    """The notes of the request that is being answered; the first call begins them."""
    noted = flask.g.get("notes")
    if noted is None:
        noted = flask.g.notes = Notes(_id())
    return cast(Notes, noted)


def _id() -> str:
    # What a client sends ends up in the log, so it must not be able to write lines of its own.
    sent = flask.request.headers.get(HEADER, "")
    return sent if SANE_ID.fullmatch(sent) else uuid.uuid4().hex
