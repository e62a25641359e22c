"""Files at a path or URL: listed as a stream, read, and written atomically.

A *location* is a path on this machine, or a URL of any file system that fsspec knows: ``file://``,
``memory://``, ``http://``, and with its driver installed ``s3://``, ``gs://``, ``abfs://``.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.utils import files
from triptych.utils import formatting
from triptych.utils.formatting import MB

# Their objects appear complete; elsewhere a file is written under another name and renamed.
OBJECT_STORES = frozenset(("abfs", "abfss", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"))
# How many names of a folder are held, and sorted, at once.
SORTED_AT_ONCE = 100_000
MAX_DOWNLOAD_BYTES = 8 * 1024 * MB
KEPT_FREE_BYTES = 256 * MB
# User and password, and the signature of an address that is signed.
SECRETS = re.compile(r"(?<=://)[^/@:]*:[^/@]*@|\?.*", re.DOTALL)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is a program's own, such as ``.ipynb_checkpoints``."""
    return name.startswith(".") or name == "__MACOSX"


def is_url(text: str) -> bool:
    """Whether a text is a URL, and no path on this machine.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("photos/")
        (True, False)
    """
    return "://" in text


def join(location: str, *parts: str) -> str:
    """The location of something below a folder.

    Example:
        >>> join("s3://bucket/photos/", "cats", "1.jpg"), join("memory://", "out")
        ('s3://bucket/photos/cats/1.jpg', 'memory://out')
    """
    for part in parts:
        location = f"{location}{part}" if location.endswith("/") else f"{location}/{part}"
    return location


def redact(location: str) -> str:
    """A location without user, password and signature, for messages.

    Example:
        >>> redact("https://me:secret@host/garden.zip?signature=abc")
        'https://host/garden.zip'
    """
    return SECRETS.sub("", location) if is_url(location) else location


# ------------------------------------------------------------------ what is there


def walk(location: str) -> Iterator[str]:
    """Every file below a folder, as a stream: of each folder first its files, then its folders.

    Hidden ones are left out, and links to folders are not followed. Names are sorted; of a
    folder on this machine with more than `SORTED_AT_ONCE` names, each run of so many, so that none
    is too large to list. Other stores list a whole folder at once.

    Args:
        location: A folder, or one file.

    Raises:
        errors.SourceError: There is no such folder, or it cannot be listed.
    """
    fs, path = _at(location)
    with _driver_errors(location, "listed"):
        fs.invalidate_cache()
        is_file, is_folder = fs.isfile(path), fs.isdir(path)
    if is_file:
        yield location
    elif is_folder:
        yield from _below(fs, path, location)
    else:  # object stores have no folders: one without a file in it is not there
        raise errors.SourceError(
            f"{redact(location)!r} is not there; expected a folder, or its URL."
        )


def _below(fs: Any, path: str, location: str) -> Iterator[str]:
    folders = []
    for name, is_folder in _listed(fs, path, location):
        if is_folder:
            folders.append(name)
        else:
            yield join(location, name)
    for name in folders:
        yield from _below(fs, join(path, name), join(location, name))


def names(folder: str) -> Iterator[str]:
    """The names of what lies right in a folder, as `walk`; none where there is no such folder.

    Raises:
        errors.SourceError: It cannot be listed.
    """
    fs, path = _at(folder)
    with _driver_errors(folder, "listed"):
        fs.invalidate_cache()
        is_there = fs.isdir(path)
    for name, _ in _listed(fs, path, folder) if is_there else ():
        yield name


def exists(location: str) -> bool:
    """Whether there is a file or folder.

    Raises:
        errors.SourceError: The storage cannot be reached.
    """
    fs, path = _at(location)
    with _driver_errors(location, "looked for"):
        fs.invalidate_cache()
        return bool(fs.exists(path))


def _listed(fs: Any, path: str, location: str) -> Iterator[tuple[str, bool]]:
    """The names in a folder that are not hidden, each with whether it is a folder."""
    entries = _scanned(path) if _is_local(fs) else _listed_by_driver(fs, path)
    visible = (entry for entry in entries if not is_hidden(entry[0]))
    with _driver_errors(location, "listed"):
        while run := sorted(itertools.islice(visible, SORTED_AT_ONCE)):
            yield from run


def _scanned(path: str) -> Iterator[tuple[str, bool]]:
    # Unlike `ls`, without a `stat` of each file.
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = entry.is_dir()
            if not (is_folder and entry.is_symlink()):
                yield entry.name, is_folder


def _listed_by_driver(fs: Any, path: str) -> Iterator[tuple[str, bool]]:
    for row in fs.ls(path, detail=True):
        # Some stores list an empty object that stands for the folder itself.
        if row["name"].strip("/") != path.strip("/"):
            yield row["name"].rstrip("/").rsplit("/", 1)[-1], row["type"] == "directory"


# ------------------------------------------------------------------ reading


