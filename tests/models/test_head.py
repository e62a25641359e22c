"""The record of a head: the same probabilities in arrays, in Keras, and from its file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import networks
from triptych.models.head import Head


def random_head(*sizes: int, seed: int = 0, activation: str = "softmax") -> Head:
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(size=pair) for pair in itertools.pairwise(sizes)]
    biases = [rng.normal(size=size) for size in sizes[1:]]
    kind = "mlp" if len(sizes) > 2 else "linear"
    return Head(kind, tuple(kernels), tuple(biases), {}, activation)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(6, 3), (6, 8, 2)], ids=["linear", "mlp"])
def test_a_head_in_keras_answers_as_in_arrays(sizes: tuple[int, ...], keras: Any) -> None:
    head = random_head(*sizes)
    features = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, head.attach(inputs))
    assert model.layers[-1].name == "predictions"
    np.testing.assert_allclose(networks.run(model, features), head.probs(features), atol=1e-5)
    trained = random_head(*sizes, seed=2)
    trained.put_into(model)
    from_keras = Head.of_model(model, head.kind)
    assert len(from_keras.kernels) == len(head.kernels)
    np.testing.assert_allclose(from_keras.probs(features), trained.probs(features), atol=1e-5)


@pytest.mark.slow
def test_in_keras_a_multilabel_head_ends_in_sigmoids(keras: Any) -> None:
    head = random_head(6, 3, activation="sigmoid")
    features = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, head.attach(inputs))
    expected = 1 / (1 + np.exp(-(features @ head.kernels[0] + head.biases[0])))
    np.testing.assert_allclose(head.probs(features), expected, atol=1e-6)
    np.testing.assert_allclose(networks.run(model, features), expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [(6, 3), (6, 8, 2)], ids=["linear", "mlp"])
def test_a_head_survives_saving_and_loading(sizes: tuple[int, ...], tmp_path: Path) -> None:
    head = random_head(*sizes)
    head.save(tmp_path / "head.npz")
    loaded = Head.read(tmp_path / "head.npz")
    assert loaded.kind == head.kind
    features = np.random.default_rng(1).normal(size=(5, 6))
    np.testing.assert_array_equal(loaded.probs(features), head.probs(features))


def test_large_logits_do_not_overflow() -> None:
    probs = Head("linear", (np.array([[1e4, -1e4]]),), (np.zeros(2),), {}).probs(np.ones((1, 1)))
    np.testing.assert_array_equal(probs, [[1, 0]])
