"""The tables of multi-label figures that ``triptych train`` and ``triptych evaluate`` print."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from triptych.cli import common
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.promise import RISK
from triptych.ensemble.promise import TOO_FEW
from triptych.ensemble.promise import TOO_MANY_MISTAKES
from triptych.ensemble.promise import least_photos
from triptych.utils import formatting


def describe(name: str, metrics: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> str:
    """The figures of a committee, of its members and of its classes, for the terminal.

    Args:
        name: The committee's.
        metrics: As `triptych.evaluation.multilabel.metrics_of` gives them.
        about: Content of its ``bundle.json``, for what its thresholds were chosen for.
    """
    images = metrics["images"]
    rows: list[tuple[str, ...]] = [
        ("", "all classes right", "95 % interval", "micro F1", "macro F1", "mAP", "ece")
    ]
    rows += [_row(member["name"], member, images) for member in metrics["members"]]
    rows.append(_row(name, metrics["committee"], images))
    classes: list[tuple[str, ...]] = [
        ("class", "precision", "recall", "F1", "AP", "ece", "threshold", "photos")
    ]
    classes += [_class_row(row) for row in metrics["per_class"]]
    lines = [common.table(rows), "", common.table(classes), "", f"on {images} photos"]
    lines += _precisions(metrics["per_class"], (about or {}).get("doubt"))
    return "\n".join(lines)


def _row(name: str, scores: Mapping[str, Any], images: int) -> tuple[str, ...]:
    precision = scores["mean_average_precision"]
    return (
        formatting.plain_text(name),
        formatting.share_of(scores["subset_accuracy"], images),
        formatting.percent_range(*scores["interval"]),
        f"{scores['micro']['f1']:.3f}",
        f"{scores['macro']['f1']:.3f}",
        "" if precision is None else f"{precision:.3f}",
        f"{scores['ece']:.3f}",
    )


def _class_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        formatting.plain_text(row["label"]),
        formatting.percent(row["precision"]) if row["answered"] else "never answered",
        formatting.percent(row["recall"]) if row["support"] else "",
        f"{row['f1']:.2f}",
        "" if row["average_precision"] is None else f"{row['average_precision']:.2f}",
        f"{row['ece']:.3f}",
        "none" if row["threshold"] > 1 else formatting.percent(row["threshold"]),
        str(row["support"]),
    )


def _precisions(
    classes: list[Mapping[str, Any]], fitted: Mapping[str, Any] | None
) -> Iterator[str]:
    """Of which classes the stated precision is promised, and which reach it on other photos."""
    thresholds = (fitted or {}).get("thresholds", [])
    if not thresholds or thresholds[0]["target"] is None:
        return
    target = formatting.percent(thresholds[0]["target"], None)
    chosen = {
        formatting.plain_text(row["label"]): each
        for row, each in zip(classes, thresholds, strict=True)
    }
    by_status: dict[str | None, list[str]] = {}
    for label, each in chosen.items():
        by_status.setdefault(each.get("status"), []).append(label)
    if promised := by_status.get(PROMISED):
        confidence = formatting.percent(1 - RISK, None)
        yield (
            f"Promised with a confidence of {confidence} each, a precision of {target}: "
            f"{', '.join(promised)}"
        )
    few = [
        f"{label} ({formatting.counted(chosen[label]['positives'], 'photo')})"
        for label in by_status.get(TOO_FEW, ())
    ]
    if few:
        share = thresholds[0]["target"]
        least = f"fewer than {least_photos(share)}" if share < 1 else "no number of"
        yield f"Not promised, {least} photos with the class: {', '.join(few)}"
    if mistaken := by_status.get(TOO_MANY_MISTAKES):
        yield f"Not promised, too many mistakes for so few photos: {', '.join(mistaken)}"
    if few or mistaken:
        yield f"What is not promised is answered where its own probability is at least {target}."
    missed = [
        f"{label} ({'never answered' if share is None else formatting.percent(share)})"
        for label, share in ((label, each["precision"]) for label, each in chosen.items())
        if share is None or share < thresholds[0]["target"]
    ]
    if missed:
        yield (
            f"Below a precision of {target} on photos they were not chosen on: {', '.join(missed)}"
        )
    else:
        yield f"All classes reach a precision of {target} on photos they were not chosen on."
