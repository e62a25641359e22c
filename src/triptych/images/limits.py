"""How large an image may be: bytes of its file, pixels of its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from triptych import errors
from triptych.utils.text import text

MB = 1024 * 1024

# A row is unpacked at once, in up to three copies.
_MAX_SIDE_PX = 1_000_000


@dataclass(frozen=True)
class Limits:
    """How large an image may be.

    Args:
        max_bytes: Of the file.
        max_pixels: Height times width of what is unpacked: of a JPEG at a reduced scale, those of
            that scale. Where unpacking takes much more memory or time per pixel (WebP, AVIF, CMYK
            and large progressive JPEG, HEIC with alpha or 10 bits, 16-bit PNG, deep TIFF,
            run-length BMP), proportionally fewer are allowed.
        max_unpacking_bytes: Of all pictures that this process unpacks at the same time. Others
            wait; one that needs more is unpacked alone.
    """

    max_bytes: int = 32 * MB
    max_pixels: int = 50_000_000
    max_unpacking_bytes: int = 1024 * MB


DEFAULT_LIMITS = Limits()
# The shorter side that is left for what is measured of a photo when it comes in: thumbnail, sketch
# and quality. Only JPEGs of more than 16 megapixels are reduced by it.
SCANNED_PX = 2000
# For photos that were within the limits when their data set was opened, whatever those were.
CHECKED_BEFORE = Limits(max_bytes=2**62, max_pixels=2**62)


def check_bytes(count: int, limits: Limits) -> None:
    """Refuse an empty file, and one with too many bytes.

    Raises:
        errors.EmptyImage: No bytes.
        errors.ImageTooLarge: Too many.
    """
    if count == 0:
        raise errors.EmptyImage(
            text("The file is empty (0 bytes). Choose an image and send it again.")
        )
    if count > limits.max_bytes:
        # Rounded up, so that one byte too many does not read as "32 MB; the limit is 32 MB".
        size, allowed = math.ceil(count / MB * 100) / 100, limits.max_bytes / MB
        raise errors.ImageTooLarge(
            text(
                "The file has {size:g} MB; the limit is {allowed:.6g} MB. Send a smaller or "
                "more strongly compressed image.",
                size=size,
                allowed=allowed,
            )
        )


def check_pixels(size: tuple[int, int], limits: Limits, *, cost: float = 1.0) -> None:
    """Refuse a picture with too many pixels, before any is unpacked.

    Args:
        size: Width and height.
        limits: Pixels allowed.
        cost: What a pixel of it costs to unpack, as a multiple of the usual.

    Raises:
        errors.TooManyPixels: Too many, in all or along one side.
    """
    width, height = size
    allowed = int(limits.max_pixels / cost)
    if width * height > allowed:
        raise errors.TooManyPixels(
            text(
                "The picture has {width:,} x {height:,} = {width_2:,} pixels; the "
                "limit{value} is {allowed:,}. Send a smaller one.",
                width=width,
                height=height,
                width_2=width * height,
                value=text(" for its kind") if cost > 1 else "",
                allowed=allowed,
            )
        )
    if max(size) > _MAX_SIDE_PX:
        raise errors.TooManyPixels(
            text(
                "The picture has {width:,} x {height:,} pixels; no side may have more than "
                "{max_side_px:,}. Send a part of it.",
                width=width,
                height=height,
                max_side_px=_MAX_SIDE_PX,
            )
        )
