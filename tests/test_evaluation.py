"""Counting right answers, against scikit-learn's and statsmodels' numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych import combine
from triptych import evaluation
from triptych.results import Label
from triptych.results import top_guesses


@given(
    probs=hnp.arrays(np.float64, 6, elements=st.sampled_from([0.1, 0.2, 0.3, 0.4])),
    truth=st.integers(0, 5),
)
def test_rank_is_the_place_in_the_list_people_see(probs: np.ndarray, truth: int) -> None:
    labels = [Label(str(n), str(n), n) for n in range(6)]
    shown = [guess.label.index for guess in top_guesses(probs.tolist(), labels, 6)]
    assert evaluation.truth_rank(probs, truth) == shown.index(truth)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # statsmodels 0.14 proportion_confint(right, total, method="wilson")
        (0, 10, 0.0, 0.277533),
        (5, 10, 0.236593, 0.763407),
        (90, 100, 0.825634, 0.944771),
        (750, 750, 0.994904, 1.0),
    ],
)
def test_wilson_equals_statsmodels(right: int, total: int, low: float, high: float) -> None:
    assert evaluation.wilson(right, total) == pytest.approx((low, high), abs=1e-5)


def test_counts_equal_counting_by_hand() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(10), (3, 200))  # (M, N, C)
    truths = rng.integers(0, 10, 200)
    tally = evaluation.Evaluation(["A", "B", "C"], [1, 2, 3], "vote")
    for n, truth in enumerate(truths):
        tally.add(probs[:, n], int(truth))
    report = tally.to_dict()
    assert report["images"] == 200
    for member, own in zip(report["members"], probs, strict=True):
        assert member["top1"] == (own.argmax(1) == truths).mean()
        top5 = np.argsort(-own, axis=1)[:, :5]
        assert member["top5"] == (top5 == truths[:, None]).any(1).mean()
    for rule, score in report["rules"].items():
        joined = combine.join(rule, probs, [1, 2, 3])
        assert score["top1"] == (joined.argmax(1) == truths).mean()
    assert report["committee"]["rule"] == "vote"
    assert report["committee"]["top1"] == report["rules"]["vote"]["top1"]
