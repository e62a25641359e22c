"""What can be read off a built network: its features and its cost.

Works from layer types, never from layer names: Keras numbers unnamed layers by how many came
before them in the process, so ``global_average_pooling2d_3`` is called something else tomorrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from triptych import errors

if TYPE_CHECKING:
    import keras


def features_output(model: keras.Model) -> keras.KerasTensor:
    """The pooled last convolution features of a classifier, shape (N, feature_length).

    The same numbers that ``include_top=False, pooling="avg"`` gives.

    Args:
        model: A whole classifier, from image to probabilities.

    Raises:
        errors.SettingError: The network neither pools nor flattens a feature map.
    """
    import keras

    pool = _last(model, keras.layers.GlobalAveragePooling2D)
    features = _flattened(model) if pool is None else pool.output
    if len(features.shape) == 4:  # VGG's map, or (N, 1, 1, C) of MobileNet 1 and 3
        return keras.layers.GlobalAveragePooling2D(name="features")(features)
    norm = _last(model, keras.layers.LayerNormalization)
    if norm is not None and norm.input is features:  # ConvNeXt
        return norm.output
    return features


def with_features(model: keras.Model) -> keras.Model:
    """The same network with two outputs: (probs, features).

    Args:
        model: A whole classifier, from image to probabilities.

    Returns:
        A model that shares the layers and weights of the one given.

    Raises:
        errors.SettingError: The network neither pools nor flattens a feature map.
    """
    import keras

    outputs = [model.output, features_output(model)]
    return keras.Model(model.input, outputs, name=model.name)


def backbone_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers that make the features, without those that only turn them into classes.

    Args:
        model: A whole classifier, from image to probabilities.
    """
    import keras

    return list(keras.Model(model.input, features_output(model)).layers)


def multiply_adds(model: keras.Model) -> int:
    """Cost of one image: multiply-adds of all convolution and dense layers.

    Everything else (pooling, normalisation, activations) is a few percent and mostly fused away.

    Args:
        model: A network with a fixed input size.
    """
    import keras

    counted = (
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.SeparableConv2D,
        keras.layers.Dense,
    )
    return sum(_cost(layer) for layer in _flat(model) if isinstance(layer, counted))


def _last(model: keras.Model, kind: type) -> keras.Layer | None:
    # `layers` is sorted by depth, so what feeds the output comes last; squeeze-and-excite
    # blocks pool too, but earlier.
    return next((layer for layer in reversed(model.layers) if isinstance(layer, kind)), None)


def _flattened(model: keras.Model) -> keras.KerasTensor:
    """The feature map that a network without pooling flattens."""
    import keras

    flatten = _last(model, keras.layers.Flatten)
    if flatten is None:
        raise errors.SettingError(
            f"The network {model.name!r} neither pools nor flattens a feature map, so it has no "
            "features to give; expected a convolutional classifier such as those of "
            "keras.applications."
        )
    return flatten.input


def _flat(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        yield from _flat(layer) if hasattr(layer, "layers") else (layer,)


def _cost(layer: keras.Layer) -> int:
    # Channels-last: what lies between batch and channels is the number of positions. A separable
    # convolution has two kernels; vectors are biases.
    positions: tuple[int, ...] = layer.output.shape[1:-1]
    kernels: list[tuple[int, ...]] = [w.shape for w in layer.weights if len(w.shape) > 1]
    return math.prod(positions) * sum(math.prod(kernel) for kernel in kernels)
