"""The state of a training job, as shown on its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triptych.evaluation import wilson
from triptych.studio.jobs import Job
from triptych.training.config import COMMITTEE
from triptych.training.config import TrainingStage
from triptych.utils import formatting
from triptych.utils.text import text

TITLES = {
    "waiting": text("Waiting"),
    "running": text("Teaching"),
    "done": text("Taught"),
    "stopped": text("Stopped"),
    "failed": text("It did not work"),
    "interrupted": text("Interrupted"),
}
# Stages that are shown only if training uses this option.
OPTIONAL = {TrainingStage.AUGMENTED_FEATURES: "augment", TrainingStage.FINE_TUNING: "fine_tune"}

# The names on the page; for stages with technical names plain ones.
PAGE_NAMES = {
    TrainingStage.SCAN: text("Reading photos"),
    TrainingStage.FEATURES: text("Computing features"),
    TrainingStage.AUGMENTED_FEATURES: text("Computing features of augmented views"),
    TrainingStage.LEARNING_CURVE: text("Learning curve"),
    TrainingStage.FINE_TUNING: text("Fine-tuning"),
    TrainingStage.HEADS: text("Training the final layers"),
    TrainingStage.BUNDLE: text("Saving the classifier"),
}


def of(job: Job) -> dict[str, Any]:
    """The state of a job for the page, as a JSON object.

    Example:
        >>> from triptych.studio.jobs import Job
        >>> of(Job(1, "garden", 0.0, {}, "running", "Training heads", 1, 3))["said"]
        'Training the final layers: 1 of 3.'
    """
    return {
        "state": job.state,
        "title": TITLES[job.state],
        "under_way": job.is_under_way,
        "said": message(job),
        "left": _left(job),
        "progress": min(1.0, job.done / job.total) if job.total else None,
        "stages": _stages(job),
        "stop": text("Stop at once") if job.is_stopping else text("Stop"),
        "kept": _kept(job),
        "tuned": _tuned(job),
        "news": [{**row, "right": _right(row)} for row in job.news],
    }


def message(job: Job) -> str:
    """What a job does or how it ended, as a sentence for people."""
    if job.state == "waiting":
        return text("Another project is being taught; this one starts when that is done.")
    if job.is_stopping:
        return text(
            "Stopping: the best so far is kept, and becomes a version. This may take minutes."
        )
    if job.state == "running":
        return _running(job)
    if job.state != "done":
        return job.error or ""
    scores = [row for row in job.news if row["member"] == COMMITTEE]
    if not scores:
        return text(
            "This made version {number}; there were too few photos to say how often it is right.",
            number=job.version,
        )
    if scores[-1].get("multilabel"):
        return text(
            "This made version {number}. Photos it was not trained on that got all their classes, "
            "and no other: {right}.",
            number=job.version,
            right=_right(scores[-1]),
        )
    return text(
        "This made version {number}. Right answers to photos it was not trained on: {right}.",
        number=job.version,
        right=_right(scores[-1]),
    )


def _running(job: Job) -> str:
    values = {"stage": _name(job.stage), "done": job.done, "total": job.total}
    if job.rate:
        values["rate"] = formatting.decimal(job.rate, 0 if job.rate >= 10 else 1)
    if job.total and job.rate:
        return text("{stage}: {done:,} of {total:,}, {rate} photos a second.", **values)
    if job.total:
        return text("{stage}: {done:,} of {total:,}.", **values)
    if job.rate:
        return text("{stage}, {rate} photos a second.", **values)
    return text("{stage}.", **values)


def _name(stage: str) -> str:
    """The page's name for a stage."""
    of_training = TrainingStage.of(stage)
    return PAGE_NAMES.get(of_training, str(stage)) if of_training else stage


def _kept(job: Job) -> str:
    """What is kept if the job is stopped."""
    if job.is_stopping:
        return text("Stopping at once would keep only the versions that are there already.")
    if TrainingStage.of(job.stage) is TrainingStage.FINE_TUNING:
        return text(
            "Stopping keeps the best so far, and makes a version of it. You can close this page."
        )
    return text(
        "What the networks have computed is kept, so the next time is quicker. You "
        "can close this page."
    )


def _tuned(job: Job) -> list[dict[str, Any]]:
    """The epochs of each network whose own layers are trained, and their curve."""
    curves = dict[str, list[Mapping[str, Any]]]()
    for epoch in job.epochs:
        curves.setdefault(epoch["member"], []).append(epoch)
    return [
        {"member": member, "said": _epochs_message(epochs), "line": _line(epochs)}
        for member, epochs in curves.items()
    ]


def _epochs_message(epochs: list[Mapping[str, Any]]) -> str:
    first, last, photos = epochs[0], epochs[-1], epochs[0]["photos"]
    before = formatting.share_of(first["right"] / photos, photos)
    if last is first:
        return text("{before} right before.", before=before)
    return text(
        "{before} right before, {now} after {rounds}.",
        before=before,
        now=formatting.share_of(last["right"] / photos, photos),
        rounds=formatting.counted(last["number"], "round"),
    )


def _line(epochs: list[Mapping[str, Any]]) -> str:
    """Points of a line, from 0 to 100 across and downwards: the share of right answers."""
    shares = [epoch["right"] / epoch["photos"] for epoch in epochs]
    low, high = min(shares), max(shares)
    scale = (high - low) or 1.0
    across = max(1, len(shares) - 1)
    return " ".join(
        f"{100 * number / across:.1f},{100 * (high - share) / scale:.1f}"
        for number, share in enumerate(shares)
    )


def _right(row: Mapping[str, Any]) -> str:
    """The accuracy of a member, in words."""
    if "photos" not in row:  # a job of 0.1.0
        return formatting.percent(row["accuracy"])
    interval = wilson(round(row["accuracy"] * row["photos"]), row["photos"])
    return formatting.accuracy(row["accuracy"], interval, row["photos"])


def _left(job: Job) -> str:
    if job.left_s is None or not job.is_under_way:
        return ""
    return text("About {time} left in this stage.", time=formatting.about(job.left_s))


def _stages(job: Job) -> list[dict[str, str]]:
    stages = [s for s in TrainingStage if s not in OPTIONAL or job.options.get(OPTIONAL[s])]
    stage_now = TrainingStage.of(job.stage)
    current = stages.index(stage_now) if stage_now in stages else -1
    return [
        {
            "name": _name(stage),
            "state": "done" if i < current else "now" if i == current else "to come",
        }
        for i, stage in enumerate(stages)
    ]