def read(location: str) -> bytes:
    """The bytes of a file.

    Raises:
        errors.SourceError: It is not there, cannot be read, or its driver is not installed.

    Example:
        >>> write("memory://demo/a.txt", b"whole")
        >>> read("memory://demo/a.txt")
        b'whole'
    """
    fs, path = _at(location)
    with _driver_errors(location, "read"):
        return bytes(fs.cat_file(path))


def fetch(url: str, target: Path, *, sha256: str | None = None) -> str:
    """Download a file, atomically.

    Args:
        url: Where it is.
        target: Where it goes; folders are made, and a file that is there is replaced.
        sha256: What its hash has to be.

    Returns:
        Its hash.

    Raises:
        errors.SourceError: It is not there, cannot be read, is another file, or would fill the
            disk.
    """
    fs, path = _at(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_file(target) as new:
        with _driver_errors(url, "fetched"):
            fs.get_file(path, str(new), callback=_bound(url, new.parent))
        digest = files.digest(new)
        if sha256 not in (None, digest):
            raise errors.SourceError(
                f"{redact(url)} is not the file that was expected: its SHA-256 is {digest}, "
                f"expected {sha256}. Nothing was kept; ask whoever wrote it for the right hash."
            )
    return digest


def _bound(url: str, folder: Path) -> Any:
    """Follows a download, and ends it where it would fill the disk."""
    import fsspec

    free = shutil.disk_usage(folder).free
    most = min(MAX_DOWNLOAD_BYTES, free - KEPT_FREE_BYTES)
    bounds = ", ".join(map(formatting.size, (MAX_DOWNLOAD_BYTES, free, KEPT_FREE_BYTES)))

    def check(size: int | None, value: int, **_: Any) -> None:
        if value > most or (size or 0) > most:
            raise errors.SourceError(
                f"{redact(url)} is too large (most that a download may have, free on the disk, "
                f"to be kept free: {bounds}). Nothing was kept; make room, or ask whether it is "
                "the right file."
            )

    return fsspec.Callback(hooks={"bound": check})


# ------------------------------------------------------------------ writing


def write(location: str, data: bytes) -> None:
    """Write a file, atomically; one that is there is replaced.

    Folders are made where they lack.

    Raises:
        errors.SourceError: It cannot be written; what was there is still there.
    """
    _put(location, lambda fs, path: fs.pipe_file(path, data))


def send(source: Path, location: str) -> None:
    """Upload a file of this machine, atomically and in pieces.

    Args:
        source: On this machine.
        location: Where it goes; a file that is there is replaced.

    Raises:
        errors.SourceError: It cannot be written; what was there is still there.
    """
    _put(location, lambda fs, path: fs.put_file(str(source), path))


def _put(location: str, how: Callable[[Any, str], None]) -> None:
    fs, path = _at(location)
    with _driver_errors(location, "written"):
        if _is_local(fs):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with files.atomic_file(Path(path)) as new:
                how(fs, str(new))
            return
        if OBJECT_STORES.intersection(_protocols(fs)):
            how(fs, path)
            return
        if fs.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder, _, name = path.rpartition("/")
        fs.makedirs(folder, exist_ok=True)
        beside = f"{folder}/.{name}.{uuid.uuid4().hex}"
        try:
            how(fs, beside)
            fs.mv(beside, path)
        except BaseException:
            with contextlib.suppress(Exception):  # it may not even have been begun
                fs.rm_file(beside)
            raise


# ------------------------------------------------------------------ drivers


def _at(location: str) -> tuple[Any, str]:
    """The file system of a location, and its path there."""
    try:
        import fsspec
    except ImportError:
        raise errors.SourceError(
            f"{redact(location)} needs fsspec, which this installation lacks. "
            'Install it with: pip install "triptych[storage]"'
        ) from None
    if not is_url(location):
        return fsspec.filesystem("file"), os.path.abspath(location)
    try:
        with _driver_errors(location, "opened"):
            fs, path = fsspec.core.url_to_fs(location)
    except errors.SourceError as error:
        hint = _how_to_install(location) if isinstance(error.__cause__, ImportError) else ""
        raise errors.SourceError(f"{error.message}{hint}") from error.__cause__
    return fs, str(path)


def _how_to_install(location: str) -> str:
    from fsspec.registry import known_implementations

    package = known_implementations[location.partition("://")[0]]["class"].partition(".")[0]
    # The errors of fsspec's own drivers name the package they need.
    return "" if package == "fsspec" else f" Install it with: pip install {package}"


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _is_local(fs: Any) -> bool:
    return "file" in _protocols(fs)


@contextlib.contextmanager
def _driver_errors(location: str, done: str) -> Iterator[None]:
    """Raise a `SourceError` for whatever a driver raises, which may be anything."""
    try:
        yield
    except errors.TriptychError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            raise errors.SourceError(f"{redact(location)!r} is not there.") from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise errors.SourceError(f"{redact(location)!r} cannot be {done}: {reason}.") from error
