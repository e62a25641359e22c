"""Overload, and a long run with good, bad and huge uploads.

The capacity of the server is measured with many clients that each send the next request when they
are answered: the same photos, encoded beforehand and sent over kept connections by the same program
on the same cores. That program's share of a core (`client_share`) is reported for both, and not
compensated: at four times the load it sends four times as much, which the server lacks.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np

import common
from serving import bench
from serving import measuring
from serving import servers
from serving import uploads
from serving.bench import Bench
from serving.measuring import Answers
from serving.servers import Running
from serving.servers import Server

TIMES_CAPACITY = 4
OVERLOAD_S = 60.0
REFUSED = 503
REFUSED_MS = 100.0
LOAD = 0.8
SAMPLE_S = 2.0
FLAT = 0.03  # of the memory itself, over the whole soak
# Of 100 uploads of the soak: one of each mistake, some large photos, the rest good.
LARGE = 4
UPLOADS = 100


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


def overload(bench_run: Bench) -> None:
    """Four times the capacity: the same throughput, and quick refusals."""
    server = servers.triptych("lite", "auto", bench_run.home)
    with servers.running(server, bench_run.photos[0]) as up:
        best = at_capacity(bench_run, server, up, seconds=OVERLOAD_S)
        memory = Memory(up)
        answers = measuring.load(
            up.port,
            bench_run.photos,
            paths=server.paths,
            seconds=OVERLOAD_S,
            rate=TIMES_CAPACITY * best.photos_per_s,
            watch=memory.sample,
        )
    refused = answers.took_ms[answers.status == REFUSED]
    figures: dict[str, Any] = {
        "capacity_per_s": best.photos_per_s,
        "client_share_at_capacity": round(best.client_share, 3),
        **answers.to_dict(),
        "of_capacity": answers.photos_per_s / best.photos_per_s,
        "refused_ms": percentiles(refused),
        "sent_late_ms": percentiles(answers.late_ms),
        "memory_mb": [memory.mb[0], max(memory.mb), memory.mb[-1]],
        "memory_growth": memory.growth(),
    }
    memory.plot("serve-overload", "Four times the capacity")
    print_figures("overload", figures)
    bench_run.figures["overload"] = figures
    bench_run.claims.update(
        {
            "overload: throughput within 10 % of capacity": abs(figures["of_capacity"] - 1) <= 0.1,
            "overload: an answer or 503, nothing else": set(answers.statuses) <= {200, REFUSED},
            "overload: refused within 100 ms": 0 < figures["refused_ms"]["max"] <= REFUSED_MS,
            "overload: memory does not grow": memory.growth() <= FLAT,
        }
    )


def soak(bench_run: Bench) -> None:
    """Good, bad and huge uploads for a long time."""
    server = servers.triptych("lite", "auto", bench_run.home)
    sent, order = mixture(bench_run)
    with servers.running(server, bench_run.photos[0]) as up:
        capacity = at_capacity(bench_run, server, up, seconds=bench_run.seconds).photos_per_s
        memory = Memory(up)
        answers = measuring.load(
            up.port,
            sent,
            paths=server.paths,
            seconds=60 * bench_run.soak_minutes,
            rate=LOAD * capacity,
            order=order,
            watch=memory.sample,
        )
    outcomes = Counter(
        (sent[number].kind, status)
        for number, status in zip(answers.upload.tolist(), answers.status.tolist(), strict=True)
    )
    figures = {
        "capacity_per_s": capacity,
        "minutes": bench_run.soak_minutes,
        **answers.to_dict(),
        "outcomes": {f"{kind}: {status}": n for (kind, status), n in sorted(outcomes.items())},
        "memory_mb": [memory.mb[0], max(memory.mb), memory.mb[-1]],
        "memory_growth": memory.growth(),
    }
    memory.plot("serve-soak", "Good, bad and huge uploads at 80 % load")
    print_figures("soak", figures)
    bench_run.figures["soak"] = {**figures, "memory": {"at_s": memory.at_s, "mb": memory.mb}}
    good = np.array([upload.good for upload in sent])[answers.upload]
    client_errors = (answers.status[~good] >= 400) & (answers.status[~good] < 500)
    bench_run.claims.update(
        {
            "soak: every good photo is answered": bool((answers.status[good] == 200).all()),
            "soak: every mistake is a client error": bool(client_errors.all()),
            "soak: memory is flat": memory.growth() <= FLAT,
        }
    )


def mixture(bench_run: Bench) -> tuple[list[uploads.Upload], list[int]]:
    """The uploads and their order, always the same."""
    photos, scratch = bench_run.photos, bench_run.scratch
    large = uploads.two_sizes(photos[0], scratch)["12 MP"]
    odd = [*uploads.mistakes(photos[0], scratch), *[large] * LARGE]
    sent = [*odd, *(photos[n % len(photos)] for n in range(UPLOADS - len(odd)))]
    return sent, np.random.default_rng(uploads.SEED).permutation(UPLOADS).tolist()


def at_capacity(bench_run: Bench, server: Server, up: Running, *, seconds: float) -> Answers:
    """The answers to many clients."""
    return measuring.closed(
        up.port, bench_run.photos, paths=server.paths, seconds=seconds, clients=max(bench.CLIENTS)
    )


def percentiles(ms: np.ndarray) -> dict[str, float]:
    """Median, 99th percentile and largest."""
    shares = {"p50": 50, "p99": 99, "max": 100}
    return {name: measuring.percentile(ms, share) for name, share in shares.items()}


def print_figures(name: str, figures: dict[str, Any]) -> None:
    """Print figures of all kinds, one per line."""
    print(f"\n{name}")
    for key, value in figures.items():
        print(f"  {key}: {value:.3f}" if isinstance(value, float) else f"  {key}: {value}")
