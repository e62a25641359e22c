"""Photos whose label may be wrong, the likeliest first, by confident learning.

A photo counts as one of a class if the class's probability reaches its mean over the photos with
that label, so a class for which the committee is underconfident is not flagged as a whole.
Predictions are out-of-fold; see `triptych.bundles.oof_predictions`.

Implemented in NumPy, and compared with cleanlab in a test: the list is computed from the current
labels whenever a page shows it, and cleanlab would import pandas into the server for that.

Source: Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
2021; ranked by normalized margin as in Kuan, Mueller, "Model-agnostic label quality scoring to
detect real-world label errors", 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triptych.typing import Float64Array
from triptych.typing import Int64Array
from triptych.typing import Labels
from triptych.typing import Mask
from triptych.typing import Probs

# Tolerance for rounding of probabilities that just reach their class's average.
_ROUNDING = 1e-6
_NONE = -1


@dataclass(frozen=True)
class LabelIssue:
    """A photo whose label may be wrong.

    Args:
        photo: Its position among the predictions.
        given: Index of the class it is labelled with.
        suggested: Index of the class it more likely belongs to.
        score: How likely that is, compared to other photos, in [0, 1]; not a probability.
        likely: Whether the committee is as confident of ``suggested`` as of that class's own
            photos, and more than of ``given``.
    """

    photo: int
    given: int
    suggested: int
    score: float
    likely: bool


def rank(probs: Probs, labels: Labels) -> list[LabelIssue]:
    """Rank photos by how likely their label is wrong, the likeliest first.

    Args:
        probs: Out-of-fold probabilities, shape (N, C), C at least 2.
        labels: The class each photo is labelled with today, shape (N,). Photos with a label
            outside 0 to C - 1 are left out.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.9, 0.1]])
        >>> issue = rank(probs, np.array([0, 0, 1, 1]))[0]
        >>> issue.photo, issue.given, issue.suggested
        (3, 1, 0)
    """
    (photos,) = np.nonzero((labels >= 0) & (labels < probs.shape[1]))
    judgement = judge(probs[photos], labels[photos])
    return [
        LabelIssue(
            photo=int(photos[row]),
            given=int(labels[photos[row]]),
            suggested=int(judgement.suggested[row]),
            score=float(judgement.scores[row]),
            likely=bool(judgement.likely[row]),
        )
        for row in np.argsort(-judgement.scores, kind="stable")
    ]


@dataclass(frozen=True)
class Judgement:
    """How N labels compare with the predictions.

    Args:
        scores: How likely each is wrong compared to the others, 0 to 1, shape (N,).
        suggested: The most probable other class of each photo, shape (N,).
        likely: Which ones are wrong by confident learning, shape (N,).
    """

    scores: Float64Array
    suggested: Int64Array
    likely: Mask


def judge(probs: Probs, labels: Labels) -> Judgement:
    """Compare labels with predictions.

    Args:
        probs: Out-of-fold probabilities, shape (N, C), C at least 2.
        labels: The photos' labels, shape (N,).

    Example:
        >>> judge(np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]), np.array([0, 1, 1])).likely
        array([False, False,  True])
    """
    probs = probs.astype(np.float64)
    usual = thresholds(probs, labels)  # (C,)
    # The most probable of the classes that reach their threshold.
    reached = probs >= usual - _ROUNDING
    best = np.where(reached, probs, -np.inf).argmax(axis=1)
    believed = np.where(reached.any(axis=1), best, _NONE)
    likely = (believed != _NONE) & (believed != labels) & (probs.argmax(axis=1) != labels)
    others = _without(probs, labels).argmax(axis=1)
    # Probabilities relative to the thresholds, shifted so that none is negative.
    fair = probs - usual + usual.max()
    fair /= fair.sum(axis=1, keepdims=True)
    margin = fair[np.arange(len(labels)), labels] - _without(fair, labels).max(axis=1)
    return Judgement(
        scores=np.asarray((1 - margin) / 2),
        suggested=np.where(likely, believed, others),
        likely=likely,
    )


def thresholds(probs: Probs, labels: Labels) -> Float64Array:
    """The mean probability of each class over the photos with that label.

    Args:
        probs: Shape (N, C).
        labels: Shape (N,).

    Returns:
        Shape (C,); 1 for a class without photos.

    Example:
        >>> thresholds(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([0, 0])).round(3)
        array([0.8, 1. ])
    """
    label_probs = probs[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=probs.shape[1])
    sums = np.bincount(labels, weights=label_probs, minlength=probs.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def _without(probs: Probs, labels: Labels) -> Probs:
    others = probs.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return others


@dataclass(frozen=True)
class PairIssue:
    """A class of a photo in a multi-label data set that may be wrong.

    Args:
        photo: Its position among the predictions.
        label: Index of the class.
        given: Whether the photo is labelled with it; the other way round is more likely.
        score: How likely that is, compared to other pairs, in [0, 1]; not a probability.
        likely: Whether the committee is as confident of the other answer as it is of other photos
            with that answer.
    """

    photo: int
    label: int
    given: bool
    score: float
    likely: bool


def rank_pairs(probs: Probs, targets: Mask) -> list[PairIssue]:
    """Rank pairs of a photo and a class by how likely the label is wrong, the likeliest first.

    Each class is a question with two answers, judged as `judge` does.

    Args:
        probs: Out-of-fold probabilities that each class holds, shape (N, C).
        targets: Which classes each photo is labelled with today, bool, shape (N, C).

    Source: Thyagarajan et al., "Identifying Incorrect Annotations in Multi-Label Classification
    Data", 2022.

    Example:
        >>> probs = np.array([[0.9], [0.8], [0.2], [0.1]])
        >>> issue = rank_pairs(probs, np.array([[True], [True], [False], [True]]))[0]
        >>> issue.photo, issue.given, issue.likely
        (3, True, True)
    """
    scores, likely = np.zeros(probs.shape), np.zeros(probs.shape, bool)
    for label in range(probs.shape[1]):
        yes = probs[:, label].astype(np.float64)
        judgement = judge(np.stack([1 - yes, yes], axis=1), targets[:, label].astype(np.intp))
        scores[:, label], likely[:, label] = judgement.scores, judgement.likely
    photos, labels = np.unravel_index(np.argsort(-scores, axis=None, kind="stable"), scores.shape)
    return [
        PairIssue(
            photo=int(photo),
            label=int(label),
            given=bool(targets[photo, label]),
            score=float(scores[photo, label]),
            likely=bool(likely[photo, label]),
        )
        for photo, label in zip(photos, labels, strict=True)
    ]
