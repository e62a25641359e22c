"""Files and directories appear completely or not at all; locks end with their process."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from threading import Thread
from types import FrameType
from typing import Any

import pytest

from support.images import picture
from triptych import errors
from triptych.utils import files

WRITES_HALF_AND_WAITS = """
import sys, time
from pathlib import Path
from triptych.utils import files
with files.{writer}(Path(sys.argv[1])) as new:
    (new / "half" if new.is_dir() else new).write_text("half")
    print("half", flush=True)
    time.sleep(600)
"""

FILLS_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from triptych.utils import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with files.atomic_file(Path(sys.argv[1])) as new:
        new.write_bytes(bytes(5000))
except OSError as error:
    print(error.strerror)
"""

HOLDS_A_LOCK = """
import sys, time
from pathlib import Path
from triptych.utils import files
with files.file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def start(code: str, path: Path) -> subprocess.Popen[str]:
    """Run a script in a child process until it has printed its first line."""
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline()
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


# ------------------------------------------------------------------ files


def test_readers_get_the_old_content_or_the_new_one(tmp_path: Path) -> None:
    path, done = tmp_path / "file", Event()
    contents = [bytes([number]) * 100_000 for number in range(2)]
    path.write_bytes(contents[0])

    def write() -> None:
        for number in range(200):
            with files.atomic_file(path, durable=False) as new:
                new.write_bytes(contents[number % 2])
        done.set()

    writer = Thread(target=write)
    writer.start()
    while not done.is_set():
        assert path.read_bytes() in contents
    writer.join()
    assert os.listdir(tmp_path) == ["file"]


def is_interrupted(write: Callable[[], None], line: int) -> bool:
    """Whether so many lines of `shutil` run, and Ctrl-C before the last of them is what arrives."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_globals.get("__name__") != shutil.__name__:
            return None
        if event == "line" and next(lines) == line:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        write()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("writer", [files.atomic_file, files.atomic_dir])
