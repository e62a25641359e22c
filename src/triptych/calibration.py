"""Fitting what joins members: temperatures and weights, from labelled photos they did not learn.

Arrays in, numbers out. Everything here wants *out-of-fold* probabilities: fitted on the answers
to photos a head was trained on, every member looks perfect.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import combine

Probs = npt.NDArray[Any]
Truth = npt.NDArray[np.integer]

# Outside these a temperature says that there were too few photos, not how sure a member is.
COOLEST, HOTTEST = 0.05, 20.0
FLOOR = 1e-12
# Of photos a member; see `fit_weights`.
PRIOR = 1.0
# In standard deviations: 95 % of what chance does to one side stays below.
BEYOND_CHANCE = 1.645


def likelihood_loss(probs: Probs, truth: Truth) -> float:
    """Mean negative log-likelihood of the true classes, in nats.

    Args:
        probs: Shape (N, C).
        truth: Shape (N,).

    Example:
        >>> round(likelihood_loss(np.array([[0.5, 0.5]]), np.array([0])), 3)
        0.693
    """
    own = probs[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(own, FLOOR)).mean())


def fit_temperature(probs: Probs, truth: Truth, *, doubt: float = 0.0) -> float:
    """The temperature that makes a member's probabilities most likely.

    Args:
        probs: Out-of-fold probabilities, shape (N, C).
        truth: Shape (N,).
        doubt: As if so many more photos had been seen, whose class nobody knows. With few
            photos, all of them right, any other fit would end in certainty.

    Returns:
        Above 1 for a member that boasts, below 1 for one that is too modest, and 1 where no
        other is better, as when all classes are alike everywhere.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    from scipy import optimize

    if not len(truth):
        return 1.0

    def loss(log_t: float) -> float:
        tempered = combine.temper(probs, float(np.exp(log_t)))
        unknown = -float(np.log(np.maximum(tempered, FLOOR)).mean())
        return likelihood_loss(tempered, truth) + doubt / len(truth) * unknown

    bounds = (np.log(COOLEST), np.log(HOTTEST))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def fit_weights(probs: Probs, truth: Truth, *, prior: float = 0.0, steps: int = 200) -> list[float]:
    """Weights, summing to 1, that make the weighted mean most likely.

    Expectation maximisation of mixture proportions: the loss is convex in the weights, each step
    lowers it, and members that add nothing drift to zero.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        prior: As if each member had been the one to believe on so many photos more; keeps the
            weights near equal where there are few photos.
        steps: How many steps.

    Source: Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM
    Algorithm", 1977.
    """
    own = np.maximum(probs[:, np.arange(len(truth)), truth], FLOOR)  # (M, N)
    weights = np.full(len(probs), 1 / len(probs))
    for _ in range(steps if len(truth) else 0):
        shares = weights[:, None] * own
        believed = (shares / shares.sum(axis=0)).sum(axis=1) + prior
        weights = believed / believed.sum()
    return [float(weight) for weight in weights]


def choose_weights(probs: Probs, truth: Truth, *, least: float = 0.05) -> list[float]:
    """Weights for a committee that does not lose to its best member.

    The fitted ones, unless a member alone is right on more photos by more than chance: on few
    photos, what happens to lead by a photo is often not the better one.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        least: Members with a smaller fitted weight are dropped (weight 0).

    Returns:
        One weight per member, summing to 1.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", 1947: of the photos that only one of two gets right, half go to either by
    chance, and a difference larger than 95 % of such draws is asked for.

    Example:
        >>> good, bad = np.tile([0.9, 0.1], (200, 1)), np.tile([0.0, 1.0], (200, 1))
        >>> choose_weights(np.stack([good, bad]), np.zeros(200, int))
        [1.0, 0.0]
    """
    fitted = np.array(fit_weights(probs, truth, prior=PRIOR))
    kept = np.where(fitted < least, 0, fitted)
    chosen, alone = kept / kept.sum(), np.eye(len(probs))

    def right(weights: Probs) -> npt.NDArray[np.bool_]:
        joined = combine.weighted(probs, list(weights))
        return np.asarray(joined.argmax(axis=1) == truth)

    while better := [weights for weights in alone if _is_better(right(weights), right(chosen))]:
        chosen = max(better, key=lambda weights: int(right(weights).sum()))
    return [float(weight) for weight in chosen]


def _is_better(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> bool:
    won, lost = int((one & ~other).sum()), int((other & ~one).sum())
    return won - lost > BEYOND_CHANCE * math.sqrt(won + lost)
