"""The graph of a converted network as a function of Keras operations, on any Keras backend.

Every network is on disk as an OpenVINO graph: of the zoo, trained, imported or from elsewhere.
Reading that one format runs all of them on other devices, and there is nothing in it that could
run code, as there is in a saved Keras model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import errors
from triptych.engines import openvino

Tensor = Any
# The inputs of an operation that are tensors, by index, and what it makes of them. Its further
# inputs are constants, such as the axes of a sum.
Translation = tuple[Sequence[int], Callable[..., Any]]
F32 = "float32"

# By operation of OpenVINO, the Keras operation with the same inputs and the same result.
SAME = {
    "Abs": "absolute",
    "Add": "add",
    "Divide": "true_divide",
    "Equal": "equal",
    "Exp": "exp",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "HSigmoid": "hard_sigmoid",
    "HSwish": "hard_silu",
    "Less": "less",
    "LessEqual": "less_equal",
    "Log": "log",
    "LogicalAnd": "logical_and",
    "LogicalNot": "logical_not",
    "LogicalOr": "logical_or",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Multiply": "multiply",
    "Negative": "negative",
    "NotEqual": "not_equal",
    "Power": "power",
    "Relu": "relu",
    "Select": "where",
    "Sigmoid": "sigmoid",
    "SoftSign": "softsign",
    "SoftPlus": "softplus",
    "Sqrt": "sqrt",
    "Subtract": "subtract",
    "Tanh": "tanh",
}
REDUCTIONS = {
    "ReduceMax": "max",
    "ReduceMean": "mean",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceSum": "sum",
}


@dataclass(frozen=True)
class _Step:
    compute: Callable[..., Any]
    inputs: tuple[str, ...]
    output: str
    outputs: int
    is_exact: bool


class KerasGraph:
    """A converted network, to be computed by Keras operations.

    What follows the features, the last layer and the softmax in most networks, is computed at f32
    at every precision: it costs next to nothing, and rounded logits would change probabilities.

    Args:
        path: The network, as `triptych.engines.conversion.convert.export` writes it.
        dtype: Keras's name of the number format, such as ``"float16"``.

    Raises:
        errors.EngineError: The file cannot be read, or only OpenVINO has one of its operations.
    """

    def __init__(self, path: Path, dtype: str) -> None:
        try:
            network = openvino.read_network(path)
        except RuntimeError as error:
            raise errors.EngineError(f"{path} cannot be read as a network: {error}") from error
        self.dtype = dtype
        # Height, width and channels of its input.
        shape = network.input(0).partial_shape
        self.input_shape = tuple(shape[axis].get_length() for axis in (1, 2, 3))
        # A backbone by itself has no classes, and gives features only.
        has_classes = len(network.outputs) > 1
        self.classes = network.output(0).partial_shape[1].get_length() if has_classes else 0
        # By name, those at the precision of the network and those that stay at f32.
        self.weights: dict[str, npt.NDArray[Any]] = {}
        self.exact: set[str] = set()
        self._image = network.input(0).get_node().get_friendly_name()
        self._results = [name_of(port.get_node().input_value(0)) for port in network.outputs]
        self._steps = self._translate(network, path)

    def __call__(self, weights: dict[str, Tensor], image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute probabilities and features.

        Args:
            weights: `weights` as tensors of their precision, those in `exact` as float32.
            image: Network inputs, shape (N, H, W, 3), of the network's precision.

        Returns:
            Both float32, shapes (N, C) and (N, F).
        """
        import keras

        values = {f"{self._image}:0": image, **weights}
        for step in self._steps:
            inputs = [values[name] for name in step.inputs]
            if step.is_exact:
                inputs = [_at_f32(tensor) for tensor in inputs]
            made = step.compute(*inputs)
            for index, each in enumerate(made if step.outputs > 1 else (made,)):
                values[f"{step.output}:{index}"] = each
        *probs, features = (keras.ops.cast(values[name], F32) for name in self._results)
        return probs[0] if probs else features[:, :0], features

    def _translate(self, network: Any, path: Path) -> tuple[_Step, ...]:
        features = network.outputs[-1].get_node().input_value(0).get_node()
        exact = _names_after(features)
        needed = {name.rpartition(":")[0] for name in self._results}
        steps: list[_Step] = []
        for node in reversed(network.get_ordered_ops()):
            name, kind = node.get_friendly_name(), node.get_type_name()
            if name not in needed or kind == "Parameter":
                continue
            if kind == "Constant":
                continue
            try:
                indices, compute = translation(node, F32 if name in exact else self.dtype)
            except UnknownError as error:
                raise errors.EngineError(
                    f"{path.name} has the operation {kind} ({name[:60]!r}){error}, which only "
                    "OpenVINO runs here. Run this committee with --device cpu."
                ) from None
            inputs = []
            for index in indices:
                source = node.input_value(index)
                needed.add(source.get_node().get_friendly_name())
                inputs.append(self._input(source, is_exact=name in exact))
            steps.append(_Step(compute, tuple(inputs), name, node.get_output_size(), name in exact))
        return tuple(reversed(steps))

    def _input(self, source: Any, *, is_exact: bool) -> str:
        """The name of an input's value; that of a constant is kept."""
        name = name_of(source)
        if source.get_node().get_type_name() == "Constant":
            name += " f32" if is_exact else ""
            self.weights[name] = np.array(source.get_node().data)
            if is_exact:
                self.exact.add(name)
        return name


