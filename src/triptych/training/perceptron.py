"""A multilayer perceptron on features: one hidden layer with dropout, trained by Adam.

Its layers are those of a small Keras network, and a step gives what ``train_on_batch`` gives. NumPy
takes a fraction of the time: with so few features a step of Keras is mostly overhead, each network
is traced anew, and those of several folds cannot be trained in parallel, as Keras has a single
random state.

Sources: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015; Srivastava et al.,
"Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014; Glorot and Bengio,
"Understanding the difficulty of training deep feedforward neural networks", 2010.
"""

from __future__ import annotations

import math

import numpy as np

from triptych.models.head import DROPOUT
from triptych.models.head import Head
from triptych.models.head import softmax
from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.typing import Indices

# Selected with ants and bees (245 photos): as accurate as linear there; wider ones are
# overconfident.
HIDDEN_UNITS = 64
LEARNING_RATE = 4e-4
L2_PENALTY = 1e-2
BATCH = 64
# With many photos, batches are larger, so that an epoch has no more steps than this.
MOST_STEPS = 200
# Decay of Adam's means of the gradient and of its square; as in Keras.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Perceptron:
    """A network of one hidden layer, trained epoch by epoch.

    Args:
        features: Standardised, float32, shape (N, F).
        targets: Class of each photo, shape (N,).
        weights: How much each photo counts, 1 on average, shape (N,).
        classes: C.
        seed: Of its first layers, the order of photos and the dropout.
        dropout: The share of hidden units that are left out of a step, in [0, 1).

    Example:
        >>> features, targets = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
        >>> network = Perceptron(features, targets, np.ones(4), classes=2, seed=0)
        >>> for _ in range(300):
        ...     network.train_epoch()
        >>> network.probs(features).argmax(axis=1).tolist()
        [0, 1, 0, 1]
    """

    def __init__(
        self,
        features: Float32Array,
        targets: Array,
        weights: Array,
        *,
        classes: int,
        seed: int,
        dropout: float = DROPOUT,
    ) -> None:
        self._features, self._targets = features, targets
        self._weights = weights.astype(np.float32)
        self._random = np.random.default_rng(seed)
        self._dropout = dropout
        length = features.shape[1]
        # Kernel and biases of both layers.
        self.layers: list[Float32Array] = [
            self._glorot(length, HIDDEN_UNITS),
            np.zeros(HIDDEN_UNITS, np.float32),
            self._glorot(HIDDEN_UNITS, classes),
            np.zeros(classes, np.float32),
        ]
        self._means = [np.zeros_like(layer) for layer in self.layers]
        self._squares = [np.zeros_like(layer) for layer in self.layers]
        self._steps = 0

    def _glorot(self, rows: int, columns: int) -> Float32Array:
        limit = math.sqrt(6 / (rows + columns))
        return self._random.uniform(-limit, limit, (rows, columns)).astype(np.float32)

    def train_epoch(self) -> None:
        """Train on each photo once, in random order."""
        order = self._random.permutation(len(self._targets))
        size = max(BATCH, math.ceil(len(order) / MOST_STEPS))
        for first in range(0, len(order), size):
            self.train_on(order[first : first + size])

    def train_on(self, batch: Indices) -> None:
        """One step of Adam on some of the photos, shape (B,)."""
        features, targets, weights = (
            self._features[batch],
            self._targets[batch],
            self._weights[batch],
        )
        kernel, bias, last, last_bias = self.layers
        hidden = np.maximum(features @ kernel + bias, 0)  # (B, H)
        is_active = self._random.random(hidden.shape, np.float32) >= self._dropout
        mask = is_active * np.float32(1 / (1 - self._dropout))
        hidden *= mask
        errors = softmax(hidden @ last + last_bias)  # (B, C), probabilities as yet
        errors[np.arange(len(batch)), targets] -= 1
        errors *= (weights / len(batch))[:, None]
        below = (errors @ last.T) * mask * (hidden > 0)  # (B, H)
        twice = np.float32(2 * L2_PENALTY)
        self._descend(
            [
                features.T @ below + twice * kernel,
                below.sum(axis=0),
                hidden.T @ errors + twice * last,
                errors.sum(axis=0),
            ]
        )

    def _descend(self, gradients: list[Float32Array]) -> None:
        self._steps += 1
        rate = LEARNING_RATE * math.sqrt(1 - BETA_2**self._steps) / (1 - BETA_1**self._steps)
        for layer, gradient, mean, square in zip(
            self.layers, gradients, self._means, self._squares, strict=True
        ):
            mean += np.float32(1 - BETA_1) * (gradient - mean)
            square += np.float32(1 - BETA_2) * (np.square(gradient) - square)
            layer -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(EPSILON))

    def probs(self, features: Float32Array) -> Float32Array:
        """Probabilities (M, C) of standardised features (M, F)."""
        kernel, bias, last, last_bias = self.layers
        return Head("mlp", (kernel, last), (bias, last_bias), {}).probs(features)
