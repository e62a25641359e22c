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
import time
import urllib.parse
import uuid
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
# Deeper folders are a mistake, such as links of a web server that lead back.
_MAX_DEPTH = 50
MAX_DOWNLOAD_BYTES = 8 * 1024 * MB
KEPT_FREE_BYTES = 256 * MB
# User and password or token, and the signature of an address that is signed.
SECRETS = re.compile(
    r"(?<=://)[^/@:\s]*:[^/@\s]*@|(?<=http://)[^/@\s]*@|(?<=https://)[^/@\s]*@|\?.*", re.DOTALL
)
# A URL in a sentence of a driver.
_URL = re.compile(r"[a-z0-9+]+://[^\s'\"<>]+", re.IGNORECASE)
# Files of other machines that are read before they are needed.
READ_AHEAD = 16
# A server that is busy is asked again.
_TRIES = 3


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


def local_path(url: str) -> str:
    """The path on this machine that a ``file://`` URL names.

    Example:
        >>> local_path("file:///photos/bees")
        '/photos/bees'
    """
    return _at(url)[1]


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


def path_of(url: str) -> str:
    """The part of a URL that names a file, decoded.

    Example:
        >>> path_of("https://me:secret@host/two%20bees.jpg?signature=abc")
        'host/two bees.jpg'
    """
    return urllib.parse.unquote(redact(url).partition("://")[2])


# ------------------------------------------------------------------ what is there


@dataclass(frozen=True)
class Entry:
    """A file below a folder.

    Args:
        location: Where it is.
        parts: The names that lead to it from the folder.
        size_bytes: Its size, where listing it told that.
    """

    location: str
    parts: tuple[str, ...]
    size_bytes: int | None = None


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
    yield from (entry.location for entry in entries(location))


def entries(location: str) -> Iterator[Entry]:
    """Every file below a folder, as `walk`, with the names that lead to it.

    Raises:
        errors.SourceError: As `walk`.
    """
    if is_file(location):
        yield Entry(location, (location.rstrip("/").rpartition("/")[2],))
        return
    fs, path = _at(location)
    with _driver_errors(location, "listed"):
        is_folder = fs.isdir(path)
    if not is_folder:  # object stores have no folders: one without a file in it is not there
        raise errors.SourceError(
            f"{redact(location)!r} is not there; expected a folder, or its URL."
        )
    yield from _below(fs, path, Entry(location, ()))


def is_file(location: str) -> bool:
    """Whether there is a file, and no folder. A page of a web server that lists files is a folder.

    Raises:
        errors.SourceError: The storage cannot be reached.
    """
    fs, path = _at(location)
    with _driver_errors(location, "looked for"):
        fs.invalidate_cache()
        if not _is_web(fs):
            return bool(fs.isfile(path))
        is_there = bool(fs.exists(path, strict=True))
    return is_there and next(_listed(fs, path, location), None) is None


def _below(fs: Any, path: str, folder: Entry) -> Iterator[Entry]:
    if len(folder.parts) > _MAX_DEPTH:
        return
    folders = []
    for name, is_folder, size in _listed(fs, path, folder.location):
        shown = urllib.parse.unquote(name) if _is_web(fs) else name
        entry = Entry(join(folder.location, name), (*folder.parts, shown), size)
        if is_folder:
            folders.append((name, entry))
        else:
            yield entry
    for name, entry in folders:
        yield from _below(fs, join(path, name), entry)


def names(folder: str) -> Iterator[str]:
    """The names of what lies right in a folder, as `walk`; none where there is no such folder.

    Raises:
        errors.SourceError: It cannot be listed.
    """
    fs, path = _at(folder)
    with _driver_errors(folder, "listed"):
        fs.invalidate_cache()
        is_there = fs.isdir(path)
    for name, *_ in _listed(fs, path, folder) if is_there else ():
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


# A name, whether it is a folder, and its size where it is known.
_Row = tuple[str, bool, "int | None"]


def _listed(fs: Any, path: str, location: str) -> Iterator[_Row]:
    """What lies right in a folder and is not hidden."""
    rows = _scanned(path) if _is_local(fs) else _listed_by_driver(fs, path)
    visible = (row for row in rows if not is_hidden(row[0]))
    with _driver_errors(location, "listed"):
        while run := sorted(itertools.islice(visible, SORTED_AT_ONCE), key=lambda row: row[:2]):
            yield from run


