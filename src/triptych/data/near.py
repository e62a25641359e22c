"""Find near-duplicates: copies of one photo, however they were resized or compressed.

A photo's *sketch* is itself at 18 x 16 pixels. Two photos are near when their difference hashes
(whether each grey pixel, at 9 x 8, is brighter than its left neighbour: 64 bits) differ in few bits
and the sketches themselves differ little. The hash makes the search fast; the sketch rejects
unrelated photos whose hashes are similar by chance.

Source: the difference hash is Neal Krawetz's ("Kind of Like That", hackerfactor.com, 2013).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from triptych.preprocessing import recipe
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import UInt8Array

_RECIPE = recipe.Recipe((16, 18), "raw", fit="square", interpolation="bilinear")
# ITU-R BT.601, as everywhere.
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
# Smaller steps are compression noise, as in plain areas such as a sky.
_LEAST_STEP = 2.0

MAX_BITS = 4
# Mean absolute difference of two sketches, out of 255. Copies at half the size, at JPEG quality 40
# or in 64 colours differ by at most 4.7, unrelated photos by at least 10. Pictures of similar
# things, such as digits, can be as close, but differ more relative to their contrast.
_MAX_DIFFERENCE = 6.0
_NOISE = 0.5
_SHARE_OF_CONTRAST = 0.065

# With 6 bands per hash, 4 wrong bits leave at least 2 bands intact: near hashes share two bands.
_BANDS = 6
_AGREEING = _BANDS - MAX_BITS
# How many photos with equal bands each photo is compared with; bounds the time.
_MOST_NEIGHBOURS = 100

_FIGURES = struct.Struct("<Qdd")

_BITS_SET = np.array([value.bit_count() for value in range(256)], np.uint8)


class Sketch(NamedTuple):
    """A tiny version of a photo, by which its copies are found.

    Args:
        pixels: Shape (864,), uint8.
        hash: The difference hash, 64 bits.
        mean: Of the pixels.
        contrast: Their standard deviation.
    """

    pixels: UInt8Array
    hash: int
    mean: float
    contrast: float

    def to_bytes(self) -> bytes:
        """Serialize the sketch."""
        return _FIGURES.pack(self.hash, self.mean, self.contrast) + self.pixels.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """Restore a sketch from the result of `to_bytes`."""
        number, mean, contrast = _FIGURES.unpack_from(data)
        return cls(np.frombuffer(data, np.uint8, offset=_FIGURES.size), number, mean, contrast)


def sketch(image: UInt8Array) -> Sketch:
    """Sketch a photo.

    Args:
        image: RGB, shape (H, W, 3).

    Example:
        >>> ramp = np.linspace(0, 255, 90, dtype=np.uint8)
        >>> image = np.broadcast_to(ramp[None, :, None], (80, 90, 3))
        >>> sketch(image).hash == 2**64 - 1, sketch(image[:, ::-1]).hash
        (True, 0)
    """
    pixels = recipe.resize(_RECIPE, np.ascontiguousarray(image))  # (16, 18, 3)
    grey = (pixels @ _GREY).reshape(8, 2, 9, 2).mean(axis=(1, 3))  # (8, 9)
    brighter = np.packbits(np.diff(grey) > _LEAST_STEP)  # (8,)
    number = int.from_bytes(brighter.tobytes(), "big")
    return Sketch(pixels.ravel(), number, float(pixels.mean()), float(pixels.std()))


def groups(sketches: Sequence[Sketch]) -> Indices:
    """Group photos so that near ones have the same number.

    Nearness is transitive here: all frames of a film may be one group.

    Args:
        sketches: N sketches, at least one.

    Returns:
        Shape (N,): the lowest index in the photo's group.

    Example:
        >>> ramp = np.linspace(0, 255, 90, dtype=np.uint8)
        >>> image = np.broadcast_to(ramp[None, :, None], (80, 90, 3))
        >>> groups([sketch(image), sketch(image[:, ::-1]), sketch(image[:40])]).tolist()
        [0, 1, 0]
    """
    pixels = np.stack([sketch.pixels for sketch in sketches])  # (N, 864)
    hashes = np.array([sketch.hash for sketch in sketches], np.uint64)
    means = np.array([sketch.mean for sketch in sketches])
    contrasts = np.array([sketch.contrast for sketch in sketches])
    limits = np.minimum(_NOISE + _SHARE_OF_CONTRAST * contrasts, _MAX_DIFFERENCE)
    edges = [round(64 * band / _BANDS) for band in range(_BANDS + 1)]
    bands = [(1 << high) - (1 << low) for low, high in itertools.pairwise(edges)]
    masks = [np.uint64(sum(pair)) for pair in itertools.combinations(bands, _AGREEING)]
    parents = np.arange(len(sketches))
    for number, mask in enumerate(masks):
        for left, right in _neighbours(hashes & mask, means):
            wrong = hashes[left] ^ hashes[right]  # (P,)
            is_new = parents[left] != parents[right]
            for earlier in masks[:number]:
                is_new &= wrong & earlier != 0
            left, right, wrong = left[is_new], right[is_new], wrong[is_new]
            few_bits = _BITS_SET[wrong.view(np.uint8).reshape(-1, 8)].sum(axis=1) <= MAX_BITS
            left, right = left[few_bits], right[few_bits]
            difference = np.abs(pixels[left].astype(np.int16) - pixels[right])  # (P, 864)
            near = difference.mean(axis=1) <= np.minimum(limits[left], limits[right])
            _join(parents, left[near], right[near])
    return parents


def _neighbours(
    keys: npt.NDArray[np.uint64], means: Float64Array
) -> Iterator[tuple[Indices, Indices]]:
    """Pairs with equal keys and similar brightness, in rounds of growing distance."""
    order = np.lexsort((means, keys))
    keys, means = keys[order], means[order]
    first = np.arange(len(order))
    for step in range(1, _MOST_NEIGHBOURS + 1):
        first = first[first + step < len(order)]
        second = first + step
        # Photos further apart in brightness cannot be near, nor can those after them.
        close = means[second] - means[first] <= _MAX_DIFFERENCE
        first = first[close & (keys[first] == keys[second])]
        if not len(first):
            return
        yield order[first], order[first + step]


def _join(parents: Indices, left: Indices, right: Indices) -> None:
    """Merge the groups of each pair; the lower number wins (union-find)."""
    if not len(left):
        return
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        low, high = sorted((_root(parents, one), _root(parents, other)))
        parents[high] = low
    while (parents != parents[parents]).any():
        parents[:] = parents[parents]


def _root(parents: Indices, index: int) -> int:
    while parents[index] != index:
        index = int(parents[index])
    return index
