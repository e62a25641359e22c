"""Fitting the weights of the members."""

from __future__ import annotations

import math

import numpy as np

from triptych.ensemble import rules
from triptych.ensemble.fit.calibration import FLOOR
from triptych.typing import Labels
from triptych.typing import Mask
from triptych.typing import Probs

# Photos per member that count as a prior for equal weights; see `fit_weights`.
PRIOR = 1.0
# Standard deviations of a one-sided test at 95 %.
BEYOND_CHANCE = 1.645


def fit_weights(
    probs: Probs, targets: Labels, *, prior: float = 0.0, steps: int = 200
) -> list[float]:
    """Fit weights, summing to 1, that make the weighted mean most likely.

    Expectation maximisation of mixture proportions: the loss is convex in the weights, each step
    lowers it, and members that add nothing drift to zero.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (M, N, C).
        targets: Shape (N,).
        prior: Counts as so many more photos for each member; keeps the weights near equal where
            there are few photos.
        steps: Number of steps.

    Source: Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM
    Algorithm", 1977.
    """
    likelihoods = np.maximum(probs[:, np.arange(len(targets)), targets], FLOOR)  # (M, N)
    weights = np.full(len(probs), 1 / len(probs))
    for _ in range(steps if len(targets) else 0):
        shares = weights[:, None] * likelihoods
        counts = (shares / shares.sum(axis=0)).sum(axis=1) + prior
        weights = counts / counts.sum()
    return [float(weight) for weight in weights]


def choose_weights(probs: Probs, targets: Labels, *, least: float = 0.05) -> list[float]:
    """Choose weights with which the committee does not lose to its best member.

    These are the fitted ones, unless a member alone is right on more photos by more than chance:
    on few photos, the member that leads by a photo is often not the better one.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (M, N, C).
        targets: Shape (N,).
        least: Members with a smaller fitted weight are dropped (weight 0).

    Returns:
        One weight per member, summing to 1.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", 1947: by chance, either of two gets half of the photos that only one gets
    right; a difference larger than 95 % of such draws counts.

    Example:
        >>> good, bad = np.tile([0.9, 0.1], (200, 1)), np.tile([0.0, 1.0], (200, 1))
        >>> choose_weights(np.stack([good, bad]), np.zeros(200, int))
        [1.0, 0.0]
    """
    fitted = np.array(fit_weights(probs, targets, prior=PRIOR))
    thresholded = np.where(fitted < least, 0, fitted)
    best, alone = thresholded / thresholded.sum(), np.eye(len(probs))

    def is_correct(weights: Probs) -> Mask:
        joined = rules.weighted(probs, list(weights))
        return np.asarray(joined.argmax(axis=1) == targets)

    while better := [
        weights for weights in alone if is_better(is_correct(weights), is_correct(best))
    ]:
        best = max(better, key=lambda weights: int(is_correct(weights).sum()))
    return [float(weight) for weight in best]


def is_better(one: Mask, other: Mask) -> bool:
    """Whether one is right on significantly more photos (McNemar's test), both shape (N,)."""
    won, lost = int((one & ~other).sum()), int((other & ~one).sum())
    return won - lost > BEYOND_CHANCE * math.sqrt(won + lost)
