"""The cascade: which members run on which images, and the answers of the whole committee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych import errors
from triptych.ensemble import cascade
from triptych.ensemble import rules
from triptych.ensemble.cascade import Stage


class Case(NamedTuple):
    probs: np.ndarray  # (M, N, C)
    stages: list[Stage]
    weights: list[float]


thresholds = st.floats(0, 1.2)


@st.composite
def cases(draw: st.DrawFn, threshold: st.SearchStrategy[float] = thresholds) -> Case:
    members, images, classes = (draw(st.integers(*ends)) for ends in ((1, 4), (1, 8), (2, 5)))
    shape = (members, images, classes)
    raw = draw(hnp.arrays(np.float64, shape, elements=st.floats(0.01, 1)))
    order = draw(st.permutations(range(members)))[: draw(st.integers(1, members))]
    return Case(
        raw / raw.sum(axis=2, keepdims=True),
        [Stage(index, draw(threshold), draw(st.floats(0.3, 3))) for index in order],
        draw(st.lists(st.floats(0.1, 5), min_size=members, max_size=members)),
    )


class RecordingMembers:
    """Members that answer from an array and record their calls."""

    def __init__(self, probs: np.ndarray) -> None:
        self.probs = probs
        self.calls: list[tuple[int, list[int]]] = []

    def answer(self, index: int, rows: np.ndarray) -> np.ndarray:
        self.calls.append((index, rows.tolist()))
        return np.asarray(self.probs[index, rows])


def ask(case: Case) -> cascade.CascadeAnswers:
    return cascade.run(
        RecordingMembers(case.probs).answer,
        case.probs.shape[1],
        stages=case.stages,
        weights=case.weights,
    )


def committee(case: Case, stages: Sequence[Stage]) -> np.ndarray:
    """The answer of the members of these stages, by the rule for whole committees."""
    indices = [stage.member for stage in stages]
    joined = rules.weighted(case.probs[indices], [case.weights[index] for index in indices])
    return rules.temper(joined, stages[-1].temperature)


@given(case=cases())
def test_a_member_gets_only_undecided_images(case: Case) -> None:
    members = RecordingMembers(case.probs)
    count = case.probs.shape[1]
    result = cascade.run(members.answer, count, stages=case.stages, weights=case.weights)
    for number, (index, rows) in enumerate(members.calls):
        assert index == case.stages[number].member
        assert rows
        assert rows == np.flatnonzero(result.used > number).tolist()
    assert len(members.calls) == result.used.max()


@given(case=cases())
def test_each_image_has_the_answer_of_the_members_that_ran_on_it(case: Case) -> None:
    result = ask(case)
    for image, used in enumerate(result.used):
        expected = committee(case, case.stages[:used])[image]
        np.testing.assert_allclose(result.joined[image], expected, rtol=1e-9)


@given(case=cases())
def test_an_image_stops_at_the_first_threshold_that_its_answer_reaches(case: Case) -> None:
    for image, used in enumerate(ask(case).used):
        tops = [committee(case, case.stages[:n])[image].max() for n in range(1, used + 1)]
        for top, stage in zip(tops[:-1], case.stages, strict=False):
            assert top < stage.threshold + 1e-9
        if used < len(case.stages):
            assert tops[-1] > case.stages[used - 1].threshold - 1e-9


@given(case=cases(threshold=st.floats(1.001, 9)))
def test_thresholds_above_1_give_the_full_committee(case: Case) -> None:
    result = ask(case)
    np.testing.assert_allclose(result.joined, committee(case, case.stages), rtol=1e-9)
    assert (result.used == len(case.stages)).all()


@given(case=cases(threshold=st.just(0.0)))
def test_a_threshold_of_0_runs_the_first_member_only(case: Case) -> None:
    result = ask(case)
    first = case.stages[0]
    expected = rules.temper(case.probs[first.member], first.temperature)
    np.testing.assert_allclose(result.joined, expected, rtol=1e-9)
    assert (result.used == 1).all()


@given(case=cases())
def test_a_batch_gets_the_answers_of_its_rows(case: Case) -> None:
    result = ask(case)
    for image in range(case.probs.shape[1]):
        alone = ask(case._replace(probs=case.probs[:, [image]]))
        np.testing.assert_array_equal(result.joined[image], alone.joined[0])
        assert result.used[image] == alone.used[0]


@given(case=cases())
def test_rows_sum_to_1_and_arguments_are_not_changed(case: Case) -> None:
    before = case.probs.copy()
    joined = ask(case).joined
    np.testing.assert_allclose(joined.sum(axis=1), 1)
    np.testing.assert_array_equal(case.probs, before)


def test_a_members_array_is_not_overwritten() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4]])
    stages = [Stage(0, threshold=0.8), Stage(1)]
    cascade.run(
        lambda index, rows: probs[rows] if index else probs, 2, stages=stages, weights=[1, 1]
    )
    np.testing.assert_array_equal(probs, [[0.9, 0.1], [0.6, 0.4]])


def test_no_images_run_no_member() -> None:
    members = RecordingMembers(np.zeros((1, 0, 3)))
    result = cascade.run(members.answer, 0, stages=[Stage(0)], weights=[1])
    assert (len(result.joined), len(result.used), members.calls) == (0, 0, [])


@pytest.mark.parametrize(
    ("stages", "weights", "message"),
    [
        ([], [1.0], "without stages"),
        ([Stage(0)], [0.0, 1.0], r"index 0, and the weights are \[0.0, 1.0\]"),
        ([Stage(2)], [1.0, 1.0], "index 2"),
        ([Stage(-1)], [1.0, 1.0], "index -1"),
    ],
)
def test_impossible_stages_are_refused(
    stages: list[Stage], weights: list[float], message: str
) -> None:
    with pytest.raises(errors.SettingError, match=message):
        cascade.run(RecordingMembers(np.ones((2, 1, 1))).answer, 1, stages=stages, weights=weights)
