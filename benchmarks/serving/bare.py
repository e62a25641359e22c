"""The bare loop: the same compiled networks, prepared inputs, no HTTP, no photos.

    python bare.py JOB.json OUT.json

What the machine can do at all with these networks: one stream on all cores or a stream a core,
one image at a time or eight. The best of these is what a server is compared with.
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
    """Do a job: images a second by way."""
    job = json.loads(Path(sys.argv[1]).read_text())
    found = {}
    for count in sorted({1, concurrency.cpu_count()}):
        members = seated(job, count)
        for batch in BATCHES:
            found[f"{count} streams, {batch} at a time"] = rate(
                [member.engine for member in members],
                prepared(members, batch),
                groups(job["calls"], batch),
                threads=count,
                seconds=job["seconds"],
            )
    Path(sys.argv[2]).write_text(json.dumps(found))


def seated(job: dict[str, Any], count: int) -> tuple[Member, ...]:
    """The members as our server builds them, but for the streams."""
    options = EngineOptions(
        Path(job["home"]), job["precision"], streams=count, random_weights=job["random"]
    )
    return committee.from_zoo(job["committee"], options).members


def prepared(members: tuple[Member, ...], batch: int) -> Inputs:
    """One batch a network."""
    numbers = np.random.default_rng(SEED)
    shapes = [(batch, *member.recipe.size, 3) for member in members]
    return [numbers.normal(size=shape).astype(np.float32) for shape in shapes]


def groups(calls: list[list[int]], batch: int) -> list[Counter[int]]:
    """Images in batches: how many of each batch a network is asked about, by its position.

    Args:
        calls: For each image, the positions of the networks that are asked about it.
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
    asked: list[Counter[int]],
    *,
    threads: int,
    seconds: float,
) -> float:
    """Images a second of as many threads as there are streams."""

    def one(number: int) -> float:
        # Each begins elsewhere, so that they do not ask for the same network all the time.
        shift = number * len(asked) // threads
        own = asked[shift:] + asked[:shift]
        loop(engines, inputs, own[:1], seconds=0)  # the first run is slow in each thread
        return loop(engines, inputs, own, seconds=seconds)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads)))


def loop(
    engines: list[Engine], inputs: Inputs, asked: list[Counter[int]], *, seconds: float
) -> float:
    """Images a second of one thread."""
    start, done = time.perf_counter(), 0
    for group in itertools.cycle(asked):
        for number, count in sorted(group.items()):
            engines[number].run(inputs[number][:count])
        done += len(inputs[0])
        spent_s = time.perf_counter() - start
        if spent_s >= seconds:
            return done / spent_s
    return 0.0


if __name__ == "__main__":
    main()
