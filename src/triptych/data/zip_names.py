"""Names in a zip, decoded as UTF-8 if marked so, or by a guessed code page.

A zip only marks names that are UTF-8. Programs on Windows write others in the code page of the
user's language, without saying which; Python decodes all of them as code page 437.
"""

from __future__ import annotations

import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import chardet

from triptych import errors
from triptych.data.records import Finding
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

_UTF8_NAME = 0x800
# Info-ZIP's extra field with the name in UTF-8: version, checksum of the header's name, name.
_UNICODE_PATH = 0x7075
_UNICODE_PATH_VERSION = 1

# The code pages in which programs on Windows write names, by chardet's names for them and similar
# ones, with the name of the language or script.
_CODE_PAGES = {
    "big5": ("cp950", "Chinese, traditional"),
    "cp437": ("cp437", "Western"),
    "cp720": ("cp720", "Arabic"),
    "cp737": ("cp737", "Greek"),
    "cp775": ("cp775", "Baltic"),
    "cp850": ("cp850", "Western European"),
    "cp852": ("cp852", "Central European"),
    "cp857": ("cp857", "Turkish"),
    "cp862": ("cp862", "Hebrew"),
    "cp874": ("cp874", "Thai"),
    "cp932": ("cp932", "Japanese"),
    "cp949": ("cp949", "Korean"),
    "euc-kr": ("cp949", "Korean"),
    "gb18030": ("gb18030", "Chinese, simplified"),
    "ibm866": ("cp866", "Cyrillic"),
    "iso-8859-1": ("cp1252", "Western European"),
    "windows-1250": ("cp1250", "Central European"),
    "windows-1251": ("cp1251", "Cyrillic"),
    "windows-1252": ("cp1252", "Western European"),
    "windows-1253": ("cp1253", "Greek"),
    "windows-1254": ("cp1254", "Turkish"),
    "windows-1255": ("cp1255", "Hebrew"),
    "windows-1256": ("cp1256", "Arabic"),
    "windows-1257": ("cp1257", "Baltic"),
    "windows-1258": ("cp1258", "Vietnamese"),
}


@dataclass(frozen=True)
class ZipNames:
    """The names of a zip's members.

    Args:
        names: In the order of the members.
        findings: What was guessed.
    """

    names: tuple[str, ...]
    findings: tuple[Finding, ...]


def of(path: Path, members: Sequence[zipfile.ZipInfo]) -> ZipNames:
    """Read the names of a zip's members.

    Args:
        path: The zip, for the message.
        members: The members, as listed by zipfile.

    Raises:
        errors.SourceError: Some are not marked as UTF-8, and their code page cannot be guessed.
    """
    marked = [_marked(info) for info in members]
    raw = {_raw(info) for info, name in zip(members, marked, strict=True) if name is None}
    code_page, language = _code_page(path, raw)
    names = tuple(
        _raw(info).decode(code_page) if name is None else name
        for info, name in zip(members, marked, strict=True)
    )
    if not language:
        return ZipNames(names, ())
    parts = {part for name in raw for part in _parts(name.decode(code_page))}
    odd = tuple(sorted(plain_text(part) for part in parts if not part.isascii()))
    message = text(
        "The zip does not say how its names are written; read as {language} ({code_page}). "
        "If they look wrong, pack it again with a program that writes UTF-8.",
        language=language,
        code_page=code_page,
    )
    return ZipNames(names, (Finding("guessed_names", message, odd),))


def _marked(info: zipfile.ZipInfo) -> str | None:
    """The name, if the zip says how it is encoded."""
    if info.flag_bits & _UTF8_NAME:
        return info.orig_filename
    raw = _raw(info)
    for header, value in _extra_fields(info.extra):
        version, checksum = value[:1], int.from_bytes(value[1:5], "little")
        # The checksum differs if a program renamed the member and left this field as it was.
        if header == _UNICODE_PATH and version == bytes([_UNICODE_PATH_VERSION]):
            try:
                return value[5:].decode() if checksum == zlib.crc32(raw) else None
            except UnicodeDecodeError:
                return None
    return None


def _raw(info: zipfile.ZipInfo) -> bytes:
    """The name's bytes; zipfile reads those that are not marked as code page 437."""
    utf8 = info.flag_bits & _UTF8_NAME
    return info.orig_filename.encode("utf-8" if utf8 else "cp437")


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        length = int.from_bytes(extra[2:4], "little")
        yield int.from_bytes(extra[:2], "little"), extra[4 : 4 + length]
        extra = extra[4 + length :]


def _code_page(path: Path, raw: set[bytes]) -> tuple[str, str]:
    """The code page of names that are not marked, and its language where it is a guess."""
    try:
        # macOS writes UTF-8 without marking it. Other names are rarely valid UTF-8 by chance.
        for name in raw:
            name.decode()
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8", ""
    # Extensions, numbers and other ASCII would outweigh the letters that matter.
    telling = b"\n".join(sorted({part for name in raw for part in name.split(b"/")} - _ascii(raw)))
    for guess in chardet.detect_all(telling, ignore_threshold=True):
        code_page = _CODE_PAGES.get((guess["encoding"] or "").lower())
        if code_page and _is_plausible(raw, code_page[0]):
            return code_page
    raise errors.SourceError(
        text(
            "The names in {path!r} are not in UTF-8, and no code page makes sense of "
            "them. Pack it again with a program that writes UTF-8, or unpack it and give "
            "the folder.",
            path=path.name,
        )
    )


def _ascii(raw: set[bytes]) -> set[bytes]:
    return {part for name in raw for part in name.split(b"/") if part.isascii()}


def _is_plausible(raw: set[bytes], code_page: str) -> bool:
    """Whether a code page reads names as letters, and no two names as one."""
    try:
        names = {name.decode(code_page) for name in raw}
    except UnicodeDecodeError:
        return False
    return len(names) == len(raw) and all(
        letter.isascii() or unicodedata.category(letter)[0] in "LMNPZ"
        for name in names
        for letter in name
    )


def _parts(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")
