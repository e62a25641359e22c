"""A converted network as a Keras model, made of Keras's own layers and operations, channels last.

`triptych.engines.keras_graph` computes the same graphs with weights beside the program, channels
first as they are on disk. A file for others needs layers, which carry their weights, and the order
of axes that TensorFlow and LiteRT compute in. Axes are not moved but renamed: each tensor comes
with the positions of its axes, so that a transpose costs nothing, and most networks run without.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines import keras_graph
from triptych.engines import openvino
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import find_scaling

# What a ReLU with an upper bound of 6 is called in OpenVINO.
RELU6 = (0.0, 6.0)
# Below any number that a network computes. Not infinity, which JSON has no number for.
LOWEST = float(np.finfo(np.float32).min)
# One input, and the same result wherever an element is.
BY_ELEMENT = frozenset(
    (
        "Abs",
        "Clamp",
        "Convert",
        "Elu",
        "Exp",
        "Gelu",
        "HSigmoid",
        "HSwish",
        "HardSigmoid",
        "Log",
        "LogicalNot",
        "Mish",
        "Negative",
        "Selu",
        "Sigmoid",
        "SoftPlus",
        "SoftSign",
        "Sqrt",
        "Swish",
        "Tanh",
    )
)


@dataclass(frozen=True)
class Value:
    """A tensor of a network.

    Args:
        tensor: Keras's tensor; an array where it is constant.
        order: By axis of OpenVINO, the axis of the tensor; constants are in OpenVINO's order.
    """

    tensor: Any
    order: tuple[int, ...]

    @property
    def is_constant(self) -> bool:
        """Whether it does not depend on the photo."""
        return isinstance(self.tensor, np.ndarray)

    def in_order(self, order: Sequence[int]) -> Any:
        """The tensor with its axes in another order; axes of length 1 come before those missing."""
        from keras import ops

        if self.is_constant:
            array = self.tensor.reshape((1,) * (len(order) - self.tensor.ndim) + self.tensor.shape)
            return np.transpose(array, np.argsort(order)) if array.ndim else array
        if tuple(order) == self.order:
            return self.tensor
        return ops.transpose(self.tensor, [self.order[axis] for axis in np.argsort(order)])


def _same(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


def _channels_last(rank: int) -> tuple[int, ...]:
    return (0, rank - 1, *range(1, rank - 1))


def build(path: Path, recipe: Recipe, *, name: str, is_int8: bool = False) -> Any:
    """A network as a Keras model that takes pixels.

    Args:
        path: A network, as `triptych.engines.conversion.convert.export` writes it.
        recipe: Its size and scaling.
        name: What to call the model.
        is_int8: Whether it is an int8 network: its ranges become fake quantization, from which
            LiteRT's converter makes int8 arithmetic.

    Returns:
        A ``keras.Model`` from uint8 pixels, shape (N, H, W, 3), to probs and features.

    Raises:
        errors.EngineError: An operation of the network cannot be expressed in Keras.
    """
    import keras

    scaling = find_scaling(recipe.scaling)
    pixels = x = keras.Input((*recipe.size, 3), dtype="uint8", name="pixels")
    if scaling.order == "bgr":
        x = keras.ops.flip(x, axis=-1)
    scale = [1 / std for std in scaling.std]
    shift = [-mean / std for mean, std in zip(scaling.mean, scaling.std, strict=True)]
    x = keras.layers.Rescaling(scale, shift, name="scaling")(x)
    return keras.Model(pixels, outputs(path, x, is_int8=is_int8), name=name)


def outputs(path: Path, image: Any, *, is_int8: bool = False) -> list[Any]:
    """What a network makes of its input.

    Args:
        path: As for `build`.
        image: Its input, a Keras tensor, shape (N, H, W, C).
        is_int8: As for `build`.

    Returns:
        Keras tensors: probs, shape (N, classes), and features, shape (N, F).

    Raises:
        errors.EngineError: As for `build`.
    """
    return _Builder(openvino.read_network(path), path, is_int8=is_int8).outputs(image)


class _Builder:
    def __init__(self, network: Any, path: Path, *, is_int8: bool) -> None:
        self._network, self._path, self._is_int8 = network, path, is_int8
        self._values: dict[str, Value] = {}

    def outputs(self, image: Any) -> list[Any]:
        parameter = self._network.input(0).get_node().get_friendly_name()
        self._values[f"{parameter}:0"] = Value(image, _same(4))
        nodes = self._network.get_ordered_ops()
        for node in nodes:
            if node.get_type_name() == "Constant":
                data = np.array(node.data)
                self._values[f"{node.get_friendly_name()}:0"] = Value(data, _same(data.ndim))
        for node in nodes:
            is_computed = node.get_type_name() not in ("Parameter", "Constant", "Result")
            if is_computed and f"{node.get_friendly_name()}:0" not in self._values:
                self._translate(node)
        results = [self._network.output(index).get_node().input_value(0) for index in (0, 1)]
        return [self._value(result).in_order(_same(2)) for result in results]

    def _value(self, source: Any) -> Value:
        return self._values[keras_graph.name_of(source)]

    def _translate(self, node: Any) -> None:
        kind, name = node.get_type_name(), node.get_friendly_name()
        inputs = [self._value(source) for source in node.input_values()]
        try:
            results = self._by_layer(node, inputs) or _by_operation(node, inputs)
        except keras_graph.UnknownError as error:
            raise errors.EngineError(
                f"{self._path.name} has the operation {kind} ({name[:60]!r}){error}, which Keras, "
                "TensorFlow and LiteRT do not compute. Export it to onnx or openvino."
            ) from None
        for index, value in enumerate(results if isinstance(results, list) else [results]):
            self._values[f"{name}:{index}"] = value

    def _by_layer(self, node: Any, inputs: list[Value]) -> Value | list[Value] | None:
        """What a layer or an operation on axes in any order makes of the inputs, if one does."""
        kind = node.get_type_name()
        if all(value.is_constant for value in inputs):
            return None
        if kind in ("Convolution", "GroupConvolution"):
            return self._with_bias(node, _convolution(node, inputs))
        if kind == "MatMul":
            dense = _dense(node, inputs)
            return None if dense is None else self._with_bias(node, dense)
        if kind == "FakeQuantize" and self._is_int8:
            return _fake_quantized(node, inputs)
        if kind == "Softmax" and self._is_int8:
            axis = inputs[0].order[node.get_attributes()["axis"]]
            return Value(exact_softmax(inputs[0].tensor, axis), inputs[0].order)
        layer = LAYERS.get(kind)
        if layer:
            return layer(node, inputs)
        if kind in keras_graph.REDUCTIONS:
            return _reduction(node, inputs)
        if kind in keras_graph.SAME and len(inputs) > 1:
            return _elementwise(node, inputs)
        return _by_element(node, inputs) if kind in BY_ELEMENT else None

    def _with_bias(self, node: Any, layer: _Layer) -> Value:
        """Apply a layer; a constant added to what it computes becomes its bias."""
        targets = [each.get_node() for each in node.output(0).get_target_inputs()]
        following = targets[0] if len(targets) == 1 else None
        bias = None
        if following is not None and following.get_type_name() == "Add":
            names = map(keras_graph.name_of, following.input_values())
            # What is not computed yet is no constant.
            others = [self._values[name] for name in names if name in self._values]
            constant = others[0].tensor if others and others[0].is_constant else None
            if constant is not None and constant.size == layer.outputs:
                rank = len(node.output(0).partial_shape)
                axis = rank - constant.ndim + int(np.argmax(constant.shape))
                bias = constant.ravel() if axis == layer.axis or constant.size == 1 else None
        value = layer.apply(bias)
        if following is not None and bias is not None:
            self._values[f"{following.get_friendly_name()}:0"] = value
        return value


@dataclass(frozen=True)
class _Layer:
    """A layer with weights, before it is known whether it has a bias.

    Args:
        outputs: How many features or channels it computes.
        axis: Which axis of OpenVINO's result they are.
        apply: Called with the bias or ``None``; gives the result.
    """

    outputs: int
    axis: int
    apply: Callable[[Any], Value]


# ------------------------------------------------------------------ layers with weights


def _convolution(node: Any, inputs: list[Value]) -> _Layer:
    from keras import layers

    attributes = node.get_attributes()
    x, kernel = inputs
    sides = len(attributes["strides"])
    if not kernel.is_constant or sides != 2:
        raise keras_graph.UnknownError(" with computed weights, or not of two sides")
    weights = kernel.tensor  # ([groups,] out, in, height, width)
    groups = 1 if node.get_type_name() == "Convolution" else len(weights)
    weights = weights if weights.ndim == 5 else weights[np.newaxis]
    _, out, each, *size = weights.shape
    strides, dilations = tuple(attributes["strides"]), tuple(attributes["dilations"])
    # TensorFlow has no strides beside dilations, and depthwise only equal ones.
    is_depthwise = groups > 1 and each == 1
    is_picked = max(strides) > 1 and (max(dilations) > 1 or (is_depthwise and len({*strides}) > 1))
    tensor, padding = _padded(x, node, size, (1, 1) if is_picked else strides, 0.0)
    options: dict[str, Any] = {
        "strides": (1, 1) if is_picked else strides,
        "padding": padding,
        "dilation_rate": dilations,
        "data_format": "channels_last",
    }
    if is_depthwise:
        kind, options = layers.DepthwiseConv2D, {**options, "depth_multiplier": out}
        data = weights[:, :, 0].transpose(2, 3, 0, 1)  # (height, width, groups, out)
    else:
        kind, options = layers.Conv2D, {**options, "filters": groups * out, "groups": groups}
        data = weights.transpose(3, 4, 2, 0, 1).reshape(*size, each, groups * out)

    def apply(bias: Any) -> Value:
        y = _weighted(kind, data, bias, kernel_size=tuple(size), **options)(tensor)
        y = y[:, :: strides[0], :: strides[1]] if is_picked else y
        return Value(y, _channels_last(4))

    return _Layer(groups * out, 1, apply)


def _dense(node: Any, inputs: list[Value]) -> _Layer | None:
    from keras import layers

    x, kernel = inputs
    attributes = node.get_attributes()
    if x.is_constant or not kernel.is_constant or kernel.tensor.ndim != 2:
        return None
    if attributes["transpose_a"]:
        return None
    data = kernel.tensor.T if attributes["transpose_b"] else kernel.tensor  # (in, out)

    def apply(bias: Any) -> Value:
        rank = len(x.order)
        y = _weighted(layers.Dense, data, bias, units=data.shape[1])(x.in_order(_same(rank)))
        return Value(y, _same(rank))

    return _Layer(data.shape[1], len(x.order) - 1, apply)


def _weighted(kind: Any, kernel: Any, bias: Any, **options: Any) -> Callable[[Any], Any]:
    """A layer that has its weights as soon as it was applied."""
    is_depthwise = "depth_multiplier" in options
    initializer = {"depthwise_initializer" if is_depthwise else "kernel_initializer": "zeros"}
    layer = kind(use_bias=bias is not None, **options, **initializer)

    def apply(x: Any) -> Any:
        y = layer(x)
        values = [kernel] if bias is None else [kernel, np.broadcast_to(bias, y.shape[-1:])]
        layer.set_weights([np.ascontiguousarray(value, np.float32) for value in values])
        return y

    return apply


def _padded(
    x: Value, node: Any, size: Sequence[int], strides: Sequence[int], value: float
) -> tuple[Any, str]:
    """A photo with its margins, channels last, or the word by which a layer adds them itself."""
    from keras import ops

    attributes = node.get_attributes()
    begins, ends = list(attributes["pads_begin"]), list(attributes["pads_end"])
    tensor = x.in_order(_channels_last(4))
    if not any((*begins, *ends)):
        return tensor, "valid"
    dilations = attributes.get("dilations") or [1, 1]
    sides = tensor.shape[1:3]
    # How TensorFlow distributes the margins of "same".
    totals = [
        max((-(-side // stride) - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
        for side, stride, dilation, kernel in zip(sides, strides, dilations, size, strict=True)
    ]
    if begins == [t // 2 for t in totals] and ends == [t - t // 2 for t in totals]:
        return tensor, "same"
    pads = [(0, 0), *zip(begins, ends, strict=True), (0, 0)]
    return ops.pad(tensor, pads, constant_values=value), "valid"


# ------------------------------------------------------------------ int8


def exact_softmax(x: Any, axis: int = -1) -> Any:
    """A softmax that LiteRT's converter leaves at float32.

    It knows the range of a softmax, so it would round probabilities to multiples of 1/256; and it
    takes a quotient of powers for one.
    """
    from keras import ops

    return ops.exp(x - ops.logsumexp(x, axis=axis, keepdims=True))


def _fake_quantized(node: Any, inputs: list[Value]) -> Value | None:
    import keras

    x, low, high, *_ = inputs
    if node.get_attributes()["levels"] != 256:
        raise keras_graph.UnknownError(" of other than 256 levels")
    # LiteRT has one range for all channels.
    ends = float(low.tensor.min()), float(high.tensor.max())
    return Value(keras.quantizers.fake_quant_with_min_max_vars(x.tensor, *ends), x.order)


# ------------------------------------------------------------------ operations on axes


def _relu(node: Any, inputs: list[Value]) -> Value:
    from keras import layers

    return Value(layers.ReLU()(inputs[0].tensor), inputs[0].order)


def _clamp(node: Any, inputs: list[Value]) -> Value:
    from keras import layers

    attributes = node.get_attributes()
    if (attributes["min"], attributes["max"]) != RELU6:
        return _by_element(node, inputs)
    return Value(layers.ReLU(RELU6[1])(inputs[0].tensor), inputs[0].order)


def _by_element(node: Any, inputs: list[Value]) -> Value:
    _, compute = keras_graph.translation(node, keras_graph.F32)
    return Value(compute(inputs[0].tensor), inputs[0].order)


def _elementwise(node: Any, inputs: list[Value]) -> Value | None:
    _, compute = keras_graph.translation(node, keras_graph.F32)
    rank = max(len(value.order) for value in inputs)
    tensors = [value for value in inputs if not value.is_constant]
    if any(len(value.order) != rank for value in tensors):
        return None
    order = tensors[0].order
    return Value(compute(*(_plain(value.in_order(order)) for value in inputs)), order)


def _plain(tensor: Any) -> Any:
    """A constant without the leading axes of length 1, which broadcasting adds."""
    if not isinstance(tensor, np.ndarray):
        return tensor
    if tensor.size == 1:
        return tensor.item()
    return tensor.reshape(tensor.shape[int(np.argmax(np.array(tensor.shape) > 1)) :])


def _transpose(node: Any, inputs: list[Value]) -> Value:
    order = keras_graph.constant(node, 1).tolist()
    return Value(inputs[0].tensor, tuple(inputs[0].order[axis] for axis in order))


def _reduction(node: Any, inputs: list[Value]) -> Value:
    from keras import layers
    from keras import ops

    kind, x = node.get_type_name(), inputs[0]
    rank, keeps = len(x.order), node.get_attributes()["keep_dims"]
    axes = [int(axis) % rank for axis in np.atleast_1d(keras_graph.constant(node, 1))]
    rest = [x.order[axis] for axis in range(rank) if axis not in axes]
    order = x.order if keeps else tuple(sorted(rest).index(axis) for axis in rest)
    reduced = tuple(x.order[axis] for axis in axes)
    if kind == "ReduceMean" and rank == 4 and sorted(reduced) == [1, 2]:
        layer = layers.GlobalAveragePooling2D(data_format="channels_last", keepdims=keeps)
        return Value(layer(x.tensor), order)
    reduce = getattr(ops, keras_graph.REDUCTIONS[kind])
    return Value(reduce(x.tensor, axis=reduced, keepdims=keeps), order)


def _softmax(node: Any, inputs: list[Value]) -> Value:
    from keras import layers

    axis = inputs[0].order[node.get_attributes()["axis"]]
    return Value(layers.Softmax(axis=axis)(inputs[0].tensor), inputs[0].order)


def _concat(node: Any, inputs: list[Value]) -> Value | None:
    from keras import layers

    order = inputs[0].order
    if any(value.is_constant for value in inputs):
        return None
    layer = layers.Concatenate(axis=order[node.get_attributes()["axis"]])
    return Value(layer([value.in_order(order) for value in inputs]), order)


def _pad(node: Any, inputs: list[Value]) -> Value | None:
    from keras import ops

    if node.get_attributes()["pad_mode"] != "constant":
        return None
    begins, ends = (keras_graph.constant(node, index).tolist() for index in (1, 2))
    if min(*begins, *ends) < 0:
        return None
    value = float(keras_graph.constant(node, 3).item()) if node.get_input_size() > 3 else 0.0
    order = inputs[0].order
    pads = [(begins[axis], ends[axis]) for axis in np.argsort(order)]
    return Value(ops.pad(inputs[0].tensor, pads, constant_values=value), order)


def _pool(node: Any, inputs: list[Value]) -> Value | None:
    from keras import layers

    attributes = node.get_attributes()
    is_max, size = node.get_type_name() == "MaxPool", tuple(attributes["kernel"])
    if len(size) != 2 or set(attributes.get("dilations") or [1]) != {1}:
        return None
    if attributes["rounding_type"] != "floor" or (is_max and node.output(1).get_target_inputs()):
        return None
    strides = tuple(attributes["strides"])
    if not is_max:
        tensor, padding = _padded(inputs[0], node, size, strides, 0.0)
        # TensorFlow averages over what is inside of the photo.
        if any(attributes["pads_begin"] + attributes["pads_end"]) and (
            padding != "same" or not attributes["exclude-pad"]
        ):
            return None
        kind = layers.AveragePooling2D
    else:
        tensor, padding = _padded(inputs[0], node, size, strides, LOWEST)
        kind = layers.MaxPooling2D
    layer = kind(size, strides=strides, padding=padding, data_format="channels_last")
    return Value(layer(tensor), _channels_last(4))


LAYERS: dict[str, Callable[[Any, list[Value]], Value | list[Value] | None]] = {
    "AvgPool": _pool,
    "Clamp": _clamp,
    "Concat": _concat,
    "MaxPool": _pool,
    "Pad": _pad,
    "Relu": _relu,
    "Softmax": _softmax,
    "Transpose": _transpose,
}


def _by_operation(node: Any, inputs: list[Value]) -> Value | list[Value]:
    """What Keras's operations make of the inputs, their axes in OpenVINO's order."""
    indices, compute = keras_graph.translation(node, keras_graph.F32)
    tensors = [inputs[index].in_order(_same(len(inputs[index].order))) for index in indices]
    result = compute(*tensors)
    if all(inputs[index].is_constant for index in indices):
        import keras

        result = keras.ops.convert_to_numpy(result)
    outputs = list(result) if node.get_output_size() > 1 else [result]
    shapes = [output.partial_shape for output in node.outputs()]
    return [Value(each, _same(len(shape))) for each, shape in zip(outputs, shapes, strict=True)]
