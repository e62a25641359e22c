"""From a Pillow image to an array, against Pillow and against plain arithmetic."""

from __future__ import annotations

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from PIL import ImageOps

from triptych.images import pixels

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def rgb_images() -> st.SearchStrategy[npt.NDArray[np.uint8]]:
    return SIDES.flatmap(lambda side: arrays.arrays(np.uint8, (*side, 3)))


@hypothesis.given(rgb_images(), st.integers(1, 8), st.integers(1, 400))
def test_turning_is_that_of_pillow_whatever_the_bands(
    photo: npt.NDArray[np.uint8], orientation: int, band_pixels: int
) -> None:
    image = Image.fromarray(photo)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "_BAND_PIXELS", band_pixels)
        turned = pixels.to_rgb(Image.fromarray(photo), orientation=orientation)
    assert np.array_equal(turned, expected)
    assert turned.flags.c_contiguous
    assert turned.flags.writeable


@hypothesis.given(arrays.arrays(np.uint8, (3, 5, 4)))
def test_alpha_over_white(photo: npt.NDArray[np.uint8]) -> None:
    colour, alpha = photo[..., :3].astype(float), photo[..., 3:] / 255
    expected = colour * alpha + 255 * (1 - alpha)
    assert np.abs(pixels.to_rgb(Image.fromarray(photo)) - expected).max() <= 1


@hypothesis.given(arrays.arrays(np.uint16, (3, 5)))
def test_16_bits(photo: npt.NDArray[np.uint16]) -> None:
    photo[0, 0] = 65535  # so that all bits are used
    expected = np.floor(photo / 257 + 0.5)
    assert np.array_equal(pixels.to_rgb(Image.fromarray(photo))[..., 1], expected)


@hypothesis.given(arrays.arrays(np.float32, (2, 3)))
def test_any_float_gives_a_picture_in_the_same_order(values: npt.NDArray[np.float32]) -> None:
    """Of all floats: infinities, not-a-number, the largest and the smallest."""
    grey = pixels.to_rgb(Image.fromarray(values))[..., 0].ravel()
    numbers = values.ravel()
    order = np.argsort(numbers[~np.isnan(numbers)])
    assert (np.diff(grey[~np.isnan(numbers)][order].astype(int)) >= 0).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX", "LAB"])
def test_modes_without_alpha_are_those_of_pillow(mode: str) -> None:
    image = Image.radial_gradient("L").resize((20, 30)).convert("RGB").convert(mode)
    assert np.array_equal(pixels.to_rgb(image), np.asarray(image.convert("RGB")))
