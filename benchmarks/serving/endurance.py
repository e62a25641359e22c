"""More than it can do, and all that people send: overload, and the soak.

What a server can do is measured with many clients that each ask anew once they are answered: the
same photos, encoded beforehand and sent over kept connections by the same program on the same
cores. What that program takes of a core (`client_share`) is told for both and not made good:
at four times the load it sends four times as much, which the server has less.
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
OF = 100


class Memory:
    """The memory of a server, noted now and then while a load runs."""

    def __init__(self, up: Running) -> None:
        self.at_s: list[float] = []
        self.mb: list[float] = []
        self._up = up
        self._start = time.monotonic()

    def note(self) -> None:
        """Note it, unless that was just done."""
        now_s = time.monotonic() - self._start
        if not self.at_s or now_s - self.at_s[-1] >= SAMPLE_S:
            self.at_s.append(now_s)
            self.mb.append(self._up.rss_mb())

    def growth(self) -> float:
        """Of a line through it after the first tenth: how much it rises, as a share."""
        first = len(self.mb) // 10
        at_s, mb = np.array(self.at_s[first:]), np.array(self.mb[first:])
        slope = np.polyfit(at_s, mb, 1)[0]
        return float(slope * (at_s[-1] - at_s[0]) / np.median(mb))

    def plot(self, name: str, title: str) -> None:
        """A picture of it, beside the figures."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(np.array(self.at_s) / 60, self.mb)
        axes.set(xlabel="minutes", ylabel="memory of the server, MB", title=title)
        axes.set_ylim(0, 1.1 * max(self.mb))
        common.RESULTS.mkdir(exist_ok=True)
        figure.savefig(common.RESULTS / f"{name}.png", dpi=120)


def overload(of: Bench) -> None:
    """Four times what it can do: as much work as before, and quick refusals."""
    server = servers.triptych("lite", "auto", of.home)
    with servers.running(server, of.photos[0]) as up:
        best = at_capacity(of, server, up, seconds=OVERLOAD_S)
        memory = Memory(up)
        found = measuring.load(
            up.port,
            of.photos,
            paths=server.paths,
            seconds=OVERLOAD_S,
            rate=TIMES_CAPACITY * best.photos_per_s,
            watch=memory.note,
        )
    refused = found.took_ms[found.status == REFUSED]
    figures: dict[str, Any] = {
        "capacity_per_s": best.photos_per_s,
        "client_share_at_capacity": round(best.client_share, 3),
        **found.to_dict(),
        "of_capacity": found.photos_per_s / best.photos_per_s,
        "refused_ms": percentiles(refused),
        "sent_late_ms": percentiles(found.late_ms),
        "memory_mb": [memory.mb[0], max(memory.mb), memory.mb[-1]],
        "memory_growth": memory.growth(),
    }
    memory.plot("serve-overload", "Four times the capacity")
    tell("overload", figures)
    of.figures["overload"] = figures
    of.claims.update(
        {
            "overload: throughput within 10 % of capacity": abs(figures["of_capacity"] - 1) <= 0.1,
            "overload: an answer or 503, nothing else": set(found.statuses) <= {200, REFUSED},
            "overload: refused within 100 ms": 0 < figures["refused_ms"]["max"] <= REFUSED_MS,
            "overload: memory does not grow": memory.growth() <= FLAT,
        }
    )


def soak(of: Bench) -> None:
    """Good, bad and huge uploads for a long time."""
    server = servers.triptych("lite", "auto", of.home)
    sent, order = mixture(of)
    with servers.running(server, of.photos[0]) as up:
        can = at_capacity(of, server, up, seconds=of.seconds).photos_per_s
        memory = Memory(up)
        found = measuring.load(
            up.port,
            sent,
            paths=server.paths,
            seconds=60 * of.soak_minutes,
            rate=LOAD * can,
            order=order,
            watch=memory.note,
        )
    outcomes = Counter(
        (sent[number].kind, status)
        for number, status in zip(found.upload.tolist(), found.status.tolist(), strict=True)
    )
    figures = {
        "capacity_per_s": can,
        "minutes": of.soak_minutes,
        **found.to_dict(),
        "outcomes": {f"{kind}: {status}": n for (kind, status), n in sorted(outcomes.items())},
        "memory_mb": [memory.mb[0], max(memory.mb), memory.mb[-1]],
        "memory_growth": memory.growth(),
    }
    memory.plot("serve-soak", "Good, bad and huge uploads at 80 % load")
    tell("soak", figures)
    of.figures["soak"] = {**figures, "memory": {"at_s": memory.at_s, "mb": memory.mb}}
    good = np.array([upload.good for upload in sent])[found.upload]
    clients_own = (found.status[~good] >= 400) & (found.status[~good] < 500)
    of.claims.update(
        {
            "soak: every good photo is answered": bool((found.status[good] == 200).all()),
            "soak: every mistake is told as the client's": bool(clients_own.all()),
            "soak: memory is flat": memory.growth() <= FLAT,
        }
    )


def mixture(of: Bench) -> tuple[list[uploads.Upload], list[int]]:
    """What is sent, and in which order, always the same."""
    large = uploads.two_sizes(of.photos[0], of.scratch)["12 MP"]
    odd = [*uploads.mistakes(of.photos[0], of.scratch), *[large] * LARGE]
    sent = [*odd, *(of.photos[n % len(of.photos)] for n in range(OF - len(odd)))]
    return sent, np.random.default_rng(uploads.SEED).permutation(OF).tolist()


def at_capacity(of: Bench, server: Server, up: Running, *, seconds: float) -> Answers:
    """What it does for many clients."""
    return measuring.closed(
        up.port, of.photos, paths=server.paths, seconds=seconds, clients=max(bench.CLIENTS)
    )


def percentiles(ms: np.ndarray) -> dict[str, float]:
    """Median, the slowest of a hundred, the slowest."""
    shares = {"p50": 50, "p99": 99, "max": 100}
    return {name: measuring.percentile(ms, share) for name, share in shares.items()}


def tell(name: str, figures: dict[str, Any]) -> None:
    """Print figures of all kinds, one a line."""
    print(f"\n{name}")
    for key, value in figures.items():
        print(f"  {key}: {value:.3f}" if isinstance(value, float) else f"  {key}: {value}")
