"""Metrics by Prometheus's client, exposed at ``/metrics``; a cluster passes other instruments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

import flask
import prometheus_client as prometheus
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from triptych.web import health

PREFIX = "triptych_"


class Metric(Protocol):
    """An instrument: takes a number and a value for each label of the metric."""

    def __call__(self, value: float, *labels: str) -> None:
        """Add the number (counters, gauges), or observe it (histograms)."""


class Instruments(Protocol):
    """Creates instruments; names are given without `PREFIX`."""

    def counter(self, name: str, help: str, *labels: str) -> Metric:
        """A counter, which only grows; exposed with ``_total`` after its name."""

    def gauge(self, name: str, help: str, *labels: str) -> Metric:
        """A gauge, which rises and falls."""

    def histogram(self, name: str, help: str, buckets: Iterable[float], *labels: str) -> Metric:
        """A histogram: counts of numbers in buckets, given by their upper bounds."""

    def watch(self, name: str, help: str, read: Callable[[], Levels], *labels: str) -> None:
        """A gauge whose levels, by label values, are read when it is scraped."""


Levels = Mapping[tuple[str, ...], float]


def exposed(app: flask.Flask) -> Instruments:
    """Instruments whose metrics an application exposes at ``/metrics``, with those of its process.

    Args:
        app: Several in a process have separate metrics.
    """
    registry = prometheus.CollectorRegistry()
    prometheus.ProcessCollector(registry=registry)

    def expose() -> flask.Response:
        encode, kind = choose_encoder(flask.request.headers.get("Accept", ""))
        return flask.Response(encode(registry), content_type=kind)

    app.add_url_rule("/metrics", health.METRICS, expose)
    return _Prometheus(registry)


def of_processes(ids: Sequence[int], name: str) -> Levels:
    """A metric of each of several processes, labelled by their positions.

    Args:
        ids: Of the processes.
        name: As `prometheus_client.ProcessCollector` names it, without ``process_``; empty on
            systems where it cannot look into other processes.
    """
    levels: dict[tuple[str, ...], float] = {}
    for position, process_id in enumerate(ids):
        collector = prometheus.ProcessCollector(
            pid=functools.partial(int, process_id), registry=None
        )
        for family in collector.collect():
            if family.name == f"process_{name}":
                levels[(str(position),)] = family.samples[0].value
    return levels


class _Prometheus:
    """Instruments of Prometheus's client."""

    def __init__(self, registry: prometheus.CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, help: str, *labels: str) -> Metric:
        metric = prometheus.Counter(PREFIX + name, help, labels, registry=self._registry)
        child = _children(metric)
        return lambda value, *label: child(*label).inc(value)

    def gauge(self, name: str, help: str, *labels: str) -> Metric:
        metric = prometheus.Gauge(PREFIX + name, help, labels, registry=self._registry)
        child = _children(metric)
        return lambda value, *label: child(*label).inc(value)

    def histogram(self, name: str, help: str, buckets: Iterable[float], *labels: str) -> Metric:
        bounds = tuple(buckets)
        metric = prometheus.Histogram(
            PREFIX + name, help, labels, buckets=bounds, registry=self._registry
        )
        child = _children(metric)
        return lambda value, *label: child(*label).observe(value)

    def watch(self, name: str, help: str, read: Callable[[], Levels], *labels: str) -> None:
        self._registry.register(_Watched(PREFIX + name, help, read, labels))


def _children(metric: Any) -> Callable[..., Any]:
    """The child of a metric by its label values; its own ``labels`` checks them at each call."""
    return functools.cache(lambda *values: metric.labels(*values) if values else metric)


class _Watched(Collector):
    """Reads its levels when Prometheus scrapes."""

    def __init__(
        self, name: str, help: str, read: Callable[[], Levels], labels: Sequence[str]
    ) -> None:
        self._name, self._help, self._read, self._labels = name, help, read, labels

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._help, labels=self._labels)
        for values, level in self._read().items():
            family.add_metric(values, level)
        yield family
