"""The multilayer perceptron: the steps of Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support import networks
from triptych.training import perceptron
from triptych.training.perceptron import Perceptron

PHOTOS, LENGTH, CLASSES = 150, 24, 5


def photos(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, classes, and how much each photo counts."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, CLASSES, PHOTOS)
    features = rng.normal(size=(PHOTOS, LENGTH)) + rng.normal(size=(CLASSES, LENGTH))[targets]
    return features.astype(np.float32), targets, rng.uniform(0.5, 2, PHOTOS).astype(np.float32)


@pytest.mark.slow
def test_steps_are_those_of_keras(keras: Any) -> None:
    features, targets, weights = photos()
    network = Perceptron(features, targets, weights, classes=CLASSES, seed=1, dropout=0)
    penalty = keras.regularizers.L2(perceptron.L2_PENALTY)
    dense = keras.layers.Dense
    model = keras.Sequential(
        [
            keras.Input((LENGTH,)),
            dense(perceptron.HIDDEN_UNITS, activation="relu", kernel_regularizer=penalty),
            dense(CLASSES, activation="softmax", kernel_regularizer=penalty),
        ]
    )
    rate = perceptron.LEARNING_RATE
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.set_weights([layer.copy() for layer in network.layers])
    before = [layer.copy() for layer in network.layers]
    for batch in np.random.default_rng(2).permutation(PHOTOS)[:144].reshape(-1, 12):
        network.train_on(batch)
        model.train_on_batch(features[batch], targets[batch], sample_weight=weights[batch])
    for layer, expected, first in zip(network.layers, model.get_weights(), before, strict=True):
        assert np.abs(layer - first).max() > 2 * rate, "else nothing is compared"
        np.testing.assert_allclose(layer, expected, atol=rate / 20)
    np.testing.assert_allclose(network.probs(features), networks.run(model, features), atol=2e-4)


def test_dropout_leaves_the_expected_hidden_units_as_they_are() -> None:
    """The mean of many first steps with dropout is near the step without."""
    features, targets, weights = photos()
    moves = []
    for dropout, seeds in ((0.0, [0]), (0.5, range(400))):
        steps = []
        for seed in seeds:
            network = Perceptron(
                features, targets, weights, classes=CLASSES, seed=seed, dropout=dropout
            )
            # The same layers, whatever the seed; the last bias is moved by the mean error alone.
            shape = network.layers[0].shape
            network.layers[0][:] = np.random.default_rng(9).normal(scale=0.1, size=shape)
            network.layers[2][:] = 0
            hidden = network._means[2]
            network.train_on(np.arange(PHOTOS))
            steps.append(hidden.copy())
        moves.append(np.mean(steps, axis=0))
    np.testing.assert_allclose(moves[1], moves[0], atol=0.05 * np.abs(moves[0]).max())


@pytest.mark.parametrize("count", [64, 1000, 100_000])
def test_an_epoch_has_a_bounded_number_of_steps(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[np.ndarray] = []
    monkeypatch.setattr(Perceptron, "train_on", lambda self, batch: batches.append(batch))
    features = np.zeros((count, 1), np.float32)
    network = Perceptron(features, np.zeros(count, int), np.ones(count), classes=1, seed=0)
    network.train_epoch()
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    assert len(batches) <= perceptron.MOST_STEPS
    assert len(batches[0]) >= perceptron.BATCH
