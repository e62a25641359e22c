"""From compressed bytes to the samples of a TIFF page, whatever they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from triptych.images.tiff import tags
from triptych.images.tiff.layout import BLACK_IS_0
from triptych.images.tiff.layout import Layout
from triptych.images.tiff.libtiff import part_of_row
from triptych.images.tiff.libtiff import row
from triptych.images.tiff.libtiff import unpack
from triptych.typing import Array
from triptych.typing import UInt8Array

_BAND_BYTES = 2**18


def sample_dtype(layout: Layout) -> np.dtype[Any]:
    """The type of a sample in memory."""
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= layout.bits)
    return np.dtype(f"{layout.kind}{size}")


def plane(layout: Layout, number: int) -> Image.Image:
    """One plane of the page, decompressed: a grey picture whose pixels are the bytes."""
    page = layout.page
    is_tiled = tags.TILES in page.fields
    height = layout.size[1]
    down = -(-height // layout.piece[1])
    pieces = down * (layout.padded_width // layout.piece[0])
    start = number * pieces if layout.is_planar else 0
    rows = {
        tag: row(page, tag, value)
        for tag, value in {
            tags.WIDTH: layout.row_bytes,
            tags.HEIGHT: height,
            tags.BITS: 8,
            tags.COMPRESSION: layout.compression,
            tags.PHOTOMETRIC: BLACK_IS_0,
            tags.FILL_ORDER: page.first(tags.FILL_ORDER, 1),
            tags.SAMPLES: 1,
        }.items()
    }
    if is_tiled:
        rows[tags.TILE_WIDTH] = row(
            page, tags.TILE_WIDTH, layout.row_bytes * layout.piece[0] // layout.padded_width
        )
        rows[tags.TILE_HEIGHT] = row(page, tags.TILE_HEIGHT, layout.piece[1])
    else:
        rows[tags.STRIP_ROWS] = row(page, tags.STRIP_ROWS, layout.piece[1])
    for tag in (tags.TILES, tags.TILE_BYTES) if is_tiled else (tags.STRIPS, tags.STRIP_BYTES):
        if tag in page.fields or tag in (tags.TILES, tags.STRIPS):
            rows[tag] = part_of_row(page, tag, start, pieces)
    image = unpack(page, rows)
    image.load()
    return image


def bands(layout: Layout, planes: list[Image.Image]) -> Iterator[tuple[int, Array]]:
    """The samples of some rows at a time: the number of the first, and (rows, width, samples)."""
    width, height = layout.size
    rows = max(1, _BAND_BYTES // layout.row_bytes)
    for top in range(0, height, rows):
        box = (0, top, layout.row_bytes, min(height, top + rows))
        each = [_samples(layout, np.asarray(plane.crop(box))) for plane in planes]
        yield top, np.concatenate(each, axis=2)[:, :width]


def _samples(layout: Layout, rows: UInt8Array) -> Array:
    """The samples in rows of bytes, shape (rows, padded width, samples of the plane)."""
    bits, across, samples = layout.bits, layout.padded_width, layout.plane_samples
    count, order = len(rows), layout.page.order
    tiles, size = across // layout.piece[0], bits // 8
    if bits not in (8, 16, 32, 64):
        split = np.unpackbits(rows, axis=1, count=across * samples * bits)
        weights = 1 << np.arange(bits - 1, -1, -1, dtype=sample_dtype(layout))
        return (split.reshape(count, across, samples, bits) @ weights).astype(sample_dtype(layout))
    if layout.predictor == 3:
        # Bytes of one significance stand together, the highest first, as differences.
        summed = rows.reshape(count, tiles, -1, samples).cumsum(axis=2, dtype=np.uint8)
        bytewise = summed.reshape(count, tiles, size, -1).swapaxes(2, 3)
        values = np.ascontiguousarray(bytewise).view(f">f{size}")
        return values.astype(sample_dtype(layout)).reshape(count, across, samples)
    if layout.predictor == 2:
        words = rows.view(f"{order}u{size}").reshape(count, tiles, -1, samples)
        values = words.cumsum(axis=2, dtype=f"u{size}").view(sample_dtype(layout))
    else:
        values = rows.view(f"{order}{layout.kind}{size}").astype(sample_dtype(layout), copy=False)
    return values.reshape(count, across, samples)
