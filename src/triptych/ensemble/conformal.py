"""Sets of classes that hold the true one as often as asked: arrays in, arrays out.

The score of a class says how unlikely it is: the total probability of the classes ranked above
it, and a little more for every rank beyond the first few. Photos with known classes tell how
high the score of the true class gets; a set holds the classes that score no higher. On photos
like those, it holds the true class at least as often as asked, whatever the network is.

The most probable class scores 0, so no set is empty, nothing is drawn by lot, and the same photo
always gets the same set. The price: where the most probable class alone is right more often than
asked, sets hold just that class and cover as much as the network is right. (Measured, 750 photos:
asked for 80 %, sets of the 86 % right ``lite`` committee hold one class and cover 86 %.)

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

# What each rank beyond the free ones adds to the score, as in RAPS. Without it sets are larger
# where it matters: on the mean of the three lite networks, 750 photos of 1000 classes, five
# folds, 1.27 classes on average instead of 1.24 at 90 % coverage, 2.15 instead of 1.84 at 95 %,
# and at most 59 instead of 13. From 98 % on it costs: 9.0 classes instead of 6.2, and never one.
PENALTY = 0.03
FREE_RANKS = 3

# The coverages that can be asked for; a level is kept for each.
GRID = tuple(thousandths / 1000 for thousandths in (*range(500, 1000, 10), 995, 999))


def scores(probs: Probs, truth: Indices) -> Float64Array:
    """How unlikely each photo's true class was said to be.

    Args:
        probs: Shape (N, C), rows sum to 1, of photos nobody was fitted on.
        truth: Shape (N,), the position of each photo's class.

    Returns:
        Shape (N,), 0 where the true class is the most probable one. Of equally probable classes
        the first ranks higher.

    Example:
        >>> scores(np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]), np.array([1, 2])).round(6)
        array([0. , 0.8])
    """
    places = (_ranking(probs) == truth[:, None]).argmax(axis=1)
    own: Float64Array = _ladder(probs)[np.arange(len(truth)), places]
    return own


def level(scores: Float64Array, coverage: float) -> float:
    """How high a class may score to be in the set.

    Args:
        scores: Shape (N,), those of the true classes.
        coverage: The share of sets that shall hold the true class, above 0 and below 1.

    Returns:
        The ceil((N + 1) * coverage)-th smallest score; infinite where N is too small to promise
        that much, as 8 photos are for 0.9, so that sets hold every class.

    Example:
        >>> level(np.arange(9.0), 0.9), level(np.arange(8.0), 0.9)
        (8.0, inf)
    """
    # Rounded: 100 * 0.57 is 57 and not a hair more, which would be 58.
    place = math.ceil(round((len(scores) + 1) * coverage, 9))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf


def levels(scores: Float64Array) -> tuple[float, ...]:
    """The levels of all coverages of `GRID`, in its order; they never fall.

    Args:
        scores: Shape (N,), those of the true classes.
    """
    return tuple(level(scores, coverage) for coverage in GRID)


def check(coverage: float) -> None:
    """Refuse a coverage that no set can be asked for.

    Raises:
        errors.SettingError: It is not above 0 and at most the last of `GRID`.
    """
    if not 0 < coverage <= GRID[-1]:
        raise errors.SettingError(
            f"Asked for sets that cover {coverage}; expected a share above 0 and at most "
            f"{GRID[-1]}, such as 0.9."
        )


def look_up(levels: Sequence[float], coverage: float) -> float:
    """The level of a coverage, rounded up to the next of `GRID`.

    Args:
        levels: One for each of `GRID`.
        coverage: Above 0, at most the last of `GRID`.

    Raises:
        errors.SettingError: There is no level for that coverage.

    Example:
        >>> look_up(GRID, 0.9), look_up(GRID, 0.901), look_up(GRID, 0.2)
        (0.9, 0.91, 0.5)
    """
    check(coverage)
    return next(own for known, own in zip(GRID, levels, strict=True) if known >= coverage)


def sizes(probs: Probs, level: float) -> Indices:
    """How many classes each photo's set holds.

    Args:
        probs: Shape (..., C), rows sum to 1.
        level: From `level` or `look_up`.

    Returns:
        Shape (...), at least 1.

    Example:
        >>> sizes(np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]]), 0.5)
        array([1, 2])
    """
    # A ladder only climbs, so the classes up to the level are its first ones.
    return np.asarray(np.maximum((_ladder(probs) <= level).sum(axis=-1), 1))


def members(probs: Probs, level: float) -> Indices:
    """The classes in one photo's set, most probable first.

    Args:
        probs: Shape (C,), sums to 1.
        level: From `level` or `look_up`.

    Returns:
        Positions of classes, at least one.

    Example:
        >>> members(np.array([0.3, 0.1, 0.6]), 0.7)
        array([2, 0])
    """
    return _ranking(probs)[: int(sizes(probs, level))]


def _ranking(probs: Probs) -> Indices:
    """Positions (..., C) of the classes, most probable first, of equal ones the first."""
    return np.argsort(-probs, axis=-1, kind="stable")


def _ladder(probs: Probs) -> Float64Array:
    """The score (..., C) of the class at each rank."""
    ranked = -np.sort(-probs.astype(np.float64), axis=-1)
    above = np.cumsum(ranked, axis=-1)
    above = np.concatenate([np.zeros_like(above[..., :1]), above[..., :-1]], axis=-1)
    ranks = np.arange(1, probs.shape[-1] + 1)
    return np.asarray(above + PENALTY * np.maximum(ranks - FREE_RANKS, 0))
