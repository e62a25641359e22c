"""Multi-label parameters: calibration against scikit-learn, thresholds by brute force."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from triptych import errors
from triptych.ensemble import multilabel
from triptych.ensemble.fit import multilabel as fit
from triptych.ensemble.multilabel import NEVER
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.promise import RISK
from triptych.ensemble.promise import TOO_FEW
from triptych.ensemble.promise import TOO_MANY_MISTAKES
from triptych.typing import Mask
from triptych.typing import Probs


def drawn(seed: int, photos: int = 300, classes: int = 4) -> tuple[Probs, Mask]:
    """Overconfident probabilities of two members, and what holds."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.5, 2, size=(photos, classes))
    targets = rng.random(logits.shape) < multilabel.sigmoid(logits)
    noisy = 1.8 * logits + 0.4 + rng.normal(0, 0.7, size=(2, *logits.shape))
    return multilabel.sigmoid(noisy).astype(np.float32), targets


@given(st.integers(0, 50))
@settings(max_examples=5, deadline=None)
def test_without_a_prior_a_calibration_is_the_logistic_regression_of_scikit_learn(
    seed: int,
) -> None:
    probs, targets = drawn(seed)
    fitted = fit.fit_platt(probs[0], targets, prior_photos=1e-9)
    logits = multilabel.logit(probs[0])
    for label, (slope, offset) in enumerate(fitted):
        model = LogisticRegression(C=np.inf, tol=1e-9).fit(logits[:, [label]], targets[:, label])
        assert slope == pytest.approx(model.coef_.item(), abs=1e-3)
        assert offset == pytest.approx(model.intercept_.item(), abs=1e-3)


def test_a_class_with_few_photos_keeps_its_probabilities_nearly() -> None:
    probs, targets = drawn(1, classes=1)
    whole = fit.fit_platt(probs[0], targets)[0]
    few = fit.fit_platt(probs[0, :8], targets[:8])[0]
    assert np.abs(few - [1, 0]).sum() < np.abs(whole - [1, 0]).sum() / 2


def test_a_class_without_photos_is_fitted_too() -> None:
    probs, targets = drawn(2)
    targets[:, 0] = False
    params = fit.fit(probs, targets, [1, 2])
    joined = params.join("weighted", np.stack([params.calibrate(n, probs[n]) for n in (0, 1)]))
    assert np.isfinite(joined).all()
    assert joined[:, 0].mean() < probs[:, :, 0].mean() / 3


def f1(probs: Probs, labels: Probs, threshold: float) -> float:
    answered = probs >= threshold
    return float(2 * labels[answered].sum() / (answered.sum() + labels.sum()))


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_threshold_is_halfway_between_the_best_by_f1_and_one_half(seed: int) -> None:
    probs, targets = drawn(seed, photos=40, classes=2)
    labels = fit.expected_labels(probs[0], targets)
    for label, threshold in enumerate(fit.choose_thresholds(probs[0], targets)):
        column = probs[0, :, label].astype(np.float64)
        best = max(f1(column, labels[:, label], value) for value in column[column >= 0.1])
        of_best = float(multilabel.sigmoid(2 * multilabel.logit(np.array(threshold.value))))
        assert f1(column, labels[:, label], of_best) == pytest.approx(best)


@given(st.integers(0, 1000), st.sampled_from([0.6, 0.8, 0.95]))
@settings(max_examples=20, deadline=None)
def test_a_precision_is_promised_as_far_as_an_exact_test_says(seed: int, precision: float) -> None:
    probs, targets = drawn(seed, photos=120, classes=2)
    labels = fit.expected_labels(probs[0], targets)
    chosen = fit.choose_thresholds(probs[0], targets, precision=precision)
    for label, threshold in enumerate(chosen):
        column, holds = probs[0, :, label].astype(np.float64), targets[:, label]
        passed = []
        for value in sorted(column, reverse=True):
            answered = column >= value
            right, count = int(holds[answered].sum()), int(answered.sum())
            if precision**count > RISK:
                continue  # so few answers say nothing, even if all are right
            if scipy.stats.binomtest(right, count, precision, "greater").pvalue > RISK:
                break
            passed.append(value)
        assert (threshold.status == PROMISED) == bool(passed)
        if not passed:  # each answer is as probable, and together they are right as often
            passed = [
                value
                for value in column[column >= precision]
                if labels[column >= value, label].mean() >= precision - 1e-12
            ]
            passed = passed if (column >= precision).any() else [precision]
            assert threshold.value >= precision
        assert ((column >= threshold.value) == (column >= min(passed, default=NEVER))).all()


