"""Small images made on the spot, as bytes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def picture(seed: int = 0, *, size: tuple[int, int] = (90, 120), form: str = "JPEG") -> bytes:
    """A smooth colourful image of (height, width), different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize(size[::-1], Image.Resampling.BICUBIC).save(file, form)
    return file.getvalue()
