"""A job in the words of its page."""

from __future__ import annotations

import math
from typing import Any

from triptych.studio.jobs import Job
from triptych.training import config
from triptych.utils import formatting

TITLES = {
    "waiting": "Waiting",
    "running": "Teaching",
    "done": "Taught",
    "stopped": "Stopped",
    "failed": "It did not work",
    "interrupted": "Interrupted",
}
# As the teaching names them, in order; the third only where it was asked for.
VIEWS = "Computing features of other views"
STAGES = (
    "Looking at photos",
    "Computing features",
    VIEWS,
    "Training heads",
    "Learning curve",
    "Writing the bundle",
)


def of(job: Job) -> dict[str, Any]:
    """What the page shows of a job, as a JSON object.

    Example:
        >>> from triptych.studio.jobs import Job
        >>> of(Job(1, "garden", 0.0, {}, "running", "Training heads", 1, 3))["said"]
        'Training heads: 1 of 3.'
    """
    return {
        "state": job.state,
        "title": TITLES[job.state],
        "under_way": job.is_under_way,
        "said": _said(job),
        "left": _left(job),
        "progress": min(1.0, job.done / job.total) if job.total else None,
        "stages": _stages(job),
        "news": [{"member": own["member"], "accuracy": own["accuracy"]} for own in job.news],
    }


def _said(job: Job) -> str:
    if job.state == "waiting":
        return "Another teaching is under way; this one begins when that has ended."
    if job.state == "running":
        return _of_stage(job)
    return _outcome(job) if job.state == "done" else job.error or ""


def _of_stage(job: Job) -> str:
    said = f"{job.stage}: {job.done:,} of {job.total:,}" if job.total else job.stage
    if not job.rate:
        return f"{said}."
    return f"{said}, {job.rate:.{0 if job.rate >= 10 else 1}f} photos a second."


def _outcome(job: Job) -> str:
    shares = [own["accuracy"] for own in job.news if own["member"] == config.COMMITTEE]
    made = f"This made version {job.version}"
    if not shares:
        return f"{made}; there were too few photos to say how often it is right."
    return f"{made}: it answered {formatting.percent(shares[-1])} of the photos held back rightly."


def _left(job: Job) -> str:
    if job.left_s is None or not job.is_under_way:
        return ""
    seconds = math.ceil(job.left_s)
    if seconds < 90:
        return f"About {formatting.counted(seconds, 'second')} left in this stage."
    return f"About {round(seconds / 60)} minutes left in this stage."


def _stages(job: Job) -> list[dict[str, str]]:
    names = [name for name in STAGES if name != VIEWS or job.options.get("augment")]
    now = names.index(job.stage) if job.stage in names else -1
    return [
        {"name": name, "state": "done" if place < now else "now" if place == now else "to come"}
        for place, name in enumerate(names)
    ]
