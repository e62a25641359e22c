"""An engine without a network, for examples and tests."""

from __future__ import annotations

import numpy as np

from triptych.engines import Output
from triptych.typing import Float32Array


class FakeEngine:
    """Probabilities are the softmax of a fixed random projection of an image's mean colours.

    It is quick, needs no weights, gives the same image the same output, and different images
    different ones.

    Args:
        num_classes: Length of each row of probs.
        seed: Two engines with the same seed agree.

    Example:
        >>> batch = np.zeros((2, 8, 8, 3), np.float32)
        >>> FakeEngine(10).run(batch).probs.shape
        (2, 10)
    """

    def __init__(self, num_classes: int = 1000, *, seed: int = 0) -> None:
        self._projection = np.random.default_rng(seed).normal(size=(12, num_classes))

    size_bytes = 0

    def run(self, batch: Float32Array) -> Output:
        """Compute probabilities and features; see `triptych.engines.Engine.run`."""
        rows, columns = (size - size % 2 for size in batch.shape[1:3])
        quarters = batch[:, :rows, :columns].reshape(len(batch), 2, rows // 2, 2, columns // 2, 3)
        features = quarters.mean(axis=(2, 4), dtype=np.float64).reshape(len(batch), 12)
        # (N, 1, 12) @ (12, C): one product a row, so that a batch equals its rows to the bit.
        logits = (features[:, None] @ self._projection)[:, 0]
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs = exp / exp.sum(axis=1, keepdims=True)
        return Output(probs.astype(np.float32), features.astype(np.float32))
