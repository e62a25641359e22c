"""Occlusion: what an answer depends on, by covering one part of the picture after the other.

It needs only the outputs of a network, so it works for any, at the price of many forward passes.
The picture is cut into a grid of cells; a patch of two by two cells is moved over all of them, and
what the class's probability loses while a cell is covered, in the mean over the patches that cover
it, is the importance of the cell. A patch has the mean colour of the picture.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from triptych.typing import Float32Array
from triptych.typing import UInt8Image

# Of the grid, on a side. With patches of two by two, a network runs 8 x 8 times.
CELLS = 9
PATCHES = (CELLS - 1) ** 2


def covered(picture: UInt8Image) -> Iterator[UInt8Image]:
    """The picture with each patch covered in turn, row by row.

    Args:
        picture: RGB, shape (H, W, 3), with at least `CELLS` pixels on a side; left as it is.

    Returns:
        `PATCHES` new arrays of its shape.

    Example:
        >>> len(list(covered(np.zeros((27, 27, 3), np.uint8)))) == PATCHES
        True
    """
    colour = picture.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    rows, columns = (
        np.linspace(0, side, CELLS + 1).round().astype(int) for side in picture.shape[:2]
    )
    for row in range(CELLS - 1):
        for column in range(CELLS - 1):
            other = picture.copy()
            other[rows[row] : rows[row + 2], columns[column] : columns[column + 2]] = colour
            yield other


def worth(whole: float, parts: npt.NDArray[np.floating]) -> Float32Array:
    """How much the answer depends on each cell.

    Args:
        whole: The probability of a class where nothing is covered.
        parts: Shape (`PATCHES`,): where each patch is, in the order of `covered`.

    Returns:
        Shape (`CELLS`, `CELLS`): the loss of probability, in the mean over the patches that
        cover a cell; below zero where the class is likelier without it.
    """
    side = CELLS - 1
    losses = whole - parts.reshape(side, side).astype(np.float64)
    total, patches = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for down in (0, 1):
        for right in (0, 1):
            total[down : down + side, right : right + side] += losses
            patches[down : down + side, right : right + side] += 1
    return (total / patches).astype(np.float32)
