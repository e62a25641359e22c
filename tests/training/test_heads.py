"""Fitting heads: equal to scikit-learn, whatever the number of photos."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from triptych import data
from triptych import errors
from triptych.data import LabelledPhoto
from triptych.ensemble import fit as ensemble_fit
from triptych.training import heads
from triptych.training.heads import CrossFittedHead

pytestmark = pytest.mark.slow


def clusters(
    sizes: list[int], *, length: int, apart: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) around a centre per class, all at least 0 as after a ReLU, and classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(scale=apart, size=(len(sizes), length))
    targets = np.repeat(np.arange(len(sizes)), sizes)
    features = np.maximum(centres[targets] + rng.normal(size=(len(targets), length)), 0)
    order = rng.permutation(len(targets))
    return features[order].astype(np.float32), targets[order]


def in_turn(targets: np.ndarray, count: int = 5) -> np.ndarray:
    """Folds with equally many photos of every class."""
    folds = np.empty(len(targets), int)
    for label in np.unique(targets):
        of_class = np.flatnonzero(targets == label)
        folds[of_class] = np.arange(len(of_class)) % count
    return folds


def fit(kind: str, features: np.ndarray, targets: np.ndarray, **options: Any) -> CrossFittedHead:
    classes = int(targets.max()) + 1
    arguments = {"folds": in_turn(targets), "classes": classes, "seed": 0, **options}
    return heads.fit(kind, features, targets, **arguments)


def accuracy(probs: np.ndarray, targets: np.ndarray) -> float:
    return float((probs.argmax(axis=1) == targets).mean())


@pytest.mark.parametrize(
    ("sizes", "length"),
    [([40, 40], 20), ([30, 30], 200), ([12, 30, 20, 9], 150), ([60, 60, 60], 10)],
    ids=["two classes", "fewer photos than features", "many, few photos", "many, many photos"],
)
def test_linear_equals_scikit_learn_on_the_same_standardised_data(
    sizes: list[int], length: int
) -> None:
    from sklearn.linear_model import LogisticRegression

    features, targets = clusters(sizes, length=length, apart=0.3)
    new, _ = clusters(sizes, length=length, apart=0.3, seed=1)
    features, new = features.astype(np.float64), new.astype(np.float64)
    fitted = fit("linear", features, targets)
    penalty = fitted.head.notes["strength"]
    centre, spread = features.mean(axis=0), features.std()
    reference = LogisticRegression(
        C=1 / (penalty * len(targets)), class_weight="balanced", max_iter=5000, tol=1e-8
    ).fit((features - centre) / spread, targets)
    expected = reference.predict_proba((new - centre) / spread)
    assert expected.max(axis=1).min() < 0.9, "too easy to compare anything"
    np.testing.assert_allclose(fitted.head.probs(new), expected, atol=1e-3)
    alone = heads.fit_linear(features, targets, classes=len(sizes), penalty=penalty)
    np.testing.assert_allclose(alone.probs(new), expected, atol=1e-3)


def test_of_many_photos_a_sample_selects_the_penalty_and_starts_the_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, targets = clusters([80, 80, 80], length=30, apart=0.5)
    monkeypatch.setattr(heads, "ENOUGH_TO_SELECT", 150)
    sampled = fit("linear", features, targets)
    penalty = sampled.head.notes["strength"]
    whole = heads.fit_linear(features, targets, classes=3, penalty=penalty)
    np.testing.assert_allclose(sampled.head.probs(features), whole.probs(features), atol=1e-3)
    assert accuracy(sampled.out_of_fold, targets) < accuracy(whole.probs(features), targets)
    monkeypatch.setattr(heads, "MANY_LOGITS", 100)
    monkeypatch.setattr(heads, "ENOUGH_TO_SELECT", 4000)
    monkeypatch.setattr(heads, "_select_penalty", lambda *_: (penalty, []))
    rough = fit("linear", features, targets)
    np.testing.assert_allclose(rough.head.probs(features), whole.probs(features), atol=2e-2)
    losses = [
        ensemble_fit.negative_log_likelihood(fitted.out_of_fold, targets)
        for fitted in (sampled, rough)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def test_out_of_fold_predictions_come_from_other_folds() -> None:
    # Noise can be learned by heart, and not be known beforehand.
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 300)), rng.integers(0, 2, 60)
    fitted = fit("linear", features, targets)
    np.testing.assert_allclose(fitted.out_of_fold.sum(axis=1), 1, rtol=1e-5)
    assert accuracy(fitted.head.probs(features), targets) > 0.9
    assert 0.25 < accuracy(fitted.out_of_fold, targets) < 0.75


def test_a_class_within_one_fold_is_still_trained() -> None:
    features, targets = clusters([10, 10, 4], length=30)
    folds = np.where(targets == 2, 3, in_turn(targets))
    fitted = fit("linear", features, targets, folds=folds)
    np.testing.assert_allclose(fitted.out_of_fold.sum(axis=1), 1, rtol=1e-5)
    assert fitted.out_of_fold[targets == 2, 2].max() < 1e-9
    assert accuracy(fitted.head.probs(features), targets) == 1


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_one_photo_a_class_is_enough_to_train(kind: str) -> None:
    features, targets = clusters([1, 1, 1], length=40, apart=3)
    photos = [LabelledPhoto("", int(label), bytes([label]), int(label), bytes) for label in targets]
    folds = data.folds(photos, 5, seed=0)
    fitted = fit(kind, features, targets, folds=folds)
    new, new_targets = clusters([20, 20, 20], length=40, apart=3, seed=1)
    assert accuracy(fitted.head.probs(new), new_targets) > 0.9
    # Nothing could be held back, so nothing is known of how sure the head may be.
    np.testing.assert_array_equal(fitted.out_of_fold, np.full((3, 3), 1 / 3, np.float32))
    assert ensemble_fit.fit_temperature(fitted.out_of_fold, targets) == 1
    both = np.stack([fitted.out_of_fold] * 2)
    assert ensemble_fit.choose_weights(both, targets) == [0.5, 0.5]


def test_photos_in_no_fold_are_trained_on_but_not_predicted() -> None:
    features, targets = clusters([10, 10, 1], length=30, apart=2)
    folds = np.where(targets == 2, -1, in_turn(targets))
    fitted = fit("linear", features, targets, folds=folds)
    np.testing.assert_allclose(fitted.out_of_fold[targets == 2], 1 / 3, rtol=1e-6)
    assert accuracy(fitted.out_of_fold[targets < 2], targets[targets < 2]) == 1
    assert accuracy(fitted.head.probs(features), targets) == 1


def test_a_rare_class_has_the_recall_of_a_common_one() -> None:
    features, targets = clusters([300, 12], length=30, apart=0.8)
    new, new_targets = clusters([500, 500], length=30, apart=0.8, seed=1)
    answers = fit("linear", features, targets).head.probs(new).argmax(axis=1)
    common, rare = ((answers == label)[new_targets == label].mean() for label in (0, 1))
    assert common > 0.95
    # Without weights for classes it is 0.69.
    assert rare > 0.8


def test_identical_features_give_probabilities_without_warnings() -> None:
    fitted = fit("linear", np.ones((10, 8), np.float32), np.repeat([0, 1], 5))
    np.testing.assert_allclose(fitted.head.probs(np.ones((1, 8))), [[0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_same_seed_gives_the_same_head(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MAX_EPOCHS", 30)
    features, targets = clusters([15, 15], length=12, apart=0.1)
    first, second = (
        fit(kind, features, targets, seed=4, folds=in_turn(targets, 2)) for _ in range(2)
    )
    assert first.head.notes == second.head.notes
    np.testing.assert_array_equal(first.out_of_fold, second.out_of_fold)
    np.testing.assert_array_equal(first.head.probs(features), second.head.probs(features))


def rings(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four blobs at the corners of a square; opposite corners are one class (XOR)."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 2, (count, 2))
    plane = (2 * corners - 1) + rng.normal(scale=0.25, size=(count, 2))
    turn = np.random.default_rng(7).normal(size=(2, 16))
    return (plane @ turn).astype(np.float32), corners[:, 0] ^ corners[:, 1]


def test_mlp_learns_what_linear_cannot() -> None:
    features, targets = rings(240, seed=0)
    new, new_targets = rings(400, seed=1)
    straight = fit("linear", features, targets)
    bent = fit("mlp", features, targets, folds=in_turn(targets, 2))
    assert accuracy(straight.head.probs(new), new_targets) < 0.7
    assert accuracy(bent.head.probs(new), new_targets) > 0.97
    assert accuracy(bent.out_of_fold, targets) > 0.95
    assert bent.head.kind == "mlp"
    assert 1 < bent.head.notes["epochs"] <= heads.MAX_EPOCHS


def test_mlp_stops_early_where_there_is_nothing_to_learn() -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 50)).astype(np.float32), rng.integers(0, 2, 60)
    fitted = fit("mlp", features, targets, folds=in_turn(targets, 2))
    assert fitted.head.notes["epochs"] < heads.MAX_EPOCHS


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    features, targets = clusters([3, 3], length=4)
    with pytest.raises(errors.UnknownName, match="no head 'forest'; expected one of: linear, mlp"):
        fit("forest", features, targets)
