"""Parse the structure of image files, without decoding pixels.

Pillow decodes the images. This module reads what Pillow does not report, or reports only after it
has spent time and memory: whether a file is truncated, what in it is metadata, how much work a file
takes to decode. TIFF has a module of its own. All input is untrusted.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import re
import struct
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

# Raised by struct, indexing or NumPy on reading beyond the end, or for a wrong signature.
_UNREADABLE = (struct.error, IndexError, ValueError, KeyError)


def ends_early(lacks_its_end: Callable[[bytes], bool], data: bytes) -> bool:
    """Whether a file that could not be decoded is truncated, as after a broken download.

    Args:
        lacks_its_end: The check for the file's format, such as `webp_lacks_its_end`.
        data: The file.

    Example:
        >>> ends_early(webp_lacks_its_end, b"RIFF" + (1000).to_bytes(4, "little") + b"WEBP")
        True
    """
    try:
        return lacks_its_end(data)
    except _UNREADABLE:
        return True


def list_parts(parts: Callable[[bytes], Iterator[int]], data: bytes, *, stop: int) -> list[int]:
    """List the parts of a file that Pillow iterates over in Python.

    Args:
        parts: The parser for the file's format, such as `jpeg_markers`.
        data: The file.
        stop: Maximum length of the list.

    Returns:
        A number for each part; for JPEG it is the marker, such as `JPEG_SCAN`.
    """
    listed: list[int] = []
    with contextlib.suppress(*_UNREADABLE):
        for part in itertools.islice(parts(data), stop):
            listed.append(part)  # one by one: parts before an unreadable one count
    return listed


def _number(layout: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(layout, data, at)[0])


class Metadata(NamedTuple):
    """What a file has besides its pixels.

    Args:
        exif: EXIF blocks, the most important first.
        xmp: XMP packets.
    """

    exif: list[bytes]
    xmp: list[bytes]


# More are not looked into.
_MOST_BLOCKS = 8
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"


# JPEG: markers, each with a length, until the compressed data of a scan


# One with a length after it: not a stuffed byte (00), a restart (01, D0-D7) or padding (FF).
_JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
# Each scan costs a pass over the whole picture.
JPEG_SCAN = 0xDA
_JPEG_END = 0xD9
_JPEG_APP = range(0xE0, 0xF0)
_JPEG_COMMENT = 0xFE
# Of the metadata these two say what the colours are; shorter ones are ignored by libjpeg, too.
_JPEG_COLOURS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
# Frames whose coefficients are all in memory until the last scan is read.
_JPEG_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


class Segment(NamedTuple):
    """A marker of a JPEG file, and what follows it up to the next.

    Args:
        marker: Its second byte, such as `JPEG_SCAN`.
        start: Where the marker begins.
        content: Where its content begins, after the length.
        end: Where its content ends; the next marker may come later.
    """

    marker: int
    start: int
    content: int
    end: int


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """The segments up to the end of the picture.

    Raises:
        ValueError: The length of a segment is impossible.
    """
    at = 2
    while match := _JPEG_MARKER.search(data, at):
        marker = match[1][0]
        if marker == _JPEG_END:
            yield Segment(marker, match.start(), match.end(), match.end())
            return
        length = _number(">H", data, match.end())
        at = match.end() + length
        # To search on behind an impossible length might find the picture's thumbnail.
        if length < 2 and marker != JPEG_SCAN:
            raise ValueError("a segment without a length")
        yield Segment(marker, match.start(), match.end() + 2, at)


def jpeg_markers(data: bytes) -> Iterator[int]:
    """The markers up to the end of the picture, each as its second byte."""
    return (segment.marker for segment in jpeg_segments(data))


def plain_jpeg(data: bytes) -> bytes:
    """Remove the metadata before the picture: Pillow reads it first, and fails where it is damaged.

    Raises:
        ValueError: There is no picture.
    """
    parts, start = [data[:2]], 2
    for segment in jpeg_segments(data):
        if segment.marker == JPEG_SCAN:
            break
        if segment.marker == _JPEG_COMMENT or segment.marker in _JPEG_APP:
            name, least = _JPEG_COLOURS.get(segment.marker, (b"", 1 << 16))
            is_short = segment.end - segment.content < least
            if is_short or not data.startswith(name, segment.content):
                parts.append(data[start : segment.start])
                start = min(segment.end, len(data))
    parts.append(data[start:])
    return b"".join(parts)


def jpeg_coefficient_bytes(data: bytes) -> int:
    """The memory for coefficients that a JPEG of several scans takes at any scale; 0 for others."""
    samples, count, is_progressive = 0, 0, False
    for segment in jpeg_segments(data):
        if segment.marker in _JPEG_FRAMES:
            height, width, count = struct.unpack_from(">xHHB", data, segment.content)
            sampling = [data[segment.content + 7 + 3 * number] for number in range(count)]
            areas = [(each >> 4) * (each & 15) for each in sampling]
            samples = width * height * sum(areas) // max(1, *areas)
            is_progressive = segment.marker in _JPEG_PROGRESSIVE
        if segment.marker == JPEG_SCAN:
            # The same for colours that come one after the other.
            return 2 * samples if is_progressive or data[segment.content] < count else 0
    return 0


def jpeg_metadata(data: bytes) -> Metadata:
    """The EXIF blocks and XMP packets of a JPEG."""
    exif, xmp = [], []
    for segment in jpeg_segments(data):
        if segment.marker == JPEG_SCAN:
            break
        if segment.marker == 0xE1:
            content = data[segment.content : segment.end]
            if content.startswith(b"Exif\0"):
                exif.append(content)
            elif content.startswith(_XMP_IN_JPEG):
                xmp.append(content.removeprefix(_XMP_IN_JPEG))
    return Metadata(exif[:_MOST_BLOCKS], xmp[:_MOST_BLOCKS])


def jpeg_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    at_the_very_end = data.rstrip(b"\0").endswith(bytes([0xFF, _JPEG_END]))
    return not at_the_very_end and _JPEG_END not in jpeg_markers(data)


# PNG: chunks


_PNG_TRANSPARENCY, _PNG_END = b"tRNS", b"IEND"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_SIGNIFICANT_BITS = b"sBIT"
# Longer texts are cut; an orientation stands near the beginning.
_MOST_TEXT_BYTES = 4 * 1024 * 1024


def png_chunks(data: bytes) -> Iterator[int]:
    """Where each chunk begins, up to the last of the picture."""
    at = 8
    while at + 8 <= len(data):
        yield at
        if data[at + 4 : at + 8] == _PNG_END:
            return
        at += 12 + _number(">I", data, at)


def plain_png(data: bytes) -> bytes:
    """Remove all that says nothing about pixels: Pillow warns or fails where it is odd or large.

    What remains are the chunks that every reader has to understand, and transparency.

    Source: PNG specification, third edition, section 5.4: the fifth bit of a chunk's name.
    """
    chunks = [*png_chunks(data), len(data)]
    return data[:8] + b"".join(
        data[start:end]
        for start, end in itertools.pairwise(chunks)
        if not data[start + 4] & 0x20 or data[start + 4 : start + 8] == _PNG_TRANSPARENCY
    )


def _png_contents(data: bytes, *names: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of chunks; those that do not have their checksum are passed over."""
    for at in png_chunks(data):
        name = data[at + 4 : at + 8]
        if name in names:
            end = at + 8 + _number(">I", data, at)
            if data[end : end + 4] == zlib.crc32(data[at + 4 : end]).to_bytes(4, "big"):
                yield name, data[at + 8 : end]


