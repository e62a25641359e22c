"""Metadata: the orientation is read, everything else is ignored."""

from __future__ import annotations

import io
import struct
import zlib

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageOps

from support import image_formats
from support.image_formats import chunk
from triptych import errors
from triptych import images

BEFORE_PIXELS = 33  # behind the header of a PNG
TIFF_BLOCK = image_formats.exif(6).removeprefix(b"Exif\0\0")


def png_with(*chunks: bytes) -> bytes:
    """A PNG whose corners show its orientation, with further chunks."""
    data = image_formats.corners()
    return data[:BEFORE_PIXELS] + b"".join(chunks) + data[BEFORE_PIXELS:]


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    data = image_formats.corners(format="JPEG")
    packed = [
        bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content
        for marker, content in segments
    ]
    return data[:2] + b"".join(packed) + data[2:]


def by_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    """The image as Pillow orients it, from the same metadata."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def wrong(name: bytes, content: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    good = chunk(name, content)
    return good[:-4] + bytes(byte ^ 1 for byte in good[-4:])


ODD_CHUNKS = {
    "text of 3 MB": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 3_000_000)),
    "Unicode text of 3 MB": chunk(b"iTXt", b"p\0\1\0\0\0" + zlib.compress(b"y" * 3_000_000)),
    "70 texts of 1 MB": b"".join(
        chunk(b"zTXt", b"k%d\0\0" % number + zlib.compress(b"x" * 1_000_000))
        for number in range(70)
    ),
    "text of an unknown method": chunk(b"zTXt", b"k\0\7abc"),
    "text of a wrong checksum": wrong(b"tEXt", b"Software\0scanner"),
    "profile of a wrong checksum": wrong(b"iCCP", b"icc\0\0" + zlib.compress(b"p" * 300)),
    "profile that is none": chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"p" * 300)),
    "profile that is not compressed": chunk(b"iCCP", b"icc\0\0" + b"p" * 300),
    "EXIF of a wrong checksum": wrong(b"eXIf", TIFF_BLOCK),
    "raw profile that is cut": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 99\n4d4d0"),
    "raw profile that is no text": chunk(b"zTXt", b"Raw profile type exif\0\0" + b"\xff" * 99),
    "texts after the picture": b"",
    **{f"short {name.decode()}": chunk(name, b"\0\0") for name in (b"gAMA", b"pHYs", b"cHRM")},
    "empty sRGB": chunk(b"sRGB", b""),
    "empty sBIT": chunk(b"sBIT", b""),
    "empty tIME": chunk(b"tIME", b""),
    "of a program": chunk(b"vpAg", b"?"),
}


@pytest.mark.parametrize("name", ODD_CHUNKS)
def test_odd_chunks_change_nothing(name: str) -> None:
    expected = images.decode(image_formats.corners())
    assert np.array_equal(images.decode(png_with(ODD_CHUNKS[name])), expected)
    data = image_formats.corners()
    assert np.array_equal(images.decode(data[:-12] + ODD_CHUNKS[name] + data[-12:]), expected)


ODD_SEGMENTS = {
    "JFIF that is cut": (0xE0, b"JFIF\0"),
    "EXIF that is cut": (0xE1, b"Exif\0\0II*\0"),
    "EXIF of noise": (0xE1, b"Exif\0\0" + bytes(range(256))),
    "XMP that is none": (0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe<x"),
    "profile that is cut": (0xE2, b"ICC_PROFILE\0"),
    "profile of noise": (0xE2, b"ICC_PROFILE\0\1\1" + bytes(300)),
    "second of five profiles": (0xE2, b"ICC_PROFILE\0\2\5" + bytes(300)),
    "index of more pictures that is none": (0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
    "resources that are cut": (0xED, b"Photoshop 3.0\x008BIM\x04"),
    "Adobe that is cut": (0xEE, b"Adobe\0"),
    "of a program": (0xEF, b""),
    "empty comment": (0xFE, b""),
}


@pytest.mark.parametrize("name", ODD_SEGMENTS)
def test_odd_segments_change_nothing(name: str) -> None:
    expected = images.decode(image_formats.corners(format="JPEG"))
    assert np.array_equal(images.decode(jpeg_with(ODD_SEGMENTS[name])), expected)


def test_markers_about_colours_are_kept() -> None:
    """Without its Adobe marker the second would be read as CMYK, and others as YCbCr."""
    for name in ("jpeg ycck", "jpeg cmyk"):
        data = image_formats.valid()[name]
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(images.decode(data), np.asarray(image.convert("RGB")))


def test_a_segment_without_length_is_damage() -> None:
    thumbnail = image_formats.encode(Image.new("RGB", (8, 8), "red"), "JPEG")
    data = image_formats.corners(format="JPEG")
    with pytest.raises(errors.DamagedImage):
        images.decode(data[:2] + b"\xff\xe1\0\0Exif\0\0" + thumbnail[2:] + data[2:])


@pytest.mark.parametrize("name", ["png", "png 16 bit", "jpeg"])
def test_damaged_pixels_are_still_reported(name: str) -> None:
    data = bytearray(image_formats.valid()[name])
    at = data.rindex(b"IDAT") + 40 if "png" in name else data.rindex(b"\xff\xc4") + 8
    data[at : at + 60] = bytes(range(60))
    with pytest.raises((errors.DamagedImage, errors.TruncatedImage)):
        images.decode(bytes(data))


@hypothesis.given(
    st.lists(
        st.tuples(
            st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"]), st.binary(max_size=80)
        ),
        max_size=4,
    )
)
def test_any_ancillary_chunk_leaves_the_pixels(chunks: list[tuple[bytes, bytes]]) -> None:
    data = png_with(*(chunk(name, content) for name, content in chunks))
    pixels = images.decode(data)
    assert sorted(pixels.shape[:2]) == [20, 30]


@hypothesis.given(st.integers(0xE1, 0xEF), st.binary(max_size=80))
def test_any_application_segment_leaves_the_pixels(marker: int, content: bytes) -> None:
    hypothesis.assume(not content.startswith(b"Adobe"))
    assert images.decode(jpeg_with((marker, content))).shape == (20, 30, 3)


# Orientation


def raw_profile(orientation: int, key: bytes = b"exif") -> bytes:
    """As ImageMagick writes it: a name, a length, lines of digits."""
    digits = image_formats.exif(orientation).hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    text = f"\n{key.decode()}\n{len(digits) // 2:8d}\n" + "\n".join(lines) + "\n"
    return text.encode()


def xmp(orientation: int, *, is_element: bool = False) -> bytes:
    if is_element:
        return b"<x><tiff:Orientation>%d</tiff:Orientation></x>" % orientation
    return b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation


PLACES = {
    "eXIf": lambda n: chunk(b"eXIf", image_formats.exif(n).removeprefix(b"Exif\0\0")),
    "raw profile": lambda n: chunk(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(n))
    ),
    "raw profile, plain": lambda n: chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile(n)),
    "XMP": lambda n: chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(n)),
    "XMP, compressed": lambda n: chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(n, is_element=True))
    ),
}


@pytest.mark.parametrize("chunk_kind", PLACES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pngs_are_turned_as_pillow_turns_them(chunk_kind: str, orientation: int) -> None:
    data = png_with(PLACES[chunk_kind](orientation))
    assert np.array_equal(images.decode(data), by_pillow(data))
    end = image_formats.corners()
    after = end[:-12] + PLACES[chunk_kind](orientation) + end[-12:]
    assert np.array_equal(images.decode(after), images.decode(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_are_turned_by_xmp_where_exif_says_nothing(orientation: int) -> None:
    data = jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(orientation)))
    assert np.array_equal(images.decode(data), by_pillow(data))


def test_the_first_orientation_counts() -> None:
    order = ["eXIf", "raw profile", "XMP"]
    for number, kind in enumerate(order):
        chunks = [PLACES[kind](6), *(PLACES[other](3) for other in order[number + 1 :])]
        for arranged in (chunks, chunks[::-1]):
            assert images.decode(png_with(*arranged)).shape == (30, 20, 3)
    assert images.decode(png_with(PLACES["eXIf"](9), PLACES["XMP"](6))).shape == (30, 20, 3)
    upright = png_with(PLACES["eXIf"](1), PLACES["XMP"](6))
    assert images.decode(upright).shape == (20, 30, 3)


def test_a_pillow_image_is_turned_like_its_file() -> None:
    for make in PLACES.values():
        data = png_with(make(6))
        assert np.array_equal(images.load(Image.open(io.BytesIO(data))), images.decode(data))
