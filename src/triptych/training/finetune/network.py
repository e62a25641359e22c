"""Keras networks in training: their size, number format, head and steps.

All layers are trained, except batch normalisation: it stays frozen and in inference mode, as the
statistics of small batches would spoil those of the million photos of pretraining.

Sources: Yosinski et al., "How transferable are features in deep neural networks?", 2014; Kumar et
al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", 2022.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from triptych.models import head
from triptych.models import zoo
from triptych.training import heads
from triptych.training.finetune import losses
from triptych.training.finetune.batches import AugmentedBatches
from triptych.training.finetune.batches import Batch
from triptych.training.finetune.task import FinetuneTask

# By how much the logits of a fitted head are scaled to suit label smoothing.
SCALES = np.geomspace(0.02, 1.0, 40)


def device() -> tuple[str, str]:
    """The number format to train in, and a name of the device for people."""
    import tensorflow

    graphics = tensorflow.config.list_physical_devices("GPU")
    if not graphics:
        # Measured: TensorFlow's depthwise convolutions are 10 times as slow in bfloat16, and its
        # other layers hardly faster.
        return "float32", "the processor"
    details = tensorflow.config.experimental.get_device_details(graphics[0])
    # Tensor cores compute in bfloat16 from Ampere on, in which losses need no scaling.
    fast = details.get("compute_capability", (0, 0)) >= (8, 0)
    return "mixed_bfloat16" if fast else "float32", details.get("device_name", "a GPU")


def is_norm(layer: Any) -> bool:
    """Whether a layer is a batch normalisation, which stays frozen."""
    import keras

    return isinstance(layer, keras.layers.BatchNormalization)


def with_size(model: Any, size: tuple[int, int], policy: str) -> Any:
    """A copy of a network that takes another size of input and computes in another format.

    Args:
        model: From image to probabilities.
        size: (height, width) in pixels.
        policy: Name of a Keras dtype policy; probabilities are float32 in any.

    Returns:
        The copy, ready to be trained.
    """
    import keras

    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_shape"] = (None, *size, 3)
        # Plain operations have no dtype policy.
        elif layer is not config["layers"][-1] and "dtype" in layer["config"]:
            layer["config"]["dtype"] = policy
    copy = keras.Model.from_config(config)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        layer.trainable = not is_norm(layer)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=losses.SMOOTHING)
    # Without XLA: on a CPU it makes convolutions slower.
    copy.compile(keras.optimizers.Adam(0.0), loss, jit_compile=False)
    copy.optimizer.build(copy.trainable_variables)
    return fold_batch_norms(copy)


def at_size(model: Any, size: tuple[int, int], policy: str) -> Any:
    """A network in training with another input size; weights and optimizer stay the same."""
    if tuple(model.input_shape[1:3]) == tuple(size):
        return model
    copy = with_size(model, size, policy)
    for variable, value in zip(copy.optimizer.variables, model.optimizer.variables, strict=True):
        variable.assign(value)
    return copy


def load(path: Any) -> Any:
    """A network in training, loaded from a checkpoint."""
    import keras

    return fold_batch_norms(keras.models.load_model(path, safe_mode=True))


def fold_batch_norms(model: Any) -> Any:
    """Fold frozen batch norms into the convolutions before them; changes and returns the model.

    In inference mode a batch norm only multiplies each channel by a number and adds another.
    Multiplying the kernel instead gives the same outputs and the same gradients, and saves two
    passes over the activations forward and one backward. Only the computation changes, not the
    layers and weights, so the model is saved as before.
    """
    import keras

    convolutions = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    for norm in filter(is_norm, model.layers):
        source = norm.input._keras_history.operation
        is_alone = len(source._inbound_nodes) == len(source._outbound_nodes) == 1
        if (
            type(source) in convolutions
            and is_alone
            and source.activation is keras.activations.linear
            and source.data_format == "channels_last"
            and norm.compute_dtype == source.compute_dtype == "float32"
        ):
            source.call = functools.partial(_convolve_and_normalise, source, norm)
            norm.call = skip_norm
    return model


def _convolve_and_normalise(layer: Any, norm: Any, inputs: Any) -> Any:
    import keras
    import tensorflow

    scale = keras.ops.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.scale:
        scale *= norm.gamma
    bias = -norm.moving_mean * scale
    if norm.center:
        bias += norm.beta
    if layer.use_bias:
        bias += layer.bias * scale
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = layer.kernel * keras.ops.reshape(scale, layer.kernel.shape[2:])
        outputs = keras.ops.depthwise_conv(
            inputs,
            kernel,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
    else:
        outputs = layer.convolution_op(inputs, layer.kernel * scale)
    return tensorflow.nn.bias_add(outputs, bias)


def skip_norm(inputs: Any, **options: Any) -> Any:
    """The computation of a batch norm that was folded into a convolution: none."""
    return inputs


def train_step(model: Any, batch: Batch, rate: float) -> float:
    """Train on a batch with a learning rate, and return the loss before the step, in nats."""
    inputs, labels, weights = batch
    model.optimizer.learning_rate = rate
    return float(model.train_on_batch(inputs, labels, sample_weight=weights))


@contextlib.contextmanager
def restored(model: Any) -> Iterator[None]:
    """Restore the weights and the optimizer at the end of the block."""
    variables = [*model.trainable_variables, *model.optimizer.variables]
    before = [variable.numpy() for variable in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def fit_head(model: Any, batches: AugmentedBatches, task: FinetuneTask) -> None:
    """Fit the head to the features at the input size of the first epoch.

    With a random head, the first gradients would damage the pretrained layers.
    """
    import keras

    backbone = keras.Model(model.input, zoo.features_output(model))
    photos = batches.plain(task.recipe_of_epoch(1))
    features = np.concatenate([backbone.predict_on_batch(batch) for batch in photos])
    like = head.Head(task.head["kind"], (), (), task.head["notes"])
    fitted = heads.refit(like, features, batches.labels, classes=task.classes, seed=task.seed)
    *kernels, kernel = fitted.kernels
    *biases, bias = fitted.biases
    # Scaled to the confidence that suits label smoothing: else the first steps would change the
    # backbone only to make it less confident.
    log_probs = np.log(np.maximum(fitted.probs(features), 1e-30))
    scale = min(SCALES, key=lambda scale: losses.smoothed(scale * log_probs, batches.labels))
    head.Head(
        fitted.kind, (*kernels, scale * kernel), (*biases, scale * bias), fitted.notes
    ).put_into(model)