def png_significant_bits(data: bytes) -> int | None:
    """How many bits of a sample the file states to be significant, if it does."""
    for _, content in _png_contents(data, _PNG_SIGNIFICANT_BITS):
        return max(content, default=None)
    return None


def png_metadata(data: bytes) -> Metadata:
    """The EXIF blocks and XMP packets of a PNG.

    They are in chunks for them, or in texts as ImageMagick writes them: in hexadecimal digits,
    after a name and a length.
    """
    exif = [content for _, content in _png_contents(data, b"eXIf")]
    texts: dict[bytes, tuple[bytes, bytes]] = {}
    for name, content in _png_contents(data, *_PNG_TEXTS):
        key, _, rest = content.partition(b"\0")
        texts.setdefault(key.lower(), (name, rest))
    profiles = (b"raw profile type exif", b"raw profile type app1")
    exif += [raw_profile(_png_text(*texts[key])) for key in profiles if key in texts]
    packets = (b"xml:com.adobe.xmp", b"raw profile type xmp")
    xmp = [_png_text(*texts[key]) for key in packets[:1] if key in texts]
    xmp += [raw_profile(_png_text(*texts[key])) for key in packets[1:] if key in texts]
    return Metadata(exif[:_MOST_BLOCKS], xmp)


def raw_profile(text: bytes) -> bytes:
    """The bytes of a profile that is written in digits; empty where they are damaged."""
    digits = b"".join(text.split()[2:])  # after its name and its length
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


