"""Prediction sets: properties, coverage, and numbers from other programs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych import errors
from triptych.ensemble import conformal

score_lists = hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(0, 2))
coverages = st.floats(0.001, 0.999)


@st.composite
def photos(draw: st.DrawFn, *, ties: bool = True) -> np.ndarray:
    """Probabilities of shape (N, C); some classes may be equally probable."""
    count, classes = draw(st.integers(1, 6)), draw(st.integers(2, 8))
    numbers = st.lists(st.integers(1, 40), min_size=classes, max_size=classes, unique=not ties)
    raw = np.array([draw(numbers) for _ in range(count)], np.float64)
    return raw / raw.sum(axis=1, keepdims=True)


def formula(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities and classes that were given to the other programs, too."""
    number, position = np.arange(count)[:, None], np.arange(classes)
    probs = scipy.special.softmax(2 * np.sin(0.7 * number * (position + 1) + position), axis=1)
    ranks = (np.arange(count) ** 2 % 7) % classes
    return probs, np.argsort(-probs, axis=1)[np.arange(count), ranks]


@given(probs=photos(), level=st.floats(0, 2))
def test_a_set_is_never_empty_and_holds_the_most_probable_classes(
    probs: np.ndarray, level: float
) -> None:
    for row in probs:
        members = conformal.prediction_set(row, level)
        assert members[0] == row.argmax()
        assert len(set(members.tolist())) == len(members)
        assert (np.diff(row[members]) <= 0).all()
        rest = np.delete(row, members)
        assert row[members].min() >= rest.max(initial=0)


@given(probs=photos(), seed=st.integers(0, 99), level=st.floats(0, 2))
def test_the_true_class_is_in_the_set_if_it_scores_no_higher_than_the_level(
    probs: np.ndarray, seed: int, level: float
) -> None:
    targets = np.random.default_rng(seed).integers(0, probs.shape[1], len(probs))
    scores = conformal.scores(probs, targets)
    for row, label, score in zip(probs, targets, scores, strict=True):
        assert (label in conformal.prediction_set(row, level)) == (score <= level)
        # With its own score as the level a class is the last one in.
        assert conformal.prediction_set(row, score)[-1] == label


@given(probs=photos(), seed=st.integers(0, 99), level=st.floats(0, 2))
def test_a_batch_equals_its_rows(probs: np.ndarray, seed: int, level: float) -> None:
    targets = np.random.default_rng(seed).integers(0, probs.shape[1], len(probs))
    sizes = [len(conformal.prediction_set(row, level)) for row in probs]
    np.testing.assert_array_equal(conformal.set_sizes(probs, level), sizes)
    alone = [conformal.scores(probs[n : n + 1], targets[n : n + 1])[0] for n in range(len(probs))]
    np.testing.assert_array_equal(conformal.scores(probs, targets), alone)


@given(probs=photos(ties=False), seed=st.integers(0, 99), level=st.floats(0, 2))
def test_the_order_of_classes_does_not_matter(probs: np.ndarray, seed: int, level: float) -> None:
    order = np.random.default_rng(seed).permutation(probs.shape[1])
    for row in probs:
        shuffled = conformal.prediction_set(row[order], level)
        np.testing.assert_array_equal(order[shuffled], conformal.prediction_set(row, level))


@given(
    raw=hnp.arrays(np.float32, st.integers(2, 60), elements=st.sampled_from([1, 2, 3, 50, 400])),
    level=st.floats(0, 3),
)
def test_sets_of_many_classes_are_the_first_of_the_ranking(raw: np.ndarray, level: float) -> None:
    probs = raw / raw.sum()
    ranking = sorted(range(len(probs)), key=lambda index: -probs[index])
    size = int(conformal.set_sizes(probs, level))
    assert conformal.prediction_set(probs, level).tolist() == ranking[:size]


def test_of_equally_probable_classes_the_first_ranks_higher() -> None:
    flat = np.full((4, 4), 0.25)
    scores = conformal.scores(flat, np.arange(4))
    np.testing.assert_allclose(scores, [0, 0.25, 0.5, 0.75 + conformal.PENALTY])
    assert conformal.prediction_set(flat[0], 0.3).tolist() == [0, 1]


def test_float32_gives_the_sets_of_float64() -> None:
    probs = formula(60, 8)[0].astype(np.float32)
    for level in (0.2, 0.6, 0.97):
        wide = conformal.set_sizes(probs.astype(np.float64), level)
        np.testing.assert_array_equal(conformal.set_sizes(probs, level), wide)


@given(scores=score_lists, coverage=coverages)
def test_the_level_is_the_least_that_enough_scores_reach(
    scores: np.ndarray, coverage: float
) -> None:
    level = conformal.quantile(scores, coverage)
    wanted = (len(scores) + 1) * coverage - 1e-6
    assert (scores < level).sum() < wanted + 1
    if math.isfinite(level):
        assert (scores <= level).sum() >= wanted
    else:
        assert len(scores) < wanted + 1e-6


@given(scores=score_lists, probs=photos())
def test_a_larger_coverage_never_gives_a_smaller_set(scores: np.ndarray, probs: np.ndarray) -> None:
    levels = conformal.quantiles(scores)
    sizes = np.stack([conformal.set_sizes(probs, level) for level in levels])
    assert (np.diff(sizes, axis=0) >= 0).all()


