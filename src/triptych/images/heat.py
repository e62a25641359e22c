"""Draw a heat map over a photo."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from triptych.typing import Float32Array
from triptych.typing import UInt8Image

# Matplotlib's viridis (van der Walt, Smith and Firing, 2015, CC0) at 17 even steps. Its lightness
# rises evenly, so it also works in grey print and for colour-blind people.
VIRIDIS = (
    (68, 1, 84), (72, 24, 106), (71, 45, 123), (66, 64, 134), (59, 82, 139), (51, 99, 141),
    (44, 114, 142), (38, 130, 142), (33, 145, 140), (31, 160, 136), (40, 174, 128), (63, 188, 115),
    (94, 201, 98), (132, 212, 75), (173, 220, 48), (216, 226, 25), (253, 231, 37),
)  # fmt: skip
STRENGTH = 0.6
# Of the line around what the network saw, as a share of the photo's longer side.
LINE = 0.004


def colours(heat: npt.NDArray[np.floating]) -> UInt8Image:
    """Map values to colours of viridis.

    Args:
        heat: In [0, 1], any shape.

    Returns:
        RGB, uint8, with one more axis of length 3.

    Example:
        >>> colours(np.array([0.0, 1.0])).tolist()
        [[68, 1, 84], [253, 231, 37]]
    """
    steps = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(heat, steps, channel) for channel in zip(*VIRIDIS, strict=True)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def png(photo: UInt8Image, heat: Float32Array) -> bytes:
    """Draw a heat map over a photo.

    The photo is shown in grey, so that all colour is the map's. Where the network did not see all
    of it, a white line is around the part that it saw.

    Args:
        photo: RGB, shape (H, W, 3), uint8; it is not changed.
        heat: Shape (H, W), in [0, 1]; NaN where the network did not see the photo.

    Returns:
        The bytes of a PNG file.

    Example:
        >>> png(np.zeros((4, 6, 3), np.uint8), np.ones((4, 6), np.float32))[1:4]
        b'PNG'
    """
    grey = np.asarray(Image.fromarray(photo).convert("L"), np.float32)[..., None]  # (H, W, 1)
    visible = np.isfinite(heat)
    warm = colours(np.nan_to_num(heat)).astype(np.float32)
    drawn = np.where(visible[..., None], (1 - STRENGTH) * grey + STRENGTH * warm, grey)
    drawn[_around(visible, max(1, round(LINE * max(visible.shape))))] = 255
    file = io.BytesIO()
    Image.fromarray(drawn.round().astype(np.uint8)).save(file, "PNG", compress_level=4)
    return file.getvalue()


def _around(inside: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The pixels outside of a rectangle that are at most so far from it."""
    padded = np.pad(inside, width)
    shifts = range(2 * width + 1)
    rows = np.any([padded[step : step + len(inside)] for step in shifts], axis=0)
    columns = np.any([rows[:, step : step + inside.shape[1]] for step in shifts], axis=0)
    return np.asarray(columns & ~inside)


def small(photo: UInt8Image | Image.Image, longest_px: int) -> UInt8Image:
    """Shrink a photo to a maximum side length, in a copy.

    Args:
        photo: RGB; it is not changed.
        longest_px: Maximum length of the longer side, in pixels; it is never enlarged.
    """
    copy = photo.copy() if isinstance(photo, Image.Image) else Image.fromarray(photo)
    copy.thumbnail((longest_px, longest_px))
    return np.asarray(copy, np.uint8)
