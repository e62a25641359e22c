"""Metrics of multi-label answers: each class is a question of its own.

Throughout, ``probs`` has shape (N, C) (photos, classes), each in [0, 1] and not summing to 1;
``holds`` and ``targets``, bool, say of which classes a photo is answered and labelled. A share of
nothing counts as 0, as scikit-learn's ``zero_division=0`` has it, whose figures these equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble.fit.multilabel import log_loss
from triptych.ensemble.multilabel import MultilabelParams
from triptych.evaluation import metrics
from triptych.typing import Array
from triptych.typing import Float64Array
from triptych.typing import Int64Array
from triptych.typing import Mask
from triptych.typing import Probs

TASK = "multi-label"
MISTAKES = 12


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 over several classes or photos, in [0, 1].

    Args:
        precision: The share of answers that is right.
        recall: The share of what holds that was answered.
        f1: Their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def counts(holds: Mask, targets: Mask, *, axis: int = 0) -> tuple[Array, Array, Array]:
    """How many answers are right, how many there are, and how many there should be.

    Args:
        holds: Shape (N, C).
        targets: Shape (N, C).
        axis: 0 counts for each class, 1 for each photo.
    """
    right = (holds & targets).sum(axis=axis)
    return right, holds.sum(axis=axis), targets.sum(axis=axis)


def _averages(right: Array, answered: Array, positives: Array) -> tuple[Array, Array, Array]:
    return (
        right / np.maximum(answered, 1),
        right / np.maximum(positives, 1),
        2 * right / np.maximum(answered + positives, 1),
    )


def micro(holds: Mask, targets: Mask) -> Averages:
    """Averages over all pairs of a photo and a class: frequent classes count more.

    Args:
        holds: Shape (N, C).
        targets: Shape (N, C).

    Example:
        >>> micro(np.array([[True, True]]), np.array([[True, False]])).precision
        0.5
    """
    totals = [np.asarray(part.sum()) for part in counts(holds, targets)]
    return Averages(*(float(value) for value in _averages(*totals)))


def macro(holds: Mask, targets: Mask) -> Averages:
    """Averages over classes: each counts alike.

    Args:
        holds: Shape (N, C).
        targets: Shape (N, C).
    """
    return Averages(*(float(part.mean()) for part in _averages(*counts(holds, targets))))


def samples(holds: Mask, targets: Mask) -> Averages:
    """Averages over photos: each counts alike; one without classes, rightly so answered, counts 0.

    Args:
        holds: Shape (N, C).
        targets: Shape (N, C).
    """
    return Averages(*(float(part.mean()) for part in _averages(*counts(holds, targets, axis=1))))


def subset_accuracy(holds: Mask, targets: Mask) -> float:
    """The share of photos whose classes are all answered rightly, and no other.

    Args:
        holds: Shape (N, C).
        targets: Shape (N, C).

    Example:
        >>> subset_accuracy(np.array([[True, False]] * 2), np.array([[True, False], [True, True]]))
        0.5
    """
    return float((holds == targets).all(axis=1).mean())


def hamming_loss(holds: Mask, targets: Mask) -> float:
    """The share of pairs of a photo and a class that are answered wrongly.

    Args:
        holds: Shape (N, C).
        targets: Shape (N, C).
    """
    return float((holds != targets).mean())


def average_precision(probs: Probs, targets: Mask) -> Float64Array:
    """The mean precision over all thresholds at which one more photo of a class is found.

    Args:
        probs: Shape (N, C).
        targets: Shape (N, C).

    Returns:
        Shape (C,), in [0, 1]; NaN for a class without photos.

    Source: Zhu, "Recall, Precision and Average Precision", 2004; without interpolation.

    Example:
        >>> probs, targets = np.array([[0.9], [0.6], [0.2]]), np.array([[True], [False], [True]])
        >>> average_precision(probs, targets).round(3).tolist()
        [0.833]
    """
    result = np.full(probs.shape[1], np.nan)
    for label in np.flatnonzero(targets.any(axis=0)):
        column, holds = probs[:, label], targets[:, label]
        order = np.argsort(-column, kind="stable")
        # Equal probabilities are answered together: the figures are those behind the last of them.
        last = np.append(column[order][1:] != column[order][:-1], True)
        right = np.cumsum(holds[order])[last]
        answered = np.flatnonzero(last) + 1
        gained = np.diff(right, prepend=0) / right[-1]
        result[label] = float((gained * right / answered).sum())
    return result


def expected_calibration_errors(probs: Probs, targets: Mask) -> Float64Array:
    """Mean difference of the stated probability and the share that holds, for each class.

    Args:
        probs: Shape (N, C).
        targets: Shape (N, C).

    Returns:
        Shape (C,): over bins of equal width, in [0, 1], 0 is best.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, of each class's question.

    Example:
        >>> expected_calibration_errors(np.array([[0.8], [0.8]]), np.array([[True], [False]]))
        array([0.3])
    """
    columns = zip(probs.T, targets.T, strict=True)
    return np.array([metrics.gap(metrics.bins_of(*column)) for column in columns])


def most_confident_mistakes(
    probs: Probs, holds: Mask, targets: Mask, k: int
) -> list[tuple[int, int]]:
    """Pairs of a photo and a class that are answered wrongly, the most confident first.

    Args:
        probs: Shape (N, C).
        holds: Shape (N, C).
        targets: Shape (N, C).
        k: How many at most.
    """
    confidence = np.where(holds, probs, 1 - probs)
    photos, classes = np.nonzero(holds != targets)
    order = np.argsort(-confidence[photos, classes], kind="stable")[:k]
    return [(int(photos[index]), int(classes[index])) for index in order]


@dataclass(frozen=True)
class MultilabelPredictions:
    """The predictions of a multi-label committee for N labelled photos of C classes.

    Args:
        labels: Names of the classes, length C.
        targets: Which classes hold, bool, shape (N, C); N at least 1.
        members: Each member's calibrated probabilities by name, shape (N, C).
        committee: The combined probabilities, shape (N, C).
        thresholds: From which probability on each class holds, shape (C,).
        sources: Names of the photos, length N.

    Raises:
        errors.SettingError: The parts do not fit together.
    """

    labels: tuple[str, ...]
    targets: Mask
    members: Mapping[str, Probs]
    committee: Probs
    thresholds: Float64Array
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.sources:
            raise errors.SettingError("Got no photos to evaluate; expected at least one.")
        shape = (len(self.sources), len(self.labels))
        arrays = {"targets": self.targets, "the committee": self.committee, **self.members}
        for name, array in arrays.items():
            if array.shape != shape:
                raise errors.SettingError(
                    f"Got {name} of shape {array.shape}; expected (photos, classes), here {shape}."
                )
            if not (array.min() >= 0 and array.max() <= 1):
                raise errors.SettingError(
                    f"Got numbers from {array.min()} to {array.max()} for {name}; expected "
                    "probabilities, each in [0, 1]."
                )


def metrics_of(predictions: MultilabelPredictions) -> dict[str, Any]:
    """The metrics of predictions as the JSON object that a bundle keeps in ``metrics.json``.

    Args:
        predictions: The answers.

    Returns:
        ``task``; ``images``; ``committee`` and the list ``members`` (subset_accuracy with its 95 %
        ``interval``, hamming_loss, ``micro``, ``macro`` and ``samples`` averages,
        mean_average_precision over classes with photos, ece as a mean over classes, nll in nats);
        ``per_class`` (precision, recall, f1, average_precision, support, answered, ece,
        threshold); ``reliability``, the filled bins of all questions; ``mistakes``, the most
        confident.

    Example:
        >>> probs = np.array([[0.9, 0.6], [0.6, 0.4]])
        >>> targets, half = np.array([[True, False], [True, False]]), np.array([0.5, 0.5])
        >>> predictions = MultilabelPredictions(
        ...     ("cat", "dog"), targets, {"A": probs}, probs, half, ("a", "b")
        ... )
        >>> metrics_of(predictions)["committee"]["subset_accuracy"]
        0.5
    """
    probs, targets = predictions.committee, predictions.targets
    holds = probs >= predictions.thresholds
    right, answered, support = counts(holds, targets)
    precision, recall, f1 = _averages(right, answered, support)
    columns = {
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "average_precision": [_number(value) for value in average_precision(probs, targets)],
        "support": support.tolist(),
        "answered": answered.tolist(),
        "ece": expected_calibration_errors(probs, targets).tolist(),
        "threshold": predictions.thresholds.tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    return {
        "task": TASK,
        "images": len(targets),
        "committee": scores(probs, holds, targets),
        "members": [
            {"name": name, **scores(each, each >= predictions.thresholds, targets)}
            for name, each in predictions.members.items()
        ],
        "per_class": [
            {"label": label, **dict(zip(columns, row, strict=True))}
            for label, row in zip(predictions.labels, rows, strict=True)
        ],
        "reliability": [asdict(bin) for bin in metrics.bins_of(probs.ravel(), targets.ravel())],
        "mistakes": [
            {
                "source": predictions.sources[photo],
                "label": predictions.labels[label],
                "holds": bool(targets[photo, label]),
                "prob": float(probs[photo, label]),
            }
            for photo, label in most_confident_mistakes(probs, holds, targets, MISTAKES)
        ],
    }


def scores(probs: Probs, holds: Mask, targets: Mask) -> dict[str, Any]:
    """The figures of a member or a committee, as JSON; see `metrics_of`.

    Args:
        probs: Shape (N, C).
        holds: Shape (N, C).
        targets: Shape (N, C).
    """
    exact = (holds == targets).all(axis=1)
    precisions = average_precision(probs, targets)
    known = precisions[~np.isnan(precisions)]
    return {
        "subset_accuracy": float(exact.mean()),
        "interval": [round(end, 4) for end in metrics.wilson(int(exact.sum()), len(exact))],
        "hamming_loss": hamming_loss(holds, targets),
        "micro": asdict(micro(holds, targets)),
        "macro": asdict(macro(holds, targets)),
        "samples": asdict(samples(holds, targets)),
        "mean_average_precision": float(known.mean()) if len(known) else None,
        "ece": float(expected_calibration_errors(probs, targets).mean()),
        "nll": log_loss(probs, targets),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class RunningMultilabelMetrics:
    """Collects the answers of members to labelled photos, from which their metrics follow.

    Args:
        labels: Names of the classes.
        members: Names of the members.
        params: Of the committee.

    Example:
        >>> from triptych.ensemble import multilabel
        >>> params = multilabel.unfitted([1.0], [1.0], classes=2)
        >>> running = RunningMultilabelMetrics(["ant", "bee"], ["A"], params)
        >>> running.add("1.jpg", np.array([[0.9, 0.2]], np.float32), (0,))
        >>> running.to_dict()["committee"]["subset_accuracy"]
        1.0
    """

    def __init__(
        self, labels: Sequence[str], members: Sequence[str], params: MultilabelParams
    ) -> None:
        self._labels, self._members, self._params = tuple(labels), tuple(members), params
        self._sources: list[str] = []
        self._probs: list[Probs] = []
        self._targets: list[Int64Array] = []

    def add(self, source: str, probs: Probs, labels: Sequence[int]) -> None:
        """Add one photo.

        Args:
            source: Its name.
            probs: The members' raw probabilities, shape (M, C).
            labels: Indices of the classes that hold.
        """
        self._sources.append(source)
        self._probs.append(probs)
        self._targets.append(np.array(sorted(labels), np.int64))

    def to_dict(self) -> dict[str, Any]:
        """The metrics as JSON, see `metrics_of`; without photos only ``images``, 0."""
        if not self._sources:
            return {"images": 0}
        targets = np.zeros((len(self._sources), len(self._labels)), bool)
        for row, labels in zip(targets, self._targets, strict=True):
            row[labels] = True
        raw = np.stack(self._probs, axis=1)  # (M, N, C)
        calibrated = np.stack([self._params.calibrate(n, each) for n, each in enumerate(raw)])
        return metrics_of(
            MultilabelPredictions(
                self._labels,
                targets,
                dict(zip(self._members, calibrated, strict=True)),
                self._params.join("weighted", calibrated),
                np.array([each.value for each in self._params.thresholds]),
                tuple(self._sources),
            )
        )
