"""Augmented views of a photo: each costs one feature extraction and gives one training example."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.typing import UInt8Image

CROP_SHARE = 0.8


def flip(image: UInt8Image) -> UInt8Image:
    """The photo flipped horizontally.

    Args:
        image: Shape (H, W, 3).

    Example:
        >>> flip(np.arange(6, dtype=np.uint8).reshape(1, 2, 3)).tolist()
        [[[3, 4, 5], [0, 1, 2]]]
    """
    return np.ascontiguousarray(image[:, ::-1])


def crop(image: UInt8Image, *, at_end: bool) -> UInt8Image:
    """Four fifths of the photo in each direction.

    Args:
        image: Shape (H, W, 3).
        at_end: Whether the lower right part is kept, and not the upper left.

    Example:
        >>> crop(np.zeros((100, 50, 3), np.uint8), at_end=True).shape
        (80, 40, 3)
    """
    height, width = (max(1, round(CROP_SHARE * side)) for side in image.shape[:2])
    return image[-height:, -width:] if at_end else image[:height, :width]


View = Callable[[UInt8Image], UInt8Image]

PLAIN = "plain"
VIEWS: dict[str, View] = {
    PLAIN: lambda image: image,
    "flip": flip,
    "upper left": lambda image: crop(image, at_end=False),
    "lower right": lambda image: crop(image, at_end=True),
}
AUGMENTATIONS = {"flips": ("flip",), "crops": ("upper left", "lower right")}


def of(augmentations: Sequence[str]) -> tuple[str, ...]:
    """The names of the views of a photo, the plain one first.

    Args:
        augmentations: Names from `AUGMENTATIONS`, in any order.

    Raises:
        errors.UnknownName: One is not in the table.

    Example:
        >>> of(["flips"])
        ('plain', 'flip')
    """
    unknown = set(augmentations) - set(AUGMENTATIONS)
    if unknown:
        raise errors.UnknownName(
            f"There is no augmentation {min(unknown)!r}; expected some of: "
            f"{', '.join(AUGMENTATIONS)}."
        )
    selected = [views for name, views in AUGMENTATIONS.items() if name in augmentations]
    return (PLAIN, *(view for views in selected for view in views))
