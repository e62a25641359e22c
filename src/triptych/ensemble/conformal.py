"""Conformal prediction sets: sets of classes that hold the true one as often as asked.

The score of a class says how unlikely it is: the total probability of the classes ranked above
it, and a little more for every rank beyond the first few. On labelled photos, `quantile` finds how
high the score of the true class gets; a prediction set holds the classes that score no higher.
On photos like those, it contains the true class at least as often as requested, for any network.

The most probable class scores 0, so no set is empty, nothing is drawn at random, and the same photo
always gets the same set. The price: where the most probable class alone is right more often than
asked, sets hold just that class and cover as much as the network is right. docs/doubt.md has the
measurements.

Sources: Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", 2020 (APS,
here with u = 0), and Angelopoulos et al., "Uncertainty Sets for Image Classifiers using Conformal
Prediction", 2021 (RAPS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import Probs
from triptych.utils import ranking

# What each rank beyond the free ones adds to the score (RAPS); measured in docs/doubt.md.
PENALTY = 0.03
FREE_RANKS = 3

# Most sets are smaller, so that the other classes need not be ranked.
_USUAL_SIZE = 16

# The coverages that can be asked for; one quantile is stored for each.
GRID = tuple(thousandths / 1000 for thousandths in (*range(500, 1000, 10), 995, 999))


def scores(probs: Probs, targets: Indices) -> Float64Array:
    """Score each photo's true class: 0 where it is the most probable one.

    Args:
        probs: Shape (N, C), rows sum to 1, of photos that the networks were not fitted on.
        targets: Index of each photo's class, shape (N,).

    Returns:
        Shape (N,). Of equally probable classes the first ranks higher.

    Example:
        >>> scores(np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]), np.array([1, 2])).round(6)
        array([0. , 0.8])
    """
    ranks = (_ranking(probs) == targets[:, None]).argmax(axis=1)
    true_scores: Float64Array = _scores_by_rank(probs)[np.arange(len(targets)), ranks]
    return true_scores


def quantile(scores: Float64Array, coverage: float) -> float:
    """The highest score that a class in a prediction set may have.

    Args:
        scores: Of the true classes, shape (N,).
        coverage: Share of sets that are to hold the true class, above 0 and below 1.

    Returns:
        The ceil((N + 1) * coverage)-th smallest score; infinite where N is too small to promise
        that much, as 8 photos are for 0.9, so that sets hold every class.

    Example:
        >>> quantile(np.arange(9.0), 0.9), quantile(np.arange(8.0), 0.9)
        (8.0, inf)
    """
    # Rounded, because 100 * 0.57 in floating point is a hair more than 57.
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def quantiles(scores: Float64Array) -> tuple[float, ...]:
    """The quantile for each coverage of `GRID`, in its order; they never fall.

    Args:
        scores: Of the true classes, shape (N,).
    """
    return tuple(quantile(scores, coverage) for coverage in GRID)


def check_coverage(coverage: float) -> None:
    """Refuse a coverage for which there is no quantile.

    Raises:
        errors.SettingError: It is not above 0 and at most the last of `GRID`.
    """
    if not 0 < coverage <= GRID[-1]:
        raise errors.SettingError(
            f"Got a coverage of {coverage}; expected a share above 0 and at most "
            f"{GRID[-1]}, such as 0.9."
        )


def quantile_for(quantiles: Sequence[float], coverage: float) -> float:
    """The quantile of a coverage, which is rounded up to the next of `GRID`.

    Args:
        quantiles: One for each of `GRID`.
        coverage: Above 0, at most the last of `GRID`.

    Raises:
        errors.SettingError: There is no quantile for that coverage.

    Example:
        >>> quantile_for(GRID, 0.9), quantile_for(GRID, 0.901), quantile_for(GRID, 0.2)
        (0.9, 0.91, 0.5)
    """
    check_coverage(coverage)
    return next(q for level, q in zip(GRID, quantiles, strict=True) if level >= coverage)


def set_sizes(probs: Probs, quantile: float) -> Indices:
    """The number of classes in each photo's prediction set.

    Args:
        probs: Shape (..., C), rows sum to 1.
        quantile: From `quantile` or `quantile_for`.

    Returns:
        Shape (...), at least 1.

    Example:
        >>> set_sizes(np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]]), 0.5)
        array([1, 2])
    """
    # Scores rise with the rank, so a set is the first classes of the ranking.
    return np.asarray(np.maximum((_scores_by_rank(probs) <= quantile).sum(axis=-1), 1))


def prediction_set(probs: Probs, quantile: float) -> Indices:
    """The classes in one photo's prediction set, most probable first.

    Args:
        probs: Shape (C,), sums to 1.
        quantile: From `quantile` or `quantile_for`.

    Returns:
        Indices of classes, at least one.

    Example:
        >>> prediction_set(np.array([0.3, 0.1, 0.6]), 0.7)
        array([2, 0])
    """
    best = ranking.top_indices(probs, _USUAL_SIZE)
    size = int(set_sizes(probs[best], quantile))
    if size < len(best):  # scores rise with the rank: the set ends among these
        return best[:size]
    return _ranking(probs)[: int(set_sizes(probs, quantile))]


def _ranking(probs: Probs) -> Indices:
    """Indices (..., C) of the classes, most probable first, of equal ones the first."""
    return np.argsort(-probs, axis=-1, kind="stable")


def _scores_by_rank(probs: Probs) -> Float64Array:
    """The score (..., C) of the class at each rank."""
    ranked = -np.sort(-probs.astype(np.float64), axis=-1)
    above = np.cumsum(ranked, axis=-1)
    above = np.concatenate([np.zeros_like(above[..., :1]), above[..., :-1]], axis=-1)
    ranks = np.arange(1, probs.shape[-1] + 1)
    return np.asarray(above + PENALTY * np.maximum(ranks - FREE_RANKS, 0))
