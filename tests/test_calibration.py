"""Temperatures and weights: properties, known truths, and numbers from other programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize
from scipy import special

from triptych import calibration
from triptych import combine

temperatures = st.floats(0.2, 8)
logit_rows = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(-8, 8)
)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(special.softmax(logits, axis=-1))


def drawn(probs: np.ndarray, seed: int) -> np.ndarray:
    """Classes that come up as often as the probabilities say."""
    chance = np.random.default_rng(seed).uniform(size=(len(probs), 1))
    return (probs.cumsum(axis=1) < chance).sum(axis=1).clip(max=probs.shape[1] - 1)


def member(truth: np.ndarray, *, skill: float, classes: int, seed: int) -> np.ndarray:
    """Probabilities that lean towards the truth by ``skill``; 0 knows nothing."""
    logits = np.random.default_rng(seed).normal(size=(len(truth), classes))
    logits[np.arange(len(truth)), truth] += skill
    return softmax(logits)


@given(logits=logit_rows, temperature=temperatures)
def test_temper_is_the_softmax_of_divided_logits(logits: np.ndarray, temperature: float) -> None:
    found = combine.temper(softmax(logits), temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature), rtol=1e-6, atol=1e-12)


@given(logits=logit_rows, temperature=temperatures)
def test_temper_keeps_the_order_of_classes_and_rows_sum_to_1(
    logits: np.ndarray, temperature: float
) -> None:
    probs = softmax(logits)
    before = probs.copy()
    found = combine.temper(probs, temperature)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    order = np.argsort(probs, axis=1)
    assert (np.diff(np.take_along_axis(found, order, axis=1), axis=1) >= 0).all()
    np.testing.assert_array_equal(probs, before)


@given(logits=logit_rows, first=temperatures, second=temperatures)
def test_tempering_twice_is_tempering_by_the_product(
    logits: np.ndarray, first: float, second: float
) -> None:
    # The middle answer must not run into the smallest number there is.
    probs = softmax(logits / 4)
    twice = combine.temper(combine.temper(probs, first), second)
    np.testing.assert_allclose(twice, combine.temper(probs, first * second), rtol=1e-6, atol=1e-9)


def test_certainty_stays_certain_and_nothing_becomes_nan() -> None:
    sure = np.array([[1.0, 0.0, 0.0]], np.float32)
    for temperature in (0.05, 0.5, 1, 3):
        np.testing.assert_allclose(combine.temper(sure, temperature), sure, atol=1e-9)
    assert np.isfinite(combine.temper(sure, 20.0)).all()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    honest = softmax(np.random.default_rng(1).normal(size=(20_000, 4)) * 2)
    truth = drawn(honest, seed=2)
    shown = combine.temper(honest, 1 / temperature)
    assert calibration.fit_temperature(shown, truth) == pytest.approx(temperature, rel=0.04)


def test_temperature_equals_three_other_programs() -> None:
    # 5.38930: scikit-learn 1.9.1, CalibratedClassifierCV(method="temperature"), 1 / beta_;
    # netcal 1.4.0, TemperatureScaling, 1 / temperature: 5.38931;
    # scipy 1.17.1, BFGS on the log-likelihood of the logits: 5.38930, loss 1.0216757.
    number, classes = np.arange(60)[:, None], np.arange(3)
    probs = softmax(4 * np.sin(0.7 * number * (classes + 1) + classes))
    answers = probs.argmax(axis=1)
    truth = np.where(number[:, 0] % 3 == 0, (answers + 1) % 3, answers)
    found = calibration.fit_temperature(probs, truth)
    assert found == pytest.approx(5.3893, abs=1e-3)
    tempered = combine.temper(probs, found)
    assert calibration.likelihood_loss(tempered, truth) == pytest.approx(1.0216757, abs=1e-7)
    # scikit-learn's predict_proba of the first two rows.
    sklearn = [[0.206987, 0.38652824, 0.40648476], [0.4235132, 0.43344955, 0.14303725]]
    np.testing.assert_allclose(tempered[:2], sklearn, atol=1e-5)


def test_a_temperature_stays_within_reason_when_every_answer_is_right_or_wrong() -> None:
    probs = np.tile([[0.9, 0.1]], (5, 1))
    right = calibration.fit_temperature(probs, np.zeros(5, int))
    wrong = calibration.fit_temperature(probs, np.ones(5, int))
    assert calibration.COOLEST <= right < 0.2
    assert 5 < wrong <= calibration.HOTTEST


def direct(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The same weights by a general constrained minimiser."""
    own = probs[:, np.arange(len(truth)), truth]
    found = optimize.minimize(
        lambda weights: -np.log(np.maximum(weights @ own, 1e-12)).mean(),
        np.full(len(probs), 1 / len(probs)),
        jac=lambda weights: -(own / np.maximum(weights @ own, 1e-12)).mean(axis=1),
        bounds=[(0, 1)] * len(probs),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return np.asarray(found.x)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_those_of_a_direct_convex_optimisation(seed: int) -> None:
    truth = np.random.default_rng(seed).integers(0, 4, 300)
    skills = (2.5, 2.0, 1.0)
    probs = np.stack(
        [member(truth, skill=s, classes=4, seed=10 * seed + n) for n, s in enumerate(skills)]
    )
    expected = direct(probs, truth)
    quick = calibration.fit_weights(probs, truth)
    thorough = calibration.fit_weights(probs, truth, steps=3000)
    assert sum(quick) == pytest.approx(1)
    np.testing.assert_allclose(thorough, expected, atol=0.01)
    lowest = calibration.likelihood_loss(combine.weighted(probs, expected.tolist()), truth)
    reached = calibration.likelihood_loss(combine.weighted(probs, quick), truth)
    assert lowest - 1e-9 <= reached < lowest + 1e-4


@st.composite
def committees(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, N, C) and truth (N,)."""
    members, photos, classes = (draw(st.integers(*ends)) for ends in ((1, 4), (1, 12), (2, 4)))
    shape = (members, photos, classes)
    raw = draw(hnp.arrays(np.float64, shape, elements=st.floats(0.001, 1)))
    truth = draw(hnp.arrays(np.int64, photos, elements=st.integers(0, classes - 1)))
    return raw / raw.sum(axis=2, keepdims=True), truth


@given(case=committees())
def test_no_member_is_better_than_its_committee_beyond_chance(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    probs, truth = case
    weights = calibration.choose_weights(probs, truth)
    assert len(weights) == len(probs)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)
    committee = combine.weighted(probs, weights).argmax(axis=1) == truth
    for own in probs.argmax(axis=2) == truth:
        won, lost = (own & ~committee).sum(), (committee & ~own).sum()
        assert won - lost <= 1.645 * np.sqrt(won + lost)


def test_few_photos_move_the_weights_little_and_many_move_them_much() -> None:
    def weights(photos: int) -> list[float]:
        truth = np.arange(photos) % 3
        pair = [member(truth, skill=skill, classes=3, seed=skill) for skill in (3, 2)]
        return calibration.choose_weights(np.stack(pair), truth)

    assert max(weights(6)) < 0.75
    assert max(weights(2000)) > 0.85


def test_a_member_answers_alone_where_the_fitted_mean_is_worse_beyond_chance() -> None:
    # The second is a little surer of the truth on most photos, and wrong on many.
    first = np.tile([0.55, 0.45], (60, 1))
    second = np.where(np.arange(60)[:, None] < 40, [0.99, 0.01], [0.3, 0.7])
    weights = calibration.choose_weights(np.stack([first, second]), np.zeros(60, int))
    assert weights == [1.0, 0.0]


def test_a_useless_member_is_dropped_and_good_ones_are_kept() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 400)
    good = [member(truth, skill=2.5, classes=3, seed=seed) for seed in (1, 2)]
    liar = member((truth + 1) % 3, skill=2.5, classes=3, seed=3)
    first, second, third = calibration.choose_weights(np.stack([*good, liar]), truth)
    assert min(first, second) > 0.2
    assert third == 0


def test_a_lone_member_gets_all_the_weight() -> None:
    truth = np.array([0, 1, 1])
    probs = member(truth, skill=1, classes=2, seed=0)[None]
    assert calibration.choose_weights(probs, truth) == [1.0]


def test_the_loss_is_that_of_scikit_learn_and_a_zero_costs_no_infinity() -> None:
    # sklearn.metrics.log_loss(truth, probs, labels=[0, 1, 2]), scikit-learn 1.9.1.
    probs, truth = (
        np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]]),
        np.array([0, 2, 2]),
    )
    assert calibration.likelihood_loss(probs, truth) == pytest.approx(1.1918502563, abs=1e-9)
    assert np.isfinite(calibration.likelihood_loss(np.array([[1.0, 0.0]]), np.array([1])))
