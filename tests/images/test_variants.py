"""TIFFs and PNGs of every layout: the pixels of the reference reader, or a refusal.

The reference for TIFF is tifffile, for the scaling of samples plain arithmetic. Where tifffile
needs another package for a compression, it reads the same page uncompressed.
"""

from __future__ import annotations

import io
import itertools
import logging
import struct
import zlib
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from support import tiff_writer
from support.image_formats import chunk
from support.tiff_writer import Page
from triptych import errors
from triptych import images

pytestmark = pytest.mark.slow

tifffile = pytest.importorskip("tifffile")
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # of odd files it reads all the same

HEIGHT, WIDTH = 13, 21
GREY, COLOURS = (0, 1), {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3, 32803: 1}
BITS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32, 64)
COMPRESSIONS = tuple(tiff_writer._COMPRESS)
DISPLAY_LOW, DISPLAY_HIGH = 340, 341


def drawn(rng: np.random.Generator, samples: int, bits: int, sample_format: int) -> Any:
    """Random samples that include the lowest and the highest value; floats between 0 and 1."""
    shape = (HEIGHT, WIDTH, samples)
    if sample_format == 3:
        values = rng.random(shape)
        values.flat[:2] = 0, 1
        return values.astype({16: np.float16, 32: np.float32}.get(bits, np.float64))
    low = -(2 ** (bits - 1)) if sample_format == 2 else 0
    high = low + 2**bits - 1
    kind = "i" if sample_format == 2 else "u"
    dtype = f"{kind}{next(size for size in (1, 2, 4, 8) if 8 * size >= bits)}"
    values = rng.integers(low, high, shape, dtype=dtype, endpoint=True)
    values[0, 0], values[0, 1] = low, high
    return values


def drawn_pages() -> list[tuple[str, list[Page], str]]:
    """Every combination of meaning, planes, bits and format; other properties vary in turn."""
    rng = np.random.default_rng(0)
    drawn_files = []
    for photometric, planar, bits, sample_format in itertools.product(
        (*COLOURS, None), (1, 2), BITS, (1, 2, 3)
    ):
        if sample_format == 3 and bits < 16:
            continue
        # More of what may be read.
        is_likely = photometric in (0, 1, 2, 3, 5) and sample_format != 2 * (photometric in (3, 5))
        heights = (0, *rng.integers(1, HEIGHT + 3, 3).tolist()) if is_likely else (5,)
        for strip_rows in heights:
            extra = ((), (), (), (), (0,), (1,), (2,))[rng.integers(7)]
            extra = extra if photometric in (1, 2, 9) else ()
            samples = COLOURS.get(photometric, 1) + len(extra)
            more: tuple[Any, ...] = ()
            if photometric == 3:
                palette = rng.integers(0, 2**16, 3 * 2 ** min(bits, 12)).tolist()
                more = ((320, 3, palette),)
            elif photometric == 6:
                more = ((530, 3, [[1, 1], [2, 2]][rng.integers(2)]),)
            page = Page(
                drawn(rng, samples, bits, sample_format),
                bits,
                photometric,
                sample_format,
                planar,
                int(rng.choice(COMPRESSIONS)),
                int(rng.choice([1, 1, 2, 3])),
                strip_rows,
                extra,
                more=more,
            )
            if page.predictor != 1 and bits not in (16, 32, 64):
                page = tiff_writer.uncompressed(page)
            if page.predictor == 3 and sample_format != 3:
                page = tiff_writer.uncompressed(page)
            pages = [page]
            if rng.integers(4) == 0:
                small = Page(np.zeros((3, 4, 1), np.uint8), 8, 1, subfile=1)
                pages = [[small, page], [page, small], [page, page]][rng.integers(3)]
            order = "<>"[rng.integers(2)]
            name = f"{page.photometric} {planar} {bits} {sample_format} {strip_rows} {extra}"
            drawn_files.append((name, pages, order))
    return drawn_files


def by_tifffile(page: Page, order: str) -> npt.NDArray[Any] | None:
    """The samples of a page, shape (height, width, samples); None if tifffile does not read it."""
    for same in (page, tiff_writer.uncompressed(page)):
        try:
            with tifffile.TiffFile(io.BytesIO(tiff_writer.write([same], order))) as file:
                samples = file.pages[0].asarray()
        # tifffile has no one error for layouts that it does not read.
        except (ValueError, NotImplementedError, TypeError, KeyError, tifffile.TiffFileError):
            continue
        if page.planar == 2 and samples.ndim == 3:
            samples = np.moveaxis(samples, 0, 2)
        return samples.reshape(page.samples.shape).astype(page.samples.dtype)
    return None


