"""The operations of OpenVINO, each as operations of ONNX: one table.

Quantized networks: what `optimize` writes are `FakeQuantize` between layers, which become a
`QuantizeLinear` and a `DequantizeLinear`, and weights of 8 bits that are scaled, which become a
`DequantizeLinear`. Runtimes make layers of integers of those.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np

from triptych.typing import Array

Builder = Any
Node = Any
Translation = Callable[[Builder, Node, dict[str, Any]], Any]

# By operation of OpenVINO, the one of ONNX with the same inputs and the same result.
SAME = {
    "Abs": "Abs",
    "Ceiling": "Ceil",
    "Cos": "Cos",
    "Divide": "Div",
    "Equal": "Equal",
    "Erf": "Erf",
    "Exp": "Exp",
    "Floor": "Floor",
    "Greater": "Greater",
    "GreaterEqual": "GreaterOrEqual",
    "HSwish": "HardSwish",
    "Less": "Less",
    "LessEqual": "LessOrEqual",
    "Log": "Log",
    "LogicalAnd": "And",
    "LogicalNot": "Not",
    "LogicalOr": "Or",
    "LogicalXor": "Xor",
    "Maximum": "Max",
    "Minimum": "Min",
    "Mish": "Mish",
    "Multiply": "Mul",
    "Negative": "Neg",
    "Power": "Pow",
    "Range": "Range",
    "Relu": "Relu",
    "Select": "Where",
    "Sigmoid": "Sigmoid",
    "Sign": "Sign",
    "Sin": "Sin",
    "SoftPlus": "Softplus",
    "SoftSign": "Softsign",
    "Sqrt": "Sqrt",
    "Subtract": "Sub",
    "Tanh": "Tanh",
}
# Likewise, with axes as the second input.
REDUCTIONS = {
    "ReduceL1": "ReduceL1",
    "ReduceL2": "ReduceL2",
    "ReduceMax": "ReduceMax",
    "ReduceMean": "ReduceMean",
    "ReduceMin": "ReduceMin",
    "ReduceProd": "ReduceProd",
    "ReduceSum": "ReduceSum",
}


class UnknownError(Exception):
    """There is no translation; its text says what about the operation is unknown."""


def translate(builder: Builder, node: Node) -> list[str]:
    """Translate an operation, and return the names of its outputs.

    Args:
        builder: What the operations are added to; it knows the inputs by name.
        node: The operation.

    Raises:
        UnknownError: It cannot be translated.
    """
    kind, attributes = node.get_type_name(), node.get_attributes()
    if attributes.get("auto_broadcast", "numpy") not in ("numpy", "none"):
        raise UnknownError(" with another broadcast than NumPy's")
    if kind in SAME:
        return [builder.add(SAME[kind], _inputs(builder, node))]
    if kind in REDUCTIONS:
        values, axes = builder.input(node.input_value(0)), _int64(builder, node, 1)
        keeps = int(attributes["keep_dims"])
        return [builder.add(REDUCTIONS[kind], [values, axes], keepdims=keeps)]
    if kind not in TRANSLATIONS:
        raise UnknownError
    made = TRANSLATIONS[kind](builder, node, attributes)
    return [made] if isinstance(made, str) else list(made)


def sources(node: Node) -> list[Node]:
    """The operations that are translated before one; the others are translated with it."""
    if biased := bias_of(node):
        node, _ = biased
    ports = list(node.input_values())
    if node.get_type_name() in ("Convolution", "GroupConvolution", "MatMul"):
        origin, _ = _origin(node)
        if origin.get_type_name() == "FakeQuantize" and not _is_integer(node):
            ports[0] = origin.input_value(0)
        ports = ports[:1] if stored_weights(ports[1]) else ports
    return [port.get_node() for port in ports]


def data(node: Node) -> Array:
    """The values of a constant."""
    if node.get_element_type().get_type_name() == "bf16":
        return np.array(node.get_data(dtype=np.float32))
    return np.array(node.data)


def _inputs(builder: Builder, node: Node) -> list[str]:
    return [builder.input(value) for value in node.input_values()]


def constant(node: Node, index: int) -> Array:
    """The values of an input that is a constant.

    Raises:
        UnknownError: It is computed.
    """
    source = node.input_value(index).get_node()
    if source.get_type_name() == "Convert":  # of a number type in which it was stored
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Constant":
        raise UnknownError(f" with a computed input {index}")
    return data(source)


def _is_constant(node: Node, index: int) -> bool:
    return bool(node.input_value(index).get_node().get_type_name() == "Constant")


def _int64(builder: Builder, node: Node, index: int) -> str:
    """An input that says a shape or axes, as a vector of int64."""
    if _is_constant(node, index):
        return str(builder.constant(np.atleast_1d(constant(node, index)).astype(np.int64)))
    name = str(builder.input(node.input_value(index)))
    if node.input_value(index).element_type.get_type_name() != "i64":
        name = builder.add("Cast", [name], to=_onnx_type("i64"))
    if node.input_value(index).partial_shape.rank.get_length() == 0:
        name = builder.add("Reshape", [name, builder.constant([-1], np.int64)])
    return name


def _onnx_type(name: str) -> int:
    import onnx

    types = {
        "boolean": onnx.TensorProto.BOOL,
        "bf16": onnx.TensorProto.FLOAT,
        "f16": onnx.TensorProto.FLOAT16,
        "f32": onnx.TensorProto.FLOAT,
        "f64": onnx.TensorProto.DOUBLE,
        "i8": onnx.TensorProto.INT8,
        "i16": onnx.TensorProto.INT16,
        "i32": onnx.TensorProto.INT32,
        "i64": onnx.TensorProto.INT64,
        "u8": onnx.TensorProto.UINT8,
        "u16": onnx.TensorProto.UINT16,
        "u32": onnx.TensorProto.UINT32,
        "u64": onnx.TensorProto.UINT64,
    }
    if name not in types:
        raise UnknownError(f" of numbers of the type {name}")
    return int(types[name])


def axis_lengths(value: Any) -> list[int | None]:
    """The shape of a value; ``None`` for lengths that are not known.

    Raises:
        UnknownError: Not even their number is.
    """
    if value.partial_shape.rank.is_dynamic:
        raise UnknownError(" of unknown rank")
    return [None if side.is_dynamic else side.get_length() for side in value.partial_shape]


def _known_shape(value: Any, first: int = 0) -> list[int]:
    """The lengths of the axes from one on."""
    sides = axis_lengths(value)[first:]
    if None in sides:
        raise UnknownError(f" of the shape {value.partial_shape}")
    return [side for side in sides if side is not None]


def _number(builder: Builder, node: Node, value: float) -> str:
    """A scalar of the type of an operation's result."""
    return str(builder.constant(value, node.output(0).element_type.to_dtype()))


