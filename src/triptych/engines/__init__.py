"""The engine: what turns a batch into probabilities and features.

All engines keep one promise, and one test file holds them to it: **the answer for a batch equals
the answers row by row.**
"""

from __future__ import annotations

import sys
from typing import Any
from typing import NamedTuple
from typing import Protocol
from typing import cast
from typing import runtime_checkable

from triptych.typing import Float32Array
from triptych.typing import UInt8Array

# OpenVINO tells its makers of each import, and keeps an id in the home folder for it, unless this
# package is missing (2026.4). Nothing shall leave the machine. All that imports OpenVINO is below.
cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)


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


@runtime_checkable
class Far(Protocol):
    """An engine in another process, to which pixels travel: they are a quarter of the bytes."""

    def look(self, pixels: UInt8Array) -> Output:
        """Answer a batch; the values are scaled where the network is, to the same inputs.

        Args:
            pixels: What the recipe makes of photos before it scales values, shape (N, H, W, 3).

        Raises:
            errors.EngineError: The network cannot take this batch.
        """
        ...
