"""The pages of a taught bundle: figures, labels, card and report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import data as triptych_data
from triptych import evaluation
from triptych.bundles import model_card
from triptych.ensemble import ood
from triptych.evaluation import report
from triptych.images import preview
from triptych.inference import verdicts
from triptych.training.config import Material
from triptych.training.config import Outcome
from triptych.training.config import seated
from triptych.training.learning_curve import CurvePoint
from triptych.utils import formatting

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
        taught: By member, what the photos it learned look like to it.
        curve: Points of the learning curve.
    """

    name: str
    about: dict[str, Any]
    data: triptych_data.Dataset
    material: Material
    after: Outcome
    taught: Mapping[str, ood.OODReference]
    curve: tuple[CurvePoint, ...]


def write(folder: Path, told: Told) -> None:
    """Write the pages of a bundle: figures, labels, card, report."""
    outcome = _outcome(told)
    figures = evaluation.metrics_of(outcome)
    figures["learning_curve"] = [
        {"images_per_class": point.per_class, "top1": point.accuracies} for point in told.curve
    ]
    figures.update(_doubt(told, outcome))
    figures["findings"] = [finding.to_dict() for finding in told.data.findings]
    if "fine_tuned" in told.about:
        figures["fine_tuned"] = told.about["fine_tuned"]
    pages = {
        "metrics.json": json.dumps(figures, indent=1, ensure_ascii=False) + "\n",
        "labels.txt": "".join(f"{name}\n" for name in told.material.classes),
        "README.md": model_card.render({"name": told.name, **told.about}, figures),
        "report.html": report.render(_report(told, figures)),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def _outcome(told: Told) -> evaluation.Predictions:
    pupils, params = told.after.pupils, told.after.params
    sitting = np.stack([pupil.validation for pupil in seated(pupils)])
    return evaluation.Predictions(
        labels=told.material.classes,
        truth=told.material.val_truth,
        members={pupil.backbone.name: pupil.validation for pupil in pupils},
        committee=params.join(told.about["rule"], sitting),
        sources=tuple(photo.source for photo in told.material.val_photos),
    )


def _doubt(told: Told, outcome: evaluation.Predictions) -> dict[str, Any]:
    """How each rule fares, and what the committee's doubt is worth, on the validation photos."""
    pupils, params, truth = seated(told.after.pupils), told.after.params, outcome.truth
    if not params.is_fitted:
        return {}
    rule = told.about["rule"]
    tally = evaluation.RunningMetrics(
        [pupil.backbone.name for pupil in pupils], params, [pupil.cost for pupil in pupils], rule
    )
    for number, label in enumerate(truth):
        tally.add(np.stack([pupil.answers[number] for pupil in pupils]), int(label))
    sure = outcome.committee.max(axis=1) >= params.rule(rule).sure
    right = outcome.committee.argmax(axis=1) == truth
    found = {
        "sure": float(sure.mean()),
        "right_of_sure": float(right[sure].mean()) if sure.any() else None,
        "false_alarms": _false_alarms(told),
    }
    return {"rules": tally.to_dict()["rules"], "doubt": found}


def _false_alarms(told: Told) -> float | None:
    """The share of validation photos that are taken for none of these."""
    first = seated(told.after.pupils)[told.after.params.stages[0].member]
    taught = told.taught.get(first.backbone.name)
    if taught is None:
        return None
    own = told.material.val[[p.backbone for p in told.after.pupils].index(first.backbone)]
    return float((ood.p_values(taught, own) <= verdicts.FALSE_ALARMS).mean())


def _doubt_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The same for people."""
    if "doubt" not in figures:
        return []
    doubt, rules = figures["doubt"], figures["rules"]
    percent, cascade = formatting.percent, rules["cascade"]
    whole = rules["weighted"]
    rows = [
        ("Called sure", f"{percent(doubt['sure'])} of the photos"),
        (
            "Sets asked to hold the true class 9 times in 10",
            f"held it in {percent(whole['coverage'])}, with {whole['set_size']:.2f} classes each",
        ),
        (
            "Cascade: members asked only as long as needed",
            f"{percent(cascade['top1'])} right for {percent(cascade['cost'])} of the computing",
        ),
    ]
    if doubt["right_of_sure"] is not None:
        rows.insert(1, ("Right, of those called sure", percent(doubt["right_of_sure"])))
    if doubt["false_alarms"] is not None:
        rows.append(("Taken for none of these classes by mistake", percent(doubt["false_alarms"])))
    return rows


def _report(told: Told, figures: dict[str, Any]) -> report.Report:
    data, about = told.about["data"], told.about
    held = f", held out of {data['train'] + data['val']}" if data["held_out"] else ""
    photos = {photo.source: photo for photo in told.material.val_photos}
    return report.Report(
        name=told.name,
        date=about["created"][:10],
        data=f"{data['val']} photos of {data['name']} that were not learned{held}",
        labels=told.material.classes,
        numbers=figures,
        members={
            pupil.backbone.name: report.MemberNote(
                pupil.weight, pupil.temperature, "" if pupil.weight else DROPPED
            )
            for pupil in told.after.pupils
        },
        doubt=_doubt_rows(figures),
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
