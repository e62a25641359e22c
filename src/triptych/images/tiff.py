"""Read TIFF: libtiff, in Pillow, decompresses, and what the bytes mean is settled here.

Pillow reads some hundred combinations of the tags about pixels, and takes a few others for one of
them: planes apart at 16 bits, for example. So the pixels are described to it as rows of plain
bytes, which any combination is, and turned into samples and colours by this module. What a file
does not say, or says in a way that is not understood here, is refused. JPEG and fax compression
are Pillow's affair, in the few combinations that there are.

EXIF is built like a TIFF, so its fields are read here, too. All input is untrusted.

Source: TIFF Revision 6.0 (Adobe, 1992) and its Technical Notes 1 to 3.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL import ImageFile
from PIL import TiffImagePlugin

from triptych import errors
from triptych.images import depth
from triptych.images.limits import Limits
from triptych.images.limits import check_pixels
from triptych.typing import Array
from triptych.typing import UInt8Array

# ------------------------------------------------------------------ directories of fields

UNREADABLE = (struct.error, IndexError, ValueError, KeyError)

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 13: "u4"}
_NUMBERS = {**_UNSIGNED, 6: "i1", 8: "i2", 9: "i4", 11: "f4", 12: "f8"}
_TYPE_BYTES = dict(enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)))
_LONG = 4
_ROW_BYTES = 12
_MOST_PAGES, _MOST_FIELDS = 16, 4096

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS = 254, 255, 256, 257, 258
_COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES = 273, 274, 277, 278, 279
_LOWEST, _HIGHEST, _PLANAR, _PREDICTOR, _PALETTE = 280, 281, 284, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_SUB_IMAGES, _INKS, _EXTRA, _FORMAT, _DISPLAY_LOW, _DISPLAY_HIGH = 330, 332, 338, 339, 340, 341
_YCBCR_FACTORS, _SUBSAMPLING, _REFERENCE_BLACK_WHITE = 529, 530, 532
_XMP, _VOLUME_DEPTH, _DNG_VERSION = 700, 32997, 50706
_REDUCED, _MASK = 1, 4
# Fields that describe the layout of pixels; the others are metadata.
_PIXEL_TAGS = frozenset(
    (*range(256, 260), 262, 266, 273, *range(277, 280), 284, 292, 293, 317, 320, *range(322, 326))
) | {332, 338, 339, 347, *range(512, 522), *range(529, 533)}
# Some programs repeat these for each channel, which Pillow warns about.
_SINGLE = {256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}


class _Field(NamedTuple):
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
        self.fields: dict[int, _Field] = {}
        if at is None:
            (at,) = struct.unpack_from(self.order + "I", data, 4)
        (count,) = struct.unpack_from(self.order + "H", data, at)
        if count > _MOST_FIELDS:
            raise ValueError("more fields than any program writes")
        end = at + 2 + count * _ROW_BYTES
        for row_at in range(at + 2, end, _ROW_BYTES):
            tag, kind, length, offset = struct.unpack_from(self.order + "HHII", data, row_at)
            size = length * _TYPE_BYTES.get(kind, 0)
            where = row_at + 8 if size <= 4 else offset
            row = data[row_at : row_at + _ROW_BYTES]
            self.fields.setdefault(tag, _Field(tag, kind, length, where, size, row))
        # A file without the address of the next directory is cut.
        (self.next_at,) = struct.unpack_from(self.order + "I", data, end)

    def values(self, tag: int) -> npt.NDArray[np.integer[Any]]:
        """The numbers of a field; empty if it is missing or not of unsigned integers.

        Raises:
            ValueError: They are beyond the end of the file.
        """
        field = self.fields.get(tag)
        if field is None or field.kind not in _UNSIGNED:
            return np.empty(0, np.uint8)
        dtype = self.order + _UNSIGNED[field.kind]
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
        return bool(self.first(_SUBFILE, 0) & (_REDUCED | _MASK)) or (
            self.first(_OLD_SUBFILE, 1) == 2
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
    return iter(range(max(field.length for field in fields if field.tag in _PIXEL_TAGS)))


def is_camera_raw(data: bytes) -> bool:
    """Whether a TIFF is a camera raw file, whose first image is only a small preview."""
    try:
        page = Directory(data)
        is_preview = bool(page.first(_SUBFILE, 0) & _REDUCED)
    except UNREADABLE:
        return False
    return _DNG_VERSION in page.fields or (_SUB_IMAGES in page.fields and is_preview)


def lacks_its_end(data: bytes) -> bool:
    """Whether fields about pixels, or the pixels, extend beyond the end of the file."""
    page = first_page(data)
    fields = [field for field in page.fields.values() if field.tag in _PIXEL_TAGS]
    if any(field.at + field.size > len(data) for field in fields):
        return True
    for offsets_tag, lengths_tag in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
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
        (value,) = Directory(exif.removeprefix(b"Exif\0\0")).values(_ORIENTATION).tolist()
    except UNREADABLE:
        return None
    return value if 1 <= value <= 8 else None


def orientation_and_xmp(data: bytes) -> tuple[int | None, bytes]:
    """The orientation of a TIFF, and its XMP packet."""
    page = first_page(data)
    orientation = page.first(_ORIENTATION, 0)
    return (orientation if 1 <= orientation <= 8 else None), page.content(_XMP)


# ------------------------------------------------------------------ what the pixels are

_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE_INDEX, _INK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS = {_WHITE_IS_0: 1, _BLACK_IS_0: 1, _RGB: 3, _PALETTE_INDEX: 1, _INK: 4, _YCBCR: 3, _LAB: 3}
# The mode of the picture that it becomes, and Pillow's name for the order of its bytes.
_MODES = {
    **dict.fromkeys((_WHITE_IS_0, _BLACK_IS_0), "L"),
    **dict.fromkeys((_RGB, _PALETTE_INDEX), "RGB"),
    _INK: "CMYK",
    _YCBCR: "YCbCr",
    _LAB: "LAB",
}
# None, LZW, Deflate by either number, PackBits, LZMA, Zstandard: of bytes, whatever they mean.
_RAW, _OF_BYTES = 1, {1, 5, 8, 32946, 32773, 34925, 50000}
_WITH_PREDICTOR = {5, 8, 32946, 34925, 50000}
_FAX, _OLD_JPEG, _JPEG = {2, 3, 4, 32771}, 6, 7
_UNSPECIFIED, _ASSOCIATED_ALPHA, _ALPHA = 0, 1, 2
_CORELDRAW_ALPHA = 999
_SAMPLE_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}
_BAND_BYTES = 2**18


@dataclass(frozen=True)
class _Layout:
    """How a page's pixels are laid out.

    Args:
        page: Its fields.
        size: Width and height in pixels.
        photometric: What the samples mean.
        samples: Of a pixel.
        bits: Of a sample.
        kind: ``"u"``, ``"i"`` or ``"f"`` for unsigned, signed and floating-point samples.
        extra: What the samples after the colours are.
        is_planar: Whether each sample has a plane of its own.
        compression: Its number in the TIFF standard.
        predictor: The same.
        piece: Width and height of a tile, or of a strip.
    """

    page: Directory
    size: tuple[int, int]
    photometric: int
    samples: int
    bits: int
    kind: str
    extra: tuple[int, ...]
    is_planar: bool
    compression: int
    predictor: int
    piece: tuple[int, int]

    @property
    def plane_samples(self) -> int:
        """Samples of a pixel in one plane."""
        return 1 if self.is_planar else self.samples

    @property
    def padded_width(self) -> int:
        """Width in pixels, up to the end of the last tile."""
        return -(-self.size[0] // self.piece[0]) * self.piece[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of one plane."""
        return -(-self.padded_width * self.plane_samples * self.bits // 8)


def _refuse(reason: str) -> NoReturn:
    raise errors.UnsupportedImage(
        f"This TIFF file is of a variant that is not read here: {reason}. "
        f"Save it as an ordinary JPEG or PNG and send that."
    )


def _same(page: Directory, tag: int, default: int, what: str) -> int:
    """The one value that a field has for all samples."""
    values = page.values(tag)
    if len(values) and (values != values[0]).any():
        _refuse(f"its samples differ in {what}")
    return int(values[0]) if len(values) else default


def _layout(page: Directory) -> _Layout:
    """What a page says about its pixels; refused unless it is understood.

    Raises:
        errors.UnsupportedImage: It is not.
        ValueError: It contradicts itself.
    """
    photometric = page.first(_PHOTOMETRIC, -1)
    compression = page.first(_COMPRESSION, _RAW)
    if photometric not in _COLOURS:
        _refuse(f"photometric interpretation {photometric}" if photometric >= 0 else "no colours")
    if page.first(_VOLUME_DEPTH, 1) != 1:
        _refuse("a volume")
    size = page.first(_WIDTH, 0), page.first(_HEIGHT, 0)
    piece = (size[0], min(page.first(_STRIP_ROWS, size[1]), size[1]))
    if _TILES in page.fields:
        piece = page.first(_TILE_WIDTH, 0), page.first(_TILE_HEIGHT, 0)
    if 0 in size or 0 in piece:
        raise ValueError("no pixels")
    sample_format = _same(page, _FORMAT, 1, "format")
    planar = page.first(_PLANAR, 1)
    if sample_format not in _SAMPLE_KINDS or planar not in (1, 2):
        _refuse(f"sample format {sample_format}, planar configuration {planar}")
    colours = _COLOURS[photometric]
    layout = _Layout(
        page=page,
        size=size,
        photometric=photometric,
        samples=page.first(_SAMPLES, colours if compression == _OLD_JPEG else 1),
        bits=_same(page, _BITS, 8 if compression == _OLD_JPEG else 1, "bits"),
        kind=_SAMPLE_KINDS[sample_format],
        extra=tuple(page.values(_EXTRA).tolist()),
        is_planar=planar == 2,
        compression=compression,
        predictor=page.first(_PREDICTOR, 1),
        piece=piece,
    )
    _check_samples(layout)
    _check_compression(layout)
    return layout


def _check_samples(layout: _Layout) -> None:
    """Refuse samples whose meaning is unknown."""
    bits, kind, colours = layout.bits, layout.kind, _COLOURS[layout.photometric]
    more = layout.samples - colours
    extra = layout.extra or (
        (_CORELDRAW_ALPHA,) if layout.photometric == _RGB and more == 1 else ()
    )
    if more < 0 or more > len(extra):
        _refuse(f"{layout.samples} samples in photometric interpretation {layout.photometric}")
    if not {*extra[:more]} <= {_UNSPECIFIED, _ASSOCIATED_ALPHA, _ALPHA, _CORELDRAW_ALPHA}:
        _refuse("a sample of unknown meaning")
    is_grey = layout.photometric in (_WHITE_IS_0, _BLACK_IS_0)
    if more and (
        (is_grey and _UNSPECIFIED in extra[:more])
        or (layout.photometric == _WHITE_IS_0 and _ASSOCIATED_ALPHA in extra[:more])
        or (layout.photometric not in (_RGB, _BLACK_IS_0, _WHITE_IS_0) and {*extra[:more]} != {0})
    ):
        _refuse("a sample besides the colours")
    allowed: Any = {"u": (*range(1, 17), 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}[kind]
    if layout.photometric == _PALETTE_INDEX:
        allowed = range(1, 13) if kind == "u" else ()
    elif layout.photometric == _INK:
        allowed = (8, 16) if kind == "u" and layout.page.first(_INKS, 1) == 1 else ()
    elif layout.photometric in (_YCBCR, _LAB):
        allowed = (8,) if kind == "u" else ()
    if bits not in allowed:
        _refuse(f"{bits} bits ({kind}) in photometric interpretation {layout.photometric}")


def _check_compression(layout: _Layout) -> None:
    """Refuse a compression that is unknown, or unknown with these samples."""
    page, compression, predictor = layout.page, layout.compression, layout.predictor
    if compression in _OF_BYTES:
        is_reversed = page.first(_FILL_ORDER, 1) != 1
        if is_reversed and (compression != _RAW or layout.bits > 8):
            _refuse("bits in reverse")
        if layout.photometric == _YCBCR and (
            page.values(_SUBSAMPLING).tolist() != [1, 1]
            or _YCBCR_FACTORS in page.fields
            or _REFERENCE_BLACK_WHITE in page.fields
        ):
            _refuse("subsampled colours without JPEG")
        if predictor != 1 and (
            compression not in _WITH_PREDICTOR
            or predictor not in (2, 3)
            or layout.bits not in (8, 16, 32, 64)
            or (predictor == 3 and layout.kind != "f")
        ):
            _refuse(f"predictor {predictor} with compression {compression}")
        if layout.piece[0] * layout.plane_samples * layout.bits % 8 and _TILES in page.fields:
            _refuse("tiles that end inside a byte")
        return
    is_bare = layout.samples == _COLOURS[layout.photometric] and not layout.is_planar
    if compression in _FAX:
        is_read = is_bare and layout.bits == 1 and layout.photometric in (0, 1)
    elif compression in (_OLD_JPEG, _JPEG):
        photometrics = (_BLACK_IS_0, _RGB, _YCBCR) if compression == _JPEG else (_YCBCR,)
        is_read = is_bare and layout.bits == 8 and layout.photometric in photometrics
    else:
        _refuse(f"compression {compression}")
    if not is_read or layout.kind != "u":
        _refuse(f"compression {compression} of {layout.samples} samples of {layout.bits} bits")


# ------------------------------------------------------------------ reading


class _Pillow(TiffImagePlugin.TiffImageFile):
    """Pillow's reader, without its own limit of pixels: ours was applied before."""

    def load_prepare(self) -> None:
        ImageFile.ImageFile.load_prepare(self)


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
    layout = _layout(page)
    check_pixels(layout.size, limits)
    # A tile is unpacked whole, however little of it the picture needs.
    check_pixels(layout.piece, limits)
    if layout.compression not in _OF_BYTES:
        rows = {tag: field.row for tag, field in page.fields.items() if tag in _PIXEL_TAGS}
        for tag in _SINGLE & rows.keys():
            rows[tag] = _row(page, tag, page.first(tag, 0))
        if any(page.fields[tag].at + page.fields[tag].size > len(data) for tag in rows):
            raise ValueError("fields beyond the end of the file")
        image: ImageFile.ImageFile = _Pillow(io.BytesIO(_with_directory(page, rows)))
    else:
        image = TiffFile(layout)
    image.info["bits"] = layout.bits * layout.samples
    return image


def _row(page: Directory, tag: int, value: int) -> bytes:
    return struct.pack(page.order + "HHII", tag, _LONG, 1, value)


def _part_of_row(page: Directory, tag: int, start: int, count: int) -> bytes:
    """A row with some of a field's values."""
    field = page.fields[tag]
    if field.kind not in _UNSIGNED or start + count > field.length:
        raise ValueError(f"TIFF tag {tag} has fewer values than there are pieces")
    size = _TYPE_BYTES[field.kind]
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


class TiffFile(ImageFile.ImageFile):
    """A page whose pixels are decompressed as plain bytes, and understood here.

    Args:
        layout: Of its pixels.
    """

    format = "TIFF"

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout
        super().__init__(io.BytesIO())

    def _open(self) -> None:
        layout = self._layout
        self._size = layout.size
        alphas = [self._alpha(kind) for kind in layout.extra[: layout.samples - self._colours]]
        if not layout.extra and layout.samples == 4 and layout.photometric == _RGB:
            alphas = [_ALPHA]  # said by nobody, but what others take it for
        self._alpha_at = next((n for n, kind in enumerate(alphas) if kind), None)
        self._is_associated = (
            self._alpha_at is not None and alphas[self._alpha_at] == _ASSOCIATED_ALPHA
        )
        has_alpha = self._alpha_at is not None and not self._is_associated
        self._mode = "RGBA" if has_alpha else _MODES[layout.photometric]

    @property
    def _colours(self) -> int:
        return _COLOURS[self._layout.photometric]

    @staticmethod
    def _alpha(kind: int) -> int:
        return _ALPHA if kind == _CORELDRAW_ALPHA else kind

    def load(self) -> Any:
        """Unpack the pixels; in bands, since another copy would double the memory."""
        if self._im is None:
            layout = self._layout
            planes = [_plane(layout, number) for number in range(layout.samples)]
            planes = planes if layout.is_planar else planes[:1]
            span = self._span(planes)
            alpha_span = self._alpha_span(planes, span)
            palette = _palette(layout) if layout.photometric == _PALETTE_INDEX else None
            picture = Image.new(self.mode, self.size)
            for top, samples in _bands(layout, planes):
                band = self._coloured(samples, span, alpha_span, palette)
                picture.paste(_image(band, self.mode), (0, top))
            self.im = picture.im
            self.info["depth_guess"] = span.guess
        return Image.Image.load(self)

    def _span(self, planes: list[Image.Image]) -> depth.Span:
        layout, page = self._layout, self._layout.page
        if layout.photometric == _PALETTE_INDEX or (layout.bits <= 8):
            low = -128 if layout.kind == "i" else 0
            return depth.Span(low, low + 2**layout.bits - 1)
        colours = (samples[..., : self._colours] for _, samples in _bands(layout, planes))
        first = page.number(_DISPLAY_HIGH)
        high = page.number(_HIGHEST) if first is None else first
        lowest = page.number(_LOWEST if first is None else _DISPLAY_LOW) or 0.0
        return depth.span(
            depth.measure(colours),
            _dtype(layout),
            bits=layout.bits,
            stated=None if high is None else (lowest, high),
        )

    def _alpha_span(self, planes: list[Image.Image], span: depth.Span) -> depth.Span:
        """The values of clear and opaque: those of the colours, unless alpha goes beyond."""
        if self._alpha_at is None or self._layout.kind != "u":
            return span
        bands = _bands(self._layout, planes)
        extent = depth.measure(self._alpha_of(samples) for _, samples in bands)
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
        if self._layout.photometric == _WHITE_IS_0:
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


def _dtype(layout: _Layout) -> np.dtype[Any]:
    """The type of a sample in memory."""
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= layout.bits)
    return np.dtype(f"{layout.kind}{size}")


def _palette(layout: _Layout) -> UInt8Array:
    colours = layout.page.values(_PALETTE)
    if len(colours) != 3 * 2**layout.bits:
        raise ValueError("the palette has another size than the samples need")
    # Some programs write bytes where the standard wants twice as many bits.
    is_wide = colours.max() > 255
    table = (colours >> 8 if is_wide else colours).astype(np.uint8)
    return np.ascontiguousarray(table.reshape(3, -1).T)


def _plane(layout: _Layout, number: int) -> Image.Image:
    """One plane of the page, decompressed: a grey picture whose pixels are the bytes."""
    page = layout.page
    is_tiled = _TILES in page.fields
    height = layout.size[1]
    down = -(-height // layout.piece[1])
    pieces = down * (layout.padded_width // layout.piece[0])
    start = number * pieces if layout.is_planar else 0
    rows = {
        tag: _row(page, tag, value)
        for tag, value in {
            _WIDTH: layout.row_bytes,
            _HEIGHT: height,
            _BITS: 8,
            _COMPRESSION: layout.compression,
            _PHOTOMETRIC: _BLACK_IS_0,
            _FILL_ORDER: page.first(_FILL_ORDER, 1),
            _SAMPLES: 1,
        }.items()
    }
    if is_tiled:
        rows[_TILE_WIDTH] = _row(
            page, _TILE_WIDTH, layout.row_bytes * layout.piece[0] // layout.padded_width
        )
        rows[_TILE_HEIGHT] = _row(page, _TILE_HEIGHT, layout.piece[1])
    else:
        rows[_STRIP_ROWS] = _row(page, _STRIP_ROWS, layout.piece[1])
    for tag in (_TILES, _TILE_BYTES) if is_tiled else (_STRIPS, _STRIP_BYTES):
        if tag in page.fields or tag in (_TILES, _STRIPS):
            rows[tag] = _part_of_row(page, tag, start, pieces)
    image = _Pillow(io.BytesIO(_with_directory(page, rows)))
    image.load()
    return image


def _bands(layout: _Layout, planes: list[Image.Image]) -> Iterator[tuple[int, Array]]:
    """The samples of some rows at a time: the number of the first, and (rows, width, samples)."""
    width, height = layout.size
    rows = max(1, _BAND_BYTES // layout.row_bytes)
    for top in range(0, height, rows):
        box = (0, top, layout.row_bytes, min(height, top + rows))
        each = [_samples(layout, np.asarray(plane.crop(box))) for plane in planes]
        yield top, np.concatenate(each, axis=2)[:, :width]


def _samples(layout: _Layout, rows: UInt8Array) -> Array:
    """The samples in rows of bytes, shape (rows, padded width, samples of the plane)."""
    bits, across, samples = layout.bits, layout.padded_width, layout.plane_samples
    count, order = len(rows), layout.page.order
    tiles, size = across // layout.piece[0], bits // 8
    if bits not in (8, 16, 32, 64):
        split = np.unpackbits(rows, axis=1, count=across * samples * bits)
        weights = 1 << np.arange(bits - 1, -1, -1, dtype=_dtype(layout))
        return (split.reshape(count, across, samples, bits) @ weights).astype(_dtype(layout))
    if layout.predictor == 3:
        # Bytes of one significance stand together, the highest first, as differences.
        summed = rows.reshape(count, tiles, -1, samples).cumsum(axis=2, dtype=np.uint8)
        bytewise = summed.reshape(count, tiles, size, -1).swapaxes(2, 3)
        values = np.ascontiguousarray(bytewise).view(f">f{size}")
        return values.astype(_dtype(layout)).reshape(count, across, samples)
    if layout.predictor == 2:
        words = rows.view(f"{order}u{size}").reshape(count, tiles, -1, samples)
        values = words.cumsum(axis=2, dtype=f"u{size}").view(_dtype(layout))
    else:
        values = rows.view(f"{order}{layout.kind}{size}").astype(_dtype(layout), copy=False)
    return values.reshape(count, across, samples)
