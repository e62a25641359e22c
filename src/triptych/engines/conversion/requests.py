"""Requests to a child process that reads networks, and the reasons why one fails.

What a file from elsewhere makes a library do, such as a crash, an endless loop or taking all the
memory there is, ends the child and not this process.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import TypeVar

import numpy as np

from triptych import errors
from triptych.typing import Array
from triptych.utils import worker
from triptych.utils.text import text
from triptych.utils.worker import Worker

RequestWorkerT = TypeVar("RequestWorkerT", bound="RequestWorker")


class RequestWorker:
    """A child process that answers one request after the other; leaving the block ends it.

    Args:
        module: What it runs; the module calls `serve`.
        environment: Its variables; by default those of this process.
        longest_s: How long a request may take, in seconds.
        memory_bytes: How much memory it may take; 0 for no limit. Only Linux enforces it.
    """

    def __init__(
        self,
        module: str,
        *,
        environment: Mapping[str, str] | None = None,
        longest_s: float = math.inf,
        memory_bytes: int = 0,
    ) -> None:
        self._longest_s = longest_s
        self._memory_bytes = memory_bytes
        self._worker = Worker(module, str(memory_bytes), environment=environment)

    def __enter__(self: RequestWorkerT) -> RequestWorkerT:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._worker.close()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message that has no answer."""
        self._worker.send(message)

    def request(self, message: Mapping[str, Any], what: str) -> Any:
        """Send a request, and wait for its result.

        Args:
            message: What the child's function takes.
            what: What is done, as the beginning of a sentence.

        Raises:
            errors.WeightsDamaged: The child says that a file is damaged.
            errors.EngineError: It fails, takes too long or dies.
        """
        end_s = time.monotonic() + self._longest_s

        def poll() -> None:
            if time.monotonic() >= end_s:
                raise errors.EngineError(
                    text(
                        "{what} was not done within {longest_s:g} s, so it was given up.",
                        what=what,
                        longest_s=self._longest_s,
                    )
                )

        self._worker.send(message)
        answer = next(self._worker.messages(poll), None)
        if answer is None:
            raise errors.EngineError(
                text("{what} failed: {reason}", what=what, reason=self._reason_of_death())
            )
        if answer["damaged"]:
            raise errors.WeightsDamaged(answer["damaged"])
        if answer["failed"]:
            raise errors.EngineError(
                text("{what} failed: {reason}", what=what, reason=answer["failed"])
            )
        return answer["facts"]

    def _reason_of_death(self) -> str:
        code = self._worker.wait(grace_s=1.0)
        reason = self._worker.reason
        if self._memory_bytes and (code < 0 or re.search("bad_alloc|MemoryError", reason)):
            return text(
                "it crashed, or takes more than the {size:.0f} GB of memory that a file of its "
                "size may ({reason})",
                size=self._memory_bytes / 1e9,
                reason=reason[:200],
            )
        return reason


@contextlib.contextmanager
def array_file(array: Array) -> Iterator[Path]:
    """A temporary file with an array, which the child may replace by its result.

    Args:
        array: Saved as ``.npy``.
    """
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        file = Path(scratch) / "array.npy"
        np.save(file, array)
        yield file


def serve(answer: Callable[[dict[str, Any]], Any], *, prepare: Callable[[], None]) -> None:
    """Answer the requests of the parent that started this process with `RequestWorker`.

    Args:
        answer: Turns a request into a result that is JSON; what it raises is the answer, too.
        prepare: Called first, such as to import libraries.
    """
    parent = worker.connect()
    _limit_memory(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    prepare()
    for fields in parent.messages():
        damaged, failed, facts = None, None, None
        try:
            facts = answer(fields)
        except NoAnswer:
            continue
        except errors.WeightsDamaged as error:
            damaged = error.message
        except MemoryError:
            failed = "it takes more memory than a file of its size may."
        except Exception as error:  # what libraries cannot do, they say in many ways
            traceback.print_exc()
            text = re.sub("\x1b\\[[0-9;]*m", "", str(error))  # Keras colours some
            lines = [line.strip(" .") for line in text.splitlines() if line.strip()]
            # OpenVINO begins with the lines of its source that it failed in.
            lines = [line for line in lines if not line.startswith("Exception from")] or lines
            failed = f"{type(error).__name__}: {'. '.join(lines[:2])}."
            if re.search("bad_alloc|unable to allocate", text, re.IGNORECASE):
                failed = "it takes more memory than a file of its size may."
        parent.send({"damaged": damaged, "failed": failed, "facts": facts})


class NoAnswer(Exception):
    """Raised by the function of `serve` for messages that the parent waits for no answer to."""


def _limit_memory(limit: int) -> None:
    with contextlib.suppress(ImportError):
        import resource  # not on Windows

        if limit:
            # What a process writes to, not the addresses it has: TensorFlow reserves far more.
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
