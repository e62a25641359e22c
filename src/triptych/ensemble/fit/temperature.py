"""How boldly to speak: one temperature for a member, or for answers already joined."""

from __future__ import annotations

import math

import numpy as np

from triptych.ensemble.fit.losses import FLOOR
from triptych.typing import Labels
from triptych.typing import Probs

# Outside these a temperature says that there were too few photos, not how sure a member is.
COOLEST, HOTTEST = 0.05, 20.0


def fit_temperature(
    probs: Probs, truth: Labels, *, unlabelled: float = 0.0, prior_photos: float = 0.0
) -> float:
    """The temperature that makes a member's probabilities most likely.

    Args:
        probs: Out-of-fold probabilities, shape (N, C).
        truth: Shape (N,).
        doubt: As if so many more photos had been seen, whose class nobody knows. With few
            photos, all of them right, any other fit would end in certainty.
        trust: As if about so many more photos had been seen that the temperature 1 suits. With
            few photos the result stays near it, whatever they are.

    Returns:
        Above 1 for a member that boasts, below 1 for one that is too modest, and 1 where no
        other is better, as when all classes are alike everywhere.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    from scipy import optimize

    if not len(truth):
        return 1.0
    # What `combine.temper` does, without its costs at every step.
    logits = np.log(np.maximum(probs, np.finfo(np.float32).tiny))  # (N, C)
    logits -= logits.max(axis=1, keepdims=True)
    own = logits[np.arange(len(truth)), truth]

    def loss(log_t: float) -> float:
        cooled = logits / math.exp(log_t)
        norm = np.log(np.exp(cooled).sum(axis=1))
        known = -_floored(own / math.exp(log_t) - norm)
        unknown = -_floored(cooled - norm[:, None]) if unlabelled else 0
        return known + (unlabelled * unknown + prior_photos * log_t**2 / 2) / len(truth)

    bounds = (math.log(COOLEST), math.log(HOTTEST))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return math.exp(found.x) if found.fun < loss(0.0) else 1.0


def _floored(logs: Probs) -> float:
    return float(np.maximum(logs, math.log(FLOOR)).mean(dtype=np.float64))
