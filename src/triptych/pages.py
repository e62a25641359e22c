"""The pages of a taught bundle: figures, labels, card and report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import card
from triptych import dataset
from triptych import evaluation
from triptych.evaluation import report
from triptych.finetune import Outcome
from triptych.images import preview
from triptych.lesson import Material
from triptych.lesson import seated

THUMBNAIL_PX = 240
DROPPED = "The committee is right more often without it, on photos that were not learned."


@dataclass(frozen=True)
class Told:
    """What the pages of a bundle tell.

    Args:
        name: Of the bundle.
        about: What ``bundle.json`` says.
        data: The photos as they were found.
        material: The same as arrays.
        after: The committee that came out.
        curve: Points of the learning curve.
    """

    name: str
    about: dict[str, Any]
    data: dataset.Dataset
    material: Material
    after: Outcome
    curve: tuple[report.CurvePoint, ...]


def write(folder: Path, told: Told) -> None:
    """Write the pages of a bundle: figures, labels, card, report."""
    outcome = _outcome(told)
    figures = evaluation.metrics_of(outcome)
    figures["learning_curve"] = [
        {"images_per_class": point.per_class, "top1": point.accuracies} for point in told.curve
    ]
    figures["findings"] = [finding.to_dict() for finding in told.data.findings]
    if "fine_tuned" in told.about:
        figures["fine_tuned"] = told.about["fine_tuned"]
    pages = {
        "metrics.json": json.dumps(figures, indent=1, ensure_ascii=False) + "\n",
        "labels.txt": "".join(f"{name}\n" for name in told.material.classes),
        "README.md": card.render({"name": told.name, **told.about}, figures),
        "report.html": report.render(_report(told, outcome)),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def _outcome(told: Told) -> evaluation.Outcome:
    pupils, doubt = told.after.pupils, told.after.doubt
    sitting = np.stack([pupil.validation for pupil in seated(pupils)])
    return evaluation.Outcome(
        labels=told.material.classes,
        truth=told.material.val_truth,
        members={pupil.backbone.name: pupil.validation for pupil in pupils},
        committee=doubt.join(told.about["rule"], sitting),
        sources=tuple(photo.source for photo in told.material.val_photos),
    )


def _report(told: Told, outcome: evaluation.Outcome) -> report.Report:
    data, about = told.about["data"], told.about
    held = f", held out of {data['train'] + data['val']}" if data["held_out"] else ""
    photos = {photo.source: photo for photo in told.material.val_photos}
    return report.Report(
        name=told.name,
        date=about["created"][:10],
        data=f"{data['val']} photos of {data['name']} that were not learned{held}",
        outcome=outcome,
        rule=about["rule"],
        members=[
            report.MemberNote(
                pupil.backbone.name,
                pupil.weight,
                pupil.temperature,
                "" if pupil.weight else DROPPED,
            )
            for pupil in told.after.pupils
        ],
        curve=told.curve,
        findings=told.data.findings,
        made=[
            ("Taught on", f"{data['train']} photos of {len(told.material.classes)} classes"),
            ("Head", told.after.pupils[0].fit.head.kind),
            *([("Augmented by", ", ".join(about["augment"]))] if about["augment"] else []),
            *_tuned(about),
            ("Seed", str(about["seed"])),
            ("Time", f"{about['taught_in_s']} s"),
            *((name, version) for name, version in about["versions"].items()),
        ],
        thumbnail=lambda source: preview.jpeg(photos[source].read(), longest_px=THUMBNAIL_PX),
    )


def _tuned(about: dict[str, Any]) -> list[tuple[str, str]]:
    """A row on fine-tuning, where there was any."""
    if "fine_tuned" not in about:
        return []
    kept = [record["member"] for record in about["fine_tuned"] if record["kept"]]
    return [("Fine-tuned", ", ".join(kept) or "tried, and no network was clearly better")]