def _scanned(path: str) -> Iterator[_Row]:
    # Unlike `ls`, without a `stat` of each file.
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = entry.is_dir()
            if not (is_folder and entry.is_symlink()):
                yield entry.name, is_folder, None


def _listed_by_driver(fs: Any, path: str) -> Iterator[_Row]:
    below = re.compile(re.escape(path.rstrip("/")) + r"/[^/?#]+/?")
    for row in fs.ls(path, detail=True):
        name = str(row["name"])
        # Links of a web page may lead anywhere, or sort the list.
        if _is_web(fs) and not below.fullmatch(name):
            continue
        # Some stores list an empty object that stands for the folder itself.
        if name.strip("/") != path.strip("/"):
            size = row.get("size")
            is_folder = row["type"] == "directory"
            yield name.rstrip("/").rsplit("/", 1)[-1], is_folder, None if is_folder else size


# ------------------------------------------------------------------ reading


def read(location: str, *, most_bytes: int | None = None) -> bytes:
    """The bytes of a file.

    Args:
        location: Where it is.
        most_bytes: Of a larger file, one byte more than these is read.

    Raises:
        errors.SourceError: It is not there, cannot be read, or its driver is not installed.

    Example:
        >>> write("memory://demo/a.txt", b"whole")
        >>> read("memory://demo/a.txt")
        b'whole'
    """
    fs, path = _at(location)
    end = {} if most_bytes is None else {"start": 0, "end": most_bytes + 1}
    with _driver_errors(location, "read"):
        return bytes(fs.cat_file(path, **end))


@dataclass(frozen=True)
class RemoteFile:
    """A file of another machine; call it for its bytes.

    It holds no connection, so it can be pickled, and called from several threads.

    Args:
        location: Where it is.
        check_bytes: Called with its size; raises where that is not allowed.
        most_bytes: Of a larger file, no more than one byte more is read.
        size_bytes: Its size, where it is known.
    """

    location: str
    check_bytes: Callable[[int], None]
    most_bytes: int
    size_bytes: int | None = None

    def __call__(self) -> bytes:
        """The bytes of the file.

        Raises:
            errors.SourceError: It cannot be read.
        """
        if self.size_bytes is not None:
            self.check_bytes(self.size_bytes)
        for attempt in range(_TRIES):
            try:
                data = read(self.location, most_bytes=self.most_bytes)
                break
            except errors.SourceError as error:
                if attempt == _TRIES - 1 or not is_outage(error):
                    raise
                time.sleep(2**attempt / 2)
        self.check_bytes(len(data))
        return data


def is_outage(error: BaseException) -> bool:
    """Whether a file could not be read for a reason that says nothing about the file.

    Args:
        error: What `read` raised.
    """
    cause = error.__cause__
    missing = (FileNotFoundError, IsADirectoryError, ValueError, ImportError, PermissionError)
    return isinstance(error, errors.SourceError) and not isinstance(cause, (*missing, type(None)))


def read_ahead(readers: Iterable[Callable[[], bytes]]) -> Iterator[Callable[[], bytes]]:
    """Read files of other machines while those before them are in use.

    Args:
        readers: Each returns the bytes of a file; those that are no `RemoteFile` are passed on.

    Yields:
        For each, a function that returns its bytes, or raises what reading them raised.

    Example:
        >>> [read() for read in read_ahead([lambda: b"a", lambda: b"b"])]
        [b'a', b'b']
    """
    pool = ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="triptych-read")
    pending: deque[Callable[[], bytes]] = deque()
    try:
        for reader in readers:
            is_remote = isinstance(reader, RemoteFile)
            pending.append(pool.submit(reader).result if is_remote else reader)
            if len(pending) > READ_AHEAD:
                yield pending.popleft()
        yield from pending
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


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


def _is_web(fs: Any) -> bool:
    return "http" in _protocols(fs)


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
        reason = _URL.sub(lambda url: redact(url[0]), str(reason))
        raise errors.SourceError(f"{redact(location)!r} cannot be {done}: {reason}.") from error
