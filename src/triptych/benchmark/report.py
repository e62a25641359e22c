"""What was measured, and its one JSON form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np

from triptych.benchmark.load_generator import Record
from triptych.benchmark.samples import Sample


@dataclass(frozen=True)
class Spread:
    """How long something took, in milliseconds: the median, and what 95 and 99 of 100 stay below.

    Example:
        >>> Spread.of([1.0, 2.0, 3.0]).p50
        2.0
    """

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Spread:
        """Of at least one time."""
        return cls(*(float(np.percentile(times_ms, share)) for share in (50, 95, 99)))

    def to_dict(self) -> dict[str, float]:
        """The spread as a JSON object."""
        return {f"{name}_ms": round(ms, 3) for name, ms in vars(self).items()}


@dataclass(frozen=True)
class Stage:
    """One step on a photo's way.

    Args:
        name: ``"decode"``, ``"preprocess"``, a member, or ``"combine"``.
        spread: Of the photos that got there.
        share: Of the photos, how many got there; a cascade does not ask all members.
    """

    name: str
    spread: Spread
    share: float

    def to_dict(self) -> dict[str, Any]:
        """The stage as a JSON object."""
        return {"name": self.name, "share": round(self.share, 4), **self.spread.to_dict()}


@dataclass(frozen=True)
class Load:
    """What a server did for some clients.

    Args:
        clients: How many asked at once.
        per_s: Answers a second.
        spread: How long they took; ``None`` if there was none.
        statuses: How many requests ended with each HTTP status; 0 where no answer came.
    """

    clients: int
    per_s: float
    spread: Spread | None
    statuses: dict[int, int]

    @classmethod
    def of(cls, clients: int, records: Sequence[Record]) -> Load:
        """Of at least one request."""
        good = [record.ms for record in records if record.status == 200]
        spent_s = max(record.done_s for record in records)
        statuses = Counter(record.status for record in records)
        return cls(clients, len(good) / spent_s, Spread.of(good) if good else None, dict(statuses))

    def to_dict(self) -> dict[str, Any]:
        """The load as a JSON object."""
        return {
            "clients": self.clients,
            "per_s": round(self.per_s, 2),
            **(self.spread.to_dict() if self.spread else {}),
            "statuses": {str(status): count for status, count in self.statuses.items()},
        }


@dataclass
class Measured:
    """What is known so far about photos of one kind; empty or ``None`` is not yet.

    Args:
        sample: The photos.
        stages: One photo at a time, all in one thread, stage after stage.
        bare_per_s: Photos a second of the networks alone, on inputs that are ready.
        stream_per_s: Of a stream of photos in this process.
        alone: A photo in this process when there is no other; its networks may run beside each
            other.
        http: What a request takes beyond that.
        loads: Of the server.
    """

    sample: Sample
    stages: list[Stage] = field(default_factory=list)
    bare_per_s: float | None = None
    stream_per_s: float | None = None
    alone: Spread | None = None
    http: Spread | None = None
    loads: list[Load] = field(default_factory=list)

    def of_bare(self, per_s: float) -> float | None:
        """A rate as a share of the networks' own."""
        return per_s / self.bare_per_s if self.bare_per_s else None

    def to_dict(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        return {
            "sample": {
                "name": self.sample.name,
                "photos": len(self.sample.photos),
                "drawn": self.sample.is_drawn,
                "megapixels": round(self.sample.megapixels, 2),
                "kilobytes": round(self.sample.kilobytes, 1),
            },
            "stages": [stage.to_dict() for stage in self.stages],
            "alone": self.alone.to_dict() if self.alone else None,
            "http_beyond": self.http.to_dict() if self.http else None,
            "bare_per_s": _rounded(self.bare_per_s),
            "stream_per_s": _rounded(self.stream_per_s),
            "loads": [
                {**load.to_dict(), "of_bare": _rounded(self.of_bare(load.per_s))}
                for load in self.loads
            ],
        }


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)