class UnknownError(Exception):
    """There is no translation; its text says what about the operation is unknown."""


def name_of(output: Any) -> str:
    """The name of an output of an OpenVINO operation, unique in its network."""
    return f"{output.get_node().get_friendly_name()}:{output.get_index()}"


def _at_f32(tensor: Tensor) -> Tensor:
    import keras

    is_float = "float" in keras.backend.standardize_dtype(tensor.dtype)
    return keras.ops.cast(tensor, F32) if is_float else tensor


def _names_after(node: Any) -> set[str]:
    """The names of all operations that depend on one."""
    after, rest = set(), [node]
    while rest:
        for output in rest.pop().outputs():
            for target in output.get_target_inputs():
                following = target.get_node()
                if following.get_friendly_name() not in after:
                    after.add(following.get_friendly_name())
                    rest.append(following)
    return after


def translation(node: Any, dtype: str) -> Translation:
    """What Keras computes for an operation.

    Args:
        node: An operation of an OpenVINO model.
        dtype: Keras's name of the number format of its results.

    Raises:
        UnknownError: There is no translation.
    """
    import keras

    kind = node.get_type_name()
    if kind == "Convert":
        return _convert(node, dtype)
    if kind in SAME:
        return range(node.get_input_size()), getattr(keras.ops, SAME[kind])
    if kind in REDUCTIONS:
        axes = tuple(np.atleast_1d(constant(node, 1)).tolist())
        reduce = getattr(keras.ops, REDUCTIONS[kind])
        return [0], functools.partial(
            reduce, axis=axes, keepdims=node.get_attributes()["keep_dims"]
        )
    translate = TRANSLATIONS.get(kind)
    if translate is None:
        raise UnknownError
    return translate(node, node.get_attributes(), keras.ops)


def constant(node: Any, index: int) -> npt.NDArray[Any]:
    """An input of an operation that has to be a constant.

    Raises:
        UnknownError: It is computed.
    """
    source = node.input_value(index).get_node()
    if source.get_type_name() != "Constant":
        raise UnknownError(f" with a computed input {index}")
    return np.array(source.data)


def _shape(value: Any) -> list[int | None]:
    shape = value.partial_shape
    if shape.rank.is_dynamic:
        raise UnknownError(" of unknown rank")
    return [None if side.is_dynamic else side.get_length() for side in shape]


def _batched_shape(value: Any) -> list[int]:
    """A shape of which only the number of photos is unknown, which becomes -1."""
    shape = _shape(value)
    if None in shape[1:]:
        raise UnknownError(f" of the shape {value.partial_shape}")
    return [-1 if side is None else side for side in shape]


