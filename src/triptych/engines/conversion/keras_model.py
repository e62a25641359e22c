"""What a person's own Keras model does, and the network that does the same to photos.

Runs in the child process of `convert.Converter`. A model is read as a flat list of steps in
inference mode: nested models are unrolled, and what only training does (augmentation, dropout,
noise) is left out, as in Keras's ``predict``.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.models import keras_h5
from triptych.preprocessing.recipe import find_scaling
from triptych.typing import Float32Array
from triptych.utils.text import text

# Brightnesses of the even pictures by which the layers in front are measured.
PROBES = (0.0, 1.0, 255.0)
MOST_PROBED = 16
# Height and width of those pictures where a model takes any.
ANY_SIZE_PX = 96
BATCH = 8
# Layers with weights that give any number.
LINEAR = ("BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D", "EinsumDense")


@dataclass(frozen=True)
class Step:
    """One operation of a model.

    Args:
        operation: A layer, or an operation of ``keras.ops``.
        inputs: The tensors that it takes.
        outputs: The tensors that it gives.
    """

    operation: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    @property
    def is_learned(self) -> bool:
        """Whether it has weights that training on labels set; statistics of pixels are none."""
        return bool(getattr(self.operation, "weights", None)) and not _is_called(
            self.operation, "Normalization"
        )


def _is_called(operation: Any, *names: str) -> bool:
    return type(operation).__name__ in names


@functools.lru_cache(maxsize=1)
def load(path: str) -> Any:
    """Load a model; nothing in it is run as code.

    Args:
        path: Its ``.keras`` file.

    Raises:
        errors.WeightsDamaged: Keras does not load it.
    """
    import keras

    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises what it meets, of any kind
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200].rstrip(".")
        raise errors.WeightsDamaged(
            text(
                "{path} cannot be loaded by Keras in safe mode: {reason}. Expected a whole "
                "model saved as .keras, without custom or Lambda layers.",
                path=path,
                reason=reason,
            )
        ) from error
    if not _is_model(model) or not model.built:
        raise errors.WeightsDamaged(
            text(
                "{path} has a {name} that does not say of which layers it is made or what it "
                "takes; expected a functional or Sequential model that was built, such as "
                "one that begins with keras.Input((224, 224, 3)).",
                path=path,
                name=type(model).__name__,
            )
        )
    return model


def rewrite(source: str, target: str) -> None:
    """Write a model that Keras 2 saved as HDF5 as a ``.keras`` file.

    Args:
        source: An HDF5 file, whose content `triptych.models.keras_h5` has checked.
        target: The new file.

    Raises:
        errors.WeightsDamaged: Keras does not load it.
    """
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        modern = Path(scratch) / Path(source).name
        keras_h5.rewrite(Path(source), modern)
        model = load(str(modern))
        keras_h5.check_order(modern, {layer.name: layer for layer in model.layers})
        model.save(target)
    load.cache_clear()


def _is_model(operation: Any) -> bool:
    import keras

    return isinstance(operation, keras.Sequential) or hasattr(operation, "_run_through_graph")


def inspect(path: str) -> dict[str, Any]:
    """What a model takes and gives, and how it begins and ends.

    Args:
        path: Its ``.keras`` file.

    Returns:
        ``inputs`` and ``outputs``, a (name, shape without the batch) each; for a model with one
        of each also ``names`` of all layers, ``front`` (see `_front`) and ``ending`` (see
        `_ending`).

    Raises:
        errors.WeightsDamaged: Keras does not load it.
    """
    import keras

    model = load(path)
    facts: dict[str, Any] = {
        kind: [(name, list(tensor.shape[1:])) for name, tensor in zip(names, tensors, strict=True)]
        for kind, names, tensors in (
            ("inputs", [tensor.name for tensor in model.inputs], model.inputs),
            ("outputs", _output_names(model), model.outputs),
        )
    }
    if len(model.inputs) == len(model.outputs) == 1:
        image = keras.Input(model.inputs[0].shape[1:], dtype=model.inputs[0].dtype)
        output, steps = _unroll(model, image)
        facts["names"] = sorted({step.operation.name for step in steps})
        facts["front"] = _front(image, steps)
        facts["ending"] = _ending(output, steps)
    return facts


def _output_names(model: Any) -> list[str]:
    return getattr(model, "output_names", None) or [tensor.name for tensor in model.outputs]


def predict(path: str, images: Float32Array, scaling: str) -> Float32Array:
    """The outputs of a model as Keras's ``predict`` gives them.

    Args:
        path: Its ``.keras`` file.
        images: What it takes, with values from 0 to 255, shape (N, ...).
        scaling: A name from `triptych.preprocessing.recipe.SCALINGS`: what is done to the values
            first, by Keras's own functions where it has them.
    """
    import keras

    if scaling in ("caffe", "tf", "torch"):
        images = keras.applications.imagenet_utils.preprocess_input(
            images.copy(), data_format="channels_last", mode=scaling
        )
    elif scaling != "raw":
        rule = find_scaling(scaling)
        ordered = images[..., ::-1] if rule.order == "bgr" else images
        images = ((ordered - np.array(rule.mean)) / np.array(rule.std)).astype(np.float32)
    model = load(path)
    if keras.backend.backend() == "openvino":  # which does not have all that a model may do
        image = keras.Input(model.inputs[0].shape[1:], dtype=model.inputs[0].dtype)
        model = keras.Model(image, _unroll(model, image)[0])
        outputs = [model.predict(images, batch_size=BATCH, verbose=0)]
    else:
        # What `predict` does to each batch, without tracing the whole network first, which takes
        # longer than a few photos do layer by layer.
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        outputs = [model(batch, training=False) for batch in batches]
    # Two outputs of one batch must not pass for the answers to two batches.
    single = [output for each in outputs for (output,) in [keras.tree.flatten(each)]]
    return np.concatenate([np.asarray(output, np.float32) for output in single])


def network(
    path: str, *, activation: str, size: Sequence[int] | None, grey_scaling: Sequence[float]
) -> tuple[Any, Any]:
    """The network with outputs (probs, features), and the whole Keras model.

    Args:
        path: A ``.keras`` file.
        activation: What makes its outputs probabilities: ``"softmax"``, ``"sigmoid"`` or
            ``"none"``. One output is the probability of the second class.
        size: Height and width of its input in pixels; ``None`` leaves them as they are.
        grey_scaling: Mean and standard deviation that grey values are scaled by, for a model that
            takes no colours.
    """
    import keras

    model = load(path)
    shape = list(model.inputs[0].shape[1:])
    if size is not None:
        shape[:2] = size
    is_grey = len(shape) == 2 or shape[2] == 1
    photo = keras.Input((*shape[:2], 3), name="photo")
    image = photo
    if is_grey:
        to_grey = functools.partial(_grey, scaling=grey_scaling, shape=shape)
        image = _block("to_grey", photo, to_grey)
    output, steps = _unroll(model, image)
    # An imported model's features are the input of its last layer with weights.
    learned = [step for step in steps if step.is_learned]
    features = learned[-1].inputs[0] if learned else output
    if activation != "none":
        output = keras.layers.Activation(activation, name="to_probabilities")(output)
    if output.shape[-1] == 1:
        output = _block(
            "both_classes", output, lambda prob: keras.ops.concatenate([1.0 - prob, prob], axis=-1)
        )
    return keras.Model(photo, [output, features]), keras.Model(photo, output)


# Names of the layers that `network` and `_unroll` add.
RESERVED = frozenset(("photo", "to_grey", "to_dtype", "to_probabilities", "both_classes"))


def _block(name: str, x: Any, function: Callable[[Any], Any]) -> Any:
    """Apply operations as a model of its own: their names cannot be those of other layers."""
    import keras

    inside = keras.Input(x.shape[1:], dtype=x.dtype)
    return keras.Model(inside, function(inside), name=name)(x)


def _grey(photo: Any, *, scaling: Sequence[float], shape: Sequence[int]) -> Any:
    """As Pillow's ``convert("L")``, which Keras loads grey pictures by: ITU-R 601, in integers."""
    import keras

    weights = np.array([19595, 38470, 7471], np.float32)  # exact: the sums stay below 2 ** 24
    weighted = keras.ops.sum(photo * weights, axis=-1, keepdims=True)
    mean, std = scaling
    grey = (keras.ops.floor((weighted + 32768) / 65536) - mean) / std
    return grey if len(shape) == 3 else grey[..., 0]


