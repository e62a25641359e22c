"""A trained multi-label project, with predictions chosen photo by photo."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from support.images import squares
from triptych import bundles
from triptych import evaluation
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.ensemble import multilabel
from triptych.studio.projects import Projects

FRUIT = ("apple", "banana", "cherry")
THRESHOLDS = (0.5, 0.4, 0.6)
# By photo: its classes, the probabilities out of fold, and whether it was held out.
Answers = Mapping[str, tuple[str, tuple[float, float, float], bool]]
PHOTOS: Answers = {
    "0.png": ("apple", (0.9, 0.1, 0.1), True),
    "1.png": ("apple banana", (0.8, 0.9, 0.1), True),
    "2.png": ("banana", (0.1, 0.8, 0.9), True),  # a cherry is missing, or answered wrongly
    "3.png": ("banana cherry", (0.2, 0.1, 0.8), True),  # the banana was missed
    "4.png": ("", (0.1, 0.2, 0.1), True),
    "5.png": ("apple cherry", (0.05, 0.1, 0.9), False),  # the apple may be wrong
    "6.png": ("apple", (0.9, 0.2, 0.1), False),
    "7.png": ("cherry", (0.1, 0.1, 0.8), False),
}


def create(projects: Projects) -> str:
    """Create a project and train it once; returns its key."""
    project = projects.make("Bowls", multilabel=True)
    ids = {name: projects.add_class(project.key, name).id for name in FRUIT}
    for seed, (name, (classes, _, _)) in enumerate(PHOTOS.items()):
        projects.add(project.key, name, squares(seed + 1), [ids[one] for one in classes.split()])
    train(projects, project.key)
    return project.key


def train(projects: Projects, key: str, answers: Answers = PHOTOS) -> bundles.Bundle:
    """The next version of the project's committee, with these predictions."""
    photos = {photo.name: photo for photo in projects.photos(key)}
    names = {label.id: label.name for label in projects.find(key).classes}
    today = [{names[number] for number in photos[name].class_ids} for name in answers]
    predictions = OOFPredictions(
        digests=np.array([list(bytes.fromhex(photos[name].digest)) for name in answers], np.uint8),
        targets=np.array([[one in each for one in FRUIT] for each in today], np.int64),
        probs=np.array([probs for _, probs, _ in answers.values()], np.float32),
        held_out=np.array([held_out for *_, held_out in answers.values()]),
        sources=np.array(list(answers)),
    )
    out = predictions.held_out
    outcome = evaluation.MultilabelPredictions(
        labels=FRUIT,
        targets=predictions.targets[out].astype(bool),
        members={"one": predictions.probs[out]},
        committee=predictions.probs[out],
        thresholds=np.array(THRESHOLDS),
        sources=tuple(predictions.sources[out]),
    )
    fitted = dataclasses.replace(
        multilabel.unfitted([1.0], [1.0], classes=len(FRUIT)),
        thresholds=tuple(map(multilabel.Threshold, THRESHOLDS)),
    )

    def fill(folder: Path) -> dict[str, Any]:
        predictions.save(folder)
        metrics = evaluation.multilabel.metrics_of(outcome)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "members" / "one").mkdir(parents=True)
        for name in ("network.xml", "network.bin"):
            (folder / "members" / "one" / name).touch()
        return {
            "task": bundles.MULTILABEL,
            "labels": [{"name": name, "id": name} for name in FRUIT],
            "members": [{"name": "one", "recipe": {"size": [8, 8], "scaling": "tf"}, "cost": 1.0}],
            "rule": "weighted",
            "doubt": fitted.to_dict(),
            "data": {"name": "table", "train": 3, "val": 5},
            "created": "2026-01-02T03:04:05+00:00",
        }

    return bundles.write(projects.home, key, fill)
