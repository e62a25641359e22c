"""Overload, and a long run with good, bad and huge uploads, while worker processes are killed.

The capacity of the server is measured with many clients that each send the next request when they
are answered: the same photos, encoded beforehand and sent over kept connections by the same program
on the same cores. That program's share of a core (`client_share`) is reported for both, and not
compensated: at four times the load it sends four times as much, which the server lacks.

All runs at f32, where a photo's answer has the same bits whatever else is running: each answer is
compared with the one that the photo got before the load. Meanwhile a worker process of the server
is killed now and then (SIGKILL); servers without worker processes lose none.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import common
from serving import measuring
from serving import servers
from serving import uploads
from serving.bench import Bench
from serving.measuring import Answers
from serving.servers import Running

TIMES_CAPACITY = 4
OVERLOAD_S = 60.0
REFUSED = 503
REFUSED_MS = 100.0
LOAD = 0.8
SAMPLE_S = 2.0
CLIENTS = 16  # at capacity
FLAT = 0.03  # of the memory itself, over the whole soak
FLAT_AFTER_MIN = 10.0  # a shorter soak sees the first large photos rather than a leak
# Of 100 uploads of the soak: one of each mistake, some large photos, the rest good.
LARGE = 4
UPLOADS = 100
PRECISION = "f32"
# Between two kills, at random between half and one and a half of it; the first is later.
KILL_EVERY_S = 20.0
# Photos that a kill may refuse: those that its process had been sent.
REFUSED_PER_KILL = 4


class Killer:
    """Kills worker processes of a server at random while a load runs.

    Args:
        up: The server; without worker processes nothing is killed.
    """

    def __init__(self, up: Running) -> None:
        self.killed = 0
        self._up = up
        self._rng = np.random.default_rng(uploads.SEED)
        self._next_s = time.monotonic() + KILL_EVERY_S
        self.is_possible = bool(up.workers())
        if not self.is_possible:
            print("Not killed: worker processes, as this server has none.")

    def kill(self) -> None:
        """Kill one, if it is time to."""
        if not self.is_possible or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + KILL_EVERY_S * self._rng.uniform(0.5, 1.5)
        if workers := self._up.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self._rng.choice(workers)), signal.SIGKILL)
                self.killed += 1


class Memory:
    """Samples of a server's memory while a load runs."""

    def __init__(self, up: Running) -> None:
        self.at_s: list[float] = []
        self.mb: list[float] = []
        self._up = up
        self._start = time.monotonic()

    def sample(self) -> None:
        """Take a sample, unless one was just taken."""
        now_s = time.monotonic() - self._start
        if not self.at_s or now_s - self.at_s[-1] >= SAMPLE_S:
            self.at_s.append(now_s)
            self.mb.append(self._up.rss_mb())

    def growth(self) -> float:
        """The rise of a line fitted after the first tenth, as a share of the median."""
        first = len(self.mb) // 10
        at_s, mb = np.array(self.at_s[first:]), np.array(self.mb[first:])
        slope = np.polyfit(at_s, mb, 1)[0]
        return float(slope * (at_s[-1] - at_s[0]) / np.median(mb))

    def plot(self, name: str, title: str) -> None:
        """Plot it, beside the figures."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(np.array(self.at_s) / 60, self.mb)
        axes.set(xlabel="minutes", ylabel="memory of the server, MB", title=title)
        axes.set_ylim(0, 1.1 * max(self.mb))
        common.RESULTS.mkdir(exist_ok=True)
        figure.savefig(common.RESULTS / f"{name}.png", dpi=120)


@dataclass(frozen=True)
class Watched:
    """A load, and what was watched meanwhile.

    Args:
        capacity: What many clients get before it.
        answers: Under the load.
        memory: Of the server.
        killed: How many of its worker processes were killed.
    """

    capacity: Answers
    answers: Answers
    memory: Memory
    killed: int

    def to_dict(self) -> dict[str, Any]:
        """The figures that are kept."""
        mb = self.memory.mb
        return {
            "capacity_per_s": self.capacity.photos_per_s,
            "client_share_at_capacity": round(self.capacity.client_share, 3),
            **self.answers.to_dict(),
            "memory_mb": [mb[0], max(mb), mb[-1]],
            "memory_growth": self.memory.growth(),
            "workers_killed": self.killed,
            "wrong": self.answers.wrong,
        }


def watch(
    bench_run: Bench,
    sent: list[uploads.Upload],
    *,
    seconds: float,
    times_capacity: float,
    order: Sequence[int] = (),
) -> Watched:
    """Load a server with a multiple of what it can answer, and kill worker processes meanwhile.

    Args:
        bench_run: The run.
        sent: What is posted.
        seconds: How long.
        times_capacity: The rate, as a multiple of the capacity, which is measured before.
        order: Positions of uploads; by default each in turn.
    """
    server, photos = servers.triptych("lite", PRECISION, bench_run.home), bench_run.photos
    with servers.running(server, photos[0]) as up:
        expected = measuring.record(up, sent, server.paths[0])
        measuring.warm_up(up, photos, server.paths)
        capacity = measuring.closed(
            up,
            photos,
            paths=server.paths,
            seconds=min(seconds, bench_run.seconds),
            clients=CLIENTS,
        )
        memory, killer = Memory(up), Killer(up)

        def sample_and_kill() -> None:
            memory.sample()
            killer.kill()

        answers = measuring.load(
            up,
            sent,
            paths=server.paths,
            seconds=seconds,
            rate=times_capacity * capacity.photos_per_s,
            order=order,
            expected=expected,
            watch=sample_and_kill,
        )
    return Watched(capacity, answers, memory, killer.killed)


def overload(bench_run: Bench) -> None:
    """Four times the capacity: the same throughput, and quick refusals."""
    seconds = min(OVERLOAD_S, 6 * bench_run.seconds)
    watched = watch(bench_run, bench_run.photos, seconds=seconds, times_capacity=TIMES_CAPACITY)
    answers, memory = watched.answers, watched.memory
    refused = answers.took_ms[answers.status == REFUSED]
    of_capacity = answers.photos_per_s / watched.capacity.photos_per_s
    figures: dict[str, Any] = {
        **watched.to_dict(),
        "of_capacity": of_capacity,
        "refused_ms": percentiles(refused),
        "sent_late_ms": percentiles(answers.late_ms),
    }
    memory.plot("serve-overload", "Four times the capacity")
    print_figures("overload", figures)
    bench_run.figures["overload"] = figures
    bench_run.claims.update(
        {
            f"overload: throughput within 10 % of capacity ({of_capacity:.0%})": abs(
                of_capacity - 1
            )
            <= 0.1,
            "overload: an answer or 503, nothing else": set(answers.statuses) <= {200, REFUSED},
            "overload: refused within 100 ms": 0 < figures["refused_ms"]["max"] <= REFUSED_MS,
            "overload: memory does not grow": memory.growth() <= FLAT,
            f"overload: no wrong answer, {watched.killed} workers killed": not answers.wrong,
        }
    )


def soak(bench_run: Bench) -> None:
    """Good, bad and huge uploads for a long time."""
    sent, order = mixture(bench_run)
    minutes = bench_run.soak_minutes
    watched = watch(bench_run, sent, seconds=60 * minutes, times_capacity=LOAD, order=order)
    answers, memory = watched.answers, watched.memory
    outcomes = Counter(
        (sent[number].kind, status)
        for number, status in zip(answers.upload.tolist(), answers.status.tolist(), strict=True)
    )
    figures = {
        "minutes": minutes,
        **watched.to_dict(),
        "outcomes": {f"{kind}: {status}": n for (kind, status), n in sorted(outcomes.items())},
    }
    memory.plot("serve-soak", "Good, bad and huge uploads at 80 % load")
    print_figures("soak", figures)
    bench_run.figures["soak"] = {**figures, "memory": {"at_s": memory.at_s, "mb": memory.mb}}
    is_good = np.array([upload.good for upload in sent])[answers.upload]
    good, bad = answers.status[is_good], answers.status[~is_good]
    refused = int((good == REFUSED).sum())
    if minutes >= FLAT_AFTER_MIN:
        bench_run.claims["soak: memory is flat"] = memory.growth() <= FLAT
    bench_run.claims.update(
        {
            f"soak: every good photo is answered, or refused as its worker was killed ({refused} "
            f"refused, {watched.killed} killed)": set(good.tolist()) <= {200, REFUSED}
            and refused <= REFUSED_PER_KILL * watched.killed,
            "soak: no wrong answer": not answers.wrong,
            "soak: every mistake is a client error": bool(((bad >= 400) & (bad < 500)).all()),
        }
    )


def mixture(bench_run: Bench) -> tuple[list[uploads.Upload], list[int]]:
    """The uploads and their order, always the same."""
    photos, scratch = bench_run.photos, bench_run.scratch
    large = uploads.two_sizes(photos[0], scratch)["12 MP"]
    odd = [*uploads.mistakes(photos[0], scratch), *[large] * LARGE]
    sent = [*odd, *(photos[n % len(photos)] for n in range(UPLOADS - len(odd)))]
    return sent, np.random.default_rng(uploads.SEED).permutation(UPLOADS).tolist()


def percentiles(ms: np.ndarray) -> dict[str, float]:
    """Median, 99th percentile and largest."""
    shares = {"p50": 50, "p99": 99, "max": 100}
    return {name: measuring.percentile(ms, share) for name, share in shares.items()}


def print_figures(name: str, figures: dict[str, Any]) -> None:
    """Print figures of all kinds, one per line."""
    print(f"\n{name}")
    for key, value in figures.items():
        print(f"  {key}: {value:.3f}" if isinstance(value, float) else f"  {key}: {value}")
