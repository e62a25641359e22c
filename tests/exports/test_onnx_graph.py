"""Graphs translated to ONNX equal OpenVINO, operation by operation, in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from openvino import opset13 as op

from support import operations
from support.operations import ints
from support.operations import weights
from triptych import errors
from triptych.engines.openvino import OPERATIONS
from triptych.exports import onnx_graph

RNG = np.random.default_rng(1)
# Without VNNI, OpenVINO's int8 products of the full range overflow.
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}


def number(value: float) -> Any:
    return op.constant(np.float32(value))


def quantized(values: np.ndarray, scale: np.ndarray) -> Any:
    """Weights as `optimize` stores them."""
    return op.multiply(op.convert(op.constant(values), "f32"), op.constant(scale))


def fake_quantize(x: Any, low: Any, high: Any, levels: int = 256, out: float = 1.0) -> Any:
    ends = [np.asarray(each, np.float32) for each in (low, high)]
    ranges = [*ends, *(out * each for each in ends)]
    return op.fake_quantize(x, *(op.constant(each) for each in ranges), levels)


def int8(*shape: int) -> np.ndarray:
    return RNG.integers(-127, 128, shape).astype(np.int8)


SCALES = RNG.uniform(0.01, 0.02, (8, 1, 1, 1)).astype(np.float32)
# Beside those that Keras computes, too.
BLOCKS = {
    **operations.BLOCKS,
    "Attention": lambda x: op.scaled_dot_product_attention(
        x, weights(1, 4, 7, 5), weights(1, 4, 7, 3)
    ),
    "Ceiling": op.ceiling,
    "CumSum": lambda x: op.cumsum(x, op.constant(np.int64(1)), exclusive=True),
    "DepthToSpace": lambda x: op.depth_to_space(x, "blocks_first", 2),
    "DepthToSpace depth first": lambda x: op.depth_to_space(x, "depth_first", 2),
    "Einsum": lambda x: op.einsum([x, weights(4, 3)], "nchw,cd->nhwd"),
    "Erf": op.erf,
    "FakeQuantize": lambda x: fake_quantize(x, -1.28, 1.27),
    "FakeQuantize by channel": lambda x: fake_quantize(
        x, np.zeros((1, 4, 1, 1)), np.array([1, 2, 0.5, 3]).reshape(1, 4, 1, 1)
    ),
    "FakeQuantize of few levels": lambda x: fake_quantize(x, -0.9, 1.3, levels=16, out=2.0),
    "Floor": op.floor,
    "Interpolate": lambda x: op.interpolate(x, ints(9, 7), "linear_onnx", "sizes", axes=ints(2, 3)),
    "Interpolate to the nearest": lambda x: op.interpolate(
        x,
        ints(12, 10),
        "nearest",
        "sizes",
        axes=ints(2, 3),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "MatMul in int8": lambda x: op.matmul(
        fake_quantize(x, -1.28, 1.27),
        quantized(int8(7, 5), np.full((7, 1), 0.01, np.float32)),
        False,
        True,
    ),
    "Convolution in int8": lambda x: op.convolution(
        fake_quantize(x, -1.28, 1.27),
        quantized(int8(8, 4, 3, 3), SCALES),
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
    ),
    "GroupConvolution in int8": lambda x: op.group_convolution(
        fake_quantize(x, -1.28, 1.27),
        quantized(int8(4, 1, 1, 3, 2), SCALES[:4, None]),
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
    ),
    "NormalizeL2": lambda x: op.normalize_l2(x, ints(1), 1e-4, "add"),
    "Round": lambda x: op.round(op.multiply(x, number(4)), "half_to_even"),
    "ShapeOf": lambda x: op.multiply(
        x,
        op.convert(
            op.reduce_prod(op.slice(op.shape_of(x), ints(1), ints(3), ints(1)), ints(0), False),
            "f32",
        ),
    ),
    "SpaceToDepth": lambda x: op.space_to_depth(
        op.slice(x, ints(0), ints(4), ints(1), ints(3)), "blocks_first", 2
    ),
    "SquaredDifference": lambda x: op.squared_difference(x, weights(1, 4, 1, 1)),
    "TopK": lambda x: op.topk(x, op.constant(np.int64(3)), 1, "max", "value").output(0),
}


def run(graph: openvino.Model, image: np.ndarray) -> list[np.ndarray]:
    model = onnx_graph.translate(graph)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"image": image})


def read(path: Path) -> openvino.Model:
    graph = openvino.Core().read_model(path)
    graph.input(0).get_tensor().set_names({"image"})
    for name, output in zip(("probs", "features"), graph.outputs, strict=True):
        output.get_tensor().set_names({name})
    return graph


@pytest.mark.parametrize("name", BLOCKS)
def test_an_operation_equals_openvino(tmp_path: Path, name: str) -> None:
    path = tmp_path / "network.xml"
    operations.write(path, BLOCKS[name])
    image = RNG.normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    graph = read(path)
    expected = openvino.Core().compile_model(graph, "CPU", EXACT)(image)
    for output, theirs in zip(run(graph, image), expected.values(), strict=True):
        np.testing.assert_allclose(output, theirs, rtol=1e-4, atol=1e-4)


def test_every_operation_that_bundles_may_have_is_compared() -> None:
    compared = {name.split()[0] for name in BLOCKS} | {"Constant", "Parameter", "Result"}
    assert compared >= OPERATIONS - {"LRN", "Reverse"}  # which no network of ours has


def test_an_int8_layer_is_one_of_integers(tmp_path: Path) -> None:
    """Where bytes go in and come out; of the others, the weights are stored as bytes."""
    path = tmp_path / "network.xml"

    def layer(x: Any) -> Any:
        added = op.add(BLOCKS["Convolution in int8"](x), weights(1, 8, 1, 1))
        return fake_quantize(op.clamp(added, 0.0, 6.0), 0.0, 6.0)

    operations.write(path, layer, BLOCKS["GroupConvolution in int8"])
    model = onnx_graph.translate(read(path))
    kinds = [node.op_type for node in model.graph.node]
    # What goes in and comes out of the one that is computed with integers, its weights and bias.
    assert (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")) == (2, 4)
    stored = {tuple(each.dims): each.data_type for each in model.graph.initializer}
    assert stored[8, 4, 3, 3] == onnx.TensorProto.UINT8
    assert stored[4, 1, 3, 2] == onnx.TensorProto.INT8
    image = RNG.normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    expected = openvino.Core().compile_model(read(path), "CPU", EXACT)(image)
    off = np.abs(run(read(path), image)[1] - expected[1])
    assert off.max() < 0.1  # four steps of the last quantization
    assert (off > 0.001).mean() < 0.02


def convolve(x: Any, kernel: Any, *, grouped: bool = False) -> Any:
    function = op.group_convolution if grouped else op.convolution
    return function(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1])


def test_the_scales_of_channels_are_moved_into_the_layers_around_them(tmp_path: Path) -> None:
    """An inverted bottleneck as `optimize` quantizes it: not a number of it differs."""
    path = tmp_path / "network.xml"
    highs = np.linspace(1, 5, 8).reshape(1, 8, 1, 1)

    def bottleneck(x: Any) -> Any:
        expanded = convolve(fake_quantize(x, -1.28, 1.27), quantized(int8(8, 4, 1, 1), SCALES))
        active = op.clamp(op.add(expanded, weights(1, 8, 1, 1)), 0.0, 6.0)
        bytes_ = fake_quantize(active, np.zeros((1, 8, 1, 1)), highs)
        depthwise = quantized(int8(8, 1, 1, 3, 2), SCALES[:, None])
        made = op.add(convolve(bytes_, depthwise, grouped=True), weights(1, 8, 1, 1))
        return fake_quantize(op.clamp(made, 0.0, 6.0), 0.0, 6.0)

    operations.write(path, bottleneck)
    model = onnx_graph.translate(read(path))
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("QuantizeLinear"), kinds.count("Round")) == (3, 0)
    image = RNG.normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    expected = openvino.Core().compile_model(read(path), "CPU", EXACT)(image)[1]
    off = np.abs(run(read(path), image)[1] - expected)
    assert expected.std() > 0.5
    assert off.max() < 0.1
    assert (off > 0.001).mean() < 0.02


def test_quantized_numbers_for_other_layers_are_not_quantized_further(tmp_path: Path) -> None:
    """onnxruntime would quantize the weights of a layer behind a DequantizeLinear."""
    path = tmp_path / "network.xml"
    scales = RNG.uniform(0.001, 0.05, (8, 1, 1, 1)).astype(np.float32)

    def layer(x: Any) -> Any:
        turned = op.transpose(fake_quantize(x, -1.28, 1.27), ints(0, 1, 3, 2))
        return convolve(turned, quantized(int8(8, 4, 3, 3), scales))

    operations.write(path, layer)
    graph = read(path)
    assert "QuantizeLinear" not in {node.op_type for node in onnx_graph.translate(graph).graph.node}
    image = RNG.normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    expected = openvino.Core().compile_model(read(path), "CPU", EXACT)(image)[1]
    np.testing.assert_allclose(run(graph, image)[1], expected, atol=1e-3)


def test_what_cannot_be_translated_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "network.xml"
    operations.write(path, lambda x: op.acosh(op.add(op.abs(x), number(2))))
    with pytest.raises(errors.EngineError, match="operation Acosh cannot be written as ONNX"):
        onnx_graph.translate(read(path))
