"""Running counts of right answers, against scikit-learn's and statsmodels' numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from support.predictions import random_predictions
from triptych import evaluation
from triptych.ensemble import conformal
from triptych.ensemble import fit
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.evaluation import metrics
from triptych.results import Label
from triptych.results import top_guesses


@given(
    probs=hnp.arrays(np.float64, 6, elements=st.sampled_from([0.1, 0.2, 0.3, 0.4])),
    label=st.integers(0, 5),
)
def test_the_rank_is_that_of_the_displayed_list(probs: np.ndarray, label: int) -> None:
    labels = [Label(str(n), str(n), n) for n in range(6)]
    displayed = [guess.label.index for guess in top_guesses(probs.tolist(), labels, 6)]
    assert evaluation.true_class_rank(probs, label) == displayed.index(label)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # statsmodels 0.14 proportion_confint(right, total, method="wilson")
        (0, 10, 0.0, 0.277533),
        (5, 10, 0.236593, 0.763407),
        (90, 100, 0.825634, 0.944771),
        (750, 750, 0.994904, 1.0),
    ],
)
def test_wilson_equals_statsmodels(correct: int, total: int, low: float, high: float) -> None:
    assert evaluation.wilson(correct, total) == pytest.approx((low, high), abs=1e-5)


def test_counts_equal_counting_by_hand() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(10), (3, 200))  # (M, N, C)
    truths = rng.integers(0, 10, 200)
    weights = params.unfitted([1, 2, 3], [1, 1, 2])
    tally = evaluation.RunningMetrics(["A", "B", "C"], weights, [1, 1, 2], "vote")
    for n, label in enumerate(truths):
        tally.add(probs[:, n], int(label))
    report = tally.to_dict()
    assert report["images"] == 200
    for member, member_probs in zip(report["members"], probs, strict=True):
        assert member["top1"] == (member_probs.argmax(1) == truths).mean()
        top5 = np.argsort(-member_probs, axis=1)[:, :5]
        assert member["top5"] == (top5 == truths[:, None]).any(1).mean()
    assert report["rules"]["cascade"] == report["rules"]["weighted"]  # nothing was fitted
    for rule in rules.RULES:
        joined = rules.join(rule, probs, [1, 2, 3])
        score = report["rules"][rule]
        assert score["top1"] == (joined.argmax(1) == truths).mean()
        assert score["ece"] == pytest.approx(metrics.expected_calibration_error(joined, truths))
        assert score["cost"] == 1
        assert "coverage" not in score
    assert report["committee"]["rule"] == "vote"
    assert report["committee"]["top1"] == report["rules"]["vote"]["top1"]


def test_a_fitted_committee_has_the_figures_of_cross_fitting() -> None:
    probs, truths = random_predictions([3, 3], photos=400, classes=4, seed=1)
    costs, folds = [1.0, 3.0], np.arange(400) % 2
    crossed = fit.cross_fit(probs, truths, costs, folds)
    fold = np.flatnonzero(crossed.folds == 0)
    tally = evaluation.RunningMetrics(
        ["A", "B"], crossed.fold_params[0], costs, "cascade", coverage=0.8
    )
    for n in fold:
        tally.add(probs[:, n], int(truths[n]))
    counted = tally.to_dict()["rules"]
    for rule in rules.RULES:
        quantile = conformal.quantile_for(crossed.fold_params[0].rules[rule].quantiles, 0.8)
        sets = [conformal.prediction_set(row, quantile) for row in crossed.joined[rule][fold]]
        covered = [label in classes for label, classes in zip(truths[fold], sets, strict=True)]
        assert counted[rule]["coverage"] == np.mean(covered)
        assert counted[rule]["set_size"] == np.mean([len(classes) for classes in sets])
        assert counted[rule]["top1"] == (crossed.joined[rule].argmax(1) == truths)[fold].mean()
    spent = np.where(crossed.used[fold] == 1, 0.25, 1.0)
    assert counted["cascade"]["cost"] == pytest.approx(spent.mean())
    assert 0.25 < spent.mean() < 1
