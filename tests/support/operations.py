"""A network of each operation that networks in bundles may have, and files of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as op

RNG = np.random.default_rng(1)
# What a network is made of after its input, (N, 4, 6, 5): channels, height, width.
Block = Callable[[Any], Any]


def weights(*shape: int) -> Any:
    return op.constant(RNG.normal(0, 1, shape).astype(np.float32))


def ints(*values: int) -> Any:
    return op.constant(np.array(values, np.int64))


def positive(x: Any) -> Any:
    return op.add(op.abs(x), op.constant(np.float32(0.5)))


def window(**changes: Any) -> dict[str, Any]:
    return {"strides": [2, 1], "pads_begin": [1, 0], "pads_end": [0, 1], **changes}


def max_pool(x: Any, **changes: Any) -> Any:
    return op.max_pool(x, dilations=[1, 1], kernel_shape=[3, 2], **window(**changes)).output(0)


def average_pool(x: Any, exclude: bool, **changes: Any) -> Any:
    return op.avg_pool(x, kernel_shape=[3, 2], exclude_pad=exclude, **window(**changes))


def as_float(x: Any) -> Any:
    return op.convert(x, "f32")


BLOCKS: dict[str, Block] = {
    "Abs": op.abs,
    "Add": lambda x: op.add(x, weights(1, 4, 1, 1)),
    "AvgPool": lambda x: average_pool(x, exclude=False),
    "AvgPool inside": lambda x: average_pool(x, exclude=True),
    "AvgPool rounded up": lambda x: average_pool(
        x, exclude=True, rounding_type="ceil", pads_begin=[0, 0]
    ),
    "BatchNormInference": lambda x: op.batch_norm_inference(
        x, weights(4), weights(4), weights(4), op.constant(np.ones(4, np.float32)), 1e-3
    ),
    "Broadcast": lambda x: op.add(x, op.broadcast(weights(4, 1, 1), ints(4, 6, 5))),
    "Clamp": lambda x: op.clamp(x, -0.5, 0.25),
    "Concat": lambda x: op.concat([x, op.relu(x)], 1),
    "Convolution": lambda x: op.convolution(
        x, weights(7, 4, 3, 2), dilations=[1, 2], **window(strides=[2, 1])
    ),
    "Convert": lambda x: as_float(op.convert(op.multiply(x, op.constant(np.float32(9))), "i32")),
    "Divide": lambda x: op.divide(weights(1, 4, 1, 1), positive(x)),
    "Elu": lambda x: op.elu(x, 0.7),
    "Equal": lambda x: as_float(op.equal(op.relu(x), x)),
    "Exp": op.exp,
    "Gather": lambda x: op.gather(x, ints(3, 0, -2), ints(1)),
    "Gelu": lambda x: op.gelu(x, "erf"),
    "Gelu by tanh": lambda x: op.gelu(x, "tanh"),
    "Greater": lambda x: as_float(op.greater(x, weights(1, 4, 1, 1))),
    "GreaterEqual": lambda x: as_float(op.greater_equal(op.relu(x), x)),
    "GroupConvolution": lambda x: op.group_convolution(
        x, weights(2, 3, 2, 3, 2), dilations=[1, 1], **window()
    ),
    "GroupConvolution by channel": lambda x: op.group_convolution(
        x, weights(4, 1, 1, 3, 2), dilations=[1, 1], **window(strides=[1, 1])
    ),
    "HSigmoid": lambda x: op.hsigmoid(op.multiply(x, op.constant(np.float32(4)))),
    "HSwish": lambda x: op.hswish(op.multiply(x, op.constant(np.float32(4)))),
    "HardSigmoid": lambda x: op.hard_sigmoid(
        x, op.constant(np.float32(0.3)), op.constant(np.float32(0.4))
    ),
    "Less": lambda x: as_float(op.less(x, weights(1, 4, 1, 1))),
    "LessEqual": lambda x: as_float(op.less_equal(op.relu(x), x)),
    "Log": lambda x: op.log(positive(x)),
    "LogSoftmax": lambda x: op.log_softmax(x, 1),
    "LogicalAnd": lambda x: as_float(op.logical_and(op.greater(x, ZERO), op.less(x, ONE))),
    "LogicalNot": lambda x: as_float(op.logical_not(op.greater(x, ZERO))),
    "LogicalOr": lambda x: as_float(op.logical_or(op.greater(x, ONE), op.less(x, ZERO))),
    "MVN": lambda x: op.mvn(x, ints(2, 3), True, 1e-3, "inside_sqrt"),
    "MVN outside": lambda x: op.mvn(x, ints(1), True, 1e-3, "outside_sqrt"),
    "MatMul": lambda x: op.matmul(x, weights(7, 5), False, True),
    "MaxPool": max_pool,
    "MaxPool rounded up": lambda x: max_pool(x, rounding_type="ceil", pads_begin=[0, 0]),
    "Maximum": lambda x: op.maximum(x, weights(1, 4, 1, 1)),
    "Minimum": lambda x: op.minimum(x, weights(1, 4, 1, 1)),
    "Mish": op.mish,
    "Multiply": lambda x: op.multiply(x, weights(6, 5)),
    "Negative": op.negative,
    "NotEqual": lambda x: as_float(op.not_equal(op.relu(x), x)),
    "PRelu": lambda x: op.prelu(x, weights(4)),
    "Pad": lambda x: op.pad(
        x, ints(0, 1, 2, 0), ints(0, 0, 1, 1), "constant", op.constant(np.float32(0.3))
    ),
    "Pad by reflection": lambda x: op.pad(x, ints(0, 0, 2, 0), ints(0, 0, 1, 3), "reflect"),
    "Power": lambda x: op.power(positive(x), op.constant(np.float32(-1.5))),
    "ReduceL2": lambda x: op.reduce_l2(x, ints(2, 3), keep_dims=False),
    "ReduceMax": lambda x: op.reduce_max(x, ints(1), keep_dims=True),
    "ReduceMean": lambda x: op.reduce_mean(x, ints(2, 3), keep_dims=False),
    "ReduceMin": lambda x: op.reduce_min(x, ints(-1), keep_dims=False),
    "ReduceProd": lambda x: op.reduce_prod(x, ints(1), keep_dims=False),
    "ReduceSum": lambda x: op.reduce_sum(x, ints(2, 3), keep_dims=True),
    "Relu": op.relu,
    "Reshape": lambda x: op.softmax(op.reshape(x, ints(0, 8, -1), True), 1),
    "Select": lambda x: op.select(op.greater(x, ZERO), x, weights(1, 4, 1, 1)),
    "Selu": lambda x: op.selu(x, op.constant(np.float32(1.6)), op.constant(np.float32(1.1))),
    "Sigmoid": op.sigmoid,
    "Slice": lambda x: op.slice(x, ints(1, 4), ints(4, 0), ints(2, -1), ints(1, 2)),
    "SoftPlus": op.softplus,
    "SoftSign": lambda x: op.softsign(x),
    "Softmax": lambda x: op.softmax(x, 1),
    "Split": lambda x: op.multiply(*op.split(x, op.constant(np.int64(1)), 2).outputs()),
    "Sqrt": lambda x: op.sqrt(positive(x)),
    "Squeeze": lambda x: op.softmax(
        op.squeeze(op.reduce_mean(x, ints(2), keep_dims=True), ints(2)), 2
    ),
    "StridedSlice": lambda x: op.strided_slice(
        x, ints(0, 1, 0, 0), ints(0, 0, 5, 0), ints(1, 1, 2, 1), [1, 0, 0, 1], [1, 1, 0, 1]
    ),
    "Subtract": lambda x: op.subtract(weights(1, 4, 1, 1), x),
    "Swish": op.swish,
    "Swish with beta": lambda x: op.swish(x, op.constant(np.float32(1.5))),
    "Tanh": op.tanh,
    "Tile": lambda x: op.tile(x, ints(1, 2, 1, 3)),
    "Transpose": lambda x: op.softmax(op.transpose(x, ints(0, 2, 3, 1)), 2),
    "Unsqueeze": lambda x: op.softmax(op.unsqueeze(x, ints(2)), 1),
    "VariadicSplit": lambda x: op.multiply(
        *(
            op.reduce_sum(part, ints(1), keep_dims=True)
            for part in op.variadic_split(x, ints(1), ints(1, 3)).outputs()
        )
    ),
}
ZERO, ONE = (op.constant(np.float32(value)) for value in (0, 1))


def write(path: Path, *blocks: Block) -> list[int]:
    """Write a network whose features are those of some blocks; returns how many each has."""
    image = op.parameter([-1, 6, 5, 4], np.float32)
    channels_first = op.transpose(image, ints(0, 3, 1, 2))
    made = [block(channels_first) for block in blocks]
    made = [each if isinstance(each, openvino.Output) else each.output(0) for each in made]
    shapes = [list(each.partial_shape)[1:] for each in made]
    sizes = [int(np.prod([side.get_length() for side in shape])) for shape in shapes]
    flat = [op.reshape(each, ints(-1, size), False) for each, size in zip(made, sizes, strict=True)]
    features = op.concat(flat, 1)
    model = openvino.Model([op.softmax(features, 1), features], [image])
    openvino.save_model(model, path, compress_to_fp16=False)
    return sizes
