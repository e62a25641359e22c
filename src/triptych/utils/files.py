"""Files and directories that appear complete or not at all, locks between processes, and hashes.

Whatever several processes read is written with `atomic_file` or `atomic_dir`: under a temporary
name in the same folder, then renamed. A reader finds the old content or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import lzma
import math
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import filelock

from triptych import errors
from triptych.utils.text import text

# What damaged or hostile archives make Python's reader raise.
ZIP_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
SCRATCH = ".writing-"
# A killed process leaves its scratch directory behind. Where it has no lock by which that could be
# known: a living one is done within a day.
LOCK = ".lock"
SCRATCH_LIFE_S = 24 * 3600
TOUCH_S = 3600.0
LOCK_TIMEOUT_S = 600.0
LockTimeout = filelock.Timeout
CHUNK_BYTES = 1 << 20
# Networks take up to half of it.
LITTLE_BYTES = 1 << 30
# Too little for the smallest file of a database.
NOTHING_BYTES = 64 << 10


@contextlib.contextmanager
def atomic_file(path: Path, *, scratch: Path | None = None, durable: bool = True) -> Iterator[Path]:
    """Write a file that takes its place, complete, when the block ends without an error.

    Args:
        path: The file; its folder exists. One that is there is replaced.
        scratch: An existing folder of the same file system for the temporary file; by default
            that of `path`.
        durable: Whether the file survives a power cut once the block has ended, which costs two
            `fsync`.

    Yields:
        Where to write.

    Raises:
        OSError: It cannot be written; what was there is still there.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_file(path) as new:
        ...     _ = new.write_text("complete")
        ...     path.exists()
        False
        >>> path.read_text()
        'complete'
    """
    with _temporary_dir(scratch or path.parent) as folder:
        new = folder / path.name
        yield new
        replace(new, path, durable=durable)


@contextlib.contextmanager
def _temporary_dir(parent: Path, *, ignore_cleanup_errors: bool = False) -> Iterator[Path]:
    """A directory below `parent` that is removed when the block ends.

    Ctrl-C stays Ctrl-C where it comes while the directory is removed: if it comes between the
    closing of a file and the note that it is closed, `shutil.rmtree` closes the file again, and
    that error takes the place of the interrupt.
    """
    try:
        with tempfile.TemporaryDirectory(
            dir=parent, prefix=SCRATCH, ignore_cleanup_errors=ignore_cleanup_errors
        ) as folder:
            yield Path(folder)
    except OSError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


def replace(new: Path, path: Path, *, durable: bool = True) -> None:
    """Rename a complete file to `path`, in place of the one that is there.

    Args:
        new: The complete file, on the same file system.
        path: Its final name.
        durable: Whether this survives a power cut once it has returned.

    Raises:
        OSError: It cannot be renamed.
    """
    if durable:  # before the rename: else the name may reach the disk before the content does
        with new.open("rb+") as file:
            os.fsync(file.fileno())
    os.replace(new, path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut; does nothing where that is impossible."""
    with contextlib.suppress(OSError):  # Windows cannot open folders, and need not
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextlib.contextmanager
def atomic_dir(path: Path, *, exists: Literal["keep", "replace"] = "keep") -> Iterator[Path]:
    """Fill a directory that takes its place, complete, when the block ends without an error.

    Args:
        path: The directory; its parent is made if it is not there.
        exists: What happens to a directory that is there by then. Another process may have
            written it since the block began.

    Yields:
        An empty directory of the same name, to be filled.

    Raises:
        OSError: It cannot be written; what was there is still there.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "network"
        >>> with atomic_dir(path) as new:
        ...     _ = (new / "weights.bin").write_bytes(b"")
        >>> [file.name for file in path.iterdir()]
        ['weights.bin']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_dir(path.parent) as scratch:
        new = scratch / path.name
        new.mkdir()
        yield new
        if exists == "replace":  # a directory takes the place of an empty one only
            with contextlib.suppress(FileNotFoundError):
                path.rename(scratch / ".before")
        try:
            new.rename(path)
        except OSError:
            if not path.is_dir():  # else another process was quicker
                raise


@contextlib.contextmanager
def scratch_dir(parent: Path, *, life_s: float = SCRATCH_LIFE_S) -> Iterator[Path]:
    """A directory below `parent`, on the same file system; removed when the block ends.

    There is only its lock in it, by which others know that its process lives: those that killed
    processes left there are removed, too.

    Args:
        parent: Where it is.
        life_s: Older ones are removed although their lock is held, as not every file system has
            locks.
    """
    for path in parent.glob(f"{SCRATCH}*/{LOCK}"):
        # An error means that its writer lives and holds the lock, that another process was quicker,
        # or that the file system has no locks: such folders go by their age, below.
        with contextlib.suppress(OSError, NotImplementedError), file_lock(path, timeout_s=0):
            shutil.rmtree(path.parent)
    sweep(parent, f"{SCRATCH}*", life_s=life_s)
    while True:
        with _temporary_dir(parent, ignore_cleanup_errors=True) as folder:
            lock = file_lock(folder / LOCK, timeout_s=0)
            try:
                lock.acquire()
            except (LockTimeout, FileNotFoundError):
                continue  # another process took it for abandoned before it was locked
            if not Path(lock.lock_file).exists():
                continue  # likewise
            try:
                yield folder
            finally:
                lock.release()
            return


@contextlib.contextmanager
def own_temporary_dir() -> Iterator[None]:
    """Have the temporary files of this process and its children in a directory that goes with it.

    Uploads that are being read, and what workers unpack, would stay for ever where a process is
    killed; so the directories that killed processes left are removed first. Without a folder for
    temporary files of its own the process goes on with the system's.
    """
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    is_posix = hasattr(os, "getuid")
    name = f"triptych-{os.getuid()}" if is_posix else "triptych"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a system may have no folder that can be written
            parent = Path(tempfile.gettempdir(), name)
            parent.mkdir(mode=0o700, exist_ok=True)
            status = parent.lstat()  # others write to the system's folder, too
            if stat.S_ISDIR(status.st_mode) and (not is_posix or status.st_uid == os.getuid()):
                folder = stack.enter_context(scratch_dir(parent, life_s=math.inf))
                stack.callback(_touch_now_and_then(folder))
                tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before[0]
            os.environ.pop("TMPDIR", None)
            if before[1] is not None:
                os.environ["TMPDIR"] = before[1]


def _touch_now_and_then(folder: Path) -> Callable[[], None]:
    """Keep a directory young, as systems remove old ones; returns what ends that."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(TOUCH_S):
            for path in (folder, folder / LOCK):
                with contextlib.suppress(OSError):
                    path.touch()

    threading.Thread(target=touch, name="temporary-files", daemon=True).start()
    return ended.set


