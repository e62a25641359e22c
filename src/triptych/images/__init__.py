"""From the bytes of a photo to an RGB array, or to an error that says what is wrong.

    signatures  what a file is, by its first bytes
    containers  what can be read off a file without unpacking it
    pixels      from a Pillow image of any mode to an RGB array
    preview     a small copy of a photo
    heat        a heat map laid over a photo
    drawn       photos to measure speed with
    fruit       photos to try teaching with

Everything that reaches a network passes through here: web page, API, command line and training
folders, so the same bytes give the same pixels everywhere.

Pillow does the unpacking, under three rules. Its readers are called one by one instead of through
``Image.open``, so a file can only ever meet the reader of its own format. Its switches, which are
shared by the whole process, stay as they are. Whatever it raises leaves here as an `ImageError`.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from typing import TypeAlias
from typing import runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import AvifImagePlugin
from PIL import BmpImagePlugin
from PIL import GifImagePlugin
from PIL import Image
from PIL import ImageFile
from PIL import JpegImagePlugin
from PIL import PngImagePlugin
from PIL import TiffImagePlugin
from PIL import WebPImagePlugin

from triptych import errors
from triptych import settings
from triptych.images import containers
from triptych.images import pixels
from triptych.images import signatures
from triptych.typing import UInt8Image


@runtime_checkable
class OpenFile(Protocol):
    """What gives the bytes of a file when it is read, such as one opened with ``"rb"``."""

    def read(self) -> bytes:
        """All of them."""


Bytes = bytes | bytearray | memoryview
Source: TypeAlias = "str | os.PathLike[str] | OpenFile | Bytes | UInt8Image | Image.Image"


@dataclass(frozen=True)
class Limits:
    """How large an image may be.

    Args:
        max_bytes: Of the file.
        max_pixels: Height times width; never more than Pillow's own ``MAX_IMAGE_PIXELS``. Where
            unpacking takes much more memory or time per pixel (WebP, AVIF, CMYK JPEG, HEIC with
            alpha or 10 bits, deep TIFF, run-length BMP), proportionally fewer are allowed.
    """

    max_bytes: int = settings.MAX_IMAGE_BYTES
    max_pixels: int = settings.MAX_IMAGE_PIXELS


DEFAULT_LIMITS = Limits()

# What a pixel costs where Pillow needs more than 10 bytes for it, in tens of bytes: with that,
# 50 million pixels stay within 500 MB, whatever the format.
_COSTS = {
    ("WEBP", "RGB"): 1.6,
    ("WEBP", "RGBA"): 1.6,
    ("AVIF", "RGB"): 1.3,
    ("AVIF", "RGBA"): 1.6,
    ("HEIF", "RGBA"): 1.2,
    ("JPEG", "CMYK"): 1.2,
}
_COST_OF_DEEP_HEIC = 1.5
# Pillow unpacks these in Python, pixel by pixel.
_RUN_LENGTH_BMP = (1, 2)
_COST_OF_RUN_LENGTH_BMP = 10.0

# A row is unpacked at once, in up to three copies.
_MAX_SIDE_PX = 1_000_000

# A progressive JPEG of some kilobytes can ask for thousands of passes over 50 million pixels, and
# some megabytes of empty chunks keep Pillow busy for many seconds. Cameras and programs write
# about 10 scans, and in large TIFFs some thousand strips.
_MAX_JPEG_SCANS = 64
_MAX_PARTS = 100_000

# Position of the bit depth in a PNG; tags of a TIFF.
_PNG_DEPTH_AT = 24
_TIFF_BITS, _TIFF_SAMPLES = 258, 277
_TIFF_TILE_SIZE = (322, 323)

# How Pillow says "I do not read this variant"; it has no type for it.
_UNREAD_VARIANT = re.compile(
    "cannot handle|[Uu]nsupported|not supported|not installed|unknown pixel"
)

_SEND = "Send a photo as JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF or HEIC."


def load(
    source: Source, *, limits: Limits = DEFAULT_LIMITS, enough: int | None = None
) -> UInt8Image:
    """Read an image from wherever it is.

    Args:
        source: A path, an open file, the bytes of a file, a Pillow image, or an array: uint8,
            shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the last with alpha.
        limits: Bytes and pixels allowed.
        enough: As for `decode`; arrays and Pillow images keep their size.

    Returns:
        RGB, shape (H, W, 3), uint8; a new array.

    Raises:
        errors.SourceError: There is no such file, or the source is of another type.
        errors.ImageError: See `decode`.

    Example:
        >>> load(np.zeros((2, 5), np.uint8)).shape
        (2, 5, 3)
    """
    with _unpacked(source, limits, enough) as (image, orientation):
        return pixels.to_rgb(image, orientation=orientation)


def picture(
    source: Source, *, limits: Limits = DEFAULT_LIMITS, enough: int | None = None
) -> Image.Image:
    """Like `load`, with the same pixels, but as a Pillow image, which saves copying them.

    Args:
        source: As for `load`.
        limits: Bytes and pixels allowed.
        enough: As for `decode`.

    Returns:
        RGB; where the source is such a Pillow image, itself.

    Raises:
        errors.SourceError: There is no such file, or the source is of another type.
        errors.ImageError: See `decode`.

    Example:
        >>> picture(np.zeros((2, 5), np.uint8)).size
        (5, 2)
    """
    with _unpacked(source, limits, enough) as (image, orientation):
        return pixels.upright(image, orientation=orientation)


@contextlib.contextmanager
def _unpacked(
    source: Source, limits: Limits, enough: int | None
) -> Iterator[tuple[Image.Image, int]]:
    """The picture in any mode, and its orientation as EXIF counts."""
    if isinstance(source, str | os.PathLike):
        source = read(source, limits=limits)
    if isinstance(source, OpenFile):
        source = source.read()
    if isinstance(source, Bytes):
        data = bytes(source)
        check_bytes(len(data), limits)
        kind = _photo_kind(data)
        with _reading(kind, data), _open(kind, data, limits) as image:
            _load(image, limits, enough)
            # EXIF is built like TIFF, so a TIFF is its own EXIF block.
            yield image, _orientation(image, data if kind == "TIFF" else None)
        return
    if isinstance(source, np.ndarray):
        source = _image_of_array(source)
    if isinstance(source, Image.Image):
        if 0 in source.size:
            raise errors.EmptyImage(
                f"An image of {source.width} x {source.height} pixels is empty."
            )
        with _reading("image", b""):
            _load(source, limits)
            yield source, _orientation(source)
        return
    raise errors.SourceError(
        f"An object of type {type(source).__name__} came; expected a path, an open file, "
        f"the bytes of an image file, a NumPy array or a Pillow image."
    )


def read(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file, unless there are too many.

    Args:
        path: The file.
        limits: Bytes allowed.

    Raises:
        errors.SourceError: There is no such file, or it cannot be opened.
        errors.EmptyImage: No bytes.
        errors.ImageTooLarge: Too many bytes.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            check_bytes(os.fstat(file.fileno()).st_size, limits)
            return file.read()
    except FileNotFoundError:
        raise errors.SourceError(f"There is no file {str(path)!r}; check its name.") from None
    except (OSError, ValueError) as error:
        if os.path.isdir(path):
            message = f"{str(path)!r} is a folder; expected the path of one image file."
        else:
            message = f"{str(path)!r} cannot be opened: {error}."
        raise errors.SourceError(message) from error


def decode(
    data: bytes | bytearray | memoryview,
    *,
    limits: Limits = DEFAULT_LIMITS,
    enough: int | None = None,
) -> UInt8Image:
    """Unpack the bytes of an image file.

    The photo is turned as its EXIF block says, transparency is laid over white, 16 bits are scaled
    to 8, and of an animation the first frame is taken. A JPEG with many more pixels than are
    needed is unpacked at 1/2, 1/4 or 1/8 of its size, which is several times faster.

    Args:
        data: The whole file: JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, or HEIC where pillow-heif is
            installed.
        limits: Bytes and pixels allowed; pixels are checked before any is unpacked, and at the
            photo's full size.
        enough: How long, in pixels, the shorter side has to be for the purpose at hand: no JPEG
            becomes smaller than that. ``None`` wants every photo in full.

    Returns:
        RGB, shape (H, W, 3), uint8; a new array.

    Raises:
        errors.EmptyImage: No bytes.
        errors.ImageTooLarge: Too many bytes.
        errors.TooManyPixels: Too large a picture in them.
        errors.NotAnImage: They are something else.
        errors.UnsupportedImage: An image in a format that is not read here.
        errors.TruncatedImage: The file ends too early.
        errors.DamagedImage: It is broken inside.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (5, 2), "red").save(file, "PNG")
        >>> decode(file.getvalue())[0, 0].tolist()
        [255, 0, 0]
    """
    return load(data, limits=limits, enough=enough)


# Before unpacking


def _image_of_array(array: npt.NDArray[np.generic]) -> Image.Image:
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not is_image:
        raise errors.UnsupportedImage(
            f"An array of type {array.dtype} and shape {array.shape} came; expected uint8 and "
            f"(H, W), (H, W, 1), (H, W, 3) or (H, W, 4). Scale values to 0..255 and give one "
            f"image at a time, channels last."
        )
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def check_bytes(count: int, limits: Limits) -> None:
    """Whether a file of so many bytes would be read.

    Raises:
        errors.EmptyImage: No bytes.
        errors.ImageTooLarge: Too many.
    """
    if count == 0:
        raise errors.EmptyImage("The file is empty (0 bytes). Choose an image and send it again.")
    if count > limits.max_bytes:
        # Rounded up, so that one byte too many does not read as "32 MB; the limit is 32 MB".
        came, allowed = math.ceil(count / settings.MB * 100) / 100, limits.max_bytes / settings.MB
        raise errors.ImageTooLarge(
            f"The file has {came:g} MB; the limit is {allowed:.6g} MB. "
            f"Send a smaller or more strongly compressed image."
        )


def _check_pixels(size: tuple[int, int], limits: Limits, *, cost: float = 1.0) -> None:
    width, height = size
    # Beyond its own limit Pillow warns, and warnings belong to the whole process.
    most = min(limits.max_pixels, Image.MAX_IMAGE_PIXELS or limits.max_pixels)
    allowed = int(most / cost)
    if width * height > allowed:
        raise errors.TooManyPixels(
            f"The picture has {width:,} x {height:,} = {width * height:,} pixels; "
            f"the limit{' for its kind' if cost > 1 else ''} is {allowed:,}. Send a smaller one."
        )
    if max(size) > _MAX_SIDE_PX:
        raise errors.TooManyPixels(
            f"The picture has {width:,} x {height:,} pixels; no side may have more than "
            f"{_MAX_SIDE_PX:,}. Send a part of it."
        )


def _cost(image: Image.Image) -> float:
    if image.format == "BMP" and image.info.get("compression") in _RUN_LENGTH_BMP:
        return _COST_OF_RUN_LENGTH_BMP
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Four bytes in Pillow and one piece of the file, which may be the whole picture.
        bits = max(image.tag_v2.get(_TIFF_BITS, (1,))) * image.tag_v2.get(_TIFF_SAMPLES, 1)
        return max(1.0, float(4 + bits / 8) / 10)
    cost = _COSTS.get((image.format or "", image.mode), 1.0)
    is_deep = image.format == "HEIF" and image.info.get("bit_depth", 8) > 8
    return cost * _COST_OF_DEEP_HEIC if is_deep else cost


def _photo_kind(data: bytes) -> str:
    """Name of the format, where it is one that is read here."""
    kind = signatures.identify(data)
    if kind.name == "TIFF" and containers.is_camera_raw(data):
        kind = signatures.Kind("image", "a camera raw file (DNG, NEF, ARW or alike)")
    if kind.sort == "image":
        raise errors.UnsupportedImage(
            f"This is {kind.name}, a format that is not read here. "
            f"Save it as JPEG or PNG and send that."
        )
    if kind == signatures.NOISE:
        raise errors.NotAnImage(f"These bytes are no image of any known format. {_SEND}")
    if kind.sort == "other":
        raise errors.NotAnImage(f"This is {kind.name}, not an image. {_SEND}")
    return kind.name


# Opening: from here on Pillow reads


@contextlib.contextmanager
def _reading(kind: str, data: bytes) -> Iterator[None]:
    """Turn whatever Pillow raises into an error that says what is wrong with the file."""
    try:
        yield
    except errors.ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise errors.TooManyPixels(f"The picture is too large to unpack: {error}") from error
    except Exception as error:
        raise _explained(kind, data, error) from error


def _explained(kind: str, data: bytes, error: Exception) -> errors.ImageError:
    if containers.ends_early(kind, data):
        return errors.TruncatedImage(
            f"The {kind} file ends too early: {len(data):,} bytes came, and the picture is not "
            f"complete. Copy or send it again."
        )
    if _UNREAD_VARIANT.search(str(error)) or isinstance(error.__cause__, KeyError):
        return errors.UnsupportedImage(
            f"This {kind} file is of a variant that is not read here. "
            f"Save it as an ordinary JPEG or PNG and send that."
        )
    return errors.DamagedImage(
        f"The {kind} file is damaged: it begins as it should, and its content cannot be read. "
        f"Save the picture anew and send that."
    )


def _check_work(kind: str, data: bytes) -> None:
    parts = containers.parts(kind, data, stop=_MAX_PARTS + 1)
    scans = parts.count(containers.JPEG_SCAN) if kind == "JPEG" else 0
    if len(parts) > _MAX_PARTS or scans > _MAX_JPEG_SCANS:
        raise errors.UnsupportedImage(
            f"The {kind} file is cut into more parts than a photo has any use for (more than "
            f"{_MAX_PARTS:,} parts or {_MAX_JPEG_SCANS} scans). Save it anew and send that."
        )


def _open(kind: str, data: bytes, limits: Limits) -> ImageFile.ImageFile:
    _check_work(kind, data)
    match kind:
        case "JPEG":
            return _JpegFile(io.BytesIO(data))
        case "PNG":
            return _open_png(data)
        case "GIF":
            _check_pixels(containers.gif_size(data), limits)
            return GifImagePlugin.GifImageFile(io.BytesIO(data))
        case "WebP":
            _check_pixels(containers.webp_size(data), limits)
            return WebPImagePlugin.WebPImageFile(io.BytesIO(data))
        case "TIFF":
            return _open_tiff(data, limits)
        case "BMP":
            return BmpImagePlugin.BmpImageFile(io.BytesIO(data))
        case "AVIF":
            return AvifImagePlugin.AvifImageFile(io.BytesIO(containers.without_exif(data)))
    return _open_heic(data)


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's reader, without its search for a resolution in EXIF, which warns of any oddity."""

    def _read_dpi_from_exif(self) -> None:
        pass


