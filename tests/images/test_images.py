"""Decoding: every format, every error. All files are made by `support.image_formats`."""

from __future__ import annotations

import concurrent.futures
import io
import json
import pathlib
import struct
import subprocess
import sys
import threading
import warnings
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from PIL import ImageFile

from support import image_formats
from triptych import errors
from triptych import images
from triptych import settings

HERE = pathlib.Path(__file__).parents[1] / "support"

# Their pixels are not the photo's: other colours, two colours, or a picture of runs.
NOT_THE_PHOTO = (
    "jpeg cmyk",
    "jpeg ycck",
    "tiff cmyk",
    "1 bit",
    "fax",
    "run-length",
    "alpha",
    "clear",
)


def names(*, but: tuple[str, ...]) -> list[str]:
    """Names of the valid files with none of these words in them."""
    return [name for name in image_formats.valid() if not any(word in name for word in but)]


def decoded(name: str) -> npt.NDArray[np.uint8]:
    return images.decode(image_formats.valid()[name])


def read_bytes(name: str) -> bytes:
    return image_formats.valid()[name]


def by_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def error_of(data: bytes, **limits: int) -> errors.ImageError:
    with pytest.raises(errors.ImageError) as caught:
        images.decode(data, limits=images.Limits(**limits))
    return caught.value


# Formats


@pytest.mark.parametrize("name", image_formats.valid())
def test_every_format_gives_a_new_rgb_array(name: str) -> None:
    pixels = decoded(name)
    turned = name == "jpeg progressive"
    height, width = image_formats.HEIGHT, image_formats.WIDTH
    assert pixels.shape == ((width, height, 3) if turned else (height, width, 3))
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    pixels[:] = 0
    assert decoded(name).any()


@pytest.mark.parametrize("name", names(but=NOT_THE_PHOTO))
def test_the_photo_is_recognisable(name: str) -> None:
    """The second frames are red, so this also checks that the first one is decoded."""
    pixels = np.rot90(decoded(name)) if name == "jpeg progressive" else decoded(name)
    photo = image_formats.sample_pixels()
    if "grey" in name or name in ("tiff big-endian", "tiff float", "tiff 32 bit"):
        photo = np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))
    assert np.abs(pixels.astype(int) - photo).mean() < 10


def is_ordinary(name: str) -> bool:
    """Neither blended with white nor scaled; those have separate tests."""
    with Image.open(io.BytesIO(image_formats.valid()[name])) as image:
        return not image.has_transparency_data and image.mode[0] not in "IF"


@pytest.mark.parametrize("name", [name for name in image_formats.valid() if is_ordinary(name)])
def test_ordinary_pixels_are_those_of_pillow(name: str) -> None:
    expected = by_pillow(image_formats.valid()[name])
    assert np.array_equal(
        decoded(name), np.rot90(expected, -1) if "progressive" in name else expected
    )


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (17, 9), (640, 480)])
def test_jpegs_of_any_size_are_those_of_pillow(subsampling: int, size: tuple[int, int]) -> None:
    image = Image.fromarray(image_formats.sample_pixels(*size))
    data = image_formats.encode(image, "JPEG", subsampling=subsampling)
    assert np.array_equal(images.decode(data), by_pillow(data))


def test_cmyk_colours_come_out_right() -> None:
    cyan, black = (255, 0, 0, 0), (0, 0, 0, 255)
    inks = np.array([[cyan] * 16 + [black] * 16] * 16, np.uint8)
    jpeg = image_formats.encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    tiff = image_formats.encode(Image.fromarray(inks, "CMYK"), "TIFF")
    for data in (jpeg, tiff):
        pixels = images.decode(data).astype(int)
        assert np.abs(pixels[:, :8] - (0, 255, 255)).max() < 6
        assert np.abs(pixels[:, 24:] - (0, 0, 0)).max() < 6


@pytest.mark.parametrize("name", ["png alpha", "webp lossless alpha", "tiff deflate alpha"])
def test_alpha_is_laid_over_white(name: str) -> None:
    photo = image_formats.sample_pixels().astype(float)
    alpha = np.asarray(Image.fromarray(image_formats.sample_pixels()).convert("L"))[..., None] / 255
    assert np.abs(decoded(name) - (photo * alpha + 255 * (1 - alpha))).max() <= 1


