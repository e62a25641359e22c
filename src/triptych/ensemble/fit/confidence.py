"""From which probability on an answer may be called sure."""

from __future__ import annotations

import numpy as np

from triptych.ensemble.cascade import NEVER
from triptych.typing import Array
from triptych.typing import Float64Array
from triptych.typing import Labels
from triptych.typing import Probs

# How unlikely it may be that sure answers are right less often than promised.
RISK = 0.05


def sure_from(probs: Probs, truth: Labels, *, precision: float) -> float:
    """The least top probability whose answers are right as often as promised.

    "As often" is meant for photos to come, not for these: were the real share of right answers
    below ``precision``, so many right ones among the photos at or above the result would have
    had a chance of at most 5 %. So a result needs some photos: for 95 %, at least 59 of
    which none is wrong.

    Args:
        probs: Calibrated answers to photos nobody was fitted on, shape (N, C).
        truth: Shape (N,).
        precision: The promised share, in (0, 1).

    Returns:
        One of the top probabilities, or `cascade.NEVER`, which is above 1, where none will do.

    Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial", 1934.

    Example:
        >>> probs, truth = np.tile([0.8, 0.2], (59, 1)), np.zeros(59, int)
        >>> sure_from(probs, truth, precision=0.95), sure_from(probs, truth, precision=0.96)
        (0.8, 2.0)
    """
    top = probs.max(axis=1)
    order = np.argsort(-top, kind="stable")
    top, right = top[order], (probs.argmax(axis=1) == truth)[order]
    reached = least_share(np.cumsum(right), np.arange(1, len(top) + 1)) >= precision
    # Of equal probabilities all or none are in: a cut lies behind the last of them.
    reached[:-1] &= top[1:] < top[:-1]
    return float(top[reached].min(initial=NEVER))


def least_share(right: Array, total: Array) -> Float64Array:
    """The exact lower bound of shares, wrong in one of 20 cases at most; any one shape.

    Args:
        right: How many were right, from 0.
        total: Of how many, at least 1.
    """
    from scipy import special

    # The beta distribution has no parameter 0; of none right, nothing is promised.
    some = np.maximum(right, 1)
    return np.where(right > 0, special.betaincinv(some, total - some + 1, RISK), 0.0)
