"""The one table of image formats that are read.

To add a format, add a row to `FORMATS`, with a function that opens it. Decoding, the scan of
folders and archives, previews, messages and every ``accept`` attribute of the pages read the table.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import AvifImagePlugin
from PIL import BmpImagePlugin
from PIL import GifImagePlugin
from PIL import Image
from PIL import ImageFile
from PIL import JpegImagePlugin
from PIL import PngImagePlugin
from PIL import WebPImagePlugin

from triptych import errors
from triptych.images import containers
from triptych.images import deep_png
from triptych.images import limits as image_limits
from triptych.images import orientation
from triptych.images import tiff
from triptych.images.limits import Limits
from triptych.utils.text import text

# Position of the bit depth in a PNG.
_PNG_DEPTH_AT = 24
# Four in Pillow, three in the array, and what the decoder needs beside them.
PIXEL_BYTES = 10
# Pillow unpacks these compressions of BMP in Python, pixel by pixel.
_RUN_LENGTH_BMP = (1, 2)


def _cost_by_mode(**costs: float) -> Callable[[Image.Image], float]:
    return lambda image: costs.get(image.mode, 1.0)


@dataclass(frozen=True)
class Format:
    """An image format that is read.

    Args:
        name: Its short name.
        pillow_name: What Pillow calls it.
        mime_type: Its MIME type.
        suffixes: Endings of its files' names, without the dot, the usual one first.
        signature: A pattern for the first bytes of its files.
        open: Opens a file without unpacking it, by its bytes and the limits.
        lacks_its_end: Whether a file that could not be read was cut short. May raise what reading
            beyond the end raises, see `containers.ends_early`.
        parts: A number for each part of a file that Pillow goes through in Python to read it.
        cost: What a pixel costs to unpack, as a multiple of the usual `PIXEL_BYTES`: with that, 50
            million pixels stay within 500 MB, whatever the format.
        orientation: The orientation of the picture in a file, 1 to 8; where it is missing, that
            which Pillow reads is taken.
        in_browsers: Whether every browser shows it.
    """

    name: str
    pillow_name: str
    mime_type: str
    suffixes: tuple[str, ...]
    signature: bytes
    open: Callable[[bytes, Limits], ImageFile.ImageFile]
    lacks_its_end: Callable[[bytes], bool]
    parts: Callable[[bytes], Iterator[int]] | None = None
    cost: Callable[[Image.Image], float] = lambda image: 1.0
    orientation: Callable[[bytes], int] | None = None
    in_browsers: bool = True


# ------------------------------------------------------------------ one opener per format


def _open_jpeg(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(containers.plain_jpeg(data)))
    image.info["coefficient_bytes"] = containers.jpeg_coefficient_bytes(data)
    return image


def _jpeg_cost(image: Image.Image) -> float:
    # Coefficients are those of the full size, at whatever scale it is unpacked.
    coefficients: float = image.info.get("coefficient_bytes", 0) / (image.width * image.height)
    return max(1.2 if image.mode == "CMYK" else 1.0, (4 + coefficients) / 10)


def _open_png(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    plain = containers.plain_png(data)
    bits = data[_PNG_DEPTH_AT]
    if bits == 16:
        return deep_png.DeepPng(plain, containers.png_significant_bits(data))
    image = PngImagePlugin.PngImageFile(io.BytesIO(plain))
    key = image.info.get("transparency")
    if isinstance(key, int) and image.mode in ("1", "L"):
        # Pillow scales grey of fewer bits to 8, but not so the transparent one.
        image.info["transparency"] = (key % 2**bits) * 255 // (2**bits - 1)
    return image


def _open_webp(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    # The same limit as Pillow's, beyond which it fails.
    _check_pixels(containers.webp_size(data), limits, "WebP", 2 * (Image.MAX_IMAGE_PIXELS or 2**62))
    return WebPImagePlugin.WebPImageFile(io.BytesIO(data))


def _open_gif(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    # The same limit as Pillow's, beyond which it warns, and warnings belong to the whole process.
    _check_pixels(containers.gif_size(data), limits, "GIF", Image.MAX_IMAGE_PIXELS or 2**62)
    return GifImagePlugin.GifImageFile(io.BytesIO(data))


def _check_pixels(size: tuple[int, int], limits: Limits, name: str, most: int) -> None:
    image_limits.check_pixels(size, limits)
    if size[0] * size[1] > most:
        raise errors.TooManyPixels(
            text(
                "The picture has {size:,} x {size_2:,} pixels; of {name} files no more than "
                "{most:,} are read, whatever the settings say. Save it as JPEG or PNG and "
                "send that.",
                size=size[0],
                size_2=size[1],
                name=name,
                most=most,
            )
        )


def _tiff_cost(image: Image.Image) -> float:
    # The bytes of the file, beside one piece of it, which may be all of it, or the picture.
    pixel_bytes: float = image.info.get("bits", 0) / 8
    return max(1.0, (pixel_bytes + max(4.0, pixel_bytes)) / 10)


def _open_heic(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    try:
        import pillow_heif
    except ImportError:
        raise errors.UnsupportedImage(
            text(
                "This is a HEIC photo, as iPhones take them; the package that reads it is "
                'missing. Install it with pip install "triptych[heic]", or save the photo as '
                "JPEG."
            )
        ) from None
    reader: Callable[[io.BytesIO], ImageFile.ImageFile] = pillow_heif.HeifImageFile
    return _turned_by_its_boxes(reader(io.BytesIO(containers.without_exif(data))))


def _open_avif(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(containers.without_exif(data)))
    return _turned_by_its_boxes(image)


def _turned_by_its_boxes(image: ImageFile.ImageFile) -> ImageFile.ImageFile:
    # HEIF says which way up a picture is, in boxes that Pillow reads; XMP does not count.
    image.info.pop("xmp", None)
    return image


def _heic_cost(image: Image.Image) -> float:
    cost = 1.2 if image.mode == "RGBA" else 1.0
    return cost * 1.5 if image.info.get("bit_depth", 8) > 8 else cost


# ------------------------------------------------------------------ the table

# Tried from top to bottom: an AVIF may begin as a HEIC does.
FORMATS: tuple[Format, ...] = (
    Format(
        "JPEG",
        "JPEG",
        "image/jpeg",
        ("jpg", "jpeg", "jpe", "jfif", "mpo"),
        rb"\xff\xd8\xff",
        open=_open_jpeg,
        lacks_its_end=containers.jpeg_lacks_its_end,
        parts=containers.jpeg_markers,
        cost=_jpeg_cost,
        orientation=orientation.of_jpeg,
    ),
    Format(
        "PNG",
        "PNG",
        "image/png",
        ("png",),
        rb"\x89PNG\r\n\x1a\n",
        open=_open_png,
        lacks_its_end=containers.png_lacks_its_end,
        parts=containers.png_chunks,
        cost=lambda image: 1.5 if isinstance(image, deep_png.DeepPng) else 1.0,
        orientation=orientation.of_png,
    ),
    Format(
        "WebP",
        "WEBP",
        "image/webp",
        ("webp",),
        rb"RIFF.{4}WEBP",
        open=_open_webp,
        lacks_its_end=containers.webp_lacks_its_end,
        cost=_cost_by_mode(RGB=1.6, RGBA=1.6),
    ),
    Format(
        "GIF",
        "GIF",
        "image/gif",
        ("gif",),
        rb"GIF8[79]a",
        open=_open_gif,
        lacks_its_end=containers.gif_lacks_its_end,
        parts=containers.gif_parts,
    ),
    Format(
        "TIFF",
        "TIFF",
        "image/tiff",
        ("tif", "tiff"),
        # Canon's cameras begin their CR2 files as a TIFF does.
        rb"II\*\0(?!.{4}CR)|MM\0\*",
        open=tiff.open,
        lacks_its_end=tiff.lacks_its_end,
        parts=tiff.parts,
        cost=_tiff_cost,
        orientation=orientation.of_tiff,
        in_browsers=False,
    ),
    Format(
        "BMP",
        "BMP",
        "image/bmp",
        ("bmp",),
        # "BM" alone begins many a text; the size of the second header settles it.
        rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
        open=lambda data, limits: BmpImagePlugin.BmpImageFile(io.BytesIO(data)),
        lacks_its_end=containers.bmp_lacks_its_end,
        cost=lambda image: 10.0 if image.info.get("compression") in _RUN_LENGTH_BMP else 1.0,
    ),
    # A box named "ftyp" opens photos and films alike; the brands in it tell them apart.
    Format(
        "AVIF",
        "AVIF",
        "image/avif",
        ("avif",),
        rb"\0.{3}ftyp(?:avi[fs]|m[is]f1.{4}(?:.{4}){0,8}?avi[fs])",
        open=_open_avif,
        lacks_its_end=containers.boxes_lack_their_end,
        cost=_cost_by_mode(RGB=1.3, RGBA=1.6),
    ),
    Format(
        "HEIC",
        "HEIF",
        "image/heic",
        ("heic", "heif"),
        rb"\0.{3}ftyp(?:he[iv].|m[is]f1)",
        open=_open_heic,
        lacks_its_end=containers.boxes_lack_their_end,
        cost=_heic_cost,
        in_browsers=False,
    ),
)

BY_NAME: Mapping[str, Format] = {row.name: row for row in FORMATS}
BY_SUFFIX: Mapping[str, Format] = {f".{end}": row for row in FORMATS for end in row.suffixes}
_BY_PILLOW_NAME = {row.pillow_name: row for row in FORMATS}

# For people, and for the ``accept`` attribute of a file input. Systems that do not know a format
# offer its files only if the ending is listed.
NAMES = f"{', '.join(row.name for row in FORMATS[:-1])} or {FORMATS[-1].name}"
ACCEPT = ",".join(("image/*", *BY_SUFFIX))


def cost(image: Image.Image) -> float:
    """What a pixel of a Pillow image costs to unpack, as a multiple of the usual 10 bytes.

    Example:
        >>> cost(Image.new("RGB", (5, 2)))
        1.0
    """
    row = _BY_PILLOW_NAME.get(image.format or "")
    return row.cost(image) if row else 1.0
