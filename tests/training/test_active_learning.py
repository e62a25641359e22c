"""The order in which photos are labelled, and groups: properties for any features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from triptych.training import active_learning

FEATURES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(2, 12), st.integers(2, 5)),
    elements=st.floats(-8, 8, width=32).map(lambda value: np.float32(round(value, 2))),
)


def covered(pool: np.ndarray, chosen: list[int], weights: np.ndarray) -> float:
    """How well photos cover a pool, written down once more: cosines, without what all share."""
    vectors = pool.astype(np.float64) - pool.mean(axis=0)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    best = np.maximum(unit @ unit[chosen].T, 0).max(axis=1) if chosen else np.zeros(len(pool))
    return float((weights * best).sum())


@settings(max_examples=60, deadline=None)
@given(FEATURES, st.data())
def test_each_photo_adds_as_much_coverage_as_any_other_could(pool, data):
    weights = np.array(
        data.draw(st.lists(st.floats(0.05, 1), min_size=len(pool), max_size=len(pool)))
    )
    order = active_learning.order(pool, pool[:0], weights=weights).tolist()
    assert sorted(order) == list(range(len(pool)))
    for number, photo in enumerate(order):
        before = order[:number]
        gains = [
            covered(pool, [*before, other], weights)
            for other in range(len(pool))
            if other not in before
        ]
        assert covered(pool, [*before, photo], weights) >= max(gains) - 1e-3


@settings(max_examples=60, deadline=None)
@given(FEATURES, st.data())
def test_groups_have_each_photo_once_and_copies_together(pool, data):
    count = len(pool)
    numbers = st.lists(st.integers(0, 2), min_size=count, max_size=count).map(np.array)
    classes, copies = data.draw(numbers), data.draw(numbers) + 10 * np.arange(count) // 4
    centres = active_learning.order(pool, pool[:0])
    groups = active_learning.groups(pool, centres=centres, classes=classes, copies=copies)
    photos = np.concatenate([*groups, np.zeros(0, int)]).tolist()
    assert len(photos) == len(set(photos))
    for group in groups:
        assert len(group) >= 2
        of_class = classes[group] == classes[group[0]]
        assert (of_class | np.isin(copies[group], copies[group][of_class])).all()
    for copy in set(copies.tolist()):
        (same,) = np.nonzero(copies == copy)
        assert sum(bool(set(same) & set(group)) for group in groups) <= 1


@given(
    arrays.arrays(
        np.float64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(0, 1)
    )
)
def test_uncertainty_is_one_minus_the_margin(raw):
    probs = (raw + 0.01) / (raw + 0.01).sum(axis=1, keepdims=True)
    first, second = np.sort(probs, axis=1)[:, ::-1][:, :2].T
    assert active_learning.uncertainty(probs) == pytest.approx(1 - (first - second))


def test_the_first_photos_are_from_different_regions_and_typical():
    random = np.random.default_rng(0)
    regions = np.repeat(np.eye(5) * 9, [40, 30, 20, 10, 5], axis=0)
    pool = regions + random.normal(0, 0.5, regions.shape)
    region = regions.argmax(axis=1)
    first = active_learning.order(pool, pool[:0], count=5)
    assert set(region[first]) == set(range(5))
    # A region with labels is covered; where the committee is certain, no label is spent.
    rest = active_learning.order(pool, pool[region < 3][::5], count=2)
    assert set(region[rest]) == {3, 4}
    certain = np.where(region == 2, 1.0, 0.0)
    (one,) = active_learning.order(pool, pool[:0], weights=certain, count=1)
    assert region[one] == 2


def test_a_large_pool_is_ordered_by_a_part_of_it(monkeypatch):
    monkeypatch.setattr(active_learning, "MOST_CANDIDATES", 200)
    random = np.random.default_rng(0)
    pool = random.normal(size=(250, 4)).astype(np.float32)
    order = active_learning.order(pool, pool[:0])
    assert len(set(order.tolist())) == 200
    assert order.tolist() == active_learning.order(pool, pool[:0]).tolist()


def test_photos_that_are_alike_are_in_one_group():
    random = np.random.default_rng(1)
    pool = np.concatenate([random.normal(0, 0.1, (6, 8)) + 9 * row for row in np.eye(8)])
    groups = active_learning.groups(pool, centres=np.arange(len(pool)))
    assert all(len({photo // 6 for photo in group}) == 1 for group in groups)
    assert sum(map(len, groups)) > len(pool) / 3
