"""Reports of training with as many classes, photos and mistakes as a test wants."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from triptych.evaluation import Predictions
from triptych.evaluation import metrics_of
from triptych.evaluation.report import MemberNote
from triptych.evaluation.report import Report

CURVE = ((4, [0.7, 0.8]), (16, [0.9, 0.92]))


def predicted(targets: np.ndarray, classes: int, wrong: int) -> np.ndarray:
    """Probabilities that are right but for the first photos, which get the next class."""
    label = targets.copy()
    label[:wrong] = (label[:wrong] + 1) % classes
    probs = np.full((len(targets), classes), 0.1 / (classes - 1))
    probs[np.arange(len(targets)), label] = 0.9
    return probs


def make_report(
    *,
    photos: int = 153,
    classes: int = 9,
    wrong: int = 5,
    curve: tuple[tuple[int, list[float]], ...] = (),
    findings: tuple[dict[str, Any], ...] = (),
    lone: bool = False,
    labels: tuple[str, ...] = (),
    sources: tuple[str, ...] = (),
    **other: Any,
) -> Report:
    """A report of a committee that is wrong for the first photos, and its networks for more."""
    labels = labels or tuple(f"class {n}" for n in range(classes))
    targets = np.arange(photos) % len(labels)
    committee = predicted(targets, len(labels), wrong)
    lite0, lite1 = (
        predicted(targets, len(labels), wrong + 6),
        predicted(targets, len(labels), wrong + 3),
    )
    predictions = Predictions(
        labels=labels,
        targets=targets,
        members={"Lite0": committee} if lone else {"Lite0": lite0, "Lite1": lite1},
        committee=committee,
        sources=sources or tuple(f"photos/{n}.jpg" for n in range(photos)),
    )
    numbers = metrics_of(predictions)
    numbers["learning_curve"] = [
        {"images_per_class": size, "top1": shares} for size, shares in curve
    ]
    numbers["findings"] = findings
    notes = other.pop("members", {name: MemberNote(0.5) for name in predictions.members})
    return Report("woodland", "2 May 2026", "153 photos held back", labels, numbers, notes, **other)


def jpeg(source: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "teal").save(file, "JPEG")
    return file.getvalue()
