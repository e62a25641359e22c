"""Calibrating probabilities: temperatures, the threshold of "sure" answers, and the loss."""

from __future__ import annotations

import math

import numpy as np

from triptych.ensemble.cascade import NEVER
from triptych.ensemble.promise import RISK
from triptych.typing import Array
from triptych.typing import Float64Array
from triptych.typing import Labels
from triptych.typing import Probs

# Lower bound of a true class's probability, so that one photo cannot make a mean infinite.
FLOOR = 1e-12
# A temperature outside these means too few photos, not how confident a member is.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def negative_log_likelihood(probs: Probs, targets: Labels) -> float:
    """The mean of ``-log`` of the true class's probability, in nats; 0 is perfect.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Example:
        >>> round(negative_log_likelihood(np.array([[0.5, 0.5]]), np.array([0])), 3)
        0.693
    """
    true_class = probs[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(true_class, FLOOR)).mean())


def fit_temperature(
    probs: Probs, targets: Labels, *, unlabelled: float = 0.0, prior_photos: float = 0.0
) -> float:
    """Fit the temperature that makes probabilities most likely (temperature scaling).

    Args:
        probs: Out-of-fold probabilities, shape (N, C).
        targets: Shape (N,).
        unlabelled: Counts as so many more photos of unknown class. With few photos, all of
            them right, any other fit would end in certainty.
        prior_photos: Weight of a prior for the temperature 1, in photos. With few photos the
            result stays near 1, whatever they are.

    Returns:
        Above 1 for an overconfident member, below 1 for an underconfident one, and 1 where no
        other is better, as when all classes are alike everywhere.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    from scipy import optimize

    if not len(targets):
        return 1.0
    # As `rules.temper`, without its costs at every step.
    logits = np.log(np.maximum(probs, np.finfo(np.float32).tiny))  # (N, C)
    logits -= logits.max(axis=1, keepdims=True)
    true_class = logits[np.arange(len(targets)), targets]

    def mean_log(logs: Probs) -> float:
        return float(np.maximum(logs, math.log(FLOOR)).mean(dtype=np.float64))

    def loss(log_t: float) -> float:
        tempered = logits / math.exp(log_t)
        norm = np.log(np.exp(tempered).sum(axis=1))
        labelled_loss = -mean_log(true_class / math.exp(log_t) - norm)
        unlabelled_loss = -mean_log(tempered - norm[:, None]) if unlabelled else 0
        return labelled_loss + (unlabelled * unlabelled_loss + prior_photos * log_t**2 / 2) / len(
            targets
        )

    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    best = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return math.exp(best.x) if best.fun < loss(0.0) else 1.0


def sure_threshold(probs: Probs, targets: Labels, *, precision: float) -> float:
    """Find the least top probability whose answers are right as often as promised.

    The promise is for new photos, not for these: if the real share of right answers were below
    ``precision``, so many right ones among the photos at or above the threshold would have had a
    chance of at most 5 %. So a threshold takes some photos: for 95 %, at least 59 of which none
    is wrong.

    Args:
        probs: Calibrated answers to photos that were not used for fitting, shape (N, C).
        targets: Shape (N,).
        precision: The promised share, in (0, 1).

    Returns:
        One of the top probabilities, or `cascade.NEVER`, which is above 1, where none will do.

    Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial", 1934.

    Example:
        >>> probs, targets = np.tile([0.8, 0.2], (59, 1)), np.zeros(59, int)
        >>> [sure_threshold(probs, targets, precision=share) for share in (0.95, 0.96)]
        [0.8, 2.0]
    """
    top = probs.max(axis=1)
    order = np.argsort(-top, kind="stable")
    top, correct = top[order], (probs.argmax(axis=1) == targets)[order]
    reached = clopper_pearson_lower(np.cumsum(correct), np.arange(1, len(top) + 1)) >= precision
    # Equal probabilities are all in or all out: a cut lies behind the last of them.
    reached[:-1] &= top[1:] < top[:-1]
    return float(top[reached].min(initial=NEVER))


def clopper_pearson_lower(correct: Array, total: Array) -> Float64Array:
    """The exact lower confidence bound (95 %) of a share, elementwise.

    Args:
        correct: How many were right, from 0, any shape.
        total: Of how many, at least 1, the same shape.
    """
    from scipy import special

    # The beta distribution has no parameter 0; where none is right, the bound is 0.
    some = np.maximum(correct, 1)
    return np.where(correct > 0, special.betaincinv(some, total - some + 1, RISK), 0.0)
