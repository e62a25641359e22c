"""The networks alone: compiled networks on prepared inputs, with no file, no HTTP and no verdict.

It is the most that a machine can do with these networks, so it is not measured in one way of
running them but in several, of which the best counts: one stream on all cores or several that share
them, photos one by one or in batches.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych import images
from triptych.engines import Engine
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.typing import Float32Array

BATCHES = (1, 2, 4, 8)

# For each photo, the names of the members that run on it; a cascade does not run all.
MembersRun = Sequence[Sequence[str]]
# Opens a committee whose networks have this number of streams, and do not gather batches.
OpenCommittee = Callable[[int], Committee]


@dataclass(frozen=True)
class NetworksRate:
    """Photos a second of the networks alone.

    Args:
        streams: How many batches were run at the same time.
        batch: Photos in a batch.
        per_s: Photos a second.
        cpu_ms: Processor time of a photo, over all cores.
    """

    streams: int
    batch: int
    per_s: float
    cpu_ms: float

    def __str__(self) -> str:
        streams = f"{self.streams} stream{'' if self.streams == 1 else 's'}"
        return f"{streams}, {self.batch} at a time"

    def to_dict(self) -> dict[str, Any]:
        """The rate as a JSON object."""
        rates = {"per_s": round(self.per_s, 3), "cpu_ms": round(self.cpu_ms, 3)}
        return {"streams": self.streams, "batch": self.batch, **rates}


@dataclass(frozen=True)
class NetworksReport:
    """What the networks reach alone.

    Args:
        best: The best way to run them, measured again after it was found: the highest of several
            short measurements is too high on a machine whose speed varies.
        tried: All ways, each measured for a short time.
    """

    best: NetworksRate
    tried: tuple[NetworksRate, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {**self.best.to_dict(), "tried": [rate.to_dict() for rate in self.tried]}


def measure(
    open_committee: OpenCommittee,
    photos: Sequence[bytes],
    members_run: MembersRun,
    *,
    cores: int,
    seconds: float,
) -> NetworksReport:
    """Find the best way to run the networks, and measure it.

    Args:
        open_committee: Opens the committee for a number of streams; only one is open at a time.
        photos: Files from which inputs are prepared, at least one.
        members_run: For each of any number of photos, the names of the members to run.
        cores: Processor cores that the networks may use.
        seconds: How long the best way is measured; trying all takes about as long again.
    """
    ways = len(stream_counts(cores)) * len(BATCHES)
    tried: list[NetworksRate] = []
    for streams in stream_counts(cores):
        runner = _Runner(open_committee(streams), photos, members_run)
        for batch in BATCHES:
            tried.append(runner.rate(streams, batch, seconds / ways))
    best = max(tried, key=lambda rate: rate.per_s)
    runner = _Runner(open_committee(best.streams), photos, members_run)
    again = runner.rate(best.streams, best.batch, seconds)
    return NetworksReport(again, tuple(tried))


def stream_counts(cores: int) -> list[int]:
    """The numbers of streams to try: powers of two, and one for each core.

    Example:
        >>> stream_counts(2), stream_counts(12)
        ([1, 2], [1, 2, 4, 8, 12])
    """
    return sorted({cores, *(2**power for power in range(cores.bit_length()))} - {0})


def group_runs(members_run: MembersRun, batch: int) -> list[Counter[str]]:
    """For each batch of photos, on how many of them each member runs.

    Args:
        members_run: For each photo, the names of its members; repeated until batches are full.
        batch: Photos in a batch.

    Example:
        >>> [dict(runs) for runs in group_runs([["A"], ["A", "B"]], 2)]
        [{'A': 2, 'B': 1}, {'A': 2, 'B': 1}]
    """
    repeated = list(itertools.islice(itertools.cycle(members_run), batch * len(members_run)))
    return [
        Counter(itertools.chain.from_iterable(repeated[start : start + batch]))
        for start in range(0, len(repeated), batch)
    ]


class _Runner:
    """The engines of a committee, and one batch of inputs for each."""

    def __init__(
        self, committee: Committee, photos: Sequence[bytes], members_run: MembersRun
    ) -> None:
        pictures = [images.load(photo) for photo in photos[: max(BATCHES)]]
        repeated = list(itertools.islice(itertools.cycle(pictures), max(BATCHES)))
        self._engines: Mapping[str, Engine] = {m.name: m.engine for m in committee.members}
        self._inputs: Mapping[str, Float32Array] = {
            member.name: np.stack([recipe.apply(member.recipe, pixels) for pixels in repeated])
            for member in committee.members
        }
        self._members_run = members_run

    def rate(self, streams: int, batch: int, seconds: float) -> NetworksRate:
        """What as many threads reach as there are streams."""
        groups = group_runs(self._members_run, batch)
        ending = threading.Event()

        def run_thread(number: int) -> tuple[int, float]:
            # Each starts at another photo, so that they do not all run the same network.
            first = number * len(groups) // streams
            self._run(groups[first])  # the first run in a thread is slow
            start, count = time.perf_counter(), 0
            for group in itertools.cycle(groups[first:] + groups[:first]):
                self._run(group)
                count += batch
                if ending.is_set() or time.perf_counter() >= start + seconds:
                    break
            return count, count / (time.perf_counter() - start)

        cpu_s = time.process_time()
        with ThreadPoolExecutor(streams, "triptych-bench") as pool:
            try:
                counts, rates = zip(*pool.map(run_thread, range(streams)), strict=True)
            finally:
                ending.set()
        cpu_ms = 1000 * (time.process_time() - cpu_s) / (sum(counts) + batch * streams)
        return NetworksRate(streams, batch, sum(rates), cpu_ms)

    def _run(self, group: Counter[str]) -> None:
        for name, count in group.items():
            self._engines[name].run(self._inputs[name][:count])
