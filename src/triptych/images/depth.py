"""Scale samples of more than 8 bits, or of floats, to 8 bits.

What is white is what the file says; where it does not, the values decide: a detector of 12 bits
writes files of 16, whose brightest value is 4095. Such a decision is a guess, and named as one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from triptych.typing import Array
from triptych.typing import Float64Array
from triptych.typing import UInt8Array

# Bits that detectors and programs use, and the whites of floats made of them.
_DEPTHS = (8, 10, 12, 14, 16, 24, 32, 64)
_FLOAT_WHITES = (1, 255, 1023, 4095, 16383, 65535)


class Span(NamedTuple):
    """The values of black and white.

    Args:
        low: Black.
        high: White.
        guess: Why these, where only the values say so; empty where the file does.
    """

    low: float
    high: float
    guess: str = ""


class Extent(NamedTuple):
    """What the samples of a picture have in common.

    Args:
        low: The lowest that is a number.
        high: The highest; below ``low`` if none is a number.
        is_widened: Whether all are 8 bits, repeated to fill more.
    """

    low: float
    high: float
    is_widened: bool


def measure(bands: Iterable[Array]) -> Extent:
    """Find the extent of samples.

    Args:
        bands: All of them, in arrays of any shape and one type.

    Example:
        >>> measure([np.array([0, 514], np.uint16), np.array([257], np.uint16)])
        Extent(low=0.0, high=514.0, is_widened=True)
    """
    low, high, is_widened = math.inf, -math.inf, True
    for band in bands:
        if band.dtype.kind == "f":
            band = band[np.isfinite(band)].astype(np.float64)
        elif is_widened:
            is_widened = not (band % (np.iinfo(band.dtype).max // 255)).any()
        if band.size:
            low, high = min(low, float(band.min())), max(high, float(band.max()))
    return Extent(low, high, is_widened)


def span(
    extent: Extent,
    dtype: npt.DTypeLike,
    *,
    bits: int | None = None,
    stated: tuple[float, float] | None = None,
    significant: int | None = None,
) -> Span:
    """Find black and white.

    Args:
        extent: Of the samples.
        dtype: Their type.
        bits: Bits of a sample, where they are fewer than the type has.
        stated: Black and white, if the file states them; not believed if values are beyond.
        significant: How many bits were significant before, if the file states that.

    Example:
        >>> span(Extent(0, 3000, False), np.uint16)
        Span(low=0, high=4095, guess='no value needs more than 12 of 16 bits')
        >>> span(Extent(0, 3000, False), np.uint16, stated=(0, 65535))
        Span(low=0, high=65535, guess='')
    """
    dtype = np.dtype(dtype)
    bits = bits or 8 * dtype.itemsize
    if extent.low > extent.high:
        return Span(0, 0)
    if stated and stated[0] < stated[1] and stated[0] <= extent.low <= extent.high <= stated[1]:
        return Span(*stated)
    if dtype.kind == "f":
        whites = [white for white in _FLOAT_WHITES if extent.low >= 0 and extent.high <= white]
        if whites:
            return Span(0, whites[0], f"all values are floats between 0 and {whites[0]}")
        return Span(extent.low, extent.high, "the lowest and highest of its floats")
    if dtype.kind == "i" and bits > 8:
        return _signed(extent, bits)
    if dtype.kind == "i":
        return Span(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if bits in (16, 32, 64) and not extent.is_widened:
        used = significant or next((depth for depth in _DEPTHS if extent.high < 2**depth), bits)
        if used < bits and extent.high < 2**used:
            return Span(0, 2**used - 1, f"no value needs more than {used} of {bits} bits")
    return Span(0, 2**bits - 1)


def _signed(extent: Extent, bits: int) -> Span:
    if extent.low >= 0:
        used = next(depth for depth in (*_DEPTHS, bits - 1) if extent.high < 2**depth)
        used = min(used, bits - 1)
        return Span(0, 2**used - 1, f"no value is negative or needs more than {used} bits")
    if extent.low < -(2 ** (bits - 2)) or extent.high >= 2 ** (bits - 2):
        return Span(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return Span(extent.low, extent.high, "the lowest and highest of its signed values")


def scale(samples: Array, span: Span) -> UInt8Array:
    """Scale samples to 0..255, rounded; values beyond black and white are clipped.

    Args:
        samples: Of any shape and type; not-a-number becomes black.
        span: Black and white.

    Example:
        >>> scale(np.array([0, 2048, 4095], np.uint16), Span(0, 4095)).tolist()
        [0, 128, 255]
    """
    if samples.dtype == np.uint8 and span[:2] == (0, 255):
        return samples
    if samples.dtype == np.uint16:
        return _table(span)[samples]
    # A signalling NaN warns when it is cast.
    with np.errstate(invalid="ignore"):
        values = np.nan_to_num(samples.astype(np.float64), nan=span.low)
    return _scaled(values, span)


@functools.lru_cache(maxsize=16)
def _table(span: Span) -> UInt8Array:
    return _scaled(np.arange(65536, dtype=np.float64), span)


def _scaled(values: Float64Array, span: Span) -> UInt8Array:
    # Halved, since the distance of two floats may be more than a float holds.
    low, high = span.low / 2, span.high / 2
    scaled = ((values / 2).clip(low, high) - low) / (high - low or 1)
    return (scaled * 255 + 0.5).astype(np.uint8)