# ------------------------------------------------------------------ layers


def stored_weights(source: Any) -> tuple[Array, Array, Array] | None:
    """Weights of 8 bits, their scales and zero points; ``None`` where weights are not stored so.

    All three have the same shape.
    """
    product = source.get_node()
    if product.get_type_name() != "Multiply":
        return None
    left, factor = (product.input_value(index).get_node() for index in (0, 1))
    zero = np.zeros((), np.float32)
    if left.get_type_name() == "Subtract":
        try:
            zero = constant(left, 1).astype(np.float32)
        except UnknownError:
            return None
        left = left.input_value(0).get_node()
    stored = left.input_value(0).get_node() if left.get_type_name() == "Convert" else left
    if {stored.get_type_name(), factor.get_type_name()} != {"Constant"}:
        return None
    if stored.get_element_type().get_type_name() not in ("i8", "u8"):
        return None
    values = data(stored)
    scale = data(factor).astype(np.float32)
    return values, np.broadcast_to(scale, values.shape), np.broadcast_to(zero, values.shape)


def _weights(
    builder: Builder, node: Node, change: Callable[[Array], Array], *, as_integers: bool
) -> str | None:
    """The weights of a layer, changed; ``None`` where they are computed.

    Args:
        builder: As for `translate`.
        node: The layer.
        change: What is done with an array of their shape.
        as_integers: Whether the layer is to be computed with integers; of others the weights are
            stored as bytes, too, and runtimes make numbers of them once.
    """
    source = node.input_value(1)
    if not (quantized := stored_weights(source)):
        is_constant = source.get_node().get_type_name() == "Constant"
        return str(builder.constant(change(data(source.get_node())))) if is_constant else None
    values, scale, zero = (change(each) for each in quantized)
    axes = _varied(scale) | _varied(zero)
    if not as_integers or len(axes) > 1:
        firsts = tuple(slice(None) if axis in axes else slice(1) for axis in range(values.ndim))
        floats = builder.add("Cast", [builder.constant(values)], to=_onnx_type("f32"))
        if zero.any():
            floats = builder.add("Sub", [floats, builder.constant(zero[firsts])])
        return str(builder.add("Mul", [floats, builder.constant(scale[firsts])]))
    # As unsigned numbers, which processors without VNNI do not saturate either.
    if values.dtype == np.int8:
        values, zero = (values.astype(np.int16) + 128).astype(np.uint8), zero + 128
    scale, zero = (_along(each, axes) for each in (scale, zero.round().astype(np.uint8)))
    names = [builder.constant(each) for each in (values, scale, zero)]
    options = {"axis": axes.pop()} if axes else {}
    return str(builder.add("DequantizeLinear", names, **options))


