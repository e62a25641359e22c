"""The files of a trained bundle besides its networks: figures, labels, card, report and others."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych import data
from triptych import evaluation
from triptych.bundles import model_card
from triptych.ensemble import ood
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.rules import FITTED_RULE
from triptych.ensemble.rules import RULES
from triptych.evaluation import multilabel
from triptych.evaluation import report
from triptych.evaluation import rule_metrics
from triptych.images import preview
from triptych.training.committee import TrainedCommittee
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FeatureSet
from triptych.training.finetune.report import FinetuneReport
from triptych.training.learning_curve import CurvePoint
from triptych.utils import formatting

THUMBNAIL_PX = 240
DROPPED = "The committee is right more often without it, on photos it was not trained on."


@dataclass(frozen=True)
class Contents:
    """What the files are made from.

    Args:
        name: Name of the bundle.
        dataset: The photos.
        features: Their features and labels.
        committee: The committee in the bundle.
        reports: What fine-tuning gave; empty without it.
        references: OOD references by member.
        curve: Points of the learning curve.
        config: What was trained, and how.
        seconds: How long training took.
    """

    name: str
    dataset: data.Dataset
    features: FeatureSet
    committee: TrainedCommittee
    reports: Sequence[FinetuneReport]
    references: Mapping[str, ood.OODReference]
    curve: tuple[CurvePoint, ...]
    config: TrainingConfig
    seconds: float


def _describe(contents: Contents) -> dict[str, Any]:
    """The content of ``bundle.json``."""
    dataset, features, committee = contents.dataset, contents.features, contents.committee
    reports = [each.to_dict() for each in contents.reports]
    return {
        **({"task": bundles.MULTILABEL} if features.multilabel else {}),
        "labels": [{"name": label, "id": label} for label in features.classes],
        "rule": FITTED_RULE,
        "members": [
            {
                "name": member.name,
                "backbone": member.name,
                "recipe": member.backbone.recipe.to_dict(),
                "cost": member.cost,
                "head": {"kind": member.fit.head.kind, **member.fit.head.notes},
                "licence": member.backbone.licence,
                **({"added": True} if member.backbone.network else {}),
            }
            for member in committee.selected
        ],
        "dropped": [member.name for member in committee.members if not member.weight],
        "doubt": (
            committee.params.to_dict()
            if committee.params.is_fitted or features.multilabel
            else None
        ),
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "train": len(features.train_targets),
            "val": len(features.val_targets),
            "held_out": not dataset.val,
        },
        "augment": list(contents.config.augment),
        **({"fine_tuned": reports} if reports else {}),
        "seed": contents.config.seed,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("triptych", "keras", "openvino")},
        },
        "taught_in_s": round(contents.seconds, 1),
    }


def write(folder: Path, contents: Contents) -> dict[str, Any]:
    """Write the files of a bundle: figures, labels, card, report, and what serving needs.

    Args:
        folder: The bundle's folder, with ``members/`` in it.
        contents: What they are made from.

    Returns:
        The content of ``bundle.json``.
    """
    about, params = _describe(contents), contents.committee.params
    if isinstance(params, MultilabelParams):
        figures = _multilabel_figures(contents, params)
    else:
        figures = _figures(contents)
    figures["findings"] = [finding.to_dict() for finding in contents.dataset.findings]
    if "fine_tuned" in about:
        figures["fine_tuned"] = about["fine_tuned"]
    pages = {
        "metrics.json": json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "labels.txt": "".join(f"{name}\n" for name in contents.features.classes),
        "README.md": model_card.render({"name": contents.name, **about}, figures),
        "report.html": report.render(_report(contents, about, figures)),
    }
    # To recognise the training photos when the committee is evaluated or optimized later.
    digests = sorted({photo.digest.hex() for photo in contents.features.train_photos})
    pages[bundles.TRAINED_ON] = "\n".join(digests) + "\n"
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    for member, reference in contents.references.items():
        reference.save(folder / "members" / member / bundles.OOD_REFERENCE)
    return about


def _figures(contents: Contents) -> dict[str, Any]:
    committee = contents.committee
    outcome = evaluation.Predictions(
        labels=contents.features.classes,
        targets=contents.features.val_targets,
        members=committee.calibrated_val_probs,
        committee=committee.val_probs,
        sources=tuple(photo.source for photo in contents.features.val_photos),
    )
    figures = evaluation.metrics_of(outcome)
    figures["learning_curve"] = [
        {"images_per_class": point.per_class, "top1": point.accuracies} for point in contents.curve
    ]
    return figures | _fitted_figures(contents, outcome)


def _multilabel_figures(contents: Contents, params: MultilabelParams) -> dict[str, Any]:
    committee = contents.committee
    outcome = evaluation.MultilabelPredictions(
        labels=contents.features.classes,
        targets=contents.features.val_targets,
        members=committee.calibrated_val_probs,
        committee=committee.val_probs,
        thresholds=np.array([threshold.value for threshold in params.thresholds]),
        sources=tuple(photo.source for photo in contents.features.val_photos),
    )
    figures = multilabel.metrics_of(outcome)
    figures["thresholds"] = [threshold.to_dict() for threshold in params.thresholds]
    return {**figures, "false_alarms": _false_alarms(contents)}


def _fitted_figures(contents: Contents, outcome: evaluation.Predictions) -> dict[str, Any]:
    """Figures of each rule, and of what the fitted parameters say of the validation photos."""
    params, selected = contents.committee.params, contents.committee.selected
    if not params.is_fitted:
        return {}
    probs, costs = np.stack([each.val_probs for each in selected]), [each.cost for each in selected]
    rules = {}
    for rule in RULES:
        answers = rule_metrics.answer(params, rule, probs, costs)
        scores = rule_metrics.score(answers, outcome.targets, params.rule(rule).quantiles)
        rules[rule] = scores.metrics()
    sure = {rule: (each.pop("sure"), each.pop("sure_right")) for rule, each in rules.items()}
    share, correct = sure[FITTED_RULE]
    false_alarms = _false_alarms(contents)
    doubt = {"sure": share, "right_of_sure": correct, "false_alarms": false_alarms}
    return {"rules": rules, "doubt": doubt}


def _false_alarms(contents: Contents) -> float | None:
    """The share of validation photos that would be called out-of-distribution."""
    committee = contents.committee
    first = committee.selected[committee.params.stages[0].member]
    reference = contents.references.get(first.name)
    if reference is None:
        return None
    names = [member.name for member in committee.members]
    val = contents.features.val[names.index(first.name)]
    return float((ood.p_values(reference, val) <= ood.FALSE_ALARMS).mean())


def _fitted_rows(about: dict[str, Any], figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of the fitted parameters, as rows of the report."""
    if figures.get("false_alarms") is not None:
        alarms = formatting.share_of(figures["false_alarms"], figures["images"])
        return [("Photos wrongly called unlike the training photos", alarms)]
    if "doubt" not in figures:
        return []
    doubt, rules, images = figures["doubt"], figures["rules"], figures["images"]
    cascade, whole = rules["cascade"], rules["weighted"]
    missing = model_card.missing_promise(about)

    def share(part: float, of: int = images) -> str:
        return formatting.share_of(part, of)

    rows = [
        ("Answers called sure", missing or share(doubt["sure"])),
        (
            "Prediction sets that are to contain the true class 9 times in 10",
            f"contain it for {share(whole['coverage'])}, with {whole['set_size']:.2f} classes each",
        ),
        (
            "Cascade: further networks run only for photos that need them",
            f"right for {share(cascade['top1'])}, with {formatting.percent(cascade['cost'])} of "
            "the computing",
        ),
    ]
    if doubt["right_of_sure"] is not None:
        sure = round(doubt["sure"] * images)
        rows.insert(1, ("Right answers among those", share(doubt["right_of_sure"], sure)))
    if doubt["false_alarms"] is not None:
        rows.append(("Photos wrongly called none of these classes", share(doubt["false_alarms"])))
    return rows


