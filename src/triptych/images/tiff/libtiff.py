"""Give pixels to libtiff, in Pillow, under other fields than those that the file has."""

from __future__ import annotations

import io
import struct

from PIL import ImageFile
from PIL import TiffImagePlugin

from triptych.images.tiff.directory import TYPE_BYTES
from triptych.images.tiff.directory import UNSIGNED
from triptych.images.tiff.directory import Directory

_LONG = 4


class _Pillow(TiffImagePlugin.TiffImageFile):
    """Pillow's reader, without its own limit of pixels: ours was applied before."""

    def load_prepare(self) -> None:
        ImageFile.ImageFile.load_prepare(self)


def unpack(page: Directory, rows: dict[int, bytes]) -> ImageFile.ImageFile:
    """Open a file with these fields as its only page; its pixels are unpacked by ``load``."""
    return _Pillow(io.BytesIO(_with_directory(page, rows)))


def row(page: Directory, tag: int, value: int) -> bytes:
    """The entry of a field with one number."""
    return struct.pack(page.order + "HHII", tag, _LONG, 1, value)


def part_of_row(page: Directory, tag: int, start: int, count: int) -> bytes:
    """The entry of a field with some of its values."""
    field = page.fields[tag]
    if field.kind not in UNSIGNED or start + count > field.length:
        raise ValueError(f"TIFF tag {tag} has fewer values than there are pieces")
    size = TYPE_BYTES[field.kind]
    at, length = field.at + start * size, count * size
    if at + length > len(page.data):
        raise ValueError(f"TIFF tag {tag} has more values than the file")
    value = (
        page.data[at : at + length].ljust(4, b"\0")
        if length <= 4
        else struct.pack(page.order + "I", at)
    )
    return struct.pack(page.order + "HHI", tag, field.kind, count) + value


def _with_directory(page: Directory, rows: dict[int, bytes]) -> bytes:
    """The file with these fields as its only page."""
    data, order = page.data, page.order
    at = len(data) + len(data) % 2
    directory = struct.pack(order + "H", len(rows)) + b"".join(rows[tag] for tag in sorted(rows))
    head = data[:4] + struct.pack(order + "I", at)
    return b"".join((head, memoryview(data)[8:], bytes(at - len(data)), directory, bytes(4)))
