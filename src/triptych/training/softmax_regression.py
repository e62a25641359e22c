"""Softmax regression with an L2 penalty, fitted on several selections of the same photos at once.

All selections (the folds of a cross-validation, say) share each pass over the features: a step is
two matrix products, however many selections there are. Steps are those of L-BFGS with the exact
diagonal of the Hessian as its initial matrix, which is close to the whole Hessian where features
are principal components; that saves most of the steps.

Source: Nocedal and Wright, "Numerical Optimization", 2006, chapter 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triptych.typing import Array

HISTORY = 8
MAX_STEPS = 300
# The diagonal of the Hessian is computed anew after so many steps.
REFRESH = 10
MAX_TRIALS = 12
# Elements of the logits that are held at a time; more selections are fitted one after the other.
MAX_LOGITS = 60_000_000
# Losses below this count as this: probabilities are right to 1e-4 then, and rounding is not chased.
SMALL_LOSS = 1e-3
# The logit of a class that a selection lacks: its probability is 0 whatever the photo.
ABSENT = -1e4


def principal_components(features: Array) -> tuple[Array, Array]:
    """The centre of the features and an orthonormal basis of what varies around it.

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
    centre = features.mean(axis=0, dtype=np.float64)
    centred = (features - centre).astype(features.dtype)
    photos, length = features.shape
    # The smaller one of the two matrices of inner products has the same positive eigenvalues.
    gram = centred @ centred.T if photos < length else centred.T @ centred
    eigenvalues, vectors = np.linalg.eigh(gram.astype(np.float64))
    kept = eigenvalues > max(eigenvalues[-1], 0) * 1e-10
    basis = vectors[:, kept]
    if photos < length:
        basis = centred.T @ basis / np.sqrt(eigenvalues[kept])
    return centre.astype(features.dtype), basis.astype(features.dtype)


def balanced_weights(truth: Array, selections: Array, classes: int) -> Array:
    """How much each photo counts in each selection: all classes alike, and 1 in total.

    Args:
        truth: Class of each photo, shape (N,).
        selections: Which photos each selection has, bool, shape (N, K).
        classes: C.

    Returns:
        Shape (N, K), 0 for photos outside the selection.

    Example:
        >>> balanced_weights(np.array([0, 0, 1]), np.ones((3, 1), bool), 2).ravel().tolist()
        [0.25, 0.25, 0.5]
    """
    counts = np.array([np.bincount(truth[s], minlength=classes) for s in selections.T])
    counts = counts.reshape(-1, classes)  # (K, C), K may be 0
    per_photo = 1 / (np.maximum(counts, 1) * np.maximum((counts > 0).sum(axis=1), 1)[:, None])
    return np.asarray(np.where(selections, per_photo.T[truth], 0.0))


