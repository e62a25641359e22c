"""How many photos an accuracy needs: curves whose answer is known, and what cannot be known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from triptych.training import learning_curve
from triptych.training.learning_curve import CurvePoint

SIZES = (1, 2, 5, 10, 20)


def curve(limit: float, factor: float, exponent: float, *, sizes=SIZES) -> list[CurvePoint]:
    return [CurvePoint(n, (1 - limit - factor * n**-exponent,) * 5) for n in sizes]


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 0.05), st.floats(0.2, 0.6), st.floats(0.3, 1.5), st.integers(3, 80))
def test_a_power_law_is_read_where_it_reaches_the_accuracy(limit, factor, exponent, wanted):
    target = 1 - limit - factor * wanted**-exponent
    points = curve(limit, factor, exponent)
    needed = learning_curve.extrapolate(points, target, photos=10**9)
    assert needed is not None
    assert needed.per_class is not None
    error = limit + factor * needed.per_class**-exponent
    assert error == pytest.approx(1 - target, rel=0.1, abs=0.003)  # exponents are in steps


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random, hits, trials = np.random.default_rng(0), 0, 150
    photos, limit, factor, exponent = 300, 0.03, 0.4, 0.7
    true = (factor / (0.1 - limit)) ** (1 / exponent)
    for _ in range(trials):
        # Each photo is answered rightly from some number of photos a class on.
        luck = random.random(photos)
        points = []
        for size in SIZES:
            error = limit + factor * size**-exponent
            draws = error + random.normal(0, 0.01, 5)
            points.append(CurvePoint(size, tuple((luck >= draw).mean() for draw in draws)))
        needed = learning_curve.extrapolate(points, 0.9, photos=photos)
        assert needed is not None
        hits += (needed.low or np.inf) <= true <= (needed.high or np.inf)
    # By chance 80 % of 150 are fewer than 107 once in a thousand times.
    assert hits >= 107


@pytest.mark.parametrize(
    "points",
    [
        [],
        curve(0, 0.4, 1, sizes=(1, 2)),
        [CurvePoint(n, (0.7, 0.7)) for n in SIZES],
        [CurvePoint(n, (0.7 - n / 100,)) for n in SIZES],
    ],
)
def test_what_cannot_be_known_is_not_guessed(points):
    assert learning_curve.extrapolate(points, 0.95, photos=100) is None


def test_an_accuracy_above_the_limit_has_no_number():
    needed = learning_curve.extrapolate(curve(0.2, 0.3, 1), 0.95, photos=10_000)
    assert needed is not None
    assert (needed.per_class, needed.high) == (None, None)
    assert needed.limit == pytest.approx(0.8, abs=0.02)


def test_few_photos_to_measure_on_make_a_wide_interval():
    points = curve(0.01, 0.5, 0.8)
    narrow = learning_curve.extrapolate(points, 0.9, photos=100_000)
    wide = learning_curve.extrapolate(points, 0.9, photos=40)
    assert narrow is not None
    assert wide is not None
    assert (wide.low or 0) < (narrow.low or 0)
    assert (wide.high or np.inf) > (narrow.high or np.inf)
