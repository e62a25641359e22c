"""Metrics of classification: pure array functions.

Throughout, ``probs`` has shape (N, C) (images, classes), rows summing to 1, and ``targets`` shape
(N,), the index of each image's true class. N is at least 1. An image's answer is its most
probable class, of equally probable ones the first; its top probability is that class's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from triptych.ensemble import fit
from triptych.typing import Float64Array
from triptych.typing import Int64Array
from triptych.typing import Labels
from triptych.typing import Mask
from triptych.typing import Probs

BINS = 15
Z = 1.959964  # of a 95 % interval


def true_class_rank(probs: npt.NDArray[np.floating], target: int) -> int:
    """Rank of the true class by probability, from 0; ties go to the lower index.

    Args:
        probs: Shape (C,).
        target: Index of the true class.

    Example:
        >>> true_class_rank(np.array([0.2, 0.5, 0.3]), 2)
        1
    """
    ahead = probs > probs[target]
    ahead[:target] |= probs[:target] == probs[target]
    return int(ahead.sum())


def wilson(correct: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a share.

    Args:
        correct: How many were correct.
        total: Out of how many.

    Returns:
        Lower and upper bound, in [0, 1].

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.

    Example:
        >>> [round(bound, 3) for bound in wilson(90, 100)]
        [0.826, 0.945]
    """
    if not total:
        return (0.0, 1.0)
    share = correct / total
    centre = share + Z * Z / (2 * total)
    spread = Z * math.sqrt(share * (1 - share) / total + Z * Z / (4 * total * total))
    norm = 1 + Z * Z / total
    return (max(0.0, (centre - spread) / norm), min(1.0, (centre + spread) / norm))


class Accuracy(NamedTuple):
    """A share of right answers with its confidence interval.

    Args:
        share: In [0, 1].
        low: Lower bound of its 95 % interval.
        high: Upper bound.
    """

    share: float
    low: float
    high: float


def accuracy(probs: Probs, targets: Labels) -> Accuracy:
    """The share of right answers, with Wilson's 95 % interval.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> accuracy(probs, np.array([0, 1])).share
        0.5
    """
    correct = int((probs.argmax(axis=1) == targets).sum())
    return Accuracy(correct / len(targets), *wilson(correct, len(targets)))


def top_k(probs: Probs, targets: Labels, k: int) -> float:
    """The share of images whose true class is among the k most probable ones.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).
        k: At least 1.

    Example:
        >>> top_k(np.array([[0.5, 0.3, 0.2]]), np.array([1]), 2)
        1.0
    """
    ranks = [true_class_rank(row, int(index)) for row, index in zip(probs, targets, strict=True)]
    return sum(rank < k for rank in ranks) / len(ranks)


def confusion(probs: Probs, targets: Labels) -> Int64Array:
    """How often each class was predicted as each class.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Returns:
        Shape (C, C): row the true class, column the answer.

    Example:
        >>> confusion(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])).tolist()
        [[1, 0], [1, 0]]
    """
    counts = np.zeros((probs.shape[1], probs.shape[1]), np.int64)
    np.add.at(counts, (targets, probs.argmax(axis=1)), 1)
    return counts


class ClassScores(NamedTuple):
    """Metrics of each class, arrays of shape (C,).

    Args:
        precision: Share of right ones among the answers "this class"; 0 if there are none.
        recall: Share of this class's images that was recognised; 0 if it has none.
        f1: Harmonic mean of the two; 0 if both are 0.
        support: How many images the class has.
    """

    precision: Float64Array
    recall: Float64Array
    f1: Float64Array
    support: Int64Array


def per_class(probs: Probs, targets: Labels) -> ClassScores:
    """Precision, recall, F1 and number of images of every class; a division by 0 gives 0.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Example:
        >>> per_class(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])).precision.tolist()
        [0.5, 0.0]
    """
    counts = confusion(probs, targets)
    correct, predicted, support = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    return ClassScores(
        _share(correct, predicted),
        _share(correct, support),
        _share(2 * correct, predicted + support),
        support,
    )


def _share(part: Int64Array, whole: Int64Array) -> Float64Array:
    shares: Float64Array = part / np.maximum(whole, 1)
    return shares