def fit(
    features: Array,
    truth: Array,
    weights: Array,
    *,
    classes: int,
    penalty: float,
    start: Array | None = None,
    tolerance: float = 1e-8,
) -> Array:
    """Minimise the weighted cross-entropy plus half the penalty times the squared kernel.

    Args:
        features: Shape (N, R); quickest for principal components.
        truth: Class of each photo, shape (N,).
        weights: Of each photo in each of K problems, shape (N, K), at least 0.
        classes: C.
        penalty: At least 0; biases have none.
        start: Where to begin, shape (K, R + 1, C), as returned for a similar problem.
        tolerance: A problem is solved when a Newton step promises less than this share of its loss.

    Returns:
        Kernels and, in the last row, biases, shape (K, R + 1, C). A class without photos has a
        bias that makes its probability 0.

    Example:
        >>> x, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
        >>> found = fit(x, y, np.full((2, 1), 0.5), classes=2, penalty=0.1)
        >>> bool(np.allclose(found[0, 0], [-found[0, 0, 1], found[0, 0, 1]], atol=1e-6))
        True
    """
    problems = weights.shape[1]
    solution = np.zeros((problems, features.shape[1] + 1, classes), features.dtype)
    if start is not None:
        solution[:] = start
    weights = weights.astype(features.dtype)
    at_once = max(1, MAX_LOGITS // max(len(features) * classes, 1))
    for first in range(0, problems, at_once):
        group = slice(first, first + at_once)
        problem = _Problem(features, truth, weights[:, group], classes, penalty)
        solution[group] = problem.solve(solution[group], tolerance)
    return solution


@dataclass(frozen=True)
class _Problem:
    """K softmax regressions on the same photos, solved side by side."""

    features: Array  # (N, R)
    truth: Array  # (N,)
    weights: Array  # (N, K)
    classes: int
    penalty: float

    def solve(self, solution: Array, tolerance: float) -> Array:
        """L-BFGS; each problem goes its own way, and waits where it has arrived."""
        present = np.stack(
            [np.bincount(self.truth, column, self.classes) > 0 for column in self.weights.T]
        )
        solution[:, -1] = np.where(present, np.maximum(solution[:, -1], ABSENT / 2), ABSENT)
        solution[:, :-1] *= present[:, None, :]
        logits = self._logits(solution)
        probs, losses = self._softmax(logits)
        losses += self._penalties(solution)
        gradient = self._gradient(probs, solution)
        hessian = self._hessian_diagonal(probs)
        history: list[tuple[Array, Array, Array]] = []
        for step in range(1, MAX_STEPS + 1):
            direction = _two_loops(gradient, hessian, history)
            slopes = _dot(gradient, direction)  # negative, as directions descend
            moving = -slopes > tolerance * np.maximum(losses, SMALL_LOSS)
            if not moving.any():
                break
            change = self._logits(direction)
            lengths, probs, after = self._search(
                solution, direction, logits, change, losses, np.where(moving, slopes, 0.0)
            )
            if not lengths.any():
                break
            scaled = _each(lengths, direction) * direction
            solution = solution + scaled
            logits += _each(lengths, direction).transpose(1, 0, 2) * change
            before, gradient = gradient, self._gradient(probs, solution)
            history = [*history[1 - HISTORY :], (scaled, gradient - before, lengths > 0)]
            losses = after
            if step % REFRESH == 0:
                hessian = self._hessian_diagonal(probs)
        return solution

    def _search(
        self,
        solution: Array,
        direction: Array,
        logits: Array,
        change: Array,
        losses: Array,
        slopes: Array,
    ) -> tuple[Array, Array, Array]:
        """Step lengths (K,) that lower each loss enough, with the probs and losses they lead to.

        Logits are linear in the step, so a trial costs no matrix product.
        """
        lengths = np.where(slopes < 0, 1.0, 0.0)
        noise = 8 * np.finfo(logits.dtype).eps * losses
        for trial in range(MAX_TRIALS + 1):
            each = _each(lengths, direction)
            probs, after = self._softmax(logits + each.transpose(1, 0, 2) * change)
            after += self._penalties(solution + each * direction)
            too_long = (after > losses + 1e-4 * lengths * slopes + noise) & (lengths > 0)
            if not too_long.any():
                break
            # The minimum of the parabola through both losses and the slope.
            curve = np.maximum(2 * (after - losses - lengths * slopes), 1e-30)
            shorter = np.clip(-slopes * lengths**2 / curve, 0.1 * lengths, 0.5 * lengths)
            lengths = np.where(too_long, shorter if trial < MAX_TRIALS - 1 else 0.0, lengths)
        return lengths, probs, after

    def _logits(self, layers: Array) -> Array:
        """Shape (N, K, C)."""
        count, rows, classes = layers.shape
        flat = layers.transpose(1, 0, 2).reshape(rows, count * classes)
        logits = self.features @ flat[:-1]
        logits += flat[-1]
        return np.asarray(logits.reshape(-1, count, classes))

    def _softmax(self, logits: Array) -> tuple[Array, Array]:
        """Probabilities (N, K, C) and weighted cross-entropies (K,)."""
        probs = logits - logits.max(axis=2, keepdims=True)
        true_logits = np.take_along_axis(probs, self.truth[:, None, None], axis=2)[:, :, 0]
        np.exp(probs, out=probs)
        total = probs.sum(axis=2)
        probs /= total[:, :, None]
        return probs, ((np.log(total) - true_logits) * self.weights).sum(axis=0, dtype=np.float64)

    def _penalties(self, layers: Array) -> Array:
        kernels = layers[:, :-1]
        return self.penalty / 2 * _dot(kernels, kernels)

    def _gradient(self, probs: Array, solution: Array) -> Array:
        errors = probs.copy()
        errors[np.arange(len(errors)), :, self.truth] -= 1
        errors *= self.weights[:, :, None]
        gradient = self._backward(self.features, errors)
        gradient[:, :-1] += self.penalty * solution[:, :-1]
        return gradient

    def _hessian_diagonal(self, probs: Array) -> Array:
        curvature = probs * (1 - probs) * self.weights[:, :, None]
        diagonal = self._backward(np.square(self.features), curvature)
        diagonal[:, :-1] += self.penalty
        return np.maximum(diagonal, 1e-7)

    @staticmethod
    def _backward(features: Array, errors: Array) -> Array:
        """Sums over photos, shape (K, R + 1, C)."""
        photos, count, classes = errors.shape
        flat = errors.reshape(photos, count * classes)
        sums = np.concatenate([features.T @ flat, flat.sum(axis=0, keepdims=True)])
        return np.ascontiguousarray(sums.reshape(-1, count, classes).transpose(1, 0, 2))


def _two_loops(gradient: Array, hessian: Array, history: list[tuple[Array, Array, Array]]) -> Array:
    """The direction of L-BFGS, (K, R + 1, C), by its two loops over the latest steps."""
    direction = -gradient
    curvatures = [_dot(step, turn) for step, turn, _ in history]
    used = [
        moved & (curvature > 0)
        for (_, _, moved), curvature in zip(history, curvatures, strict=True)
    ]
    inverse = [
        np.where(use, 1 / np.where(use, curvature, 1), 0.0)
        for use, curvature in zip(used, curvatures, strict=True)
    ]
    shares = []
    for (step, turn, _), each in zip(reversed(history), reversed(inverse), strict=True):
        share = each * _dot(step, direction)
        direction -= _each(share, turn) * turn
        shares.append(share)
    direction /= hessian
    if history:
        turn = history[-1][1]
        scale = np.where(
            used[-1], curvatures[-1] / np.maximum(_dot(turn, turn / hessian), 1e-30), 1
        )
        direction *= _each(scale, direction)
    for (step, turn, _), each, share in zip(history, inverse, reversed(shares), strict=True):
        direction += _each(share - each * _dot(turn, direction), step) * step
    return direction


def _dot(first: Array, second: Array) -> Array:
    """Inner product of each problem's layers, shape (K,)."""
    return np.array([np.vdot(a, b) for a, b in zip(first, second, strict=True)], np.float64)


def _each(values: Array, like: Array) -> Array:
    """Values of the problems (K,), to be multiplied with layers (K, R + 1, C)."""
    return np.asarray(values, like.dtype)[:, None, None]
