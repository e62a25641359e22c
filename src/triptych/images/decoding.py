"""Read an image from wherever it is: check it, unpack it, explain what is wrong with it.

Pillow does the unpacking, under three rules. Its readers are called one by one instead of through
``Image.open``, so a file can only ever meet the reader of its own format. Its switches, which are
shared by the whole process, stay as they are. Whatever it raises leaves here as an `ImageError`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from typing import TypeAlias
from typing import runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from triptych import errors
from triptych.images import containers
from triptych.images import formats
from triptych.images import orientation
from triptych.images import pixels
from triptych.images import signatures
from triptych.images import tiff
from triptych.images.formats import Format
from triptych.images.limits import DEFAULT_LIMITS
from triptych.images.limits import MB
from triptych.images.limits import Limits
from triptych.images.limits import check_bytes
from triptych.images.limits import check_pixels
from triptych.typing import UInt8Image
from triptych.utils import concurrency
from triptych.utils.text import text


@runtime_checkable
class OpenFile(Protocol):
    """What gives the bytes of a file when it is read, such as one opened with ``"rb"``."""

    def read(self) -> bytes:
        """All of them."""


Bytes = bytes | bytearray | memoryview
# Told apart first: a check against a protocol, which looks for methods, takes 9 microseconds.
_IN_MEMORY = (bytes, bytearray, memoryview, np.ndarray, Image.Image)
OnGuess = Callable[[str], None]
Source: TypeAlias = "str | os.PathLike[str] | OpenFile | Bytes | UInt8Image | Image.Image"


# A progressive JPEG of some kilobytes can ask for thousands of passes over 50 million pixels, and
# some megabytes of empty chunks keep Pillow busy for many seconds. Cameras and programs write
# about 10 scans, and in large TIFFs some thousand strips.
_MAX_JPEG_SCANS = 64
_MAX_PARTS = 100_000

# What all threads of this process unpack at the same time. Small pictures are not counted: there
# are no more of them than threads.
_MEMORY = concurrency.Budget()
_UNCOUNTED_BYTES = 16 * MB

# How Pillow says "I do not read this variant"; it has no type for it.
_UNREAD_VARIANT = re.compile(
    "cannot handle|[Uu]nsupported|not supported|not installed|unknown pixel"
)

_SEND = text("Send a photo as {formats}.", formats=formats.NAMES)


def load(
    source: Source,
    *,
    limits: Limits = DEFAULT_LIMITS,
    enough: int | None = None,
    on_guess: OnGuess | None = None,
) -> UInt8Image:
    """Read an image from wherever it is.

    Args:
        source: A path, an open file, the bytes of a file, a Pillow image, or an array: uint8,
            shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the last with alpha.
        limits: Bytes and pixels allowed.
        enough: As for `decode`; arrays and Pillow images keep their size.
        on_guess: Called with the reason where a file does not say which of its values is white,
            so that the values had to decide.

    Returns:
        RGB, shape (H, W, 3), uint8; a new array.

    Raises:
        errors.SourceError: There is no such file, or the source is of another type.
        errors.ImageError: See `decode`.

    Example:
        >>> load(np.zeros((2, 5), np.uint8)).shape
        (2, 5, 3)
    """
    with _unpacked(source, limits, enough, on_guess) as (image, turn):
        return pixels.to_rgb(image, orientation=turn)


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
    with _unpacked(source, limits, enough) as (image, turn):
        return pixels.upright(image, orientation=turn)


@contextlib.contextmanager
def _unpacked(
    source: Source, limits: Limits, enough: int | None, on_guess: OnGuess | None = None
) -> Iterator[tuple[Image.Image, int]]:
    """The picture in any mode, and its orientation as EXIF counts."""
    if isinstance(source, str | os.PathLike):
        source = read(source, limits=limits)
    elif not isinstance(source, _IN_MEMORY) and isinstance(source, OpenFile):
        source = source.read()
    if isinstance(source, Bytes):
        data = bytes(source)
        check_bytes(len(data), limits)
        row = _format_of(data)
        with _explained(row, data):
            _check_work(row, data)
            with row.open(data, limits) as image, _loaded(image, limits, enough):
                if on_guess and image.info.get("depth_guess"):
                    on_guess(image.info["depth_guess"])
                turn = row.orientation(data) if row.orientation else orientation.of_image(image)
                yield image, turn
        return
    if isinstance(source, np.ndarray):
        source = _image_of_array(source)
    if isinstance(source, Image.Image):
        if 0 in source.size:
            raise errors.EmptyImage(
                text(
                    "An image of {width} x {height} pixels is empty.",
                    width=source.width,
                    height=source.height,
                )
            )
        with _explained(None, b""), _loaded(source, limits):
            yield source, orientation.of_image(source)
        return
    raise errors.SourceError(
        text(
            "An object of type {name} came; expected a path, an open file, the bytes of "
            "an image file, a NumPy array or a Pillow image.",
            name=type(source).__name__,
        )
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
        raise errors.SourceError(
            text("There is no file {path!r}; check its name.", path=str(path))
        ) from None
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
    on_guess: OnGuess | None = None,
) -> UInt8Image:
    """Unpack the bytes of an image file.

    The photo is turned as its EXIF block says, or else its XMP packet; transparency is laid over
    white, deep samples are scaled to 8 bits by what the file says or, where it does not, by their
    values, and of an animation the first frame is taken. Other metadata is stepped over, and may be
    damaged. A JPEG with many more pixels than are
    needed is unpacked at 1/2, 1/4 or 1/8 of its size, which is several times faster.

    Args:
        data: The whole file: JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, or HEIC where pillow-heif is
            installed.
        limits: Bytes and pixels allowed; pixels are checked before any is unpacked, at the scale
            at which they are.
        enough: How long, in pixels, the shorter side has to be for the purpose at hand: no JPEG
            becomes smaller than that. ``None`` wants every photo in full.
        on_guess: As for `load`.

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
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (5, 2), "red").save(file, "PNG")
        >>> decode(file.getvalue())[0, 0].tolist()
        [255, 0, 0]
    """
    return load(data, limits=limits, enough=enough, on_guess=on_guess)


def size(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[int, int]:
    """The size of an upright photo in full, (height, width) in pixels; it is not unpacked.

    Args:
        data: The whole file.
        limits: As for `decode`.

    Raises:
        errors.ImageError: See `decode`; damage of the pixels goes unnoticed.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (5, 2)).save(file, "PNG")
        >>> size(file.getvalue())
        (2, 5)
    """
    check_bytes(len(data), limits)
    row = _format_of(data)
    with _explained(row, data), row.open(data, limits) as image:
        turn = row.orientation(data) if row.orientation else orientation.of_image(image)
        width, height = image.size
        return (height, width) if turn < 5 else (width, height)


# ------------------------------------------------------------------ before unpacking


def _image_of_array(array: npt.NDArray[np.generic]) -> Image.Image:
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not is_image:
        raise errors.UnsupportedImage(
            text(
                "An array of type {dtype} and shape {shape} came; expected uint8 and (H, W), "
                "(H, W, 1), (H, W, 3) or (H, W, 4). Scale values to 0..255 and give one "
                "image at a time, channels last.",
                dtype=array.dtype,
                shape=array.shape,
            )
        )
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def _format_of(data: bytes) -> Format:
    """The format of a file, if it is one that is read here."""
    kind = signatures.identify(data)
    if kind.name == "TIFF" and tiff.is_camera_raw(data):
        kind = signatures.Kind("image", "a camera raw file (DNG, NEF, ARW or alike)")
    if kind.sort == "image":
        raise errors.UnsupportedImage(
            text(
                "This is {kind}, a format that is not read here. Save it as JPEG or PNG and "
                "send that.",
                kind=kind.name,
            )
        )
    if kind == signatures.NOISE:
        raise errors.NotAnImage(
            text("These bytes are no image of any known format. {send}", send=_SEND)
        )
    if kind.sort == "other":
        raise errors.NotAnImage(
            text("This is {kind}, not an image. {send}", kind=kind.name, send=_SEND)
        )
    return formats.BY_NAME[kind.name]


# ------------------------------------------------------------------ from here on Pillow reads


@contextlib.contextmanager
def _explained(row: Format | None, data: bytes) -> Iterator[None]:
    """Turn whatever Pillow raises into an error that says what is wrong with the file."""
    try:
        yield
    except errors.ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise errors.TooManyPixels(
            text("The picture is too large to unpack: {error}", error=error)
        ) from error
    except Exception as error:
        name = row.name if row else "image"
        if row and containers.ends_early(row.lacks_its_end, data):
            raise errors.TruncatedImage(
                text(
                    "The {name} file ends too early: {count:,} bytes came, and the picture is "
                    "not complete. Copy or send it again.",
                    name=name,
                    count=len(data),
                )
            ) from error
        if _UNREAD_VARIANT.search(str(error)) or isinstance(error.__cause__, KeyError):
            raise errors.UnsupportedImage(
                text(
                    "This {name} file is of a variant that is not read here. Save it as an "
                    "ordinary JPEG or PNG and send that.",
                    name=name,
                )
            ) from error
        raise errors.DamagedImage(
            text(
                "The {name} file is damaged: it begins as it should, and its content cannot "
                "be read. Save the picture anew and send that.",
                name=name,
            )
        ) from error


def _check_work(row: Format, data: bytes) -> None:
    if row.parts is None:
        return
    parts = containers.list_parts(row.parts, data, stop=_MAX_PARTS + 1)
    scans = parts.count(containers.JPEG_SCAN) if row.name == "JPEG" else 0
    if len(parts) > _MAX_PARTS or scans > _MAX_JPEG_SCANS:
        raise errors.UnsupportedImage(
            text(
                "The {row} file is cut into more parts than a photo has any use for (more "
                "than {max_parts:,} parts or {max_jpeg_scans} scans). Save it anew and send "
                "that.",
                row=row.name,
                max_parts=_MAX_PARTS,
                max_jpeg_scans=_MAX_JPEG_SCANS,
            )
        )


@contextlib.contextmanager
def _loaded(image: Image.Image, limits: Limits, enough: int | None = None) -> Iterator[None]:
    """Unpack a picture, and count its memory until the end of the block."""
    if enough is not None:
        # Only JPEG heeds it. Source: libjpeg.txt, "scale_num, scale_denom".
        image.draft(image.mode, (enough, enough))
    cost = formats.cost(image)
    check_pixels(image.size, limits, cost=cost)
    count = int(image.width * image.height * cost * formats.PIXEL_BYTES)
    with contextlib.ExitStack() as stack:
        if count > _UNCOUNTED_BYTES:
            stack.enter_context(_MEMORY.take(count, limits.max_unpacking_bytes))
        image.load()
        yield
