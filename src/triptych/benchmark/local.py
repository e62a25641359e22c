"""What is measured in this process."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from triptych import images
from triptych.benchmark.report import Spread
from triptych.benchmark.report import Stage
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.results import Timing
from triptych.utils import concurrency

Asked = list[tuple[str, ...]]

# Inputs of so many photos are kept ready: enough that they are not all in the processor's cache.
MOST_READY = 8


def stages(
    classifier: Classifier, photos: Sequence[bytes], seconds: float
) -> tuple[list[Stage], Asked]:
    """Each stage by itself: one thread, so that none waits for or slows down another.

    Args:
        classifier: Its committee is asked.
        photos: Files.
        seconds: How long it measures; each photo is asked about in any case.

    Returns:
        The stages in their order, and for each photo the names of the members that were asked.
    """
    alone = Classifier(classifier.committee, coverage=classifier.coverage, threads=1)
    alone.warm_up()
    asked: Asked = [()] * len(photos)
    found: list[dict[str, float]] = []
    for number in _for_a_while(len(photos), seconds):
        start = time.perf_counter()
        timing = alone.classify(photos[number]).timing
        found.append(_parts(timing, (time.perf_counter() - start) * 1000))
        asked[number] = tuple(timing.members_ms)
    members = [member.name for member in classifier.committee.members]
    names = ["decode", "preprocess", *members, "combine"]
    return [stage for name in names if (stage := _stage(name, found))], asked


def _parts(timing: Timing, spent_ms: float) -> dict[str, float]:
    return {
        "decode": timing.decode_ms,
        "preprocess": timing.recipe_ms,
        **timing.members_ms,
        "combine": spent_ms - timing.total_ms,
    }


def _stage(name: str, found: Sequence[dict[str, float]]) -> Stage | None:
    times_ms = [parts[name] for parts in found if name in parts]
    return Stage(name, Spread.of(times_ms), len(times_ms) / len(found)) if times_ms else None


def stream(classifier: Classifier, photos: Sequence[bytes], seconds: float) -> float:
    """Photos a second of a stream of them."""
    start = time.perf_counter()
    named = (("photo", photos[number]) for number in _for_a_while(len(photos), seconds))
    count = sum(1 for _ in classifier.classify_many(named))
    return count / (time.perf_counter() - start)


def bare(committee: Committee, photos: Sequence[bytes], asked: Asked, seconds: float) -> float:
    """Photos a second of the networks alone, a photo a core, on inputs that are ready.

    Args:
        committee: Its engines are run.
        photos: Files.
        asked: For each photo, the names of the members that look at it.
        seconds: How long it measures.
    """
    look = _looks(committee, photos[:MOST_READY])
    stopping = threading.Event()

    def loop(first: int) -> float:
        look(first, asked[first])  # the first run in a thread is slow
        start, count = time.perf_counter(), 0
        for number in _for_a_while(len(photos), seconds, first):
            look(number, asked[number])
            count += 1
            if stopping.is_set():
                break
        return count / (time.perf_counter() - start)

    # Each begins elsewhere, so that they do not ask the same network all the time.
    count = concurrency.cpu_count()
    firsts = [core * len(photos) // count for core in range(count)]
    with ThreadPoolExecutor(count) as pool:
        try:
            return sum(pool.map(loop, firsts))
        finally:
            stopping.set()


def _looks(committee: Committee, photos: Sequence[bytes]) -> Callable[[int, Sequence[str]], None]:
    """What lets members look at a photo whose inputs are ready."""
    ready = [images.load(photo) for photo in photos]
    engines = {member.name: member.engine for member in committee.members}
    inputs = {
        member.name: [recipe.apply(member.recipe, pixels)[np.newaxis] for pixels in ready]
        for member in committee.members
    }

    def look(number: int, names: Sequence[str]) -> None:
        for name in names:
            engines[name].run(inputs[name][number % len(ready)])

    return look


def _for_a_while(photos: int, seconds: float, first: int = 0) -> Iterator[int]:
    """Positions of photos, round and round; all of them at least once."""
    end = time.perf_counter() + seconds
    for count in itertools.count():
        if count >= photos and time.perf_counter() >= end:
            return
        yield (first + count) % photos
