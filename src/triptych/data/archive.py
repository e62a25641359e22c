"""Photos in a zip archive, read in place: nothing is unpacked to disk.

Names, sizes and offsets in an archive are untrusted. A name is only displayed; a size is a bound
that is checked before and after unpacking.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from triptych import errors
from triptych import images
from triptych.data import files
from triptych.data import zip_names
from triptych.utils import storage
from triptych.utils.formatting import counted
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

MAX_MEMBERS = 200_000
# Python reads the whole directory at once; it takes some 100 bytes a member.
_MAX_DIRECTORY_BYTES = 32 * images.MB
# Photos hardly compress: an archive that unpacks to far more than its size is a decompression bomb.
_MAX_RATIO = 100
_ALWAYS_ALLOWED_BYTES = 1024 * images.MB

# Archives come from others, and a small one may hold a huge document.
_DOCUMENT_LIMITS = images.Limits(max_bytes=64 * images.MB)

_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# The header before each member's data: its size, and the positions of two lengths in it, of the
# name and the extra field.
_HEADER_BYTES = 30
_HEADER_LENGTHS = (slice(26, 28), slice(28, 30))


@dataclass(frozen=True)
class ArchiveMember:
    """One file in an archive; call it for its bytes.

    It keeps no file open, so it can be pickled, and called from several threads.

    Args:
        archive: The archive.
        limits: Bytes allowed.
        offset: Where its header begins.
        packed_bytes: Its size in the archive.
        size_bytes: Its size.
        method: Its compression method, a number of the zip format.
        crc: Its checksum.
    """

    archive: Path
    limits: images.Limits
    offset: int
    packed_bytes: int
    size_bytes: int
    method: int
    crc: int

    def __call__(self) -> bytes:
        """The bytes of the file.

        Raises:
            errors.ImageError: It has too many bytes or none.
            errors.SourceError: This part of the archive is damaged, or the file is compressed by an
                unusual method.
        """
        images.check_bytes(max(self.size_bytes, self.packed_bytes), self.limits)
        if self.method not in _METHODS:
            raise errors.SourceError(
                text(
                    "It is compressed by method {method}; expected stored or deflated. Make the "
                    "archive again as an ordinary zip.",
                    method=self.method,
                )
            )
        try:
            with open(self.archive, "rb") as file:
                file.seek(self.offset)
                header = file.read(_HEADER_BYTES)
                skip = sum(int.from_bytes(header[part], "little") for part in _HEADER_LENGTHS)
                file.seek(skip, io.SEEK_CUR)
                data = file.read(self.packed_bytes)
            if self.method == zipfile.ZIP_DEFLATED:
                inflate = zlib.decompressobj(-zlib.MAX_WBITS).decompress
                data = inflate(data, max(1, self.size_bytes))
        except OSError as error:
            raise errors.SourceError(
                text("The archive cannot be read: {strerror}.", strerror=error.strerror)
            ) from error
        except (zlib.error, ValueError, OverflowError):
            data = b""
        if len(data) != self.size_bytes or zlib.crc32(data) != self.crc:
            raise errors.SourceError(
                text("The archive is damaged at this file. Make or copy the archive again.")
            )
        return data


@functools.cache
def _fetched_into() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="triptych-fetched-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def fetched(url: str) -> Path:
    """Fetch an archive; it is kept until this process ends, since its photos are read in place.

    Args:
        url: Of any file system that fsspec knows.

    Returns:
        A file with the name that the URL has.

    Raises:
        errors.SourceError: It cannot be fetched, or would fill the disk.
    """
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    path = _fetched_into() / name / files.name_of(url)
    storage.fetch(url, path)
    return path


class _Guarded(io.FileIO):
    """A file that refuses to read more at once than a plausible directory has."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise _too_many(text("a directory of {size:,.0f} MB", size=size / images.MB))
        return super().read(size) or b""


def in_archive(path: Path, limits: images.Limits) -> files.Listing:
    """List a zip archive.

    Args:
        path: The archive.
        limits: Bytes allowed in a file.

    Raises:
        errors.SourceError: It is damaged, protected by a password, or a bomb, or its names cannot
            be read.
    """
    listing = files.Listing(plain_text(path.name), limits, document_limits=_DOCUMENT_LIMITS)
    members = _members(path)
    written = zip_names.of(path, members)
    listing.reported.extend(written.findings)
    for info, name in zip(members, written.names, strict=True):
        # Some programs on Windows write backslashes.
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".." in parts:
            listing.ignored.append(plain_text("/".join(parts)))
        elif parts:
            member = functools.partial(
                ArchiveMember,
                path,
                offset=info.header_offset,
                packed_bytes=info.compress_size,
                size_bytes=info.file_size,
                method=info.compress_type,
                crc=info.CRC,
            )
            listing.add(parts, None if info.is_dir() else member)
    return listing


def _members(path: Path) -> list[zipfile.ZipInfo]:
    """List the members; refuse archives that are damaged, encrypted or a decompression bomb."""
    try:
        with _Guarded(path) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except errors.SourceError:
        raise
    except UnicodeDecodeError as error:
        raise errors.SourceError(
            text(
                "The names in {path!r} are marked as UTF-8, and are not: {error}. Pack the "
                "photos again with another program, such as 7-Zip.",
                path=path.name,
                error=error,
            )
        ) from error
    except Exception as error:
        # A damaged directory makes zipfile raise errors of many types.
        raise errors.SourceError(
            text(
                "{path!r} is not a complete zip archive: {error}. Make or copy it again.",
                path=path.name,
                error=error,
            )
        ) from error
    if len(members) > MAX_MEMBERS:
        raise _too_many(counted(len(members), "file"))
    if any(info.flag_bits & _ENCRYPTED for info in members):
        raise errors.SourceError(
            text(
                "{path!r} is protected by a password. Unpack it, and give the folder or a "
                "zip without password.",
                path=path.name,
            )
        )
    total, size = sum(info.file_size for info in members), path.stat().st_size
    if total > max(_ALWAYS_ALLOWED_BYTES, _MAX_RATIO * size):
        raise errors.SourceError(
            text(
                "{path!r} has {size:,.1f} MB and would unpack to {total:,.0f} MB; photos do "
                "not compress that well. Pack them again.",
                path=path.name,
                size=size / images.MB,
                total=total / images.MB,
            )
        )
    return members


def _too_many(what: str) -> errors.SourceError:
    return errors.SourceError(
        text(
            "The archive has {what}; the limit is {most:,} files. Unpack it and give the folder.",
            what=what,
            most=MAX_MEMBERS,
        )
    )
