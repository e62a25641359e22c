"""Fitting what joins members: temperatures and weights, from labelled photos they did not learn.

Arrays in, numbers out. Everything here wants *out-of-fold* probabilities: fitted on the answers
to photos a head was trained on, every member looks perfect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import combine

Probs = npt.NDArray[Any]
Truth = npt.NDArray[np.integer]

# Outside these a temperature says that there were too few photos, not how sure a member is.
COOLEST, HOTTEST = 0.05, 20.0
FLOOR = 1e-12


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


def fit_weights(probs: Probs, truth: Truth, *, steps: int = 200) -> list[float]:
    """Weights, summing to 1, that make the weighted mean most likely.

    Expectation maximisation of mixture proportions: the loss is convex in the weights, each step
    lowers it, and members that add nothing drift to zero.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        steps: How many steps.

    Source: Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM
    Algorithm", 1977.
    """
    own = np.maximum(probs[:, np.arange(len(truth)), truth], FLOOR)  # (M, N)
    weights = np.full(len(probs), 1 / len(probs))
    for _ in range(steps if len(truth) else 0):
        shares = weights[:, None] * own
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    return [float(weight) for weight in weights]


def choose_weights(probs: Probs, truth: Truth, *, least: float = 0.05) -> list[float]:
    """Weights for a committee that does not lose to its best member.

    Of equal weights, fitted weights and each member alone, those with the most right answers;
    between equals the better likelihood decides, so a lone member must really be better.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        least: Members with a smaller fitted weight are dropped (weight 0).

    Returns:
        One weight per member, summing to 1.

    Example:
        >>> good, bad = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.1, 0.9], [0.9, 0.1]])
        >>> choose_weights(np.stack([good, bad]), np.array([0, 1]))
        [1.0, 0.0]
    """
    members = len(probs)
    if not len(truth):
        return [1 / members] * members
    fitted = np.array(fit_weights(probs, truth))
    kept = np.where(fitted < least, 0, fitted)
    candidates: list[Sequence[float]] = [[1 / members] * members, list(kept / kept.sum())]
    candidates += [list(row) for row in np.eye(members)]

    def merit(weights: Sequence[float]) -> tuple[int, float]:
        joined = combine.weighted(probs, weights)
        return int((joined.argmax(axis=1) == truth).sum()), -likelihood_loss(joined, truth)

    return [float(weight) for weight in max(candidates, key=merit)]