def macro_f1(probs: Probs, targets: Labels) -> float:
    """The mean F1 of the classes that occur, as a target or as an answer, unweighted.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Example:
        >>> round(macro_f1(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 3)
        0.333
    """
    occurs = np.union1d(targets, probs.argmax(axis=1))
    return float(per_class(probs, targets).f1[occurs].mean())


def brier(probs: Probs, targets: Labels) -> float:
    """The mean squared distance between probs and targets, summed over classes: 0 (best) to 2.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.

    Example:
        >>> brier(np.array([[0.5, 0.5]]), np.array([0]))
        0.5
    """
    distance = probs.astype(np.float64)
    distance[np.arange(len(targets)), targets] -= 1
    return float((distance**2).sum(axis=1).mean())


@dataclass(frozen=True)
class Bin:
    """The images whose top probability lies in one interval.

    Args:
        low: Lower end of the interval, exclusive.
        high: Upper end, inclusive.
        prob: Mean top probability of the images.
        accuracy: Share of them that is right.
        count: How many images, at least 1.
    """

    low: float
    high: float
    prob: float
    accuracy: float
    count: int


def reliability(probs: Probs, targets: Labels, *, bins: int = BINS) -> list[Bin]:
    """A reliability diagram: stated probability against accuracy, in bins of equal width.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).
        bins: How many intervals [0, 1] is cut into.

    Returns:
        The non-empty bins, lowest first.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Example:
        >>> reliability(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), bins=2)
        [Bin(low=0.5, high=1.0, prob=0.75, accuracy=0.5, count=2)]
    """
    return bins_of(probs.max(axis=1), probs.argmax(axis=1) == targets, bins=bins)


def bins_of(top: npt.NDArray[np.floating[Any]], correct: Mask, *, bins: int = BINS) -> list[Bin]:
    """`reliability` from the answers alone, without the other probabilities.

    Args:
        top: Probability of each answer, shape (N,).
        correct: Whether it was right, shape (N,).
        bins: How many intervals [0, 1] is cut into.

    Example:
        >>> bins_of(np.array([0.9, 0.7]), np.array([True, False]), bins=2)[0].accuracy
        0.5
    """
    top = top.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    numbers = np.clip(np.searchsorted(edges, top, side="left") - 1, 0, bins - 1)
    return [
        Bin(
            low=float(edges[number]),
            high=float(edges[number + 1]),
            prob=float(top[numbers == number].mean()),
            accuracy=float(correct[numbers == number].mean()),
            count=int((numbers == number).sum()),
        )
        for number in np.unique(numbers)
    ]


def expected_calibration_error(probs: Probs, targets: Labels, *, bins: int = BINS) -> float:
    """Mean difference of stated probability and accuracy, over bins: in [0, 1], 0 is best.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).
        bins: How many intervals of equal width.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Example:
        >>> expected_calibration_error(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), bins=2)
        0.25
    """
    return gap(reliability(probs, targets, bins=bins))


def gap(bins: Sequence[Bin]) -> float:
    """The expected calibration error, from its bins."""
    total = sum(bin.count for bin in bins)
    return sum(bin.count * abs(bin.prob - bin.accuracy) for bin in bins) / total


def figures(probs: Probs, targets: Labels) -> dict[str, Any]:
    """Accuracy and calibration of answers, as JSON.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Returns:
        ``top1`` with its 95 % ``interval``, ``ece``, ``nll`` in nats, ``brier``.

    Example:
        >>> figures(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))["top1"]
        0.5
    """
    share = accuracy(probs, targets)
    return {
        "top1": share.share,
        "interval": [round(share.low, 4), round(share.high, 4)],
        "ece": expected_calibration_error(probs, targets),
        "nll": fit.negative_log_likelihood(probs, targets),
        "brier": brier(probs, targets),
    }


def most_confident_mistakes(probs: Probs, targets: Labels, k: int) -> Int64Array:
    """The wrong answers with the highest probability: often errors in the data.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).
        k: How many at most.

    Returns:
        Indices of images, most confident first, ties in order; fewer than k if there are fewer
        mistakes.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]])
        >>> most_confident_mistakes(probs, np.array([0, 1, 1]), 5).tolist()
        [2, 1]
    """
    (wrong,) = np.nonzero(probs.argmax(axis=1) != targets)
    order = np.argsort(-probs[wrong].max(axis=1), kind="stable")
    return wrong[order][:k].astype(np.int64)
