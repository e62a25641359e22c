"""A committee's answers to its test photos, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych import errors
from triptych.evaluation import metrics
from triptych.typing import Labels
from triptych.typing import Probs

MISTAKES = 12


@dataclass(frozen=True)
class Predictions:
    """All answers of a committee to N labelled photos of C classes.

    Args:
        labels: Names of the classes, length C.
        truth: Shape (N,): index of each photo's true class; N at least 1.
        members: By name, each member's own probs, shape (N, C).
        committee: The joined probs, shape (N, C).
        sources: Where the photos came from, length N.

    Raises:
        errors.SettingError: The parts do not fit together.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> truth = np.array([0, 1])
        >>> predictions = Predictions(("cat", "dog"), truth, {"A": probs}, probs, ("a", "b"))
        >>> metrics_of(predictions)["committee"]["top1"]
        0.5
    """

    labels: tuple[str, ...]
    truth: Labels
    members: Mapping[str, Probs]
    committee: Probs
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        self._check_truth()
        for name, probs in {"the committee": self.committee, **self.members}.items():
            self._check_probs(name, probs)

    def _check_truth(self) -> None:
        images = len(self.sources)
        if not images:
            raise errors.SettingError("Got no photos to evaluate; expected at least one.")
        if self.truth.shape != (images,):
            raise errors.SettingError(
                f"Got a truth of shape {self.truth.shape} for {images} sources; "
                "expected one class index per source."
            )
        if self.truth.min() < 0 or self.truth.max() >= len(self.labels):
            raise errors.SettingError(
                f"Got class indices from {self.truth.min()} to {self.truth.max()} for "
                f"{len(self.labels)} labels; expected 0 to {len(self.labels) - 1}."
            )

    def _check_probs(self, name: str, probs: Probs) -> None:
        expected = (len(self.sources), len(self.labels))
        if probs.shape != expected:
            raise errors.SettingError(
                f"Got probs of shape {probs.shape} from {name}; expected (photos, classes), "
                f"here {expected}."
            )
        # float16 heads round by up to 1e-3 a row; NaN fails the comparison too.
        if not (np.abs(probs.sum(axis=1, dtype=np.float64) - 1) < 1e-2).all() or probs.min() < 0:
            raise errors.SettingError(
                f"Got probs from {name} that do not sum to 1 for every photo; "
                "expected softmax outputs, each in [0, 1]."
            )


def metrics_of(predictions: Predictions) -> dict[str, Any]:
    """The metrics of predictions as the JSON object that a bundle keeps in ``metrics.json``.

    Shares and probabilities are in [0, 1], `nll` is in nats; see `triptych.evaluation.metrics`.

    Args:
        predictions: The answers.

    Returns:
        ``images``; ``committee`` and the list ``members`` (top1, its 95 % interval, top5 when
        there are more than 5 classes, macro_f1, ece, nll, brier); ``per_class``; ``confusion``,
        rows the truth; ``reliability``, the filled bins; ``mistakes``, the most confident ones.
    """
    probs, truth = predictions.committee, predictions.truth
    return {
        "images": len(truth),
        "committee": _scores(probs, truth),
        "members": [
            {"name": name, **_scores(own, truth)} for name, own in predictions.members.items()
        ],
        "per_class": _per_class(predictions),
        "confusion": metrics.confusion(probs, truth).tolist(),
        "reliability": [asdict(bin) for bin in metrics.reliability(probs, truth)],
        "mistakes": [
            _mistake(predictions, int(index))
            for index in metrics.most_confident_mistakes(probs, truth, MISTAKES)
        ],
    }


def _scores(probs: Probs, truth: Labels) -> dict[str, Any]:
    top5 = {"top5": metrics.top_k(probs, truth, 5)} if probs.shape[1] > 5 else {}
    return {
        **metrics.figures(probs, truth),
        **top5,
        "macro_f1": metrics.macro_f1(probs, truth),
    }


def _per_class(predictions: Predictions) -> list[dict[str, Any]]:
    scores = metrics.per_class(predictions.committee, predictions.truth)
    columns = zip(*(column.tolist() for column in scores), strict=True)
    return [
        {"label": label, **dict(zip(scores._fields, row, strict=True))}
        for label, row in zip(predictions.labels, columns, strict=True)
    ]


def _mistake(predictions: Predictions, index: int) -> dict[str, Any]:
    row = predictions.committee[index]
    return {
        "source": predictions.sources[index],
        "truth": predictions.labels[int(predictions.truth[index])],
        "answer": predictions.labels[int(row.argmax())],
        "prob": float(row.max()),
    }
