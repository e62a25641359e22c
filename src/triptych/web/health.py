"""Liveness and readiness probes."""

from __future__ import annotations

import flask

from triptych.web import context

blueprint = flask.Blueprint("probes", __name__)

# The probes of the Open Inference Protocol.
PROTOCOL_PREFIX = "/v2/health/"
PATHS = ("/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready")
METRICS = "metrics"  # polled as often as probes
PLAIN = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}


@blueprint.get("/livez")
@blueprint.get("/healthz")
def live() -> tuple[str, dict[str, str]]:
    """Says ``ok`` as long as the studio can answer at all."""
    return "ok", PLAIN


@blueprint.get("/readyz")
def ready() -> tuple[str, int, dict[str, str]]:
    """Says ``ready`` if a request would be answered at once; else 503 with the reason."""
    reason = unready()
    return reason or "ready", 503 if reason else 200, PLAIN


def unready() -> str:
    """The reason why requests would not be answered at once; empty if they would."""
    here = context.current()
    if here.queue.closed:
        return "The studio is stopping."
    if not here.registry.ready(here.registry.default):
        return f"The committee {here.registry.default} is not loaded yet."
    return ""


def is_probe(request: flask.Request) -> bool:
    """Whether a request is a liveness or readiness probe, which needs no key."""
    return request.blueprint == blueprint.name or request.path.startswith(PROTOCOL_PREFIX)


def is_watching(request: flask.Request) -> bool:
    """Whether a request comes from monitoring; those are not logged."""
    return is_probe(request) or request.endpoint == METRICS
