"""Dynamic batching: concurrent calls share a batch where that pays, and each gets its rows."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from support import networks
from triptych import errors
from triptych.engines import JoinedOutput
from triptych.engines import Output
from triptych.engines import PixelEngine
from triptych.engines import batch_limit
from triptych.engines import batching
from triptych.engines import measurements
from triptych.engines.batching import BatchingEngine
from triptych.engines.batching import NetworkQueue
from triptych.engines.fake import FakeEngine
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine

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
        run = batcher.run_pixels if batch.dtype == np.uint8 else batcher.run
        futures.append(pool.submit(run, batch))
        while batcher.networks.waiting < number:
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
    batcher = BatchingEngine(engine, max_batch=max_batch, networks=NetworkQueue(slots))
    batches = photos(*counts)
    with ThreadPoolExecutor(len(batches)) as pool:
        outputs = list(pool.map(batcher.run, batches))
    for batch, output in zip(batches, outputs, strict=True):
        assert isinstance(output, JoinedOutput)
        assert len(batch) <= output.batch_size <= max(max_batch, len(batch))
        expected = FakeEngine(CLASSES).run(batch)
        np.testing.assert_array_equal(output.probs, expected.probs)
        np.testing.assert_array_equal(output.features, expected.features)
    assert engine.most_running <= slots
    assert max(engine.batches) <= max(max_batch, *counts)
    assert sum(engine.batches) == sum(counts)


def test_waiting_calls_form_one_batch():
    engine = Watched(closed=True)
    batcher = BatchingEngine(engine, max_batch=4, networks=NetworkQueue(1))
    first, *others = photos(1, 1, 1, 1, 1, 1)
    answers = submitted_meanwhile(engine, batcher, first, others)
    assert engine.batches == [1, 4, 1]
    assert [answer().batch_size for answer in answers] == [1, 4, 4, 4, 4, 1]


def test_a_batch_is_never_split():
    engine = Watched(closed=True)
    batcher = BatchingEngine(engine, max_batch=4, networks=NetworkQueue(1))
    first, *others = photos(1, 3, 2, 9, 1)
    for answer in submitted_meanwhile(engine, batcher, first, others):
        answer()
    assert engine.batches == [1, 3, 2, 9, 1]


def test_an_error_reaches_only_the_caller_that_caused_it():
    engine = Watched(closed=True)
    batcher = BatchingEngine(engine, max_batch=4, networks=NetworkQueue(1))
    first, good, bad, last = photos(1, 1, 1, 1)
    bad[:] = np.nan
    answers = submitted_meanwhile(engine, batcher, first, [good, bad, last])
    with pytest.raises(errors.EngineError, match="not a number"):
        answers.pop(2)()
    for answer, batch in zip(answers, (first, good, last), strict=True):
        np.testing.assert_array_equal(answer().probs, FakeEngine(CLASSES).run(batch).probs)


def test_networks_run_in_the_order_of_their_batches():
    networks, blocker = NetworkQueue(1), Watched(closed=True)
    several, single = Watched(), Watched()
    order: list[tuple[str, int]] = []

    def recorded(name: str, engine: Watched, batch: np.ndarray) -> Output:
        order.append((name, len(batch)))
        return engine.run(batch)

    runs = {
        "blocker": (partial(recorded, "blocker", blocker), 1),
        "several": (partial(recorded, "several", several), 4),
        "single": (partial(recorded, "single", single), 1),
    }
    with ThreadPoolExecutor(9) as pool:

        def submit(name: str) -> None:
            run, most = runs[name]
            pool.submit(networks.run, run, photos(1)[0], most=most)

        submit("blocker")
        blocker.begun.acquire()
        for number, name in enumerate(["single", "several"] * 4, start=1):
            submit(name)
            while networks.waiting < number:
                time.sleep(0.001)
        blocker.gate.set()
    # The photos of the one network are complete by the time it comes to the next of the other.
    assert order == [("blocker", 1), ("single", 1), ("several", 4), *[("single", 1)] * 3]


def test_networks_on_one_processor_take_turns():
    networks = NetworkQueue(1)
    engines = Watched(closed=True), Watched()
    one, other = (BatchingEngine(engine, max_batch=4, networks=networks) for engine in engines)
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


class WatchedPixels(Watched):
    """Takes pixels, too."""

    def run_pixels(self, pixels: np.ndarray) -> Output:
        return self.run(pixels.astype(np.float32) / 255)


def test_the_batch_size_survives_the_way_from_another_process():
    batcher = BatchingEngine(FakeEngine(CLASSES), max_batch=4, networks=NetworkQueue(1))
    (batch,) = photos(3)
    output = pickle.loads(pickle.dumps(batcher.run(batch)))
    assert output.batch_size == 3
    np.testing.assert_array_equal(output.probs, FakeEngine(CLASSES).run(batch).probs)


def test_pixels_are_joined_with_pixels_only():
    engine = WatchedPixels(closed=True)
    batcher = batching.batched(engine, max_batch=8, networks=NetworkQueue(1))
    assert isinstance(batcher, PixelEngine)
    floats = photos(1, 1, 1)
    pixels = [np.full((1, 8, 8, 3), value, np.uint8) for value in (9, 99)]
    answers = submitted_meanwhile(engine, batcher, floats[0], [*floats[1:], *pixels])
    assert engine.batches == [1, 2, 2]
    for answer, batch in zip(answers, [*floats, *pixels], strict=True):
        inputs = batch / np.float32(255) if batch.dtype == np.uint8 else batch
        np.testing.assert_array_equal(answer().probs, FakeEngine(CLASSES).run(inputs).probs)


def test_an_engine_without_pixels_has_none_when_it_joins_batches():
    batcher = batching.batched(Watched(), max_batch=8)
    assert not isinstance(batcher, PixelEngine)
    assert batching.limit_of(batcher) == 8
    assert batching.limit_of(Watched()) == 1


class Costly:
    """A fake engine whose runs cost milliseconds: some to fetch weights, some for each photo.

    Args:
        fetch: For each run.
        photo: For each photo of it.
        mixes: From which size of batch photos have an influence on each other.
        most: Photos that it takes at once.
    """

    size_bytes = 0

    def __init__(self, fetch: float, photo: float, *, mixes: int = 99, most: int = 99) -> None:
        self._fetch, self._photo, self._mixes, self._most = fetch, photo, mixes, most
        self._engine = FakeEngine(CLASSES)
        self._lock = threading.Lock()
        self.spent_s = 0.0
        self.sizes: set[int] = set()

    def run(self, batch: np.ndarray) -> Output:
        if len(batch) > self._most:
            raise errors.EngineError("So many photos are too many.")
        with self._lock:
            self.spent_s += (self._fetch + self._photo * len(batch)) / 1000
            self.sizes.add(len(batch))
        probs, features = self._engine.run(batch)
        if len(batch) >= self._mixes:
            features = np.nextafter(features, features.mean(axis=0))
        return Output(probs, features)

    def limit(self, *, exact: bool = True) -> int:
        ms = batch_limit.measure_batches(
            self, (8, 8, 3), callers=2, exact=exact, clock=lambda: self.spent_s
        )
        assert ms[1] == pytest.approx(self._fetch + self._photo)
        return batch_limit.choose(ms)


@pytest.mark.parametrize(
    ("fetch", "photo", "expected"),
    [
        (0, 5, 1),
        (0.25, 5, 1),  # batches save 4 %
        (1, 5, 4),  # 13 %
        (1, 1, 8),
        (9, 1, 8),
        (500, 600, 1),  # a batch takes too long
    ],
)
def test_batches_are_used_where_they_pay(fetch: float, photo: float, expected: int) -> None:
    assert Costly(fetch, photo).limit() == expected


def test_at_f32_only_batches_with_the_same_bits_are_used() -> None:
    assert Costly(1, 1, mixes=6).limit() == 4
    assert Costly(1, 1, mixes=3).limit() == 1
    # Where results are rounded anyway, the last digit does not count.
    assert Costly(1, 1, mixes=3).limit(exact=False) == 8


def test_a_network_that_takes_one_photo_runs_one() -> None:
    assert Costly(9, 1, most=1).limit() == 1
    assert Costly(9, 1, most=4).limit() == 4


@given(st.dictionaries(st.sampled_from([4, 8, 16]), st.floats(0.1, 10)), st.floats(0.1, 10))
def test_the_chosen_batch_is_fast_and_the_smallest_such(
    larger: dict[int, float], one: float
) -> None:
    ms = {1: one, **larger}
    limit, best = batch_limit.choose(ms), min(ms.values())
    if best > 0.95 * one:
        assert limit == 1
    else:
        assert ms[limit] <= 1.03 * best
        assert all(ms[size] > 1.03 * best for size in ms if size < limit)


# ------------------------------------------------------------------ networks


def test_a_network_is_measured_once_and_its_batches_have_its_bits(tmp_path: Path) -> None:
    path = networks.write_tiny(tmp_path / "tiny" / "network.xml", classes=3)
    lines: list[str] = []
    options = EngineOptions(tmp_path, "f32", streams=2, max_batch=0, report=lines.append)
    first, second = (open_engine(path, options) for _ in range(2))
    assert len(lines) == 1
    assert batching.limit_of(first) == batching.limit_of(second) in (1, 4, 8)
    batch = photos_of(32, 5)
    alone = [first.run(batch[row : row + 1]) for row in range(5)]
    with ThreadPoolExecutor(5) as pool:
        together = list(pool.map(lambda row: second.run(batch[row : row + 1]), range(5)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.probs, other.probs)
        np.testing.assert_array_equal(one.features, other.features)


def photos_of(side: int, count: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(count, side, side, 3)).astype(np.float32)


def test_what_was_recorded_decides(tmp_path: Path) -> None:
    path = networks.write_tiny(tmp_path / "tiny" / "network.xml", classes=3)
    options = EngineOptions(tmp_path, "f32", max_batch=0)
    open_engine(path, options)
    (record,) = (tmp_path / "engines" / "measured").glob("*.json")
    written = json.loads(record.read_text())
    record.write_text(json.dumps({**written, "ms": {"1": 2.0, "4": 1.0, "8": 1.5}}))
    assert batching.limit_of(open_engine(path, options)) == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"ms": {"1": 1.0}}',
        '{"of": {}, "ms": {"1": 1.0, "4": 0.1}}',
        '{"of": {}, "ms": {"1": "slow"}}',
    ],
)
def test_a_record_that_is_damaged_or_of_something_else_is_measured_anew(
    tmp_path: Path, text: str
) -> None:
    subject = {"graph": "a", "precision": "f32"}
    assert measurements.recall(tmp_path, subject, lambda: {"1": 5.0}) == {"1": 5.0}
    (record,) = (tmp_path / "engines" / "measured").glob("*.json")
    record.write_text(text)
    assert measurements.recall(tmp_path, subject, lambda: {"1": 7.0}) == {"1": 7.0}
    assert measurements.recall(tmp_path, subject, lambda: {"1": 9.0}) == {"1": 7.0}


def test_other_subjects_and_other_machines_are_measured_for_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recall(precision: str, ms: float) -> Mapping[str, float]:
        return measurements.recall(tmp_path, {"precision": precision}, lambda: {"1": ms})

    assert recall("f32", 1) == {"1": 1}
    assert recall("bf16", 2) == {"1": 2}
    monkeypatch.setattr(measurements, "machine", lambda: {"processor": "another"})
    assert recall("f32", 3) == {"1": 3}
    monkeypatch.undo()
    assert recall("f32", 4) == {"1": 1}


def test_a_measurement_that_cannot_be_kept_is_used(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("This is no folder.")
    assert measurements.recall(tmp_path, {}, lambda: {"1": 5.0}) == {"1": 5.0}
    assert measurements.recall(None, {}, lambda: {"1": 6.0}) == {"1": 6.0}
