"""Dynamic batching: concurrent calls share a batch, and each gets its rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from triptych import errors
from triptych.engines import Output
from triptych.engines import batching
from triptych.engines import openvino
from triptych.engines.batching import BatchingEngine
from triptych.engines.fake import FakeEngine

CLASSES = 5


class Watched:
    """A fake engine that blocks until a test releases it, and records its batches."""

    size_bytes = 7

    def __init__(self, *, closed: bool = False) -> None:
        self._engine = FakeEngine(CLASSES)
        self._lock = threading.Lock()
        self._running = 0
        self.most_running = 0
        self.batches: list[int] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        if not closed:
            self.gate.set()

    def run(self, batch: np.ndarray) -> Output:
        with self._lock:
            self.batches.append(len(batch))
            self._running += 1
            self.most_running = max(self.most_running, self._running)
        self.begun.release()
        try:
            self.gate.wait()
            if np.isnan(batch).any():
                raise errors.EngineError("That is not a number.")
            return self._engine.run(batch)
        finally:
            with self._lock:
                self._running -= 1


def photos(*counts: int) -> list[np.ndarray]:
    numbers = np.random.default_rng(1)
    return [numbers.normal(size=(count, 8, 8, 3)).astype(np.float32) for count in counts]


def submitted_meanwhile(
    engine: Watched, batcher: BatchingEngine, first: np.ndarray, others: list[np.ndarray]
) -> list[Callable[[], Output]]:
    """Submit calls, in this order, while the engine is busy with the first; then release it."""
    pool = ThreadPoolExecutor(1 + len(others))
    futures = [pool.submit(batcher.run, first)]
    engine.begun.acquire()
    for number, batch in enumerate(others, start=1):
        futures.append(pool.submit(batcher.run, batch))
        while batcher.waiting < number:
            time.sleep(0.001)
    engine.gate.set()
    pool.shutdown()
    return [future.result for future in futures]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=12),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_each_caller_gets_its_rows_of_the_batch(counts, max_batch, slots):
    engine = Watched()
    batcher = BatchingEngine(engine, max_batch=max_batch, slots=threading.Semaphore(slots))
    batches = photos(*counts)
    with ThreadPoolExecutor(len(batches)) as pool:
        outputs = list(pool.map(batcher.run, batches))
    for batch, output in zip(batches, outputs, strict=True):
        expected = FakeEngine(CLASSES).run(batch)
        np.testing.assert_array_equal(output.probs, expected.probs)
        np.testing.assert_array_equal(output.features, expected.features)
    assert engine.most_running <= slots
    assert max(engine.batches) <= max(max_batch, *counts)
    assert sum(engine.batches) == sum(counts)


def test_waiting_calls_form_one_batch():
    engine = Watched(closed=True)
    batcher = BatchingEngine(engine, max_batch=4, slots=threading.Semaphore(1))
    first, *others = photos(1, 1, 1, 1, 1, 1)
    for answer in submitted_meanwhile(engine, batcher, first, others):
        answer()
    assert engine.batches == [1, 4, 1]


def test_a_batch_is_never_split():
    engine = Watched(closed=True)
    batcher = BatchingEngine(engine, max_batch=4, slots=threading.Semaphore(1))
    first, *others = photos(1, 3, 2, 9, 1)
    for answer in submitted_meanwhile(engine, batcher, first, others):
        answer()
    assert engine.batches == [1, 3, 2, 9, 1]


def test_an_error_reaches_only_the_caller_that_caused_it():
    engine = Watched(closed=True)
    batcher = BatchingEngine(engine, max_batch=4, slots=threading.Semaphore(1))
    first, good, bad, last = photos(1, 1, 1, 1)
    bad[:] = np.nan
    answers = submitted_meanwhile(engine, batcher, first, [good, bad, last])
    with pytest.raises(errors.EngineError, match="not a number"):
        answers.pop(2)()
    for answer, batch in zip(answers, (first, good, last), strict=True):
        np.testing.assert_array_equal(answer().probs, FakeEngine(CLASSES).run(batch).probs)


def test_networks_on_one_processor_take_turns():
    slots = threading.Semaphore(1)
    engines = Watched(closed=True), Watched()
    one, other = (BatchingEngine(engine, max_batch=4, slots=slots) for engine in engines)
    (photo,) = photos(1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.run, photo)
        engines[0].begun.acquire()
        second = pool.submit(other.run, photo)
        assert not engines[1].begun.acquire(timeout=0.1)
        engines[0].gate.set()
        assert first.result().probs.shape == second.result().probs.shape


def test_batching_reports_the_size_of_its_engine():
    assert BatchingEngine(Watched(), max_batch=2).size_bytes == Watched.size_bytes


def test_batches_are_used_where_they_pay():
    several = batching.BATCH_LIMIT if openvino.has_bf16() else 1
    for precision in ("auto", "int8"):
        assert batching.batch_limit(precision) == several
    assert batching.batch_limit("f32") == 1
    assert batching.batch_limit("f32", 3) == batching.batch_limit("int8", 3) == 3
