"""Networks with random weights with which comparisons are meaningful.

Freshly made networks answer nearly the same for every image and class, and their batch norms do
nothing; any engine would pass against them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def randomize(model: Any, *, seed: int = 0, reach: float = 1.0) -> None:
    """Give a random network varied batch norms and logits with a spread of about 3.

    `reach` is how far its inputs go from zero.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([_lively(rng, w.name, tuple(w.shape)) for w in layer.weights])
    last = [layer for layer in model.layers if getattr(layer, "kernel", None) is not None][-1]
    _scale_kernel(last, 1e-4)
    batch = reach * rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
    logits = np.log(run(model, batch).astype(np.float64))
    _scale_kernel(last, 3 / logits.std(axis=1).mean())


def run(model: Any, batch: Any) -> Any:
    """What Keras computes: an array, or as many as the model has outputs.

    Layer by layer; `predict` would first trace the whole network, which takes several times as
    long as asking it once or twice. The numbers are the same to the bit.
    """
    import keras

    with warnings.catch_warnings():
        # A model that takes a list of one input takes that input alone, too.
        warnings.filterwarnings("ignore", "The structure of `inputs`", UserWarning)
        outputs = model(batch, training=False)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)


def _lively(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name in ("gamma", "moving_variance"):
        return rng.uniform(0.8, 1.2, shape)
    return rng.normal(0, 0.1, shape)


def _scale_kernel(layer: Any, factor: float) -> None:
    kernel, *rest = layer.get_weights()
    layer.set_weights([kernel * factor, *rest])


def save_applications_weights(model: Any, path: Path) -> None:
    """Save weights in the layout of the files that keras.applications downloads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        layers = list(model.layers)
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.1.6"
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=weight)


def save_keras(model: Any, path: Path) -> Path:
    """Save a whole model as people do."""
    with warnings.catch_warnings():
        # Keras on TensorFlow copies its tensors in a way that NumPy 2 frowns upon.
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save(path)
    return path


def write_tiny(
    path: Path, *, classes: int, size: int = 32, seed: int = 0, multilabel: bool = False
) -> Path:
    """Write a small OpenVINO network with the outputs (probs, features) of a converted one.

    `multilabel` gives each class a probability of its own; else they sum to 1.
    """
    import openvino
    from openvino import opset13 as op

    rng = np.random.default_rng(seed)
    image = op.parameter([-1, size, size, 3], np.float32)
    kernel = rng.normal(0, 0.3, (64, 3, 5, 5)).astype(np.float32)
    zeros, steps = [0, 0], [2, 2]
    first = op.transpose(image, op.constant([0, 3, 1, 2]))
    activations = op.relu(op.convolution(first, op.constant(kernel), steps, zeros, zeros, [1, 1]))
    features = op.reduce_mean(activations, op.constant([2, 3]), keep_dims=False)
    weights = rng.normal(0, 0.3, (64, classes)).astype(np.float32)
    logits = op.matmul(features, op.constant(weights), False, False)
    probs = op.sigmoid(logits) if multilabel else op.softmax(logits, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = openvino.Model([probs, features], [image])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def write_colour_detector(path: Path, *, size: int = 64, hidden: bool = False) -> Path:
    """Write a network that recognises and locates red, green and blue, without random weights.

    `hidden` puts a layer between the mean of its map and its answer, which bends.
    """
    import openvino
    from openvino import opset13 as op

    image = op.parameter([-1, size, size, 3], np.float32)
    one_against_others = np.eye(3, dtype=np.float32) * 1.5 - 0.5
    kernel = np.tile(one_against_others[:, :, None, None] / 64, (1, 1, 8, 8))
    first = op.transpose(image, op.constant([0, 3, 1, 2]))
    activations = op.relu(
        op.convolution(first, op.constant(kernel), [8, 8], [0, 0], [0, 0], [1, 1])
    )
    features = op.reduce_mean(activations, op.constant([2, 3]), keep_dims=False)
    after: Any = features
    if hidden:
        shifted = op.subtract(features, op.constant(np.float32(0.01)))
        after = op.relu(shifted)
    logits = op.matmul(after, op.constant(20 * np.eye(3, dtype=np.float32)), False, False)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = openvino.Model([op.softmax(logits, 1), features], [image])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path
