"""How unlikely answers made the truth: what every fit here makes small."""

from __future__ import annotations

import numpy as np

from triptych.typing import Labels
from triptych.typing import Probs

# So that one photo whose class was held impossible cannot make a mean infinite.
FLOOR = 1e-12


def likelihood_loss(probs: Probs, truth: Labels) -> float:
    """The mean of ``-log`` of the true class's probability, in nats; 0 is perfect.

    Args:
        probs: Shape (N, C).
        truth: Shape (N,).

    Example:
        >>> round(likelihood_loss(np.array([[0.5, 0.5]]), np.array([0])), 3)
        0.693
    """
    own = probs[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(own, FLOOR)).mean())