def _png_text(name: bytes, rest: bytes) -> bytes:
    """The text of a chunk, from what follows its keyword; empty where it is damaged."""
    is_compressed = name == b"zTXt"
    if name == b"zTXt":
        rest = rest[1:]
    elif name == b"iTXt":
        is_compressed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    if not is_compressed:
        return rest[:_MOST_TEXT_BYTES]
    try:
        return zlib.decompressobj().decompress(rest, _MOST_TEXT_BYTES)
    except zlib.error:
        return b""


def png_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    return b"IEND\xaeB\x60\x82" not in data


# GIF: a screen, extensions made of short blocks, frames


def gif_size(data: bytes) -> tuple[int, int]:
    """Size of the screen and first frame of a GIF together, (width, height) in pixels.

    Pillow warns of a large one before it tells its size.

    Raises:
        struct.error: The file ends before.
    """
    width, height = struct.unpack_from("<HH", data, 6)
    try:
        left, top, columns, rows = struct.unpack_from("<HHHH", data, _gif_first_frame(data))
    except _UNREADABLE:
        return width, height
    return max(width, left + columns), max(height, top + rows)


def gif_parts(data: bytes) -> Iterator[int]:
    """Where each block of each extension begins, and at last the description of the first frame."""
    at = 13 + _gif_palette_bytes(data[10])
    while data[at] != ord(","):
        if data[at] == ord("!"):
            at += 2
            while data[at]:
                yield at
                at += data[at] + 1
        at += 1
    yield at + 1


def _gif_first_frame(data: bytes) -> int:
    return collections.deque(gif_parts(data), maxlen=1).pop()


def _gif_palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def gif_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    frame = _gif_first_frame(data)
    at = frame + 10 + _gif_palette_bytes(data[frame + 8])
    while data[at]:
        at += data[at] + 1
    return False


# WebP: a RIFF file whose first chunk has the size, in one of three ways


def webp_size(data: bytes) -> tuple[int, int]:
    """Size of a WebP picture, (width, height) in pixels.

    Pillow has claimed memory for it by the time it tells.

    Raises:
        struct.error: The file ends before.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    if data[12:16] == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return 1 + low_w + (high_w << 16), 1 + low_h + (high_h << 16)
    if data[12:16] == b"VP8L":
        bits = _number("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def webp_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    return _number("<I", data, 4) + 8 > len(data)


# AVIF and HEIC: boxes within boxes


_EXIF_ITEM = re.compile(rb"(infe.{8}(?:..)?)Exif", re.DOTALL)


def without_exif(data: bytes) -> bytes:
    """Hide the EXIF block of an AVIF or HEIC file, since Pillow fails on damaged ones.

    Nothing is lost: these formats store the orientation in a field of their own.
    """
    return _EXIF_ITEM.sub(rb"\1skip", data)


def boxes_lack_their_end(data: bytes) -> bool:
    """Whether an AVIF or HEIC file is truncated."""
    at, has_pixels = 0, False
    while at < len(data):
        size = _number(">I", data, at)
        has_pixels |= data[at + 4 : at + 8] == b"mdat"
        if size == 1:
            size = _number(">Q", data, at + 8)
        if size < 8:
            # 0 means "to the end of the file", and 2 to 7 mean nothing.
            return False
        at += size
    return at > len(data) or not has_pixels


# BMP


def bmp_lacks_its_end(data: bytes) -> bool:
    """Whether the file is truncated."""
    return _number("<I", data, 2) > len(data)
