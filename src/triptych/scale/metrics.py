"""The server's metrics, exported by Ray: each node's agent has those of all its replicas.

Ray prefixes each name with ``ray_`` and labels each value with its deployment and replica.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from ray.serve import metrics as ray_metrics

from triptych.web.metric_backends import PREFIX
from triptych.web.metric_backends import Levels
from triptych.web.metric_backends import Meter
from triptych.web.metrics import NETWORK_S


class RayMetrics:
    """Instruments whose meters Ray tells; see `triptych.web.metric_backends.Instruments`.

    What has a name is made once: a studio that takes the place of another one counts on.

    Example:
        >>> count = RayMetrics().counter("photos", "Photos seen.", "model")
        >>> count(3, "lite")
    """

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}
        self._watched: dict[str, Callable[[], None]] = {}
        self._told: dict[str, set[tuple[str, ...]]] = defaultdict(set)

    def counter(self, name: str, help: str, *labels: str) -> Meter:
        """What only grows."""
        made = ray_metrics.Counter(PREFIX + name, help, _keys(labels))

        def add(value: float, *own: str) -> None:
            if value:  # Ray refuses to add nothing
                made.inc(value, _tags(labels, own))

        return self._meters.setdefault(name, add)

    def gauge(self, name: str, help: str, *labels: str) -> Meter:
        """What grows and shrinks; Ray only knows levels, so they are kept here."""
        made = ray_metrics.Gauge(PREFIX + name, help, _keys(labels))
        levels: dict[tuple[str, ...], float] = defaultdict(float)
        lock = threading.Lock()

        def add(value: float, *own: str) -> None:
            with lock:
                levels[own] += value
                made.set(levels[own], _tags(labels, own))

        return self._meters.setdefault(name, add)

    def histogram(self, name: str, help: str, buckets: Iterable[float], *labels: str) -> Meter:
        """How values are spread over buckets."""
        made = ray_metrics.Histogram(PREFIX + name, help, list(buckets), _keys(labels))

        def observe(value: float, *own: str) -> None:
            made.observe(value, _tags(labels, own))

        return self._meters.setdefault(name, observe)

    def watch(self, name: str, help: str, read: Callable[[], Levels], *labels: str) -> None:
        """What is looked up by `look`: nobody asks a replica when Ray tells of it."""
        made = ray_metrics.Gauge(PREFIX + name, help, _keys(labels))

        def tell() -> None:
            levels = read()
            # What is gone would stand as it was.
            for own in self._told[name] | set(levels):
                made.set(float(levels.get(own, 0)), _tags(labels, own))
            self._told[name] |= set(levels)

        self._watched[name] = tell

    def look(self) -> None:
        """Look up what is watched; to be called every few seconds."""
        for tell in list(self._watched.values()):
            tell()


def _keys(labels: Sequence[str]) -> Any:
    """What Ray takes; by its annotations it would be one label only."""
    return tuple(labels)


def _tags(labels: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    return dict(zip(labels, own, strict=True))


class EngineMetrics:
    """What a replica of one member knows: how long its network alone takes.

    Args:
        member: Its name.
    """

    def __init__(self, member: str) -> None:
        make = RayMetrics()
        self._member = member
        self._images = make.counter("engine_images", "Images a network looked at.", "model")
        self._spent = make.histogram(
            "engine_duration_seconds", "A network looks at a batch.", NETWORK_S, "model"
        )

    def ran(self, images: int, spent_s: float) -> None:
        """Note that the network has looked at so many images in so many seconds."""
        self._images(images, self._member)
        self._spent(spent_s, self._member)
