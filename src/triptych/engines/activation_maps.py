"""Class activation maps: where in a photo a network finds the evidence for a class.

Many networks end in a feature map, its mean over all positions, and a dense layer. Both are linear,
so they commute: the dense layer, applied at each position, gives a map of evidence for each class,
and the mean of that map is the logit. So the map is not an estimate but the logit itself, before
averaging. Whether a network is of this kind is found by walking up its graph from the softmax, or
from the sigmoids of a multi-label network, and verified by computing logits both ways: once with
random numbers, and again for each photo.

No gradients are needed; OpenVINO has none.

Source: Zhou et al., "Learning Deep Features for Discriminative Localization", 2016.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines.openvino import compile_network
from triptych.engines.openvino import read_network
from triptych.typing import Array
from triptych.typing import Float32Array

# How far the two results may differ, as a share of the largest number that is averaged: single
# precision, over some thousand additions.
TOLERANCE = 1e-3
PROBES, PROBE_REACH = 16, 3.0

# The axes of height and width: channels last, or channels first.
SPATIAL_AXES = ((1, 2), (2, 3))

# Operations with one input that matters; the others only describe its layout.
SHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Convert")


class ActivationMaps:
    """A network opened at its last feature map; safe to call from several threads.

    Args:
        path: The network at f32, as `triptych.engines.conversion.convert.export` writes it.
        threads: Processor threads; 0 takes every core this process may use.

    Raises:
        errors.EngineError: Its logits are no dense layer of the mean of a map, or it cannot be
            read.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        try:
            body, end, self._axes = _opened(path)
            self._body = compile_network(body, threads)
            self._end = compile_network(end, threads)
            # A nonlinear head may look linear near the features of one photo, so it is probed with
            # features that differ far more than those of photos.
            shape = (PROBES, math.prod(self._shape))
            some = np.random.default_rng(0).normal(0, PROBE_REACH, shape).astype(np.float32)
            if not _agree(self._logits_of(some), self._logits_of(some.mean(axis=0, keepdims=True))):
                raise RuntimeError("what follows the mean of its last map is no dense layer")
        except RuntimeError as error:
            raise errors.EngineError(f"{path} has no map to show: {error}") from error
        self._size_bytes = path.with_suffix(".bin").stat().st_size

    @property
    def size_bytes(self) -> int:
        """The size of its weights."""
        return self._size_bytes

    def evidence(self, batch: Float32Array) -> Float32Array | None:
        """Compute the maps of evidence for all classes.

        Args:
            batch: One network input as the recipe makes it, shape (1, H, W, 3).

        Returns:
            Shape (C, h, w): the mean over h and w is the logit of each class. ``None`` where that
            does not hold, since what follows the mean is not a dense layer.
        """
        features, logits = _run(self._body, batch)
        features = np.moveaxis(features, self._axes, (1, 2))  # (1, h, w, F)
        rows, columns, length = features.shape[1:]
        positions = features.reshape(-1, length)  # (h w, F)
        each = self._logits_of(positions)
        if not _agree(each, logits):
            return None
        return np.ascontiguousarray(each.T.reshape(-1, rows, columns), np.float32)

    def _logits_of(self, features: Array) -> Array:
        """The logits (N, C) of features (N, F)."""
        # The mean may have kept its axes, as (N, F, 1, 1).
        ready = np.ascontiguousarray(features.reshape(-1, *self._shape), np.float32)
        return _run(self._end, ready)[0].reshape(len(features), -1)

    @property
    def _shape(self) -> tuple[int, ...]:
        """Of the mean of one image."""
        return tuple(map(_length, list(self._end.input(0).partial_shape)[1:]))


def _agree(each: Array, together: Array) -> bool:
    """Whether the mean of logits (N, C) is the logits of the mean."""
    gap = np.abs(each.mean(axis=0) - together.reshape(-1)).max()
    return bool(gap <= TOLERANCE * np.abs(each).max())


def _length(dimension: Any) -> int:
    return int(dimension.get_length())


def _run(network: Any, batch: Array) -> list[Array]:
    # A request for each call: calls are rare, and a request holds large tensors.
    request = network.create_infer_request()
    request.infer({0: batch}, share_inputs=True)
    return [request.get_output_tensor(n).data.copy() for n in range(len(network.outputs))]


def _opened(path: Path) -> tuple[Any, Any, tuple[int, ...]]:
    """The network up to its last map, what follows the mean of it, and the map's two axes."""
    import openvino
    from openvino import opset13

    network = read_network(path)
    logits = _logits(network)
    mean = _mean(logits)
    axes = _spatial_axes(mean)
    body = openvino.Model([mean.input_value(0), logits], network.get_parameters())
    body = body.clone()  # before the graph is cut below
    pooled = mean.output(0)
    shape = pooled.partial_shape
    shape[0] = -1
    entry = opset13.parameter(shape, pooled.element_type)
    for reader in pooled.get_target_inputs():
        reader.replace_source_output(entry.output(0))
    end = openvino.Model([logits], [entry])  # raises where something bypasses the mean
    return body, end, axes


def _logits(network: Any) -> Any:
    """What goes into the softmax, or the sigmoids, whose output is the network's first."""
    node = network.outputs[0].get_node().input_value(0).get_node()
    while node.get_type_name() in SHAPING:
        node = node.input_value(0).get_node()
    if node.get_type_name() not in ("Softmax", "Sigmoid"):
        raise RuntimeError(f"it ends in {node.get_type_name()}; expected a softmax or sigmoids")
    return node.input_value(0)


def _mean(logits: Any) -> Any:
    """The node that averages a map over its positions, found by going up from the logits."""
    node = logits.get_node()
    while not _is_mean(node):
        moving = [value for value in _values(node) if not _is_constant(value.get_node())]
        if len(moving) != 1:
            raise RuntimeError(f"{node.get_type_name()} comes before any mean over a map")
        node = moving[0].get_node()
    return node


def _values(node: Any) -> list[Any]:
    count = 1 if node.get_type_name() in SHAPING else node.get_input_size()
    return [node.input_value(number) for number in range(count)]


def _is_constant(node: Any) -> bool:
    """Whether it is a constant of the network, however it is stored."""
    if node.get_input_size() == 0:
        return bool(node.get_type_name() == "Constant")
    return all(_is_constant(value.get_node()) for value in _values(node))


def _is_mean(node: Any) -> bool:
    if node.get_type_name() != "ReduceMean" or _spatial_axes(node) not in SPATIAL_AXES:
        return False
    sides = [node.input_value(0).partial_shape[axis] for axis in _spatial_axes(node)]
    # A map with one position (MobileNet averages twice) localizes nothing.
    return all(side.is_static for side in sides) and math.prod(map(_length, sides)) > 1


def _spatial_axes(mean: Any) -> tuple[int, ...]:
    """The axes that are averaged."""
    rank = len(mean.input_value(0).partial_shape)
    return tuple(sorted(np.ravel(mean.input_value(1).get_node().get_data()) % rank))
