"""Who sits in a committee, and what is fitted for those who do."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.ensemble import params
from triptych.ensemble.fit.fitting import fit
from triptych.ensemble.params import EnsembleParams
from triptych.typing import Labels
from triptych.typing import Probs


def seat(probs: Probs, truth: Labels, costs: Sequence[float]) -> tuple[list[float], EnsembleParams]:
    """Weigh candidates, and fit the committee of those whose weight is not 0.

    Args:
        probs: The candidates' own out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,); where N is 0 all sit, and nothing is fitted.
        costs: What asking each costs; length M.

    Returns:
        A weight per candidate, summing to 1, and what was fitted for those above 0, in order.

    Example:
        >>> import numpy as np
        >>> probs = np.stack([np.tile([0.9, 0.1], (200, 1)), np.tile([0.0, 1.0], (200, 1))])
        >>> weights, found = seat(probs, np.zeros(200, int), [1, 1])
        >>> weights, found.weights
        ([1.0, 0.0], (1.0,))
    """
    if not len(truth):
        equal = [1 / len(probs)] * len(probs)
        return equal, params.unfitted(equal, costs)
    found = fit(probs, truth, costs)
    weights = list(found.weights)
    sitting = [place for place, weight in enumerate(weights) if weight]
    if len(sitting) < len(weights):
        kept = [weights[place] for place in sitting]
        found = fit(probs[sitting], truth, [costs[place] for place in sitting], weights=kept)
    return weights, found
