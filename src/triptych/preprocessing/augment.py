"""Augmented views of a photo: each costs one feature extraction and gives one training example."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.typing import UInt8Image

CROP_SHARE = 0.8
MOST_GAIN = 0.25


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


def turn(image: UInt8Image) -> UInt8Image:
    """The photo turned by a quarter to the left.

    Args:
        image: Shape (H, W, 3).

    Example:
        >>> turn(np.arange(6, dtype=np.uint8).reshape(1, 2, 3)).tolist()
        [[[3, 4, 5]], [[0, 1, 2]]]
    """
    return np.ascontiguousarray(np.rot90(image))


def grey(image: UInt8Image) -> UInt8Image:
    """The photo without its colours, by the luma of ITU-R BT.601.

    Args:
        image: Shape (H, W, 3).

    Example:
        >>> grey(np.array([[[255, 0, 0]]], np.uint8)).tolist()
        [[[76, 76, 76]]]
    """
    luma = image @ np.array([0.299, 0.587, 0.114])
    return np.repeat(np.round(luma).astype(np.uint8)[..., None], 3, axis=-1)


View = Callable[[UInt8Image], UInt8Image]

PLAIN = "plain"
VIEWS: dict[str, View] = {
    PLAIN: lambda image: image,
    "flip": flip,
    "upper left": lambda image: crop(image, at_end=False),
    "lower right": lambda image: crop(image, at_end=True),
    "turn": turn,
    "grey": grey,
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


def shift_colours(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """The photo with each colour channel made brighter or darker at random.

    Args:
        image: Shape (H, W, 3).
        rng: Source of chance.
    """
    gains = rng.uniform(1 - MOST_GAIN, 1 + MOST_GAIN, 3).astype(np.float32)
    return np.asarray(np.minimum(image * gains, 255), np.uint8)


# What fine-tuning changes photos by at random, and the view on which it must keep their class.
RANDOM: dict[str, Callable[[UInt8Image, np.random.Generator], UInt8Image]] = {
    "flip": lambda image, rng: flip(image) if rng.random() < 0.5 else image,
    "turn": lambda image, rng: np.ascontiguousarray(np.rot90(image, int(rng.integers(4)))),
    "grey": shift_colours,
}