def _report(contents: Contents, about: dict[str, Any], figures: dict[str, Any]) -> report.Report:
    counts = about["data"]
    held_out = f", held out of {counts['train'] + counts['val']}" if counts["held_out"] else ""
    photos = {photo.source: photo for photo in contents.features.val_photos}
    fine_tuning = []
    if "fine_tuned" in about:
        adopted = [record["member"] for record in about["fine_tuned"] if record["kept"]]
        names = ", ".join(adopted) or "tried, and no network was clearly better"
        fine_tuning.append(("Fine-tuned", names))
    return report.Report(
        name=contents.name,
        date=about["created"][:10],
        data=f"{counts['val']} photos of {counts['name']} that it was not trained on{held_out}",
        labels=contents.features.classes,
        numbers=figures,
        members={
            member.name: report.MemberNote(
                member.weight, member.temperature, "" if member.weight else DROPPED
            )
            for member in contents.committee.members
        },
        confidence=_fitted_rows(about, figures),
        details=[
            ("Trained on", f"{counts['train']} photos of {len(contents.features.classes)} classes"),
            ("Classifier on the features (head)", contents.committee.members[0].fit.head.kind),
            *([("Augmented by", ", ".join(about["augment"]))] if about["augment"] else []),
            *fine_tuning,
            ("Seed", str(about["seed"])),
            ("Time", f"{about['taught_in_s']} s"),
            *((name, version) for name, version in about["versions"].items()),
        ],
        thumbnail=lambda source: preview.jpeg(photos[source].read(), longest_px=THUMBNAIL_PX),
    )
