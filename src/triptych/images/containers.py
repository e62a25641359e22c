"""Parse the structure of image files, without decoding pixels.

Pillow decodes the images. This module reads what Pillow does not report, or reports only after it
has spent time and memory: whether a file is truncated, a photo's orientation, how much work a file
takes to decode. Its input is untrusted.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import re
import struct
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Raised by struct, indexing or NumPy on reading beyond the end, or for a wrong signature.
_UNREADABLE = (struct.error, IndexError, ValueError, KeyError)


def ends_early(lacks_its_end: Callable[[bytes], bool], data: bytes) -> bool:
    """Whether a file that could not be decoded is truncated, as after a broken download.

    Args:
        lacks_its_end: The check for the file's format, such as `webp_lacks_its_end`.
        data: The file.

    Example:
        >>> ends_early(webp_lacks_its_end, b"RIFF" + (1000).to_bytes(4, "little") + b"WEBP")
        True
    """
    try:
        return lacks_its_end(data)
    except _UNREADABLE:
        return True


def list_parts(parts: Callable[[bytes], Iterator[int]], data: bytes, *, stop: int) -> list[int]:
    """List the parts of a file that Pillow iterates over in Python.

    Args:
        parts: The parser for the file's format, such as `jpeg_markers`.
        data: The file.
        stop: Maximum length of the list.

    Returns:
        A number for each part; for JPEG it is the marker, such as `JPEG_SCAN`.
    """
    listed: list[int] = []
    with contextlib.suppress(*_UNREADABLE):
        for part in itertools.islice(parts(data), stop):
            listed.append(part)  # one by one: parts before an unreadable one count
    return listed


def _number(layout: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(layout, data, at)[0])


# JPEG: markers, each with a length, until the compressed data of a scan


# One with a length after it: not a stuffed byte (00), a restart (01, D0-D7) or padding (FF).
_JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
# Each scan costs a pass over the whole picture.
JPEG_SCAN = 0xDA
_JPEG_END = 0xD9


def jpeg_markers(data: bytes) -> Iterator[int]:
    """The markers up to the end of the picture, each as its second byte."""
    at = 2
    while match := _JPEG_MARKER.search(data, at):
        marker = match[1][0]
        yield marker
        if marker == _JPEG_END:
            return
        at = match.end() + _number(">H", data, match.end())


def jpeg_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    at_the_very_end = data.rstrip(b"\0").endswith(bytes([0xFF, _JPEG_END]))
    return not at_the_very_end and _JPEG_END not in jpeg_markers(data)


# PNG: chunks


_PNG_ANIMATION = (b"acTL", b"fcTL", b"fdAT")


def png_chunks(data: bytes) -> Iterator[int]:
    """Where each chunk begins."""
    at = 8
    while at + 8 <= len(data):
        yield at
        at += 12 + _number(">I", data, at)


def still_png(data: bytes) -> bytes:
    """Remove a PNG's animation: Pillow warns or fails on odd ones, though the image is intact.

    Source: PNG specification, third edition, sections 11.3.5.1 to 11.3.5.3.
    """
    if b"acTL" not in data:
        return data
    chunks = [*png_chunks(data), len(data)]
    return data[:8] + b"".join(
        data[start:end]
        for start, end in itertools.pairwise(chunks)
        if data[start + 4 : start + 8] not in _PNG_ANIMATION
    )


def png_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    return b"IEND\xaeB\x60\x82" not in data


# GIF: a screen, extensions made of short blocks, frames


def gif_size(data: bytes) -> tuple[int, int]:
    """Size of the screen and first frame of a GIF together, (width, height) in pixels.

    Pillow warns of a large one before it tells its size.

    Raises:
        struct.error: The file ends before.
    """
    width, height = struct.unpack_from("<HH", data, 6)
    try:
        left, top, columns, rows = struct.unpack_from("<HHHH", data, _gif_first_frame(data))
    except _UNREADABLE:
        return width, height
    return max(width, left + columns), max(height, top + rows)


def gif_parts(data: bytes) -> Iterator[int]:
    """Where each block of each extension begins, and at last the description of the first frame."""
    at = 13 + _gif_palette_bytes(data[10])
    while data[at] != ord(","):
        if data[at] == ord("!"):
            at += 2
            while data[at]:
                yield at
                at += data[at] + 1
        at += 1
    yield at + 1


def _gif_first_frame(data: bytes) -> int:
    return collections.deque(gif_parts(data), maxlen=1).pop()


def _gif_palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def gif_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    frame = _gif_first_frame(data)
    at = frame + 10 + _gif_palette_bytes(data[frame + 8])
    while data[at]:
        at += data[at] + 1
    return False


# WebP: a RIFF file whose first chunk has the size, in one of three ways


def webp_size(data: bytes) -> tuple[int, int]:
    """Size of a WebP picture, (width, height) in pixels.

    Pillow has claimed memory for it by the time it tells.

    Raises:
        struct.error: The file ends before.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    if data[12:16] == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return 1 + low_w + (high_w << 16), 1 + low_h + (high_h << 16)
    if data[12:16] == b"VP8L":
        bits = _number("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def webp_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    return _number("<I", data, 4) + 8 > len(data)


# TIFF, and EXIF, which is built like one: a directory of fields


class _TiffField(NamedTuple):
    """One field of a TIFF directory.

    Args:
        tag: Its number in the TIFF standard.
        row: Offset of its directory entry in the file.
        dtype: NumPy's name of its type; empty unless it is an unsigned integer.
        length: Number of values.
        at: Offset of the values in the file.
        size: Size of all values, in bytes.
    """

    tag: int
    row: int
    dtype: str
    length: int
    at: int
    size: int


_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_DTYPES = {1: "u1", 3: "u2", 4: "u4", 13: "u4"}
_TIFF_TYPE_BYTES = dict(enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)))
_TIFF_ROW_BYTES = 12

