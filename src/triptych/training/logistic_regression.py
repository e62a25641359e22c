"""One logistic regression per class (one-vs-rest), all of them solved together.

The classes of a multi-label data set are questions of their own with a sigmoid each. They share the
features and the L2 penalty, so that one pass over the photos is a step for all of them; the solver
is that of `triptych.training.softmax_regression`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triptych.training import softmax_regression
from triptych.training.softmax_regression import Checkpoint
from triptych.typing import Array


def fit(
    features: Array,
    targets: Array,
    *,
    penalty: float,
    start: Array | None = None,
    tolerance: float = 1e-8,
    raise_if_stopped: Checkpoint = lambda: None,
) -> Array:
    """Minimise the mean binary cross-entropy of each class plus half the penalty times its kernel's
    square.

    All photos count alike: probabilities are then those of the data, as thresholds need them.

    Args:
        features: Shape (N, R); fastest for principal components.
        targets: Whether each class holds, bool, shape (N, C).
        penalty: At least 0; biases have none.
        start: Initial layers, shape (R + 1, C), as returned for a similar problem.
        tolerance: As for `softmax_regression.fit`.
        raise_if_stopped: Called before each step; an exception from it ends the fit.

    Returns:
        The kernel and, in the last row, the biases, shape (R + 1, C). A class that all photos have,
        or none, has only a bias, that of half a photo on either side.

    Example:
        >>> layers = fit(np.array([[-1.0], [1.0]]), np.array([[False], [True]]), penalty=0.1)
        >>> bool(layers[0, 0] > 1), bool(abs(layers[1, 0]) < 1e-6)
        (True, True)
    """
    photos, counts = len(targets), targets.sum(axis=0)
    layers = np.zeros((features.shape[1] + 1, targets.shape[1]), features.dtype)
    layers[-1] = np.log(counts + 0.5) - np.log(photos - counts + 0.5)
    varied = (counts > 0) & (counts < photos)
    solution = (layers if start is None else start.astype(features.dtype))[:, varied]
    if varied.any():
        weights = np.full(photos, 1 / photos, features.dtype)
        problem = _Problem(features, targets[:, varied].astype(features.dtype), weights, penalty)
        layers[:, varied] = problem.solve(solution, tolerance, raise_if_stopped)
    return layers


@dataclass(frozen=True)
class _Problem(softmax_regression.Problem):
    """Logistic regressions with targets of shape (N, C), 0 or 1."""

    def predict(self, features: Array, layers: Array, targets: Array) -> tuple[Array, Array]:
        logits = features @ layers[:-1]
        logits += layers[-1]
        # Errors below this would be denormal numbers, whose multiplication is many times slower.
        limit = -softmax_regression.LEAST_LOGIT
        np.clip(logits, -limit, limit, out=logits)
        small = np.exp(-np.abs(logits))
        losses = np.maximum(logits, 0) - targets * logits + np.log1p(small)
        probs = np.where(logits >= 0, 1, small) / (1 + small)
        return probs, losses.sum(axis=1)

    def subtract(self, probs: Array, targets: Array) -> None:
        probs -= targets
