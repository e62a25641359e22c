"""Thousands of generated drawings: small, all different, in classes that are easy to tell apart."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL import ImageDraw

KINDS = ("discs", "crosses", "bars", "frames")
SIZE = (160, 128)


def jpeg(kind: str, seed: int) -> bytes:
    """A shape of random colour, size and position on a gradient, with noise."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    ground = Image.fromarray(rng.integers(0, 140, (3, 4, 3), dtype=np.uint8))
    image = ground.resize(SIZE, Image.Resampling.BICUBIC)
    draw, colour = ImageDraw.Draw(image), tuple(map(int, rng.integers(120, 256, 3)))
    x, y, r = (int(rng.integers(*bounds)) for bounds in ((45, 115), (45, 83), (18, 40)))
    if kind == "discs":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif kind == "crosses":
        draw.line((x - r, y - r, x + r, y + r), fill=colour, width=9)
        draw.line((x - r, y + r, x + r, y - r), fill=colour, width=9)
    elif kind == "bars":
        for left in range(-r, r, 14):
            draw.rectangle((x + left, y - r, x + left + 6, y + r), fill=colour)
    else:
        draw.rectangle((x - r, y - r, x + r, y + r), outline=colour, width=7)
    noisy = np.asarray(image) + rng.normal(scale=6, size=(SIZE[1], SIZE[0], 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()