def test_ctrl_c_while_scratch_is_removed_is_no_error_of_the_disk(
    writer: Callable[[Path], Any], tmp_path: Path
) -> None:
    def write() -> None:
        with writer(Path(tempfile.mkdtemp(dir=tmp_path)) / "new") as new:
            (new / "file" if new.is_dir() else new).touch()

    lines = list(itertools.takewhile(partial(is_interrupted, write), itertools.count(1)))
    assert len(lines) > 20


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with contextlib.suppress(ZeroDivisionError), files.atomic_file(path) as new:
        new.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    kill(start(WRITES_HALF_AND_WAITS.format(writer="atomic_file"), path))
    assert path.read_text() == "old"


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    command = [sys.executable, "-c", FILLS_THE_DISK, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "File too large\n"
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are read from /proc")
def test_content_is_synced_before_the_rename_and_the_rename_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(number: int) -> None:
        steps.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{number}')).name}")
        fsync(number)

    def record_replace(new: Path, path: Path) -> None:
        steps.append("rename")
        replace(new, path)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    with files.atomic_file(tmp_path / "file") as new:
        new.write_text("new")
    assert steps == ["fsync file", "rename", f"fsync {tmp_path.name}"]


# ------------------------------------------------------------------ directories


def test_a_directory_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with files.atomic_dir(path) as new:
        (new / "one").touch()
        assert not path.exists()
    assert os.listdir(path) == ["one"]
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize(("exists", "left"), [("keep", "theirs"), ("replace", "ours")])
def test_of_two_writers_one_wins(exists: str, left: str, tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with files.atomic_dir(path, exists=exists) as new:  # type: ignore[arg-type]
        (new / "ours").touch()
        path.mkdir()
        (path / "theirs").touch()
    assert os.listdir(path) == [left]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_directory_that_cannot_be_filled_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.atomic_dir(tmp_path / "folder"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_leftovers_of_a_killed_writer_without_a_lock_are_removed_after_a_day(
    tmp_path: Path,
) -> None:
    left = tmp_path / ".writing-before"  # as a version wrote it that knew of no locks
    left.mkdir()
    with files.atomic_dir(tmp_path / "folder"):
        assert left.exists(), "its writer may still be at work"
    a_day_ago = time.time() - files.SCRATCH_LIFE_S - 60
    os.utime(left, (a_day_ago, a_day_ago))
    with files.atomic_dir(tmp_path / "folder"):
        assert not left.exists()


# ------------------------------------------------------------------ locks


def test_a_lock_is_exclusive_and_freed_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "lock"
    holder = start(HOLDS_A_LOCK, path)
    lock = files.file_lock(path, timeout_s=0)
    with pytest.raises(files.LockTimeout):
        lock.acquire()
    kill(holder)
    lock.acquire()
    with pytest.raises(files.LockTimeout):
        files.file_lock(path, timeout_s=0).acquire()
    freeing = Thread(target=lock.release)
    freeing.start()
    freeing.join()
    with files.file_lock(path, timeout_s=0):
        pass


def test_work_continues_where_no_lock_can_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with files.exclusive(tmp_path / "file" / "lock"):
        pass


# ------------------------------------------------------------------ disks


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk: writing fails, nothing else
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from triptych.cli import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files by RLIMIT_FSIZE")
@pytest.mark.parametrize("limit", [0, 30_000])
def test_a_command_says_in_one_line_that_nothing_can_be_written(tmp_path, limit):
    photos = tmp_path / "photos"
    for name in ("ants", "bees"):
        (photos / name).mkdir(parents=True)
        for number in range(3):
            data = picture(number + 3 * (name == "ants"), size=(60, 80))
            (photos / name / f"{number}.jpg").write_bytes(data)
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-c", FULL, str(limit), "projects", "import", str(photos)]
    ran = subprocess.run([*command, "--home", str(home)], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    *_, last = ran.stderr.strip().splitlines()
    assert "A file would become larger than is allowed here" in last or "disk" in last
    # And when there is room, it goes on.
    command = [sys.executable, "-m", "triptych", "projects", "import", str(photos)]
    ran = subprocess.run([*command, "--home", str(home)], capture_output=True, text=True)
    assert "6 photos in 2 classes" in ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "", "a"), "The disk is full: 'a'"),
        (OSError(errno.EROFS, "", "a"), "The disk can only be read: 'a'"),
        (OSError(errno.ENOSPC, ""), "The disk is full: a file"),
        (sqlite3.OperationalError("database or disk is full"), "The disk is full: a database"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "can only be read"),
    ],
)
def test_the_reason_of_a_disk_error_is_named(error, reason):
    assert reason in files.disk_error(error).message


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, ""), ValueError("disk is full")])
def test_other_errors_are_not_disk_errors(error):
    assert files.disk_error(error) is None


def test_a_failure_on_a_nearly_full_disk_names_it(tmp_path, monkeypatch):
    files.check_room(tmp_path / "a" / "b", "It failed.")
    monkeypatch.setattr(files, "LITTLE_BYTES", 1 << 62)
    with pytest.raises(errors.DiskError, match=r"It failed\. Only \d+ MB are free"):
        files.check_room(tmp_path / "a" / "b", "It failed.")


def test_what_killed_processes_left_is_removed_and_what_living_ones_write_is_not(
    tmp_path: Path,
) -> None:
    killed, living = (
        start(WRITES_HALF_AND_WAITS.format(writer="atomic_dir"), tmp_path / name)
        for name in ("killed", "living")
    )
    try:
        kill(killed)
        assert len(list(tmp_path.glob(".writing-*"))) == 2
        with files.atomic_dir(tmp_path / "next"):
            names = {path.name for path in tmp_path.glob(".writing-*/*")}
            assert "living" in names
            assert "killed" not in names
        assert [path.name for path in tmp_path.glob(".writing-*/living")] == ["living"]
    finally:
        kill(living)
