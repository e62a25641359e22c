"""Photos that may lie in the wrong class, the likeliest first, by confident learning.

A class is believed of a photo when its probability reaches what the class's own photos have on
average, so a class about which the committee is timid is not suspected as a whole. What decides
is an answer of a committee that had not learned the photo; see `answers`.

Written out in NumPy, and held against cleanlab by a test, because the list is made anew from
today's labels whenever a page shows it, and cleanlab would bring pandas into the server for that.

Source: Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
2021; ranked by normalized margin as in Kuan, Mueller, "Model-agnostic label quality scoring to
detect real-world label errors", 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.bundles.oof_predictions import Answers

Probs = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]

# What rounding may take from a probability that just reaches its class's average.
_ROUNDING = 1e-6
_NONE = -1


@dataclass(frozen=True)
class Suspect:
    """A photo that may be in the wrong class.

    Args:
        digest: SHA-256 of its bytes in hexadecimal digits.
        given: The class it is in, an index of the bundle's labels.
        suggested: The class it more likely belongs to, likewise.
        score: How likely that is compared to other photos, 0 to 1; no probability.
        likely: Whether the committee believes in ``suggested`` as firmly as in that class's own
            photos, and more than in ``given``. The others fill the list up.
    """

    digest: str
    given: int
    suggested: int
    score: float
    likely: bool


def rank(answers: Answers, labels: Mapping[str, int] | None = None) -> list[Suspect]:
    """All photos of a teaching, those first whose label is most likely wrong.

    Args:
        answers: Of the committee.
        labels: The class that each photo has today, by the photo's digest in hexadecimal digits;
            photos that are not in it are left out. ``None`` means the classes that were taught.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.9, 0.1]], np.float32)
        >>> digests = np.arange(4, dtype=np.uint8)[:, None].repeat(32, axis=1)
        >>> truth, held, sources = np.array([0, 0, 1, 1]), np.zeros(4, bool), np.array(list("abcd"))
        >>> first = rank(Answers(digests, truth, probs, held, sources))[0]
        >>> first.digest[:2], first.given, first.suggested
        ('03', 1, 0)
    """
    keys = answers.keys
    today = answers.truth if labels is None else _today(keys, labels)
    (rows,) = np.nonzero((today >= 0) & (today < answers.probs.shape[1]))
    found = judge(answers.probs[rows], today[rows])
    order = np.argsort(-found.scores, kind="stable")
    return [
        Suspect(
            digest=keys[rows[place]],
            given=int(today[rows[place]]),
            suggested=int(found.suggested[place]),
            score=float(found.scores[place]),
            likely=bool(found.likely[place]),
        )
        for place in order
    ]


def _today(keys: list[str], labels: Mapping[str, int]) -> Labels:
    return np.array([labels.get(key, -1) for key in keys], np.int64)


@dataclass(frozen=True)
class Judgement:
    """What answers say of N labels.

    Args:
        scores: How likely each is wrong compared to the others, 0 to 1, shape (N,).
        suggested: The most probable other class of each photo, shape (N,).
        likely: Which ones are wrong by confident learning, shape (N,).
    """

    scores: npt.NDArray[np.float64]
    suggested: npt.NDArray[np.int64]
    likely: npt.NDArray[np.bool_]


def judge(probs: Probs, given: Labels) -> Judgement:
    """Hold labels against answers.

    Args:
        probs: Answers to photos that were not learned, shape (N, C), C at least 2.
        given: The photos' labels, shape (N,).

    Example:
        >>> judge(np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]), np.array([0, 1, 1])).likely
        array([False, False,  True])
    """
    probs = probs.astype(np.float64)
    usual = thresholds(probs, given)  # (C,)
    believed = _believed(probs, usual)
    likely = (believed != _NONE) & (believed != given) & (probs.argmax(axis=1) != given)
    others = _without(probs, given).argmax(axis=1)
    return Judgement(
        scores=_scores(probs, given, usual),
        suggested=np.where(likely, believed, others),
        likely=likely,
    )


def thresholds(probs: Probs, given: Labels) -> npt.NDArray[np.float64]:
    """The mean probability that photos of a class give to their own class.

    Args:
        probs: Shape (N, C).
        given: Shape (N,).

    Returns:
        Shape (C,); 1 for a class without photos, of which nothing is known.

    Example:
        >>> thresholds(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([0, 0])).round(3)
        array([0.8, 1. ])
    """
    own = probs[np.arange(len(given)), given]
    counts = np.bincount(given, minlength=probs.shape[1])
    sums = np.bincount(given, weights=own, minlength=probs.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def _believed(probs: Probs, usual: Probs) -> Labels:
    """Of the classes that reach what is usual for them the most probable one, shape (N,)."""
    reached = probs >= usual - _ROUNDING
    best = np.where(reached, probs, -np.inf).argmax(axis=1)
    return np.where(reached.any(axis=1), best, _NONE)


def _scores(probs: Probs, given: Labels, usual: Probs) -> npt.NDArray[np.float64]:
    # Each class is measured by what is usual for it; shifted so that none falls below zero.
    fair = probs - usual + usual.max()
    fair /= fair.sum(axis=1, keepdims=True)
    margin = fair[np.arange(len(given)), given] - _without(fair, given).max(axis=1)
    return np.asarray((1 - margin) / 2)


def _without(probs: Probs, given: Labels) -> Probs:
    others = probs.copy()
    others[np.arange(len(given)), given] = -np.inf
    return others
