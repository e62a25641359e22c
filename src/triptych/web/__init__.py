"""The studio: pages for people and a REST interface for programs, over the same committees."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

import flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from triptych.evaluation import figures
from triptych.images import formats
from triptych.settings import Settings
from triptych.studio.keys import Keys
from triptych.utils import concurrency
from triptych.utils import formatting
from triptych.utils import queueing
from triptych.web import api
from triptych.web import body
from triptych.web import classify_page
from triptych.web import context
from triptych.web import docs
from triptych.web import errors
from triptych.web import fetching
from triptych.web import health
from triptych.web import home_folder
from triptych.web import keys
from triptych.web import languages
from triptych.web import logs
from triptych.web import metric_backends
from triptych.web import metrics
from triptych.web import openapi
from triptych.web import path_prefix
from triptych.web import project_api
from triptych.web import protocols
from triptych.web import security
from triptych.web import single_sign_on
from triptych.web import studio
from triptych.web.fetches import Fetches
from triptych.web.registry import Registry
from triptych.web.shadow import Shadow
from triptych.workers.pool import WorkerPool

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

# Parts of a multipart body that are not images: the options, with room to spare.
OPTION_PARTS = 16

# Shared by pages and `report.html`: the colours, and the macros and style of the figures.
_shared_with_report = flask.Blueprint(
    "figures",
    figures.__name__,
    template_folder="templates",
    static_folder="static",
    url_prefix="/figures",
    static_url_path="",
)


class _JSONProvider(DefaultJSONProvider):
    """Strict JSON as `to_dict` orders it, readable in every script."""

    sort_keys = False
    ensure_ascii = False

    def dumps(self, obj: Any, **options: Any) -> str:
        """A value as strict JSON: NaN and infinity, which JSON does not have, are errors."""
        return super().dumps(languages.for_page(obj), allow_nan=False, **options)


class _StudioApp(flask.Flask):
    """Trusts the X-Forwarded headers of this many proxies in front of it, under a path prefix."""

    json_provider_class = _JSONProvider
    request_class = body.Request

    def __init__(self, proxies: int, prefix: str) -> None:
        super().__init__(__name__)
        mounted = path_prefix.mount(super().wsgi_app, prefix)
        self._proxied = ProxyFix(mounted, x_for=proxies, x_proto=proxies, x_host=proxies)
        self.config["APPLICATION_ROOT"] = prefix or "/"

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Called by the server with each request."""
        return self._proxied(environ, start_response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Skip Flask's check for coroutines, done eleven times a request: there are none."""
        return func


def create_app(
    settings: Settings,
    registry: Registry,
    *,
    wait: queueing.Wait = queueing.wait,
    make: metric_backends.Instruments | None = None,
    threads: int | None = None,
    teaching: bool = True,
    workers: WorkerPool | None = None,
) -> flask.Flask:
    """Build the studio as a WSGI application.

    Args:
        settings: Its limits are enforced.
        registry: The committees that are served.
        wait: Waits for a future, with a timeout in seconds; a server with an event loop passes a
            function that does not block it.
        make: Creates the metrics; by default those that the studio serves at ``/metrics``.
        threads: How many requests are processed in parallel; by default one more than there are
            cores, and more for committees that take more photos at a time.
        teaching: Whether to serve the pages of projects, on which people train committees. They
            need a home folder that no other server uses.
        workers: The processes in which committees of the registry classify, if any.

    Raises:
        errors.SettingError: The path prefix is not a path, an origin is invalid, or the shadow is.
        errors.UnknownName: The shadow does not exist.

    Example:
        >>> from triptych import settings
        >>> app = create_app(settings.load({}), Registry(print, lambda: {"lite": [1]}, "lite"))
        >>> app.test_client().get("/healthz").text
        'ok'
    """
    app = _StudioApp(settings.proxies, path_prefix.parse(settings.path_prefix))
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_request_bytes,
        MAX_FORM_PARTS=settings.max_request_images + OPTION_PARTS,
    )
    make = make or metric_backends.exposed(app)
    request_metrics = metrics.RequestMetrics(registry, make)
    metrics.watch_held_out(settings.home, registry, make)
    if workers:
        metrics.watch_workers(workers, make)
    # The next request decodes its photos while the networks run on those before.
    queue = queueing.Queue(
        threads or concurrency.cpu_count() + 1,
        capacity=settings.max_waiting_images,
        waited=request_metrics.waited,
    )
    shadow = None
    if settings.shadow:
        # Requests under way have the cores; with one more each, photos wait.
        cores = concurrency.cpu_count()
        shadow = Shadow(
            settings.shadow, settings.shadow_share, registry, lambda: queue.images > cores
        )
        shadow.watch(make)
    app.extensions[context.KEY] = context.Studio(
        settings,
        registry,
        queue=queue,
        shadow=shadow,
        fetches=Fetches(settings.weights_source or None),
        loading=queueing.Queue(2, capacity=settings.max_waiting_images),
        wait=wait,
        teaching=teaching,
    )
    app.jinja_env.globals["teaching"] = teaching
    app.jinja_env.globals["accepted_images"] = formats.ACCEPT
    app.url_map.converters["int"] = security.Number
    app.register_blueprint(health.blueprint)
    app.register_blueprint(_shared_with_report)
    app.register_blueprint(classify_page.blueprint)
    app.register_blueprint(docs.blueprint)
    app.register_blueprint(fetching.blueprint)
    app.register_blueprint(keys.blueprint)
    app.register_blueprint(single_sign_on.blueprint)
    openapi.register(
        app,
        *([api.blueprint, *project_api.blueprints] if teaching else [api.blueprint]),
        keyless=not (settings.api_key or settings.sso_issuer or Keys(settings.home).exist),
    )
    for protocol in protocols.blueprints:
        app.register_blueprint(protocol)
    app.add_template_global(studio.inbox_is_open)
    if teaching:
        studio.register(app)
    errors.register(app)
    logs.register(app)
    request_metrics.register(app)
    security.register(app, settings)
    home_folder.register(app, settings.home)
    app.jinja_env.filters.update(formatting.FILTERS)
    languages.register(app)
    return app
