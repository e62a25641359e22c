"""A trained project with predictions chosen photo by photo, so that tests know what pages show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from support.images import squares
from triptych import bundles
from triptych import evaluation
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.ensemble import conformal
from triptych.ensemble.cascade import Stage
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.params import RuleParams
from triptych.studio.projects import ProjectPhoto
from triptych.studio.projects import Projects

CLASSES = ("ants", "bees", "wasps")


@dataclass(frozen=True)
class Prediction:
    """What a committee predicts for a photo that it was not trained on.

    Args:
        probs: Probability of each class, in order.
        held: Whether the photo was held out to evaluate on.
    """

    probs: tuple[float, ...]
    held_out: bool = False


# ants-1 is an error of the evaluation; ants-3 looks like a bee with a wrong label; bees-3 is
# predicted wrongly, too, but with little confidence.
PREDICTIONS = {
    "ants-0.png": Prediction((0.90, 0.05, 0.05), held_out=True),
    "ants-1.png": Prediction((0.10, 0.85, 0.05), held_out=True),
    "ants-2.png": Prediction((0.80, 0.10, 0.10)),
    "ants-3.png": Prediction((0.02, 0.96, 0.02)),
    "bees-0.png": Prediction((0.05, 0.90, 0.05), held_out=True),
    "bees-1.png": Prediction((0.10, 0.80, 0.10), held_out=True),
    "bees-2.png": Prediction((0.10, 0.80, 0.10)),
    "bees-3.png": Prediction((0.20, 0.35, 0.45)),
    "wasps-0.png": Prediction((0.05, 0.05, 0.90), held_out=True),
    "wasps-1.png": Prediction((0.10, 0.20, 0.70), held_out=True),
    "wasps-2.png": Prediction((0.10, 0.10, 0.80)),
    "wasps-3.png": Prediction((0.02, 0.08, 0.90)),
}


# Accuracies by photos per class.
CURVE = {1: (0.5, 0.7), 2: (0.8, 1.0)}
# Answers with a probability of 0.8 or more are called sure.
FITTED = EnsembleParams(
    temperatures=(1.0,),
    weights=(1.0,),
    stages=(Stage(0),),
    rules={"mean": RuleParams(1.0, 0.8, tuple(conformal.GRID))},
    provenance={"photos": 100, "precision": 0.95},
)


def create(
    projects: Projects, *, title: str = "Garden", classes: Sequence[str] = CLASSES, each: int = 4
) -> str:
    """Create a project with the same number of photos in each class.

    Returns:
        Its key.
    """
    project = projects.make(title)
    ids = {name: projects.add_class(project.key, name).id for name in classes}
    for number, name in enumerate(
        f"{class_name}-{count}.png" for class_name in classes for count in range(each)
    ):
        projects.add(project.key, name, squares(number + 1), ids[name.partition("-")[0]])
    return project.key


def photos_by_name(projects: Projects, key: str) -> dict[str, ProjectPhoto]:
    """The photos of a project by name."""
    return {one.name: one for one in projects.photos(key, excluded=None, limit=-1)}


def train(
    projects: Projects,
    key: str,
    answers: Mapping[str, Prediction] = PREDICTIONS,
    *,
    labels: Sequence[str] = CLASSES,
    fitted: EnsembleParams | None = None,
    curve: Mapping[int, Sequence[float]] = CURVE,
) -> bundles.Bundle:
    """Write the next version of a project's committee, with these predictions for its photos."""
    photos, project = photos_by_name(projects, key), projects.find(key)
    names = {label.id: label.name for label in project.classes}
    homes = [names.get(photos[name].class_id or 0, labels[0]) for name in answers]
    predictions = OOFPredictions(
        digests=np.array([list(bytes.fromhex(photos[name].digest)) for name in answers], np.uint8),
        targets=np.array([list(labels).index(home) for home in homes], np.int64),
        probs=np.array([one.probs for one in answers.values()], np.float32),
        held_out=np.array([one.held_out for one in answers.values()]),
        sources=np.array(list(answers)),
    )

    def fill(folder: Path) -> dict[str, Any]:
        predictions.save(folder)
        (folder / "metrics.json").write_text(json.dumps(_figures(predictions, labels, curve)))
        (folder / "report.html").write_text("<!doctype html><title>Report</title><p>All of it.")
        member_folder = folder / "members" / "one"
        member_folder.mkdir(parents=True)
        for name in ("network.xml", "network.bin"):
            (member_folder / name).touch()
        return {
            "labels": [{"name": name, "id": name} for name in labels],
            "members": [{"name": "one", "recipe": {"size": [8, 8], "scaling": "tf"}, "cost": 1.0}],
            "rule": "mean",
            "doubt": fitted.to_dict() if fitted else None,
            "data": {
                "name": "table",
                "train": int((~predictions.held_out).sum()),
                "val": int(predictions.held_out.sum()),
            },
            "created": "2026-01-02T03:04:05+00:00",
        }

    return bundles.write(projects.home, key, fill)


def _figures(
    predictions: OOFPredictions, labels: Sequence[str], curve: Mapping[int, Sequence[float]]
) -> dict[str, Any]:
    held_out = predictions.held_out
    outcome = evaluation.Predictions(
        labels=tuple(labels),
        targets=predictions.targets[held_out],
        members={
            "one": predictions.probs[held_out],
            "two": (predictions.probs[held_out] + 1 / len(labels)) / 2,
        },
        committee=predictions.probs[held_out],
        sources=tuple(predictions.sources[held_out]),
    )
    points = [{"images_per_class": size, "top1": list(top1)} for size, top1 in curve.items()]
    return {**evaluation.metrics_of(outcome), "learning_curve": points}