def _unroll(model: Any, image: Any) -> tuple[Any, list[Step]]:
    """Call a model on a new input: its output, and all steps to there in order."""
    import keras

    dtype = model.inputs[0].dtype
    if dtype != image.dtype:
        image = _block("to_dtype", image, lambda x: keras.ops.cast(x, dtype))
    steps: list[Step] = []
    (output,) = keras.tree.flatten(_run(model, [image], steps))
    names = set(RESERVED)
    for operation in {id(step.operation): step.operation for step in steps}.values():
        # Unrolled, layers of two nested models may have one name, which Keras does not allow.
        first, number = operation.name, 1
        while operation.name in names:
            number += 1
            operation.name = f"{first}_{number}"
        names.add(operation.name)
    return output, steps


def _run(model: Any, inputs: list[Any], steps: list[Step]) -> Any:
    import keras

    if isinstance(model, keras.Sequential):
        (x,) = inputs
        for layer in model.layers:
            x = _call(layer, (x,), {}, steps)
        return x
    # `keras.models.clone_model`, the public way, leaves nested models nested.
    return model._run_through_graph(
        inputs, operation_fn=lambda operation: functools.partial(_kept, operation, steps)
    )


def _kept(operation: Any, steps: list[Step], *args: Any, **words: Any) -> Any:
    return _call(operation, args, words, steps)


