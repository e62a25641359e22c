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
from triptych.web.metric_backends import Metric
from triptych.web.metrics import NETWORK_S


class RayMetrics:
    """Metrics that Ray exports; see `triptych.web.metric_backends.Instruments`.

    Metrics of one name are created once: an application that replaces another goes on counting.

    Example:
        >>> count = RayMetrics().counter("photos", "Photos seen.", "model")
        >>> count(3, "lite")
    """

    def __init__(self) -> None:
        self._meters: dict[str, Metric] = {}
        self._watched: dict[str, Callable[[], None]] = {}
        self._exported: dict[str, set[tuple[str, ...]]] = defaultdict(set)

    def counter(self, name: str, help: str, *labels: str) -> Metric:
        """A value that only grows."""
        metric = ray_metrics.Counter(PREFIX + name, help, _keys(labels))

        def add(value: float, *label_values: str) -> None:
            if value:  # Ray rejects an increment of 0
                metric.inc(value, _tags(labels, label_values))

        return self._meters.setdefault(name, add)

    def gauge(self, name: str, help: str, *labels: str) -> Metric:
        """A value that grows and shrinks. Ray's gauges can only be set, so the sum is kept here."""
        metric = ray_metrics.Gauge(PREFIX + name, help, _keys(labels))
        levels: dict[tuple[str, ...], float] = defaultdict(float)
        lock = threading.Lock()

        def add(value: float, *label_values: str) -> None:
            with lock:
                levels[label_values] += value
                metric.set(levels[label_values], _tags(labels, label_values))

        return self._meters.setdefault(name, add)

    def histogram(self, name: str, help: str, buckets: Iterable[float], *labels: str) -> Metric:
        """The distribution of values over buckets."""
        metric = ray_metrics.Histogram(PREFIX + name, help, list(buckets), _keys(labels))

        def observe(value: float, *label_values: str) -> None:
            metric.observe(value, _tags(labels, label_values))

        return self._meters.setdefault(name, observe)

    def watch(self, name: str, help: str, read: Callable[[], Levels], *labels: str) -> None:
        """A gauge that `refresh` sets: Ray does not call back when it exports."""
        metric = ray_metrics.Gauge(PREFIX + name, help, _keys(labels))

        def update() -> None:
            levels = read()
            # Values that have disappeared would otherwise be exported as they were.
            for label_values in self._exported[name] | set(levels):
                level = float(levels.get(label_values, 0))
                metric.set(level, _tags(labels, label_values))
            self._exported[name] |= set(levels)

        self._watched[name] = update

    def refresh(self) -> None:
        """Set the watched gauges; to be called every few seconds."""
        for update in list(self._watched.values()):
            update()


def _keys(labels: Sequence[str]) -> Any:
    """Label names for Ray, whose annotations allow only one."""
    return tuple(labels)


def _tags(labels: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    return dict(zip(labels, values, strict=True))


class EngineMetrics:
    """Metrics of a member's replica: the time of its network alone.

    Args:
        member: Name of the member.
    """

    def __init__(self, member: str) -> None:
        metrics = RayMetrics()
        self._member = member
        self._images = metrics.counter("engine_images", "Images a network ran on.", "model")
        self._spent = metrics.histogram(
            "engine_duration_seconds", "A network runs a batch.", NETWORK_S, "model"
        )

    def ran(self, images: int, spent_s: float) -> None:
        """Count a run of the network on some images, in seconds."""
        self._images(images, self._member)
        self._spent(spent_s, self._member)
