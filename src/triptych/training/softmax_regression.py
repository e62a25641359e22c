"""Softmax regression with an L2 penalty: L-BFGS, tuned for principal components as features.

A step is one pass over the photos, in blocks whose logits stay in the processor's cache. The
initial matrix of L-BFGS is the exact diagonal of the Hessian, which is close to the whole Hessian
where features are principal components; that saves most of the steps. Threads may solve several
problems in parallel.

Source: Nocedal and Wright, "Numerical Optimization", 2006, chapter 7.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from triptych.typing import Array

HISTORY = 8
MAX_STEPS = 300
# Steps after which the diagonal of the Hessian is computed again.
REFRESH = 10
MAX_TRIALS = 12
# Logits in a block: 4 MB in float32.
BLOCK = 1 << 20
# Lower losses are treated as this one: probabilities are then exact to 1e-4, and the fit does not
# chase rounding errors.
SMALL_LOSS = 1e-3
# Relative to the largest logit. The errors of lower ones would be denormal numbers, whose
# multiplication is many times slower, and which make no difference.
LEAST_LOGIT = -50.0
# The bias of a class without photos: its probability is 0 whatever the photo.
ABSENT = -1e4

Checkpoint = Callable[[], None]


def principal_components(features: Array) -> tuple[Array, Array]:
    """The mean of the features and an orthonormal basis of their deviations from it.

    The basis is exact: centred features lie in its span, which has at most as many dimensions as
    there are photos.

    Args:
        features: Shape (N, D).

    Returns:
        The centre (D,) and the basis (D, R) in the order of rising variance, both of the features'
        type.

    Example:
        >>> centre, basis = principal_components(np.array([[0.0, 1.0], [2.0, 1.0]]))
        >>> centre.tolist(), np.abs(basis).tolist()
        ([1.0, 1.0], [[1.0], [0.0]])
    """
    centre = features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    centred = features - centre
    photos, length = features.shape
    # The smaller one of the two matrices of inner products has the same positive eigenvalues.
    gram = centred @ centred.T if photos < length else centred.T @ centred
    eigenvalues, vectors = np.linalg.eigh(gram.astype(np.float64))
    positive = eigenvalues > max(eigenvalues[-1], 0) * 1e-10
    basis = vectors[:, positive]
    if photos < length:
        basis = centred.T @ basis / np.sqrt(eigenvalues[positive])
    return centre, basis.astype(features.dtype)


def balanced_weights(targets: Array, classes: int) -> Array:
    """How much each photo counts so that all classes count alike, and 1 in total.

    Args:
        targets: Class of each photo, shape (N,).
        classes: C.

    Returns:
        Shape (N,), above 0.

    Example:
        >>> balanced_weights(np.array([0, 0, 1]), 2).tolist()
        [0.25, 0.25, 0.5]
    """
    counts = np.bincount(targets, minlength=classes)
    return np.asarray(1 / (counts[targets] * np.count_nonzero(counts)))


def fit(
    features: Array,
    targets: Array,
    weights: Array,
    *,
    classes: int,
    penalty: float,
    start: Array | None = None,
    tolerance: float = 1e-8,
    raise_if_stopped: Checkpoint = lambda: None,
) -> Array:
    """Minimise the weighted cross-entropy plus half the penalty times the squared kernel.

    Args:
        features: Shape (N, R); fastest for principal components.
        targets: Class of each photo, shape (N,).
        weights: How much each photo counts, shape (N,), above 0.
        classes: C.
        penalty: At least 0; biases have none.
        start: Initial layers, shape (R + 1, C), as returned for a similar problem.
        tolerance: The fit ends when a Newton step is predicted to gain less than this share of the
            loss.
        raise_if_stopped: Called before each step; an exception from it ends the fit.

    Returns:
        The kernel and, in the last row, the biases, shape (R + 1, C). A class without photos has a
        bias that makes its probability 0.

    Example:
        >>> x, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
        >>> layers = fit(x, y, np.full(2, 0.5), classes=2, penalty=0.1)
        >>> bool(np.allclose(layers[0], [-layers[0, 1], layers[0, 1]], atol=1e-6))
        True
    """
    # Only classes with photos are fitted.
    present, compact = np.unique(targets, return_inverse=True)
    solution = np.zeros((features.shape[1] + 1, len(present)), features.dtype)
    if start is not None:
        solution[:] = start[:, present]
        solution[-1, solution[-1] <= ABSENT] = 0  # absent in that problem, present in this one
    problem = Problem(features, compact, weights.astype(features.dtype), penalty)
    layers = np.zeros((len(solution), classes), features.dtype)
    layers[-1] = ABSENT
    layers[:, present] = problem.solve(solution, tolerance, raise_if_stopped)
    return layers


@dataclass(frozen=True)
class Problem:
    """One softmax regression.

    `triptych.training.logistic_regression` replaces `predict` and `subtract`, and is solved alike.

    Args:
        features: Shape (N, R).
        targets: Shape (N,).
        weights: Shape (N,).
        penalty: At least 0.
    """

    features: Array
    targets: Array
    weights: Array
    penalty: float

    def predict(self, features: Array, layers: Array, targets: Array) -> tuple[Array, Array]:
        """Probabilities (B, C) and cross-entropies (B,) of a block of photos."""
        return _softmax(features, layers, targets)

    def subtract(self, probs: Array, targets: Array) -> None:
        """Make probabilities (B, C) the gradient of the loss by the logits, in place."""
        probs[np.arange(len(targets)), targets] -= 1

    def solve(self, solution: Array, tolerance: float, raise_if_stopped: Checkpoint) -> Array:
        """The minimum, by L-BFGS from a solution (R + 1, C)."""
        loss, gradient = self._loss_and_gradient(solution)
        history: deque[tuple[Array, Array, float]] = deque(maxlen=HISTORY)
        for step in range(MAX_STEPS):
            raise_if_stopped()
            if step % REFRESH == 0:
                hessian = self._hessian_diagonal(solution)
            direction = _two_loops(gradient, hessian, history)
            slope = _dot(gradient, direction)  # negative, as directions descend
            if -slope <= tolerance * max(loss, SMALL_LOSS):
                break
            length = 1.0
            for _ in range(MAX_TRIALS):
                move = direction * solution.dtype.type(length)
                after, turned = self._loss_and_gradient(solution + move)
                noise = 8 * float(np.finfo(solution.dtype).eps) * loss
                if after <= loss + 1e-4 * length * slope + noise:
                    break
                # The minimum of the parabola through both losses and the slope.
                curve = max(2 * (after - loss - length * slope), 1e-30)
                length = min(max(-slope * length**2 / curve, 0.1 * length), 0.5 * length)
            else:
                break
            solution = solution + move
            change = turned - gradient
            curvature = _dot(move, change)
            if curvature > 0:
                history.append((move, change, curvature))
            loss, gradient = after, turned
        return solution

    def _loss_and_gradient(self, layers: Array) -> tuple[float, Array]:
        kernel = layers[:-1]
        loss = self.penalty / 2 * _dot(kernel, kernel)
        gradient = np.zeros_like(layers)
        for features, targets, weights in self._blocks(layers):
            errors, losses = self.predict(features, layers, targets)  # probabilities as yet
            loss += float(np.dot(losses, weights))
            self.subtract(errors, targets)
            errors *= weights[:, None]
            gradient[:-1] += features.T @ errors
            gradient[-1] += errors.sum(axis=0)
        gradient[:-1] += layers.dtype.type(self.penalty) * kernel
        return loss, gradient

    def _hessian_diagonal(self, layers: Array) -> Array:
        diagonal = np.zeros_like(layers)
        for features, targets, weights in self._blocks(layers):
            probs, _ = self.predict(features, layers, targets)
            curvature = probs * (1 - probs) * weights[:, None]
            diagonal[:-1] += np.square(features).T @ curvature
            diagonal[-1] += curvature.sum(axis=0)
        diagonal[:-1] += layers.dtype.type(self.penalty)
        return np.asarray(np.maximum(diagonal, layers.dtype.type(1e-7)))

    def _blocks(self, layers: Array) -> Iterator[tuple[Array, Array, Array]]:
        photos = max(256, BLOCK // layers.shape[1])
        for first in range(0, len(self.targets), photos):
            rows = slice(first, first + photos)
            yield self.features[rows], self.targets[rows], self.weights[rows]


def _softmax(features: Array, layers: Array, targets: Array) -> tuple[Array, Array]:
    """Probabilities (N, C) and cross-entropies (N,)."""
    logits = features @ layers[:-1]
    logits += layers[-1]
    logits -= logits.max(axis=1, keepdims=True)
    true_logits = logits[np.arange(len(targets)), targets]
    np.maximum(logits, LEAST_LOGIT, out=logits)
    probs = np.exp(logits, out=logits)
    total = probs.sum(axis=1)
    probs /= total[:, None]
    return probs, np.log(total) - true_logits


def _two_loops(
    gradient: Array, hessian: Array, history: deque[tuple[Array, Array, float]]
) -> Array:
    """The direction of L-BFGS, (R + 1, C), by its two loops over the latest steps."""
    kind = gradient.dtype.type
    direction = -gradient
    shares = []
    for move, change, curvature in reversed(history):
        share = _dot(move, direction) / curvature
        direction -= kind(share) * change
        shares.append(share)
    direction /= hessian
    if history:
        _, change, curvature = history[-1]
        direction *= kind(curvature / max(_dot(change, change / hessian), 1e-30))
    for (move, change, curvature), share in zip(history, reversed(shares), strict=True):
        direction += kind(share - _dot(change, direction) / curvature) * move
    return direction


def _dot(first: Array, second: Array) -> float:
    return float(np.vdot(first, second))
