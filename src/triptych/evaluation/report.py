"""``report.html``: one page about a committee that a person can read, keep and pass on.

The file needs nothing beside itself and asks nobody for anything: no script, no address, and a
policy in its head that forbids both.
"""

from __future__ import annotations

import base64
import functools
import math
import statistics
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol

import jinja2
import markupsafe
import numpy as np

from triptych.evaluation import plots
from triptych.evaluation.predictions import Outcome
from triptych.evaluation.predictions import metrics_of
from triptych.typing import Int64Array

PAIRS = 15


@dataclass(frozen=True)
class MemberNote:
    """What the report says of a member beside its numbers.

    Args:
        name: The member, as in `Outcome.members`; one that has no answers there is listed too.
        weight: Its weight in the committee, as it was fitted.
        temperature: What its logits were divided by; 1 changes nothing.
        dropped: Why it was left out of the committee, as a sentence; empty when it was not.
    """

    name: str
    weight: float
    temperature: float = 1.0
    dropped: str = ""


@dataclass(frozen=True)
class CurvePoint:
    """How well the committee did when it was taught with fewer photos.

    Args:
        per_class: Photos per class.
        accuracies: One per seed, each in [0, 1]; at least one.
    """

    per_class: int
    accuracies: tuple[float, ...]


class Finding(Protocol):
    """Something odd that was found in the data, and the photos it is about."""

    @property
    def kind(self) -> str:
        """One or two words, such as ``"duplicate"``; underscores become spaces."""

    @property
    def message(self) -> str:
        """What was found and what was done about it."""

    @property
    def sources(self) -> Sequence[str]:
        """The photos it is about."""


def no_photo(source: str) -> bytes | None:
    """The thumbnail of a photo that cannot be shown."""
    return None


@dataclass(frozen=True)
class Report:
    """All that the page tells.

    Args:
        name: The bundle's.
        date: As people should read it; the page has no clock of its own.
        data: What data the numbers are from, in words.
        outcome: The committee's answers to its test photos.
        rule: How the members are joined: a name from `triptych.ensemble.rules.RULES`.
        members: Weight, temperature and fate of each member, in committee order.
        curve: Accuracy against photos per class, fewest first; may be empty.
        doubt: What its doubt is worth, as rows of name and value.
        findings: What was skipped or odd in the data, and why.
        made: How the committee was made, as rows of name and value.
        thumbnail: Gives a small JPEG of a source, or ``None``.
    """

    name: str
    date: str
    data: str
    outcome: Outcome
    rule: str = "mean"
    members: Sequence[MemberNote] = ()
    curve: Sequence[CurvePoint] = ()
    doubt: Sequence[tuple[str, str]] = ()
    findings: Sequence[Finding] = ()
    made: Sequence[tuple[str, str]] = ()
    thumbnail: Callable[[str], bytes | None] = no_photo


def render(report: Report) -> str:
    """The page as one HTML file; the same report gives the same text.

    Args:
        report: What to tell.

    Returns:
        HTML, ready to be written as UTF-8.

    Raises:
        ImportError: Matplotlib, of the extra ``teach``, is not installed.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> outcome = Outcome(("cat", "dog"), np.array([0, 1]), {"A": probs}, probs, ("a", "b"))
        >>> page = render(Report("pets", "1 May 2025", "two photos", outcome))
        >>> "right on 1 of 2 photos" in page
        True
    """
    html = _templates().get_template("report.html").render(report=report, **_told(report))
    # File names may hold bytes that are no text; the page must still be written.
    return html.encode("utf-8", "replace").decode("utf-8")


def _told(report: Report) -> dict[str, Any]:
    """What the template tells, from numbers; words and percentages are the template's."""
    outcome = report.outcome
    numbers = metrics_of(outcome)
    counts = np.array(numbers["confusion"])
    classes = _classes(numbers, counts)
    return {
        "numbers": numbers,
        "members": _members(report, numbers),
        "floor": _floor(numbers),
        "classes": classes,
        "smallest": min(row["support"] for row in classes),
        "named": len(classes) <= plots.MOST_NAMED,
        "pairs": _pairs(outcome.labels, counts),
        "right": int(counts.trace()),
        "claimed": float(outcome.committee.max(axis=1).mean()),
        "plots": _plots(report, numbers, counts),
        "mistakes": [
            {**mistake, "photo": _data_uri(report.thumbnail(mistake["source"]))}
            for mistake in numbers["mistakes"]
        ],
    }


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("triptych.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["mean"] = statistics.fmean
    return environment


def percent(share: float) -> str:
    """A share in words for people.

    Example:
        >>> percent(0.9673) == "96.7\\u00a0%"
        True
    """
    return f"{share * 100:.1f}\u00a0%"


def _members(report: Report, numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Members in committee order, each with its numbers, its note, or both."""
    notes = {note.name: note for note in report.members}
    scores = {score["name"]: score for score in numbers["members"]}
    names = dict.fromkeys([*notes, *scores])
    return [{"name": name, "note": notes.get(name), "score": scores.get(name)} for name in names]


def _floor(numbers: Mapping[str, Any]) -> float:
    """Where the accuracy scale starts: a round number below every interval, at most 0.9."""
    lows: list[float] = [
        score["interval"][0] for score in (numbers["committee"], *numbers["members"])
    ]
    return min(math.floor(min(lows) * 10) / 10, 0.9)


def _classes(numbers: Mapping[str, Any], counts: Int64Array) -> list[dict[str, Any]]:
    """The classes, hardest first, with how often each was an answer."""
    answered = counts.sum(axis=0).tolist()
    rows = [
        {**row, "answered": times}
        for row, times in zip(numbers["per_class"], answered, strict=True)
    ]
    return sorted(rows, key=lambda row: row["f1"])


def _pairs(labels: Sequence[str], counts: Int64Array) -> list[dict[str, Any]]:
    """The classes that are most often taken for another, most frequent first."""
    mistaken = counts * (1 - np.eye(len(labels), dtype=int))
    order = np.argsort(-mistaken, axis=None, kind="stable")[:PAIRS]
    rows, columns = np.unravel_index(order, counts.shape)
    return [
        {
            "truth": labels[row],
            "answer": labels[column],
            "count": int(counts[row, column]),
            "support": int(counts[row].sum()),
        }
        for row, column in zip(rows, columns, strict=True)
        if mistaken[row, column]
    ]


def _plots(
    report: Report, numbers: Mapping[str, Any], counts: Int64Array
) -> dict[str, markupsafe.Markup]:
    drawn = {
        "confusion": plots.confusion(counts, report.outcome.labels),
        "reliability": plots.reliability(numbers["reliability"]),
    }
    if report.curve:
        points = [(point.per_class, point.accuracies) for point in report.curve]
        drawn["curve"] = plots.learning_curve(points)
    return {name: markupsafe.Markup(svg) for name, svg in drawn.items()}  # drawn by us, escaped


def _data_uri(jpeg: bytes | None) -> str | None:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else None
