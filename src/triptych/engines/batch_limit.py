"""How many photos a network should run as one batch: measured, as no rule says it.

A batch fetches the weights from memory once, and computes as much as its photos do alone. So it
pays where fetching takes long beside computing, which depends on network, number format and
processor. VGG16 at f32 on two cores of an Intel Xeon takes 12 % less time a photo in batches of 4,
Xception none.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from triptych import errors
from triptych.engines import Engine
from triptych.engines import Output
from triptych.engines import measurements
from triptych.engines import openvino
from triptych.typing import Float32Array
from triptych.typing import Notify
from triptych.utils import concurrency

# A batch of this size shows whether batches pay: it saves three quarters of what any could save.
FIRST = 4
# The largest batch that is tried on a processor.
LARGEST = 8
# What batches have to save of the time of a photo to be used at all, and to be tried larger.
LEAST_SAVING, LARGER_SAVING = 0.05, 0.15
# Of two sizes that are as fast, the smaller is better: callers wait for a whole batch.
AS_FAST = 1.03
LONGEST_S = 2.0
# Sizes take turns, and the shortest time counts, so that other programs do not decide.
MOST_ROUNDS, BUDGET_S = 8, 0.25
# How far the features of a photo may be from those alone, as a share, where they are rounded. A
# network whose batch is more than its rows is off by far more.
ROUNDING = 0.05


def choose(ms: Mapping[int, float]) -> int:
    """The smallest batch that is nearly as fast as the fastest; 1 if batches save too little.

    Args:
        ms: Milliseconds a photo by size of batch, 1 among them.

    Example:
        >>> choose({1: 110.0, 4: 97.0, 8: 96.0}), choose({1: 3.6, 4: 3.5})
        (4, 1)
    """
    best = min(ms.values())
    if best > (1 - LEAST_SAVING) * ms[1]:
        return 1
    return min(size for size, spent in ms.items() if spent <= AS_FAST * best)


def find(
    open_engine: Callable[[], Engine],
    network: Path,
    *,
    home: Path | None,
    precision: str,
    threads: int,
    streams: int,
    report: Notify,
) -> int:
    """The batch limit of a network on this machine; measured if it was not before.

    Args:
        open_engine: Opens the network; what it measures with is closed again, with its memory.
        network: Its ``.xml`` file.
        home: Folder for everything that is kept; ``None`` keeps nothing.
        precision: At which it runs. At ``"f32"`` only batches count whose rows have the same bits
            as the photos alone, so that an answer does not depend on what else is served.
        threads: Processor threads.
        streams: How many batches run in parallel.
        report: Called with a line for people before it is measured.
    """

    def measure() -> measurements.Times:
        report("Measuring, once on this machine, how many photos a network takes at a time ...")
        shape = openvino.input_shape(network)
        ms = measure_batches(open_engine(), shape, callers=streams, exact=precision == "f32")
        return {str(size): spent for size, spent in ms.items()}

    # Speed depends on the graph, which is in the `.xml` file, and not on what the weights are.
    graph = hashlib.sha256(network.read_bytes()).hexdigest()
    runs = {
        "graph": graph,
        "precision": precision,
        "threads": threads or concurrency.cpu_count(),
        "streams": streams,
    }
    times = measurements.recall(home, runs, measure)
    ms = {int(size): spent for size, spent in times.items() if size.isdecimal()}
    return choose(ms) if 1 in ms else 1


def measure_batches(
    engine: Engine,
    shape: Sequence[int],
    *,
    callers: int,
    exact: bool,
    largest: int = LARGEST,
    clock: Callable[[], float] = measurements.clock,
) -> dict[int, float]:
    """Measure batches of a network, as long as larger ones save time.

    Args:
        engine: Runs the network.
        shape: Of a photo, as (H, W, 3).
        callers: How many run it at the same time, as in service.
        exact: Whether only batches count whose rows have the same bits as the photos alone.
        largest: The largest batch to try.
        clock: Seconds of processor time.

    Returns:
        Milliseconds of processor time for a photo, by size of batch; 1 is among them.
    """
    photos = _noise(largest, shape)
    with ThreadPoolExecutor(callers) as pool:

        def run_photos(size: int) -> None:
            for start in range(0, FIRST, size):
                engine.run(photos[start : start + size])

        def run(size: int) -> float:
            start = clock()
            # As many photos in each thread, whatever the size, so that waking them costs as much.
            list(pool.map(run_photos, [size] * callers))
            return 1000 * (clock() - start) / (callers * max(size, FIRST))

        run(1)  # the first run of a size is slow
        ms = {1: run(1)}
        before, size = 1, FIRST
        while size <= largest and size * ms[before] / 1000 <= LONGEST_S:
            try:
                run(size)
                _race((before, size), ms, run)
                if choose(ms) == size:  # what would change something is measured twice
                    _race((before, size), ms, run)
            except errors.EngineError:  # the network takes one photo at a time
                ms.pop(size, None)
                break
            if 1 - ms[size] / ms[1] < LARGER_SAVING or ms[before] <= AS_FAST * ms[size]:
                break
            before, size = size, 2 * size
    wrong = _first_wrong(engine, photos[: choose(ms)], exact=exact)
    return {size: spent for size, spent in ms.items() if size < wrong}


def _race(sizes: Sequence[int], ms: dict[int, float], run: Callable[[int], float]) -> None:
    """Let sizes take turns; their best times are put into `ms`."""
    start, rounds = time.monotonic(), 0
    while rounds == 0 or (rounds < MOST_ROUNDS and time.monotonic() - start < BUDGET_S):
        for size in sizes:
            ms[size] = min(ms.get(size, math.inf), run(size))
        rounds += 1


def _first_wrong(engine: Engine, photos: Float32Array, *, exact: bool) -> float:
    """The smallest batch whose rows are not what the photos give alone; infinite if there is none.

    Batches in service have any size up to the limit, and a network may compute each differently.
    """
    alone = [engine.run(photos[row : row + 1]) for row in range(len(photos))]
    for size in range(2, len(photos) + 1):
        together = engine.run(photos[:size])
        for row in range(size):
            rows = Output(together.probs[row : row + 1], together.features[row : row + 1])
            if not _agree(alone[row], rows, exact=exact):
                return size
    return math.inf


def _agree(one: Output, other: Output, *, exact: bool) -> bool:
    if exact:
        return (
            one.probs.tobytes() == other.probs.tobytes()
            and one.features.tobytes() == other.features.tobytes()
        )
    off = np.linalg.norm(one.features - other.features)
    return bool(off <= ROUNDING * np.linalg.norm(one.features))


def _noise(count: int, shape: Sequence[int]) -> Float32Array:
    """Photos of noise in turn in the ranges of the recipes: about 1, and about 100."""
    noise = np.random.default_rng(0).uniform(-1, 1, (count, *shape)).astype(np.float32)
    noise[1::2] *= 100
    return noise