def _free_shape(value: Any) -> list[int]:
    """A shape of which one side is unknown, in any place, which becomes -1."""
    shape = _shape(value)
    if shape.count(None) > 1:
        raise UnknownError(f" of the shape {value.partial_shape}")
    return [-1 if side is None else side for side in shape]


def _convolution(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    sides = len(attributes["strides"])
    # OpenVINO: (out, in, height, width); Keras: (height, width, in, out).
    order = (*range(2, 2 + sides), 1, 0)
    strides, dilations = attributes["strides"], attributes["dilations"]
    # TensorFlow has either strides or dilations, so strides pick from the result.
    is_picked = max(strides) > 1 and max(dilations) > 1
    picked = tuple(slice(None, None, stride) for stride in (1, 1, *strides))

    def convolve(x: Tensor, kernel: Tensor) -> Tensor:
        y = ops.conv(
            _padded(ops, x, attributes),
            ops.transpose(kernel, order),
            strides=1 if is_picked else tuple(strides),
            padding="valid",
            data_format="channels_first",
            dilation_rate=tuple(dilations),
        )
        return y[picked] if is_picked else y

    if node.get_type_name() == "Convolution":
        return [0, 1], convolve
    groups, out, *rest = _batched_shape(node.input_value(1))
    return [0, 1], lambda x, kernel: convolve(x, ops.reshape(kernel, (groups * out, *rest)))


def _padded(ops: Any, x: Tensor, attributes: dict[str, Any], value: float = 0.0) -> Tensor:
    pads = list(zip(attributes["pads_begin"], attributes["pads_end"], strict=True))
    if not any(map(any, pads)):
        return x
    return ops.pad(x, [(0, 0), (0, 0), *pads], constant_values=value)


def _rounded_up(node: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a pooling with enough padding at the end for its last window."""
    inputs, outputs = _batched_shape(node.input_value(0))[2:], _batched_shape(node.output(0))[2:]
    dilations = attributes.get("dilations") or [1] * len(inputs)
    ends = []
    for side, out, kernel, stride, dilation, begin, end in zip(
        inputs,
        outputs,
        attributes["kernel"],
        attributes["strides"],
        dilations,
        attributes["pads_begin"],
        attributes["pads_end"],
        strict=True,
    ):
        if dilation != 1:
            raise UnknownError(" with dilations")
        ends.append(max(end, (out - 1) * stride + kernel - side - begin))
    return {**attributes, "pads_end": ends}


def _max_pool(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    if node.get_output_size() > 1 and node.output(1).get_target_inputs():
        raise UnknownError(" with indices")
    attributes = _rounded_up(node, attributes)

    def pool(x: Tensor) -> Tensor:
        pooled = ops.max_pool(
            _padded(ops, x, attributes, -np.inf),
            tuple(attributes["kernel"]),
            strides=tuple(attributes["strides"]),
            data_format="channels_first",
        )
        return (pooled, None) if node.get_output_size() > 1 else pooled

    return [0], pool


def _average_pool(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    attributes = _rounded_up(node, attributes)
    options = {"strides": tuple(attributes["strides"]), "data_format": "channels_first"}
    kernel = tuple(attributes["kernel"])

    def pool(x: Tensor) -> Tensor:
        return ops.average_pool(_padded(ops, x, attributes), kernel, **options)

    if not attributes["exclude-pad"]:
        return [0], pool
    # Each mean divides by the size of the window; only what is inside of the picture counts.
    inside = np.ones((1, 1, *_batched_shape(node.input_value(0))[2:]), np.float32)
    return [0], lambda x: pool(x) / ops.cast(pool(ops.convert_to_tensor(inside)), x.dtype)


def _matmul(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    def turned(x: Tensor, is_turned: bool) -> Tensor:
        return ops.swapaxes(x, -1, -2) if is_turned else x

    def multiply(a: Tensor, b: Tensor) -> Tensor:
        return ops.matmul(
            turned(a, attributes["transpose_a"]), turned(b, attributes["transpose_b"])
        )

    return [0, 1], multiply


def _reshape(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    shape = tuple(_free_shape(node.output(0)))
    return [0], lambda x: ops.reshape(x, shape)


def _broadcast(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    if (shape := _batched_shape(node.output(0)))[0] == -1:
        raise UnknownError(" over the photos of a batch")
    return [0], lambda x: ops.broadcast_to(x, shape)


def _transpose(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    order = tuple(constant(node, 1).tolist())
    return [0], lambda x: ops.transpose(x, order)


def _concat(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    axis = attributes["axis"]
    return range(node.get_input_size()), lambda *parts: ops.concatenate(parts, axis=axis)


def _split(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    axis = int(constant(node, 1).item())
    ends = np.cumsum([_free_shape(part)[axis] for part in node.outputs()])[:-1].tolist()
    if len(node.outputs()) == 1:
        return [0], lambda x: x
    return [0], lambda x: ops.split(x, ends, axis=axis)


def _slice(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    starts, stops, steps = (constant(node, index).tolist() for index in (1, 2, 3))
    axes = constant(node, 4).tolist() if node.get_input_size() > 4 else range(len(starts))
    slices = {axis: slice(*each) for axis, *each in zip(axes, starts, stops, steps, strict=True)}
    return [0], _picking(node, slices, ops)


def _strided_slice(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    if any(any(attributes[mask]) for mask in ("new_axis_mask", "ellipsis_mask")):
        raise UnknownError(" with a new axis or an ellipsis")
    starts, stops = (constant(node, index).tolist() for index in (1, 2))
    steps = constant(node, 3).tolist() if node.get_input_size() > 3 else [1] * len(starts)
    masks = {name: [*attributes[name], *[0] * len(starts)] for name in ("begin_mask", "end_mask")}
    slices = {}
    for axis, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        if axis < len(attributes["shrink_axis_mask"]) and attributes["shrink_axis_mask"][axis]:
            slices[axis] = slice(start, start + 1 or None)
        else:
            slices[axis] = slice(
                None if masks["begin_mask"][axis] else start,
                None if masks["end_mask"][axis] else stop,
                step,
            )
    pick, shape = _picking(node, slices, ops), tuple(_free_shape(node.output(0)))
    return [0], lambda x: ops.reshape(pick(x), shape)


def _picking(node: Any, slices: dict[int, slice], ops: Any) -> Callable[[Tensor], Tensor]:
    sides = _shape(node.input_value(0))
    picked = {}
    for axis, each in slices.items():
        side = sides[axis]
        if side is None:
            if (each.start or 0, each.step or 1) != (0, 1) or (each.stop or BEYOND) < BEYOND:
                raise UnknownError(" over the photos of a batch")
            continue
        indices = np.arange(side)[each]
        if len(indices) != side or (np.diff(indices) < 0).any():
            picked[axis] = indices

    def pick(x: Tensor) -> Tensor:
        for axis, indices in picked.items():
            x = ops.take(x, indices, axis=axis)
        return x

    return pick


# More photos than any batch has; what OpenVINO writes as the end of a slice without one.
BEYOND = 2**31 - 1


def _gather(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    indices, axis = constant(node, 1), int(constant(node, 2).item())
    if attributes["batch_dims"]:
        raise UnknownError(" over the photos of a batch")
    if (length := _shape(node.input_value(0))[axis]) is None:
        raise UnknownError(" over the photos of a batch")
    positive = np.where(indices < 0, indices + length, indices)
    return [0], lambda x: ops.take(x, positive, axis=axis)


def _pad(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    begins, ends = constant(node, 1).tolist(), constant(node, 2).tolist()
    mode = {"constant": "constant", "reflect": "reflect", "symmetric": "symmetric"}.get(
        attributes["pad_mode"]
    )
    if mode is None or min(*begins, *ends) < 0:
        raise UnknownError(f" of the kind {attributes['pad_mode']}")
    value = float(constant(node, 3).item()) if node.get_input_size() > 3 else 0.0
    words = {"constant_values": value} if mode == "constant" else {}
    return [0], lambda x: ops.pad(x, list(zip(begins, ends, strict=True)), mode=mode, **words)


def _tile(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    repeats = constant(node, 1).tolist()
    return [0], lambda x: ops.tile(x, repeats)


def _convert(node: Any, dtype: str) -> Translation:
    import keras

    kind = node.get_attributes()["destination_type"]
    names = {"boolean": "bool", "i32": "int32", "i64": "int64", "u8": "uint8"}
    names |= dict.fromkeys(("f16", "f32", "bf16"), dtype)
    if kind not in names:
        raise UnknownError(f" to {kind}")
    return [0], lambda x: keras.ops.cast(x, names[kind])


def _softmax(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    is_log = node.get_type_name() == "LogSoftmax"
    compute = ops.log_softmax if is_log else ops.softmax
    return [0], lambda x: compute(x, axis=attributes["axis"])


def _clamp(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    return [0], lambda x: ops.clip(x, attributes["min"], attributes["max"])


def _swish(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    beta = float(constant(node, 1).item()) if node.get_input_size() > 1 else 1.0
    return [0], lambda x: x * ops.sigmoid(x if beta == 1 else beta * x)


def _gelu(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    approximate = attributes.get("approximation_mode", "ERF") != "ERF"
    return [0], lambda x: ops.gelu(x, approximate=approximate)


def _elu(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    return [0], lambda x: ops.elu(x, attributes["alpha"])


def _selu(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    alpha, scale = (float(constant(node, index).item()) for index in (1, 2))
    return [0], lambda x: scale * ops.elu(x, alpha)


def _prelu(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    slope = _batched_shape(node.input_value(1))
    axes = len(_batched_shape(node.input_value(0)))
    if len(slope) == 1 and axes > 1:  # one for each channel
        slope = [1, *slope, *[1] * (axes - 2)]
    return [0, 1], lambda x, s: ops.maximum(x, 0) + ops.reshape(s, slope) * ops.minimum(x, 0)


def _hard_sigmoid(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    alpha, beta = (float(constant(node, index).item()) for index in (1, 2))
    return [0], lambda x: ops.clip(alpha * x + beta, 0, 1)


def _mish(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    return [0], lambda x: x * ops.tanh(ops.softplus(x))


def _reduce_l2(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    axes = tuple(np.atleast_1d(constant(node, 1)).tolist())
    keeps = attributes["keep_dims"]
    return [0], lambda x: ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=keeps))


def _batch_norm(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    shape = (1, -1, *[1] * (len(_shape(node.input_value(0))) - 2))
    epsilon = attributes["epsilon"]

    def normalize(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        factor = gamma / ops.sqrt(variance + epsilon)
        return x * ops.reshape(factor, shape) + ops.reshape(beta - mean * factor, shape)

    return range(5), normalize


def _mvn(node: Any, attributes: dict[str, Any], ops: Any) -> Translation:
    axes = tuple(np.atleast_1d(constant(node, 1)).tolist())
    epsilon, is_inside = attributes["eps"], attributes["eps_mode"].lower() == "inside_sqrt"

    def normalize(x: Tensor) -> Tensor:
        centred = x - ops.mean(x, axis=axes, keepdims=True)
        if not attributes["normalize_variance"]:
            return centred
        variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
        if is_inside:
            return centred / ops.sqrt(variance + epsilon)
        return centred / (ops.sqrt(variance) + epsilon)

    return [0], normalize


TRANSLATIONS: dict[str, Callable[[Any, dict[str, Any], Any], Translation]] = {
    "AvgPool": _average_pool,
    "BatchNormInference": _batch_norm,
    "Broadcast": _broadcast,
    "Clamp": _clamp,
    "Concat": _concat,
    "Convolution": _convolution,
    "Elu": _elu,
    "Gather": _gather,
    "Gelu": _gelu,
    "GroupConvolution": _convolution,
    "HardSigmoid": _hard_sigmoid,
    "LogSoftmax": _softmax,
    "MVN": _mvn,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mish": _mish,
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceL2": _reduce_l2,
    "Reshape": _reshape,
    "Selu": _selu,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _reshape,
    "StridedSlice": _strided_slice,
    "Swish": _swish,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
    "VariadicSplit": _split,
}
