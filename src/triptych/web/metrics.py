"""The metrics of a studio, for Prometheus.

Names and units are those of its guide (prometheus.io/docs/practices/naming); labels only have
values known to the studio, never text from a client.
"""

from __future__ import annotations

import functools
import platform
from collections import defaultdict
from pathlib import Path

import flask

import triptych
from triptych import bundles
from triptych import errors
from triptych.results import Verdict
from triptych.web import context
from triptych.web import metric_backends
from triptych.web.metric_backends import Instruments
from triptych.web.registry import Registry
from triptych.workers.pool import WorkerPool

REJECTED = (401, 413, 429, 503, 504)
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
NETWORK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
IMAGES = (1, 2, 4, 8, 16, 32, 64)
P_VALUES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Classes of a committee that are counted by name, those that it answers with first. Each takes some
# memory of the studio and of Prometheus for good.
MOST_CLASSES = 200
NO_CLASS = "(none)"  # of a multi-label committee
OTHER_CLASSES = "(others)"
# The status of answers by a rule that was not fitted.
NOT_FITTED = "not fitted"


class RequestMetrics:
    """The metrics of one studio's requests.

    Args:
        committees: Committees whose readiness is exposed.
        make: Creates and exposes the metrics.
    """

    def __init__(self, committees: Registry, make: Instruments) -> None:
        self._requests = make.counter(
            "requests", "Requests that were answered.", "endpoint", "model", "code"
        )
        self._spent = make.histogram(
            "request_duration_seconds", "Time from request to response.", REQUEST_S, "endpoint"
        )
        self._under_way = make.gauge("requests_in_progress", "Requests in progress.")
        self._queued = make.histogram(
            "queue_duration_seconds", "Time that work waited in the queue.", REQUEST_S
        )
        self._inference = make.histogram(
            "inference_duration_seconds", "Time of a network for an image.", NETWORK_S, "model"
        )
        self._verdicts = make.counter("verdicts", "Answers by their status.", "model", "status")
        self._answers = make.counter("answers", "Answers by their class.", "model", "class")
        self._classes: dict[str, set[str]] = defaultdict(set)
        self._novelty = make.histogram(
            "novelty_p_value",
            "How many training photos are as unlike the others as a photo, as a share of them.",
            P_VALUES,
            "model",
        )
        self._images = make.counter("images", "Images that a committee classified.", "model")
        self._batches = make.counter("batches", "Requests for a committee.", "model")
        self._batch_size = make.histogram("batch_size", "Images of a request.", IMAGES)
        self._network_batch_size = make.histogram(
            "network_batch_size",
            "Images that a network ran at once, for each image that it ran on.",
            IMAGES,
            "model",
        )
        self._rejected = make.counter("rejected", "Requests that were refused.", "reason")
        make.watch(
            "model_ready",
            "1 if a committee is loaded, else 0.",
            lambda: {(name,): committees.ready(name) for name in committees.names},
            "model",
        )
        running = (triptych.__version__, platform.python_version())
        make.watch(
            "build_info", "Versions that are running.", lambda: {running: 1}, "version", "python"
        )

    def waited(self, spent_s: float) -> None:
        """Record how long work waited in the queue, in seconds."""
        self._queued(spent_s)

    def register(self, app: flask.Flask) -> None:
        """Measure the requests of an application."""
        app.before_request(self._begin)
        app.after_request(self._finish)
        app.teardown_request(self._leave)

    def _begin(self) -> None:
        if not context.of_request().is_watching:
            self._under_way(1)

    def _leave(self, error: BaseException | None) -> None:
        if not context.of_request().is_watching:
            self._under_way(-1)

    def _finish(self, response: flask.Response) -> flask.Response:
        request_context, endpoint = context.of_request(), flask.request.endpoint or "none"
        if request_context.is_watching:
            return response
        self._requests(1, endpoint, request_context.committee, str(response.status_code))
        self._spent(request_context.spent_s, endpoint)
        if request_context.error and response.status_code in REJECTED:
            self._rejected(1, request_context.error)
        if request_context.answers:
            verdicts = [answer for answer in request_context.answers if isinstance(answer, Verdict)]
            self._batches(1, request_context.committee)
            self._batch_size(len(request_context.answers))
            self._images(len(verdicts), request_context.committee)
            for verdict in verdicts:
                self._count(verdict, request_context.committee)
                for member, spent_ms in verdict.timing.members_ms.items():
                    self._inference(spent_ms / 1000, member)
                for member, size in verdict.timing.batch_sizes.items():
                    self._network_batch_size(size, member)
        return response

    def _count(self, verdict: Verdict, committee: str) -> None:
        self._verdicts(1, committee, verdict.status or NOT_FITTED)
        known = self._classes[committee]
        guesses = verdict.top[:1] if verdict.labels is None else verdict.labels
        for name in [guess.label.name for guess in guesses] or [NO_CLASS]:
            if name not in known and len(known) < MOST_CLASSES:
                known.add(name)
            self._answers(1, committee, name if name in known else OTHER_CLASSES)
        if verdict.novelty is not None:
            self._novelty(verdict.novelty, committee)


def watch_held_out(home: Path, registry: Registry, make: Instruments) -> None:
    """Expose what `novelty_p_value` is to be compared with.

    Args:
        home: The home folder, with the bundles.
        registry: The committees whose active versions are meant.
        make: Creates and exposes the metrics.
    """

    @functools.lru_cache(256)
    def share(name: str, version: int) -> float | None:
        try:
            metrics = bundles.find(home, f"{name}@{version}").metrics
        except errors.TriptychError:  # a committee of the zoo, or one that was removed meanwhile
            return None
        none: float | None = metrics.get("doubt", metrics).get("false_alarms")
        return none

    def levels() -> metric_backends.Levels:
        found = {name: registry.facts(name).active for name in registry.names}
        shares = {name: share(name, active) for name, active in found.items() if active}
        return {(name,): value for name, value in shares.items() if value is not None}

    make.watch(
        "held_out_novel_share",
        "Share of held-out photos whose p-value was 0.05 or less when the committee was trained.",
        levels,
        "model",
    )


def watch_workers(workers: WorkerPool, make: Instruments) -> None:
    """Expose the metrics of worker processes.

    Args:
        workers: The processes.
        make: Creates and exposes the metrics.
    """
    make.watch(
        "workers", "Worker processes that are running.", lambda: {(): len(workers.process_ids)}
    )
    make.watch(
        "worker_restarts",
        "Worker processes that died and were replaced, since the start.",
        lambda: {(): workers.restarts},
    )
    make.watch(
        "worker_memory_bytes",
        "Resident memory of a worker process.",
        lambda: metric_backends.of_processes(workers.process_ids, "resident_memory_bytes"),
        "worker",
    )
    make.watch(
        "worker_cpu_seconds",
        "Processor time that a worker process has taken.",
        lambda: metric_backends.of_processes(workers.process_ids, "cpu_seconds"),
        "worker",
    )
