"""Multi-label metrics equal those of scikit-learn."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from triptych import errors
from triptych.bundles.metrics import MultilabelMetricsRecord
from triptych.ensemble import multilabel as ensemble_multilabel
from triptych.ensemble.multilabel import Threshold
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.promise import TOO_FEW
from triptych.ensemble.promise import TOO_MANY_MISTAKES
from triptych.evaluation import MultilabelPredictions
from triptych.evaluation import multilabel
from triptych.evaluation import paired
from triptych.evaluation import report
from triptych.typing import Array
from triptych.utils import validation


@st.composite
def answers(draw: st.DrawFn) -> tuple[Array, Array]:
    """Probabilities and labels, with ties, and classes that hold nowhere or everywhere."""
    photos, classes = draw(st.integers(1, 25)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    targets = rng.random((photos, classes)) < rng.choice([0, 0.3, 0.7, 1], classes)
    probs = np.round(0.4 * targets + 0.6 * rng.random(targets.shape), draw(st.integers(1, 6)))
    return probs, targets


@given(answers())
@settings(max_examples=50)
def test_averages_equal_those_of_scikit_learn(drawn: tuple[Array, Array]) -> None:
    probs, targets = drawn
    holds = probs >= 0.5
    for average in ("micro", "macro", "samples"):
        ours = getattr(multilabel, average)(holds, targets)
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            targets, holds, average=average, zero_division=0
        )
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx((precision, recall, f1))
    assert multilabel.subset_accuracy(holds, targets) == pytest.approx(
        sk.accuracy_score(targets, holds)
    )
    assert multilabel.hamming_loss(holds, targets) == pytest.approx(sk.hamming_loss(targets, holds))


@given(answers())
@settings(max_examples=50)
def test_figures_of_a_class_equal_those_of_scikit_learn(drawn: tuple[Array, Array]) -> None:
    probs, targets = drawn
    numbers = figures(probs, targets)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        targets, probs >= 0.5, average=None, zero_division=0
    )
    for label, row in enumerate(numbers["per_class"]):
        assert row["precision"] == pytest.approx(precision[label])
        assert row["recall"] == pytest.approx(recall[label])
        assert row["f1"] == pytest.approx(f1[label])
        assert row["support"] == support[label]
        holds = targets[:, label]
        expected = sk.average_precision_score(holds, probs[:, label]) if holds.any() else None
        assert row["average_precision"] == pytest.approx(expected)
    pairs = sk.log_loss(targets.ravel(), np.clip(probs.ravel(), 1e-7, 1 - 1e-7), labels=[0, 1])
    assert numbers["committee"]["nll"] == pytest.approx(pairs, abs=1e-6)


@given(answers())
@settings(max_examples=20)
def test_the_order_of_photos_changes_nothing(drawn: tuple[Array, Array]) -> None:
    probs, targets = drawn
    order = np.random.default_rng(0).permutation(len(probs))
    one, other = figures(probs, targets), figures(probs[order], targets[order])
    for row, again in zip(one["per_class"], other["per_class"], strict=True):
        assert row == pytest.approx(again)
    assert one["committee"]["micro"] == pytest.approx(other["committee"]["micro"])


def figures(probs: Array, targets: Array) -> dict[str, Any]:
    classes = probs.shape[1]
    return multilabel.metrics_of(
        MultilabelPredictions(
            labels=tuple(f"class {n}" for n in range(classes)),
            targets=targets,
            members={"A": probs, "B": probs},
            committee=probs,
            thresholds=np.full(classes, 0.5),
            sources=tuple(f"{n}.png" for n in range(len(probs))),
        )
    )


def test_calibration_is_measured_for_each_class() -> None:
    probs = np.array([[0.8, 0.1]] * 10)
    targets = np.array([[True, False]] * 8 + [[False, True]] * 2)
    assert multilabel.expected_calibration_errors(probs, targets) == pytest.approx([0, 0.1])


def test_the_record_accepts_what_is_written_and_the_report_shows_it() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random((30, 3)) < 0.4
    numbers = figures(np.clip(0.6 * targets + 0.5 * rng.random((30, 3)), 0, 1), targets)
    chosen = [
        Threshold(0.5, "precision", 0.95, 80, 0.97, 0.8, 0.9, status=PROMISED),
        Threshold(0.6, "precision", 0.95, 70, 0.81, 0.8, 0.9, status=TOO_MANY_MISTAKES),
        Threshold(2.0, "precision", 0.95, 3, status=TOO_FEW),
    ]
    numbers["thresholds"] = [threshold.to_dict() for threshold in chosen]
    numbers["per_class"][2]["threshold"] = 2.0
    validation.load(MultilabelMetricsRecord, numbers, "metrics")
    labels = [row["label"] for row in numbers["per_class"]]
    notes = {name: report.MemberNote(0.5) for name in ("A", "B")}
    page = report.render(report.Report("<b>", "today", "photos", labels, numbers, notes))
    text = " ".join(re.sub("<[^>]*>", "", page).split()).replace("\u00a0", " ")
    assert f"with a confidence of 95 % each, of: {labels[0]}." in text
    assert (
        f"at least 59 photos with the class, and these have fewer: {labels[2]} (3 photos)." in text
    )
    assert f"too many of the most probable answers were wrong: {labels[1]}." in text
    assert "95 % of the answers with each class are right" in text
    assert "2 classes do not reach that" in text
    assert "(never answered)" in text
    assert "not reached" in text
    assert "<b>" not in page
    assert "Confusion" not in page
    assert all(label in page for label in labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": np.zeros((1, 3), bool)}, r"targets of shape \(1, 3\)"),
        ({"committee": np.array([[0.5, 1.5]])}, "numbers from 0.5 to 1.5"),
        ({"members": {"A": np.array([[np.nan, 0.5]])}}, "expected probabilities"),
        ({"sources": ()}, "no photos"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    probs = np.array([[0.5, 0.5]])
    parts: dict[str, Any] = {
        "labels": ("a", "b"),
        "targets": np.array([[True, False]]),
        "members": {"A": probs},
        "committee": probs,
        "thresholds": np.full(2, 0.5),
        "sources": ("1.png",),
    }
    with pytest.raises(errors.SettingError, match=message):
        MultilabelPredictions(**{**parts, **changes})


def two_precisions(noise: float) -> tuple[tuple[Array, Array], Array, Any]:
    rng = np.random.default_rng(0)
    targets = rng.random((300, 4)) < 0.3
    exact = np.clip(0.35 * targets + 0.6 * rng.random((2, 300, 4)), 0, 1).astype(np.float32)
    rough = np.clip(exact + noise * rng.normal(size=exact.shape), 0, 1).astype(np.float32)
    return (exact, rough), targets, ensemble_multilabel.unfitted([1, 1], [1, 2], classes=4)


def test_the_same_answers_lose_nothing() -> None:
    (exact, _), targets, params = two_precisions(0)
    for known in (targets, None):
        report = paired.compare_multilabel((exact, exact), known, names=["A", "B"], params=params)
        (rule,) = report["rules"]
        assert (rule["loss"], rule["agreement"], rule["interval"]) == (0, 1, [0, 0])


def test_a_loss_is_one_of_micro_f1() -> None:
    pair, targets, params = two_precisions(0.2)
    report = paired.compare_multilabel(pair, targets, names=["A", "B"], params=params)
    holds = [each.mean(axis=0) >= 0.5 for each in pair]
    before, after = (sk.f1_score(targets, each, average="micro") for each in holds)
    (rule,) = report["rules"]
    assert rule["loss"] == pytest.approx(before - after)
    assert rule["interval"][0] <= rule["loss"] <= rule["interval"][1]
    assert rule["agreement"] == pytest.approx((holds[0] == holds[1]).all(axis=1).mean())
    unlabelled = paired.compare_multilabel(pair, None, names=["A", "B"], params=params)
    agreed = sk.f1_score(holds[0], holds[1], average="micro")
    assert unlabelled["rules"][0]["loss"] == pytest.approx(1 - agreed)
    assert unlabelled["judged_by"] == "agreement"


def test_a_promise_that_int8_breaks_beyond_chance_is_told() -> None:
    """By the binomial test of SciPy; what f32 does not keep on these photos is not int8's fault."""
    targets = np.repeat([[True], [False]], [60, 40], axis=0).repeat(4, axis=1)
    exact = np.where(targets, 0.8, 0.2)[None]
    rough = exact.copy()
    rough[0, 60:80, 0] = 0.7  # 60 of 80 answers are right
    rough[0, 60:67, 1] = 0.7  # 60 of 67
    exact[0, 60:80, 2] = rough[0, 60:80, 2] = 0.7
    rough[0, 60:80, 3] = 0.7
    statuses = [PROMISED, PROMISED, PROMISED, TOO_FEW]
    params = dataclasses.replace(
        ensemble_multilabel.unfitted([1], [1], classes=4),
        thresholds=tuple(
            Threshold(0.5, ensemble_multilabel.PRECISION, 0.9, status=each) for each in statuses
        ),
    )
    rows = paired.compare_multilabel((exact, rough), targets, names=["A"], params=params)
    told = rows["per_class"]
    assert [row["breaks_promise"] for row in told] == [True, False, False, False]
    assert [row["status"] for row in told] == statuses
    for row in told[:2]:
        right, answered = row["int8"]["right"], row["int8"]["answered"]
        tested = scipy.stats.binomtest(right, answered, row["target"], "less")
        assert (tested.pvalue < 0.05) == row["breaks_promise"]
    assert told[0]["f32"] == {"answered": 60, "right": 60}
    unlabelled = paired.compare_multilabel((exact, rough), None, names=["A"], params=params)
    assert unlabelled["per_class"] == []
