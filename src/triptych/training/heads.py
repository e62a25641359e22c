"""From features to a weighed committee, and what it says of photos that it had not learned."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from triptych.bundles.oof_predictions import OOFPredictions
from triptych.ensemble import rules
from triptych.ensemble.rules import FITTED_RULE
from triptych.models import head
from triptych.models import zoo
from triptych.training.config import COMMITTEE
from triptych.training.config import Lesson
from triptych.training.config import Material
from triptych.training.config import Pupil
from triptych.training.config import weigh
from triptych.training.finetune import Outcome
from triptych.typing import Array


def teach(material: Material, rows: Sequence[zoo.Backbone], lesson: Lesson) -> Outcome:
    """Train a head for each backbone, and decide who is seated.

    Args:
        material: The photos.
        rows: The backbones, in the order of their features.
        lesson: Head, seed, progress, stop.

    Raises:
        errors.Stopped: ``lesson.stop`` said so.
    """
    pupils = []
    for number, row in enumerate(rows):
        lesson.progress("Training heads", number, len(rows))
        lesson.pause()
        fitted = _fit(material, number, lesson)
        pupils.append(Pupil(row, fitted, fitted.head.probs(material.val[number])))
        judge(lesson, row.name, pupils[-1].answers, material)
    lesson.progress("Training heads", len(rows), len(rows))
    judged = material.judged
    crossed = [pupil.fit.out_of_fold[judged] for pupil in pupils]
    outcome = Outcome(*weigh(pupils, crossed, material.train_truth[judged]))
    judge(lesson, COMMITTEE, validation(outcome), material)
    return outcome


def judge(lesson: Lesson, member: str, probs: Array, material: Material) -> None:
    """Tell the share of the photos held back that a member, or the committee, answers rightly."""
    if len(probs):
        lesson.judged(member, float((probs.argmax(axis=1) == material.val_truth).mean()))


def validation(outcome: Outcome) -> Array:
    """What the committee says of the photos held back, shape (N, C)."""
    return _joined(outcome, [pupil.answers for pupil in outcome.pupils])


def _joined(outcome: Outcome, answers: Sequence[Array]) -> Array:
    """What the committee says where its members, and those dropped, gave these answers."""
    pairs = zip(outcome.pupils, answers, strict=True)
    sitting = [rules.temper(own, pupil.temperature) for pupil, own in pairs if pupil.weight]
    return outcome.doubt.join(FITTED_RULE, np.stack(sitting))


def answers(material: Material, before: Outcome, after: Outcome) -> OOFPredictions:
    """What the committee says of each photo that it, or a head like its own, had not learned.

    A tuned network has learned nearly all training photos, so those are answered as before.
    """
    judged = material.judged
    crossed = _joined(before, [pupil.fit.out_of_fold[judged] for pupil in before.pupils])
    trained = itertools.compress(material.train_photos, judged)
    photos = [*trained, *material.val_photos]
    return OOFPredictions(
        digests=np.array([list(photo.digest) for photo in photos], np.uint8),
        truth=np.concatenate([material.train_truth[judged], material.val_truth]).astype(np.int64),
        probs=np.concatenate([crossed, validation(after)]).astype(np.float32),
        held=np.arange(len(photos)) >= len(crossed),
        sources=np.array([photo.source for photo in photos], np.str_),
    )


def _fit(material: Material, number: int, lesson: Lesson) -> head.Fit:
    """A head that learned from all views, with its answers to the plain ones."""
    plain, others = material.train[number], material.views[number]
    looks = 1 + len(others) // len(plain)
    fitted = head.fit(
        lesson.head,
        np.concatenate([plain, others]),
        np.tile(material.train_truth, looks),
        folds=np.tile(material.folds, looks),  # all views of a photo are held back together
        classes=len(material.classes),
        seed=lesson.seed,
    )
    return dataclasses.replace(fitted, out_of_fold=fitted.out_of_fold[: len(plain)])
