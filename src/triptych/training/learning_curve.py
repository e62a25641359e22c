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
    selected = [number for number, member in enumerate(members) if member.weight]
    fitters = {
        number: heads.LinearFitter(features.train[number], truth, len(features.classes))
        for number in selected
    }
    largest = np.bincount(truth, minlength=len(features.classes)).max()
    sizes = [size for size in SIZES if size < largest]
    points = []
    for done, size in enumerate(sizes):
        config.progress(TrainingStage.LEARNING_CURVE, done, len(sizes))
        samples = np.stack(
            [_sample(truth, size, seed) for seed in range(config.seed, config.seed + SEEDS)], axis=1
        )
        combined = np.zeros((SEEDS, len(features.val_truth), len(features.classes)))
        for number, fitter in fitters.items():
            config.raise_if_stopped()
            member = members[number]
            penalty = member.fit.head.notes.get("strength", 1e-3)
            layers = fitter.fit(samples, penalty, tolerance=heads.ROUGH)
            for seed, layer in enumerate(layers):
                probs = fitter.head(layer, penalty).probs(features.val[number])
                combined[seed] += member.weight * rules.temper(probs, member.temperature)
        accuracies = (combined.argmax(axis=2) == features.val_truth).mean(axis=1)
        points.append(CurvePoint(size, tuple(accuracies.tolist())))
    config.progress(TrainingStage.LEARNING_CURVE, len(sizes), len(sizes))
    return tuple(points)


def _sample(truth: Array, size: int, seed: int) -> Array:
    """At most so many photos of each class, drawn by lot: bool, shape (N,)."""
    order = np.random.default_rng(seed).permutation(len(truth))
    sample = np.zeros(len(truth), bool)
    for label in np.unique(truth):
        sample[order[truth[order] == label][:size]] = True
    return sample
