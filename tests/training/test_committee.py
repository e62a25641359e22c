"""From features to a committee and its predictions, without networks and photos."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from typing import Any

import numpy as np
import pytest

from triptych import data
from triptych.evaluation import label_issues
from triptych.models import zoo
from triptych.training import committee as committees
from triptych.training import heads
from triptych.training import learning_curve
from triptych.training import softmax_regression
from triptych.training.config import COMMITTEE
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage
from triptych.training.feature_set import FeatureSet
from triptych.training.heads import CrossFittedHead
from triptych.typing import Array
from triptych.utils import concurrency

ROWS = [zoo.find("lite0"), zoo.find("lite1")]
TRAIN, VAL, LENGTH = 60, 20, 48


def features_of(wrong: set[int]) -> FeatureSet:
    """Two clouds of features; some training photos are in the wrong class."""
    rng = np.random.default_rng(3)
    true = np.arange(TRAIN + VAL) % 2
    labels = [1 - array if number in wrong else array for number, array in enumerate(true.tolist())]
    photos = [
        data.LabelledPhoto(f"{n}.jpg", label, hashlib.sha256(bytes([n])).digest(), n, bytes)
        for n, label in enumerate(labels)
    ]
    features = [
        (2.0 * true[:, None] + rng.normal(size=(TRAIN + VAL, LENGTH))).astype(np.float32)
        for _ in ROWS
    ]
    return FeatureSet(
        classes=("ants", "bees"),
        train=[array[:TRAIN] for array in features],
        augmented=[array[:0] for array in features],
        train_targets=np.array(labels[:TRAIN]),
        folds=data.folds(photos[:TRAIN], 5, seed=0),
        train_photos=photos[:TRAIN],
        val=[array[TRAIN:] for array in features],
        val_targets=np.array(labels[TRAIN:]),
        val_photos=photos[TRAIN:],
    )


def test_each_prediction_is_by_heads_that_were_not_trained_on_the_photo() -> None:
    wrong = {4, 17, 33}
    photos = features_of(wrong)
    committee = committees.train(photos, ROWS, TrainingConfig())
    predictions = committees.oof_predictions(photos, committee, committee)
    rows, labels = sorted(wrong), photos.train_targets[sorted(wrong)]
    for member, features in zip(committee.members, photos.train, strict=True):
        overfitted = member.fit.head.probs(features)
        assert (predictions.probs[rows, labels] < overfitted[rows, labels] / 2).all()
    disagrees = predictions.probs.argmax(axis=1) != predictions.targets
    assert set(np.nonzero(disagrees)[0].tolist()) == wrong
    assert predictions.held_out.tolist() == [False] * TRAIN + [True] * VAL
    issues = label_issues.rank(predictions.probs, predictions.targets)
    assert {issue.photo for issue in issues[:3]} == wrong


def test_accuracies_are_reported_as_they_come() -> None:
    scores: list[tuple[str, float]] = []
    config = TrainingConfig(on_score=lambda member, accuracy: scores.append((member, accuracy)))
    committees.train(features_of(set()), ROWS, config)
    assert scores == [(row.name, 1.0) for row in ROWS] + [(COMMITTEE, 1.0)]


@pytest.mark.parametrize("first", [0, 1])
def test_the_order_in_which_members_finish_does_not_matter(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member's heads are not begun before the other is ready."""
    photos = features_of({4})
    options: dict[str, Any] = {"folds": photos.folds, "classes": 2, "seed": 0}
    with concurrency.ArrayThreads():
        alone = [
            heads.fit("linear", array, photos.train_targets, **options) for array in photos.train
        ]
    ready, fit = threading.Event(), heads.fit

    def fit_in_turn(kind: str, features: Array, *arrays: Array, **options: Any) -> CrossFittedHead:
        is_first = features is photos.train[first]
        assert is_first or ready.wait(300)
        fitted = fit(kind, features, *arrays, **options)
        if is_first:
            ready.set()
        return fitted

    monkeypatch.setattr(heads, "fit", fit_in_turn)
    committee = committees.train(photos, ROWS, TrainingConfig())
    for member, expected in zip(committee.members, alone, strict=True):
        for kernel, other in zip(member.fit.head.kernels, expected.head.kernels, strict=True):
            assert kernel.tobytes() == other.tobytes()
        assert member.fit.out_of_fold.tobytes() == expected.out_of_fold.tobytes()


def test_the_same_seed_gives_the_same_learning_curve() -> None:
    photos = features_of({4, 17, 33})
    committee = committees.train(photos, ROWS, TrainingConfig())
    first, second = (
        learning_curve.compute(photos, committee.members, TrainingConfig(seed=3)) for _ in range(2)
    )
    assert first == second
    assert [point.per_class for point in first] == [1, 2, 5, 10, 20]
    # Thirty photos a class: few large draws.
    assert [len(point.accuracies) for point in first] == [5, 5, 3, 3, 3]


@pytest.mark.parametrize(
    ("classes", "per_class"),
    [(2, 60), (3, 12), (12, 6), (40, 3), (9, 21), (300, 2)],
    ids=lambda n: str(n),
)
def test_the_learning_curve_takes_less_computing_than_the_heads(
    classes: int, per_class: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(classes), per_class)
    centres = rng.normal(scale=0.5, size=(classes, LENGTH))
    array = (centres[targets] + rng.normal(size=(len(targets), LENGTH))).astype(np.float32)
    photos = dataclasses.replace(
        features_of(set()),
        classes=tuple(map(str, range(classes))),
        train=[array] * 2,
        augmented=[array[:0]] * 2,
        train_targets=targets,
        folds=np.arange(len(targets)) % per_class % 5,
        val=[array[:9]] * 2,
        val_targets=targets[:9],
    )
    work: list[int] = []
    softmax = softmax_regression._softmax

    def counted(features: Array, layers: Array, classes_of: Array) -> tuple[Array, Array]:
        work.append(features.size * layers.shape[1])  # multiplications
        return softmax(features, layers, classes_of)

    monkeypatch.setattr(softmax_regression, "_softmax", counted)
    committee = committees.train(photos, ROWS, TrainingConfig())
    for_heads = sum(work)
    work.clear()
    learning_curve.compute(photos, committee.members, TrainingConfig())
    assert 0 < sum(work) < for_heads


def test_progress_of_heads_only_rises_and_ends_at_its_total() -> None:
    reports: list[tuple[str, int, int]] = []
    config = TrainingConfig(progress=lambda *report: reports.append(report))
    committees.train(features_of(set()), ROWS, config)
    stages, done, totals = zip(*reports, strict=True)
    assert set(stages) == {TrainingStage.HEADS}
    assert list(done) == sorted(done)
    assert (done[0], done[-1], len(set(totals))) == (0, totals[-1], 1)
