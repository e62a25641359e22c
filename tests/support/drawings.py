"""Drawings of three classes that a small committee learns from a few: discs, rays and tiles."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL import ImageDraw

CLASSES = ("discs", "rays", "tiles")


def drawing(kind: str, seed: int) -> bytes:
    """A disc, rays or tiles, in any colours and place, with noise."""
    rng = np.random.default_rng([CLASSES.index(kind), seed])
    back, front = rng.integers(0, 120, 3), rng.integers(136, 256, 3)
    image = Image.new("RGB", (160, 128), tuple(int(c) for c in back))
    draw, colour = ImageDraw.Draw(image), tuple(int(c) for c in front)
    x, y, size = rng.integers(50, 110), rng.integers(45, 85), rng.integers(25, 45)
    if kind == "discs":
        draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    elif kind == "rays":
        for angle in rng.uniform(0, 2 * np.pi, 24):
            end = (x + 200 * np.cos(angle), y + 200 * np.sin(angle))
            draw.line([(x, y), end], fill=colour, width=3)
    else:
        step = int(rng.integers(12, 22))
        for left in range(0, 160, step):
            for top in range(left // step % 2 * step, 128, 2 * step):
                draw.rectangle((left, top, left + step - 1, top + step - 1), fill=colour)
    noisy = np.asarray(image) + rng.normal(scale=8, size=(128, 160, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
