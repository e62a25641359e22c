"""Calibration, cascade, prediction sets and out-of-distribution detection, on labelled photos.

    .venv/bin/python benchmarks/bench_doubt.py [IMAGENET [INSECTS]]

IMAGENET has a folder of photos per WordNet id, INSECTS has train/ and val/ folders of ants and
bees; by default those beside the checkout. Temperatures, thresholds and sets are measured by 5-fold
cross-fitting, with the weights of `lite`, never on the photos they were fitted on. The cascade and
all members are timed in turns, so that other load affects both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

import common
import triptych
from triptych import data
from triptych.ensemble import fit
from triptych.ensemble import ood
from triptych.ensemble import rules
from triptych.evaluation import fit_report
from triptych.evaluation import metrics
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.classifier import Scores

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
FOLDS, SEEDS, COVERAGE = 5, 5, 0.9
INSECTS = range(300, 327)  # of the 1000 ImageNet classes: beetles to butterflies
TURN = 50


def main() -> None:
    """Measure, print tables, check the claims."""
    imagenet = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "imagenet-mini"
    dataset = Path(sys.argv[2]) if len(sys.argv) > 2 else DATA / "hymenoptera"
    lite = triptych.load("lite", precision="f32")
    photos = data.labelled(imagenet, lite.committee.labels).photos
    probs, targets = predict(lite, photos)
    table = cross_validate(lite, probs, targets)
    clock = cascade_time(lite, [path for path, _ in photos[::3]])
    detection = ood_detection(dataset, [path for path, label in photos if label not in INSECTS])
    full, cascade = table["weighted"], table["cascade"]
    common.finish(
        "doubt",
        {"rules": table, "time": clock, "none": detection, "photos": len(targets), "seeds": SEEDS},
        {
            "the committee's calibration error is 0.03 or less": full["ece"] <= 0.03,
            "the cascade is within 0.3 points of the committee": abs(cascade["top1"] - full["top1"])
            <= 0.003,
            "at 45 % or less of its multiply-adds": cascade["cost"] <= 0.45,
            "and 50 % or less of its members' time": clock["members"] <= 0.5,
            "sets for 90 % cover 88 to 92 %": 0.88 <= full["coverage"] <= 0.92,
            "none of these: AUROC 0.95 or more": detection["auroc"] >= 0.95,
        },
    )


def predict(classifier: Classifier, photos: Sequence[tuple[Path, int]]) -> tuple[Any, Any]:
    """The members' raw probabilities (M, N, C) and the true classes (N,), of readable photos."""
    answers = classifier.score_many((str(path), path) for path, _ in photos)
    good = [
        (answer.probs, label)
        for answer, (_, label) in zip(answers, photos, strict=True)
        if isinstance(answer, Scores)
    ]
    probs, targets = zip(*good, strict=True)
    return np.stack(probs, axis=1), np.array(targets)


def cross_validate(classifier: Classifier, probs: Any, targets: Any) -> dict[str, dict[str, float]]:
    """Cross-validated metrics of members and rules: means over several divisions into folds."""
    committee = classifier.committee
    costs, weights = committee.costs, list(committee.params.weights)
    rows: dict[str, list[list[float]]] = {}
    for seed in range(SEEDS):
        folds = np.random.default_rng(seed).permutation(len(targets)) % FOLDS
        crossed = fit.cross_fit(probs, targets, costs, folds, weights=weights)
        for rule in rules.RULES:
            scores = fit_report.rule_scores(crossed, rule, costs, COVERAGE).metrics()
            keys = ("cost", "coverage", "set_size", "sure", "sure_right")
            values = [*quality(crossed.joined[rule], targets), *(scores[key] for key in keys)]
            rows.setdefault(rule, []).append(values)
        for member, calibrated in zip(committee.members, crossed.members, strict=True):
            rows.setdefault(member.name, []).append(quality(calibrated, targets))
    for member, raw in zip(committee.members, probs, strict=True):
        rows[f"{member.name}, raw"] = [quality(raw, targets)]
    rows["mean, raw"] = [quality(rules.mean(probs), targets)]
    rows["max, raw"] = [quality(rules.maximum(probs), targets)]
    names = ("top1", "ece", "nll", "brier", "cost", "coverage", "set_size", "sure", "right_of_sure")
    table = {
        name: dict(zip(names, np.mean(runs, axis=0).tolist(), strict=False))
        for name, runs in rows.items()
    }
    print(f"{'':<24}" + "".join(f"{name:>14}" for name in names))
    for name, row in table.items():
        print(f"{name:<24}" + "".join(f"{value:14.4f}" for value in row.values()))
    return table


def quality(probs: Any, targets: Any) -> list[float]:
    """Accuracy, calibration error, negative log-likelihood, Brier score."""
    figures = metrics.figures(probs, targets)
    return [figures[name] for name in ("top1", "ece", "nll", "brier")]


def cascade_time(classifier: Classifier, paths: Sequence[Path]) -> dict[str, float]:
    """Time of the cascade as a share of running all: of the members alone, and of everything."""
    images = [(str(path), path.read_bytes()) for path in paths]
    list(classifier.classify_many(images[:TURN]))
    spent = {rule: np.zeros(2) for rule in ("weighted", "cascade")}
    for start in range(0, len(images), TURN):
        for rule in ("weighted", "cascade", "cascade", "weighted"):
            began = time.perf_counter()
            answers = list(
                classifier.classify_many(images[start : start + TURN], ClassifyOptions(rule=rule))
            )
            wall_ms = (time.perf_counter() - began) * 1000
            members_ms = sum(
                sum(answer.timing.members_ms.values())
                for answer in answers
                if isinstance(answer, triptych.Verdict)
            )
            spent[rule] += (members_ms, wall_ms)
    members, wall = (spent["cascade"] / spent["weighted"]).tolist()
    print(f"\ncascade: {members:.1%} of the members' time, {wall:.1%} of everything")
    return {"members": members, "all": wall}


def ood_detection(dataset: Path, others: Sequence[Path]) -> dict[str, float]:
    """How well a committee trained on a dataset tells photos of other things from its classes."""
    with tempfile.TemporaryDirectory() as home:
        triptych.train(dataset, name="insects", home=Path(home))
        classifier = triptych.load("insects", home=Path(home), rule="cascade")
        inside, outside = (
            np.array(
                [
                    answer.novelty
                    for answer in classifier.classify_many((str(path), path) for path in paths)
                    if isinstance(answer, triptych.Verdict)
                ]
            )
            for paths in (data.walk(dataset / "val"), others)
        )
    auroc = roc_auc_score(
        np.r_[np.ones(len(inside)), np.zeros(len(outside))], np.r_[inside, outside]
    )
    detected = float((outside <= ood.FALSE_ALARMS).mean())
    alarms = float((inside <= ood.FALSE_ALARMS).mean())
    print(f"none of these: AUROC {auroc:.4f}, {detected:.1%} at {alarms:.1%} false alarms")
    return {"auroc": float(auroc), "detected": detected, "false_alarms": alarms}


if __name__ == "__main__":
    main()
