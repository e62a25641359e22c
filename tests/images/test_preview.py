"""Thumbnails."""

from __future__ import annotations

import numpy as np
import pytest

from support.images import squares
from triptych import errors
from triptych import images
from triptych.images import preview


@pytest.mark.parametrize(
    ("size", "expected"), [((300, 600), (50, 100)), ((600, 300), (100, 50)), ((30, 60), (30, 60))]
)
def test_a_preview_keeps_the_proportions_and_never_enlarges(size, expected):
    small = images.load(preview.jpeg(squares(size=size), longest_px=100))
    assert small.shape == (*expected, 3)


def test_a_preview_shows_the_same_picture():
    picture = images.load(squares(3, size=(64, 96)))
    small = images.load(preview.jpeg(squares(3, size=(64, 96))))
    assert np.abs(small.astype(int) - picture).mean() < 8


def test_a_preview_keeps_the_image_limits():
    with pytest.raises(errors.ImageTooLarge):
        preview.jpeg(squares(), limits=images.Limits(max_bytes=10))
