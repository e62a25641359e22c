"""Detecting what a model expects and outputs, without Keras; ambiguous models are refused."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from triptych import errors
from triptych.imports import rules
from triptych.models import keras_file

LOGITS = np.array([[-7.4, 8.5, 0.1], [3.0, -2.0, 0.5]])
PROBS = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])


def affine(*steps: tuple[float, float]) -> list[tuple[str, list[float]]]:
    """The measured outputs of first layers that multiply and add."""
    values, front = np.array([0.0, 1.0, 255.0]), []
    for slope, offset in steps:
        values = values * slope + offset
        front.append(("Step", values.tolist()))
    return front


@pytest.mark.parametrize(
    "steps",
    [
        [(1 / 255, 0)],
        [(1 / 256, 0)],
        [(1 / 127.5, -1)],
        [(1 / 128, -127 / 128)],
        [(1, -113.8)],  # caffe
        [(1, -127.5), (1 / 127.5, 0)],
        [(1 / 255, 0), (1 / 0.226, -0.449 / 0.226)],  # torch, and the EfficientNets
        [(1, 0), (1, 0), (1 / 255, 0)],  # augmentation first
        [(1 / 63, -110 / 63)],  # adapted to a data set
        [(1 / 5, -20 / 5)],  # to dark pictures
        [(1 / 255, 0), (1 / 255, 0)],  # a mistake that was trained with
        [(-1 / 255, 1)],  # inverted, as drawings are
    ],
)
def test_models_that_scale_pixels_themselves(steps: Sequence[tuple[float, float]]) -> None:
    assert rules.takes_raw_pixels(affine(*steps))


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [(1, 0)],
        [(2, -1)],  # 0..1 to -1..1
        [(1, -0.449), (1 / 0.226, 0)],  # torch for 0..1
        [(255, 0)],  # 0..1, or another network's output
        [(127.5, 127.5)],  # -1..1
        [(0.5, 0)],
        [(0, 3)],
    ],
)
def test_models_whose_preprocessing_is_unknown(steps: Sequence[tuple[float, float]]) -> None:
    assert not rules.takes_raw_pixels(affine(*steps))


def test_nonlinear_first_layers_reveal_no_scaling() -> None:
    assert not rules.takes_raw_pixels([("Clip", [0.0, 1.0, 1.0])])


@pytest.mark.parametrize(
    ("ending", "outputs", "loss", "logits", "expected"),
    [
        (["softmax", "linear"], PROBS, None, None, "none"),
        (["Identity", "Reshape", "softmax"], PROBS, None, None, "none"),
        (["softmax", "linear"], PROBS, None, False, "none"),
        (["linear"], LOGITS, None, None, "softmax"),
        (["linear"], LOGITS, "logits", None, "softmax"),
        (["Dropout", "linear"], LOGITS, None, True, "softmax"),
        (["log_softmax", "linear"], LOGITS, None, None, "softmax"),
        (["relu", "linear"], LOGITS, None, True, "softmax"),
        (["linear"], LOGITS, "mse", True, "softmax"),
        (["Average", "merge", "softmax"], PROBS, None, None, "none"),
        (["sigmoid", "linear"], PROBS[:, :1], None, None, "none"),
        (["linear"], LOGITS[:, :1], None, None, "sigmoid"),
        (["tanh", "linear"], LOGITS[:, :1], None, True, "sigmoid"),
        (["relu", "linear"], PROBS[:, :1], None, False, "none"),
    ],
)
def test_the_kind_of_outputs_is_detected_from_graph_and_values(
    ending: list[str], outputs: Any, loss: str | None, logits: bool | None, expected: str
) -> None:
    assert rules.activation_of(ending, outputs, loss, logits=logits) == expected


@pytest.mark.parametrize(
    ("ending", "outputs", "loss", "logits", "message"),
    [
        (["softmax"], PROBS * np.nan, None, None, "answers NaN or infinity"),
        (["linear"], LOGITS * np.inf, None, True, "answers NaN or infinity"),
        (["softmax"], PROBS, None, True, "Got --logits, and the model ends in a softmax"),
        (["softmax"], PROBS[:1] * 3, None, None, "sums from 3 to 3; expected probabilities"),
        (["softmax"], PROBS[:, :1], None, None, "a single output, which is always 1"),
        (["sigmoid"], PROBS, None, None, "ends in 3 sigmoids: each class has a probability of its"),
        (["sigmoid"], PROBS, None, False, "ends in 3 sigmoids"),
        (["sigmoid"], PROBS[:, :1], None, True, "ends in a sigmoid: its outputs are prob"),
        (["linear"], LOGITS, None, False, "Got --probabilities, .* go from -7.4 to 8.5"),
        (["linear"], LOGITS[:, :1], None, False, "Got --probabilities"),
        (["linear"], LOGITS, "mse", None, r"other outputs \(mse\), .* Say it with --logits or"),
        (["linear"], LOGITS, "probabilities", None, "takes probabilities, so what its outputs"),
        (["relu", "linear"], LOGITS, None, None, "ends in relu, .* Say it with --logits or"),
        (["Multiply", "softmax"], PROBS * 100, None, None, "ends in Multiply"),
        (["relu", "linear"], PROBS[:, :1], None, None, "ends in relu"),
        ([], PROBS * 3, None, None, "ends in nothing"),
    ],
)
def test_ambiguous_outputs_are_refused(
    ending: list[str], outputs: Any, loss: str | None, logits: bool | None, message: str
) -> None:
    with pytest.raises(errors.SettingError, match=message):
        rules.activation_of(ending, outputs, loss, logits=logits)


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=5))
def test_probabilities_are_those_of_scipy(rows: list[list[float]]) -> None:
    outputs = np.array(rows)
    by_scipy = special.softmax(outputs, axis=1)
    np.testing.assert_allclose(rules.to_probabilities(outputs, "softmax"), by_scipy)
    yes = special.expit(outputs[:, :1])
    both = rules.to_probabilities(outputs[:, :1], "sigmoid")
    np.testing.assert_allclose(both, np.concatenate([1 - yes, yes], axis=1), atol=1e-15)


def taking(inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    return {
        "inputs": [(f"in{n}", shape) for n, shape in enumerate(inputs)],
        "outputs": [(f"out{n}", shape) for n, shape in enumerate(outputs)],
    }


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([[64, 64, 3], [4]], [[3]], r"takes 2 inputs: 'in0' \(64, 64, 3\), 'in1' \(4,\)"),
        ([[64, 64, 3]], [[3], [1]], r"gives 2 outputs: 'out0' \(3,\), 'out1' \(1,\)"),
        ([[64, 64, 4]], [[3]], r"takes \(64, 64, 4\), colours with alpha \(RGBA\)"),
        ([[3, 64, 64]], [[3]], r"takes \(3, 64, 64\), channels first"),
        ([[1, 28, 28]], [[3]], r"takes \(1, 28, 28\), channels first"),
        ([[784]], [[10]], r"takes \(784,\); expected photos"),
        ([[8, 64, 64, 3]], [[10]], r"takes \(8, 64, 64, 3\); expected photos"),
        ([[None, None, None]], [[10]], r"takes \(any, any, any\); expected photos"),
        ([[64, 64, 3]], [[64, 64, 5]], r"gives \(64, 64, 5\) .* no classifier"),
        ([[64, 64, 3]], [[]], r"gives \(\) for a photo"),
    ],
)
def test_inputs_that_are_not_images_are_refused(
    inputs: list[Any], outputs: list[Any], message: str
) -> None:
    with pytest.raises(errors.SettingError, match=message):
        rules.check_shapes(taking(inputs, outputs))


@pytest.mark.parametrize("shape", [[64, 64, 3], [28, 28, 1], [28, 28], [None, None, 3]])
def test_colour_and_grey_inputs_are_accepted(shape: list[Any]) -> None:
    rules.check_shapes(taking([shape], [[3]]))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", "probabilities"),
        ({"class_name": "BinaryCrossentropy", "config": {"from_logits": True}}, "logits"),
        ({"class_name": "CategoricalCrossentropy", "config": {}}, "probabilities"),
        ({"class_name": "MeanSquaredError", "config": None}, "MeanSquaredError"),
        (["mse", "mse"], None),
        ({"class_name": 3}, None),
        (None, None),
    ],
)
def test_the_loss_tells_the_kind_of_outputs(loss: Any, expected: str | None) -> None:
    assert keras_file.loss_outputs({"compile_config": {"loss": loss}}) == expected
    assert keras_file.loss_outputs({"compile_config": loss}) in (None, expected)


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("import_keras", "import_model"),
        ("import_labels", "read_labels"),
        ("import_recipe", "split_recipe"),
        ("import_rules", "to_probabilities"),
    ],
)
def test_the_old_modules_go_on_working(old: str, name: str) -> None:
    module = importlib.import_module(f"triptych.bundles.{old}")
    with pytest.warns(DeprecationWarning, match=r"is triptych\.imports\."):
        assert callable(getattr(module, name))
