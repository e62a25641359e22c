"""Accuracy of a committee against photos per class: nearly free once there are features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych.ensemble import rules
from triptych.training import heads
from triptych.training.config import Lesson
from triptych.training.config import Material
from triptych.training.config import Pupil
from triptych.typing import Array

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SEEDS = 5
STAGE = "Learning curve"


@dataclass(frozen=True)
class CurvePoint:
    """How well the committee did when it was trained with fewer photos.

    Args:
        per_class: Photos per class.
        accuracies: One per seed, each in [0, 1]; at least one.
    """

    per_class: int
    accuracies: tuple[float, ...]


def draw(material: Material, pupils: Sequence[Pupil], lesson: Lesson) -> tuple[CurvePoint, ...]:
    """Teach the committee's heads with few photos, then with more and more.

    Args:
        material: The photos.
        pupils: Those with weight 0 are left out.
        lesson: Seed, progress, stop.

    Returns:
        A point for each of `SIZES` that is smaller than the largest class, over `SEEDS` draws.

    Raises:
        errors.Stopped: ``lesson.stop`` said so.
    """
    counts = np.bincount(material.train_truth, minlength=len(material.classes))
    sizes = [size for size in SIZES if size < counts.max()]
    points = []
    for number, size in enumerate(sizes):
        lesson.progress(STAGE, number, len(sizes))
        lesson.pause()
        scores = [
            _score(material, pupils, _some(material.train_truth, size, seed))
            for seed in range(lesson.seed, lesson.seed + SEEDS)
        ]
        points.append(CurvePoint(size, tuple(scores)))
    lesson.progress(STAGE, len(sizes), len(sizes))
    return tuple(points)


def _some(truth: Array, size: int, seed: int) -> Array:
    """Positions of at most ``size`` photos of each class."""
    order = np.random.default_rng(seed).permutation(len(truth))
    return np.concatenate([order[truth[order] == label][:size] for label in np.unique(truth)])


def _score(material: Material, pupils: Sequence[Pupil], some: Array) -> float:
    joined = np.zeros((len(material.val_truth), len(material.classes)))
    for pupil, own, val in zip(pupils, material.train, material.val, strict=True):
        if pupil.weight:
            penalty = pupil.fit.head.notes.get("strength", 1e-3)
            fitted = heads.fit_linear(
                own[some],
                material.train_truth[some],
                classes=len(material.classes),
                penalty=penalty,
            )
            joined += pupil.weight * rules.temper(fitted.probs(val), pupil.temperature)
    return float((joined.argmax(axis=1) == material.val_truth).mean())
