"""Files at a path or URL: listed as a stream, read, and written atomically.

A *place* is a path on this machine, or a URL of any file system that fsspec knows: ``file://``,
``memory://``, ``http://``, and with its driver installed ``s3://``, ``gs://``, ``abfs://``.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.utils import files

# They show an object when it is whole; elsewhere a file is written beside and renamed.
OBJECT_STORES = frozenset(("abfs", "abfss", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"))
# How many names of a folder are held at once.
RUN = 100_000
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


def join(place: str, *parts: str) -> str:
    """The place of something below a folder.

    Example:
        >>> join("s3://bucket/photos/", "cats", "1.jpg"), join("memory://", "out")
        ('s3://bucket/photos/cats/1.jpg', 'memory://out')
    """
    for part in parts:
        place = f"{place}{part}" if place.endswith("/") else f"{place}/{part}"
    return place


def shown(place: str) -> str:
    """A place as it may be told: without user, password and signature.

    Example:
        >>> shown("https://me:secret@host/garden.zip?signature=abc")
        'https://host/garden.zip'
    """
    return SECRETS.sub("", place) if is_url(place) else place


# ------------------------------------------------------------------ what is there


def walk(place: str) -> Iterator[str]:
    """Every file below a folder, as a stream: of each folder first its files, then its folders.

    Hidden ones are left out, and links to folders are not followed. All is in order of name; of a
    folder on this machine with more than `RUN` names each run is, so that none is too large to
    list. Other stores tell all names of one folder at once.

    Args:
        place: A folder, or one file.

    Raises:
        errors.SourceError: There is no such folder, or it cannot be listed.
    """
    fs, path = _at(place)
    with _told(place, "listed"):
        fs.invalidate_cache()
        is_file, is_folder = fs.isfile(path), fs.isdir(path)
    if is_file:
        yield place
    elif is_folder:
        yield from _below(fs, path, place)
    else:  # object stores have no folders: one without a file in it is not there
        raise errors.SourceError(f"{shown(place)!r} is not there; expected a folder, or its URL.")


def _below(fs: Any, path: str, place: str) -> Iterator[str]:
    folders = []
    for name, is_folder in _listed(fs, path, place):
        if is_folder:
            folders.append(name)
        else:
            yield join(place, name)
    for name in folders:
        yield from _below(fs, join(path, name), join(place, name))


def names(folder: str) -> Iterator[str]:
    """The names of what lies right in a folder, as `walk`; none where there is no such folder.

    Raises:
        errors.SourceError: It cannot be listed.
    """
    fs, path = _at(folder)
    with _told(folder, "listed"):
        fs.invalidate_cache()
        is_there = fs.isdir(path)
    for name, _ in _listed(fs, path, folder) if is_there else ():
        yield name


def exists(place: str) -> bool:
    """Whether there is a file or folder.

    Raises:
        errors.SourceError: That cannot be told.
    """
    fs, path = _at(place)
    with _told(place, "looked for"):
        fs.invalidate_cache()
        return bool(fs.exists(path))


def _listed(fs: Any, path: str, place: str) -> Iterator[tuple[str, bool]]:
    """The names in a folder that are not hidden, each with whether it is a folder."""
    entries = _scanned(path) if _is_local(fs) else _told_by(fs, path)
    visible = (entry for entry in entries if not is_hidden(entry[0]))
    with _told(place, "listed"):
        while run := sorted(itertools.islice(visible, RUN)):
            yield from run


def _scanned(path: str) -> Iterator[tuple[str, bool]]:
    # Without a look at each file, which `ls` takes.
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = entry.is_dir()
            if not (is_folder and entry.is_symlink()):
                yield entry.name, is_folder


def _told_by(fs: Any, path: str) -> Iterator[tuple[str, bool]]:
    for row in fs.ls(path, detail=True):
        # Some stores list an empty object that stands for the folder itself.
        if row["name"].strip("/") != path.strip("/"):
            yield row["name"].rstrip("/").rsplit("/", 1)[-1], row["type"] == "directory"


# ------------------------------------------------------------------ reading


def read(place: str) -> bytes:
    """The bytes of a file.

    Raises:
        errors.SourceError: It is not there, cannot be read, or its driver is not installed.

    Example:
        >>> write("memory://demo/a.txt", b"whole")
        >>> read("memory://demo/a.txt")
        b'whole'
    """
    fs, path = _at(place)
    with _told(place, "read"):
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
        errors.SourceError: It is not there, cannot be read, or is another file.
    """
    fs, path = _at(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_file(target) as new:
        with _told(url, "fetched"):
            fs.get_file(path, str(new))
        digest = files.digest(new)
        if sha256 not in (None, digest):
            raise errors.SourceError(
                f"{shown(url)} is not the file that was expected: its SHA-256 is {digest}, "
                f"expected {sha256}. Nothing was kept; ask whoever wrote it for the right hash."
            )
    return digest


# ------------------------------------------------------------------ writing


def write(place: str, data: bytes) -> None:
    """Write a file, atomically; one that is there is replaced.

    Folders are made where they lack.

    Raises:
        errors.SourceError: It cannot be written; what was there is still there.
    """
    _put(place, lambda fs, path: fs.pipe_file(path, data))


def send(source: Path, place: str) -> None:
    """Upload a file of this machine, atomically and in pieces.

    Args:
        source: On this machine.
        place: Where it goes; a file that is there is replaced.

    Raises:
        errors.SourceError: It cannot be written; what was there is still there.
    """
    _put(place, lambda fs, path: fs.put_file(str(source), path))


def _put(place: str, how: Callable[[Any, str], None]) -> None:
    fs, path = _at(place)
    with _told(place, "written"):
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


def _at(place: str) -> tuple[Any, str]:
    """The file system of a place, and what the place is called there."""
    try:
        import fsspec
    except ImportError:
        raise errors.SourceError(
            f"{shown(place)} needs fsspec, which this installation lacks. "
            'Install it with: pip install "triptych[storage]"'
        ) from None
    if not is_url(place):
        return fsspec.filesystem("file"), os.path.abspath(place)
    try:
        with _told(place, "opened"):
            fs, path = fsspec.core.url_to_fs(place)
    except errors.SourceError as error:
        hint = _how_to_install(place) if isinstance(error.__cause__, ImportError) else ""
        raise errors.SourceError(f"{error.message}{hint}") from error.__cause__
    return fs, str(path)


def _how_to_install(place: str) -> str:
    from fsspec.registry import known_implementations

    package = known_implementations[place.partition("://")[0]]["class"].partition(".")[0]
    # Its own drivers say themselves what they stand on.
    return "" if package == "fsspec" else f" Install it with: pip install {package}"


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _is_local(fs: Any) -> bool:
    return "file" in _protocols(fs)


@contextlib.contextmanager
def _told(place: str, done: str) -> Iterator[None]:
    """Turn what a driver raises, which may be anything, into our own error."""
    try:
        yield
    except errors.TriptychError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            raise errors.SourceError(f"{shown(place)!r} is not there.") from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise errors.SourceError(f"{shown(place)!r} cannot be {done}: {reason}.") from error
