"""Combination rules: properties, and numbers from another program."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych import errors
from triptych.ensemble import rules

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 6))


@st.composite
def committees(draw: st.DrawFn) -> np.ndarray:
    """Probabilities of shape (M, N, C)."""
    raw = draw(hnp.arrays(np.float64, draw(shapes), elements=st.floats(0.001, 1)))
    return raw / raw.sum(axis=2, keepdims=True)


def rows(rule: str, probs: np.ndarray) -> np.ndarray:
    return rules.join(rule, probs, np.arange(1.0, len(probs) + 1))


@pytest.mark.parametrize("rule", rules.RULES)
@given(probs=committees())
def test_every_rule_gives_probabilities(rule: str, probs: np.ndarray) -> None:
    before = probs.copy()
    joined = rows(rule, probs)
    assert joined.shape == probs.shape[1:]
    assert (joined >= 0).all()
    np.testing.assert_allclose(joined.sum(axis=1), 1)
    np.testing.assert_array_equal(probs, before)


@pytest.mark.parametrize("rule", rules.RULES)
@given(probs=committees(), seed=st.integers(0, 99))
def test_a_batch_equals_its_rows_and_classes_may_be_shuffled(
    rule: str, probs: np.ndarray, seed: int
) -> None:
    joined = rows(rule, probs)
    one_by_one = [rows(rule, probs[:, n : n + 1])[0] for n in range(probs.shape[1])]
    np.testing.assert_allclose(joined, one_by_one, atol=1e-12)
    # Ties in the vote go to the lower index, so shuffle classes only where there are none.
    if all(
        len(set(row)) == len(row) for row in probs.reshape(-1, probs.shape[2]).round(9).tolist()
    ):
        order = np.random.default_rng(seed).permutation(probs.shape[2])
        np.testing.assert_allclose(rows(rule, probs[..., order]), joined[..., order], atol=1e-12)


@pytest.mark.parametrize("rule", rules.RULES)
@given(probs=committees())
def test_agreeing_members_win(rule: str, probs: np.ndarray) -> None:
    same = np.repeat(probs[:1], 3, axis=0)
    joined = rows(rule, same)
    np.testing.assert_array_equal(
        joined.max(axis=1), np.take_along_axis(joined, same[0].argmax(1)[:, None], 1)[:, 0]
    )


@given(probs=committees())
def test_max_takes_the_row_of_the_most_confident_member(probs: np.ndarray) -> None:
    joined = rules.maximum(probs)
    for n, row in enumerate(joined):
        assert row.max() == probs[:, n].max()
        assert any((row == member).all() for member in probs[:, n])


@given(probs=committees())
def test_vote_never_overrules_a_majority(probs: np.ndarray) -> None:
    winners = rules.vote(probs).argmax(axis=1)
    for n, winner in enumerate(winners):
        votes = np.bincount(probs[:, n].argmax(axis=1), minlength=probs.shape[2])
        assert votes[winner] == votes.max()


@given(probs=committees())
def test_equal_weights_are_the_mean(probs: np.ndarray) -> None:
    weighted = rules.weighted(probs, [2.0] * len(probs))
    np.testing.assert_allclose(weighted, rules.mean(probs))


def test_mean_and_weighted_equal_scikit_learn() -> None:
    # sklearn.ensemble.VotingClassifier(voting="soft", weights=[2, 1, 1]).predict_proba, and
    # without weights, from scikit-learn 1.9.1 over three members with these outputs.
    probs = np.array([[[0.7, 0.2, 0.1]], [[0.1, 0.6, 0.3]], [[0.2, 0.3, 0.5]]])
    np.testing.assert_allclose(rules.mean(probs), [[1 / 3, 11 / 30, 0.3]])
    np.testing.assert_allclose(rules.weighted(probs, [2, 1, 1]), [[0.425, 0.325, 0.25]])


@pytest.mark.parametrize("weights", [[1, 1], [1, -1, 1], [0, 0, 0], [float("nan"), 1, 1]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(errors.SettingError, match="expected one per member"):
        rules.weighted(np.full((3, 1, 2), 0.5), weights)


def test_an_unknown_rule_is_named_with_the_known_ones() -> None:
    with pytest.raises(errors.UnknownName, match=r"no rule 'median'.*mean, weighted, cascade"):
        rules.join("median", np.full((1, 1, 2), 0.5), [1])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@given(probs=committees(), temperature=st.floats(5e-324, 1e308))
def test_every_temperature_gives_probabilities(
    kind: type, probs: np.ndarray, temperature: float
) -> None:
    tempered = rules.temper(probs.astype(kind), temperature)
    assert (tempered >= 0).all()
    np.testing.assert_allclose(tempered.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(
        tempered.max(axis=-1),
        np.take_along_axis(tempered, probs.astype(kind).argmax(axis=-1)[..., None], -1)[..., 0],
    )
