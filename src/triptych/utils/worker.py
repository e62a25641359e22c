"""Child processes of this package, and the one protocol that they and their parents speak.

A parent starts a module with `Worker`, and that module calls `connect`. Messages are JSON objects,
one a line: to the child over its standard input, to the parent over a pipe that only `Parent.send`
writes to. Whatever else the child or a library prints goes to a log, whose last line is the reason
when the child fails. No child outlives its parent: when the parent dies, however it dies, the
child's standard input closes, and `connect` ends the process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from typing import Any
from typing import cast

from triptych.utils import allocator
from triptych.utils.text import from_json
from triptych.utils.text import to_json

POLL_S = 0.2


class Worker:
    """A child process that runs a module; leaving the ``with`` block kills it.

    Args:
        module: What to run, as ``python -m`` takes it.
        arguments: Its command line.
        environment: The child's variables; by default those of this process.
        log: File that the child's output is appended to; by default a temporary one.
        pass_fds: File descriptors that the child inherits, under the same numbers.

    Example:
        >>> with Worker("platform") as child:  # a module that does not call `connect`
        ...     child.wait()
        0
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        pass_fds: Collection[int] = (),
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="triptych-")
        self._log = log or Path(self._scratch.name) / "log"
        with self._log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                encoding="utf-8",
                env=environment,
                pass_fds=pass_fds,
            )
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="worker-messages", daemon=True).start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def _read(self) -> None:
        with cast(IO[str], self._process.stdout) as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # cut short by the child's end
                    self._messages.put(from_json(line))
        self._messages.put(None)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; a child that has ended does not get it."""
        with contextlib.suppress(BrokenPipeError):
            print(to_json(message), file=self._process.stdin, flush=True)

    def messages(self, poll: Callable[[], None] | None = None) -> Iterator[dict[str, Any]]:
        """Messages of the child as they come, until it ends.

        Args:
            poll: Called several times a second in between; what it raises ends the iteration.
        """
        while True:
            if poll:
                poll()
            with contextlib.suppress(queue.Empty):
                message = self._messages.get(timeout=POLL_S if poll else None)
                if message is None:
                    self._messages.put(None)  # for whoever asks again
                    return
                yield message

    def stop(self) -> None:
        """Ask the child to stop, by closing its input; does not wait."""
        with contextlib.suppress(BrokenPipeError):
            cast(IO[str], self._process.stdin).close()

    def terminate(self) -> None:
        """Ask the child to stop, by SIGTERM; for modules that do not call `connect`."""
        self._process.terminate()

    def kill(self) -> None:
        """End the child at once, if it has not ended."""
        self._process.kill()

    def wait(self, grace_s: float | None = None) -> int:
        """Wait for the child's end.

        Args:
            grace_s: After so many seconds it is killed; ``None`` waits as long as it takes.

        Returns:
            Its exit code; negative for the signal that ended it.
        """
        try:
            return self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def output(self) -> str:
        """What the child has printed so far."""
        return self._log.read_text("utf-8", "replace")

    @property
    def reason(self) -> str:
        """Why the child failed: the last line that it printed."""
        return (self.output().strip().splitlines() or ["no reason given"])[-1]

    @property
    def pid(self) -> int:
        """The id of the child's process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the child has ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Kill the child, if it has not ended, and free what it took."""
        self._process.kill()
        self._process.wait()
        self.stop()
        self._scratch.cleanup()


class Parent:
    """The parent of this process; made by `connect`.

    Attributes:
        stopping: Set as soon as the parent asks this process to stop, or is gone.
    """

    def __init__(self, stream: IO[str], grace_s: float) -> None:
        self.stopping = threading.Event()
        self._stream = stream
        self._lock = threading.Lock()
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(grace_s,), daemon=True).start()

    def _read(self, grace_s: float) -> None:
        rest = b""
        # Read bare: a thread that waits in `sys.stdin` would not let the process end.
        while data := os.read(0, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._messages.put(from_json(line))
        self.stopping.set()
        self._messages.put(None)
        time.sleep(grace_s)
        os._exit(1)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, from any thread; a parent that is gone does not get it."""
        with self._lock, contextlib.suppress(BrokenPipeError):
            print(to_json(message), file=self._stream, flush=True)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Messages of the parent as they come, until it asks to stop or is gone."""
        while (message := self._messages.get()) is not None:
            yield message


def connect(*, grace_s: float = 0.0) -> Parent:
    """Connect this process to the parent that started it with `Worker`.

    From here on, what this process prints goes to the log.

    Args:
        grace_s: How long this process may go on after its parent asked it to stop, or died.
    """
    allocator.return_large_blocks()
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries in C print, too
    sys.stdout = sys.stderr
    return Parent(stream, grace_s)
