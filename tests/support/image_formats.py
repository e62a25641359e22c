"""An image file of every format, made here: by Pillow where it writes it, else byte by byte."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL import ImageCms

from support import tiff_writer

WIDTH, HEIGHT = 97, 64

# Three of these corners differ from the fourth and from each other, so every turn shows.
CORNERS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


def sample_pixels(width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """A smooth picture with some grain, so that no format packs it to nothing."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 9) + np.cos(y / 7), np.sin((x + y) / 11), np.cos(x / 5)], axis=2)
    grain = np.random.default_rng(7).normal(0, 4, waves.shape)
    return np.clip(128 + 50 * waves + grain, 0, 255).astype(np.uint8)


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    # A copy: saving leaves traces of its options in the image that spoil the next.
    image.copy().save(file, format, **options)
    return file.getvalue()


def corners(exif: bytes = b"", format: str = "PNG") -> bytes:
    """30 x 20 pixels: red, green / blue, black, in quarters."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10, :15], pixels[:10, 15:], pixels[10:, :15] = list(CORNERS.values())[:3]
    options = {"exif": exif} if exif else {}
    if format in ("JPEG", "WEBP"):
        options["quality"] = 95
    return encode(Image.fromarray(pixels), format, **options)


def exif(orientation: int, order: str = "<") -> bytes:
    """The smallest EXIF block with an orientation."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    row = struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    return b"Exif\0\0" + head + struct.pack(order + "H", 1) + row + bytes(4)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    rows: Sequence[bytes],
    *,
    width: int,
    depth: int,
    colour: int,
    before: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG of unfiltered rows."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *before, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in chunks)