_PREVIEW = 254
_ORIENTATION = 274
_SUB_IMAGES = 330
_DNG_VERSION = 50706
# Offsets and lengths of the strips, or else of the tiles, that hold the pixels.
_PIECES = ((273, 279), (324, 325))
# Fields with a single number. Some programs repeat it per channel, which Pillow warns about.
_SINGLE_TAGS = {256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}
# Fields that describe the layout of pixels; the others are metadata.
_PIXEL_TAGS = frozenset(
    (*range(256, 260), 262, 266, 273, *range(277, 280), 284, 292, 293, 317, 320, *range(322, 326))
) | {332, 338, 339, 347, *range(512, 522), *range(529, 533)}


def _tiff_fields(data: bytes) -> Iterator[_TiffField]:
    order = _TIFF_ORDERS[data[:4]]
    at = _number(order + "I", data, 4)
    count = _number(order + "H", data, at)
    end = at + 2 + count * _TIFF_ROW_BYTES
    for row in range(at + 2, end, _TIFF_ROW_BYTES):
        tag, kind, length, offset = struct.unpack_from(order + "HHII", data, row)
        size = length * _TIFF_TYPE_BYTES.get(kind, 0)
        dtype = order + _TIFF_DTYPES[kind] if kind in _TIFF_DTYPES else ""
        yield _TiffField(tag, row, dtype, length, row + 8 if size <= 4 else offset, size)
    # The address of the next directory: a file without it is cut.
    _number(order + "I", data, end)


def _tiff_values(data: bytes, tag: int) -> npt.NDArray[np.integer[Any]]:
    """The numbers of one field; empty if it is missing or not of unsigned integers."""
    for field in _tiff_fields(data):
        if field.tag == tag and field.dtype:
            return np.frombuffer(data, field.dtype, field.length, field.at)
    return np.empty(0, np.uint8)


