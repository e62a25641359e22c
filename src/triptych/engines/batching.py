"""Dynamic batching: what several threads ask a network at the same time, it answers together.

Nobody waits for a batch to fill: a network that is free answers at once, and while all turns are
taken those who ask gather.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future

import numpy as np

from triptych.engines import Engine
from triptych.engines import Output
from triptych.engines import openvino
from triptych.typing import Float32Array
from triptych.utils import concurrency

# Of all networks in this process, which share the processor.
TURNS = threading.Semaphore(concurrency.cpu_count())
# Where it pays, four photos together bring nearly all that eight bring (docs/benchmarks.md).
SEVERAL = 4


def most(precision: str, wanted: int = 0) -> int:
    """How many photos a network should look at together.

    Processors that multiply bf16 numbers themselves do it, and int8, so quickly that the weights,
    which are fetched from memory for each batch, take most of the time. On others a batch gains
    nothing. At f32 each photo is looked at alone everywhere, so that its answer has the same bits
    whoever else asks.

    Args:
        precision: ``"auto"``, ``"f32"``, ``"bf16"`` or ``"int8"``.
        wanted: What a person chose; 0 leaves it to this function.

    Example:
        >>> most("f32"), most("f32", 8)
        (1, 8)
    """
    if wanted:
        return wanted
    return SEVERAL if precision != "f32" and openvino.has_bf16() else 1


class Batching:
    """An engine that joins what threads ask it beside each other.

    Args:
        engine: Answers, called by one of those threads.
        most: Photos of a batch at most; a batch that comes larger is left whole.
        turns: How many networks run beside each other, of all that are given the same.

    Example:
        >>> from triptych.engines.fake import FakeEngine
        >>> engine = Batching(FakeEngine(2), most=4)
        >>> engine.run(np.zeros((1, 8, 8, 3), np.float32)).probs.shape
        (1, 2)
    """

    def __init__(self, engine: Engine, *, most: int, turns: threading.Semaphore = TURNS) -> None:
        self._engine = engine
        self._most = most
        self._turns = turns
        self._lock = threading.Lock()
        self._line: deque[_Asked] = deque()

    @property
    def size_bytes(self) -> int:
        """How large its weights are."""
        return self._engine.size_bytes

    @property
    def waiting(self) -> int:
        """How many batches are in line."""
        return len(self._line)

    def run(self, batch: Float32Array) -> Output:
        """Answer a batch; see `triptych.engines.Engine.run`."""
        asked = _Asked(batch)
        with self._lock:
            self._line.append(asked)
            if self._line[0] is asked:
                asked.woken.set()
        asked.woken.wait()
        if not asked.told.done():
            self._lead()
        return asked.told.result()

    def _lead(self) -> None:
        """Answer the first in line, and as many as fit behind it; then the next one leads."""
        with self._turns:
            with self._lock:
                together = self._taken()
                if self._line:
                    self._line[0].woken.set()
            self._answer(together)

    def _taken(self) -> list[_Asked]:
        taken = [self._line.popleft()]
        photos = len(taken[0].batch)
        while self._line and photos + len(self._line[0].batch) <= self._most:
            taken.append(self._line.popleft())
            photos += len(taken[-1].batch)
        return taken

    def _answer(self, together: list[_Asked]) -> None:
        try:
            output = self._engine.run(np.concatenate([asked.batch for asked in together]))
        except Exception as error:
            # One of them may be to blame, and only that one shall hear of it.
            if len(together) == 1:
                together[0].told.set_exception(error)
            else:
                for asked in together:
                    self._answer([asked])
            return
        start = 0
        for asked in together:
            end = start + len(asked.batch)
            asked.told.set_result(Output(output.probs[start:end], output.features[start:end]))
            start = end


class _Asked:
    """A batch in line. Its thread is woken to lead, or to take what it was told."""

    def __init__(self, batch: Float32Array) -> None:
        self.batch = batch
        self.woken = threading.Event()
        self.told: Future[Output] = Future()
        self.told.add_done_callback(lambda _: self.woken.set())