def test_lossy_alpha_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (32, 32), (200, 0, 0, 0))
    for format in ("WEBP", "AVIF"):
        assert images.decode(image_formats.encode(clear, format)).min() >= 253


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_clear_palette_colour_becomes_white(format: str) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((2, 1), 1)
    pixels = images.decode(image_formats.encode(image, format, transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 2].tolist() == [0, 0, 255]


def test_a_half_clear_palette_colour_is_mixed() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0])
    pixels = images.decode(image_formats.encode(image, "PNG", transparency=bytes([128])))
    assert pixels[0, 0].tolist() == [255, 127, 127]


def test_16_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.arange(0, 65536, 16, np.uint16).reshape(64, 64)
    expected = np.round(ramp / 257)
    little = image_formats.tiff(ramp.tobytes(), width=64, height=64, bits=[16], photometric=1)
    big = image_formats.tiff(
        ramp.astype(">u2").tobytes(), width=64, height=64, bits=[16], photometric=1, order=">"
    )
    for data in (image_formats.encode(Image.fromarray(ramp), "PNG"), little, big):
        assert np.array_equal(images.decode(data), np.dstack([expected] * 3))


def test_16_bit_colour_is_scaled() -> None:
    assert np.abs(decoded("png 16 bit").astype(int) - image_formats.sample_pixels()).max() == 0


def test_the_clear_colour_of_a_16_bit_png_becomes_white() -> None:
    grey = image_formats.png(
        [struct.pack(">3H", 0, 30000, 65535)],
        width=3,
        depth=16,
        colour=0,
        before=[(b"tRNS", struct.pack(">H", 30000))],
    )
    assert images.decode(grey)[0, :, 0].tolist() == [0, 255, 255]
    colour = image_formats.png(
        [struct.pack(">6H", 0xFF00, 0, 0x0100, 0, 0, 0)],
        width=2,
        depth=16,
        colour=2,
        before=[(b"tRNS", struct.pack(">3H", 0xFF00, 0, 0x0100))],
    )
    assert images.decode(colour)[0].tolist() == [[255, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 32896.0, 65535.0], [0, 128, 255]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([float("nan"), 0.5, float("inf")], [0, 128, 255]),
        ([float("nan")] * 3, [0, 0, 0]),
        ([7e9] * 3, [0, 0, 0]),
    ],
)
def test_float_tiffs_find_their_scale(values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    assert images.decode(image_formats.encode(image, "TIFF"))[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 51, 255], [0, 51, 255]), ([-10, 0, 10], [0, 128, 255])]
)
def test_32_bit_tiffs_find_their_scale(values: list[int], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.int32))
    assert images.decode(image_formats.encode(image, "TIFF"))[0, :, 0].tolist() == expected


def test_heic_is_read_where_its_package_is_installed() -> None:
    pytest.importorskip("pillow_heif")
    pixels = images.decode(image_formats.heic())
    assert np.abs(pixels.astype(int) - image_formats.sample_pixels()).mean() < 9
    assert "HEIF" not in Image.OPEN, "Pillow was taught HEIC for the whole process"


def test_heic_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    error = error_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    assert isinstance(error, errors.UnsupportedImage)
    assert "HEIC" in error.message
    assert 'pip install "triptych[heic]"' in error.message


# EXIF

# What is seen at the top left, top right and bottom left, by orientation (Exif 2.32, tag 274).
TURNED = {
    1: ("red", "green", "blue"),
    2: ("green", "red", "black"),
    3: ("black", "blue", "green"),
    4: ("blue", "black", "red"),
    5: ("red", "blue", "green"),
    6: ("blue", "red", "black"),
    7: ("black", "green", "blue"),
    8: ("green", "black", "red"),
}


