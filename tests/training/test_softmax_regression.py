"""Softmax regression against scikit-learn's numbers, and properties for any features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from scipy.special import softmax

from triptych.training import softmax_regression
from triptych.typing import Array

PENALTY = 0.01


def draw(photos: int, classes: int, length: int, *, seed: int = 0) -> tuple[Array, Array]:
    """Features around a centre per class, and classes; each class has a photo."""
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(photos) % classes)
    centres = rng.normal(size=(classes, length))
    return centres[targets] + rng.normal(size=(photos, length)), targets


def fit(features: Array, targets: Array, *, classes: int = 0, **options: object) -> Array:
    classes = classes or int(targets.max()) + 1
    weights = softmax_regression.balanced_weights(targets, classes)
    arguments: dict[str, object] = {"penalty": PENALTY, "tolerance": 1e-12, **options}
    return softmax_regression.fit(features, targets, weights, classes=classes, **arguments)


def probs(layers: Array, features: Array) -> Array:
    return softmax(features @ layers[:-1] + layers[-1], axis=1)


@pytest.mark.parametrize("photos", [30, 300])
def test_equals_scikit_learn(photos: int) -> None:
    from sklearn.linear_model import LogisticRegression

    features, targets = draw(photos, 5, 40)
    layers = fit(features, targets)
    reference = LogisticRegression(
        C=1 / (PENALTY * photos), class_weight="balanced", max_iter=5000, tol=1e-10
    ).fit(features, targets)
    np.testing.assert_allclose(
        probs(layers, features), reference.predict_proba(features), atol=1e-5
    )


@settings(max_examples=20)
@given(
    photos=st.integers(6, 60),
    classes=st.integers(2, 6),
    length=st.integers(1, 30),
    seed=st.integers(0, 1000),
)
def test_the_optimum_is_flat(photos: int, classes: int, length: int, seed: int) -> None:
    features, targets = draw(photos, classes, length, seed=seed)
    layers = fit(features, targets)
    weights = softmax_regression.balanced_weights(targets, classes)[:, None]
    errors = (probs(layers, features) - np.eye(classes)[targets]) * weights
    np.testing.assert_allclose(features.T @ errors + PENALTY * layers[:-1], 0, atol=1e-5)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=1e-5)


def test_the_start_does_not_matter() -> None:
    features, targets = draw(60, 3, 20)
    cold = fit(features, targets)
    far = np.random.default_rng(1).normal(size=cold.shape)
    warm = fit(features, targets, start=far)
    np.testing.assert_allclose(probs(warm, features), probs(cold, features), atol=1e-4)


def test_computing_in_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = draw(600, 3, 20)
    at_once = fit(features, targets)
    monkeypatch.setattr(softmax_regression, "BLOCK", 3 * 256)
    np.testing.assert_allclose(fit(features, targets), at_once, atol=1e-4)


def test_a_class_without_photos_has_no_probability() -> None:
    features, targets = draw(60, 3, 20)
    some = targets != 1
    without = fit(features[some], targets[some], classes=3)
    assert probs(without, features)[:, 1].max() == 0
    alone = fit(features[some], targets[some] // 2)
    np.testing.assert_allclose(probs(without, features)[:, [0, 2]], probs(alone, features))
    again = fit(features, targets, start=without)
    np.testing.assert_allclose(
        probs(again, features), probs(fit(features, targets), features), atol=1e-4
    )


def test_with_one_class_its_probability_is_1() -> None:
    layers = fit(draw(20, 2, 5)[0], np.ones(20, int))
    np.testing.assert_allclose(probs(layers, np.zeros((1, 5))), [[0.0, 1.0]])


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (5, 5)])
def test_principal_components_lose_nothing(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(0).normal(size=shape) + 3
    centre, basis = softmax_regression.principal_components(features)
    components = (features - centre) @ basis
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-6)
    np.testing.assert_allclose(components @ basis.T + centre, features, atol=1e-6)
    products = components.T @ components
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-6)


def test_identical_features_have_no_components() -> None:
    _, basis = softmax_regression.principal_components(np.ones((10, 8), np.float32))
    assert basis.shape == (8, 0)
