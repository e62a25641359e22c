"""The largest of an array: as a sort of all of it would give them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych.utils import ranking

# Few different numbers, so that many are equal; both zeros among them.
few_numbers = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, -0.001])


@given(
    values=st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: st.one_of(
            hnp.arrays(dtype, st.integers(1, 80), elements=few_numbers),
            hnp.arrays(dtype, st.integers(1, 80), elements=st.floats(-1, 1, width=32)),
        )
    ),
    k=st.integers(1, 90),
)
def test_the_largest_come_as_a_stable_sort_orders_them(values: np.ndarray, k: int) -> None:
    before = values.copy()
    expected = sorted(range(len(values)), key=lambda index: -values[index])[:k]
    assert ranking.top_indices(values, k).tolist() == expected
    np.testing.assert_array_equal(values, before)