def sweep(folder: Path, pattern: str = "*", *, life_s: float = SCRATCH_LIFE_S) -> None:
    """Remove what killed processes left in a folder: what matches and is older than `life_s`."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):  # its writer may be done just now
            if time.time() - path.stat().st_mtime > life_s:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def file_lock(path: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> filelock.BaseFileLock:
    """A lock that one thread of one process holds at a time; the system frees it if that dies.

    Args:
        path: A file for the lock alone; made with its folder if it is not there.
        timeout_s: How long to wait; with 0, `acquire` raises `LockTimeout` at once.

    Raises:
        OSError: The folder cannot be made.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "lock"
        >>> with file_lock(path):
        ...     file_lock(path, timeout_s=0).acquire()
        Traceback (most recent call last):
        ...
        filelock._core._errors.Timeout: The file lock ... could not be acquired.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Acquired in one thread, it may be released in another.
    return filelock.FileLock(path, timeout=timeout_s, thread_local=False)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, but go on without it where the folder cannot be written.

    There is nothing to protect in such a folder. A lock that another process holds for longer than
    `LOCK_TIMEOUT_S` is not waited for, either.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # `LockTimeout` is one
            stack.enter_context(file_lock(path))
        yield


# What the system says of a disk, for people, and what to do about it.
_ROOM = "make room, and try again"
_GONE = "mount the disk again, or put the folder back, and try again"
_DISK_FAULTS = {
    errno.ENOSPC: ("The disk is full", _ROOM),
    errno.EDQUOT: ("The quota of the disk is used up", _ROOM),
    errno.EFBIG: ("A file would become larger than is allowed here", _ROOM),
    errno.EROFS: ("The disk can only be read", "mount it for writing, and try again"),
    errno.EIO: ("The disk cannot be read or written", "see that it works, and try again"),
    errno.ENODEV: ("The disk is gone", _GONE),
    errno.ENXIO: ("The disk is gone", _GONE),
    errno.ENOTCONN: ("The disk is gone", _GONE),
    errno.ESTALE: ("The disk is gone", _GONE),
}
# And what SQLite says; the cause of the last two is looked for.
_DATABASE_FAULTS = {
    "disk is full": errno.ENOSPC,
    "readonly database": errno.EROFS,
    "disk I/O error": errno.EIO,
    "unable to open database file": None,
}


