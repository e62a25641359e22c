"""Small image files, made on the spot from a seed."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL import ImageDraw

# What `shape_image` draws: three classes that a small committee learns from a few images.
SHAPES = ("discs", "rays", "tiles")


def picture(seed: int = 0, *, size: tuple[int, int] = (90, 120), format: str = "JPEG") -> bytes:
    """A smooth colourful image of (height, width), different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize(size[::-1], Image.Resampling.BICUBIC).save(file, format)
    return file.getvalue()


def squares(seed: int = 0, *, size: tuple[int, int] = (40, 60), format: str = "PNG") -> bytes:
    """An image of six coloured squares, different for each seed."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), np.uint8)
    image = Image.fromarray(colours).resize(size[::-1], Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def plain_image(colour: tuple[int, int, int], *, size: tuple[int, int] = (60, 80)) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def shape_image(kind: str, seed: int) -> bytes:
    """A disc, rays or tiles, in any colours and place, with noise."""
    rng = np.random.default_rng([SHAPES.index(kind), seed])
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
