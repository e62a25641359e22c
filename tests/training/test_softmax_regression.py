"""Softmax regression against scikit-learn's numbers, and what must hold for any photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from triptych.training import softmax_regression
from triptych.typing import Array

PENALTY = 0.01


def draw(photos: int, classes: int, length: int, *, seed: int = 0) -> tuple[Array, Array]:
    """Features around a centre per class, and classes; each class has a photo."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(photos) % classes)
    centres = rng.normal(size=(classes, length))
    return centres[truth] + rng.normal(size=(photos, length)), truth


def fit(features: Array, truth: Array, selections: Array, **options: object) -> Array:
    classes = int(truth.max()) + 1
    weights = softmax_regression.balanced_weights(truth, selections, classes)
    given: dict[str, object] = {"penalty": PENALTY, "tolerance": 1e-12, **options}
    return softmax_regression.fit(features, truth, weights, classes=classes, **given)


def probs(layers: Array, features: Array) -> Array:
    return softmax(features @ layers[:-1] + layers[-1], axis=1)


def everything(truth: Array) -> Array:
    return np.ones((len(truth), 1), bool)


@pytest.mark.parametrize("photos", [30, 300])
def test_equals_scikit_learn(photos: int) -> None:
    features, truth = draw(photos, 5, 40)
    (layers,) = fit(features, truth, everything(truth))
    reference = LogisticRegression(
        C=1 / (PENALTY * photos), class_weight="balanced", max_iter=5000, tol=1e-10
    ).fit(features, truth)
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
    features, truth = draw(photos, classes, length, seed=seed)
    (layers,) = fit(features, truth, everything(truth))
    weights = softmax_regression.balanced_weights(truth, everything(truth), classes)
    errors = (probs(layers, features) - np.eye(classes)[truth]) * weights
    np.testing.assert_allclose(features.T @ errors + PENALTY * layers[:-1], 0, atol=1e-5)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=1e-5)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_selections_fitted_together_equal_those_fitted_alone(seed: int) -> None:
    features, truth = draw(60, 3, 80, seed=seed)
    selections = np.random.default_rng(seed).random((60, 4)) < 0.7
    selections[:3] = True
    together = fit(features, truth, selections)
    for own, selection in zip(together, selections.T, strict=True):
        (alone,) = fit(features[selection], truth[selection], np.ones((selection.sum(), 1), bool))
        np.testing.assert_allclose(probs(own, features), probs(alone, features), atol=1e-4)


def test_the_start_does_not_matter() -> None:
    features, truth = draw(60, 3, 20)
    cold = fit(features, truth, everything(truth))
    far = np.random.default_rng(1).normal(size=cold.shape)
    warm = fit(features, truth, everything(truth), start=far)
    np.testing.assert_allclose(probs(warm[0], features), probs(cold[0], features), atol=1e-4)


def test_groups_that_do_not_fit_into_memory_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, truth = draw(60, 3, 20)
    selections = np.arange(60)[:, None] % 5 != np.arange(5)
    at_once = fit(features, truth, selections)
    monkeypatch.setattr(softmax_regression, "MAX_LOGITS", 2 * 60 * 3)
    np.testing.assert_allclose(fit(features, truth, selections), at_once, atol=1e-4)


def test_a_class_that_a_selection_lacks_has_no_probability_there() -> None:
    features, truth = draw(60, 3, 20)
    selections = np.stack([truth != 2, np.ones(60, bool)], axis=1)
    without, whole = fit(features, truth, selections)
    assert probs(without, features)[:, 2].max() == 0
    assert probs(whole, features)[truth == 2, 2].min() > 0.5


def test_a_selection_of_one_class_is_sure_of_it() -> None:
    features, truth = draw(20, 2, 5)
    (layers,) = fit(features, truth, (truth == 1)[:, None])
    np.testing.assert_allclose(probs(layers, features), np.tile([0.0, 1.0], (20, 1)))


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (5, 5)])
def test_principal_components_lose_nothing(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(0).normal(size=shape) + 3
    centre, basis = softmax_regression.principal_components(features)
    components = (features - centre) @ basis
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-6)
    np.testing.assert_allclose(components @ basis.T + centre, features, atol=1e-6)
    products = components.T @ components
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-6)


def test_photos_that_are_all_alike_have_no_components() -> None:
    _, basis = softmax_regression.principal_components(np.ones((10, 8), np.float32))
    assert basis.shape == (8, 0)
