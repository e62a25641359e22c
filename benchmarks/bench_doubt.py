"""What doubt is worth: calibration, cascade, sets and "none of these", on photos with labels.

    .venv/bin/python benchmarks/bench_doubt.py [IMAGENET [OWN]]

IMAGENET has a folder of photos per WordNet id, OWN has train/ and val/ folders of ants and bees;
by default those beside the checkout. Temperatures, thresholds and sets are measured by 5-fold
cross-fitting, with the weights that `lite` ships with, never on the photos they were fitted on. The
cascade is timed against all members in turns, so that a busy machine is busy for both.
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
    own = Path(sys.argv[2]) if len(sys.argv) > 2 else DATA / "hymenoptera"
    lite = triptych.load("lite", precision="f32")
    photos = data.labelled(imagenet, lite.committee.labels).photos
    probs, truth = scored(lite, photos)
    rules = crossed(lite, probs, truth)
    clock = times(lite, [path for path, _ in photos[::3]])
    others = [path for path, label in photos if label not in INSECTS]
    stranger = strangers(own, others)
    full, cascade = rules["weighted"], rules["cascade"]
    common.finish(
        "doubt",
        {"rules": rules, "time": clock, "none": stranger, "photos": len(truth), "seeds": SEEDS},
        {
            "the committee's calibration error is 0.03 or less": full["ece"] <= 0.03,
            "the cascade is within 0.3 points of the committee": abs(cascade["top1"] - full["top1"])
            <= 0.003,
            "at 45 % or less of its multiply-adds": cascade["cost"] <= 0.45,
            "and 50 % or less of its members' time": clock["members"] <= 0.5,
            "sets asked for 90 % cover 88 to 92 %": 0.88 <= full["coverage"] <= 0.92,
            "none of these: AUROC 0.95 or more": stranger["auroc"] >= 0.95,
        },
    )


def scored(classifier: Classifier, photos: Sequence[tuple[Path, int]]) -> tuple[Any, Any]:
    """The members' own probabilities (M, N, C) and the truth (N,), of photos that can be read."""
    answers = classifier.score_many((str(path), path) for path, _ in photos)
    good = [
        (answer.probs, truth)
        for answer, (_, truth) in zip(answers, photos, strict=True)
        if isinstance(answer, Scores)
    ]
    probs, truth = zip(*good, strict=True)
    return np.stack(probs, axis=1), np.array(truth)


def crossed(classifier: Classifier, probs: Any, truth: Any) -> dict[str, dict[str, float]]:
    """How members and rules fare across folds: means over several ways of folding."""
    committee = classifier.committee
    costs, weights = committee.costs, list(committee.params.weights)
    rows: dict[str, list[list[float]]] = {}
    for seed in range(SEEDS):
        folds = np.random.default_rng(seed).permutation(len(truth)) % FOLDS
        found = fit.cross_fit(probs, truth, costs, folds, weights=weights)
        for rule in rules.RULES:
            sure = found.sure(rule)
            right = found.joined[rule].argmax(axis=1) == truth
            cost = found.cost.mean() / sum(costs) if rule == rules.CASCADE else 1.0
            rows.setdefault(rule, []).append(
                [
                    *quality(found.joined[rule], truth),
                    cost,
                    found.covered(rule, COVERAGE).mean(),
                    found.sizes(rule, COVERAGE).mean(),
                    sure.mean(),
                    right[sure].mean(),
                ]
            )
        for member, calibrated in zip(committee.members, found.members, strict=True):
            rows.setdefault(member.name, []).append(quality(calibrated, truth))
    for member, raw in zip(committee.members, probs, strict=True):
        rows[f"{member.name}, raw"] = [quality(raw, truth)]
    rows["mean, raw"] = [quality(rules.mean(probs), truth)]
    rows["max, raw"] = [quality(rules.maximum(probs), truth)]
    names = ("top1", "ece", "nll", "brier", "cost", "coverage", "set_size", "sure", "right_of_sure")
    table = {
        name: dict(zip(names, np.mean(runs, axis=0).tolist(), strict=False))
        for name, runs in rows.items()
    }
    print(f"{'':<24}" + "".join(f"{name:>14}" for name in names))
    for name, row in table.items():
        print(f"{name:<24}" + "".join(f"{value:14.4f}" for value in row.values()))
    return table


def quality(probs: Any, truth: Any) -> list[float]:
    """Accuracy, calibration error, negative log-likelihood, Brier score."""
    found = metrics.figures(probs, truth)
    return [found[name] for name in ("top1", "ece", "nll", "brier")]


def times(classifier: Classifier, paths: Sequence[Path]) -> dict[str, float]:
    """Time of the cascade as a share of asking all: of the members alone, and of everything."""
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


def strangers(own: Path, others: Sequence[Path]) -> dict[str, float]:
    """How well photos of other things are told from those of a committee's own classes."""
    with tempfile.TemporaryDirectory() as home:
        triptych.train(own, name="own", home=Path(home))
        classifier = triptych.load("own", home=Path(home), rule="cascade")
        belong, strange = (
            np.array(
                [
                    answer.novelty
                    for answer in classifier.classify_many((str(path), path) for path in paths)
                    if isinstance(answer, triptych.Verdict)
                ]
            )
            for paths in (data.walk(own / "val"), others)
        )
    auroc = roc_auc_score(
        np.r_[np.ones(len(belong)), np.zeros(len(strange))], np.r_[belong, strange]
    )
    caught, alarms = (
        float((strange <= ood.FALSE_ALARMS).mean()),
        float((belong <= ood.FALSE_ALARMS).mean()),
    )
    print(f"none of these: AUROC {auroc:.4f}, caught {caught:.1%} at {alarms:.1%} false alarms")
    return {"auroc": float(auroc), "caught": caught, "false_alarms": alarms}


if __name__ == "__main__":
    main()
