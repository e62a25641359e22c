"""Which photos are copies of one another, however they were resized or compressed.

A photo's *sketch* is itself at 9 x 8 pixels. Two photos are near when their difference hashes
(whether each grey pixel of the sketch is brighter than its left neighbour, 64 bits) differ in few
bits and the sketches themselves differ little. The hash makes the search quick, the sketch makes
it sure: pairs of unrelated photos with like hashes do occur.

Source: the difference hash is Neal Krawetz's ("Kind of Like That", hackerfactor.com, 2013).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from triptych import recipe

Sketches = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

_RECIPE = recipe.Recipe((8, 9), "raw", fit="square", interpolation="bilinear")
# ITU-R BT.601, as everywhere.
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
# A step of less is noise of the compression, in plain areas such as a sky.
_LEAST_STEP = 2.0

MAX_BITS = 4
MAX_DIFFERENCE = 6.0

# Of 6 bands of a hash, 4 wrong bits leave at least 2 unharmed: near hashes agree in some two.
_BANDS = 6
_AGREEING = _BANDS - MAX_BITS
# How many neighbours a photo is compared with, of those that agree; bounds the time.
_MOST_NEIGHBOURS = 256

_BITS_SET = np.array([value.bit_count() for value in range(256)], np.uint8)


def sketch(image: npt.NDArray[np.uint8]) -> Sketches:
    """The photo at 9 x 8 pixels.

    Args:
        image: RGB, shape (H, W, 3).

    Returns:
        Shape (8, 9, 3), uint8.
    """
    return recipe.resize(_RECIPE, image)


def hashes(sketches: Sketches) -> Hashes:
    """The difference hash of each sketch.

    Args:
        sketches: Shape (N, 8, 9, 3).

    Returns:
        Shape (N,), 64 bits each.
    """
    grey = sketches.astype(np.float32) @ _GREY  # (N, 8, 9)
    brighter = np.diff(grey, axis=2) > _LEAST_STEP  # (N, 8, 8)
    packed = np.packbits(brighter.reshape(-1, 64), axis=1)  # (N, 8)
    return packed.view(np.uint64)[:, 0]


def groups(sketches: Sketches) -> Indices:
    """Number the photos so that near ones have the same number.

    Args:
        sketches: Shape (N, 8, 9, 3).

    Returns:
        Shape (N,): the lowest index of the photo's group.

    Example:
        >>> bright = np.linspace(0, 255, 216).astype(np.uint8).reshape(8, 9, 3)
        >>> groups(np.stack([bright, bright[::-1], bright + 1])).tolist()
        [0, 1, 0]
    """
    keys = hashes(sketches)
    flat = sketches.reshape(len(sketches), -1)  # (N, 216)
    means = flat.mean(axis=1)
    parents = np.arange(len(sketches))
    for mask in _masks():
        for left, right in _neighbours(keys & mask, means):
            apart = parents[left] != parents[right]
            left, right = left[apart], right[apart]
            near = _near(keys, flat, left, right)
            _join(parents, left[near], right[near])
    return parents


def _masks() -> Iterator[np.uint64]:
    """The bits of every two bands."""
    edges = [round(64 * band / _BANDS) for band in range(_BANDS + 1)]
    bands = [(1 << high) - (1 << low) for low, high in itertools.pairwise(edges)]
    for chosen in itertools.combinations(bands, _AGREEING):
        yield np.uint64(sum(chosen))


def _neighbours(keys: Hashes, means: npt.NDArray[np.float64]) -> Iterator[tuple[Indices, Indices]]:
    """Pairs that agree in their keys and may be near by their means, in rounds."""
    order = np.lexsort((means, keys))
    keys, means = keys[order], means[order]
    first = np.arange(len(order))
    for step in range(1, _MOST_NEIGHBOURS + 1):
        first = first[first + step < len(order)]
        second = first + step
        # Photos further apart in brightness cannot be near, nor can those after them.
        agree = keys[first] == keys[second]
        first = first[agree & (means[second] - means[first] <= MAX_DIFFERENCE)]
        if not len(first):
            return
        yield order[first], order[first + step]


def _near(
    keys: Hashes, flat: npt.NDArray[np.uint8], left: Indices, right: Indices
) -> npt.NDArray[np.bool_]:
    wrong = (keys[left] ^ keys[right]).view(np.uint8).reshape(-1, 8)
    near: npt.NDArray[np.bool_] = _BITS_SET[wrong].sum(axis=1) <= MAX_BITS
    pairs = np.flatnonzero(near)
    difference = np.abs(flat[left[pairs]].astype(np.int16) - flat[right[pairs]])  # (P, 216)
    near[pairs] = difference.mean(axis=1) <= MAX_DIFFERENCE
    return near


def _join(parents: Indices, left: Indices, right: Indices) -> None:
    """Give each pair the lower of their numbers, and so all that share one with them."""
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        low, high = sorted((_root(parents, one), _root(parents, other)))
        parents[high] = low
    while (parents != parents[parents]).any():
        parents[:] = parents[parents]


def _root(parents: Indices, index: int) -> int:
    while parents[index] != index:
        index = int(parents[index])
    return index
