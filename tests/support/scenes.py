"""Cluttered tables with several kinds of fruit, for photos with any number of classes.

python tests/support/scenes.py FOLDER [COUNT]  (writes photos and their list, scenes.csv)
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFilter

from triptych.studio import sample_images
from triptych.typing import Float64Array


def _bent() -> Float64Array:
    """The outline of a banana."""
    angles = np.linspace(0.15 * np.pi, 0.85 * np.pi, 60)
    outer = np.stack([1.15 * np.cos(angles), 1.25 * np.sin(angles) - 0.7], axis=1)
    inner = np.stack([1.05 * np.cos(angles), 0.7 * np.sin(angles) - 0.5], axis=1)
    return np.concatenate([outer, inner[::-1]])


def _round() -> Float64Array:
    angles = np.linspace(0, 2 * np.pi, 120)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.9


def _heart() -> Float64Array:
    """The outline of a strawberry."""
    widths = (0.0, 0.45, 0.72, 0.8, 0.78, 0.68, 0.52, 0.34, 0.16, 0.0)
    return sample_images._turned_on_a_lathe(widths, length=2.0)


KINDS = {
    **sample_images.KINDS,
    "bananas": sample_images._Kind(_bent, ((238, 208, 70), (214, 190, 60)), 0.0, 12),
    "plums": sample_images._Kind(_round, ((78, 40, 92), (58, 44, 108)), 0.25, 0),
    "strawberries": sample_images._Kind(_heart, ((196, 30, 44), (206, 60, 52)), 0.2, 220),
}
# The rarer a kind, the fewer photos have it.
SHARES = dict(zip(KINDS, (0.45, 0.4, 0.35, 0.3, 0.2, 0.12), strict=True))
MOST_KINDS = 4


def kinds_of(seed: int) -> tuple[str, ...]:
    """The kinds of fruit in a scene, none to `MOST_KINDS`."""
    rng = np.random.default_rng([seed, 0])
    chosen = [kind for kind, share in SHARES.items() if rng.random() < share]
    return tuple(chosen[:MOST_KINDS])


def jpeg(seed: int, kinds: tuple[str, ...] | None = None) -> bytes:
    """A table with some kinds of fruit, one or two of each, among other things.

    Args:
        seed: The same seed gives the same picture.
        kinds: The kinds; by default those of `kinds_of`.
    """
    rng = np.random.default_rng([seed, 1])
    height, width = sample_images.SIZES[rng.integers(len(sample_images.SIZES))]
    scale = sample_images._SCALE
    picture = sample_images._table(rng, (width * scale, height * scale))
    _clutter(picture, rng)
    fruit = list(kinds_of(seed) if kinds is None else kinds)
    for kind in rng.permutation(fruit + [each for each in fruit if rng.random() < 0.4]):
        sample_images._lay(picture, KINDS[str(kind)], rng)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.choice((0, 0, 0.6)))))
    file = io.BytesIO()
    sample_images._lit(picture, rng).save(file, "JPEG", quality=sample_images.QUALITY)
    return file.getvalue()


def _clutter(picture: Image.Image, rng: np.random.Generator) -> None:
    """Plates, cards and straws that are no fruit."""
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 6))):
        colour = tuple(int(value) for value in rng.integers(40, 240, 3))
        x, y = (float(rng.uniform(0, side)) for side in picture.size)
        size = float(rng.uniform(0.08, 0.3)) * min(picture.size)
        form = rng.choice(("plate", "card", "straw"))
        if form == "plate":
            draw.ellipse((x - size, y - size, x + size, y + 0.7 * size), fill=colour)
            draw.arc((x - size, y - size, x + size, y + 0.7 * size), 0, 360, (90, 90, 90), 4)
        elif form == "card":
            draw.rectangle((x, y, x + size, y + 0.6 * size), fill=colour)
        else:
            draw.line((x, y, x + 2 * size, y + size * rng.normal()), fill=colour, width=10)


def scenes(count: int, *, first: int = 0) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    """Names, files and kinds of some scenes."""
    for seed in range(first, first + count):
        yield f"{seed:04}.jpg", jpeg(seed), kinds_of(seed)


def write(folder: Path, count: int, *, first: int = 0) -> Path:
    """Write scenes and their list.

    Returns:
        The list, with the columns path and label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,label"]
    for name, content, kinds in scenes(count, first=first):
        (folder / name).write_bytes(content)
        rows.append(f"{name},{'|'.join(kinds)}")
    path = folder / "scenes.csv"
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300)
