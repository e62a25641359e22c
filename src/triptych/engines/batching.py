"""Dynamic batching: batches that several threads run at the same time become one.

Nobody waits for a batch to fill: a free network runs at once, and while all slots are taken,
callers gather behind it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from triptych.engines import Engine
from triptych.engines import JoinedOutput
from triptych.engines import Output
from triptych.engines import PixelEngine
from triptych.typing import Float32Array
from triptych.typing import UInt8Array
from triptych.utils import concurrency


class NetworkQueue:
    """Batches that wait to be run, by any of the networks that share a processor; oldest first.

    There is no thread of its own: the thread of the oldest batch runs it as soon as a slot is free,
    together with those behind it that the same network can take. As the order is that of all
    networks, one that takes many photos at a time waits for those that take one.

    Args:
        slots: How many networks run at the same time.

    Example:
        >>> from triptych.engines.fake import FakeEngine
        >>> batch = np.zeros((1, 8, 8, 3), np.float32)
        >>> NetworkQueue(slots=1).run(FakeEngine(2).run, batch, most=4).probs.shape
        (1, 2)
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = slots
        self._lock = threading.Lock()
        self._waiting: deque[_QueuedBatch] = deque()

    @property
    def waiting(self) -> int:
        """How many batches wait."""
        return len(self._waiting)

    def run(self, run: Callable[[Any], Output], batch: Any, *, most: int) -> Output:
        """Run a batch, in this thread or in that of another batch which it was joined to.

        Args:
            run: Runs the network. Batches with the same one are joined.
            batch: Its input.
            most: Photos of a joined batch at most; a batch that comes larger is run whole.
        """
        queued = _QueuedBatch(run, batch, most)
        with self._lock:
            self._waiting.append(queued)
            self._fill_slots()
        queued.woken.wait()
        if queued.joined:
            try:
                _run(queued.joined)
            finally:
                with self._lock:
                    self._free += 1
                    self._fill_slots()
        return queued.output.result()

    def _fill_slots(self) -> None:
        """Wake the oldest batches to run, as many as there are free slots; under the lock."""
        while self._free and self._waiting:
            first = self._waiting.popleft()
            joined, photos = [first], len(first.batch)
            for queued in [other for other in self._waiting if other.run == first.run]:
                photos += len(queued.batch)
                if photos > first.most:
                    break
                joined.append(queued)
                self._waiting.remove(queued)
            self._free -= 1
            first.joined = joined
            first.woken.set()


# One for the whole process: with a queue for each committee, two committees would take twice the
# cores, and batches would not fill.
NETWORKS = NetworkQueue(slots=concurrency.cpu_count())


def batched(engine: Engine, *, max_batch: int, networks: NetworkQueue = NETWORKS) -> BatchingEngine:
    """Let an engine join the batches of concurrent callers; one that takes pixels goes on to.

    Args:
        engine: As for `BatchingEngine`.
        max_batch: As for `BatchingEngine`.
        networks: As for `BatchingEngine`.
    """
    kind = _BatchingPixelEngine if isinstance(engine, PixelEngine) else BatchingEngine
    return kind(engine, max_batch=max_batch, networks=networks)


def limit_of(engine: Engine) -> int:
    """How many photos of concurrent callers an engine runs as one batch; 1 if it joins none."""
    return engine.max_batch if isinstance(engine, BatchingEngine) else 1


def capacity_of(engine: Engine) -> int:
    """How many photos an engine works on at the same time, on all cores or slots."""
    if isinstance(engine, BatchingEngine):
        return engine.max_batch * engine.networks.slots
    return concurrency.cpu_count()


class BatchingEngine:
    """An engine that joins the batches of concurrent callers; `batched` makes it.

    Args:
        engine: Runs the joined batches, in the thread of one of the callers.
        max_batch: Photos of a joined batch at most; a batch that comes larger is run whole.
        networks: The queue of all networks that share the processor.

    Example:
        >>> from triptych.engines.fake import FakeEngine
        >>> engine = BatchingEngine(FakeEngine(2), max_batch=4)
        >>> engine.run(np.zeros((1, 8, 8, 3), np.float32)).probs.shape
        (1, 2)
    """

    def __init__(
        self, engine: Engine, *, max_batch: int, networks: NetworkQueue = NETWORKS
    ) -> None:
        self._engine: Any = engine
        self.max_batch = max_batch
        self.networks = networks

    @property
    def size_bytes(self) -> int:
        """The size of the network's weights."""
        return int(self._engine.size_bytes)

    def run(self, batch: Float32Array) -> Output:
        """Compute probabilities and features; see `triptych.engines.Engine.run`."""
        return self.networks.run(self._engine.run, batch, most=self.max_batch)


class _BatchingPixelEngine(BatchingEngine):
    """Joins batches of pixels, too, and these only with each other."""

    def run_pixels(self, pixels: UInt8Array) -> Output:
        """Compute probabilities and features; see `triptych.engines.PixelEngine.run_pixels`."""
        return self.networks.run(self._engine.run_pixels, pixels, most=self.max_batch)


class _QueuedBatch:
    """A batch in the queue. Its thread is woken to run it, or because its output is there."""

    def __init__(
        self, run: Callable[[Any], Output], batch: Float32Array | UInt8Array, most: int
    ) -> None:
        self.run = run
        self.batch = batch
        self.most = most
        self.joined: list[_QueuedBatch] = []  # it and others, if its thread is to run them
        self.woken = threading.Event()
        self.output: Future[Output] = Future()
        self.output.add_done_callback(lambda _: self.woken.set())


def _run(joined: list[_QueuedBatch]) -> None:
    try:
        batches = [queued.batch for queued in joined]
        batch = batches[0] if len(batches) == 1 else np.concatenate(batches)
        output = joined[0].run(batch)
    except Exception as error:
        # One batch may be to blame, so each is run alone and gets an error of its own.
        if len(joined) == 1:
            joined[0].output.set_exception(error)
        else:
            for queued in joined:
                _run([queued])
        return
    start = 0
    for queued in joined:
        rows = slice(start, start + len(queued.batch))
        mine = JoinedOutput(output.probs[rows], output.features[rows])
        mine.batch_size = len(batch)
        queued.output.set_result(mine)
        start = rows.stop