def _open_png(data: bytes) -> ImageFile.ImageFile:
    image = PngImagePlugin.PngImageFile(io.BytesIO(containers.still_png(data)))
    key = image.info.get("transparency")
    if isinstance(key, tuple) and data[_PNG_DEPTH_AT] == 16:
        # Of 16-bit colours Pillow keeps the high byte, but not so of the transparent one.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image


def _open_tiff(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(containers.plain_tiff(data)))
    # A tile is unpacked whole, however little of it the picture needs.
    _check_pixels(tuple(image.tag_v2.get(tag, 1) for tag in _TIFF_TILE_SIZE), limits)
    return image


def _open_heic(data: bytes) -> ImageFile.ImageFile:
    try:
        import pillow_heif
    except ImportError:
        raise errors.UnsupportedImage(
            "This is a HEIC photo, as iPhones take them; the package that reads it is missing. "
            'Install it with pip install "triptych[heic]", or save the photo as JPEG.'
        ) from None
    reader: Callable[[io.BytesIO], ImageFile.ImageFile] = pillow_heif.HeifImageFile
    return reader(io.BytesIO(containers.without_exif(data)))


def _load(image: Image.Image, limits: Limits, enough: int | None = None) -> None:
    _check_pixels(image.size, limits, cost=_cost(image))
    if enough is not None:
        # Only JPEG heeds it. Source: libjpeg.txt, "scale_num, scale_denom".
        image.draft(image.mode, (enough, enough))
    image.load()


def _orientation(image: Image.Image, exif: bytes | None = None) -> int:
    exif = exif or image.info.get("exif")
    return containers.orientation(exif) if isinstance(exif, bytes) else 1