def _call(operation: Any, args: tuple[Any, ...], words: dict[str, Any], steps: list[Step]) -> Any:
    import keras

    def tensors(structure: Any) -> tuple[Any, ...]:
        return tuple(x for x in keras.tree.flatten(structure) if isinstance(x, keras.KerasTensor))

    if _is_model(operation):
        return _run(operation, list(tensors(args)), steps)
    if _is_augmentation(operation):
        return args[0]
    # Keras writes `training=True` into the graph for augmentation; its `predict` overrules that.
    if getattr(operation, "_call_has_training_arg", False):
        words = {**words, "training": False}
    taken = tensors((args, words))
    if _is_called(operation, "GetItem"):
        args = _without_reversal(*args, name=f"reversed_{len(steps)}")
    outputs = operation(*args, **words)
    steps.append(Step(operation, taken, tensors(outputs)))
    return outputs


def _is_augmentation(operation: Any) -> bool:
    """Whether it leaves pictures as they are in inference mode; a random crop resizes them."""
    kind = type(operation).__name__
    return (kind.startswith("Random") and kind != "RandomCrop") or kind in ("CutMix", "MixUp")


def _without_reversal(x: Any, key: Any, *, name: str) -> tuple[Any, Any]:
    """``x[..., ::-1]``, RGB to BGR, as a flip, which Keras's OpenVINO backend has."""
    import keras

    keys = tuple(key) if isinstance(key, tuple | list) else (key,)  # a list where it was loaded
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        every = (slice(None),) * (len(x.shape) - len(keys) + 1)
        keys = (*keys[:at], *every, *keys[at + 1 :])
    reversal = slice(None, None, -1)
    axes = [axis for axis, each in enumerate(keys) if each == reversal]
    if not axes or None in keys:
        return x, key
    x = _block(name, x, lambda image: keras.ops.flip(image, axis=axes))
    return x, tuple(slice(None) if each == reversal else each for each in keys)


def _front(image: Any, steps: Sequence[Step]) -> list[tuple[str, list[float]]]:
    """What the layers before the first with weights make of even pictures.

    Returns:
        For each, in order: its kind, and the mean of what comes out for each of `PROBES`. They end
        before the first that makes no number of an even picture.
    """
    import keras

    reached, probed = {id(image)}, []
    for step in steps:
        if not step.is_learned and all(id(tensor) in reached for tensor in step.inputs):
            reached |= {id(tensor) for tensor in step.outputs}
            probed.append(step)
    probed = probed[:MOST_PROBED]
    if not probed:
        return []
    shape = [side or ANY_SIZE_PX for side in image.shape[1:]]
    pictures = np.stack([np.full(shape, value, np.float32) for value in PROBES])
    outputs = keras.Model(image, [step.outputs[0] for step in probed]).predict(pictures, verbose=0)
    front = []
    for step, output in zip(probed, keras.tree.flatten(outputs), strict=True):
        means = [float(np.mean(each)) for each in output]
        if not np.isfinite(means).all():
            break  # such as a division by the spread of an even picture, which has none
        front.append((type(step.operation).__name__, means))
    return front


def _ending(output: Any, steps: Sequence[Step]) -> list[str]:
    """What computes the output, from the end back to the last layer with weights.

    Returns:
        Names of activations, ``"linear"`` for a layer with weights and none, and the kinds of
        other layers and operations; of several branches the first is followed, after ``"merge"``.
    """
    maker = {id(tensor): step for step in steps for tensor in step.outputs}
    words: list[str] = []
    while (step := maker.get(id(output))) is not None:
        words += _words(step)
        if step.is_learned or not step.inputs:
            break
        if len(step.inputs) > 1:
            words.append("merge")
        output = step.inputs[0]
    return words


def _words(step: Step) -> list[str]:
    kind = type(step.operation).__name__
    alike = {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "log_softmax"}
    if kind in alike:
        return [alike[kind]]
    activation = getattr(step.operation, "activation", None)
    words = []
    if activation is not None:
        kind_of_activation = type(activation).__name__.lower()  # a layer may be one, too
        words.append(getattr(activation, "__name__", kind_of_activation))
    if step.is_learned:
        words = [word for word in words if word != "linear"]
        return [*words, "linear" if kind in LINEAR else kind]
    return words or [kind]
