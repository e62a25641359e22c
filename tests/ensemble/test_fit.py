"""Fitting parameters: properties, known solutions, and numbers from other programs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize
from scipy import special
from scipy import stats

from triptych import errors
from triptych.ensemble import cascade
from triptych.ensemble import conformal
from triptych.ensemble import fit
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.ensemble.fit import calibration
from triptych.ensemble.fit import cascade_thresholds
from triptych.ensemble.fit import fitting
from triptych.evaluation import metrics

temperatures = st.floats(0.2, 8)
logit_rows = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(-8, 8)
)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(special.softmax(logits, axis=-1))


def drawn(probs: np.ndarray, seed: int) -> np.ndarray:
    """Classes drawn with these probabilities."""
    chance = np.random.default_rng(seed).uniform(size=(len(probs), 1))
    return (probs.cumsum(axis=1) < chance).sum(axis=1).clip(max=probs.shape[1] - 1)


def member(targets: np.ndarray, *, skill: float, classes: int, seed: int) -> np.ndarray:
    """Probabilities that lean towards the true classes by ``skill``; 0 means chance."""
    logits = np.random.default_rng(seed).normal(size=(len(targets), classes))
    logits[np.arange(len(targets)), targets] += skill
    return softmax(logits)


@given(logits=logit_rows, temperature=temperatures)
def test_temper_is_the_softmax_of_divided_logits(logits: np.ndarray, temperature: float) -> None:
    tempered = rules.temper(softmax(logits), temperature)
    np.testing.assert_allclose(tempered, softmax(logits / temperature), rtol=1e-6, atol=1e-12)


@given(logits=logit_rows, temperature=temperatures)
def test_temper_keeps_the_order_of_classes_and_rows_sum_to_1(
    logits: np.ndarray, temperature: float
) -> None:
    probs = softmax(logits)
    before = probs.copy()
    tempered = rules.temper(probs, temperature)
    np.testing.assert_allclose(tempered.sum(axis=1), 1)
    order = np.argsort(probs, axis=1)
    assert (np.diff(np.take_along_axis(tempered, order, axis=1), axis=1) >= 0).all()
    np.testing.assert_array_equal(probs, before)


@given(logits=logit_rows, first=temperatures, second=temperatures)
def test_tempering_twice_is_tempering_by_the_product(
    logits: np.ndarray, first: float, second: float
) -> None:
    # The middle answer must not run into the smallest number there is.
    probs = softmax(logits / 4)
    twice = rules.temper(rules.temper(probs, first), second)
    np.testing.assert_allclose(twice, rules.temper(probs, first * second), rtol=1e-6, atol=1e-9)


def test_certainty_stays_certain_and_nothing_becomes_nan() -> None:
    sure = np.array([[1.0, 0.0, 0.0]], np.float32)
    for temperature in (0.05, 0.5, 1, 3):
        np.testing.assert_allclose(rules.temper(sure, temperature), sure, atol=1e-9)
    assert np.isfinite(rules.temper(sure, 20.0)).all()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    honest = softmax(np.random.default_rng(1).normal(size=(20_000, 4)) * 2)
    targets = drawn(honest, seed=2)
    distorted = rules.temper(honest, 1 / temperature)
    assert fit.fit_temperature(distorted, targets) == pytest.approx(temperature, rel=0.04)


def test_temperature_equals_three_other_programs() -> None:
    # 5.38930: scikit-learn 1.9.1, CalibratedClassifierCV(method="temperature"), 1 / beta_;
    # netcal 1.4.0, TemperatureScaling, 1 / temperature: 5.38931;
    # scipy 1.17.1, BFGS on the log-likelihood of the logits: 5.38930, loss 1.0216757.
    number, classes = np.arange(60)[:, None], np.arange(3)
    probs = softmax(4 * np.sin(0.7 * number * (classes + 1) + classes))
    answers = probs.argmax(axis=1)
    targets = np.where(number[:, 0] % 3 == 0, (answers + 1) % 3, answers)
    temperature = fit.fit_temperature(probs, targets)
    assert temperature == pytest.approx(5.3893, abs=1e-3)
    tempered = rules.temper(probs, temperature)
    assert fit.negative_log_likelihood(tempered, targets) == pytest.approx(1.0216757, abs=1e-7)
    # scikit-learn's predict_proba of the first two rows.
    sklearn = [[0.206987, 0.38652824, 0.40648476], [0.4235132, 0.43344955, 0.14303725]]
    np.testing.assert_allclose(tempered[:2], sklearn, atol=1e-5)


def test_a_temperature_stays_within_reason_when_every_answer_is_right_or_wrong() -> None:
    probs = np.tile([[0.9, 0.1]], (5, 1))
    lowest = fit.fit_temperature(probs, np.zeros(5, int))
    wrong = fit.fit_temperature(probs, np.ones(5, int))
    assert fit.MIN_TEMPERATURE <= lowest < 0.2
    assert 5 < wrong <= fit.MAX_TEMPERATURE


def direct(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The same weights by a general constrained minimiser."""
    true_class = probs[:, np.arange(len(targets)), targets]
    result = optimize.minimize(
        lambda weights: -np.log(np.maximum(weights @ true_class, 1e-12)).mean(),
        np.full(len(probs), 1 / len(probs)),
        jac=lambda weights: -(true_class / np.maximum(weights @ true_class, 1e-12)).mean(axis=1),
        bounds=[(0, 1)] * len(probs),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return np.asarray(result.x)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_those_of_a_direct_convex_optimisation(seed: int) -> None:
    targets = np.random.default_rng(seed).integers(0, 4, 300)
    skills = (2.5, 2.0, 1.0)
    probs = np.stack(
        [member(targets, skill=s, classes=4, seed=10 * seed + n) for n, s in enumerate(skills)]
    )
    expected = direct(probs, targets)
    quick = fit.fit_weights(probs, targets)
    thorough = fit.fit_weights(probs, targets, steps=3000)
    assert sum(quick) == pytest.approx(1)
    np.testing.assert_allclose(thorough, expected, atol=0.01)
    lowest = fit.negative_log_likelihood(rules.weighted(probs, expected.tolist()), targets)
    reached = fit.negative_log_likelihood(rules.weighted(probs, quick), targets)
    assert lowest - 1e-9 <= reached < lowest + 1e-4


@st.composite
def committees(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, N, C) and targets (N,)."""
    members, photos, classes = (draw(st.integers(*ends)) for ends in ((1, 4), (1, 12), (2, 4)))
    shape = (members, photos, classes)
    raw = draw(hnp.arrays(np.float64, shape, elements=st.floats(0.001, 1)))
    targets = draw(hnp.arrays(np.int64, photos, elements=st.integers(0, classes - 1)))
    return raw / raw.sum(axis=2, keepdims=True), targets


@given(case=committees())
def test_no_member_is_better_than_its_committee_beyond_chance(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    probs, targets = case
    weights = fit.choose_weights(probs, targets)
    assert len(weights) == len(probs)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)
    committee = rules.weighted(probs, weights).argmax(axis=1) == targets
    for correct in probs.argmax(axis=2) == targets:
        won, lost = (correct & ~committee).sum(), (committee & ~correct).sum()
        assert won - lost <= 1.645 * np.sqrt(won + lost)


def test_weights_move_more_with_more_photos() -> None:
    def weights(photos: int) -> list[float]:
        targets = np.arange(photos) % 3
        pair = [member(targets, skill=skill, classes=3, seed=skill) for skill in (3, 2)]
        return fit.choose_weights(np.stack(pair), targets)

    assert max(weights(6)) < 0.75
    assert max(weights(2000)) > 0.85


def test_a_member_answers_alone_where_the_fitted_mean_is_worse_beyond_chance() -> None:
    # The second is a little surer of the true class on most photos, and wrong on many.
    first = np.tile([0.55, 0.45], (60, 1))
    second = np.where(np.arange(60)[:, None] < 40, [0.99, 0.01], [0.3, 0.7])
    weights = fit.choose_weights(np.stack([first, second]), np.zeros(60, int))
    assert weights == [1.0, 0.0]


def test_a_useless_member_is_dropped_and_good_ones_are_kept() -> None:
    targets = np.random.default_rng(0).integers(0, 3, 400)
    good = [member(targets, skill=2.5, classes=3, seed=seed) for seed in (1, 2)]
    liar = member((targets + 1) % 3, skill=2.5, classes=3, seed=3)
    first, second, third = fit.choose_weights(np.stack([*good, liar]), targets)
    assert min(first, second) > 0.2
    assert third == 0


def test_a_single_member_gets_all_the_weight() -> None:
    targets = np.array([0, 1, 1])
    probs = member(targets, skill=1, classes=2, seed=0)[None]
    assert fit.choose_weights(probs, targets) == [1.0]


def test_the_loss_is_that_of_scikit_learn_and_finite_at_zero() -> None:
    # sklearn.metrics.log_loss(targets, probs, labels=...), scikit-learn 1.9.1.
    probs, targets = (
        np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]]),
        np.array([0, 2, 2]),
    )
    assert fit.negative_log_likelihood(probs, targets) == pytest.approx(1.1918502563, abs=1e-9)
    number, classes = np.mgrid[:400, :6]
    waves = softmax(3 * np.sin(number * (classes + 1) * 0.7) + np.cos(number + classes))
    rows = np.arange(400)
    targets = np.where(rows % 3 > 0, waves.argmax(axis=1), rows % 6)
    assert fit.negative_log_likelihood(waves, targets) == pytest.approx(1.5913228908, abs=1e-9)
    assert fit.negative_log_likelihood(waves[::-1], targets[::-1]) == pytest.approx(1.5913228908)
    sure = np.array([[1.0, 0.0]], np.float32)
    assert fit.negative_log_likelihood(sure, np.array([0])) == 0
    assert 20 < fit.negative_log_likelihood(sure, np.array([1])) < 40


def test_temperatures_of_few_photos_are_shrunk_towards_1() -> None:
    def fitted(photos: int, trust: float) -> float:
        targets = np.random.default_rng(photos).integers(0, 4, photos)
        distorted = rules.temper(member(targets, skill=2, classes=4, seed=photos), 3)
        return fit.fit_temperature(distorted, targets, prior_photos=trust)

    assert abs(np.log(fitted(10, 10))) < abs(np.log(fitted(10, 0))) / 2
    assert fitted(5000, 10) == pytest.approx(fitted(5000, 0), rel=0.02)


def test_shrinkage_is_a_normal_prior_on_the_logarithm() -> None:
    targets = np.random.default_rng(0).integers(0, 3, 30)
    probs = rules.temper(member(targets, skill=1, classes=3, seed=0), 0.5)

    def loss(log_t: np.ndarray) -> float:
        tempered = rules.temper(probs, float(np.exp(log_t[0])))
        prior = -float(stats.norm(scale=1 / np.sqrt(8)).logpdf(log_t[0]))
        return 30 * fit.negative_log_likelihood(tempered, targets) + prior

    expected = np.exp(optimize.minimize(loss, [0.0], method="Nelder-Mead").x[0])
    temperature = fit.fit_temperature(probs, targets, prior_photos=8)
    assert temperature == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("correct", "total", "expected"),
    [
        # statsmodels 0.15.0: proportion_confint(right, total, alpha=0.1, method="beta")[0]
        (59, 59, 0.950492390111773),
        (58, 59, 0.9221020784811816),
        (238, 245, 0.9470062682561745),
        (1, 3, 0.0169524275084415),
        (700, 750, 0.9163724101129656),
    ],
)
def test_the_lower_bound_is_that_of_statsmodels(correct: int, total: int, expected: float) -> None:
    bound = calibration.clopper_pearson_lower(np.array([correct]), np.array([total]))
    assert bound[0] == pytest.approx(expected, abs=1e-12)


@given(
    tops=hnp.arrays(np.int64, st.integers(1, 150), elements=st.integers(11, 20)),
    seed=st.integers(0, 99),
    precision=st.sampled_from([0.5, 0.8, 0.95]),
)
@pytest.mark.slow
def test_sure_is_the_lowest_probability_that_keeps_the_precision(
    tops: np.ndarray, seed: int, precision: float
) -> None:
    probs = np.stack([tops / 20, 1 - tops / 20], axis=1)
    targets = (np.random.default_rng(seed).uniform(size=len(tops)) > 0.97).astype(int)

    def keeps(top: float) -> bool:
        correct = targets[probs[:, 0] >= top] == 0
        # The chance of so many right ones, were the real share just the promised one.
        return bool(stats.binom(len(correct), precision).sf(correct.sum() - 1) <= 0.05)

    sufficient = [top for top in set(probs[:, 0]) if keeps(top)]
    threshold = fit.sure_threshold(probs, targets, precision=precision)
    assert threshold == min(sufficient, default=cascade.NEVER)


def test_the_precision_of_sure_holds_on_new_photos() -> None:
    precise = []
    for seed in range(60):
        honest = softmax(np.random.default_rng(seed).normal(size=(10_250, 2)) * 5)
        targets = drawn(honest, seed=seed)
        least = fit.sure_threshold(honest[:250], targets[:250], precision=0.95)
        sure = honest[250:].max(axis=1) >= least
        precise.append(
            not sure.any() or (honest.argmax(axis=1) == targets)[250:][sure].mean() >= 0.95
        )
        assert sure.mean() > 0.3
    assert np.mean(precise) > 0.9


def trio(photos: int, *, seed: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Three members with correlated errors, the later the better, and the true classes."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, classes, photos)
    common = random.normal(size=(photos, classes))
    common[np.arange(photos), targets] += random.gamma(2, 2, photos)
    noise = [random.normal(size=common.shape) * spread for spread in (1.0, 0.8, 0.6)]
    return np.stack([softmax((common + individual) * 1.5) for individual in noise]), targets


COSTS = (1.0, 2.0, 4.0)


def prefixes(probs: np.ndarray) -> list[np.ndarray]:
    return [probs[: last + 1].mean(axis=0) for last in range(len(probs))]


@pytest.mark.parametrize(("seed", "tolerance"), [(0, 0.02), (1, 0.01), (2, 0.05)])
def test_thresholds_are_the_cheapest_that_keep_the_limit(seed: int, tolerance: float) -> None:
    probs, targets = trio(120, seed=seed)
    early, late, committee = prefixes(probs)
    thresholds = cascade_thresholds.thresholds(
        [early, late, committee], targets, COSTS, tolerance=tolerance
    )

    def judge(first: float, second: float) -> tuple[float, float]:
        """The cost and the larger bound, computed photo by photo."""
        cost, expected, counted = 0.0, [], []
        for photo in range(120):
            rows = [early[photo], late[photo], committee[photo]]
            stops = [rows[0].max() >= first, rows[1].max() >= second, True]
            used = stops.index(True)
            answer, full = rows[used].argmax(), rows[2].argmax()
            cost += sum(COSTS[: used + 1])
            expected.append(rows[2][full] - rows[2][answer])
            counted.append(int(full == targets[photo]) - int(answer == targets[photo]))
        unseen = sum(max(0, 1 - threshold) ** 2 for threshold in (first, second))
        bounds = [
            sum(losses) + np.sqrt(sum(loss**2 for loss in losses) + unseen)
            for losses in (expected, counted)
        ]
        return cost, max(bounds)

    grids = [
        [2.0, *np.quantile(probs_of_stage.max(axis=1), np.linspace(1, 0, 64))[::4]]
        for probs_of_stage in (early, late)
    ]
    measured = [judge(*pair) for pair in itertools.product(*grids)]
    cheapest = min(cost for cost, bound in measured if bound <= tolerance * 120)
    cost, bound = judge(thresholds[0], thresholds[1])
    assert bound <= tolerance * 120 + 1e-9
    assert cost <= cheapest
    assert cost < 120 * sum(COSTS)
    assert thresholds[2] == cascade.NEVER


def test_a_cascade_loses_little_on_new_photos_and_saves_much() -> None:
    probs, targets = trio(30_000, seed=0)
    full = probs.mean(axis=0)
    lost, cost = [], []
    for start in range(0, 10_000, 1000):
        sample = slice(start, start + 1000)
        fitted = fit.fit(probs[:, sample], targets[sample], COSTS, weights=[1, 1, 1])
        result = fitted.run_cascade(lambda index, rows: probs[index, 10_000 + rows], 20_000)
        full = fitted.join("weighted", np.stack([fitted.calibrate(n, probs[n]) for n in range(3)]))
        correct = [
            (answers.argmax(axis=1) == targets[10_000:])
            for answers in (full[10_000:], result.joined)
        ]
        lost.append(correct[0].mean() - correct[1].mean())
        cost.append(np.cumsum(COSTS)[result.used - 1].mean() / sum(COSTS))
    assert np.mean(lost) < 0.003
    assert max(lost) < 0.008
    assert np.mean(cost) < 0.7


def test_the_cascade_stops_where_members_agree() -> None:
    probs, targets = trio(400, seed=0)
    fitted = fit.fit(probs[[2, 2]], targets, [1, 1])
    assert (fitted.run_cascade(lambda index, rows: probs[2, rows], 400).used == 1).mean() > 0.7


def test_a_fit_calibrates_every_rule() -> None:
    probs, targets = trio(8000, seed=1)
    distorted = np.stack([rules.temper(raw, t) for raw, t in zip(probs, (0.3, 1, 3), strict=True)])
    fitted = fit.fit(distorted[:, :4000], targets[:4000], COSTS)
    tempered = np.stack(
        [fitted.calibrate(index, raw[4000:]) for index, raw in enumerate(distorted)]
    )
    answers = {rule: fitted.join(rule, tempered) for rule in rules.RULES}
    answers["cascade"] = fitted.run_cascade(
        lambda index, rows: distorted[index, 4000 + rows], 4000
    ).joined
    assert fitted.rules["cascade"].temperature == 1
    for rule, joined in answers.items():
        # One temperature cannot make up for whose answer was taken, or for gaps between votes.
        limit = {"max": 0.05, "vote": 0.06}.get(rule, 0.035)
        assert metrics.expected_calibration_error(joined, targets[4000:]) < limit
        rule_params = fitted.rules[rule]
        covered = conformal.scores(joined, targets[4000:]) <= conformal.quantile_for(
            rule_params.quantiles, 0.95
        )
        assert covered.mean() == pytest.approx(0.95, abs=0.02)
        sure = joined.max(axis=1) >= rule_params.sure
        assert sure.mean() > 0.3
        assert (joined.argmax(axis=1) == targets[4000:])[sure].mean() > 0.945


def test_answers_are_combined_before_they_are_calibrated() -> None:
    probs, targets = trio(500, seed=2)
    fitted = fit.fit(probs, targets, COSTS)
    tempered = np.stack([fitted.calibrate(index, raw) for index, raw in enumerate(probs)])
    expected = fit.fit_temperature(
        tempered.mean(axis=0), targets, prior_photos=fitting.PRIOR_PHOTOS
    )
    assert fitted.rules["mean"].temperature == pytest.approx(expected)
    assert expected < 0.99
    assert fitted.stages[-1].temperature == pytest.approx(fitted.rules["weighted"].temperature)
    np.testing.assert_allclose(
        fitted.join("mean", tempered), rules.temper(tempered.mean(axis=0), expected)
    )


def test_stages_are_ordered_by_cost_without_members_of_weight_0() -> None:
    probs, targets = trio(300, seed=3)
    fitted = fit.fit(probs, targets, [5, 1, 3], weights=[2, 0, 1])
    assert [stage.member for stage in fitted.stages] == [2, 0]
    assert fitted.weights == (2, 0, 1)
    alike = fit.fit(probs, targets, [1, 1, 1], weights=[1, 2, 3])
    assert [stage.member for stage in alike.stages] == [2, 1, 0]


def test_a_single_member_is_a_cascade_of_one_stage() -> None:
    probs, targets = trio(300, seed=4)
    fitted = fit.fit(probs[:1], targets, [7])
    (stage,) = fitted.stages
    assert (stage.member, stage.threshold) == (0, cascade.NEVER)
    result = fitted.run_cascade(lambda index, rows: probs[index, rows], 300)
    np.testing.assert_allclose(result.joined, fitted.join("mean", fitted.calibrate(0, probs[:1])))


@given(
    photos=st.integers(1, 12),
    shape=st.sampled_from([(1, 2), (3, 2), (3, 40)]),
    sharpness=st.sampled_from([0.0, 1.0, 30.0]),
    skill=st.sampled_from([-9, 0, 9]),
)
@settings(max_examples=30, deadline=None)
def test_with_few_photos_nothing_is_sure(
    photos: int, shape: tuple[int, int], sharpness: float, skill: float
) -> None:
    members, classes = shape
    targets = np.arange(photos) % classes
    probs = np.stack(
        [member(targets, skill=skill, classes=classes, seed=index) for index in range(members)]
    )
    probs = softmax(np.log(probs) * sharpness)
    fitted = fit.fit(probs, targets, range(members))
    assert all(stage.threshold > 1 for stage in fitted.stages)
    assert all(0.2 < t <= fit.MAX_TEMPERATURE for t in fitted.temperatures)
    for rule in fitted.rules.values():
        assert rule.sure > 1
        assert conformal.quantile_for(rule.quantiles, 0.95) == np.inf
    assert params.EnsembleParams.from_dict(fitted.to_dict()) == fitted


def test_many_photos_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, targets = trio(900, seed=5)
    monkeypatch.setattr(fitting, "MAX_PROBS", 2000)
    thinned = fit.fit(probs, targets, COSTS)
    assert thinned.provenance["photos"] == 300
    assert thinned == fit.fit(probs[:, ::3], targets[::3], COSTS)


def test_each_photo_is_answered_by_a_fit_on_the_other_folds() -> None:
    probs, targets = trio(240, seed=6)
    folds = np.arange(240) % 3
    crossed = fit.cross_fit(probs, targets, COSTS, folds, tolerance=0.02)
    for fold, fitted in enumerate(crossed.fold_params):
        held_out, rest = folds == fold, folds != fold
        assert fitted == fit.fit(probs[:, rest], targets[rest], COSTS, tolerance=0.02)
        tempered = np.stack(
            [fitted.calibrate(index, row[held_out]) for index, row in enumerate(probs)]
        )
        np.testing.assert_allclose(crossed.members[:, held_out], tempered)
        np.testing.assert_allclose(crossed.joined["vote"][held_out], fitted.join("vote", tempered))
        result = fitted.run_cascade(
            lambda index, rows, held_out=held_out: probs[index, held_out][rows], held_out.sum()
        )
        np.testing.assert_allclose(crossed.joined["cascade"][held_out], result.joined)
        np.testing.assert_array_equal(crossed.used[held_out], result.used)


def test_a_photos_own_class_does_not_change_its_answers() -> None:
    probs, targets = trio(240, seed=7)
    folds = np.arange(240) % 4
    other = np.where(folds == 2, (targets + 1) % 5, targets)
    honest, lied = (fit.cross_fit(probs, labels, COSTS, folds) for labels in (targets, other))
    for rule in rules.RULES:
        np.testing.assert_array_equal(
            honest.joined[rule][folds == 2], lied.joined[rule][folds == 2]
        )
        assert (honest.joined[rule] != lied.joined[rule]).any()
    assert honest.fold_params[2] == lied.fold_params[2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"probs": np.ones((3, 4))}, r"probs of shape \(3, 4\)"),
        ({"targets": np.zeros(5, int)}, r"targets of shape \(5,\)"),
        ({"costs": [1, 2]}, "and 2 costs; expected"),
        ({"tolerance": -0.1}, "tolerance of -0.1"),
        ({"precision": 1.0}, "precision of 1.0"),
        ({"precision": float("nan")}, "precision of nan"),
        ({"weights": [1, 2]}, r"weights \[1.0, 2.0\] for 3 members"),
        ({"probs": np.ones((3, 0, 2)), "targets": np.zeros(0, int)}, "no photos to fit on"),
    ],
)
def test_inconsistent_arguments_are_refused(changed: dict[str, Any], message: str) -> None:
    valid = {"probs": np.full((3, 4, 2), 0.5), "targets": np.zeros(4, int), "costs": COSTS}
    with pytest.raises(errors.SettingError, match=message):
        fit.fit(**{**valid, **changed})


@pytest.mark.parametrize("folds", [np.zeros(60, int), np.arange(59), np.arange(60) % 3 - 1])
def test_folds_without_held_out_photos_are_refused(folds: np.ndarray) -> None:
    probs, targets = trio(60, seed=9)
    with pytest.raises(errors.SettingError, match="expected a fold from 0 for each photo"):
        fit.cross_fit(probs, targets, COSTS, folds)
