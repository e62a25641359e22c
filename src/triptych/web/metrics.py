"""What a studio counts and measures, for Prometheus.

Names and units are those of its guide (prometheus.io/docs/practices/naming); a label only ever
has values that the studio itself knows, never what a client sent.
"""

from __future__ import annotations

import platform

import flask

import triptych
from triptych.results import Verdict
from triptych.web import health
from triptych.web import request_context
from triptych.web.metric_backends import Instruments
from triptych.web.registry import Registry

REJECTED = (401, 413, 429, 503, 504)
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
NETWORK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Meters:
    """The meters of one studio.

    Args:
        committees: Those whose readiness is told.
        make: Makes the meters, and tells what they show.
    """

    def __init__(self, committees: Registry, make: Instruments) -> None:
        self._requests = make.counter(
            "requests", "Requests that were answered.", "endpoint", "model", "code"
        )
        self._spent = make.histogram(
            "request_duration_seconds", "From request to answer.", REQUEST_S, "endpoint"
        )
        self._under_way = make.gauge("requests_in_progress", "Requests being answered.")
        self._queued = make.histogram(
            "queue_duration_seconds", "What work waited for its turn.", REQUEST_S
        )
        self._inference = make.histogram(
            "inference_duration_seconds", "A network looks at an image.", NETWORK_S, "model"
        )
        self._images = make.counter("images", "Images that a committee answered.", "model")
        self._batches = make.counter("batches", "Batches a committee was asked about.", "model")
        self._batch_size = make.histogram("batch_size", "Images of a batch.", IMAGES)
        self._rejected = make.counter("rejected", "Requests that were turned away.", "reason")
        make.watch(
            "model_ready",
            "1 if a committee answers at once, 0 if it has to be loaded first.",
            lambda: {(name,): committees.ready(name) for name in committees.names},
            "model",
        )
        running = (triptych.__version__, platform.python_version())
        make.watch("build_info", "What is running.", lambda: {running: 1}, "version", "python")

    def waited(self, spent_s: float) -> None:
        """Note that a piece of work had to wait so many seconds for its turn."""
        self._queued(spent_s)

    def register(self, app: flask.Flask) -> None:
        """Watch the requests of an application."""
        app.before_request(self._begin)
        app.after_request(self._finish)
        app.teardown_request(self._leave)

    def _begin(self) -> None:
        if not health.is_watching(flask.request):
            self._under_way(1)

    def _leave(self, error: BaseException | None) -> None:
        if not health.is_watching(flask.request):
            self._under_way(-1)

    def _finish(self, response: flask.Response) -> flask.Response:
        if not health.is_watching(flask.request):
            self._count(
                request_context.current(), flask.request.endpoint or "none", response.status_code
            )
        return response

    def _count(self, noted: request_context.Notes, endpoint: str, status: int) -> None:
        self._requests(1, endpoint, noted.committee, str(status))
        self._spent(noted.spent_s, endpoint)
        if noted.error and status in REJECTED:
            self._rejected(1, noted.error)
        if noted.answers:
            self._count_answers(noted)

    def _count_answers(self, noted: request_context.Notes) -> None:
        verdicts = [answer for answer in noted.answers if isinstance(answer, Verdict)]
        self._batches(1, noted.committee)
        self._batch_size(len(noted.answers))
        self._images(len(verdicts), noted.committee)
        for verdict in verdicts:
            for member, spent_ms in verdict.timing.members_ms.items():
                self._inference(spent_ms / 1000, member)
