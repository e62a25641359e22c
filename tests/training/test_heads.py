"""From features to a committee and its answers: no network and no photo is needed for that."""

from __future__ import annotations

import hashlib

import numpy as np

from triptych import data
from triptych.evaluation import label_issues
from triptych.models import zoo
from triptych.training import heads
from triptych.training.config import COMMITTEE
from triptych.training.config import Lesson
from triptych.training.config import Material

ROWS = [zoo.find("lite0"), zoo.find("lite1")]
TRAIN, VAL, LENGTH = 60, 20, 48


def material(wrong: set[int]) -> Material:
    """Two clouds of features; some training photos are in the wrong class."""
    rng = np.random.default_rng(3)
    true = np.arange(TRAIN + VAL) % 2
    labels = [1 - own if number in wrong else own for number, own in enumerate(true.tolist())]
    photos = [
        data.Photo(f"{n}.jpg", label, hashlib.sha256(bytes([n])).digest(), n, bytes)
        for n, label in enumerate(labels)
    ]
    features = [
        (2.0 * true[:, None] + rng.normal(size=(TRAIN + VAL, LENGTH))).astype(np.float32)
        for _ in ROWS
    ]
    return Material(
        classes=("ants", "bees"),
        train=[own[:TRAIN] for own in features],
        views=[own[:0] for own in features],
        train_truth=np.array(labels[:TRAIN]),
        folds=data.folds(photos[:TRAIN], 5, seed=0),
        train_photos=photos[:TRAIN],
        val=[own[TRAIN:] for own in features],
        val_truth=np.array(labels[TRAIN:]),
        val_photos=photos[TRAIN:],
    )


def test_answers_are_by_heads_that_had_not_learned_the_photo() -> None:
    wrong = {4, 17, 33}
    photos = material(wrong)
    outcome = heads.teach(photos, ROWS, Lesson())
    answers = heads.answers(photos, outcome, outcome)
    rows, given = sorted(wrong), photos.train_truth[sorted(wrong)]
    for pupil, own in zip(outcome.pupils, photos.train, strict=True):
        by_heart = pupil.fit.head.probs(own)
        assert (answers.probs[rows, given] < by_heart[rows, given] / 2).all()
    disagrees = answers.probs.argmax(axis=1) != answers.truth
    assert set(np.nonzero(disagrees)[0].tolist()) == wrong
    assert answers.held.tolist() == [False] * TRAIN + [True] * VAL
    first = {issue.photo for issue in label_issues.rank(answers.probs, answers.truth)[:3]}
    assert first == wrong


def test_accuracies_are_told_as_they_come() -> None:
    told: list[tuple[str, float]] = []
    lesson = Lesson(judged=lambda member, accuracy: told.append((member, accuracy)))
    heads.teach(material(set()), ROWS, lesson)
    assert told == [(row.name, 1.0) for row in ROWS] + [(COMMITTEE, 1.0)]