def tiff_parts(data: bytes) -> Iterator[int]:
    """As many numbers as the longest field about pixels has, usually the offsets of the strips."""
    lengths = (field.length for field in _tiff_fields(data) if field.tag in _PIXEL_TAGS)
    return iter(range(max(lengths)))


def is_camera_raw(data: bytes) -> bool:
    """Whether a TIFF is a camera raw file, whose first image is only a small preview."""
    try:
        tags = {field.tag for field in _tiff_fields(data)}
        is_preview = bool((_tiff_values(data, _PREVIEW) & 1).any())
    except _UNREADABLE:
        return False
    return _DNG_VERSION in tags or (_SUB_IMAGES in tags and is_preview)


def plain_tiff(data: bytes) -> bytes:
    """Blank out the metadata of a TIFF, and shorten fields that should hold a single number.

    Pillow reads all fields on opening a file, warns about odd ones (warnings are process-wide and
    cannot be suppressed for one thread), and fails on damaged metadata.

    Raises:
        ValueError: A field about pixels is damaged or truncated.
    """
    plain = bytearray(data)
    order = _TIFF_ORDERS[data[:4]]
    left = len(data)
    for field in _tiff_fields(data):
        after_tag = slice(field.row + 2, field.row + _TIFF_ROW_BYTES)
        if field.tag not in _PIXEL_TAGS:
            # No values, of type "byte": a field that readers skip.
            plain[after_tag] = struct.pack(order + "HII", 1, 0, 0)
            continue
        left -= field.size
        if field.at + field.size > len(data) or left < 0:
            raise ValueError(f"TIFF tag {field.tag} has more values than the file")
        if field.tag in _SINGLE_TAGS and field.length > 1:
            first = data[field.at : field.at + 4]
            plain[after_tag] = (
                data[field.row + 2 : field.row + 4] + struct.pack(order + "I", 1) + first
            )
    return bytes(plain)


def orientation(exif: bytes) -> int:
    """The EXIF orientation of a photo, 1 to 8; 1 (upright) if it is missing or unreadable.

    Args:
        exif: The EXIF block, or a whole TIFF file.

    Source: CIPA DC-008 (Exif 2.32), tag 274.
    """
    try:
        (value,) = _tiff_values(exif.removeprefix(b"Exif\0\0"), _ORIENTATION).tolist()
    except _UNREADABLE:
        return 1
    return value if 1 <= value <= 8 else 1


def tiff_lacks_its_end(data: bytes) -> bool:
    """Whether fields about pixels, or the pixels, extend beyond the end of the file."""
    fields = [field for field in _tiff_fields(data) if field.tag in _PIXEL_TAGS]
    if any(field.at + field.size > len(data) for field in fields):
        return True
    for offsets_tag, lengths_tag in _PIECES:
        offsets, lengths = _tiff_values(data, offsets_tag), _tiff_values(data, lengths_tag)
        pieces = min(len(offsets), len(lengths))
        if (offsets[:pieces].astype(np.int64) + lengths[:pieces] > len(data)).any():
            return True
    return False


# AVIF and HEIC: boxes within boxes


_EXIF_ITEM = re.compile(rb"(infe.{8}(?:..)?)Exif", re.DOTALL)


def without_exif(data: bytes) -> bytes:
    """Hide the EXIF block of an AVIF or HEIC file, since Pillow fails on damaged ones.

    Nothing is lost: these formats store the orientation in a field of their own.
    """
    return _EXIF_ITEM.sub(rb"\1skip", data)


def boxes_lack_their_end(data: bytes) -> bool:
    """Whether an AVIF or HEIC file is truncated."""
    at, has_pixels = 0, False
    while at < len(data):
        size = _number(">I", data, at)
        has_pixels |= data[at + 4 : at + 8] == b"mdat"
        if size == 1:
            size = _number(">Q", data, at + 8)
        if size < 8:
            # 0 means "to the end of the file", and 2 to 7 mean nothing.
            return False
        at += size
    return at > len(data) or not has_pixels


# BMP


def bmp_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    return _number("<I", data, 2) > len(data)
