"""The bare loop: the same compiled networks, prepared inputs, no HTTP, no photos.

    python bare.py JOB.json OUT.json

The most that the machine can do with these networks: one stream on all cores or a stream per core,
one image at a time or eight. Servers are compared with the best of these.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from triptych.engines import Engine
from triptych.engines.options import EngineOptions
from triptych.inference import committee
from triptych.inference.committee import Member
from triptych.utils import concurrency

BATCHES = (1, 8)
SEED = 0

Inputs = list[np.ndarray]


def main() -> None:
    """Do a job: images a second by number of streams and batch size."""
    job = json.loads(Path(sys.argv[1]).read_text())
    rates = {}
    for count in sorted({1, concurrency.cpu_count()}):
        members = load_members(job, count)
        for batch in BATCHES:
            rates[f"{count} streams, {batch} at a time"] = rate(
                [member.engine for member in members],
                random_inputs(members, batch),
                group_calls(job["calls"], batch),
                threads=count,
                seconds=job["seconds"],
            )
    Path(sys.argv[2]).write_text(json.dumps(rates))


def load_members(job: dict[str, Any], count: int) -> tuple[Member, ...]:
    """The members as our server builds them, except for the number of streams."""
    options = EngineOptions(
        Path(job["home"]), job["precision"], streams=count, random_weights=job["random"]
    )
    return committee.from_zoo(job["committee"], options).members


def random_inputs(members: tuple[Member, ...], batch: int) -> Inputs:
    """One batch per network."""
    rng = np.random.default_rng(SEED)
    shapes = [(batch, *member.recipe.size, 3) for member in members]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def group_calls(calls: list[list[int]], batch: int) -> list[Counter[int]]:
    """For each batch of images, on how many of them each network runs, by its position.

    Args:
        calls: For each image, the positions of the networks that run on it.
        batch: Images in a batch.
    """
    whole = list(itertools.islice(itertools.cycle(calls), batch * len(calls)))
    return [
        Counter(itertools.chain.from_iterable(whole[start : start + batch]))
        for start in range(0, len(whole), batch)
    ]


def rate(
    engines: list[Engine],
    inputs: Inputs,
    groups: list[Counter[int]],
    *,
    threads: int,
    seconds: float,
) -> float:
    """Images a second of as many threads as there are streams."""

    def run_thread(number: int) -> float:
        # Threads start at different groups, so that they do not run the same network all the time.
        shift = number * len(groups) // threads
        shifted = groups[shift:] + groups[:shift]
        loop(engines, inputs, shifted[:1], seconds=0)  # the first run is slow in each thread
        return loop(engines, inputs, shifted, seconds=seconds)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(run_thread, range(threads)))


def loop(
    engines: list[Engine], inputs: Inputs, groups: list[Counter[int]], *, seconds: float
) -> float:
    """Images a second of one thread."""
    start, done = time.perf_counter(), 0
    for group in itertools.cycle(groups):
        for number, count in sorted(group.items()):
            engines[number].run(inputs[number][:count])
        done += len(inputs[0])
        spent_s = time.perf_counter() - start
        if spent_s >= seconds:
            return done / spent_s
    return 0.0


if __name__ == "__main__":
    main()
