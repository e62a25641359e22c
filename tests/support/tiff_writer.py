"""Write TIFFs of any layout, byte by byte: what no library writes, and what none should."""

from __future__ import annotations

import dataclasses
import lzma
import struct
import zlib
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RAW, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA = 1, 5, 8, 32946, 32773, 34925
FORMATS = {1: "u", 2: "i", 3: "f"}
TILE = 16


@dataclass(frozen=True)
class Page:
    """A page, and how it is laid out.

    Args:
        samples: Shape (height, width, samples); of the type that the format and bits have.
        bits: Of a sample.
        photometric: As the tag; None leaves it out.
        sample_format: 1, 2 or 3: unsigned, signed, floating-point.
        planar: 1 or 2.
        compression: One of those above.
        predictor: 1, 2 or 3.
        strip_rows: Rows of a strip; 0 for tiles of 16 x 16.
        extra: What the samples beyond the colours are.
        subfile: 1 for a reduced copy.
        more: Further fields: tag, type (3 for 16 bits, 4 for 32, 11 for floats), values.
    """

    samples: npt.NDArray[Any]
    bits: int
    photometric: int | None
    sample_format: int = 1
    planar: int = 1
    compression: int = RAW
    predictor: int = 1
    strip_rows: int = 5
    extra: tuple[int, ...] = ()
    subfile: int = 0
    more: tuple[tuple[int, int, Sequence[float]], ...] = ()


def write(pages: Sequence[Page], order: str = "<") -> bytes:
    """A file of these pages.

    Args:
        pages: At least one.
        order: ``"<"`` for little-endian, ``">"`` for big-endian.
    """
    file = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link = 4
    for page in pages:
        pieces = [_encoded(page, piece, order) for piece in _pieces(page)]
        offsets = []
        for piece in pieces:
            offsets.append(len(file))
            file += piece
        fields = _fields(page, offsets, [len(piece) for piece in pieces])
        at = len(file) + len(file) % 2
        values_at = at + 2 + 12 * len(fields) + 4
        rows, values = entries(fields, order, values_at)
        file[link : link + 4] = struct.pack(order + "I", at)
        file += bytes(at - len(file)) + struct.pack(order + "H", len(fields)) + rows
        link = len(file)
        file += bytes(4) + values
    return bytes(file)


def entries(
    fields: Iterable[tuple[int, int, Sequence[float]]], order: str, values_at: int
) -> tuple[bytes, bytes]:
    """The rows of a directory (tag, type, numbers), and what they refer to from there on."""
    rows, values = b"", b""
    for tag, kind, numbers in fields:
        code = {3: "H", 4: "I", 11: "f"}[kind]
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        rows += struct.pack(order + "HHI", tag, kind, len(numbers))
        if len(packed) <= 4:
            rows += packed.ljust(4, b"\0")
        else:
            rows += struct.pack(order + "I", values_at + len(values))
            values += packed
    return rows, values


def _fields(page: Page, offsets: list[int], lengths: list[int]) -> list[Any]:
    height, width, samples = page.samples.shape
    fields = [
        (254, 4, [page.subfile]),
        (256, 3, [width]),
        (257, 3, [height]),
        (258, 3, [page.bits] * samples),
        (259, 3, [page.compression]),
        (277, 3, [samples]),
        (284, 3, [page.planar]),
        (339, 3, [page.sample_format] * samples),
        *page.more,
    ]
    if page.photometric is not None:
        fields.append((262, 3, [page.photometric]))
    if page.predictor != 1:
        fields.append((317, 3, [page.predictor]))
    if page.extra:
        fields.append((338, 3, page.extra))
    if page.strip_rows:
        fields += [(273, 4, offsets), (278, 3, [page.strip_rows]), (279, 4, lengths)]
    else:
        fields += [(322, 3, [TILE]), (323, 3, [TILE]), (324, 4, offsets), (325, 4, lengths)]
    return sorted(fields)


def _pieces(page: Page) -> list[npt.NDArray[Any]]:
    """Strips or tiles, plane after plane, each of shape (rows, columns, samples)."""
    samples = page.samples
    planes = np.split(samples, samples.shape[2], axis=2) if page.planar == 2 else [samples]
    height, width = samples.shape[:2]
    pieces = []
    for plane in planes:
        if page.strip_rows:
            pieces += [plane[y : y + page.strip_rows] for y in range(0, height, page.strip_rows)]
            continue
        padded = np.pad(plane, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")
        for y in range(0, height, TILE):
            pieces += [padded[y : y + TILE, x : x + TILE] for x in range(0, width, TILE)]
    return pieces


def _encoded(page: Page, piece: npt.NDArray[Any], order: str) -> bytes:
    if page.bits not in (8, 16, 32, 64):
        numbers = piece.astype(">u8").reshape(len(piece), -1)
        split = np.unpackbits(numbers.view(np.uint8).reshape(*numbers.shape, 8), axis=2)
        data = np.packbits(split[..., -page.bits :].reshape(len(piece), -1), axis=1).tobytes()
    elif page.predictor == 3:
        size = page.bits // 8
        stored = piece.astype(f">f{size}").reshape(len(piece), -1)
        by_byte = stored.view(np.uint8).reshape(*stored.shape, size).swapaxes(1, 2)
        flat = by_byte.reshape(len(piece), -1, piece.shape[2])
        data = np.diff(flat, axis=1, prepend=np.zeros_like(flat[:, :1])).tobytes()
    else:
        size = page.bits // 8
        stored = piece.astype(f"{FORMATS[page.sample_format]}{size}")
        if page.predictor == 2:
            words = stored.view(f"u{size}")
            stored = np.diff(words, axis=1, prepend=np.zeros_like(words[:, :1]))
        data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    return _COMPRESS[page.compression](data)


def _packbits(data: bytes) -> bytes:
    return b"".join(
        bytes([len(data[at : at + 128]) - 1]) + data[at : at + 128]
        for at in range(0, len(data), 128)
    )


def _lzw(data: bytes) -> bytes:
    """Without a table: it is cleared before a code would need ten bits."""
    codes = []
    for at in range(0, len(data), 200):
        codes += [256, *data[at : at + 200]]
    codes.append(257)
    text = "".join(f"{code:09b}" for code in codes)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


_COMPRESS = {
    RAW: bytes,
    LZW: _lzw,
    DEFLATE: zlib.compress,
    OLD_DEFLATE: zlib.compress,
    PACKBITS: _packbits,
    LZMA: lzma.compress,
}


def uncompressed(page: Page) -> Page:
    """The same pixels, for readers that know no compression."""
    return dataclasses.replace(page, compression=RAW, predictor=1)
