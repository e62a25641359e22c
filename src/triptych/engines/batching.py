"""Dynamic batching: batches that several threads run at the same time become one.

Nobody waits for a batch to fill: a free network runs at once, and while all slots are taken,
callers gather behind it.
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

# How many networks run at the same time. One semaphore for the whole process, because all its
# networks share the processor: with one for each committee, two committees would take twice the
# cores, and batches would not fill.
NETWORK_SLOTS = threading.Semaphore(concurrency.cpu_count())
# Where batching pays, 4 photos gain nearly all that 8 gain (docs/benchmarks.md).
BATCH_LIMIT = 4


def batch_limit(precision: str, wanted: int = 0) -> int:
    """How many photos a network should run as one batch.

    Processors with bf16 arithmetic compute bf16 and int8 so quickly that most of the time goes
    into fetching the weights from memory, once a batch. Elsewhere a batch gains nothing. At f32
    each photo runs alone on every processor, so that its result has the same bits whatever else
    is running.

    Args:
        precision: ``"auto"``, ``"f32"``, ``"bf16"`` or ``"int8"``.
        wanted: The person's setting; 0 leaves it to this function.

    Example:
        >>> batch_limit("f32"), batch_limit("f32", 8)
        (1, 8)
    """
    if wanted:
        return wanted
    return BATCH_LIMIT if precision != "f32" and openvino.has_bf16() else 1


class BatchingEngine:
    """An engine that joins the batches of concurrent callers.

    There is no thread of its own: the first caller in the queue leads, and runs its batch together
    with those behind it; then the next one leads.

    Args:
        engine: Runs the joined batches, in the leader's thread.
        max_batch: Photos of a joined batch at most; a batch that comes larger is run whole.
        slots: How many networks run at the same time, of all that share this semaphore.

    Example:
        >>> from triptych.engines.fake import FakeEngine
        >>> engine = BatchingEngine(FakeEngine(2), max_batch=4)
        >>> engine.run(np.zeros((1, 8, 8, 3), np.float32)).probs.shape
        (1, 2)
    """

    def __init__(
        self, engine: Engine, *, max_batch: int, slots: threading.Semaphore = NETWORK_SLOTS
    ) -> None:
        self._engine = engine
        self._max_batch = max_batch
        self._slots = slots
        self._lock = threading.Lock()
        self._queue: deque[_QueuedBatch] = deque()

    @property
    def size_bytes(self) -> int:
        """The size of the network's weights."""
        return self._engine.size_bytes

    @property
    def waiting(self) -> int:
        """How many batches are queued."""
        return len(self._queue)

    def run(self, batch: Float32Array) -> Output:
        """Compute probabilities and features; see `triptych.engines.Engine.run`."""
        queued = _QueuedBatch(batch)
        with self._lock:
            self._queue.append(queued)
            if self._queue[0] is queued:
                queued.woken.set()
        queued.woken.wait()
        if queued.output.done():
            return queued.output.result()
        with self._slots:
            # Lead: run the first batch and as many as fit behind it, and wake the next leader.
            with self._lock:
                joined = [self._queue.popleft()]
                photos = len(joined[0].batch)
                while self._queue and photos + len(self._queue[0].batch) <= self._max_batch:
                    joined.append(self._queue.popleft())
                    photos += len(joined[-1].batch)
                if self._queue:
                    self._queue[0].woken.set()
            self._run(joined)
        return queued.output.result()

    def _run(self, joined: list[_QueuedBatch]) -> None:
        try:
            output = self._engine.run(np.concatenate([queued.batch for queued in joined]))
        except Exception as error:
            # One batch may be to blame, so each is run alone and gets an error of its own.
            if len(joined) == 1:
                joined[0].output.set_exception(error)
            else:
                for queued in joined:
                    self._run([queued])
            return
        start = 0
        for queued in joined:
            end = start + len(queued.batch)
            queued.output.set_result(Output(output.probs[start:end], output.features[start:end]))
            start = end


class _QueuedBatch:
    """A batch in the queue. Its thread is woken to lead, or because its output is there."""

    def __init__(self, batch: Float32Array) -> None:
        self.batch = batch
        self.woken = threading.Event()
        self.output: Future[Output] = Future()
        self.output.add_done_callback(lambda _: self.woken.set())
