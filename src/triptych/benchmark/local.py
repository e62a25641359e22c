"""Measurements in this process: stages, a stream of photos, and the networks alone."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from triptych import images
from triptych.benchmark.report import Latency
from triptych.benchmark.report import StageLatency
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.utils import concurrency

# For each photo, the names of the members that ran on it; a cascade does not run all.
MembersRun = list[tuple[str, ...]]

# How many photos' inputs are kept in memory: more than fit into the processor's cache.
MAX_INPUTS = 8


def measure_stages(
    classifier: Classifier, photos: Sequence[bytes], seconds: float
) -> tuple[list[StageLatency], MembersRun]:
    """Measure each stage in one thread, so that none waits for or slows down another.

    Args:
        classifier: Whose committee is measured.
        photos: Files.
        seconds: How long it measures; each photo is classified at least once.

    Returns:
        The stages in their order, and for each photo the names of the members that ran.
    """
    alone = Classifier(classifier.committee, coverage=classifier.coverage, threads=1)
    alone.warm_up()
    members_run: MembersRun = [()] * len(photos)
    timings: list[dict[str, float]] = []
    for number in _indices(len(photos), seconds):
        start = time.perf_counter()
        timing = alone.classify(photos[number]).timing
        spent_ms = (time.perf_counter() - start) * 1000
        timings.append(
            {
                "decode": timing.decode_ms,
                "preprocess": timing.recipe_ms,
                **timing.members_ms,
                "combine": spent_ms - timing.total_ms,
            }
        )
        members_run[number] = tuple(timing.members_ms)
    members = [member.name for member in classifier.committee.members]
    stages = []
    for name in ("decode", "preprocess", *members, "combine"):
        if times_ms := [timing_ms[name] for timing_ms in timings if name in timing_ms]:
            stages.append(StageLatency(name, Latency.of(times_ms), len(times_ms) / len(timings)))
    return stages, members_run


def measure_stream(classifier: Classifier, photos: Sequence[bytes], seconds: float) -> float:
    """Photos a second of a stream of photos."""
    start = time.perf_counter()
    named = (("photo", photos[number]) for number in _indices(len(photos), seconds))
    count = sum(1 for _ in classifier.classify_many(named))
    return count / (time.perf_counter() - start)


def measure_networks(
    committee: Committee, photos: Sequence[bytes], members_run: MembersRun, seconds: float
) -> float:
    """Photos a second of the networks alone, one photo a core, on prepared inputs.

    Args:
        committee: Its engines are run.
        photos: Files.
        members_run: For each photo, the names of the members to run.
        seconds: How long it measures.
    """
    pictures = [images.load(photo) for photo in photos[:MAX_INPUTS]]
    engines = {member.name: member.engine for member in committee.members}
    inputs = {
        member.name: [recipe.apply(member.recipe, pixels)[np.newaxis] for pixels in pictures]
        for member in committee.members
    }
    stopping = threading.Event()

    def run(number: int) -> None:
        for name in members_run[number]:
            engines[name].run(inputs[name][number % len(pictures)])

    def loop(first: int) -> float:
        run(first)  # the first run in a thread is slow
        start, count = time.perf_counter(), 0
        for number in _indices(len(photos), seconds, first):
            run(number)
            count += 1
            if stopping.is_set():
                break
        return count / (time.perf_counter() - start)

    # Each thread starts at another photo, so that they do not all run the same network.
    count = concurrency.cpu_count()
    firsts = [core * len(photos) // count for core in range(count)]
    with ThreadPoolExecutor(count, "triptych-bench") as pool:
        try:
            return sum(pool.map(loop, firsts))
        finally:
            stopping.set()


def _indices(photos: int, seconds: float, first: int = 0) -> Iterator[int]:
    """Indices of photos, round and round until the time is up; each at least once."""
    end = time.perf_counter() + seconds
    for count in itertools.count():
        if count >= photos and time.perf_counter() >= end:
            return
        yield (first + count) % photos
