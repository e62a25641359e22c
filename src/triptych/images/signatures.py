"""What a file is, by its first bytes: a photo in a format we read, another image, or no image.

Tried from top to bottom, first `formats.FORMATS`, then the table here. That one exists for the sake
of true messages: a person who sent a PDF should read "PDF", not "cannot identify image file".
"""

from __future__ import annotations

import codecs
import re
from typing import Literal
from typing import NamedTuple

from triptych.images.formats import FORMATS

Sort = Literal["photo", "image", "other"]


class Kind(NamedTuple):
    """What some bytes look like.

    Args:
        sort: ``"photo"`` for a format that is read here, ``"image"`` for one that is not,
            ``"other"`` for anything else.
        name: The short name of a photo format, else a noun with its article.
    """

    sort: Sort
    name: str


NOISE = Kind("other", "")

# Of what is not read: sort, name and a pattern for the start of the file.
SIGNATURES: tuple[tuple[Sort, str, bytes], ...] = (
    ("image", "a camera raw file (Canon CR2)", rb"II\*\0.{4}CR"),
    ("image", "a BigTIFF image", rb"II\+\0|MM\0\+"),
    ("image", "a camera raw file (Canon CR3)", rb"\0.{3}ftypcrx "),
    ("other", "a video or sound file (MP4 family)", rb"\0.{3}(?:ftyp|moov|mdat|wide)"),
    ("image", "a camera raw file (Olympus)", rb"IIR[OS]|MMOR"),
    ("image", "a camera raw file (Panasonic)", rb"IIU\0"),
    ("image", "a camera raw file (Fujifilm)", rb"FUJIFILMCCD-RAW"),
    ("image", "a Photoshop document (PSD)", rb"8BPS\0"),
    ("image", "a JPEG 2000 image", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("image", "a JPEG XL image", rb"\0\0\0\x0cJXL |\xff\x0a"),
    ("image", "a JPEG XR image", rb"II\xbc"),
    ("image", "an icon (ICO)", rb"\0\0[\x01\x02]\0.\0"),
    ("image", "an Apple icon (ICNS)", rb"icns\0"),
    ("image", "a GIMP document (XCF)", rb"gimp xcf"),
    ("image", "an OpenEXR image", rb"\x76\x2f\x31\x01"),
    ("image", "a Radiance HDR image", rb"#\?R"),
    ("image", "a DDS texture", rb"DDS \x7c\0"),
    ("image", "a QOI image", rb"qoif\0"),
    ("image", "a Netpbm image (PBM, PGM or PPM)", rb"P[1-6]\s+(?:#[^\n]*\s+)*\d+\s"),
    ("image", "a FITS image", rb"SIMPLE  ="),
    ("image", "a DICOM image", rb".{128}DICM"),
    ("image", "a DjVu document", rb"AT&TFORM"),
    ("image", "a Windows metafile", rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF"),
    ("image", "a PostScript drawing (EPS)", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("other", "a PDF file", rb"%PDF"),
    ("other", "a ZIP archive (or a document kept in one)", rb"PK[\x03\x05]"),
    ("other", "a gzip archive", rb"\x1f\x8b"),
    ("other", "a 7-Zip archive", rb"7z\xbc\xaf\x27\x1c"),
    ("other", "a RAR archive", rb"Rar!\x1a\x07"),
    ("other", "an XZ archive", rb"\xfd7zXZ"),
    ("other", "a bzip2 archive", rb"BZh[1-9]"),
    ("other", "a Zstandard archive", rb"\x28\xb5\x2f\xfd"),
    ("other", "a tar archive", rb".{257}ustar"),
    ("other", "a Matroska or WebM video", rb"\x1a\x45\xdf\xa3"),
    ("other", "an AVI video", rb"RIFF.{4}AVI "),
    ("other", "a WAV sound file", rb"RIFF.{4}WAVE"),
    ("other", "an Ogg sound or video file", rb"OggS\0"),
    ("other", "an MP3 sound file", rb"ID3[\x02-\x04]"),
    ("other", "a FLAC sound file", rb"fLaC"),
    ("other", "an HDF5 file, as Keras weights are", rb"\x89HDF\r\n"),
    ("other", "a NumPy file", rb"\x93NUMPY"),
    ("other", "an SQLite database", rb"SQLite format 3"),
    ("other", "an old Office document", rb"\xd0\xcf\x11\xe0"),
    ("other", "a program (ELF)", rb"\x7fELF"),
    ("other", "a program (Windows)", rb"MZ[\x50\x78\x90]\0"),
)

# The same for text, without regard to case and leading space.
TEXTS: tuple[tuple[Sort, str, str], ...] = (
    ("other", "an HTML page", r"(?:<!--.*?-->\s*)?<(?:!doctype html|html|head|body)"),
    ("image", "an SVG drawing", r"<.*<svg[\s>]|<svg[\s>]"),
    ("other", "an XML file", r"<\?xml"),
    ("other", "a data URL (send the bytes it stands for)", r"data:image/"),
    ("other", "base64 text (decode it first)", r"ivborw0kg|/9j/|r0lgod|uklgr"),
    ("other", "JSON text", r"[\[{]\s*[\"\[{\]}\d]"),
)

_SIGNATURES = [
    (re.compile(pattern, re.DOTALL).match, Kind(sort, name))
    for sort, name, pattern in (
        *(("photo", row.name, row.signature) for row in FORMATS),
        *SIGNATURES,
    )
]
_TEXTS = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE).match, Kind(sort, name))
    for sort, name, pattern in TEXTS
]
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SAMPLE_BYTES = 2048


def identify(data: bytes) -> Kind:
    """Say what the bytes look like, without unpacking anything.

    Args:
        data: The whole file, or its first 2048 bytes.

    Returns:
        The kind; `NOISE` when nothing fits.

    Example:
        >>> identify(b"%PDF-1.7 ...")
        Kind(sort='other', name='a PDF file')
    """
    head = data[:_SAMPLE_BYTES]
    for matches, kind in _SIGNATURES:
        if matches(head):
            return kind
    text = _text(head)
    if text is None:
        return NOISE
    for matches_text, kind in _TEXTS:
        if matches_text(text.lstrip()):
            return kind
    return Kind("other", "plain text")


def _text(head: bytes) -> str | None:
    """The sample as text, or None when it is not."""
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")()
    try:
        # Not final: the sample may end inside a character.
        text = decoder.decode(head)
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(text) else text
