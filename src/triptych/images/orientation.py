"""Which way up a photo is, by what its file says in EXIF or XMP.

The first of these that names an orientation counts: the format's own field for EXIF (JPEG's APP1,
PNG's eXIf, WebP's EXIF, the page of a TIFF), an EXIF block in a text of a PNG, an XMP packet. In
AVIF and HEIC only their own boxes count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from PIL import Image

from triptych.images import containers
from triptych.images import tiff

UPRIGHT = 1

# An attribute or an element. Source: XMP specification, part 2, section 3.3.
_IN_XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\b""")


def of(exif: Iterable[bytes], xmp: Iterable[bytes]) -> int:
    """The orientation as EXIF counts, 1 to 8; 1 is upright.

    Args:
        exif: EXIF blocks, the most important first.
        xmp: XMP packets, which count where no EXIF block names an orientation.

    Example:
        >>> of([b"damaged"], [b'<rdf:Description tiff:Orientation="6"/>'])
        6
    """
    for block in exif:
        value = tiff.exif_orientation(block)
        if value is not None:
            return value
    for packet in xmp:
        if match := _IN_XMP.search(packet):
            return int(match[1])
    return UPRIGHT


def of_jpeg(data: bytes) -> int:
    """The orientation of a JPEG."""
    return of(*containers.jpeg_metadata(data))


def of_png(data: bytes) -> int:
    """The orientation of a PNG."""
    return of(*containers.png_metadata(data))


def of_tiff(data: bytes) -> int:
    """The orientation of the page of a TIFF that is read."""
    value, xmp = tiff.orientation_and_xmp(data)
    return value or of([], [xmp])


def of_image(image: Image.Image) -> int:
    """The orientation of a Pillow image, from what Pillow read beside its pixels."""
    exif, xmp = image.info.get("exif"), image.info.get("xmp")
    raw = image.info.get("Raw profile type exif")
    blocks = [exif] if isinstance(exif, bytes) else []
    if isinstance(raw, str):
        blocks.append(containers.raw_profile(raw.encode("ascii", "replace")))
    packet = image.info.get("XML:com.adobe.xmp", xmp)
    packet = packet.encode() if isinstance(packet, str) else packet
    return of(blocks, [packet] if isinstance(packet, bytes) else [])
