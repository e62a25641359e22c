"""Which class would gain most from more photos, if the numbers support any advice."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych.evaluation import metrics
from triptych.typing import Labels
from triptych.typing import Probs
from triptych.utils.formatting import percent
from triptych.utils.text import text

# Standard errors by which the learning curve must rise at its end.
CLEARLY = 2
# A class has far fewer photos than the others below this share of their median.
SHORT = 0.5


@dataclass(frozen=True)
class Advice:
    """A class that is misclassified more often than the others, and that more photos would help.

    Args:
        label: The class.
        photos: How many of its photos were classified.
        correct: How many of them correctly.
        others: The share of the other classes' photos that was classified correctly, in [0, 1].
        rises: Whether the learning curve still rises at its end.
        short: Whether the class has far fewer photos than the others.
    """

    label: str
    photos: int
    correct: int
    others: float
    rises: bool
    short: bool

    @property
    def message(self) -> str:
        """The advice in a sentence or two."""
        why = (
            text("It has far fewer photos than the others.")
            if self.short
            else text("Accuracy still rises with every photo added.")
        )
        return text(
            "More photos of {label} would help most: {correct} of its {photos} photos were "
            "classified correctly ({share}), and {others} of the other classes' photos. {why}",
            label=self.label,
            correct=self.correct,
            photos=self.photos,
            share=percent(self.correct / self.photos, 0),
            others=percent(self.others, 0),
            why=why,
        )


def advise(
    labels: Sequence[str], probs: Probs, targets: Labels, curve: Sequence[Mapping[str, Any]]
) -> Advice | None:
    """Name the class that would gain most from more photos.

    A class is named only if its recall is significantly lower than that of the others, and there is
    evidence that it lacks photos: accuracy was still rising with their number, or it has far fewer
    than the others.

    Args:
        labels: Names of the classes, length C.
        probs: Out-of-fold probabilities, shape (N, C).
        targets: Their classes, shape (N,).
        curve: ``learning_curve`` of a bundle's metrics.

    Returns:
        ``None`` if the numbers support no advice.

    Example:
        >>> probs = np.eye(2)[[0] * 40 + [1] * 4 + [0] * 6]
        >>> advice = advise(["ants", "bees"], probs, np.array([0] * 40 + [1] * 10), [])
        >>> advice.label, advice.correct, advice.photos
        ('bees', 4, 10)
    """
    counts = np.bincount(targets, minlength=len(labels))
    correct = np.bincount(targets[probs.argmax(axis=1) == targets], minlength=len(labels))
    rises = _rises(curve)
    candidates = []
    for index, label in enumerate(labels):
        others = np.delete(counts, index)
        all_others, others_correct = int(others.sum()), int(np.delete(correct, index).sum())
        if not counts[index] or not all_others:
            continue
        short = bool(counts[index] < SHORT * statistics.median(others[others > 0].tolist()))
        share = (int(correct[index]), int(counts[index]))
        if (rises or short) and _is_less(*share, others_correct, all_others):
            photos, others_share = share[1], others_correct / all_others
            candidates.append(Advice(label, photos, share[0], others_share, rises, short))
    # The class with the most mistakes.
    return max(candidates, key=lambda advice: advice.photos - advice.correct, default=None)


def _is_less(correct: int, photos: int, others_correct: int, others: int) -> bool:
    """Whether a share is significantly smaller than another, at 95 %.

    Source: Newcombe, "Interval estimation for the difference between independent proportions",
    1998, method 10.
    """
    share, usual = correct / photos, others_correct / others
    up = metrics.wilson(correct, photos)[1] - share
    down = usual - metrics.wilson(others_correct, others)[0]
    return usual - share > math.hypot(up, down)


def _rises(curve: Sequence[Mapping[str, Any]]) -> bool:
    """Whether accuracy still rose significantly with the last photos that were added."""
    if len(curve) < 2:
        return False
    # Draws with the same seed share photos, so they are compared in pairs. There are fewer large
    # draws.
    before, after = (point["top1"] for point in curve[-2:])
    gains = np.array([a - b for b, a in zip(before, after, strict=False)], np.float64)
    if len(gains) < 2:
        return False
    return bool(gains.mean() > CLEARLY * gains.std(ddof=1) / np.sqrt(len(gains)))
