"""From the samples of a TIFF page to colours: a Pillow image of an ordinary mode."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from PIL import ImageFile

from triptych.images import depth
from triptych.images.limits import Limits
from triptych.images.limits import check_pixels
from triptych.images.tiff import tags
from triptych.images.tiff.directory import first_page
from triptych.images.tiff.layout import ALPHA
from triptych.images.tiff.layout import ASSOCIATED_ALPHA
from triptych.images.tiff.layout import BLACK_IS_0
from triptych.images.tiff.layout import COLOURS
from triptych.images.tiff.layout import CORELDRAW_ALPHA
from triptych.images.tiff.layout import INK
from triptych.images.tiff.layout import LAB
from triptych.images.tiff.layout import OF_BYTES
from triptych.images.tiff.layout import PALETTE_INDEX
from triptych.images.tiff.layout import RGB
from triptych.images.tiff.layout import WHITE_IS_0
from triptych.images.tiff.layout import YCBCR
from triptych.images.tiff.layout import Layout
from triptych.images.tiff.layout import read as read_layout
from triptych.images.tiff.libtiff import row
from triptych.images.tiff.libtiff import unpack
from triptych.images.tiff.samples import bands
from triptych.images.tiff.samples import plane
from triptych.images.tiff.samples import sample_dtype
from triptych.typing import Array
from triptych.typing import UInt8Array

# The mode of the picture that each becomes.
_MODES = {
    **dict.fromkeys((WHITE_IS_0, BLACK_IS_0), "L"),
    **dict.fromkeys((RGB, PALETTE_INDEX), "RGB"),
    INK: "CMYK",
    YCBCR: "YCbCr",
    LAB: "LAB",
}


def open(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    """Open the first page that is a picture by itself.

    Args:
        data: The file.
        limits: Pixels allowed.

    Returns:
        A Pillow image, unpacked by its ``load``: L, RGB, RGBA, CMYK, YCbCr or LAB, or 1 for fax.

    Raises:
        errors.UnsupportedImage: Its pixels are laid out in a way that is not understood.
        errors.TooManyPixels: The picture, or a tile of it, is too large.
        ValueError: It is damaged.
    """
    page = first_page(data)
    layout = read_layout(page)
    check_pixels(layout.size, limits)
    # A tile is unpacked whole, however little of it the picture needs.
    check_pixels(layout.piece, limits)
    if layout.compression not in OF_BYTES:
        rows = {tag: field.row for tag, field in page.fields.items() if tag in tags.PIXEL_TAGS}
        for tag in tags.SINGLE & rows.keys():
            rows[tag] = row(page, tag, page.first(tag, 0))
        if any(page.fields[tag].at + page.fields[tag].size > len(data) for tag in rows):
            raise ValueError("fields beyond the end of the file")
        image: ImageFile.ImageFile = unpack(page, rows)
    else:
        image = TiffFile(layout)
    image.info["bits"] = layout.bits * layout.samples
    return image


class TiffFile(ImageFile.ImageFile):
    """A page whose pixels are decompressed as plain bytes, and understood here.

    Args:
        layout: Of its pixels.
    """

    format = "TIFF"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        super().__init__(io.BytesIO())

    def _open(self) -> None:
        layout = self._layout
        self._size = layout.size
        alphas = [self._alpha(kind) for kind in layout.extra[: layout.samples - self._colours]]
        if not layout.extra and layout.samples == 4 and layout.photometric == RGB:
            alphas = [ALPHA]  # said by nobody, but what others take it for
        self._alpha_at = next((n for n, kind in enumerate(alphas) if kind), None)
        self._is_associated = (
            self._alpha_at is not None and alphas[self._alpha_at] == ASSOCIATED_ALPHA
        )
        has_alpha = self._alpha_at is not None and not self._is_associated
        self._mode = "RGBA" if has_alpha else _MODES[layout.photometric]

    @property
    def _colours(self) -> int:
        return COLOURS[self._layout.photometric]

    @staticmethod
    def _alpha(kind: int) -> int:
        return ALPHA if kind == CORELDRAW_ALPHA else kind

    def load(self) -> Any:
        """Unpack the pixels; in bands, since another copy would double the memory."""
        if self._im is None:
            layout = self._layout
            planes = [plane(layout, number) for number in range(layout.samples)]
            planes = planes if layout.is_planar else planes[:1]
            span = self._span(planes)
            alpha_span = self._alpha_span(planes, span)
            palette = _palette(layout) if layout.photometric == PALETTE_INDEX else None
            picture = Image.new(self.mode, self.size)
            for top, samples in bands(layout, planes):
                band = self._coloured(samples, span, alpha_span, palette)
                picture.paste(_image(band, self.mode), (0, top))
            self.im = picture.im
            self.info["depth_guess"] = span.guess
        return Image.Image.load(self)

    def _span(self, planes: list[Image.Image]) -> depth.Span:
        layout, page = self._layout, self._layout.page
        if layout.photometric == PALETTE_INDEX or (layout.bits <= 8):
            low = -128 if layout.kind == "i" else 0
            return depth.Span(low, low + 2**layout.bits - 1)
        colours = (samples[..., : self._colours] for _, samples in bands(layout, planes))
        first = page.number(tags.DISPLAY_HIGH)
        high = page.number(tags.HIGHEST) if first is None else first
        lowest = page.number(tags.LOWEST if first is None else tags.DISPLAY_LOW) or 0.0
        return depth.span(
            depth.measure(colours),
            sample_dtype(layout),
            bits=layout.bits,
            stated=None if high is None else (lowest, high),
        )

    def _alpha_span(self, planes: list[Image.Image], span: depth.Span) -> depth.Span:
        """The values of clear and opaque: those of the colours, unless alpha goes beyond."""
        if self._alpha_at is None or self._layout.kind != "u":
            return span
        alphas = (self._alpha_of(samples) for _, samples in bands(self._layout, planes))
        extent = depth.measure(alphas)
        return depth.Span(0, 2**self._layout.bits - 1) if extent.high > float(span.high) else span

    def _alpha_of(self, samples: Array) -> Array:
        return samples[..., self._colours + (self._alpha_at or 0), None]

    def _coloured(
        self,
        samples: Array,
        span: depth.Span,
        alpha_span: depth.Span,
        palette: UInt8Array | None,
    ) -> UInt8Array:
        """Samples of some rows (rows, width, samples) as the bytes of the picture's mode."""
        if palette is not None:
            return palette[samples[..., 0]]
        colours = depth.scale(samples[..., : self._colours], span)
        if self._layout.photometric == WHITE_IS_0:
            colours = ~colours
        if self._alpha_at is None:
            return colours
        alpha = self._alpha_of(samples)
        alpha = depth.scale(alpha, alpha_span)
        if self._is_associated:  # colours are those over black already; white shows through
            sums = colours.astype(np.uint16) + (255 - alpha)
            clipped: UInt8Array = np.minimum(sums, 255).astype(np.uint8)
            return clipped
        if colours.shape[2] == 1:
            colours = np.repeat(colours, 3, axis=2)
        return np.concatenate([colours, alpha], axis=2)


def _image(band: UInt8Array, mode: str) -> Image.Image:
    height, width = band.shape[:2]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(band), "raw", mode, 0, 1)


def _palette(layout: Layout) -> UInt8Array:
    colours = layout.page.values(tags.PALETTE)
    if len(colours) != 3 * 2**layout.bits:
        raise ValueError("the palette has another size than the samples need")
    # Some programs write bytes where the standard wants twice as many bits.
    is_wide = colours.max() > 255
    table = (colours >> 8 if is_wide else colours).astype(np.uint8)
    return np.ascontiguousarray(table.reshape(3, -1).T)
