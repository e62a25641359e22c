"""A committee's predictions for its test photos, and their metrics."""

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
    """The predictions of a committee for N labelled photos of C classes.

    Args:
        labels: Names of the classes, length C.
        targets: Shape (N,): index of each photo's true class; N at least 1.
        members: Each member's probabilities by name, shape (N, C).
        committee: The combined probabilities, shape (N, C).
        sources: Names of the photos, length N.

    Raises:
        errors.SettingError: The parts do not fit together.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> targets = np.array([0, 1])
        >>> predictions = Predictions(("cat", "dog"), targets, {"A": probs}, probs, ("a", "b"))
        >>> metrics_of(predictions)["committee"]["top1"]
        0.5
    """

    labels: tuple[str, ...]
    targets: Labels
    members: Mapping[str, Probs]
    committee: Probs
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        images, classes = len(self.sources), len(self.labels)
        if not images:
            raise errors.SettingError("Got no photos to evaluate; expected at least one.")
        if self.targets.shape != (images,):
            raise errors.SettingError(
                f"Got targets of shape {self.targets.shape} for {images} sources; "
                "expected one class index per source."
            )
        if self.targets.min() < 0 or self.targets.max() >= classes:
            raise errors.SettingError(
                f"Got class indices from {self.targets.min()} to {self.targets.max()} for "
                f"{classes} labels; expected 0 to {classes - 1}."
            )
        for name, probs in {"the committee": self.committee, **self.members}.items():
            if probs.shape != (images, classes):
                raise errors.SettingError(
                    f"Got probs of shape {probs.shape} from {name}; expected (photos, classes), "
                    f"here {(images, classes)}."
                )
            # float16 heads round by up to 1e-3 a row; NaN fails the comparison too.
            sums = probs.sum(axis=1, dtype=np.float64)
            if not (np.abs(sums - 1) < 1e-2).all() or probs.min() < 0:
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
        rows the true class; ``reliability``, the filled bins; ``mistakes``, the most confident.
    """
    probs, targets = predictions.committee, predictions.targets
    per_class = metrics.per_class(probs, targets)
    columns = zip(*(column.tolist() for column in per_class), strict=True)
    return {
        "images": len(targets),
        "committee": _scores(probs, targets),
        "members": [
            {"name": name, **_scores(probs, targets)} for name, probs in predictions.members.items()
        ],
        "per_class": [
            {"label": label, **dict(zip(per_class._fields, row, strict=True))}
            for label, row in zip(predictions.labels, columns, strict=True)
        ],
        "confusion": metrics.confusion(probs, targets).tolist(),
        "reliability": [asdict(bin) for bin in metrics.reliability(probs, targets)],
        "mistakes": [
            {
                "source": predictions.sources[index],
                "truth": predictions.labels[int(targets[index])],
                "answer": predictions.labels[int(probs[index].argmax())],
                "prob": float(probs[index].max()),
            }
            for index in metrics.most_confident_mistakes(probs, targets, MISTAKES)
        ],
    }


def _scores(probs: Probs, targets: Labels) -> dict[str, Any]:
    top5 = {"top5": metrics.top_k(probs, targets, 5)} if probs.shape[1] > 5 else {}
    return {
        **metrics.figures(probs, targets),
        **top5,
        "macro_f1": metrics.macro_f1(probs, targets),
    }
