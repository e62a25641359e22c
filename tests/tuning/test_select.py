"""Selecting networks: the Pareto front, budgets, and significant differences only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from triptych import errors
from triptych.evaluation import wilson
from triptych.tuning import select
from triptych.tuning.select import Candidate
from triptych.tuning.select import Option

PHOTOS, CLASSES = 200, 5


def answers(
    skills: list[float], *, photos: int = PHOTOS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random candidates with correlated errors; skill raises the logit of the true class."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, CLASSES, photos)
    logits = rng.normal(0, 1, (len(skills), photos, CLASSES)) + rng.normal(0, 1, (photos, CLASSES))
    logits[:, np.arange(photos), targets] += np.array(skills)[:, None]
    probs = np.exp(logits)
    return probs / probs.sum(axis=2, keepdims=True), targets, np.arange(photos) % 4


def option(ms: float, correct: int, *, photos: int = 100, seed: int = 0) -> Option:
    flags = np.random.default_rng(seed).permutation(np.arange(photos) < correct)
    return Option((f"{ms:g}",), False, flags, ms, ms)


SOME = st.lists(
    st.builds(option, st.floats(0.1, 50), st.integers(0, 100), seed=st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


@given(SOME)
def test_the_pareto_front_is_not_dominated(some: list[Option]) -> None:
    front = select.front(some)
    for each in some:
        beaten = any(
            (other.ms <= each.ms and other.accuracy > each.accuracy)
            or (other.ms < each.ms and other.accuracy >= each.accuracy)
            for other in some
        )
        alike = any(other.ms == each.ms and other.accuracy == each.accuracy for other in front)
        assert alike is not beaten
    assert [each.ms for each in front] == sorted(each.ms for each in front)


@given(SOME, st.floats(0, 60))
def test_the_recommendation_is_within_budget_and_not_significantly_worse(
    some: list[Option], budget_ms: float
) -> None:
    if budget_ms < min(each.ms for each in some):
        with pytest.raises(errors.SettingError, match="Allow at least that"):
            select.recommend(some, budget_ms)
        return
    recommended = select.recommend(some, budget_ms)
    assert recommended.ms <= budget_ms
    best = max((each for each in some if each.ms <= budget_ms), key=lambda each: each.accuracy)
    won, lost = (
        (best.correct & ~recommended.correct).sum(),
        (recommended.correct & ~best.correct).sum(),
    )
    assert won - lost <= 1.645 * np.sqrt(won + lost)


def test_only_a_significant_gain_justifies_cost() -> None:
    quick, lucky, real = option(1, 80), option(5, 81), option(9, 95)
    assert select.recommend([quick, lucky], 20) is quick
    assert select.recommend([quick, lucky, real], 20) is real
    assert select.recommend([quick, lucky, real], 8) is quick


def test_a_too_small_budget_names_the_fastest() -> None:
    with pytest.raises(errors.SettingError, match=r"within 0.5 ms.*the quickest, 3, takes 3.0 ms"):
        select.recommend([option(7, 90), option(3, 80)], 0.5)


def test_all_singles_pairs_triples_and_cascades_are_evaluated_fastest_first() -> None:
    probs, targets, folds = answers([1, 2, 3, 1.5])
    candidates = [Candidate(name, ms, ms) for name, ms in zip("abcd", (9, 2, 5, 1), strict=True)]
    options = select.options(probs, targets, candidates, folds)
    assert len(options) == 4 + 2 * 6 + 2 * 4
    assert len({each.title for each in options}) == len(options)
    speed = {candidate.name: candidate.ms for candidate in candidates}
    for evaluated in options:
        times = [speed[name] for name in evaluated.members]
        assert times == sorted(times)
        if evaluated.is_cascade:
            assert times[0] <= evaluated.ms <= sum(times)
        else:
            assert evaluated.ms == evaluated.multiply_adds == sum(times)


def test_accuracies_are_those_of_counting_by_hand() -> None:
    probs, targets, folds = answers([2, 2])
    candidates = [Candidate("a", 1, 1), Candidate("b", 2, 3)]
    single, other, *_ = select.options(probs, targets, candidates, folds)
    for evaluated, answer in ((single, probs[0]), (other, probs[1])):
        correct = answer.argmax(axis=1) == targets
        assert (evaluated.correct == correct).all()
        assert evaluated.to_dict()["top1"] == correct.mean()
        assert evaluated.interval == wilson(int(correct.sum()), PHOTOS)


def test_a_cascade_saves_time_and_keeps_accuracy() -> None:
    probs, targets, folds = answers([4, 5], photos=2000)
    candidates = [Candidate("small", 1, 1), Candidate("large", 9, 9)]
    *_, mean, cascade = select.options(probs, targets, candidates, folds)
    assert cascade.ms < 0.6 * mean.ms
    assert cascade.accuracy >= mean.accuracy - 0.005


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_held_out_predictions_do_not_depend_on_their_fold(seed: int) -> None:
    """Changing one fold's answers leaves the fits that answer it as they are."""
    probs, targets, folds = answers([1, 2], photos=120, seed=seed)
    candidates = [Candidate("a", 1, 1), Candidate("b", 2, 2)]
    before = select.options(probs, targets, candidates, folds)
    other = targets.copy()
    other[np.flatnonzero(folds == 0)[0]] = (targets[0] + 1) % CLASSES
    after = select.options(probs, other, candidates, folds)
    rest = np.flatnonzero(folds == 0)[1:]
    for old, new in zip(before, after, strict=True):
        assert (old.correct[rest] == new.correct[rest]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": np.zeros(PHOTOS, int)}, "at least 2 folds"),
        ({"targets": np.zeros(3, int)}, "targets of shape"),
        ({"candidates": [Candidate("a", 1, 1)]}, "1 candidates; expected"),
        ({"probs": np.ones((2, PHOTOS))}, "probs of shape"),
    ],
)
def test_inconsistent_arguments_are_refused(change: dict[str, object], message: str) -> None:
    probs, targets, folds = answers([1, 2])
    pair = [Candidate("a", 1, 1), Candidate("b", 2, 2)]
    arguments = {"probs": probs, "targets": targets, "candidates": pair, "folds": folds, **change}
    with pytest.raises(errors.SettingError, match=message):
        select.options(**arguments)
