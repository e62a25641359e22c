"""What a studio counts and measures, for Prometheus.

Names and units are those of its guide (prometheus.io/docs/practices/naming); a label only ever
has values that the studio itself knows, never what a client sent.
"""

from __future__ import annotations

import platform

import flask
import prometheus_client as prometheus
from prometheus_client.exposition import choose_encoder

import triptych
from triptych.results import Verdict
from triptych.web import notes
from triptych.web import probes
from triptych.web.registry import Registry

REJECTED = (401, 413, 429, 503, 504)
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
NETWORK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Meters:
    """The meters of one studio.

    Args:
        committees: Those whose readiness is told.
    """

    def __init__(self, committees: Registry) -> None:
        self._committees = committees
        # An own one: several studios can live in one process.
        self._all = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._all)
        self._requests = self._counter(
            "requests", "Requests that were answered.", "endpoint", "model", "code"
        )
        self._spent = self._histogram(
            "request_duration_seconds", "From request to answer.", REQUEST_S, "endpoint"
        )
        self._under_way = prometheus.Gauge(
            "triptych_requests_in_progress", "Requests being answered.", registry=self._all
        )
        self._queued = self._histogram(
            "queue_duration_seconds", "What work waited for its turn.", REQUEST_S
        )
        self._inference = self._histogram(
            "inference_duration_seconds", "A network looks at an image.", NETWORK_S, "model"
        )
        self._images = self._counter("images", "Images that a committee answered.", "model")
        self._batches = self._counter("batches", "Batches a committee was asked about.", "model")
        self._batch_size = self._histogram("batch_size", "Images of a batch.", IMAGES)
        self._rejected = self._counter("rejected", "Requests that were turned away.", "reason")
        self._ready = prometheus.Gauge(
            "triptych_model_ready",
            "1 if a committee answers at once, 0 if it has to be loaded first.",
            ["model"],
            registry=self._all,
        )
        prometheus.Info("triptych_build", "What is running.", registry=self._all).info(
            {"version": triptych.__version__, "python": platform.python_version()}
        )

    def _counter(self, name: str, help: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(f"triptych_{name}", help, labels, registry=self._all)

    def _histogram(
        self, name: str, help: str, buckets: tuple[float, ...], *labels: str
    ) -> prometheus.Histogram:
        return prometheus.Histogram(
            f"triptych_{name}", help, labels, buckets=buckets, registry=self._all
        )

    def waited(self, spent_s: float) -> None:
        """Note that a piece of work had to wait so many seconds for its turn."""
        self._queued.observe(spent_s)

    def register(self, app: flask.Flask) -> None:
        """Watch the requests of an application, and tell of them at ``/metrics``."""
        app.add_url_rule("/metrics", probes.METRICS, self._tell)
        app.before_request(self._begin)
        app.after_request(self._finish)
        app.teardown_request(self._leave)

    def _begin(self) -> None:
        if not probes.is_watching(flask.request):
            self._under_way.inc()

    def _leave(self, error: BaseException | None) -> None:
        if not probes.is_watching(flask.request):
            self._under_way.dec()

    def _finish(self, response: flask.Response) -> flask.Response:
        if not probes.is_watching(flask.request):
            self._count(notes.current(), flask.request.endpoint or "none", response.status_code)
        return response

    def _count(self, noted: notes.Notes, endpoint: str, status: int) -> None:
        self._requests.labels(endpoint, noted.committee, status).inc()
        self._spent.labels(endpoint).observe(noted.spent_s)
        if noted.error and status in REJECTED:
            self._rejected.labels(noted.error).inc()
        if noted.answers:
            self._count_answers(noted)

    def _count_answers(self, noted: notes.Notes) -> None:
        verdicts = [answer for answer in noted.answers if isinstance(answer, Verdict)]
        self._batches.labels(noted.committee).inc()
        self._batch_size.observe(len(noted.answers))
        self._images.labels(noted.committee).inc(len(verdicts))
        for verdict in verdicts:
            for member, spent_ms in verdict.timing.members_ms.items():
                self._inference.labels(member).observe(spent_ms / 1000)

    def _tell(self) -> flask.Response:
        self._ready.clear()  # a committee may be gone
        for name in self._committees.names:
            self._ready.labels(name).set(self._committees.ready(name))
        encode, kind = choose_encoder(flask.request.headers.get("Accept", ""))
        return flask.Response(encode(self._all), content_type=kind)
