"""From a Pillow image of any mode to an RGB array.

Conversion runs in bands of rows: a second copy of the whole picture would double the memory, and a
band that fits into the processor's cache is several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from triptych.images import depth
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
    """A rotation or reflection.

    Args:
        transpose: The turn as Pillow names it; ``None`` for no turn.
        of_view: The same turn, as a view of an array.
        inverse: The inverse of ``of_view``.
    """

    transpose: Image.Transpose | None
    of_view: Callable[[UInt8Image], UInt8Image]
    inverse: Callable[[UInt8Image], UInt8Image]


# By EXIF orientation.
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
    """Convert a Pillow image to an upright RGB array; transparent pixels become white.

    Args:
        image: An image of any mode; it is not changed.
        orientation: EXIF orientation, 1 to 8; 1 is upright.

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
    unturned = turn.inverse(pixels)
    for top, band in _bands(image):
        flat = _over_white(_in_8_bits(band, span) if span else band)
        turned = flat if turn.transpose is None else flat.transpose(turn.transpose)
        # Writing whole lines is several times as fast as writing `flat` across them.
        turn.of_view(unturned[top : top + band.height])[...] = np.asarray(turned)
    return pixels


def upright(image: Image.Image, *, orientation: int = 1) -> Image.Image:
    """Like `to_rgb`, but as a Pillow image, and copied only where necessary.

    Args:
        image: An image of any mode; it is not changed.
        orientation: As for `to_rgb`.

    Returns:
        RGB; the image itself where it is upright RGB already.

    Example:
        >>> upright(Image.new("RGB", (5, 2)), orientation=6).size
        (2, 5)
    """
    if image.mode != "RGB" or image.has_transparency_data:
        return Image.fromarray(to_rgb(image, orientation=orientation))
    turn = _TURNS[orientation].transpose
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


def _span(image: Image.Image) -> depth.Span | None:
    """The values of black and white in an image of more than 8 bits; ``None`` for others."""
    if not image.mode.startswith(("I", "F")):
        return None
    dtype = np.asarray(image.crop((0, 0, 1, 1))).dtype
    return depth.span(depth.measure(np.asarray(band) for _, band in _bands(image)), dtype)


def _in_8_bits(band: Image.Image, span: depth.Span) -> Image.Image:
    values = np.asarray(band)
    grey = depth.scale(values, span)
    if "transparency" in band.info:
        grey[values == band.info["transparency"]] = 255
    return Image.fromarray(grey)