def _along(array: Array, axes: set[int]) -> Array:
    """The numbers of an array along those axes along which they are not the same."""
    array = array[tuple(slice(None) if axis in axes else slice(1) for axis in range(array.ndim))]
    return array.reshape([-1] * len(axes))


def _is_integer(node: Node) -> bool:
    """Whether runtimes can compute a layer with integers: bytes of one scale go in and come out."""
    if not _is_byte_tensor(_origin(node)[0]) or not stored_weights(node.input_value(1)):
        return False
    rest = [node.output(0)]
    while rest:
        for target in rest.pop().get_target_inputs():
            following = target.get_node()
            if following.get_type_name() in ("Clamp", "Relu") or bias_of(following):
                rest.append(following.output(0))
            elif not _is_byte_tensor(following):
                return False
    return True


def _is_byte_tensor(node: Node) -> bool:
    return bool(
        node.get_type_name() == "FakeQuantize"
        and all(constant(node, index).size == 1 for index in (1, 2, 3, 4))
        and _is_byte(*(float(constant(node, index).item()) for index in (1, 2, 3, 4)))
        and node.get_attributes()["levels"] == 256
    )


def _varied(array: Array) -> set[int]:
    """The axes along which the numbers of an array are not the same."""
    return {axis for axis in range(array.ndim) if np.ptp(array, axis=axis).any()}


def _convolution(
    builder: Builder, node: Node, attributes: dict[str, Any], bias: Array | None = None
) -> str:
    grouped = node.get_type_name() == "GroupConvolution"
    groups = 1
    if grouped:
        # OpenVINO: (groups, out, in, height, width); ONNX: (groups * out, in, height, width).
        groups, out, *rest = _known_shape(node.input_value(1))
        shape = (groups * out, *rest)
    as_integers = _is_integer(node)
    kernel = _weights(
        builder,
        node,
        lambda array: array.reshape(shape) if grouped else array,
        as_integers=as_integers,
    )
    if kernel is None:
        kernel = builder.input(node.input_value(1))
        if grouped:
            kernel = builder.add("Reshape", [kernel, builder.constant(shape, np.int64)])
    names = [_layer_input(builder, node, as_integers=as_integers), kernel]
    if bias is not None:
        steps = _steps(node) if as_integers else None
        names.append(_bias(builder, bias, steps))
    return str(
        builder.add(
            "Conv",
            names,
            strides=list(attributes["strides"]),
            dilations=list(attributes["dilations"]),
            pads=[*attributes["pads_begin"], *attributes["pads_end"]],
            group=groups,
        )
    )


def _steps(node: Node) -> Array:
    """In which steps a convolution of integers adds, one for each channel of its result."""
    low, high = (float(constant(_origin(node)[0], index).item()) for index in (1, 2))
    _, scale, _ = stored_weights(node.input_value(1)) or (None, np.ones(1), None)
    channels = _known_shape(node.output(0), 1)[0]
    steps: Array = ((high - low) / 255 * scale.reshape(channels, -1)[:, 0]).astype(np.float32)
    return steps


def _bias(builder: Builder, bias: Array, steps: Array | None) -> str:
    """The bias of a convolution, in whole steps where it is one of integers."""
    if steps is None:
        return str(builder.constant(bias))
    stored = np.clip(np.rint(bias / steps), -(2.0**31), 2.0**31 - 256).astype(np.int32)
    names = [builder.constant(each) for each in (stored, steps, np.zeros(len(bias), np.int32))]
    return str(builder.add("DequantizeLinear", names, axis=0))


