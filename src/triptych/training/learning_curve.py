"""Accuracy of a committee against photos per class: nearly free once features are computed.

`extrapolate` estimates from it how many photos a class needs for an accuracy. The error falls as a
power of the number of photos, towards a limit.

Sources: Cortes, Jackel, Solla, Vapnik and Denker, "Learning Curves: Asymptotic Values and Rate of
Convergence", 1993; Viering and Loog, "The Shape of Learning Curves: a Review", 2022.
"""

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
# Extrapolation: the fewest sizes, exponents of the power, resampled curves, and how many times the
# largest size is not too far away.
FEWEST_POINTS = 3
EXPONENTS = np.linspace(0.1, 2.0, 191)
RESAMPLED = 400
FARTHEST = 10.0
# The share of resampled curves within the interval.
WITHIN = 0.8


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of a committee that was trained with fewer photos.

    Args:
        per_class: Photos per class.
        accuracies: One per draw, each in [0, 1]; at least one.
    """

    per_class: int
    accuracies: tuple[float, ...]


@dataclass(frozen=True)
class PhotosNeeded:
    """How many photos of each class an accuracy needs.

    Args:
        per_class: The estimate; ``None`` where more than half of the curves that the measurements
            allow do not reach that accuracy within `FARTHEST` times the photos of the largest
            measurement.
        low: It is as plausible as one in ten that fewer are enough.
        high: It is as plausible as one in ten that more are needed; ``None`` where that is beyond
            the same limit.
        limit: The accuracy at `FARTHEST` times the photos, in [0, 1].
    """

    per_class: float | None
    low: float | None
    high: float | None
    limit: float


def extrapolate(
    points: Sequence[CurvePoint], target: float, *, photos: int, seed: int = 0
) -> PhotosNeeded | None:
    """Estimate how many photos of each class are needed for an accuracy.

    The interval comes from curves that are fitted to resampled measurements. It allows for the
    choice of the photos that are trained on, and for the number of those that are predicted.

    Args:
        points: A learning curve, as from `compute`.
        target: The accuracy, in (0, 1).
        photos: How many photos were predicted for each accuracy, at least 1.
        seed: Of the resampling.

    Returns:
        ``None`` where it cannot be known: there are fewer than `FEWEST_POINTS` sizes, or accuracy
        does not rise with the number of photos.

    Example:
        >>> points = [CurvePoint(n, (1 - 0.6 / n, 1 - 0.6 / n)) for n in (1, 2, 5, 10)]
        >>> needed = extrapolate(points, 0.97, photos=10_000)
        >>> round(needed.per_class), needed.low < 20 < needed.high
        (20, True)
    """
    if len(points) < FEWEST_POINTS:
        return None
    sizes = np.array([point.per_class for point in points], np.float64)
    errors = 1 - np.array([np.mean(point.accuracies) for point in points])
    if errors[-1] >= errors[0]:
        return None
    # Draws of one size vary by chance, those of large sizes less than can be seen from a few.
    draws = np.array([len(point.accuracies) for point in points])
    spreads = [np.var(point.accuracies, ddof=1) for point in points if len(point.accuracies) > 1]
    spread = np.sqrt((np.mean(spreads) if spreads else 0.0) / draws)
    sampling = np.sqrt(np.maximum(errors * (1 - errors), 1 / (photos + 2)) / photos)
    random = np.random.default_rng(seed)
    resampled = errors + np.concatenate(
        [
            np.zeros((1, len(sizes))),
            # All sizes are measured on the same photos: their chance is the same, too.
            random.normal(size=(RESAMPLED, 1)) * sampling
            + random.normal(size=(RESAMPLED, len(sizes))) * spread,
        ]
    )
    needed, farthest = _photos_for(1 - target, sizes, resampled)
    low, middle, high = np.quantile(
        needed[1:], [(1 - WITHIN) / 2, 0.5, (1 + WITHIN) / 2], method="inverted_cdf"
    )
    estimate, low, high = (
        float(each) if np.isfinite(each) else None for each in (middle, low, high)
    )
    return PhotosNeeded(estimate, low, high, limit=float(1 - np.median(farthest)))


def _photos_for(error: float, sizes: Array, errors: Array) -> tuple[Array, Array]:
    """Fit a curve to each row, and read it.

    Args:
        error: The wanted error.
        sizes: Photos per class, shape (P,).
        errors: Shape (R, P).

    Returns:
        How many photos per class have that error, infinite beyond the farthest; and the error at
        the farthest; both of shape (R,).
    """
    best = np.full(len(errors), np.inf)
    limits, factors, exponents = (np.zeros(len(errors)) for _ in range(3))
    for exponent in EXPONENTS:
        powers = sizes**-exponent  # (P,)
        centred = powers - powers.mean()
        # Least squares with a limit of at least 0, towards which the error falls.
        factor = np.maximum(errors @ centred / (centred @ centred), 0)  # (R,)
        limit = errors.mean(axis=1) - factor * powers.mean()
        without = np.maximum(errors @ powers / (powers @ powers), 0)
        factor, limit = np.where(limit < 0, without, factor), np.maximum(limit, 0)
        loss = ((errors - limit[:, None] - factor[:, None] * powers) ** 2).sum(axis=1)
        better = loss < best
        best = np.where(better, loss, best)
        limits, factors = np.where(better, limit, limits), np.where(better, factor, factors)
        exponents = np.where(better, exponent, exponents)
    farthest = FARTHEST * sizes[-1]
    room = np.maximum(error - limits, 1e-12)
    with np.errstate(divide="ignore", over="ignore"):
        needed = np.where(factors > 0, (factors / room) ** (1 / exponents), 0.0)
    needed = np.where((limits >= error) | (needed > farthest), np.inf, np.maximum(needed, 1))
    return needed, limits + factors * farthest**-exponents


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
