"""From a Pillow image of any mode to an RGB array.

It goes in bands of rows: the whole picture in a second mode would double the memory, and a band
that fits the processor's cache is several times faster, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from triptych.typing import UInt8Image

_BAND_PIXELS = 2**18


def _as_it_is(array: UInt8Image) -> UInt8Image:
    return array


def _half_turn(array: UInt8Image) -> UInt8Image:
    return array[::-1, ::-1]


def _clockwise(array: UInt8Image) -> UInt8Image:
    return np.rot90(array, -1)


def _transposed(array: UInt8Image) -> UInt8Image:
    return array.swapaxes(0, 1)


def _transverse(array: UInt8Image) -> UInt8Image:
    return _transposed(_half_turn(array))


class _Turn(NamedTuple):
    """One way to turn a photo.

    Args:
        of_pixels: For a Pillow image.
        of_view: The same for a view of an array.
        back: Its inverse.
    """

    of_pixels: Image.Transpose | None
    of_view: Callable[[UInt8Image], UInt8Image]
    back: Callable[[UInt8Image], UInt8Image]


# By orientation as EXIF counts it.
_TURNS = {
    1: _Turn(None, _as_it_is, _as_it_is),
    2: _Turn(Image.Transpose.FLIP_LEFT_RIGHT, np.fliplr, np.fliplr),
    3: _Turn(Image.Transpose.ROTATE_180, _half_turn, _half_turn),
    4: _Turn(Image.Transpose.FLIP_TOP_BOTTOM, np.flipud, np.flipud),
    5: _Turn(Image.Transpose.TRANSPOSE, _transposed, _transposed),
    6: _Turn(Image.Transpose.ROTATE_270, _clockwise, np.rot90),
    7: _Turn(Image.Transpose.TRANSVERSE, _transverse, _transverse),
    8: _Turn(Image.Transpose.ROTATE_90, np.rot90, _clockwise),
}


def to_rgb(image: Image.Image, *, orientation: int = 1) -> UInt8Image:
    """Lay the picture over white, turn it, and give it as an array.

    Args:
        image: Of any mode; left as it is.
        orientation: How to turn it, 1 to 8 as EXIF counts; 1 is not at all.

    Returns:
        RGB, shape (H, W, 3), uint8; a new array.

    Example:
        >>> to_rgb(Image.new("L", (5, 2)), orientation=6).shape
        (5, 2, 3)
    """
    turn = _TURNS[orientation]
    span = _span(image)
    height, width = image.size[::-1] if orientation < 5 else image.size
    pixels = np.empty((height, width, 3), np.uint8)
    unturned = turn.back(pixels)
    for top, band in _bands(image):
        flat = _over_white(_in_8_bits(band, span) if span else band)
        turned = flat if turn.of_pixels is None else flat.transpose(turn.of_pixels)
        # Writing whole lines is several times as fast as writing `flat` across them.
        turn.of_view(unturned[top : top + band.height])[...] = np.asarray(turned)
    return pixels


def upright(image: Image.Image, *, orientation: int = 1) -> Image.Image:
    """The same picture as a Pillow image, with as little copying as it takes.

    Args:
        image: Of any mode; left as it is.
        orientation: As for `to_rgb`.

    Returns:
        RGB; the image itself where that is what it shows.

    Example:
        >>> upright(Image.new("RGB", (5, 2)), orientation=6).size
        (2, 5)
    """
    if image.mode != "RGB" or image.has_transparency_data:
        return Image.fromarray(to_rgb(image, orientation=orientation))
    turn = _TURNS[orientation].of_pixels
    return image if turn is None else image.transpose(turn)


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, _BAND_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _over_white(band: Image.Image) -> Image.Image:
    """The band as RGB."""
    if not band.has_transparency_data:
        return band if band.mode == "RGB" else band.convert("RGB")
    # A copy: Pillow writes the transparency into the palette of the image it converts.
    with_alpha = band.copy().convert("RGBA")
    white = Image.new("RGB", band.size, "white")
    white.paste(with_alpha, mask=with_alpha)
    return white


def _span(image: Image.Image) -> tuple[float, float] | None:
    """The values that stand for black and white, where a picture has more than 8 bits.

    Float and 32-bit files do not say. Taken are the narrowest usual scale that holds all values
    (0..1, 0..255, 0..65535), else the lowest and the highest value.
    """
    if image.mode.startswith("I;16"):
        return 0, 65535
    if image.mode not in ("I", "F"):
        return None
    low, high = _extremes(image)
    tops = [top for top in (1, 255, 65535) if low >= 0 and high <= top]
    return (0, tops[0]) if tops else (low, high)


def _extremes(image: Image.Image) -> tuple[float, float]:
    """Lowest and highest value that is a number; zeros where none is."""
    low, high = math.inf, -math.inf
    for _, band in _bands(image):
        values = np.asarray(band)
        finite = values[np.isfinite(values)].astype(np.float64)
        low, high = min(low, finite.min(initial=low)), max(high, finite.max(initial=high))
    return (float(low), float(high)) if low <= high else (0.0, 0.0)


def _in_8_bits(band: Image.Image, span: tuple[float, float]) -> Image.Image:
    low, high = span
    # A signalling NaN warns when it is cast.
    with np.errstate(invalid="ignore"):
        values = np.nan_to_num(np.asarray(band).astype(np.float64), nan=low).clip(low, high)
    grey = ((values - low) / (high - low or 1) * 255 + 0.5).astype(np.uint8)
    if "transparency" in band.info:
        grey[values == band.info["transparency"]] = 255
    return Image.fromarray(grey)
