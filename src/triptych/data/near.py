"""Which photos are copies of one another, however they were resized or compressed.

A photo's *sketch* is itself at 18 x 16 pixels. Two photos are near when their difference hashes
(whether each grey pixel, at 9 x 8, is brighter than its left neighbour: 64 bits) differ in few bits
and the sketches themselves differ little. The hash makes the search quick. The sketch makes it
sure: unrelated photos with like hashes do occur.

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
# A step of less is noise of the compression, in plain areas such as a sky.
_LEAST_STEP = 2.0

MAX_BITS = 4
# Of 255, as the mean over the sketch. Copies at half the size, at JPEG quality 40 or in 64 colours
# differ by 4.7 at most, unrelated photos by 10 at least; but many pictures of like things, such as
# digits, are alike without being copies, and differ by more in proportion to their contrast.
_MAX_DIFFERENCE = 6.0
_NOISE = 0.5
_SHARE_OF_CONTRAST = 0.065

# Of 6 bands of a hash, 4 wrong bits leave at least 2 unharmed: near hashes agree in some two.
_BANDS = 6
_AGREEING = _BANDS - MAX_BITS
# How many neighbours a photo is compared with, of those that agree; bounds the time.
_MOST_NEIGHBOURS = 100

_FIGURES = struct.Struct("<Qdd")

_BITS_SET = np.array([value.bit_count() for value in range(256)], np.uint8)


class Sketch(NamedTuple):
    """What is kept of a photo to find its copies by.

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
        """The sketch as bytes, to be kept."""
        return _FIGURES.pack(self.hash, self.mean, self.contrast) + self.pixels.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """The sketch that `to_bytes` gave these for."""
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


class _Sketches(NamedTuple):
    """The same of N photos, as arrays."""

    pixels: UInt8Array  # (N, 864)
    hashes: npt.NDArray[np.uint64]  # (N,)
    means: Float64Array  # (N,)
    limits: Float64Array  # (N,): how much a copy may differ


def groups(sketches: Sequence[Sketch]) -> Indices:
    """Number photos so that near ones have the same number.

    What is near to one and the same photo is in one group, so a film's frames may all be.

    Args:
        sketches: N of them, one at least.

    Returns:
        Shape (N,): the lowest index in the photo's group.

    Example:
        >>> ramp = np.linspace(0, 255, 90, dtype=np.uint8)
        >>> image = np.broadcast_to(ramp[None, :, None], (80, 90, 3))
        >>> groups([sketch(image), sketch(image[:, ::-1]), sketch(image[:40])]).tolist()
        [0, 1, 0]
    """
    every = _stacked(sketches)
    parents = np.arange(len(sketches))
    masks = _masks()
    for number, mask in enumerate(masks):
        for left, right in _neighbours(every.hashes & mask, every.means):
            new = parents[left] != parents[right]
            wrong = every.hashes[left] ^ every.hashes[right]  # (P,)
            for earlier in masks[:number]:
                new &= wrong & earlier != 0
            _join(parents, *_near(every, left[new], right[new]))
    return parents


def _stacked(sketches: Sequence[Sketch]) -> _Sketches:
    pixels, hashes, means, contrasts = zip(*sketches, strict=True)
    limits = _NOISE + _SHARE_OF_CONTRAST * np.array(contrasts)
    return _Sketches(
        np.stack(pixels),
        np.array(hashes, np.uint64),
        np.array(means),
        np.minimum(limits, _MAX_DIFFERENCE),
    )


def _masks() -> list[np.uint64]:
    """The bits of every two bands."""
    edges = [round(64 * band / _BANDS) for band in range(_BANDS + 1)]
    bands = [(1 << high) - (1 << low) for low, high in itertools.pairwise(edges)]
    return [np.uint64(sum(chosen)) for chosen in itertools.combinations(bands, _AGREEING)]


def _neighbours(
    keys: npt.NDArray[np.uint64], means: Float64Array
) -> Iterator[tuple[Indices, Indices]]:
    """Pairs that agree in their keys and may be near by their means, in rounds."""
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


def _near(every: _Sketches, left: Indices, right: Indices) -> tuple[Indices, Indices]:
    """Those of the pairs that are near."""
    wrong = every.hashes[left] ^ every.hashes[right]  # (P,)
    few = _BITS_SET[wrong.view(np.uint8).reshape(-1, 8)].sum(axis=1) <= MAX_BITS
    left, right = left[few], right[few]
    difference = np.abs(every.pixels[left].astype(np.int16) - every.pixels[right])  # (P, 864)
    limits = np.minimum(every.limits[left], every.limits[right])
    near = difference.mean(axis=1) <= limits
    return left[near], right[near]


def _join(parents: Indices, left: Indices, right: Indices) -> None:
    """Give each pair the lower of their numbers, and so all that share one with them."""
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
