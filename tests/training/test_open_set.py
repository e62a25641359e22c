"""Photos that may be accepted without a look: properties for any features, and the promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from triptych.training import open_set

FEATURES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(6, 12), st.integers(2, 5)),
    elements=st.floats(-8, 8, width=32).map(lambda value: np.float32(round(value, 2))),
)


def distance(vectors: np.ndarray, row: int, photos: list[int]) -> float:
    """The distance to a class, written down once more."""
    vectors = vectors.astype(np.float64) - vectors.mean(axis=0)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    gaps = sorted(1 - unit[row] @ unit[photo] for photo in photos)[: open_set.NEIGHBOURS]
    return max(float(np.mean(gaps)), open_set.LEAST_DISTANCE)


@settings(max_examples=40, deadline=None)
@given(FEATURES, st.data())
def test_strangeness_is_a_ratio_of_distances(features, data):
    count = data.draw(st.integers(4, len(features) - 1))
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    predicted = np.full(len(features) - count, labels[0])
    strange, wrong = open_set.strangeness(features[count:], predicted, features[:count], labels)
    classes = {each: np.flatnonzero(labels == each).tolist() for each in {*labels.tolist()}}
    vectors = np.concatenate([features[count:], features[:count]])
    shift = len(features) - count
    members = {each: [shift + n for n in photos] for each, photos in classes.items()}
    if len(classes) < 2:
        assert np.isinf(strange).all()
    else:
        for row, ratio in enumerate(strange):
            others = [distance(vectors, row, members[c]) for c in classes if c != labels[0]]
            mine = distance(vectors, row, members[labels[0]])
            assert abs(ratio * min(others) - mine) <= 1e-4 * max(1, ratio)
    assert len(wrong) == (count if len(classes) > 2 else 0)
    for row, ratio in enumerate(wrong):
        others = [distance(vectors, shift + row, members[c]) for c in classes if c != labels[row]]
        nearest, second = sorted(others)[:2]
        assert abs(ratio * second - nearest) <= 1e-4


@given(st.lists(st.floats(0.001, 1), max_size=30), st.floats(0.01, 0.5))
def test_as_many_are_selected_as_the_procedure_allows(values, share):
    p_values = np.array(values)
    selected = open_set.select(p_values, share)
    # Benjamini and Hochberg's own words, at half the share: the largest k with p_(k) <= k / m * q.
    ordered = sorted(values)
    allowed = [k for k, p in enumerate(ordered, 1) if p <= share / 2 * k / len(values)]
    expected = sum(p <= ordered[allowed[-1] - 1] for p in values) if allowed else 0
    assert selected.sum() == expected
    assert p_values[selected].max(initial=0) <= p_values[~selected].min(initial=2)


def heap(random: np.random.Generator, unnamed: int) -> tuple[np.ndarray, ...]:
    """Features and kinds of 10 named kinds with 8 labels each, and a heap with unnamed kinds."""
    centres = random.normal(size=(10 + unnamed, 24))
    kind = np.repeat(np.arange(10 + unnamed), 40)
    features = centres[kind] + random.normal(0, 0.6, (len(kind), 24))
    is_labelled = (np.arange(len(kind)) % 5 == 0) & (kind < 10)
    return features[~is_labelled], kind[~is_labelled], features[is_labelled], kind[is_labelled]


@pytest.mark.parametrize("unnamed", [0, 10])
def test_of_the_selected_photos_few_are_wrong_though_half_are_of_unnamed_kinds(unnamed):
    wrong, found = [], []
    for seed in range(12):
        pool, kinds, labelled, labels = heap(np.random.default_rng(seed), unnamed)
        centres = np.stack([labelled[labels == each].mean(axis=0) for each in range(10)])
        predicted = ((pool[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        strange, wrong_ones = open_set.strangeness(pool, predicted, labelled, labels)
        selected = open_set.select(open_set.p_values(strange, wrong_ones), 0.1)
        right = predicted == kinds
        wrong.append(1 - right[selected].mean() if selected.any() else 0)
        found.append((selected & right).sum() / right.sum())
    assert np.mean(wrong) <= 0.1
    assert np.mean(found) > 0.6


def test_with_two_classes_or_few_labels_nothing_is_selected():
    pool, kinds, labelled, labels = heap(np.random.default_rng(0), 0)
    few = np.isin(labels, (0, 1))
    strange, wrong = open_set.strangeness(pool, kinds, labelled[few], labels[few])
    assert not open_set.select(open_set.p_values(strange, wrong), 0.1).any()
    three = np.flatnonzero(np.isin(labels, (0, 1, 2)))[::3]  # 8 photos: no p-value below 1 in 9
    strange, wrong = open_set.strangeness(pool, kinds, labelled[three], labels[three])
    assert not open_set.select(open_set.p_values(strange, wrong), 0.1).any()


def test_many_labelled_photos_are_represented_by_some(monkeypatch):
    monkeypatch.setattr(open_set, "MOST_LABELLED", 60)
    pool, kinds, labelled, labels = heap(np.random.default_rng(1), 0)
    strange, wrong = open_set.strangeness(pool, kinds, labelled, labels)
    assert len(wrong) == 60
    assert np.median(strange) < np.median(wrong)