def disk_error(error: BaseException, path: Path | None = None) -> errors.DiskError | None:
    """An error of the operating system or of SQLite in words, if the disk is its cause.

    Args:
        error: What was raised.
        path: A file or folder that was there before. Where the error does not say what is wrong
            with the disk, it is found out there.

    Example:
        >>> print(disk_error(OSError(errno.ENOSPC, "No space left on device", "a.bin")))
        The disk is full: 'a.bin' could not be read or written. What was confirmed before is kept...
        >>> print(disk_error(OSError(errno.ENOENT, "No such file", "a.bin")))
        None
    """
    number, name = None, ""
    if isinstance(error, OSError):
        number, name = error.errno, f": {str(error.filename)!r}" if error.filename else ": a file"
    elif isinstance(error, sqlite3.Error):
        number = next((e for text, e in _DATABASE_FAULTS.items() if text in str(error)), None)
        name = ": a database"
    is_vague = isinstance(error, sqlite3.OperationalError) and number in (None, errno.EIO)
    if path is not None and (is_vague or number == errno.ENOENT):
        number, name = _disk_fault(path) or number, f": {str(path)!r}"
    if number not in _DISK_FAULTS:
        return None
    fault, remedy = _DISK_FAULTS[number]
    return errors.DiskError(
        f"{fault}{name} could not be read or written. What was confirmed before is kept: {remedy}."
    )


def _disk_fault(path: Path) -> int | None:
    """What is wrong with the disk of a path that was there before, as a number of `errno`."""
    try:
        if not path.exists():
            return errno.ENODEV
        if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
            return errno.EROFS
        return errno.ENOSPC if shutil.disk_usage(path).free < NOTHING_BYTES else None
    except OSError as error:
        return error.errno


def check_room(path: Path, failure: str) -> None:
    """After a failure of a library that does not say why: see whether the disk is nearly full.

    Args:
        path: What it wrote; need not exist.
        failure: What happened, as the beginning of the message.

    Raises:
        errors.DiskError: Less than `LITTLE_BYTES` are free.
    """
    existing = next(each for each in (path, *path.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if free < LITTLE_BYTES:
        raise errors.DiskError(
            text(
                "{failure}. Only {free} MB are free on the disk of {path!r}, which may be the "
                "reason: make room, and try again.",
                failure=failure.rstrip("."),
                free=free // 2**20,
                path=str(existing),
            )
        )


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The hash of a file, in hexadecimal; the file is read in pieces.

    Args:
        path: The file.
        algorithm: ``"sha256"``, or ``"md5"`` where an origin publishes nothing better.
    """
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
