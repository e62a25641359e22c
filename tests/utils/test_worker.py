"""Child processes: messages both ways, stopping, reasons of death, and the death of the parent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from triptych import errors
from triptych.utils.worker import Worker

# What children in these tests run; `python -m` finds it in their working folder's PYTHONPATH.
CHILD = """
import fcntl, os, sys, time
from triptych.utils import worker

parent = worker.connect(grace_s=float(os.environ.get("GRACE_S", 0)))
for message in parent.messages():
    print("a library prints")
    os.write(1, b"and one in C\\n")
    match message:
        case {"echo": value}:
            parent.send({"echo": value})
        case {"exit": code}:
            sys.exit(code)
        case {"fail": why}:
            raise RuntimeError(why)
        case {"sleep": seconds, "lock": path}:
            file = open(path, "w")
            fcntl.flock(file, fcntl.LOCK_EX)
            parent.send({"asleep": True})
            time.sleep(seconds)
parent.send({"stopping": parent.stopping.is_set()})
"""

# A parent that dies without a word.
PARENT = """
import os, signal, sys
from triptych.utils.worker import Worker

child = Worker("child")
child.send({"sleep": 600, "lock": sys.argv[1]})
next(child.messages())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "parent.py").write_text(PARENT)
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))


def test_messages_go_both_ways_and_prints_go_to_the_log() -> None:
    with Worker("child") as child:
        for value in (1, "Grüße", [None, {"a": 2.5}]):
            child.send({"echo": value})
            assert next(child.messages()) == {"echo": value}
        assert "a library prints\n" in child.output()
        assert "and one in C\n" in child.output()


def test_an_exit_code_ends_the_messages() -> None:
    with Worker("child") as child:
        child.send({"echo": 1})
        child.send({"exit": 3})
        assert list(child.messages()) == [{"echo": 1}]
        assert list(child.messages()) == []
        assert child.wait() == 3
        child.send({"echo": 2})  # nobody gets it


def test_the_last_line_of_the_log_is_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("of another child\n")
    with Worker("child", log=log) as child:
        child.send({"fail": "no more disk"})
        assert child.wait() == 1
        assert child.reason == "RuntimeError: no more disk"
    assert log.read_text().startswith("of another child\n")


def test_a_child_without_output_has_no_reason() -> None:
    with Worker("child", environment={**os.environ, "GRACE_S": "600"}) as child:
        child.kill()
        assert list(child.messages()) == []
        assert child.wait() < 0
        assert child.reason == "no reason given"


def test_a_stopped_child_has_its_grace_period() -> None:
    with Worker("child", environment={**os.environ, "GRACE_S": "600"}) as child:
        child.stop()
        assert list(child.messages()) == [{"stopping": True}]
        assert child.wait() == 0


def test_a_child_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    with Worker("child") as child:
        child.send({"sleep": 600, "lock": str(tmp_path / "lock")})
        next(child.messages())
        child.stop()
        assert child.wait() == 1


def test_an_error_of_poll_ends_the_child() -> None:
    def poll() -> None:
        raise errors.Stopped("enough")

    with Worker("child") as child, pytest.raises(errors.Stopped, match="enough"):
        next(child.messages(poll))
    assert child.has_ended


def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    parent = subprocess.run([sys.executable, "-m", "parent", str(lock)], check=False)
    assert parent.returncode < 0
    deadline = time.monotonic() + 300
    with lock.open() as file:
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.02)
    pytest.fail("the child still holds its lock")