def assert_turned(pixels: npt.NDArray[np.uint8], orientation: int) -> None:
    assert pixels.shape == ((20, 30, 3) if orientation < 5 else (30, 20, 3))
    corners = [pixels[3, 3], pixels[3, -4], pixels[-4, 3]]
    expected = [image_formats.CORNERS[name] for name in TURNED[orientation]]
    assert np.abs(np.array(corners).astype(int) - expected).max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_photos_are_turned(format: str, orientation: int) -> None:
    data = image_formats.corners(image_formats.exif(orientation), format)
    assert_turned(images.decode(data), orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_photos_are_turned(orientation: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    photo = pillow_heif.from_pillow(Image.open(io.BytesIO(image_formats.corners())))
    photo.info["exif"] = image_formats.exif(orientation)
    file = io.BytesIO()
    photo.save(file, quality=95)
    assert_turned(images.decode(file.getvalue()), orientation)


@pytest.mark.parametrize("order", "<>")
def test_exif_of_either_byte_order(order: str) -> None:
    assert_turned(images.decode(image_formats.corners(image_formats.exif(6, order))), 6)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0no such thing as a TIFF header",
        image_formats.exif(6)[:18],
        image_formats.exif(0),
        image_formats.exif(9),
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(200)),
        # A field of 99 bytes at the end of the block: Pillow warns about it.
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 270, 2, 99, 20) + bytes(4),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_broken_exif_is_ignored(format: str, exif: bytes) -> None:
    if format == "AVIF":
        # The encoder insists on good EXIF, so it is broken afterwards.
        good = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 270, 2, 300, 26) + b"-" * 304
        data = image_formats.corners(b"Exif\0\0" + good, format)
        assert good[:-4] in data
        data = data.replace(good[:-4], exif[6:].ljust(len(good) - 4, b"\0"))
    else:
        data = image_formats.corners(exif, format)
    assert_turned(images.decode(data), 1)


def test_broken_tiff_metadata_is_ignored() -> None:
    data = image_formats.tiff(
        bytes(range(48)),
        width=4,
        height=4,
        bits=[8, 8, 8],
        photometric=2,
        # A description beyond the end, two resolutions, an EXIF directory nowhere.
        more=[(270, 4, [1, 2, 3]), (282, 4, [9, 9]), (34665, 4, [99999])],
    )
    at = data.index(struct.pack("<HHI", 270, 4, 3))
    data = data[: at + 8] + struct.pack("<I", 10**6) + data[at + 12 :]
    assert images.decode(data).ravel().tolist() == list(range(48))


def test_metadata_may_be_long() -> None:
    profile = bytes(600_000)
    rgb = Image.fromarray(image_formats.sample_pixels())
    for format in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF"):
        data = image_formats.encode(rgb, format, icc_profile=profile)
        assert images.decode(data).shape == (64, 97, 3)


def test_a_recursive_tiff_field_is_harmless() -> None:
    data = image_formats.tiff(
        bytes(range(48)), width=4, height=4, bits=[8, 8, 8], photometric=2, more=[(284, 3, [1] * 3)]
    )
    assert images.decode(data).ravel().tolist() == list(range(48))


def test_an_odd_animation_is_ignored() -> None:
    data = image_formats.valid()["png animated"]
    start = data.index(b"acTL") - 4
    no_frames = image_formats.chunk(b"acTL", bytes(8))
    odd = data[:start] + no_frames + data[start + 20 :]
    assert np.array_equal(images.decode(odd), image_formats.sample_pixels())


# Limits


def test_the_limits_are_those_of_the_settings() -> None:
    defaults = settings.load({})
    assert images.Limits() == images.Limits(defaults.max_image_bytes, defaults.max_image_pixels)
    assert images.Limits() == images.Limits(32 * 1024 * 1024, 50_000_000)


def test_too_many_bytes() -> None:
    error = error_of(bytes(32 * 1024 * 1024 + 1))
    assert isinstance(error, errors.ImageTooLarge)
    assert error.message.startswith("The file has 32.01 MB; the limit is 32 MB.")


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "sparse.jpg"
    with open(path, "wb") as file:
        file.truncate(2**32)
    with pytest.raises(errors.ImageTooLarge, match="has 4096 MB; the limit is 32 MB"):
        images.load(path)


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + image_formats.chunk(b"IHDR", header)
    return start + image_formats.chunk(b"IDAT", zlib.compress(bytes(1000)))


def gif_header(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"\2\2\x44\1\0;"


def gif_of_a_large_frame(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 5, 5, 0, 0, 0)
        + b"!\xfe\3abc\0"
        + frame
        + b"\2\2\x44\1\0;"
    )


def webp_headers(width: int, height: int) -> list[bytes]:
    def riff(name: bytes, content: bytes) -> bytes:
        body = b"WEBP" + name + struct.pack("<I", len(content)) + content
        return b"RIFF" + struct.pack("<I", len(body)) + body

    w, h = width - 1, height - 1
    return [
        riff(b"VP8X", bytes(4) + w.to_bytes(3, "little") + h.to_bytes(3, "little")),
        riff(b"VP8L", b"\x2f" + struct.pack("<I", w | h << 14) + bytes(9)),
        riff(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(8)),
    ]


