"""The results of measurements, and their one JSON form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np

from triptych.benchmark.load_generator import RequestRecord
from triptych.benchmark.networks import NetworksReport
from triptych.benchmark.samples import Sample


@dataclass(frozen=True)
class Latency:
    """Percentiles of latencies in milliseconds.

    Example:
        >>> Latency.of([1.0, 2.0, 3.0]).p50
        2.0
    """

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Latency:
        """The percentiles of at least one latency."""
        return cls(*(float(np.percentile(times_ms, share)) for share in (50, 95, 99)))

    def to_dict(self) -> dict[str, float]:
        """The percentiles as a JSON object."""
        return {f"{name}_ms": round(ms, 3) for name, ms in vars(self).items()}


@dataclass(frozen=True)
class StageLatency:
    """One step of classifying a photo.

    Args:
        name: ``"decode"``, ``"preprocess"``, a member, or ``"combine"``.
        latency: Of the photos that reached it.
        share: The share of photos that reached it; a cascade does not run all members.
    """

    name: str
    latency: Latency
    share: float

    def to_dict(self) -> dict[str, Any]:
        """The stage as a JSON object."""
        return {"name": self.name, "share": round(self.share, 4), **self.latency.to_dict()}


@dataclass(frozen=True)
class LoadReport:
    """How a server answered a number of clients.

    Args:
        clients: How many sent requests at once.
        per_s: Good responses a second.
        latency: Of good responses; ``None`` if there was none.
        statuses: How many requests ended with each HTTP status; 0 where no response came.
    """

    clients: int
    per_s: float
    latency: Latency | None
    statuses: dict[int, int]

    @classmethod
    def of(cls, clients: int, records: Sequence[RequestRecord]) -> LoadReport:
        """The summary of at least one request."""
        good = [record.ms for record in records if record.status == 200]
        spent_s = max(record.done_s for record in records)
        statuses = Counter(record.status for record in records)
        return cls(clients, len(good) / spent_s, Latency.of(good) if good else None, dict(statuses))

    def to_dict(self) -> dict[str, Any]:
        """The load as a JSON object."""
        return {
            "clients": self.clients,
            "per_s": round(self.per_s, 2),
            **(self.latency.to_dict() if self.latency else {}),
            "statuses": {str(status): count for status, count in self.statuses.items()},
        }


@dataclass
class SampleReport:
    """What was measured so far with photos of one kind; empty or ``None`` where it was not yet.

    Args:
        sample: The photos.
        stages: One photo at a time, all in one thread, stage after stage.
        networks: The networks alone, on prepared inputs, run in the best way that was found.
        stream_per_s: Of a stream of photos in this process.
        alone: One photo at a time in this process; its networks may run in parallel.
        http: What a request over HTTP takes beyond that.
        loads: The server under load, by number of clients.
    """

    sample: Sample
    stages: list[StageLatency] = field(default_factory=list)
    networks: NetworksReport | None = None
    stream_per_s: float | None = None
    alone: Latency | None = None
    http: Latency | None = None
    loads: list[LoadReport] = field(default_factory=list)

    def of_bare(self, per_s: float) -> float | None:
        """A rate as a share of what the networks reach alone."""
        return per_s / self.networks.best.per_s if self.networks else None

    def to_dict(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        return {
            "sample": {
                "name": self.sample.name,
                "photos": len(self.sample.photos),
                "drawn": self.sample.is_synthetic,
                "megapixels": round(self.sample.megapixels, 2),
                "kilobytes": round(self.sample.kilobytes, 1),
            },
            "stages": [stage.to_dict() for stage in self.stages],
            "alone": self.alone.to_dict() if self.alone else None,
            "http_beyond": self.http.to_dict() if self.http else None,
            "bare_per_s": _rounded(self.networks.best.per_s if self.networks else None),
            "bare": self.networks.to_dict() if self.networks else None,
            "stream_per_s": _rounded(self.stream_per_s),
            "loads": [
                {**load.to_dict(), "of_bare": _rounded(self.of_bare(load.per_s))}
                for load in self.loads
            ],
        }


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)
