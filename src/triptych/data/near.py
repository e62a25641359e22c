"""Find near-duplicates: copies of one photo, however they were resized or compressed.

A photo's *sketch* is itself at 18 x 16 pixels. Two photos are near when their difference hashes
(whether each grey pixel, at 9 x 8, is brighter than its left neighbour: 64 bits) differ in few bits
and the sketches, normalised in brightness and contrast, differ little on average and nowhere
strongly. The hash makes the search fast; the average rejects unrelated photos whose hashes are
similar by chance; the largest local difference rejects photos of the same background with another
object.

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
from triptych.typing import Float32Array
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import UInt8Array

_RECIPE = recipe.Recipe((16, 18), "raw", fit="square", interpolation="bilinear")
# ITU-R BT.601, as everywhere.
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
# Smaller steps are compression noise, for example in a plain sky.
_LEAST_STEP = 2.0

MAX_BITS = 4
# Selected with photos of four sets and their copies (re-encoded, resized, of another brightness,
# cropped by 2 %), with objects drawn into photos, and with characters, digits and renders, which
# look alike without being copies; docs/teaching.md has the figures. All are out of 255 levels, or
# relative to the contrast: the standard deviation of a sketch.
_NOISE = 0.5
_SHARE_OF_CONTRAST = 0.08
_MAX_DIFFERENCE = 6.0
# For a block of 3 x 3 pixels, beyond what a shift by one pixel explains.
_BLOCK_NOISE = 1.0
_BLOCK_SHARE_OF_CONTRAST = 0.3
# Copies of other exposures.
_MAX_BRIGHTER = 40.0
_MAX_MORE_CONTRAST = 1.5
_SHAPE = (16, 18, 3)
# Pairs that are compared at once; limits the memory.
_PAIRS = 2048

# With 6 bands per hash, 4 wrong bits leave at least 2 bands intact: near hashes share two bands.
_BANDS = 6
_AGREEING = _BANDS - MAX_BITS
# How many photos with equal bands each photo is compared with; limits the time.
_MOST_NEIGHBOURS = 100

_FIGURES = struct.Struct("<Qdd")

_BITS_SET = np.array([value.bit_count() for value in range(256)], np.uint8)


class Sketch(NamedTuple):
    """A tiny version of a photo, used to find its copies.

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
            for start in range(0, len(left), _PAIRS):
                one, other = left[start : start + _PAIRS], right[start : start + _PAIRS]
                near = _are_near(pixels[one], pixels[other])
                _join(parents, one[near], other[near])
    return parents


def _are_near(one: UInt8Array, other: UInt8Array) -> npt.NDArray[np.bool_]:
    """Whether pairs of sketches, shape (P, 864), show the same apart from exposure; shape (P,)."""
    pair = [each.reshape(-1, *_SHAPE).astype(np.float32) for each in (one, other)]
    colours = [each.mean(axis=(1, 2), keepdims=True) for each in pair]  # (P, 1, 1, 3)
    pair = [each - colour for each, colour in zip(pair, colours, strict=True)]
    contrasts = np.stack([np.sqrt((each**2).mean(axis=(1, 2, 3))) for each in pair])  # (2, P)
    least, most = contrasts.min(axis=0), contrasts.max(axis=0)
    brighter = np.abs(colours[0] - colours[1]).max(axis=(1, 2, 3))
    # Photos without contrast are compared by brightness only.
    near: npt.NDArray[np.bool_] = (brighter <= np.minimum(_MAX_BRIGHTER, 2 * least + _NOISE)) & (
        most <= _MAX_MORE_CONTRAST * least + _NOISE
    )
    scales = least / np.maximum(contrasts, 1e-6)  # (2, P)
    pair = [each * scale[:, None, None, None] for each, scale in zip(pair, scales, strict=True)]
    average = np.abs(pair[0] - pair[1]).mean(axis=(1, 2, 3))
    near &= average <= np.minimum(_NOISE + _SHARE_OF_CONTRAST * least, _MAX_DIFFERENCE)
    candidates = np.flatnonzero(near)
    strongest = _strongest_block(*(each[candidates] for each in pair))
    near[candidates] = strongest <= _BLOCK_NOISE + _BLOCK_SHARE_OF_CONTRAST * least[candidates]
    return near


def _strongest_block(one: Float32Array, other: Float32Array) -> Float32Array:
    """The largest difference of a block, beyond what a shift explains.

    Args:
        one: Shape (P, 16, 18, 3).
        other: The same.

    Returns:
        Shape (P,).
    """
    beyond = np.zeros(one.shape[:3], np.float32)
    for this, that in ((one, other), (other, one)):
        around = _around(that)
        outside = np.maximum(this - around.max(axis=0), around.min(axis=0) - this)
        beyond = np.maximum(beyond, outside.max(axis=3))
    blocks: Float32Array = _around(beyond).mean(axis=0).max(axis=(1, 2))
    return blocks


def _around(images: Float32Array) -> Float32Array:
    """Each pixel and its eight neighbours, along a new first axis; border pixels are repeated."""
    border = [(0, 0), (1, 1), (1, 1), *[(0, 0)] * (images.ndim - 3)]
    padded = np.pad(images, border, mode="edge")
    height, width = images.shape[1:3]
    return np.stack([padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)])


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
        close = means[second] - means[first] <= _MAX_BRIGHTER
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