def test_with_too_few_photos_the_set_has_every_class() -> None:
    assert conformal.quantile(np.zeros(8), 0.9) == math.inf
    assert conformal.quantile(np.zeros(9), 0.9) == 0
    assert conformal.quantile(np.zeros(0), 0.5) == math.inf
    assert conformal.set_sizes(np.full((1, 5), 0.2), math.inf).tolist() == [5]


def test_rounding_errors_do_not_shift_the_quantile() -> None:
    # In floating point 100 * 0.57 is a little less and 100 * 0.07 a little more than a whole.
    scores = np.arange(1.0, 100)
    assert [conformal.quantile(scores, coverage) for coverage in (0.57, 0.07, 0.29)] == [57, 7, 29]


@pytest.mark.parametrize("coverage", [0.7, 0.9, 0.95])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("boast", [0.5, 1, 3])
def test_coverage_holds_for_overconfident_networks(
    coverage: float, seed: int, boast: float
) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(6000, 12)) * 1.5
    targets = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)  # drawn by softmax
    probs = scipy.special.softmax(logits * boast, axis=1)
    scores = conformal.scores(probs, targets)
    fitting, fresh = scores[:500], scores[500:]
    rank = math.ceil(501 * coverage)
    chance = scipy.stats.betabinom(len(fresh), rank, 501 - rank)
    hits = int((fresh <= conformal.quantile(fitting, coverage)).sum())
    assert chance.ppf(1e-4) <= hits <= chance.ppf(1 - 1e-4)


def test_accuracy_above_the_coverage_gives_sets_of_one_class() -> None:
    targets = np.arange(100) % 4
    probs = np.full((100, 4), 0.1)
    probs[np.arange(100), np.where(np.arange(100) < 90, targets, (targets + 1) % 4)] = 0.7
    level = conformal.quantile(conformal.scores(probs, targets), 0.8)
    assert level == 0
    assert (conformal.set_sizes(probs, level) == 1).all()


def test_the_quantile_rounds_coverage_up_and_refuses_too_high_ones() -> None:
    levels = conformal.quantiles(np.linspace(0, 1, 5000))
    assert len(levels) == len(conformal.GRID) == 52
    assert conformal.quantile_for(levels, 0.9) == levels[conformal.GRID.index(0.9)]
    assert conformal.quantile_for(levels, 0.991) == levels[conformal.GRID.index(0.995)]
    assert conformal.quantile_for(levels, 0.1) == levels[0]
    for coverage in (0, 1, -0.5, 90, 0.9995, math.nan):
        with pytest.raises(errors.SettingError, match=r"above 0 and at most 0\.999, such as 0\.9"):
            conformal.quantile_for(levels, coverage)


def test_sets_of_three_classes_are_those_of_mapie() -> None:
    # MAPIE 1.6.0, SplitConformalClassifier(conformity_score="aps") over the first 40 rows, its
    # random numbers all 1 and include_last_label=True. With three classes there is no penalty.
    probs, targets = formula(60, 3)
    mapie = {
        0.5: (0.69358628, "21132221221132221221"),
        0.8: (0.95237516, "23233322223233322223"),
        0.9: (0.97397104, "33333322233333322233"),
    }
    scores = conformal.scores(probs[:40], targets[:40])
    np.testing.assert_allclose(scores[1:4], [0.50255402, 0.86282662, 0.98560247], atol=1e-8)
    for coverage, (quantile, sizes) in mapie.items():
        level = conformal.quantile(scores, coverage)
        assert level == pytest.approx(quantile, abs=1e-8)
        assert "".join(map(str, conformal.set_sizes(probs[40:], level))) == sizes


def test_scores_and_sets_are_those_of_torchcp() -> None:
    # TorchCP 1.2.1, RAPS(penalty=0.03, kreg=3, score_type="identity") with its random numbers all
    # 1, and calculate_conformal_value of the first 40 rows; PyTorch 2.15.0.
    probs, targets = formula(60, 8)
    scores = conformal.scores(probs, targets)
    single = [0, 0.375721762, 0.974873934, 0.519579755, 0.626347802, 0.983153648, 0.397554177]
    np.testing.assert_allclose(scores[:7], single, atol=1e-9)
    every = [conformal.scores(probs, np.full(60, label)) for label in range(8)]
    fourth = "0.786523875 1.035705209 0.519579755 1.072368217 0.266609787 1.108569919 0 1.144416112"
    np.testing.assert_allclose(
        [scores[3] for scores in every], [float(number) for number in fourth.split()], atol=1e-8
    )
    assert np.sum(every) == pytest.approx(365.43282038595953)
    torchcp = {
        0.6: (0.6728133529969349, "22233332322233332322"),
        0.8: (0.972781893734563, "44455544444455545444"),
        0.9: (0.9831536480774021, "54455555444465555444"),
        0.95: (1.0236127960337704, "55566555555566555555"),
    }
    for coverage, (quantile, sizes) in torchcp.items():
        level = conformal.quantile(scores[:40], coverage)
        assert level == pytest.approx(quantile, abs=1e-8)  # its penalty is float32
        assert "".join(map(str, conformal.set_sizes(probs[40:], level))) == sizes
