"""The meaning of an imported model's inputs and outputs, derived from facts about it.

Nothing is guessed: if the facts do not decide it, the model is refused, and the message names the
option that does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from triptych import errors
from triptych.typing import Array
from triptych.utils.text import text

# Tolerance for outputs taken for probabilities, and for differences from Keras's predictions.
TOLERANCE = 1e-3

# Layers after which probabilities are still probabilities, and logits still logits; a mean over
# positions, too.
PASSES = (
    "Identity",
    "Dropout",
    "Reshape",
    "Flatten",
    "Squeeze",
    "linear",
    "ActivityRegularization",
    "GlobalAveragePooling2D",
)
SIGMOIDS = ("sigmoid", "hard_sigmoid")
LOGITS, PROBABILITIES = "--logits", "--probabilities"


def takes_raw_pixels(front: Sequence[tuple[str, Sequence[float]]]) -> bool:
    """Whether a model scales pixels from 0 to 255 itself.

    It does if its first layers map them to a range that networks are trained on, and would not do
    so with values from 0 to 1, or from -1 to 1.

    Args:
        front: The layers before the first with weights, in order: the kind of each, and its mean
            output for uniform pictures of brightness 0, 1 and 255.

    Example:
        >>> takes_raw_pixels([("Rescaling", [-1.0, -0.992, 1.0])])  # 1/127.5, minus 1
        True
        >>> takes_raw_pixels([("Rescaling", [-1.0, 1.0, 509.0])])  # times 2, minus 1
        False
        >>> takes_raw_pixels([])
        False
    """
    for _, (black, one, white) in front:
        slope = (white - black) / 255
        if abs(black + slope - one) > 1e-3 * abs(white - black):
            return False  # not linear, so the output range does not tell the input range
        ranges = [(black, white), (black, one), (black - slope, one)]
        raw, unit, signed = (_is_trained_on(*sorted(each)) for each in ranges)
        if raw and not unit and not signed:
            return True
        if (unit or signed) and not raw:
            return False
    return False


def _is_trained_on(low: float, high: float) -> bool:
    """Whether a range is usual for inputs of networks: it contains 0, and its width is usual."""
    width = high - low
    is_scaled, is_bytes = 0.7 <= width <= 60, 200 <= width <= 300
    return (is_scaled or is_bytes) and low <= 0.05 * width and high >= -0.05 * width


def choose_output(facts: dict[str, Any], classes: int) -> int:
    """The number of the output that has a value for each class; the first where several may.

    Args:
        facts: As `triptych.engines.conversion.graph_model.inspect` gives them.
        classes: How many labels there are.

    Raises:
        errors.SettingError: Several outputs fit, or none of several.

    Example:
        >>> choose_output({"outputs": [("features", [64]), ("probs", [3])]}, 3)
        1
    """
    outputs = facts["outputs"]
    if len(outputs) == 1:
        return 0
    fitting = [n for n, (_, shape) in enumerate(outputs) if shape == [classes]]
    if len(fitting) != 1:
        names = ", ".join(f"{name!r} {_as_text(shape)}" for name, shape in outputs)[:400]
        raise errors.SettingError(
            text(
                "The model gives {outputs} outputs: {names}. Expected one of them to have a "
                "number for each of the {classes} classes; export the model with that output "
                "only.",
                outputs=len(outputs),
                names=names,
                classes=classes,
            )
        )
    return fitting[0]


# Ranges of pixels that a quantized input may stand for, by the scaling that gives it.
RANGES = {"unit": (0.0, 1.0), "tf": (-1.0, 1.0), "raw": (0.0, 255.0)}


def byte_scaling(facts: dict[str, Any], quantization: tuple[float, int] | None) -> str | None:
    """The scaling that an input in bytes stands for, so that it takes pixels as they are.

    Args:
        facts: As `triptych.engines.conversion.graph_model.inspect` gives them.
        quantization: (scale, zero point) of the input, as its file says.

    Returns:
        A name from `RANGES`; ``None`` where it does not take pixels as they are.

    Example:
        >>> byte_scaling({"dtype": "u8"}, (0.0078431, 127))
        'tf'
        >>> byte_scaling({"dtype": "i8"}, (0.00392157, -128))
        'unit'
        >>> byte_scaling({"dtype": "u8"}, (0.0187, 114))
    """
    dtype = facts.get("dtype")
    if dtype not in ("u8", "i8") or (quantization is None and dtype == "i8"):
        return None
    if quantization is None:
        return "raw"
    scale, zero = quantization
    lowest = 0 if dtype == "u8" else -128
    low, high = (lowest - zero) * scale, (lowest + 255 - zero) * scale
    for name, (least, most) in RANGES.items():
        # A calibration on a few photos may miss the brightest pixels by a little.
        if max(abs(low - least), abs(high - most)) <= 0.02 * (most - least):
            return name
    return None


def quantize_input(
    facts: dict[str, Any], quantization: tuple[float, int] | None
) -> tuple[float, int] | None:
    """How scaled pixels become the integers that a model takes; ``None`` where they are cast.

    Args:
        facts: As `triptych.engines.conversion.graph_model.inspect` gives them.
        quantization: (scale, zero point) of the input, as its file says.

    Raises:
        errors.SettingError: It takes other numbers than are known.
    """
    dtype = facts.get("dtype")
    if dtype not in ("f32", "f16", "u8", "i8"):
        raise errors.SettingError(
            text(
                "The model takes numbers of the type {dtype}; expected float32, float16, "
                "uint8 or int8.",
                dtype=dtype,
            )
        )
    if dtype in ("f32", "f16"):
        return None
    if byte_scaling(facts, quantization):
        return None if dtype == "u8" else (1.0, -128)
    if quantization is None:
        raise errors.SettingError(
            text(
                "The model takes signed bytes, and its file does not say how pixels become "
                "them. Export it with an input in floating point."
            )
        )
    return quantization


def check_shapes(facts: dict[str, Any]) -> None:
    """Refuse models that take no photo, or give no row of classes.

    Args:
        facts: As `triptych.engines.conversion.keras_model.inspect` gives them.

    Raises:
        errors.SettingError: With the actual and the expected shapes.
    """
    for kind in ("inputs", "outputs"):
        if len(facts[kind]) != 1:
            names = ", ".join(f"{name!r} {tuple(shape)}" for name, shape in facts[kind])
            count = len(facts[kind])
            raise errors.SettingError(
                text(
                    "The model takes {count} inputs: {names}. Expected one, a photo; save a model "
                    "of that part of it.",
                    count=count,
                    names=names,
                )
                if kind == "inputs"
                else text(
                    "The model gives {count} outputs: {names}. Expected one, a number for each "
                    "class; save a model of that part of it.",
                    count=count,
                    names=names,
                )
            )
    (_, shape), (_, outputs) = facts["inputs"][0], facts["outputs"][0]
    is_grey = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
    if not is_grey and (len(shape) != 3 or shape[2] != 3):
        problem = text("The model takes {shape}", shape=_as_text(shape))
        if len(shape) == 3 and shape[0] in (1, 3, 4):
            problem = text("The model takes {shape}, channels first", shape=_as_text(shape))
        elif len(shape) == 3 and shape[2] == 4:
            problem = text(
                "The model takes {shape}, colours with alpha (RGBA)", shape=_as_text(shape)
            )
        raise errors.SettingError(
            text(
                "{problem}; expected photos of shape (height, width, 3), RGB, or (height, "
                "width, 1), grey, with channels last.",
                problem=problem,
            )
        )
    if len(outputs) != 1 or not outputs[0]:
        raise errors.SettingError(
            text(
                "The model gives {outputs} for a photo; expected a number for each class, of "
                "shape (classes,). A model that segments or detects objects is no classifier.",
                outputs=_as_text(outputs),
            )
        )


def check_labels(facts: dict[str, Any], labels: int) -> None:
    """Refuse labels that do not fit the number of outputs; one output stands for two classes.

    Args:
        facts: As `triptych.engines.conversion.keras_model.inspect` gives them.
        labels: How many labels there are.

    Raises:
        errors.SettingError: The numbers do not fit.
    """
    outputs = facts["outputs"][0][1][0]
    if max(outputs, 2) != labels:
        raise errors.SettingError(
            text(
                "The model has {outputs} outputs, and the labels file {labels} lines; "
                "expected {value}.",
                outputs=outputs,
                labels=labels,
                value="two lines, for no and yes" if outputs == 1 else "as many lines as outputs",
            )
        )


def _as_text(shape: Sequence[int | None]) -> str:
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    return f"({sides}{',' if len(shape) == 1 else ''})"


def activation_of(
    ending: Sequence[str], outputs: Array, loss: str | None, *, logits: bool | None
) -> str:
    """The activation that turns a model's outputs into probabilities.

    Args:
        ending: The last layers, in reverse order; see
            `triptych.engines.conversion.keras_model.inspect`.
        outputs: Keras's outputs for some photos, shape (N, C); a single one is for the second of
            two classes.
        loss: What its loss takes, from `triptych.models.keras_file.loss_outputs`.
        logits: What the user says; ``None`` determines it from the model.

    Returns:
        ``"softmax"``, ``"sigmoid"``, or ``"none"`` if they are probabilities already.

    Raises:
        errors.SettingError: They cannot be probabilities, or their meaning cannot be determined.
    """
    if not np.isfinite(outputs).all():
        raise errors.SettingError(
            text(
                "The model answers NaN or infinity to a photo, so its weights are damaged; a "
                "training with too high a learning rate may have done it. Train it again."
            )
        )
    is_one = outputs.shape[1] == 1
    last = next((word for word in ending if word not in PASSES), "linear" if ending else "nothing")
    are_probs = _are_probs(outputs)
    if last == "softmax" and is_one:
        raise errors.SettingError(
            text(
                "The model ends in a softmax over a single output, which is always 1. "
                "Expected a sigmoid there, or an output for each class."
            )
        )
    if last in SIGMOIDS and not is_one:
        raise errors.SettingError(
            text(
                "The model ends in {shape} sigmoids: each class has a probability of its "
                "own, and they do not sum to 1. Expected one answer for each photo: a "
                "softmax over the classes, or a single sigmoid for two.",
                shape=outputs.shape[1],
            )
        )
    if last in ("softmax", *SIGMOIDS):
        if logits:
            raise errors.SettingError(
                text(
                    "Got {logits}, and the model ends in a {last}: its outputs are probabilities "
                    "already, and a second one would make other answers. Leave the option out.",
                    logits=LOGITS,
                    last=last,
                )
            )
        _require_probs(are_probs, outputs, text("The model ends in a {last}", last=last))
        return "none"
    if logits is False:
        _require_probs(are_probs, outputs, text("Got {option}", option=PROBABILITIES))
        return "none"
    activation = "sigmoid" if is_one else "softmax"
    if logits:
        return activation
    if last in ("linear", "log_softmax"):
        if loss not in (None, "logits"):
            raise errors.SettingError(
                text(
                    "The model ends without a softmax or sigmoid, and it was trained with a loss "
                    "that takes {loss}, so what its outputs mean cannot be known. Say it with "
                    "{logits} or {probabilities}.",
                    loss=text("probabilities")
                    if loss == "probabilities"
                    else text("other outputs ({loss})", loss=loss),
                    logits=LOGITS,
                    probabilities=PROBABILITIES,
                )
            )
        return activation
    if are_probs and not is_one:
        return "none"
    raise errors.SettingError(
        text(
            "The model ends in {last}, so what its outputs mean cannot be known; for "
            "drawn photos they go from {min:.4g} to {max:.4g}. Say it with {logits} or "
            "{probabilities}.",
            last=last,
            min=outputs.min(),
            max=outputs.max(),
            logits=LOGITS,
            probabilities=PROBABILITIES,
        )
    )


def _are_probs(outputs: Array) -> bool:
    is_between = outputs.min() >= -TOLERANCE and outputs.max() <= 1 + TOLERANCE
    sums = outputs.sum(axis=1, dtype=np.float64)
    return bool(is_between and (outputs.shape[1] == 1 or (abs(sums - 1) <= TOLERANCE).all()))


def _require_probs(are_probs: bool, outputs: Array, statement: str) -> None:
    if not are_probs:
        sums = outputs.sum(axis=1, dtype=np.float64)
        raise errors.SettingError(
            text(
                "{statement}, and for drawn photos its outputs go from {min:.4g} to "
                "{max:.4g}, with sums from {min_2:.4g} to {max_2:.4g}; expected "
                "probabilities, from 0 to 1 with a sum of 1.",
                statement=statement,
                min=outputs.min(),
                max=outputs.max(),
                min_2=sums.min(),
                max_2=sums.max(),
            )
        )


def to_probabilities(outputs: Array, activation: str) -> Array:
    """The probabilities of all classes, computed from a model's outputs without using Keras.

    Args:
        outputs: Shape (N, C); one class is the second of two.
        activation: As `activation_of` gives it.

    Example:
        >>> to_probabilities(np.array([[0.0, 0.0]]), "softmax")
        array([[0.5, 0.5]])
        >>> to_probabilities(np.array([[0.0]]), "sigmoid")
        array([[0.5, 0.5]])
    """
    probs = np.asarray(outputs, np.float64)
    if activation == "softmax":
        powers = np.exp(probs - probs.max(axis=1, keepdims=True))
        probs = powers / powers.sum(axis=1, keepdims=True)
    elif activation == "sigmoid":
        probs = (1 + np.tanh(probs / 2)) / 2  # numerically stable
    return probs if probs.shape[1] > 1 else np.concatenate([1 - probs, probs], axis=1)


def require_raw(scaling: str, named: Array, raw: Array) -> None:
    """Refuse a scaling for a model that scales its pixels itself.

    Args:
        scaling: The user's scaling, not ``"raw"``.
        named: Keras's outputs for photos with that scaling, shape (N, C).
        raw: Its outputs for the same photos unscaled.

    Raises:
        errors.SettingError: Always, with an example.
    """
    photo, output = np.unravel_index(abs(named - raw).argmax(), raw.shape)
    raise errors.SettingError(
        text(
            "The recipe scales pixels ({scaling}), and the model scales its pixels "
            "itself, so they would be scaled twice: output {output} for a drawn photo is "
            "{named:.4f} so, and {raw:.4f} for pixels from 0 to 255. Say raw, or leave "
            "the scaling out. If it was trained so, put the second scaling into the "
            "model, as a Rescaling layer.",
            scaling=scaling,
            output=output,
            named=named[photo, output],
            raw=raw[photo, output],
        )
    )
