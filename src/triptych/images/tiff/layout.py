"""How the pixels of a TIFF page are laid out; what is not understood is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import NoReturn

from triptych import errors
from triptych.images.tiff import tags
from triptych.images.tiff.directory import Directory
from triptych.utils.text import text

WHITE_IS_0, BLACK_IS_0, RGB, PALETTE_INDEX, INK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
COLOURS = {WHITE_IS_0: 1, BLACK_IS_0: 1, RGB: 3, PALETTE_INDEX: 1, INK: 4, YCBCR: 3, LAB: 3}
# None, LZW, Deflate by either number, PackBits, LZMA, Zstandard: of bytes, whatever they mean.
RAW, OF_BYTES = 1, {1, 5, 8, 32946, 32773, 34925, 50000}
_WITH_PREDICTOR = {5, 8, 32946, 34925, 50000}
_FAX, _OLD_JPEG, _JPEG = {2, 3, 4, 32771}, 6, 7
UNSPECIFIED, ASSOCIATED_ALPHA, ALPHA = 0, 1, 2
CORELDRAW_ALPHA = 999
_SAMPLE_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}


@dataclass(frozen=True)
class Layout:
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
        text(
            "This TIFF file is of a variant that is not read here: {reason}. Save it as an "
            "ordinary JPEG or PNG and send that.",
            reason=reason,
        )
    )


def _same(page: Directory, tag: int, default: int, what: str) -> int:
    """The one value that a field has for all samples."""
    values = page.values(tag)
    if len(values) and (values != values[0]).any():
        _refuse(f"its samples differ in {what}")
    return int(values[0]) if len(values) else default


def read(page: Directory) -> Layout:
    """What a page says about its pixels; refused unless it is understood.

    Raises:
        errors.UnsupportedImage: It is not.
        ValueError: It contradicts itself.
    """
    photometric = page.first(tags.PHOTOMETRIC, -1)
    compression = page.first(tags.COMPRESSION, RAW)
    if photometric not in COLOURS:
        _refuse(f"photometric interpretation {photometric}" if photometric >= 0 else "no colours")
    if page.first(tags.VOLUME_DEPTH, 1) != 1:
        _refuse("a volume")
    size = page.first(tags.WIDTH, 0), page.first(tags.HEIGHT, 0)
    piece = (size[0], min(page.first(tags.STRIP_ROWS, size[1]), size[1]))
    if tags.TILES in page.fields:
        piece = page.first(tags.TILE_WIDTH, 0), page.first(tags.TILE_HEIGHT, 0)
    if 0 in size or 0 in piece:
        raise ValueError("no pixels")
    sample_format = _same(page, tags.FORMAT, 1, "format")
    planar = page.first(tags.PLANAR, 1)
    if sample_format not in _SAMPLE_KINDS or planar not in (1, 2):
        _refuse(f"sample format {sample_format}, planar configuration {planar}")
    colours = COLOURS[photometric]
    layout = Layout(
        page=page,
        size=size,
        photometric=photometric,
        samples=page.first(tags.SAMPLES, colours if compression == _OLD_JPEG else 1),
        bits=_same(page, tags.BITS, 8 if compression == _OLD_JPEG else 1, "bits"),
        kind=_SAMPLE_KINDS[sample_format],
        extra=tuple(page.values(tags.EXTRA).tolist()),
        is_planar=planar == 2,
        compression=compression,
        predictor=page.first(tags.PREDICTOR, 1),
        piece=piece,
    )
    _check_samples(layout)
    _check_compression(layout)
    return layout


def _check_samples(layout: Layout) -> None:
    """Refuse samples whose meaning is unknown."""
    bits, kind, colours = layout.bits, layout.kind, COLOURS[layout.photometric]
    more = layout.samples - colours
    extra = layout.extra or ((CORELDRAW_ALPHA,) if layout.photometric == RGB and more == 1 else ())
    if more < 0 or more > len(extra):
        _refuse(f"{layout.samples} samples in photometric interpretation {layout.photometric}")
    if not {*extra[:more]} <= {UNSPECIFIED, ASSOCIATED_ALPHA, ALPHA, CORELDRAW_ALPHA}:
        _refuse("a sample of unknown meaning")
    is_grey = layout.photometric in (WHITE_IS_0, BLACK_IS_0)
    if more and (
        (is_grey and UNSPECIFIED in extra[:more])
        or (layout.photometric == WHITE_IS_0 and ASSOCIATED_ALPHA in extra[:more])
        or (layout.photometric not in (RGB, BLACK_IS_0, WHITE_IS_0) and {*extra[:more]} != {0})
    ):
        _refuse("a sample besides the colours")
    allowed: Any = {"u": (*range(1, 17), 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}[kind]
    if layout.photometric == PALETTE_INDEX:
        allowed = range(1, 13) if kind == "u" else ()
    elif layout.photometric == INK:
        allowed = (8, 16) if kind == "u" and layout.page.first(tags.INKS, 1) == 1 else ()
    elif layout.photometric in (YCBCR, LAB):
        allowed = (8,) if kind == "u" else ()
    if bits not in allowed:
        _refuse(f"{bits} bits ({kind}) in photometric interpretation {layout.photometric}")


def _check_compression(layout: Layout) -> None:
    """Refuse a compression that is unknown, or unknown with these samples."""
    page, compression, predictor = layout.page, layout.compression, layout.predictor
    if compression in OF_BYTES:
        is_reversed = page.first(tags.FILL_ORDER, 1) != 1
        if is_reversed and (compression != RAW or layout.bits > 8):
            _refuse("bits in reverse")
        if layout.photometric == YCBCR and (
            page.values(tags.SUBSAMPLING).tolist() != [1, 1]
            or tags.YCBCR_FACTORS in page.fields
            or tags.REFERENCE_BLACK_WHITE in page.fields
        ):
            _refuse("subsampled colours without JPEG")
        if predictor != 1 and (
            compression not in _WITH_PREDICTOR
            or predictor not in (2, 3)
            or layout.bits not in (8, 16, 32, 64)
            or (predictor == 3 and layout.kind != "f")
        ):
            _refuse(f"predictor {predictor} with compression {compression}")
        if layout.piece[0] * layout.plane_samples * layout.bits % 8 and tags.TILES in page.fields:
            _refuse("tiles that end inside a byte")
        return
    is_bare = layout.samples == COLOURS[layout.photometric] and not layout.is_planar
    if compression in _FAX:
        is_read = is_bare and layout.bits == 1 and layout.photometric in (0, 1)
    elif compression in (_OLD_JPEG, _JPEG):
        photometrics = (BLACK_IS_0, RGB, YCBCR) if compression == _JPEG else (YCBCR,)
        is_read = is_bare and layout.bits == 8 and layout.photometric in photometrics
    else:
        _refuse(f"compression {compression}")
    if not is_read or layout.kind != "u":
        _refuse(f"compression {compression} of {layout.samples} samples of {layout.bits} bits")
