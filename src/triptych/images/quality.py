"""Photos that show too little to learn from: blank, nearly black or white, blurred.

All is measured on the photo reduced to 240 pixels, about what networks are shown. Brightness is
judged by percentiles, so that neither a date in the corner of a black photo nor lines drawn on
white paper decide. Sharpness is what the steepest edges lose in a slight blur: sharp ones lose
much, blurred ones hardly anything, whatever the contrast is, and a blurred background does not
count. docs/teaching.md has the measurements behind the thresholds.

Source: Crete et al., "The blur effect: perception and estimation with a new no-reference
perceptual blur metric", 2007 (blur once more, and compare the edges).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL import ImageChops
from PIL import ImageFilter

from triptych.preprocessing.recipe import REDUCING_GAP
from triptych.typing import Array
from triptych.typing import UInt8Array

LONGEST_PX = 240

# Out of 255 levels.
MOST_BLANK = 16  # between the darkest and the brightest 0.1 % of a blank photo, in any channel
MOST_DARK, LEAST_BRIGHT = 64, 191
# Sharp photos are nearly all above 0.2; photos blurred by 2 of 240 pixels, or more, are below 0.13.
MOST_BLURRED = 0.135
# The share of a photo's pixels whose steps count, those on plain ground left out: few, as a small
# sharp thing before a soft background is no blurred photo.
STEEPEST = 0.002
# Lower steps are rounding and noise. Sharp photos have steps of 20 levels and more.
LEAST_STEP = 8

_BLUR = ImageFilter.BoxBlur(1)
_FIGURES = struct.Struct("<4d")


class Quality(NamedTuple):
    """Figures of a photo.

    Args:
        dark: Brightness that 1 % of the pixels do not exceed, 0 to 255.
        bright: Brightness that 99 % of the pixels do not exceed.
        spread: Levels between the 0.1 % darkest and the 0.1 % brightest pixels, in the channel
            where there are most, 0 to 255.
        sharpness: The share of their steepness that the steepest edges lose when the photo is
            blurred by 3 x 3 pixels, in [0, 1]; 0 where no edge is steep.
    """

    dark: float
    bright: float
    spread: float
    sharpness: float

    @property
    def problem(self) -> str | None:
        """The gravest thing that is wrong: ``"blank"``, ``"dark"``, ``"bright"`` or ``"blurred"``.

        Example:
            >>> Quality(0, 3, 2, 0.0).problem, Quality(20, 231, 240, 0.45).problem
            ('blank', None)
        """
        if self.spread < MOST_BLANK:
            return "blank"
        if self.bright < MOST_DARK:
            return "dark"
        # Not where a few pixels are dark, as a drawing's lines on white paper.
        if self.dark > LEAST_BRIGHT and self.spread < LEAST_BRIGHT:
            return "bright"
        return "blurred" if self.sharpness < MOST_BLURRED else None

    def to_bytes(self) -> bytes:
        """Serialize the figures."""
        return _FIGURES.pack(*self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Quality:
        """Restore the figures from the result of `to_bytes`."""
        return cls(*_FIGURES.unpack(data))


def measure(image: UInt8Array) -> Quality:
    """Measure a photo.

    Args:
        image: RGB, shape (H, W, 3).

    Example:
        >>> measure(np.full((300, 400, 3), 7, np.uint8))
        Quality(dark=7.0, bright=7.0, spread=0.0, sharpness=0.0)
    """
    # Of a large photo every few pixels are enough, and reducing it is quick.
    step = max(1, max(image.shape) // (4 * LONGEST_PX))
    picture = Image.fromarray(np.ascontiguousarray(image[::step, ::step]))
    reduction = max(picture.size) / LONGEST_PX
    if reduction > 1:
        size = (round(picture.width / reduction) or 1, round(picture.height / reduction) or 1)
        bilinear = Image.Resampling.BILINEAR
        picture = picture.resize(size, bilinear, reducing_gap=REDUCING_GAP)
    grey = picture.convert("L")
    channels = np.array(picture.histogram()).reshape(3, 256)
    brightness = np.array(grey.histogram())
    return Quality(
        dark=_quantile(brightness, 0.01),
        bright=_quantile(brightness, 0.99),
        spread=max(_quantile(each, 0.999) - _quantile(each, 0.001) for each in channels),
        sharpness=_sharpness(grey),
    )


def _sharpness(grey: Image.Image) -> float:
    before, after = _steps(grey), _steps(grey.filter(_BLUR))
    # Plain ground, of which drawings have much, does not count.
    steepest = STEEPEST * before[1:].sum()
    if not steepest:
        return 0.0
    # The same number of pixels in both, since in the blur more ground is plain.
    old, new = (
        np.interp(counts.sum() - steepest, np.cumsum(counts), np.arange(256))
        for counts in (before, after)
    )
    return float(max(0.0, 1 - new / old)) if old >= LEAST_STEP else 0.0


def _steps(grey: Image.Image) -> Array:
    """How many pixels differ from a neighbour by how many levels, shape (256,)."""
    width, height = grey.size
    if min(width, height) < 2:
        return np.zeros(256, np.intp)
    corner = grey.crop((0, 0, width - 1, height - 1))
    across = ImageChops.difference(corner, grey.crop((1, 0, width, height - 1)))
    down = ImageChops.difference(corner, grey.crop((0, 1, width - 1, height)))
    return np.array(ImageChops.lighter(across, down).histogram())


def _quantile(counts: Array, share: float) -> float:
    """The least level that this share of pixels does not exceed, from the counts by level."""
    total = np.cumsum(counts)
    return float(np.searchsorted(total, share * total[-1]))
