"""Figures and plots before and after a fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from support.predictions import random_predictions
from triptych.ensemble import conformal
from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.ensemble.rules import RULES
from triptych.evaluation import fit_plots
from triptych.evaluation import fit_report
from triptych.evaluation import metrics
from triptych.evaluation.fit_plots import Spot

COSTS = [1.0, 3.0]


Crossed = tuple[fit.CrossFit, np.ndarray]


def answers(photos: int = 300, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two underconfident members, the second one better."""
    probs, targets = random_predictions([2, 3], photos=photos, classes=6, seed=seed)
    return rules.temper(probs, 2), targets


@pytest.fixture(scope="module")
def crossed() -> Crossed:
    probs, targets = answers()
    folds = np.arange(len(targets)) % 5
    return fit.cross_fit(probs, targets, COSTS, folds), probs


def test_before_is_uncalibrated_and_after_is_cross_validated(crossed: Crossed) -> None:
    cross_fit, probs = crossed
    report = fit_report.gains(cross_fit, probs, ["small", "large"], COSTS, coverage=0.8)
    assert (report["photos"], report["folds"]) == (300, 5)
    assert [member["name"] for member in report["members"]] == ["small", "large"]
    for index, member in enumerate(report["members"]):
        assert member["before"] == metrics.figures(probs[index], cross_fit.targets)
        assert member["after"]["ece"] < member["before"]["ece"]
        assert member["after"]["nll"] < member["before"]["nll"]
    assert [rule["name"] for rule in report["rules"]] == list(RULES)
    mean = report["rules"][list(RULES).index("mean")]
    assert mean["before"]["top1"] == metrics.accuracy(rules.mean(probs), cross_fit.targets).share
    for rule in report["rules"]:
        joined = cross_fit.joined[rule["name"]]
        fitted = [cross_fit.fold_params[fold].rules[rule["name"]] for fold in cross_fit.folds]
        sure = np.array(
            [row.max() >= rule_params.sure for row, rule_params in zip(joined, fitted, strict=True)]
        )
        correct = joined.argmax(axis=1) == cross_fit.targets
        assert rule["sure"] == {"share": sure.mean(), "precision": correct[sure].mean()}
        sets = [
            conformal.prediction_set(row, conformal.quantile_for(rule_params.quantiles, 0.8))
            for row, rule_params in zip(joined, fitted, strict=True)
        ]
        covered = [label in classes for label, classes in zip(cross_fit.targets, sets, strict=True)]
        assert rule["sets"] == {
            "coverage": 0.8,
            "covered": np.mean(covered),
            "mean_size": np.mean([len(classes) for classes in sets]),
        }


def test_the_cascade_is_reported_as_shares(crossed: Crossed) -> None:
    cross_fit, probs = crossed
    cascade = fit_report.gains(cross_fit, probs, ["small", "large"], COSTS)["cascade"]
    assert sum(cascade["asked"]) == pytest.approx(1)
    assert cascade["asked"][0] == (cross_fit.used == 1).mean()
    spent = [
        sum(COSTS[stage.member] for stage in cross_fit.fold_params[fold].stages[:used])
        for fold, used in zip(cross_fit.folds, cross_fit.used, strict=True)
    ]
    assert cascade["cost"] == pytest.approx(np.mean(spent) / 4)


def test_where_nothing_is_sure_there_is_no_precision() -> None:
    probs, targets = answers(50)
    crossed = fit.cross_fit(probs, targets, COSTS, np.arange(50) % 2, precision=0.999)
    for rule in fit_report.gains(crossed, probs, "ab", COSTS)["rules"]:
        assert rule["sure"] == {"share": 0.0, "precision": None}


@settings(max_examples=25)
@given(st.integers(1, 80), st.integers(0, 99))
def test_the_risk_of_answering_all_is_the_share_of_wrong_answers(photos: int, seed: int) -> None:
    probs, targets = answers(photos, seed=seed)
    shares, risks = fit_plots.risks_of(probs[0], targets)
    assert shares[-1] == 1
    assert risks[-1] == pytest.approx(1 - metrics.accuracy(probs[0], targets).share)
    surest = probs[0].max(axis=1).argmax()
    assert risks[0] == (probs[0, surest].argmax() != targets[surest])


@pytest.mark.slow
def test_pictures_are_files_that_do_not_change(tmp_path: Path, crossed: Crossed) -> None:
    cross_fit, probs = crossed
    both = {"before": rules.mean(probs), "after": cross_fit.joined["mean"]}
    spots = [
        Spot("A", 3.0, 0.8, (0.75, 0.85), False, True, False),
        Spot("A + B, cascade", 5.0, 0.9, (0.86, 0.93), True, True, True),
        Spot("B", 40.0, 0.85, (0.8, 0.9), False, False, False),
    ]
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        fit_plots.reliability(folder / "reliability.png", both, cross_fit.targets)
        fit_plots.risk_coverage(folder / "risk.png", both, cross_fit.targets)
        fit_plots.costs(folder / "costs.png", spots, budget_ms=20)
    for name in ("reliability.png", "risk.png", "costs.png"):
        with Image.open(tmp_path / "one" / name) as image:
            assert image.format == "PNG"
            colours = image.convert("RGB").getcolors(1 << 20)
        # Both colours were drawn with, not just the axes.
        drawn = {colour for _, colour in colours or ()}
        assert {(0xB4, 0x53, 0x0A), (0x1A, 0x5F, 0xB4)} <= drawn
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