def expected(page: Page, samples: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The picture of samples, RGB."""
    colours = COLOURS[page.photometric or 0]
    if page.photometric == 3:
        palette = np.array(page.more[0][2]).reshape(3, -1).T >> 8
        return palette[samples[..., 0]].astype(float)
    values = samples.astype(np.float64)
    if page.sample_format == 3:
        values = values * 255
    else:
        low = -(2.0 ** (page.bits - 1)) if page.sample_format == 2 else 0.0
        values = (values - low) * 255 / (2.0**page.bits - 1)
    parts, alphas = values[..., :colours], values[..., colours:] / 255
    if page.photometric == 0:
        parts = 255 - parts
    mode = {5: "CMYK", 6: "YCbCr", 8: "LAB"}.get(page.photometric or 0)
    if mode:
        flat = np.ascontiguousarray(parts.round().astype(np.uint8))
        image = Image.frombytes(mode, (WIDTH, HEIGHT), flat.tobytes())
        parts = np.asarray(image.convert("RGB"), np.float64)
    rgb = np.repeat(parts, 3, axis=2) if parts.shape[2] == 1 else parts
    if page.extra[:1] == (2,):
        rgb = rgb * alphas + 255 * (1 - alphas)
    if page.extra[:1] == (1,):
        rgb = np.minimum(rgb + 255 * (1 - alphas), 255)
    return rgb


def test_every_tiff_equals_tifffile_or_is_refused() -> None:
    outcomes: Counter[str] = Counter()
    for name, pages, order in drawn_pages():
        page = next((page for page in pages if not page.subfile), pages[0])
        try:
            pixels = images.decode(tiff_writer.write(pages, order))
        except errors.UnsupportedImage:
            outcomes["refused"] += 1
            continue
        samples = by_tifffile(page, order)
        outcomes["read"] += 1
        if samples is None:
            outcomes["only here"] += 1
            samples = page.samples
        difference = np.abs(pixels - expected(page, samples)).max()
        # Colours and alpha are each rounded.
        assert difference <= (1.5 if page.extra else 1), (
            name,
            page.compression,
            page.predictor,
            difference,
        )
    assert outcomes["read"] + outcomes["refused"] >= 1000, outcomes
    assert outcomes["read"] >= 400, outcomes


# PNG


PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))


def filtered(rows: npt.NDArray[np.uint8], step: int, rng: np.random.Generator) -> bytes:
    """Rows of bytes, each with another filter. Source: PNG specification, section 9.2."""
    height, width = rows.shape
    padded = np.pad(rows.astype(int), ((1, 0), (step, 0)))
    here, left = padded[1:, step:], padded[1:, :width]
    above, corner = padded[:-1, step:], padded[:-1, :width]
    estimate = left + above - corner
    distances = np.abs(np.stack([estimate - each for each in (left, above, corner)]))
    paeth = np.choose(distances.argmin(axis=0), [left, above, corner])
    guesses = [0 * here, left, above, (left + above) // 2, paeth]
    kinds = rng.integers(0, 5, height)
    lines = [(here[y] - guesses[kind][y]) % 256 for y, kind in enumerate(kinds)]
    return b"".join(
        bytes([kind, *line.tolist()]) for kind, line in zip(kinds.tolist(), lines, strict=True)
    )


def png_of(
    samples: npt.NDArray[np.uint16],
    depth: int,
    colour: int,
    rng: np.random.Generator,
    *,
    before: bytes = b"",
    is_interlaced: bool = False,
) -> bytes:
    passes = [*ADAM7, (1, 0, 2, 1)] if is_interlaced else [(0, 0, 1, 1)]
    raw = b""
    for y, x, down, across in passes:
        part = samples[y::down, x::across]
        if not part.size:
            continue
        words = part.astype(">u2").reshape(len(part), -1, 1).view(np.uint8)
        bits = np.unpackbits(words, axis=2)[..., -depth:]
        rows = np.packbits(bits.reshape(len(part), -1), axis=1)
        raw += filtered(rows, max(1, depth * PNG_SAMPLES[colour] // 8), rng)
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(is_interlaced))
    content = zlib.compress(raw)
    half = len(content) // 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", content[:half])
        + chunk(b"IDAT", content[half:])
        + chunk(b"IEND", b"")
    )


def test_every_png_equals_the_written_pixels() -> None:
    """All colour types, depths, filters and passes; deep samples that use 8 to 16 bits."""
    rng = np.random.default_rng(1)
    count = 0
    for colour, samples in PNG_SAMPLES.items():
        for depth, is_interlaced, has_key, used, _ in itertools.product(
            PNG_DEPTHS[colour], (False, True), (False, True), (8, 10, 12, 14, 16), range(5)
        ):
            if depth < 16 and used != 8:
                continue
            top = 2 ** (used if depth == 16 else depth) - 1
            shape = (rng.integers(1, 20), rng.integers(1, 20), samples)
            values = rng.integers(0, top + 1, shape, np.uint16)
            values[0, 0] = top
            palette = rng.integers(0, 256, (2 ** min(depth, 8), 3), np.uint8)
            before = chunk(b"PLTE", palette.tobytes()) if colour == 3 else b""
            key = values[-1, -1]
            has_key &= colour in (0, 2) and not (values == key).all()
            if has_key:
                before += chunk(b"tRNS", key.astype(">u2").tobytes())
            data = png_of(values, depth, colour, rng, before=before, is_interlaced=is_interlaced)
            scaled = values * (255 / top)
            if colour == 3:
                rgb = palette[values[..., 0]].astype(float)
            else:
                rgb = np.repeat(scaled[..., :1], 3, axis=2) if samples < 3 else scaled[..., :3]
            if samples in (2, 4):
                rgb = rgb * scaled[..., -1:] / 255 + 255 - scaled[..., -1:]
            if has_key:
                rgb[(values == key).all(axis=2)] = 255
            # Of colours that use all 16 bits the higher byte counts; alpha is rounded, too.
            difference = np.abs(images.decode(data) - rgb).max()
            assert difference <= (2 if samples in (2, 4) else 1.5), (colour, depth, used, has_key)
            count += 1
    assert count >= 500
