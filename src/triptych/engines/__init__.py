"""Engines: what turns a batch of network inputs into probabilities and features.

options           EngineOptions and `open_engine`, by which every network is opened
devices           what networks run on: the processor, a graphics card, an NPU
openvino          the engine in daily use, on the processor and on Intel's GPUs and NPUs
keras_engine      the engine on the GPUs of NVIDIA, AMD and Apple, by Keras
keras_graph       a converted network as a function of Keras operations
backends          Keras's backends: PyTorch, JAX and TensorFlow
batching          joins the batches of concurrent callers
single_photo      the engine of worker processes, which take one photo at a time
batch_limit       how many photos a network should run at once here, found out by measuring
measurements      what was measured on this machine, kept in the home
activation_maps   where in a photo a network finds the evidence for a class
conversion        networks are converted, quantized and kept on disk

All engines keep one promise, and one test file holds them to it: **the output for a batch equals
the outputs row by row.**
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

# OpenVINO reports each import to its makers, under an id that it keeps in the home folder, unless
# the package openvino_telemetry is missing (2026.4). Its public switch, `opt_in_out --opt_out`, is
# a file in the home folder of each user, so the module is hidden here, before OpenVINO is imported
# anywhere below this package: nothing may leave the machine.
cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)


class Output(NamedTuple):
    """What an engine computes from a batch of N images.

    Args:
        probs: Shape (N, C), rows sum to 1; C is 0 for a backbone that has no classes.
        features: Shape (N, F), the pooled features before the last layers.
    """

    probs: Float32Array
    features: Float32Array


class JoinedOutput(Output):
    """The output for images that the network may have run together with those of other callers."""

    batch_size: int = 1  # all these images


class Engine(Protocol):
    """Runs one network; safe to call from several threads."""

    @property
    def size_bytes(self) -> int:
        """The size of its weights."""
        ...

    def run(self, batch: Float32Array) -> Output:
        """Compute probabilities and features.

        Args:
            batch: Network inputs as the recipe makes them, shape (N, H, W, 3), N at least 1.

        Raises:
            errors.EngineError: The network cannot take this batch.
        """
        ...


@runtime_checkable
class PixelEngine(Protocol):
    """An engine that also takes uint8 pixels, a quarter of the bytes: in another process, say."""

    def run_pixels(self, pixels: UInt8Array) -> Output:
        """Compute probabilities and features; the recipe's scaling is done where the network is.

        Args:
            pixels: Photos as the recipe resizes them, before scaling, shape (N, H, W, 3).

        Raises:
            errors.EngineError: The network cannot take this batch.
        """
        ...