def jpeg_header(width: int, height: int) -> bytes:
    data = image_formats.encode(Image.new("L", (8, 8)), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def tiff_header(width: int, height: int) -> bytes:
    return image_formats.tiff(bytes(9), width=width, height=height, bits=[8], photometric=1)


def bmp_header(width: int, height: int) -> bytes:
    data = image_formats.valid()["bmp"]
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


@pytest.mark.parametrize("header", [png_header, bmp_header, tiff_header])
def test_decompression_bombs_are_refused_by_their_headers(header) -> None:
    data = header(30_000, 30_000)
    assert len(data) < 20_000
    error = error_of(data)
    assert isinstance(error, errors.TooManyPixels)
    assert "30,000 x 30,000 = 900,000,000 pixels; the limit is 50,000,000" in error.message


@pytest.mark.parametrize("header", [gif_header, gif_of_a_large_frame, jpeg_header])
def test_bombs_of_formats_with_16_bit_sides(header) -> None:
    message = "60,000 x 60,000 = 3,600,000,000 pixels; the limit is 50,000,000"
    assert message in error_of(header(60_000, 60_000)).message


@pytest.mark.parametrize("which", range(3))
def test_webp_bombs(which: int) -> None:
    error = error_of(webp_headers(16_000, 16_000)[which])
    assert isinstance(error, errors.TooManyPixels)
    assert "16,000 x 16,000 = 256,000,000 pixels" in error.message


@pytest.mark.parametrize("name", ["avif", "avif alpha"])
def test_avif_pixels_are_limited(name: str) -> None:
    assert (
        "97 x 64 = 6,208 pixels" in error_of(image_formats.valid()[name], max_pixels=6000).message
    )


def test_a_tiff_tile_counts_whole() -> None:
    tile = [(322, 4, [40_000]), (323, 4, [40_000]), (324, 4, [8]), (325, 4, [9])]
    data = image_formats.tiff(bytes(9), width=3, height=3, bits=[8], photometric=1, more=tile)
    assert "40,000 x 40,000 = 1,600,000,000 pixels" in error_of(data).message


def test_the_limit_itself_is_allowed() -> None:
    data = image_formats.valid()["png"]
    assert images.decode(data, limits=images.Limits(max_pixels=97 * 64)).shape == (64, 97, 3)
    error = error_of(data, max_pixels=97 * 64 - 1)
    assert "97 x 64 = 6,208 pixels; the limit is 6,207" in error.message


def test_costly_formats_have_a_lower_limit() -> None:
    error = error_of(image_formats.valid()["webp"], max_pixels=97 * 64)
    assert "the limit for its kind is 3,880" in error.message


def test_very_long_sides_are_refused() -> None:
    assert "no side may have more than 1,000,000" in error_of(png_header(30_000_000, 1)).message


@pytest.mark.parametrize("name", image_formats.valid())
def test_a_limit_above_that_of_pillow_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns beyond its limit and fails beyond twice that; here warnings are errors."""
    expected = decoded(name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    if name.startswith(("gif", "webp")):
        limit = "1,000" if name.startswith("gif") else "2,000"
        assert f"no more than {limit} are read, whatever" in error_of(read_bytes(name)).message
    else:
        assert np.array_equal(decoded(name), expected)


def test_a_jpeg_with_too_many_scans_is_refused() -> None:
    data = image_formats.encode(
        Image.fromarray(image_formats.sample_pixels()), "JPEG", progressive=True
    )
    last = data[data.rindex(b"\xff\xda") : -2]
    assert images.decode(data[:-2] + last * 20 + b"\xff\xd9").shape == (64, 97, 3)
    # The comment is there to fool whoever looks for the end by its two bytes alone.
    bomb = data[:-2] + b"\xff\xfe\0\4\xff\xd9" + last * 70 + b"\xff\xd9"
    assert "100,000 parts or 64 scans" in error_of(bomb).message


def test_data_appended_to_a_jpeg_is_ignored() -> None:
    """Motion photos have a video after the image, in which any marker may occur."""
    film = b"\xff\xda\0\4" * 1000 + np.random.default_rng(1).bytes(10**6)
    assert np.array_equal(images.decode(image_formats.valid()["jpeg"] + film), decoded("jpeg"))


def endless(kind: str, count: int) -> bytes:
    """A file with a number of empty parts."""
    data = image_formats.valid()[kind]
    if kind == "jpeg":
        return data[:2] + b"\xff\xfe\0\2" * count + data[2:]
    if kind == "png":
        return data[:33] + image_formats.chunk(b"teSt", b"") * count + data[33:]
    if kind == "gif":
        at = data.index(b",", 13 + 3 * 64)
        return data[:at] + b"!\xfe" + b"\1-" * count + b"\0" + data[at:]
    return image_formats.tiff(
        bytes(9), width=3, height=3, bits=[8], photometric=1, more=[(320, 3, [0] * count)]
    )


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "tiff"])
def test_files_with_too_many_parts_are_refused(kind: str) -> None:
    assert images.decode(endless(kind, 99_000)).size
    error = error_of(endless(kind, 100_001))
    assert isinstance(error, errors.UnsupportedImage)
    assert "cut into more parts than a photo has any use for" in error.message


# Errors


def test_empty_bytes_are_refused() -> None:
    error = error_of(b"")
    assert isinstance(error, errors.EmptyImage)
    assert error.message.startswith("The file is empty (0 bytes).")


NOT_IMAGES = {
    "an HTML page": b"\n<!DOCTYPE html><html><body><svg></svg>hello</body></html>",
    "an XML file": b"<?xml version='1.0'?><note/>",
    "JSON text": b'{"error": "not found"}',
    "plain text": "BMW, GIF und JPEG sind Wörter".encode(),
    "a data URL": b"data:image/png;base64,iVBORw0KGgo=",
    "base64 text": b"iVBORw0KGgoAAAANSUhEUgAA",
    "a PDF file": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3" + bytes(99),
    "a ZIP archive": b"PK\3\4" + bytes(99),
    "a gzip archive": b"\x1f\x8b\x08" + bytes(99),
    "a tar archive": b"name".ljust(257, b"\0") + b"ustar\0",
    "a video or sound file (MP4": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    "a Matroska or WebM video": b"\x1a\x45\xdf\xa3" + bytes(99),
    "an AVI video": b"RIFF\0\1\0\0AVI LIST",
    "a WAV sound file": b"RIFF\0\1\0\0WAVEfmt ",
    "an MP3 sound file": b"ID3\4\0" + bytes(99),
    "an HDF5 file, as Keras weights are": b"\x89HDF\r\n\x1a\n" + bytes(99),
    "a NumPy file": b"\x93NUMPY\1\0" + bytes(99),
    "a program (ELF)": b"\x7fELF\2\1\1" + bytes(99),
}


@pytest.mark.parametrize("what", NOT_IMAGES)
def test_files_of_other_kinds_are_named(what: str) -> None:
    error = error_of(NOT_IMAGES[what])
    assert isinstance(error, errors.NotAnImage)
    assert error.message.startswith(f"This is {what}")
    assert "Send a photo as JPEG" in error.message


OTHER_IMAGES = {
    "an SVG drawing": b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='...'></svg>",
    "a Photoshop document (PSD)": b"8BPS\0\1" + bytes(99),
    "a JPEG 2000 image": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
    "a JPEG XL image": b"\xff\x0a" + bytes(99),
    "a camera raw file (Canon CR2)": b"II*\0\x10\0\0\0CR\2\0" + bytes(99),
    "a camera raw file (Canon CR3)": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99),
    "a camera raw file (Fujifilm)": b"FUJIFILMCCD-RAW 0201" + bytes(99),
    "a BigTIFF image": b"II+\0\x08\0\0\0" + bytes(99),
    "an icon (ICO)": b"\0\0\1\0\1\0\x10\x10\0\0" + bytes(99),
    "a Netpbm image": b"P6 2 2 255\n" + bytes(12),
    "a PostScript drawing (EPS)": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "a FITS image": b"SIMPLE  =                    T" + bytes(99),
    "a DICOM image": bytes(128) + b"DICM" + bytes(99),
}


@pytest.mark.parametrize("what", OTHER_IMAGES)
def test_other_image_formats_are_named(what: str) -> None:
    error = error_of(OTHER_IMAGES[what])
    assert isinstance(error, errors.UnsupportedImage)
    assert error.message.startswith(f"This is {what}")
    assert "Save it as JPEG or PNG" in error.message


@pytest.mark.parametrize(
    "more", [[(50706, 4, [1])], [(254, 4, [1]), (330, 4, [8])]], ids=["DNG", "NEF"]
)
def test_camera_raw_files_are_not_taken_for_their_previews(more) -> None:
    data = image_formats.tiff(bytes(48), width=4, height=4, bits=[8] * 3, photometric=2, more=more)
    assert error_of(data).message.startswith("This is a camera raw file (DNG, NEF")


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_not_an_image(seed: int) -> None:
    error = error_of(np.random.default_rng(seed).bytes(5000))
    assert isinstance(error, errors.NotAnImage)
    assert error.message.startswith("These bytes are no image of any known format.")


# Of these only the first frame is read, so the end is not missed.
OF_ONE_FRAME = names(but=("animated", "mpo", "two"))
OF_TWO_FRAMES = [name for name in image_formats.valid() if name not in OF_ONE_FRAME]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", OF_ONE_FRAME)
def test_a_cut_file_ends_too_early(name: str, share: float) -> None:
    data = image_formats.valid()[name]
    part = data[: int(len(data) * share)]
    error = error_of(part)
    assert isinstance(error, errors.TruncatedImage)
    assert f"ends too early: {len(part):,} bytes came" in error.message


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_heic_ends_too_early(share: float) -> None:
    pytest.importorskip("pillow_heif")
    data = image_formats.heic()
    assert "The HEIC file ends too early" in error_of(data[: int(len(data) * share)]).message


@pytest.mark.parametrize("name", OF_TWO_FRAMES)
def test_a_cut_file_is_read_where_its_first_frame_is_whole(name: str) -> None:
    data = image_formats.valid()[name]
    if name == "webp animated":
        assert isinstance(error_of(data[:-9]), errors.TruncatedImage)
    else:
        assert np.array_equal(images.decode(data[:-9]), images.decode(data))


@pytest.mark.parametrize("name", ["png", "png interlaced", "jpeg progressive", "tiff deflate"])
def test_a_file_of_full_length_is_damaged_and_not_cut(name: str) -> None:
    data = bytearray(image_formats.valid()[name])
    middle = len(data) // 2
    data[middle : middle + 200] = b"\xff\xc4" * 100
    error = error_of(bytes(data))
    assert isinstance(error, errors.DamagedImage)
    assert "file is damaged: it begins as it should" in error.message


def test_an_unsupported_variant_is_named() -> None:
    data = image_formats.valid()["jpeg"]
    at = data.index(b"\xff\xc0") + 4
    error = error_of(data[:at] + b"\x0c" + data[at + 1 :])
    assert isinstance(error, errors.UnsupportedImage)
    assert "This JPEG file is of a variant that is not read here" in error.message
    fax = image_formats.tiff(
        bytes(9), width=3, height=3, bits=[8], photometric=1, compression=34712
    )
    assert "This TIFF file is of a variant that is not read here" in error_of(fax).message


# Sources


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_files_are_loaded(kind, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "no extension is needed"
    path.write_bytes(image_formats.valid()["png"])
    assert np.array_equal(images.load(kind(path)), image_formats.sample_pixels())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
@pytest.mark.parametrize("name", ["png", "tiff", "avif"])
def test_bytes_of_any_sort_are_loaded(kind, name: str) -> None:
    assert np.array_equal(images.load(kind(image_formats.valid()[name])), decoded(name))


def test_a_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SourceError, match=r"There is no file '.*photo\.jpg'"):
        images.load(tmp_path / "photo.jpg")


def test_a_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SourceError, match="is a folder; expected the path of one image"):
        images.load(str(tmp_path))


@pytest.mark.parametrize("path", ["nul\0byte", "x" * 5000])
def test_an_impossible_path(path: str) -> None:
    with pytest.raises(errors.SourceError, match="cannot be opened"):
        images.load(path)


def test_an_empty_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(errors.EmptyImage, match="0 bytes"):
        images.load(path)


def test_arrays_are_copied() -> None:
    photo = image_formats.sample_pixels()
    loaded = images.load(photo)
    assert np.array_equal(loaded, photo)
    assert not np.shares_memory(loaded, photo)


def test_arrays_in_grey_and_with_alpha() -> None:
    grey = image_formats.sample_pixels()[..., 0]
    expected = np.dstack([grey] * 3)
    assert np.array_equal(images.load(grey), expected)
    assert np.array_equal(images.load(grey[..., None]), expected)
    clear = np.zeros((5, 6, 4), np.uint8)
    assert images.load(clear).tolist() == np.full((5, 6, 3), 255).tolist()


def test_arrays_need_not_be_contiguous() -> None:
    photo = image_formats.sample_pixels()[::-2, ::3, ::-1]
    assert np.array_equal(images.load(photo), photo)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 5, 3), "float32"), ((4, 5, 2), "uint8"), ((1, 4, 5, 3), "uint8"), ((4, 5), "bool")],
)
def test_other_arrays_are_refused(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(errors.UnsupportedImage) as caught:
        images.load(np.zeros(shape, dtype))
    assert f"An array of type {dtype} and shape {shape} came" in caught.value.message
    assert "expected uint8" in caught.value.message


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0), (0, 0, 4)])
def test_arrays_without_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(errors.EmptyImage, match=r"An image of \d x \d pixels is empty"):
        images.load(np.zeros(shape, np.uint8))


def test_arrays_are_limited_too() -> None:
    with pytest.raises(errors.TooManyPixels, match="97 x 64 = 6,208 pixels; the limit is 10"):
        images.load(image_formats.sample_pixels(), limits=images.Limits(max_pixels=10))


def test_pillow_images_are_loaded_and_left_alone() -> None:
    image = Image.open(io.BytesIO(image_formats.valid()["png palette alpha"]))
    palette = image.getpalette("RGBA")
    assert np.array_equal(images.load(image), decoded("png palette alpha"))
    assert image.mode == "P"
    assert image.getpalette("RGBA") == palette


def test_a_turned_pillow_image_is_not_turned_again() -> None:
    image = Image.open(io.BytesIO(image_formats.corners(image_formats.exif(6), "TIFF")))
    image.load()
    assert_turned(images.load(image), 6)


def test_a_pillow_image_of_a_cut_file_is_damaged() -> None:
    image = Image.open(io.BytesIO(image_formats.valid()["png"][:5000]))
    with pytest.raises(errors.DamagedImage, match="The image file is damaged"):
        images.load(image)


def test_a_source_of_another_type() -> None:
    with pytest.raises(errors.SourceError, match="of type list came; expected a path"):
        images.load([1, 2, 3])


# The process


def test_global_state_of_pillow_and_warnings_is_not_changed() -> None:
    def switches() -> list[object]:
        plugins = sorted(Image.OPEN)
        return [
            Image.MAX_IMAGE_PIXELS,
            ImageFile.LOAD_TRUNCATED_IMAGES,
            warnings.filters[:],
            plugins,
        ]

    before = switches()
    for data in image_formats.valid().values():
        images.decode(data)
        with pytest.raises(errors.ImageError):
            images.decode(data[: len(data) // 3])
    assert switches() == before


def test_many_threads_decode_at_once() -> None:
    files = image_formats.valid()
    expected = {name: images.decode(data) for name, data in files.items()}
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(list(files))
        start.wait()
        for name in order:
            assert np.array_equal(images.decode(files[name]), expected[name]), name
            with pytest.raises(errors.TruncatedImage):
                images.decode(files[name][: len(files[name]) // 3])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


# Peak memory is the process's own, so these run in one of their own.


def run_alone(*arguments: str) -> dict[str, object]:
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz_images.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_fuzzed_images_raise_only_documented_errors() -> None:
    """10,000 random inputs and 2,000 broken images: an array or an `ImageError`, nothing else."""
    report = run_alone("fuzz", "10000", "2000")
    assert sum(report["noise"]["outcomes"].values()) == 10_000
    assert sum(report["mutilated"]["outcomes"].values()) == 2_000
    assert {"array", "DamagedImage", "TruncatedImage"} <= set(report["mutilated"]["outcomes"])
    assert max(report["noise"]["slowest_s"], report["mutilated"]["slowest_s"]) < 5
    assert report["warnings"] == []
    assert report["peak_growth_mb"] < 500


@pytest.mark.slow
@pytest.mark.parametrize("name", ["png", "tiff", "progressive jpeg"])
def test_the_largest_pictures_stay_within_500_mb(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(image_formats.large(name))
    report = run_alone("large", str(path))
    assert report["pixels"] > 49_000_000
    assert report["peak_growth_mb"] < 500
