"""Directories of a TIFF: the fields of each page, and what can be read off them.

EXIF is built like a TIFF, so its fields are read here, too. All input is untrusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from triptych.images.tiff import tags

UNREADABLE = (struct.error, IndexError, ValueError, KeyError)

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 13: "u4"}
_NUMBERS = {**UNSIGNED, 6: "i1", 8: "i2", 9: "i4", 11: "f4", 12: "f8"}
TYPE_BYTES = dict(enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)))
_ROW_BYTES = 12
_MOST_PAGES, _MOST_FIELDS = 16, 4096
_REDUCED, _MASK = 1, 4


class Field(NamedTuple):
    """One field of a directory.

    Args:
        tag: Its number in the TIFF standard.
        kind: The number of its type.
        length: Number of values.
        at: Offset of the values in the file.
        size: Size of all values, in bytes.
        row: Its entry, 12 bytes.
    """

    tag: int
    kind: int
    length: int
    at: int
    size: int
    row: bytes


class Directory:
    """The fields of one page of a TIFF, or of an EXIF block.

    Args:
        data: The file.
        at: Where the directory begins; by default that of the first page.

    Raises:
        struct.error: The file ends before.
        KeyError: It is no TIFF.
        ValueError: It has more fields than any program writes.
    """

    def __init__(self, data: bytes, at: int | None = None) -> None:
        self.data = data
        self.order = _ORDERS[data[:4]]
        self.fields: dict[int, Field] = {}
        if at is None:
            (at,) = struct.unpack_from(self.order + "I", data, 4)
        (count,) = struct.unpack_from(self.order + "H", data, at)
        if count > _MOST_FIELDS:
            raise ValueError("more fields than any program writes")
        end = at + 2 + count * _ROW_BYTES
        for row_at in range(at + 2, end, _ROW_BYTES):
            tag, kind, length, offset = struct.unpack_from(self.order + "HHII", data, row_at)
            size = length * TYPE_BYTES.get(kind, 0)
            where = row_at + 8 if size <= 4 else offset
            row = data[row_at : row_at + _ROW_BYTES]
            self.fields.setdefault(tag, Field(tag, kind, length, where, size, row))
        # A file without the address of the next directory is cut.
        (self.next_at,) = struct.unpack_from(self.order + "I", data, end)

    def values(self, tag: int) -> npt.NDArray[np.integer[Any]]:
        """The numbers of a field; empty if it is missing or not of unsigned integers.

        Raises:
            ValueError: They are beyond the end of the file.
        """
        field = self.fields.get(tag)
        if field is None or field.kind not in UNSIGNED:
            return np.empty(0, np.uint8)
        dtype = self.order + UNSIGNED[field.kind]
        return np.frombuffer(self.data, dtype, field.length, field.at)

    def first(self, tag: int, default: int) -> int:
        """The first number of a field, or the default where it is missing."""
        numbers = self.values(tag)
        return int(numbers[0]) if len(numbers) else default

    def number(self, tag: int) -> float | None:
        """The first number of a field of any sort, if all its numbers are the same."""
        field = self.fields.get(tag)
        if field is None or field.kind not in _NUMBERS or not field.length:
            return None
        dtype = self.order + _NUMBERS[field.kind]
        numbers = np.frombuffer(self.data, dtype, field.length, field.at)
        return float(numbers[0]) if (numbers == numbers[0]).all() else None

    def content(self, tag: int) -> bytes:
        """The bytes of a field; none if it is missing."""
        field = self.fields.get(tag)
        return self.data[field.at : field.at + field.size] if field else b""

    @property
    def is_reduced(self) -> bool:
        """Whether the page is a small copy of another, or a mask."""
        return bool(self.first(tags.SUBFILE, 0) & (_REDUCED | _MASK)) or (
            self.first(tags.OLD_SUBFILE, 1) == 2
        )


def first_page(data: bytes) -> Directory:
    """The first page that is a picture by itself, else the first of all.

    Raises:
        struct.error: The file ends before, or is no TIFF.
    """
    first = page = Directory(data)
    for _ in range(_MOST_PAGES):
        if not page.is_reduced:
            return page
        if not page.next_at:
            break
        page = Directory(data, page.next_at)
    return first


def parts(data: bytes) -> Iterator[int]:
    """As many numbers as the longest field about pixels has, usually the offsets of the strips."""
    fields = first_page(data).fields.values()
    return iter(range(max(field.length for field in fields if field.tag in tags.PIXEL_TAGS)))


def is_camera_raw(data: bytes) -> bool:
    """Whether a TIFF is a camera raw file, whose first image is only a small preview."""
    try:
        page = Directory(data)
        is_preview = bool(page.first(tags.SUBFILE, 0) & _REDUCED)
    except UNREADABLE:
        return False
    return tags.DNG_VERSION in page.fields or (tags.SUB_IMAGES in page.fields and is_preview)


def lacks_its_end(data: bytes) -> bool:
    """Whether fields about pixels, or the pixels, extend beyond the end of the file."""
    page = first_page(data)
    fields = [field for field in page.fields.values() if field.tag in tags.PIXEL_TAGS]
    if any(field.at + field.size > len(data) for field in fields):
        return True
    for offsets_tag, lengths_tag in (
        (tags.STRIPS, tags.STRIP_BYTES),
        (tags.TILES, tags.TILE_BYTES),
    ):
        offsets, lengths = page.values(offsets_tag), page.values(lengths_tag)
        pieces = min(len(offsets), len(lengths))
        if (offsets[:pieces].astype(np.int64) + lengths[:pieces] > len(data)).any():
            return True
    return False


def exif_orientation(exif: bytes) -> int | None:
    """The orientation in an EXIF block, 1 to 8; ``None`` if it is missing or unreadable.

    Source: CIPA DC-008 (Exif 2.32), tag 274.
    """
    try:
        (value,) = Directory(exif.removeprefix(b"Exif\0\0")).values(tags.ORIENTATION).tolist()
    except UNREADABLE:
        return None
    return value if 1 <= value <= 8 else None


def orientation_and_xmp(data: bytes) -> tuple[int | None, bytes]:
    """The orientation of a TIFF, and its XMP packet."""
    page = first_page(data)
    orientation = page.first(tags.ORIENTATION, 0)
    return (orientation if 1 <= orientation <= 8 else None), page.content(tags.XMP)
