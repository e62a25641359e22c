"""Photos to measure with, in memory, so that no disk is measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from triptych import data
from triptych import errors
from triptych import images
from triptych.benchmark import synthetic
from triptych.typing import Notify

MAX_PHOTOS = 64
# Sizes as on web pages and from telephones.
SIZES = {"0.2 MP": (400, 500), "12 MP": (3000, 4000)}
PHOTOS_EACH = 4


@dataclass(frozen=True)
class Sample:
    """Photos of one kind.

    Args:
        name: What to call them.
        photos: Their files, at least one.
        megapixels: The median.
        is_synthetic: Whether they were generated for this.
    """

    name: str
    photos: tuple[bytes, ...]
    megapixels: float
    is_synthetic: bool = False

    @property
    def kilobytes(self) -> float:
        """The median size of a file."""
        return statistics.median(map(len, self.photos)) / 1000


def synthetic_samples() -> list[Sample]:
    """Generate photos of two sizes.

    Example:
        >>> [round(sample.megapixels, 1) for sample in synthetic_samples()]
        [0.2, 12.0]
    """
    return [
        Sample(
            name,
            tuple(synthetic.jpeg(size, seed=seed) for seed in range(PHOTOS_EACH)),
            math.prod(size) / 1e6,
            is_synthetic=True,
        )
        for name, size in SIZES.items()
    ]


def read(paths: Iterable[Path], say: Notify) -> Sample:
    """Read a person's own photos; what cannot be read is left out.

    Args:
        paths: Files and folders; of all the photos, the first `MAX_PHOTOS` that can be read.
        say: Called with a line for people when something is left out.

    Raises:
        errors.SourceError: There is not one photo.
    """
    photos: list[bytes] = []
    megapixels: list[float] = []
    files = (file for path in paths for file in (data.walk(path) if path.is_dir() else [path]))
    for path in files:
        if len(photos) == MAX_PHOTOS:
            say(f"Only the first {MAX_PHOTOS} photos are used.")
            break
        try:
            photo = images.read(path)
            height, width, _ = images.load(photo).shape
        except errors.TriptychError as error:
            say(f"Left out {path}: {error.message}")
        else:
            photos.append(photo)
            megapixels.append(height * width / 1e6)
    if not photos:
        raise errors.SourceError(
            "There is no photo to measure with; name files or folders of some."
        )
    return Sample("own photos", tuple(photos), statistics.median(megapixels))