def bias_of(node: Node) -> tuple[Node, Array] | None:
    """The convolution that an addition gives a bias, and that bias; ``None`` for other ones."""
    if node.get_type_name() != "Add":
        return None
    layer, other = (node.input_value(index).get_node() for index in (0, 1))
    if layer.get_type_name() not in ("Convolution", "GroupConvolution"):
        return None
    if other.get_type_name() != "Constant" or len(layer.output(0).get_target_inputs()) > 1:
        return None
    bias, (_, channels, *sides) = data(other), axis_lengths(layer.output(0))
    if bias.shape != (1, channels, *[1] * len(sides)):
        return None
    return layer, bias.reshape(-1)


def _add(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    if biased := bias_of(node):
        layer, bias = biased
        return _convolution(builder, layer, layer.get_attributes(), bias)
    return str(builder.add("Add", _inputs(builder, node)))


def _matmul(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    as_integers = _is_integer(node)
    left = _layer_input(builder, node, as_integers=as_integers)
    if attributes["transpose_a"]:
        left = _swapped(builder, left, axis_lengths(node.input_value(0)))
    is_swapped = attributes["transpose_b"] and len(axis_lengths(node.input_value(1))) > 1
    right = _weights(
        builder,
        node,
        lambda array: np.swapaxes(array, -1, -2) if is_swapped else array,
        as_integers=as_integers,
    )
    if right is None:
        right = builder.input(node.input_value(1))
        if is_swapped:
            right = _swapped(builder, right, axis_lengths(node.input_value(1)))
    return str(builder.add("MatMul", [left, right]))


def _layer_input(builder: Builder, node: Node, *, as_integers: bool) -> str:
    """What goes into a layer.

    Behind a `DequantizeLinear` onnxruntime would quantize the weights of any layer, coarsely. So
    quantized values for a layer that is not computed with integers are rounded in numbers.
    """
    origin, transposes = _origin(node)
    if as_integers or origin.get_type_name() != "FakeQuantize":
        return str(builder.input(node.input_value(0)))
    key = origin.get_instance_id(), -1
    if key not in builder.values:
        builder.values[key] = _rounded(builder, origin)
    name = str(builder.values[key])
    for transpose in transposes:
        name = builder.add("Transpose", [name], perm=constant(transpose, 1).astype(int).tolist())
    return name


def _origin(layer: Node) -> tuple[Node, list[Node]]:
    """What computes the numbers that go into a layer, and the transposes after that, in order."""
    transposes: list[Node] = []
    node = layer.input_value(0).get_node()
    while node.get_type_name() == "Transpose":
        transposes.insert(0, node)
        node = node.input_value(0).get_node()
    return node, transposes


def _swapped(builder: Builder, name: str, shape: Sequence[int | None]) -> str:
    if len(shape) < 2:
        return name
    order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    return str(builder.add("Transpose", [name], perm=order))


def _pooling(node: Node, attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a pooling, with enough padding for its last window."""
    kernel, strides = list(attributes["kernel"]), list(attributes["strides"])
    begins, ends = list(attributes["pads_begin"]), list(attributes["pads_end"])
    dilations = list(attributes.get("dilations") or [1] * len(kernel))
    options = {"kernel_shape": kernel, "strides": strides}
    if any(each != 1 for each in dilations):
        options["dilations"] = dilations
    if attributes["rounding_type"] == "floor":
        return {**options, "pads": [*begins, *ends]}
    sides, outs = (_known_shape(value, 2) for value in (node.input_value(0), node.output(0)))
    windows = zip(sides, outs, kernel, strides, dilations, begins, ends, strict=True)
    ends = [
        max(end, (out - 1) * stride + (size - 1) * dilation + 1 - side - begin)
        for side, out, size, stride, dilation, begin, end in windows
    ]
    return {**options, "pads": [*begins, *ends]}


def _max_pool(builder: Builder, node: Node, attributes: dict[str, Any]) -> list[str]:
    if node.get_output_size() > 1 and node.output(1).get_target_inputs():
        raise UnknownError(" with indices")
    values = builder.input(node.input_value(0))
    return [builder.add("MaxPool", [values], **_pooling(node, attributes))]


def _average_pool(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    options = _pooling(node, attributes)
    if options.pop("dilations", None):
        raise UnknownError(" with dilations")
    includes = int(not attributes["exclude-pad"])
    values = builder.input(node.input_value(0))
    return str(builder.add("AveragePool", [values], count_include_pad=includes, **options))


def _batch_norm(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    return str(
        builder.add("BatchNormalization", _inputs(builder, node), epsilon=attributes["epsilon"])
    )


def _mvn(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    values, axes = builder.input(node.input_value(0)), _int64(builder, node, 1)
    centred = builder.add("Sub", [values, builder.add("ReduceMean", [values, axes], keepdims=1)])
    if not attributes["normalize_variance"]:
        return str(centred)
    squares = builder.add("Pow", [centred, _number(builder, node, 2)])
    variance = builder.add("ReduceMean", [squares, axes], keepdims=1)
    epsilon = _number(builder, node, attributes["eps"])
    if attributes["eps_mode"].lower() == "inside_sqrt":
        deviation = builder.add("Sqrt", [builder.add("Add", [variance, epsilon])])
    else:
        deviation = builder.add("Add", [builder.add("Sqrt", [variance]), epsilon])
    return str(builder.add("Div", [centred, deviation]))


def _normalize_l2(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    values, axes = builder.input(node.input_value(0)), _int64(builder, node, 1)
    squares = builder.add("ReduceSumSquare", [values, axes], keepdims=1)
    kind = {"add": "Add", "max": "Max"}[attributes["eps_mode"]]
    floor = builder.add(kind, [squares, _number(builder, node, attributes["eps"])])
    return str(builder.add("Div", [values, builder.add("Sqrt", [floor])]))


def _attention(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    if attributes.get("causal"):
        raise UnknownError(" with a causal mask")
    query, key, value, *others = _inputs(builder, node)
    shapes = [axis_lengths(node.input_value(index)) for index in (0, 1)]
    scores = builder.add("MatMul", [query, _swapped(builder, key, shapes[1])])
    if len(others) > 1:
        scale = others[1]
    elif shapes[0][-1] is None:
        raise UnknownError(" of unknown length")
    else:
        scale = _number(builder, node, shapes[0][-1] ** -0.5)
    scores = builder.add("Mul", [scores, scale])
    if others and axis_lengths(node.input_value(3)):
        mask = others[0]
        if node.input_value(3).element_type.get_type_name() == "boolean":
            zero, never = _number(builder, node, 0), _number(builder, node, -np.inf)
            mask = builder.add("Where", [mask, zero, never])
        scores = builder.add("Add", [scores, mask])
    return str(builder.add("MatMul", [builder.add("Softmax", [scores], axis=-1), value]))


def _is_byte(low: float, high: float, out_low: float, out_high: float) -> bool:
    """Whether a quantization is that to unsigned bytes by a scale and a zero point."""
    if not low < high or (low, high) != (out_low, out_high):
        return False
    zero = -low / (high - low) * 255
    return abs(zero - round(zero)) < 1e-3 and 0 <= round(zero) <= 255


def _fake_quantize(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    if not _is_byte_tensor(node):
        return _rounded(builder, node)
    low, high = (float(constant(node, index).item()) for index in (1, 2))
    scale = (high - low) / 255
    parts = [builder.constant(np.float32(scale)), builder.constant(np.uint8(round(-low / scale)))]
    stored = builder.add("QuantizeLinear", [builder.input(node.input_value(0)), *parts])
    return str(builder.add("DequantizeLinear", [stored, *parts]))


def _rounded(builder: Builder, node: Node) -> str:
    """The values that a quantization leaves, computed in numbers."""
    low, high, out_low, out_high = (constant(node, index) for index in (1, 2, 3, 4))
    steps = node.get_attributes()["levels"] - 1
    lows, highs = builder.constant(low), builder.constant(high)
    made = builder.input(node.input_value(0))
    made = builder.add("Min", [builder.add("Max", [made, lows]), highs])
    if low.any():
        made = builder.add("Sub", [made, lows])
    factor = np.asarray(steps / (high - low), np.float32)
    made = builder.add("Round", [builder.add("Mul", [made, builder.constant(factor)])])
    scale = np.asarray((out_high - out_low) / steps, np.float32)
    made = builder.add("Mul", [made, builder.constant(scale)])
    return str(builder.add("Add", [made, builder.constant(out_low)]) if out_low.any() else made)


# ------------------------------------------------------------------ activations


def _not_equal(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    return str(builder.add("Not", [builder.add("Equal", _inputs(builder, node))]))


def _squared_difference(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    difference = builder.add("Sub", _inputs(builder, node))
    return str(builder.add("Mul", [difference, difference]))


def _round(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    if attributes["mode"].lower() != "half_to_even":
        raise UnknownError(f" of the kind {attributes['mode']}")
    return str(builder.add("Round", _inputs(builder, node)))


def _clamp(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    limits = [_number(builder, node, attributes[name]) for name in ("min", "max")]
    return str(builder.add("Clip", [builder.input(node.input_value(0)), *limits]))


def _softmax(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    return str(builder.add(node.get_type_name(), _inputs(builder, node), axis=attributes["axis"]))


def _swish(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    values = scaled = builder.input(node.input_value(0))
    if node.get_input_size() > 1 and (beta := float(constant(node, 1).item())) != 1:
        scaled = builder.add("Mul", [values, _number(builder, node, beta)])
    return str(builder.add("Mul", [values, builder.add("Sigmoid", [scaled])]))


def _gelu(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    number = functools.partial(_number, builder, node)
    values = builder.input(node.input_value(0))
    if attributes.get("approximation_mode", "ERF").upper() == "ERF":
        share = builder.add("Erf", [builder.add("Mul", [values, number(0.5**0.5)])])
    else:
        cube = builder.add("Pow", [values, number(3)])
        bent = builder.add("Add", [values, builder.add("Mul", [cube, number(0.044715)])])
        share = builder.add("Tanh", [builder.add("Mul", [bent, number((2 / np.pi) ** 0.5)])])
    half = builder.add("Mul", [values, number(0.5)])
    return str(builder.add("Mul", [half, builder.add("Add", [share, number(1)])]))


def _elu(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    return str(builder.add("Elu", _inputs(builder, node), alpha=attributes["alpha"]))


def _selu(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    alpha, gamma = (float(constant(node, index).item()) for index in (1, 2))
    return str(builder.add("Selu", [builder.input(node.input_value(0))], alpha=alpha, gamma=gamma))


def _prelu(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    values, slope = _inputs(builder, node)
    axes = len(axis_lengths(node.input_value(0)))
    if len(axis_lengths(node.input_value(1))) == 1 and axes > 1:  # one for each channel
        shape = [-1, *[1] * (axes - 2)]
        slope = builder.add("Reshape", [slope, builder.constant(shape, np.int64)])
    return str(builder.add("PRelu", [values, slope]))


def _hard_sigmoid(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    alpha, beta = 1 / 6, 0.5
    if node.get_type_name() == "HardSigmoid":
        alpha, beta = (float(constant(node, index).item()) for index in (1, 2))
    values = builder.input(node.input_value(0))
    return str(builder.add("HardSigmoid", [values], alpha=alpha, beta=beta))


def _convert(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    target = _onnx_type(node.output(0).element_type.get_type_name())
    return str(builder.add("Cast", [builder.input(node.input_value(0))], to=target))


# ------------------------------------------------------------------ shapes


def _shape_of(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    shape = builder.add("Shape", _inputs(builder, node))
    kind = node.output(0).element_type.get_type_name()
    return str(shape if kind == "i64" else builder.add("Cast", [shape], to=_onnx_type(kind)))


def _reshape(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    values = builder.input(node.input_value(0))
    keeps = {} if attributes["special_zero"] else {"allowzero": 1}
    if keeps and _is_constant(node, 1) and 0 not in constant(node, 1):
        keeps = {}
    return str(builder.add("Reshape", [values, _int64(builder, node, 1)], **keeps))


def _squeeze(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    names = [builder.input(node.input_value(0))]
    if node.get_input_size() > 1:
        names.append(_int64(builder, node, 1))
    return str(builder.add(node.get_type_name(), names))


def _transpose(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    order = constant(node, 1).astype(int).tolist() or None
    options = {"perm": order} if order else {}
    return str(builder.add("Transpose", [builder.input(node.input_value(0))], **options))


def _broadcast(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    if attributes["mode"].lower() not in ("numpy", "bidirectional"):
        raise UnknownError(f" of the kind {attributes['mode']}")
    values = builder.input(node.input_value(0))
    return str(builder.add("Expand", [values, _int64(builder, node, 1)]))


def _tile(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    values = builder.input(node.input_value(0))
    return str(builder.add("Tile", [values, _int64(builder, node, 1)]))


def _concat(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    return str(builder.add("Concat", _inputs(builder, node), axis=attributes["axis"]))


def _split(builder: Builder, node: Node, attributes: dict[str, Any]) -> list[str]:
    axis = int(constant(node, 1).item())
    lengths = [axis_lengths(output)[axis] for output in node.outputs()]
    if None in lengths:
        raise UnknownError(" into parts of unknown length")
    values, sizes = builder.input(node.input_value(0)), builder.constant(lengths, np.int64)
    return list(builder.add_many("Split", [values, sizes], len(lengths), axis=axis))


def _slice(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    starts, stops, steps = (_int64(builder, node, index) for index in (1, 2, 3))
    if node.get_input_size() > 4:
        axes = _int64(builder, node, 4)
    else:
        count = _known_shape(node.input_value(1))[0]
        axes = builder.constant(np.arange(count), np.int64)
    values = builder.input(node.input_value(0))
    return str(builder.add("Slice", [values, starts, stops, axes, steps]))


def _strided_slice(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    masks = ("begin_mask", "end_mask", "shrink_axis_mask", "new_axis_mask", "ellipsis_mask")
    if any(attributes["ellipsis_mask"]) or any(attributes["new_axis_mask"]):
        raise UnknownError(" with a new axis or an ellipsis")
    count = _known_shape(node.input_value(1))[0]
    begin, end, shrink, _, _ = ([*attributes[mask], *[0] * count][:count] for mask in masks)
    values = builder.input(node.input_value(0))
    axes = builder.constant(np.arange(count), np.int64)
    if not any((*begin, *end, *shrink)):
        bounds = [_int64(builder, node, index) for index in (1, 2)]
        steps = (
            _int64(builder, node, 3)
            if node.get_input_size() > 3
            else builder.constant(np.ones(count), np.int64)
        )
        return str(builder.add("Slice", [values, *bounds, axes, steps]))
    starts, stops = (constant(node, index).astype(np.int64) for index in (1, 2))
    steps = np.ones(count, np.int64)
    if node.get_input_size() > 3:
        steps = constant(node, 3).astype(np.int64)
    far = np.iinfo(np.int64).max
    for axis in range(count):
        if shrink[axis]:
            starts[axis], steps[axis] = starts[axis], 1
            stops[axis] = starts[axis] + 1 if starts[axis] != -1 else far
            continue
        if begin[axis]:
            starts[axis] = 0 if steps[axis] > 0 else far
        if end[axis]:
            stops[axis] = far if steps[axis] > 0 else -far
    bounds = [builder.constant(each) for each in (starts, stops)]
    sliced = builder.add("Slice", [values, *bounds, axes, builder.constant(steps)])
    if not any(shrink):
        return str(sliced)
    return str(builder.add("Squeeze", [sliced, builder.constant(np.flatnonzero(shrink), np.int64)]))


def _gather(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    if attributes.get("batch_dims"):
        raise UnknownError(" over the photos of a batch")
    names = [builder.input(node.input_value(index)) for index in (0, 1)]
    return str(builder.add("Gather", names, axis=int(constant(node, 2).item())))


def _pad(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    mode = attributes["pad_mode"].lower()
    if mode not in ("constant", "reflect", "edge"):
        raise UnknownError(f" of the kind {mode}")
    ends = [_int64(builder, node, index) for index in (1, 2)]
    names = [builder.input(node.input_value(0)), builder.add("Concat", ends, axis=0)]
    if mode == "constant" and node.get_input_size() > 3:
        names.append(builder.input(node.input_value(3)))
    return str(builder.add("Pad", names, mode=mode))


def _depth_to_space(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    mode = {"blocks_first": "DCR", "depth_first": "CRD"}[attributes["mode"].lower()]
    options: dict[str, Any] = {"blocksize": attributes["block_size"]}
    if node.get_type_name() == "DepthToSpace":
        options["mode"] = mode
    elif mode != "DCR":
        raise UnknownError(" with the depth first")
    return str(builder.add(node.get_type_name(), _inputs(builder, node), **options))


def _interpolate(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    modes = {"nearest": "nearest", "linear_onnx": "linear", "cubic": "cubic"}
    mode = attributes["mode"].lower()
    if mode not in modes or attributes["antialias"]:
        raise UnknownError(f" of the kind {mode}{' with antialias' * attributes['antialias']}")
    if any((*attributes["pads_begin"], *attributes["pads_end"])):
        raise UnknownError(" with padding")
    values, target = builder.input(node.input_value(0)), builder.input(node.input_value(1))
    rank, by_scales = len(axis_lengths(node.input_value(0))), False
    by_scales = attributes["shape_calculation_mode"].lower() == "scales"
    # The form with sizes has the scales as a further input, which says nothing new.
    axes_input = node.get_input_size() - 1
    axes = list(range(rank))
    if axes_input > 1:
        axes = [int(axis) for axis in np.atleast_1d(constant(node, axes_input))]
    names = [values, "", target] if by_scales else [values, "", "", _int64(builder, node, 1)]
    options: dict[str, Any] = {
        "mode": modes[mode],
        "axes": axes,
        "coordinate_transformation_mode": attributes["coordinate_transformation_mode"].lower(),
    }
    if mode == "nearest":
        options["nearest_mode"] = attributes["nearest_mode"].lower()
        if options["nearest_mode"] == "simple":
            raise UnknownError(" to the nearest in the simple way")
    if mode == "cubic":
        options["cubic_coeff_a"] = attributes["cube_coeff"]
    if options["coordinate_transformation_mode"] == "tf_half_pixel_for_nn":
        raise UnknownError(" with half pixels of TensorFlow")
    return str(builder.add("Resize", names, **options))


def _topk(builder: Builder, node: Node, attributes: dict[str, Any]) -> list[str]:
    names = [builder.input(node.input_value(0)), _int64(builder, node, 1)]
    largest = int(attributes["mode"].lower() == "max")
    if attributes["sort"].lower() == "index":
        raise UnknownError(" in the order of indices")
    values, indices = builder.add_many("TopK", names, 2, axis=attributes["axis"], largest=largest)
    kind = node.output(1).element_type.get_type_name()
    if kind != "i64":
        indices = builder.add("Cast", [indices], to=_onnx_type(kind))
    return [values, indices]


def _cumsum(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    options = {name: int(attributes[name]) for name in ("exclusive", "reverse")}
    axis = builder.constant(int(constant(node, 1).item()), np.int64)
    return str(builder.add("CumSum", [builder.input(node.input_value(0)), axis], **options))


def _einsum(builder: Builder, node: Node, attributes: dict[str, Any]) -> str:
    return str(builder.add("Einsum", _inputs(builder, node), equation=attributes["equation"]))


TRANSLATIONS: dict[str, Translation] = {
    "Add": _add,
    "AvgPool": _average_pool,
    "BatchNormInference": _batch_norm,
    "Broadcast": _broadcast,
    "Clamp": _clamp,
    "Concat": _concat,
    "Convert": _convert,
    "Convolution": _convolution,
    "CumSum": _cumsum,
    "DepthToSpace": _depth_to_space,
    "Einsum": _einsum,
    "Elu": _elu,
    "FakeQuantize": _fake_quantize,
    "Gather": _gather,
    "Gelu": _gelu,
    "GroupConvolution": _convolution,
    "HSigmoid": _hard_sigmoid,
    "HardSigmoid": _hard_sigmoid,
    "Interpolate": _interpolate,
    "LogSoftmax": _softmax,
    "MVN": _mvn,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "NormalizeL2": _normalize_l2,
    "NotEqual": _not_equal,
    "PRelu": _prelu,
    "Pad": _pad,
    "Reshape": _reshape,
    "Round": _round,
    "ScaledDotProductAttention": _attention,
    "Selu": _selu,
    "ShapeOf": _shape_of,
    "Slice": _slice,
    "Softmax": _softmax,
    "SpaceToDepth": _depth_to_space,
    "Split": _split,
    "SquaredDifference": _squared_difference,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Swish": _swish,
    "Tile": _tile,
    "TopK": _topk,
    "Transpose": _transpose,
    "Unsqueeze": _squeeze,
    "VariadicSplit": _split,
}
