"""Maps on photos: which part of a photo a map lies over, and maps laid on other grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triptych.preprocessing import recipe
from triptych.typing import Float32Array
from triptych.typing import Float64Array

# Left, top, right and bottom of a part of a photo, as shares of its width and height.
Box = tuple[float, float, float, float]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
# Of the map that several make together, on a side.
CELLS = 28


def box_of(for_recipe: recipe.Recipe, height: int, width: int) -> Box:
    """The part of a photo that a member sees, as shares of its width and height.

    Args:
        for_recipe: The member's recipe.
        height: Of the photo, in pixels.
        width: Of the photo, in pixels.

    Example:
        >>> box_of(recipe.Recipe((224, 224), "tf", crop_share=0.5), 100, 200)
        (0.375, 0.25, 0.625, 0.75)
    """
    left, top, right, bottom = recipe.window(for_recipe, height, width)
    return (left / width, top / height, right / width, bottom / height)


def together(
    heats: Sequence[Float32Array], boxes: Sequence[Box], *, shares: Sequence[float]
) -> tuple[Float32Array, Box]:
    """The mean of several maps, over all that any of them lies over.

    Args:
        heats: At least one, each of shape (h, w).
        boxes: The part of the photo under each.
        shares: How much each counts, at least 0 and not all of them 0.

    Returns:
        A map, and the part of the photo under it; where a map does not lie, it counts as 0.

    Example:
        >>> ones = np.ones((2, 2), np.float32)
        >>> heat, box = together([ones, ones], [(0.0, 0.0, 0.5, 1.0), WHOLE], shares=[1, 1])
        >>> heat[0, 0], heat[0, -1], box
        (np.float32(1.0), np.float32(0.5), (0.0, 0.0, 1.0, 1.0))
    """
    if len(heats) == 1:
        return heats[0], boxes[0]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    box = (min(lefts), min(tops), max(rights), max(bottoms))
    laid = [spread(*each, box, (CELLS, CELLS)) for each in zip(heats, boxes, strict=True)]
    total = sum(share * np.nan_to_num(heat) for share, heat in zip(shares, laid, strict=True))
    return np.asarray(total / sum(shares), np.float32), box


def spread(heat: Float32Array, box: Box, onto: Box, shape: tuple[int, int]) -> Float32Array:
    """Lay a map on another grid, with values in between by bilinear interpolation.

    Args:
        heat: Shape (h, w).
        box: The part of the photo under it.
        onto: The part of the photo under the other grid.
        shape: Of the other grid.

    Returns:
        An array of that shape; NaN outside the box.

    Example:
        >>> spread(np.ones((1, 1), np.float32), (0.5, 0, 1, 1), WHOLE, (1, 4)).tolist()
        [[nan, nan, 1.0, 1.0]]
    """
    rows = _interpolation(box[1], box[3], heat.shape[0], onto[1], onto[3], shape[0])
    columns = _interpolation(box[0], box[2], heat.shape[1], onto[0], onto[2], shape[1])
    inside = np.outer(rows.any(axis=1), columns.any(axis=1))
    return np.where(inside, rows @ heat @ columns.T, np.nan).astype(np.float32)


def _interpolation(
    start: float, end: float, cells: int, first: float, last: float, steps: int
) -> Float64Array:
    """Shape (steps, cells): how much each cell counts at the middle of each step."""
    middles = first + (np.arange(steps) + 0.5) * (last - first) / steps
    positions = (middles - start) / (end - start) * cells - 0.5
    inside = (positions >= -0.5) & (positions <= cells - 0.5)
    near = positions.clip(0, cells - 1)[:, None]
    return np.asarray(np.maximum(0, 1 - np.abs(near - np.arange(cells))) * inside[:, None])
