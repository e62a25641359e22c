"""How much each member counts."""

from __future__ import annotations

import math

import numpy as np

from triptych.ensemble import rules
from triptych.ensemble.fit.losses import FLOOR
from triptych.typing import Labels
from triptych.typing import Mask
from triptych.typing import Probs

# Of photos a member; see `fit_weights`.
PRIOR = 1.0
# In standard deviations: 95 % of what chance does to one side stays below.
BEYOND_CHANCE = 1.645


def fit_weights(
    probs: Probs, truth: Labels, *, prior: float = 0.0, steps: int = 200
) -> list[float]:
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


def choose_weights(probs: Probs, truth: Labels, *, least: float = 0.05) -> list[float]:
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

    def right(weights: Probs) -> Mask:
        joined = rules.weighted(probs, list(weights))
        return np.asarray(joined.argmax(axis=1) == truth)

    while better := [weights for weights in alone if is_better(right(weights), right(chosen))]:
        chosen = max(better, key=lambda weights: int(right(weights).sum()))
    return [float(weight) for weight in chosen]


def is_better(one: Mask, other: Mask) -> bool:
    """Whether one is right on more photos than the other by more than chance, both shape (N,)."""
    won, lost = int((one & ~other).sum()), int((other & ~one).sum())
    return won - lost > BEYOND_CHANCE * math.sqrt(won + lost)
