"""Synthetic photos: of any size, and as expensive to decode as a camera's."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from triptych.typing import UInt8Array

QUALITY = 85
TILE_PX = 512
# Detail of several sizes: a patch's side in pixels, and how much it differs from its neighbours.
# With these a file has about 0.3 bytes a pixel, as from telephones and cameras.
DETAIL = ((256, 45), (64, 25), (16, 14), (4, 12), (1, 9))


def jpeg(size: tuple[int, int], *, seed: int = 0) -> bytes:
    """A JPEG file of clouds within clouds, down to the grain; in large ones the pattern repeats.

    Args:
        size: (height, width) in pixels.
        seed: The same seed gives the same picture.

    Example:
        >>> jpeg((30, 40)) == jpeg((30, 40)), jpeg((30, 40)) == jpeg((30, 40), seed=1)
        (True, False)
    """
    tile = _tile(np.random.default_rng(seed))
    height, width = size
    repeats = (-(-height // TILE_PX), -(-width // TILE_PX), 1)
    file = io.BytesIO()
    Image.fromarray(np.tile(tile, repeats)[:height, :width]).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _tile(rng: np.random.Generator) -> UInt8Array:
    total = np.full((TILE_PX, TILE_PX, 3), 128, np.int16)
    for side, strength in DETAIL:
        patches = (TILE_PX // side, TILE_PX // side, 3)
        noise = np.clip(rng.normal(128, strength, patches), 0, 255).astype(np.uint8)
        layer = Image.fromarray(noise).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
        total += np.asarray(layer, np.int16) - 128
    return total.clip(0, 255).astype(np.uint8)
