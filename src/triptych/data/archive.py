"""Photos in a zip archive, read where they are: nothing is ever unpacked to disk.

Names, sizes and offsets in an archive are claims of whoever made it. A name is only shown; a size
is a bound, checked before and after unpacking.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from triptych import errors
from triptych import images
from triptych.data import files

MAX_MEMBERS = 200_000
# Python reads the whole directory at once; it takes some 100 bytes a member.
_MAX_DIRECTORY_BYTES = 32 * images.MB
# Photos hardly shrink; what unpacks to far more than its size is no collection of photos.
_MAX_RATIO = 100
_ALWAYS_ALLOWED_BYTES = 1024 * images.MB

_ENCRYPTED = 0x1
_UTF8_NAME = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# The header before each member's data: its size, and where the lengths of name and extra are.
_HEADER_BYTES = 30
_HEADER_LENGTHS = (slice(26, 28), slice(28, 30))


@dataclass(frozen=True)
class ArchiveMember:
    """One file in an archive; call it for its bytes.

    It keeps no file open, so a dataset can live long, cross processes and be read by many threads.

    Args:
        archive: The archive.
        offset: Where its header begins.
        packed_bytes: Its size in the archive.
        size_bytes: Its size.
        method: How it is compressed, as zip counts.
        crc: Its checksum.
        limits: Bytes allowed.
    """

    archive: Path
    offset: int
    packed_bytes: int
    size_bytes: int
    method: int
    crc: int
    limits: images.Limits

    def __call__(self) -> bytes:
        """The bytes of the file.

        Raises:
            errors.ImageError: It has too many bytes or none.
            errors.SourceError: The archive is damaged here, or packed in an unusual way.
        """
        images.check_bytes(max(self.size_bytes, self.packed_bytes), self.limits)
        if self.method not in _METHODS:
            raise errors.SourceError(
                f"It is compressed by method {self.method}; expected stored or deflated. "
                f"Make the archive anew as an ordinary zip."
            )
        try:
            data = self._unpacked(self._packed())
        except OSError as error:
            raise errors.SourceError(f"The archive cannot be read: {error.strerror}.") from error
        except (zlib.error, ValueError, OverflowError):
            data = b""
        if len(data) != self.size_bytes or zlib.crc32(data) != self.crc:
            raise errors.SourceError(
                "The archive is damaged at this file. Make or copy the archive anew."
            )
        return data

    def _packed(self) -> bytes:
        with open(self.archive, "rb") as file:
            file.seek(self.offset)
            header = file.read(_HEADER_BYTES)
            skip = sum(int.from_bytes(header[part], "little") for part in _HEADER_LENGTHS)
            file.seek(skip, io.SEEK_CUR)
            return file.read(self.packed_bytes)

    def _unpacked(self, packed: bytes) -> bytes:
        if self.method == zipfile.ZIP_STORED:
            return packed
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max(1, self.size_bytes))


class _Guarded(io.FileIO):
    """A file that is never read in pieces larger than an honest directory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise _too_many(f"a directory of {size / images.MB:,.0f} MB")
        return super().read(size) or b""


def in_archive(path: Path, limits: images.Limits) -> files.Listing:
    """List a zip archive.

    Args:
        path: The archive.
        limits: Bytes allowed in a file.

    Raises:
        errors.SourceError: It is damaged, protected by a password, or a bomb.
    """
    members = _members(path)
    _check(members, path)
    listing = files.Listing(files.shown(path.name))
    for info in members:
        parts = _parts(info)
        if ".." in parts:
            listing.ignored.append(files.shown("/".join(parts)))
        elif parts:
            listing.add(parts, None if info.is_dir() else _member(path, info, limits))
    return listing


def _members(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with _Guarded(path) as file, zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except errors.SourceError:
        raise
    except Exception as error:
        # zipfile lets through whatever a broken directory makes of its parser.
        raise errors.SourceError(
            f"{path.name!r} is no complete zip archive: {error}. Make or copy it anew."
        ) from error


def _check(members: list[zipfile.ZipInfo], path: Path) -> None:
    if len(members) > MAX_MEMBERS:
        raise _too_many(f"{len(members):,} files")
    if any(info.flag_bits & _ENCRYPTED for info in members):
        raise errors.SourceError(
            f"{path.name!r} is protected by a password. Unpack it, and give the folder or a zip "
            f"without password."
        )
    total, size = sum(info.file_size for info in members), path.stat().st_size
    if total > max(_ALWAYS_ALLOWED_BYTES, _MAX_RATIO * size):
        raise errors.SourceError(
            f"{path.name!r} has {size / images.MB:,.1f} MB and would unpack to "
            f"{total / images.MB:,.0f} MB; photos do not shrink like that. Pack them anew."
        )


def _too_many(what: str) -> errors.SourceError:
    return errors.SourceError(
        f"The archive has {what}; the limit is {MAX_MEMBERS:,} files. "
        f"Unpack it and give the folder."
    )


def _parts(info: zipfile.ZipInfo) -> list[str]:
    name = info.filename
    if not info.flag_bits & _UTF8_NAME:
        # macOS writes UTF-8 without saying so, which zipfile then reads as code page 437.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    # Some programs on Windows write backslashes.
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _member(path: Path, info: zipfile.ZipInfo, limits: images.Limits) -> ArchiveMember:
    return ArchiveMember(
        path,
        offset=info.header_offset,
        packed_bytes=info.compress_size,
        size_bytes=info.file_size,
        method=info.compress_type,
        crc=info.CRC,
        limits=limits,
    )
