"""The engine: what turns a batch into probabilities and features.

All engines keep one promise, and one test file holds them to it: **the answer for a batch equals
the answers row by row.**
"""

from __future__ import annotations

from typing import NamedTuple
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


class Output(NamedTuple):
    """What an engine says of a batch of N images.

    Args:
        probs: Shape (N, C), rows sum to 1.
        features: Shape (N, F), the pooled features before the last layers.
    """

    probs: Float32Array
    features: Float32Array


class Engine(Protocol):
    """Runs one network."""

    @property
    def size_bytes(self) -> int:
        """How large its weights are."""
        ...

    def run(self, batch: Float32Array) -> Output:
        """Answer a batch.

        Args:
            batch: Network inputs as the recipe makes them, shape (N, H, W, 3), N at least 1.

        Raises:
            errors.EngineError: The network cannot take this batch.
        """
        ...
