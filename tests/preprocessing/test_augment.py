"""Augmented views of a photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych import errors
from triptych.preprocessing import augment

photos = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


@given(photo=photos)
def test_a_view_does_not_change_the_photo(photo: np.ndarray) -> None:
    before = photo.copy()
    for name in augment.of(["crops", "flips"]):
        view = augment.VIEWS[name](photo)
        assert view.dtype == np.uint8
        assert min(view.shape) > 0
        assert set(np.unique(view)) <= set(np.unique(photo))
        np.testing.assert_array_equal(photo, before)


@given(photo=photos)
def test_mirroring_twice_gives_the_photo(photo: np.ndarray) -> None:
    np.testing.assert_array_equal(augment.flip(augment.flip(photo)), photo)


@given(photo=photos)
def test_the_two_crops_keep_opposite_corners(photo: np.ndarray) -> None:
    first, last = (augment.crop(photo, at_end=at_end) for at_end in (False, True))
    assert first.shape == last.shape
    np.testing.assert_array_equal(first[0, 0], photo[0, 0])
    np.testing.assert_array_equal(last[-1, -1], photo[-1, -1])


def test_the_plain_view_comes_first_in_whatever_order_the_others_are_named() -> None:
    expected = ("plain", "flip", "upper left", "lower right")
    assert augment.of(["crops", "flips"]) == augment.of(["flips", "crops"]) == expected
    assert augment.of([]) == ("plain",)


def test_an_unknown_augmentation_is_refused_with_the_known_ones() -> None:
    with pytest.raises(errors.UnknownName, match="'blur'; expected some of: flips, crops"):
        augment.of(["flips", "blur"])
