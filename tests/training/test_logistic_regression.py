"""A logistic regression per class against scikit-learn's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from triptych.ensemble.fit import multilabel
from triptych.models.head import Head
from triptych.training import heads
from triptych.training import logistic_regression
from triptych.typing import Array

PENALTY = 0.02


def draw(photos: int, classes: int, length: int, *, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(photos, length))
    logits = 2 * features @ rng.normal(size=(length, classes)) / np.sqrt(length) - 0.5
    return features, rng.random(logits.shape) < 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("photos", [30, 300])
def test_each_class_equals_scikit_learn(photos: int) -> None:
    features, targets = draw(photos, 4, 12)
    layers = logistic_regression.fit(features, targets, penalty=PENALTY, tolerance=1e-12)
    for label in range(4):
        reference = LogisticRegression(C=1 / (PENALTY * photos), max_iter=5000, tol=1e-10)
        reference.fit(features, targets[:, label])
        np.testing.assert_allclose(layers[:-1, label], reference.coef_[0], atol=1e-5)
        assert layers[-1, label] == pytest.approx(reference.intercept_.item(), abs=1e-5)


@given(
    photos=st.integers(4, 60),
    classes=st.integers(1, 5),
    length=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
@settings(max_examples=20)
def test_a_class_is_fitted_as_if_it_were_alone(
    photos: int, classes: int, length: int, seed: int
) -> None:
    features, targets = draw(photos, classes, length, seed=seed)
    together = logistic_regression.fit(features, targets, penalty=PENALTY, tolerance=1e-12)
    for label in range(classes):
        alone = logistic_regression.fit(
            features, targets[:, [label]], penalty=PENALTY, tolerance=1e-12
        )
        np.testing.assert_allclose(together[:, label], alone[:, 0], atol=1e-3)


def test_a_class_that_no_photo_has_or_all_have_is_only_a_bias() -> None:
    features, targets = draw(20, 3, 5)
    targets[:, 0], targets[:, 1] = False, True
    layers = logistic_regression.fit(features, targets, penalty=PENALTY)
    assert not layers[:-1, :2].any()
    probs = 1 / (1 + np.exp(-layers[-1, :2]))
    assert probs == pytest.approx([0.5 / 21, 20.5 / 21])
    assert layers[:-1, 2].any()


def test_far_logits_stay_finite() -> None:
    features = np.array([[-1e4], [1e4], [2e4], [-3e4]], np.float32)
    targets = features > 0
    layers = logistic_regression.fit(features, targets, penalty=0.0)
    assert np.isfinite(layers).all()


def test_a_head_is_chosen_by_out_of_fold_loss_and_predicts_each_photo_without_it() -> None:
    features, targets = draw(200, 3, 40)
    folds = np.arange(200) % 5
    fitted = heads.fit("linear", features, targets, folds=folds, classes=3, seed=0)
    assert fitted.head.activation == "sigmoid"
    penalty = fitted.head.notes["strength"]
    losses = {}
    for other in heads.L2_PENALTIES:
        probs = np.empty(targets.shape)
        for fold in range(5):
            fitter = heads.LinearFitter(features, targets, 3)
            layers = fitter.fit(folds != fold, other)
            probs[folds == fold] = fitter.probs(layers, folds == fold)
        losses[other] = multilabel.log_loss(probs, targets)
        if other == penalty:
            np.testing.assert_allclose(fitted.out_of_fold, probs, atol=5e-3)
    assert losses[penalty] <= min(losses.values()) + 1e-4


def test_a_head_with_sigmoids_comes_back(tmp_path: Path) -> None:
    features, targets = draw(50, 3, 8)
    folds = np.arange(50) % 5
    head = heads.fit("linear", features, targets, folds=folds, classes=3, seed=0).head
    head.save(tmp_path / "head.npz")
    again = Head.read(tmp_path / "head.npz")
    assert again.activation == "sigmoid"
    np.testing.assert_array_equal(again.probs(features), head.probs(features))
