"""Bundles that are quick to write: with placeholders for networks, or with tiny ones."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from support import networks
from triptych import bundles
from triptych import evaluation
from triptych.bundles import model_card
from triptych.ensemble import conformal
from triptych.ensemble import multilabel
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.ensemble.cascade import Stage
from triptych.models import zoo

MEMBER = "EfficientNetLite0"
LITE0 = zoo.find("lite0")
NETWORK = f"members/{MEMBER}/network.xml"

# Of `write_runnable`, by member: the side of its input, in pixels.
RUNNABLE_MEMBERS = {"small": 32, "large": 48}
RUNNABLE_CLASSES = ("ant", "bee", "cat", "daisy", "elm")


def write_with_metrics(
    home: Path, name: str, *classes: str, top1: float = 0.9, publish: bool = True
) -> bundles.Bundle:
    """The next version of a bundle, as training writes it, but for its networks."""

    def fill(folder: Path) -> dict[str, Any]:
        _write_network(folder, MEMBER, classes=len(classes), size=16, seed=" ".join(classes))
        about = {
            **_labels(classes),
            "members": [{"name": MEMBER, "recipe": {"size": [16, 16], "scaling": "tf"}, "cost": 1}],
            "rule": "mean",
            "doubt": None,
            "data": {"name": "photos", "train": 40, "val": 10},
            "created": "2026-01-02T03:04:05+00:00",
        }
        metrics = ten_answers(classes, top1)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "README.md").write_text(model_card.render({"name": name, **about}, metrics))
        return about

    return bundles.write(home, name, fill, publish=publish)


def ten_answers(classes: Sequence[str], top1: float) -> dict[str, Any]:
    """The figures of ten answers, this share of them right, to photos of the first class."""
    probs = np.zeros((10, len(classes)))
    probs[:, 0] = 0.9
    probs[:, 1] = 0.1
    wrong = 10 - round(10 * top1)
    probs[:wrong, :2] = probs[:wrong, 1::-1]
    names = tuple(f"{number}.jpg" for number in range(10))
    return evaluation.metrics_of(
        evaluation.Predictions(
            tuple(classes), np.zeros(10, np.int64), {MEMBER: probs}, probs, names
        )
    )


def write_garden(home: Path, *, created: str = "2026-01-01") -> bundles.Bundle:
    """A bundle of the fake studio's committee, for descriptions only."""

    def fill(folder: Path) -> dict[str, object]:
        _write_network(folder, "one", classes=2, size=8)
        (folder / "metrics.json").write_text(json.dumps(ten_answers(("ant", "bee"), 0.7)))
        return {
            **_labels(("ant", "bee")),
            "members": [{"name": "one", "recipe": {"size": [8, 8], "scaling": "tf"}, "cost": 1.0}],
            "rule": "mean",
            "doubt": None,
            "created": created,
        }

    return bundles.write(home, "garden", fill)


def write_runnable(
    home: Path, name: str = "tiny", members: Mapping[str, int] = RUNNABLE_MEMBERS
) -> bundles.Bundle:
    """A bundle that really predicts, and fast: a cascade of two tiny networks.

    `members` has their names, and the sides of their inputs in pixels.
    """
    levels = tuple(conformal.GRID)
    fitted = params.EnsembleParams(
        temperatures=(1.0, 1.5),
        weights=(1.0, 2.0),
        stages=(Stage(0, 0.6), Stage(1)),
        rules={rule: params.RuleParams(1.0, 0.5, levels) for rule in rules.RULES},
    )

    def fill(folder: Path) -> dict[str, Any]:
        for seed, (member, side) in enumerate(members.items()):
            path = folder / "members" / member / "network.xml"
            networks.write_tiny(path, classes=len(RUNNABLE_CLASSES), size=side, seed=seed)
        return {
            **_labels(RUNNABLE_CLASSES),
            "members": [
                {"name": member, "recipe": {"size": [side, side], "scaling": "tf"}, "cost": 1.0}
                for member, side in members.items()
            ],
            "rule": rules.CASCADE,
            "doubt": fitted.to_dict(),
        }

    return bundles.write(home, name, fill)


