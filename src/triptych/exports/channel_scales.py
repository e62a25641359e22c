"""Int8 networks with one scale for all channels between layers, which layers of integers need.

`optimize` finds a range for each channel of what goes into a depthwise convolution. There a channel
is summed with nothing but itself, so its step can be moved: the layer before computes in steps
instead of numbers, and the depthwise convolution makes numbers of them. All values that are
quantized stay the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from triptych.exports import onnx_operations as operations
from triptych.typing import Array

Node = Any
LEVELS = 256


def unify(graph: Any) -> None:
    """Give quantizations by channel one scale, wherever that is possible.

    Args:
        graph: An OpenVINO model, which is changed.
    """
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            _unify(node)


def _unify(node: Node) -> None:
    from openvino import opset13 as op

    steps = _steps(node)
    if steps is None:
        return
    layers = [target.get_node() for target in node.output(0).get_target_inputs()]
    activation = node.input_value(0).get_node()
    addition = activation.input_value(0).get_node()
    before = operations.bias_of(addition)
    if before is None or not all(_is_depthwise(layer, len(steps)) for layer in layers):
        return
    convolution, bias = before
    scaled = [convolution.input_value(1).get_node()]
    scaled += [layer.input_value(1).get_node() for layer in layers]
    is_shared = any(len(each.output(0).get_target_inputs()) > 1 for each in scaled)
    if is_shared or not operations.stored_weights(convolution.input_value(1)):
        return
    if any(len(each.output(0).get_target_inputs()) > 1 for each in (activation, addition)):
        return
    _multiply(convolution.input_value(1).get_node(), 1 / steps)
    shape = [1, -1, *[1] * (len(operations.axis_lengths(convolution.output(0))) - 2)]
    addition.input(1).replace_source_output(
        op.constant((bias / steps).reshape(shape).astype(np.float32)).output(0)
    )
    ends = [op.constant(np.float32(end)) for end in (0, LEVELS - 1)]
    whole = op.fake_quantize(op.relu(addition), *ends, *ends, LEVELS)
    for layer in layers:
        _multiply(layer.input_value(1).get_node(), steps)
        layer.input(0).replace_source_output(whole.output(0))


def _steps(node: Node) -> Array | None:
    """The step of each channel, of numbers from 0 on; ``None`` for other quantizations."""
    low, high, out_low, out_high = (operations.constant(node, index) for index in (1, 2, 3, 4))
    activation = node.input_value(0).get_node()
    kind, attributes = activation.get_type_name(), activation.get_attributes()
    if node.get_attributes()["levels"] != LEVELS or low.any() or out_low.any():
        return None
    if high.ndim < 2 or high.size < 2 or high.shape[1] != high.size or not (high > 0).all():
        return None
    if not np.array_equal(high, out_high):
        return None
    # Behind these the quantization alone decides where numbers end.
    is_free = kind == "Relu" or (
        kind == "Clamp" and attributes["min"] == 0 and attributes["max"] >= high.max() - 1e-6
    )
    return high.reshape(-1) / (LEVELS - 1) if is_free else None


def _is_depthwise(layer: Node, channels: int) -> bool:
    if layer.get_type_name() != "GroupConvolution" or not operations.stored_weights(
        layer.input_value(1)
    ):
        return False
    groups, _, inputs, *_ = operations.axis_lengths(layer.input_value(1))
    return groups == channels and inputs == 1


def _multiply(product: Node, factors: Array) -> None:
    """Scale stored weights further, by the first of their axes."""
    from openvino import opset13 as op

    scale = operations.data(product.input_value(1).get_node()).astype(np.float64)
    rank = len(operations.axis_lengths(product.output(0)))
    scale = scale.reshape(scale.shape or [1] * rank) * factors.reshape(-1, *[1] * (rank - 1))
    product.input(1).replace_source_output(op.constant(scale.astype(np.float32)).output(0))
