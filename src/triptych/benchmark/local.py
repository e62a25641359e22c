"""Measurements in this process: stages, and a stream of photos."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from collections.abc import Sequence

from triptych.benchmark.networks import MembersRun
from triptych.benchmark.report import Latency
from triptych.benchmark.report import StageLatency
from triptych.inference.classifier import Classifier


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
    members_run: list[tuple[str, ...]] = [()] * len(photos)
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


def _indices(photos: int, seconds: float) -> Iterator[int]:
    """Indices of photos, round and round until the time is up; each at least once."""
    end = time.perf_counter() + seconds
    for count in itertools.count():
        if count >= photos and time.perf_counter() >= end:
            return
        yield count % photos