def write_multilabel(
    home: Path, name: str = "bowls", sides: Mapping[str, int] = RUNNABLE_MEMBERS
) -> bundles.Bundle:
    """A multi-label bundle that really predicts, and fast: one or two tiny networks, all fitted.

    `sides` has the names of its members, and the sides of their inputs in pixels.
    """
    rng = np.random.default_rng(5)
    classes, members = len(RUNNABLE_CLASSES), len(sides)
    pairs = np.stack(
        [rng.uniform(0.6, 1.5, (members + 1, classes)), rng.normal(0, 0.5, (members + 1, classes))],
        axis=2,
    ).tolist()
    thresholds = [multilabel.Threshold(value) for value in (0.3, 0.5, 0.6, 0.05)]
    fitted = dataclasses.replace(
        multilabel.unfitted([1.0, 2.0][:members], [1.0, 1.0][:members], classes=classes),
        calibration=tuple(tuple(map(tuple, member)) for member in pairs[:members]),
        joined=tuple(map(tuple, pairs[members])),
        # The last class is never answered: no threshold reached its precision.
        thresholds=(*thresholds, multilabel.Threshold(multilabel.NEVER, "precision", 0.95)),
    )

    def fill(folder: Path) -> dict[str, Any]:
        for seed, (member, side) in enumerate(sides.items()):
            path = folder / "members" / member / "network.xml"
            networks.write_tiny(path, classes=classes, size=side, seed=seed, multilabel=True)
        return {
            **_labels(RUNNABLE_CLASSES),
            "task": "multi-label",
            "members": [
                {"name": member, "recipe": {"size": [side, side], "scaling": "tf"}, "cost": 1.0}
                for member, side in sides.items()
            ],
            "rule": rules.FITTED_RULE,
            "doubt": fitted.to_dict(),
        }

    return bundles.write(home, name, fill)


def about(names: list[str]) -> dict[str, Any]:
    """The content of ``bundle.json`` that `fill` writes, with classes of these names."""
    plain = {
        rule: params.RuleParams(1.0, 2.0, (0.5,) * len(conformal.GRID)) for rule in rules.RULES
    }
    return {
        **_labels(names),
        "rule": "weighted",
        "members": [{"name": LITE0.name, "recipe": LITE0.recipe.to_dict(), "cost": 0.4}],
        "doubt": params.EnsembleParams((1.3,), (1.0,), (Stage(0),), plain).to_dict(),
    }


def fill(folder: Path) -> dict[str, Any]:
    """Write a bundle with a tiny network, and return the content of ``bundle.json``."""
    _write_network(folder, MEMBER, classes=2, size=LITE0.recipe.size[0])
    (folder / "labels.txt").write_text("日本\nØ\n", encoding="utf-8")
    return about(["日本", "Ø"])


def _labels(names: tuple[str, ...] | list[str]) -> dict[str, Any]:
    return {"labels": [{"name": name, "id": name} for name in names]}


def _write_network(folder: Path, member: str, *, classes: int, size: int, seed: str = "") -> None:
    path = folder / "members" / member / "network.xml"
    networks.write_tiny(path, classes=classes, size=size, seed=zlib.crc32(seed.encode()))


def rename_classes(home: Path, *names: str) -> None:
    """Give the classes of the only bundle other names."""
    (bundle,) = bundles.listed(home)
    about = {**bundle.about, "labels": [{"name": name, "id": name} for name in names]}
    (bundle.folder / "bundle.json").write_text(json.dumps(about))


def write_two_versions(home: Path) -> None:
    """Two bundles, `garden` in two versions that differ in their classes."""
    write_with_metrics(home, "base", "x", "y")
    write_with_metrics(home, "garden", "ant", "bee", top1=0.8)
    write_with_metrics(home, "garden", "wasp", "hornet", top1=0.9)
