"""Accuracy of a committee against photos per class: nearly free once features are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych.ensemble import rules
from triptych.training import heads
from triptych.training.committee import TrainedMember
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage
from triptych.training.feature_set import FeatureSet
from triptych.typing import Array

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SEEDS = 5


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of a committee that was trained with fewer photos.

    Args:
        per_class: Photos per class.
        accuracies: One per seed, each in [0, 1]; at least one.
    """

    per_class: int
    accuracies: tuple[float, ...]


def compute(
    features: FeatureSet, members: Sequence[TrainedMember], config: TrainingConfig
) -> tuple[CurvePoint, ...]:
    """Train the committee's heads with few photos, then with more and more.

    Args:
        features: Of the photos.
        members: Those with weight 0 are left out.
        config: Seed, progress, stop.

    Returns:
        A point for each of `SIZES` that is smaller than the largest class, over `SEEDS` draws.

    Raises:
        errors.Stopped: ``config.stop`` returned true.
    """
    truth = features.train_truth
    largest = np.bincount(truth, minlength=len(features.classes)).max()
    sizes = [size for size in SIZES if size < largest]
    points = []
    for done, size in enumerate(sizes):
        config.progress(TrainingStage.LEARNING_CURVE, done, len(sizes))
        config.raise_if_stopped()
        accuracies = []
        for seed in range(config.seed, config.seed + SEEDS):
            order = np.random.default_rng(seed).permutation(len(truth))
            sample = np.concatenate(
                [order[truth[order] == label][:size] for label in np.unique(truth)]
            )
            accuracies.append(_accuracy(features, members, sample))
        points.append(CurvePoint(size, tuple(accuracies)))
    config.progress(TrainingStage.LEARNING_CURVE, len(sizes), len(sizes))
    return tuple(points)


def _accuracy(features: FeatureSet, members: Sequence[TrainedMember], sample: Array) -> float:
    """Validation accuracy of linear heads trained on a sample of the training photos."""
    combined = np.zeros((len(features.val_truth), len(features.classes)))
    for member, train, val in zip(members, features.train, features.val, strict=True):
        if member.weight:
            fitted = heads.fit_linear(
                train[sample],
                features.train_truth[sample],
                classes=len(features.classes),
                penalty=member.fit.head.notes.get("strength", 1e-3),
            )
            combined += member.weight * rules.temper(fitted.probs(val), member.temperature)
    return float((combined.argmax(axis=1) == features.val_truth).mean())