def interlaced_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The seven passes of Adam7; Pillow reads them and does not write them."""
    height, width = pixels.shape[:2]
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    raw = b"".join(
        b"\0" + row.tobytes()
        for y, x, down, across in [*passes, (1, 0, 2, 1)]
        for row in pixels[y::down, x::across]
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in chunks)


def tiff(
    pixels: bytes,
    *,
    width: int,
    height: int,
    bits: Sequence[int],
    photometric: int,
    order: str = "<",
    compression: int = 1,
    more: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """A TIFF of one strip.

    Args:
        more: Further fields: tag, type (3 for 16 bits, 4 for 32), values.
    """
    fields = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, bits),
        (259, 3, [compression]),
        (262, 3, [photometric]),
        (273, 4, [8]),
        (277, 3, [len(bits)]),
        (278, 4, [height]),
        (279, 4, [len(pixels)]),
        *more,
    ]
    values_at = 8 + len(pixels)
    rows, values = tiff_writer.entries(sorted(fields), order, values_at)
    start = b"II*\0" if order == "<" else b"MM\0*"
    start += struct.pack(order + "I", values_at + len(values))
    return start + pixels + values + struct.pack(order + "H", len(fields)) + rows + bytes(4)


def run_length_bmp(width: int, height: int) -> bytes:
    """Each row one colour, in runs."""
    palette = b"".join(bytes((i, 255 - i, i // 2, 0)) for i in range(256))
    full, rest = divmod(width, 255)
    runs = b"".join(
        bytes((255, y % 256)) * full + bytes((rest, y % 256)) + b"\0\0" for y in range(height)
    )
    at = 54 + len(palette)
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", at + len(runs), 0, 0, at) + sizes + palette + runs


def jpeg_with_ycck(cmyk: npt.NDArray[np.uint8]) -> bytes:
    """A CMYK JPEG, relabelled YCCK in its Adobe marker: the decoder then has to convert."""
    data = encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=95)
    at = data.index(b"Adobe")
    return data[: at + 11] + b"\2" + data[at + 12 :]


@functools.cache
def valid() -> dict[str, bytes]:
    """One small valid file of every kind that is read everywhere, by name."""
    rgb = Image.fromarray(sample_pixels())
    grey = rgb.convert("L")
    palette = rgb.quantize(64)
    rgba = rgb.copy()
    rgba.putalpha(grey)
    cmyk = Image.merge("CMYK", [*rgb.split(), grey.point(lambda value: value // 3)])
    wide = (np.asarray(grey).astype(np.uint16) * 257).astype("<u2")
    size = {"width": WIDTH, "height": HEIGHT}
    return {
        "jpeg": encode(rgb, "JPEG", quality=85),
        "jpeg grey": encode(grey, "JPEG"),
        "jpeg progressive": encode(rgb, "JPEG", progressive=True, exif=exif(6)),
        "jpeg cmyk": encode(cmyk, "JPEG"),
        "jpeg ycck": jpeg_with_ycck(np.asarray(cmyk)),
        "jpeg mpo": encode(rgb, "MPO", save_all=True, append_images=[_red()]),
        "png": encode(rgb, "PNG"),
        "png alpha": encode(rgba, "PNG"),
        "png grey alpha": encode(rgba.convert("LA"), "PNG"),
        "png palette": encode(palette, "PNG"),
        "png palette alpha": encode(palette, "PNG", transparency=bytes(range(64))),
        "png palette one clear": encode(palette, "PNG", transparency=3),
        "png 1 bit": encode(rgb.convert("1"), "PNG"),
        "png 16 bit grey": encode(Image.fromarray(wide), "PNG"),
        "png 16 bit": png(
            [row.tobytes() for row in (sample_pixels().astype(">u2") * 257).astype(">u2")],
            width=WIDTH,
            depth=16,
            colour=2,
        ),
        "png interlaced": interlaced_png(sample_pixels()),
        "png animated": encode(rgb, "PNG", save_all=True, append_images=[_red()]),
        "webp": encode(rgb, "WEBP"),
        "webp lossless alpha": encode(rgba, "WEBP", lossless=True, exact=True),
        "webp animated": encode(rgb, "WEBP", save_all=True, append_images=[_red()]),
        "gif": encode(palette, "GIF"),
        "gif clear": encode(palette, "GIF", transparency=0),
        "gif animated": encode(rgb, "GIF", save_all=True, append_images=[_red()]),
        "tiff": encode(rgb, "TIFF"),
        "tiff lzw": encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff deflate": encode(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "tiff deflate alpha": encode(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": encode(rgb, "TIFF", compression="jpeg"),
        "tiff packbits": encode(palette, "TIFF", compression="packbits"),
        "tiff fax": encode(rgb.convert("1"), "TIFF", compression="group4"),
        "tiff cmyk": encode(cmyk, "TIFF"),
        "tiff lab": encode(_lab(rgb), "TIFF"),
        "tiff 16 bit grey": tiff(wide.tobytes(), bits=[16], photometric=1, **size),
        "tiff big-endian": tiff(
            wide.astype(">u2").tobytes(), bits=[16], photometric=1, order=">", **size
        ),
        "tiff float": encode(Image.fromarray(wide.astype(np.float32) / 65535), "TIFF"),
        "tiff 32 bit": encode(Image.fromarray(wide.astype(np.int32)), "TIFF"),
        "tiff of two": encode(rgb, "TIFF", save_all=True, append_images=[_red()]),
        "bmp": encode(rgb, "BMP"),
        "bmp palette": encode(palette, "BMP"),
        "bmp 1 bit": encode(rgb.convert("1"), "BMP"),
        "bmp run-length": run_length_bmp(WIDTH, HEIGHT),
        "avif": encode(rgb, "AVIF", speed=9),
        "avif alpha": encode(rgba, "AVIF", speed=9),
    }


def _red() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), "red")


def _lab(rgb: Image.Image) -> Image.Image:
    profiles = [ImageCms.createProfile(space) for space in ("sRGB", "LAB")]
    return ImageCms.applyTransform(rgb, ImageCms.buildTransform(*profiles, "RGB", "LAB"))


@functools.cache
def heic() -> bytes:
    """A HEIC photo; needs pillow-heif."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(sample_pixels())).save(file, quality=80)
    return file.getvalue()


def large(name: str) -> bytes:
    """Nearly 50 million pixels, in the form that takes the most memory of its format."""
    size = (7070, 7070)
    if name == "png":
        return encode(Image.new("RGBA", size, (9, 9, 9, 99)), "PNG", compress_level=1)
    if name == "tiff":
        return encode(Image.new("CMYK", size), "TIFF", compression="tiff_lzw")
    return encode(Image.new("RGB", size, "teal"), "JPEG", progressive=True, subsampling=0)