def test_a_promise_is_kept_on_new_photos_and_without_one_that_is_told() -> None:
    few, many = 25, 300
    probs, targets = drawn(8, photos=few + many + 4000, classes=4)
    fitted, new = slice(few, few + many), slice(few + many, None)
    answered = probs[0, new], targets[new]
    promised = fit.choose_thresholds(probs[0, fitted], targets[fitted], precision=0.8)
    assert PROMISED in {each.status for each in promised}
    for label, threshold in enumerate(promised):
        if threshold.status == PROMISED:
            holds = answered[0][:, label] >= threshold.value
            assert answered[1][holds, label].mean() > 0.8
    for each in fit.choose_thresholds(probs[0, :few], targets[:few], precision=0.9):
        assert (each.status, each.value >= 0.9) == (TOO_FEW, True)


def test_wrong_answers_make_no_promise() -> None:
    probs = np.full((100, 1), 0.95)
    (threshold,) = fit.choose_thresholds(probs, np.arange(100)[:, None] % 2 == 0, precision=0.9)
    assert (threshold.status, threshold.value) == (TOO_MANY_MISTAKES, NEVER)


def test_the_figures_of_a_threshold_come_from_other_photos() -> None:
    probs, targets = drawn(3, photos=60)
    rng = np.random.default_rng(0)
    probs = rng.random(probs.shape, np.float32)  # nothing can be learned from noise
    params = fit.fit(probs, targets, [1, 2])
    crossed = fit.cross_fit(probs, targets, [1, 2], np.arange(60) % 5, weights=params.weights)
    params = fit.with_reached(params, crossed.holds, targets)
    for label, threshold in enumerate(params.thresholds):
        holds, truth = crossed.holds[:, label], targets[:, label]
        assert threshold.recall == holds[truth].mean()
        assert threshold.positives == truth.sum()
        assert threshold.precision == (truth[holds].mean() if holds.any() else None)


def test_a_class_whose_probabilities_say_nothing_is_not_answered() -> None:
    probs, targets = drawn(4)
    targets[:, 0] = np.arange(len(targets)) % 2 == 0  # whatever the probability
    params = fit.fit(probs, targets, [1, 2], precision=0.99)
    assert params.thresholds[0].value >= 0.99
    assert params.thresholds[0].is_missed
    joined = params.join("weighted", np.stack([params.calibrate(n, probs[n]) for n in (0, 1)]))
    assert not params.holds(joined)[:, 0].any()


@given(st.integers(0, 100), st.booleans())
@settings(max_examples=10, deadline=None)
def test_parameters_come_back_from_json(seed: int, by_precision: bool) -> None:
    probs, targets = drawn(seed, photos=30)
    params = fit.fit(probs, targets, [1, 2], precision=0.9 if by_precision else None)
    again = MultilabelParams.from_dict(json.loads(json.dumps(params.to_dict())))
    assert again == params
    rows = np.stack([params.calibrate(n, probs[n]) for n in (0, 1)])
    assert (again.join("weighted", rows) == params.join("weighted", rows)).all()


def test_a_batch_is_answered_as_its_rows() -> None:
    probs, targets = drawn(5)
    params = fit.fit(probs, targets, [1, 2])
    together = params.join("weighted", probs)
    rows = [params.join("weighted", probs[:, [n]]) for n in range(len(targets))]
    assert np.allclose(together, np.concatenate(rows), atol=1e-6)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("weights", [0, 0], "one of them above 0"),
        ("order", [0, 0], "each of 2 members"),
        ("joined", [[1, 0]], "one pair per class, 4 of them"),
        ("joined", [[0, 0]] * 4, "a slope above 0"),
        ("thresholds", [], "a list of at least 1"),
    ],
)
def test_damaged_parameters_are_refused(path: str, value: object, message: str) -> None:
    probs, targets = drawn(6)
    content = fit.fit(probs, targets, [1, 2]).to_dict()
    with pytest.raises(errors.SettingError, match=message):
        MultilabelParams.from_dict({**content, path: value})


def test_some_members_keep_their_calibration_and_the_thresholds() -> None:
    probs, targets = drawn(7)
    params = fit.fit(probs, targets, [2, 1])
    alone = params.select([1])
    assert alone.calibration == (params.calibration[1],)
    assert alone.thresholds == params.thresholds
    assert [stage.member for stage in alone.stages] == [0]
    one = params.calibrate(1, probs[1])
    assert (alone.join("weighted", one[None]) == one).all()


@pytest.mark.parametrize("rule", ["mean", "cascade", "vote", "max"])
def test_rules_for_one_class_are_refused(rule: str) -> None:
    params = multilabel.unfitted([1], [1], classes=2)
    with pytest.raises(errors.SettingError, match=f"{rule}.*multi-label"):
        params.join(rule, np.zeros((1, 1, 2)))
    with pytest.raises(errors.SettingError, match="cascade"):
        params.run_cascade(lambda member, which: np.zeros((1, 2)), 1)
