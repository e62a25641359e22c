"""From features to a committee and its answers: no network and no photo is needed for that."""

from __future__ import annotations

import hashlib

import numpy as np

from triptych import data
from triptych.evaluation import label_issues
from triptych.models import zoo
from triptych.training import committee as committees
from triptych.training.config import COMMITTEE
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FeatureSet

ROWS = [zoo.find("lite0"), zoo.find("lite1")]
TRAIN, VAL, LENGTH = 60, 20, 48


def features_of(wrong: set[int]) -> FeatureSet:
    """Two clouds of features; some training photos are in the wrong class."""
    rng = np.random.default_rng(3)
    true = np.arange(TRAIN + VAL) % 2
    labels = [1 - own if number in wrong else own for number, own in enumerate(true.tolist())]
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
        train=[own[:TRAIN] for own in features],
        augmented=[own[:0] for own in features],
        train_truth=np.array(labels[:TRAIN]),
        folds=data.folds(photos[:TRAIN], 5, seed=0),
        train_photos=photos[:TRAIN],
        val=[own[TRAIN:] for own in features],
        val_truth=np.array(labels[TRAIN:]),
        val_photos=photos[TRAIN:],
    )


def test_each_prediction_is_by_heads_that_were_not_trained_on_the_photo() -> None:
    wrong = {4, 17, 33}
    photos = features_of(wrong)
    committee = committees.train(photos, ROWS, TrainingConfig())
    predictions = committees.oof_predictions(photos, committee, committee)
    rows, given = sorted(wrong), photos.train_truth[sorted(wrong)]
    for member, features in zip(committee.members, photos.train, strict=True):
        overfitted = member.fit.head.probs(features)
        assert (predictions.probs[rows, given] < overfitted[rows, given] / 2).all()
    disagrees = predictions.probs.argmax(axis=1) != predictions.truth
    assert set(np.nonzero(disagrees)[0].tolist()) == wrong
    assert predictions.held.tolist() == [False] * TRAIN + [True] * VAL
    issues = label_issues.rank(predictions.probs, predictions.truth)
    assert {issue.photo for issue in issues[:3]} == wrong


def test_accuracies_are_reported_as_they_come() -> None:
    scores: list[tuple[str, float]] = []
    config = TrainingConfig(on_score=lambda member, accuracy: scores.append((member, accuracy)))
    committees.train(features_of(set()), ROWS, config)
    assert scores == [(row.name, 1.0) for row in ROWS] + [(COMMITTEE, 1.0)]
