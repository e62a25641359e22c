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
from triptych.utils import concurrency

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
# Random draws of each size.
DRAWS = 5
# Large draws share most of their photos and differ little, so fewer are made: together, the draws
# of one size have at most this share of the data set's photos. But there are at least so many,
# `FEWER_DRAWS` if there are more photos than the penalty is selected with.
MOST_DRAWN = 0.5
FEWEST_DRAWS, FEWER_DRAWS = 3, 2
# Tolerance of the fits, see `softmax_regression.fit`. On 136 handwritten characters and on
# synthetic features accuracies are within 1.1 points of those of exact fits, above and below, which
# is less than between draws; fits take a half to a quarter of the steps.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of a committee that was trained with fewer photos.

    Args:
        per_class: Photos per class.
        accuracies: One per draw, each in [0, 1]; at least one.
    """

    per_class: int
    accuracies: tuple[float, ...]


def compute(
    features: FeatureSet, members: Sequence[TrainedMember], config: TrainingConfig
) -> tuple[CurvePoint, ...]:
    """Train the committee's heads with few photos, then with more and more.

    No head starts from layers that were fitted to other photos: heads that are fitted roughly would
    still depend on those.

    Args:
        features: Of the photos.
        members: Those with weight 0 are left out.
        config: Seed, progress, stop.

    Returns:
        A point for each of `SIZES` that is smaller than the largest class, over at most `DRAWS`
        draws.

    Raises:
        errors.Stopped: ``config.stop`` returned true.
    """
    largest = np.bincount(features.train_targets).max()
    sizes = [size for size in SIZES if size < largest]
    selected = [number for number, member in enumerate(members) if member.weight and sizes]
    points = []
    with concurrency.ArrayThreads() as threads:
        learners = [
            *threads.map(
                lambda number: _Learner(features, number, members[number], threads.raise_if_ended),
                selected,
            )
        ]

        def accuracy(size: int, seed: int) -> float:
            sample = _sample(features.train_targets, size, seed)
            combined = np.sum([each.calibrated_probs(sample) for each in learners], axis=0)
            return float((combined.argmax(axis=1) == features.val_targets).mean())

        for done, size in enumerate(sizes):
            config.progress(TrainingStage.LEARNING_CURVE, done, len(sizes))
            config.raise_if_stopped()
            seeds = range(config.seed, config.seed + _draws(features.train_targets, size))
            draws = threads.lead(accuracy, [size] * len(seeds), seeds, poll=config.raise_if_stopped)
            points.append(CurvePoint(size, tuple(draws)))
    config.progress(TrainingStage.LEARNING_CURVE, len(sizes), len(sizes))
    return tuple(points)


class _Learner:
    """Trains the head of a member on fewer photos."""

    def __init__(
        self,
        features: FeatureSet,
        number: int,
        member: TrainedMember,
        raise_if_stopped: heads.Checkpoint,
    ) -> None:
        self._train, self._val = features.train[number], features.val[number]
        self._targets, self._classes = features.train_targets, len(features.classes)
        self._member, self._raise_if_stopped = member, raise_if_stopped
        self._penalty = member.fit.head.notes.get("strength", 1e-3)
        # Large samples use the principal components of all photos; small ones have fewer components
        # of their own, which is faster.
        self._few = self._train.shape[1] // 4
        self._all = None
        if len(self._targets) > self._few:
            self._all = heads.LinearFitter(
                self._train, self._targets, self._classes, raise_if_stopped
            )

    def calibrated_probs(self, sample: Array) -> Array:
        """Weighted probabilities (V, C) for validation photos after training on a sample (N,)."""
        if self._all and sample.sum() > self._few:
            fitter, selection = self._all, sample
        else:
            fitter = heads.LinearFitter(
                self._train[sample], self._targets[sample], self._classes, self._raise_if_stopped
            )
            selection = np.ones(sample.sum(), bool)
        layers = fitter.fit(selection, self._penalty, tolerance=TOLERANCE)
        probs = fitter.head(layers, self._penalty).probs(self._val)
        return np.asarray(self._member.weight * rules.temper(probs, self._member.temperature))


def _draws(targets: Array, size: int) -> int:
    """How many draws are made of so many photos per class."""
    drawn = np.minimum(np.bincount(targets), size).sum()
    fewest = FEWEST_DRAWS if len(targets) <= heads.ENOUGH_TO_SELECT else FEWER_DRAWS
    return min(DRAWS, max(fewest, int(MOST_DRAWN * len(targets) / drawn)))


def _sample(targets: Array, size: int, seed: int) -> Array:
    """At most ``size`` photos of each class, drawn at random: bool, shape (N,)."""
    order = np.random.default_rng(seed).permutation(len(targets))
    sample = np.zeros(len(targets), bool)
    for label in np.unique(targets):
        sample[order[targets[order] == label][:size]] = True
    return sample
