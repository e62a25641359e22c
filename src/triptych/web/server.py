"""The studio on a socket: gevent's WSGI server, with the networks in threads beside its loop."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import TypeVar
from typing import cast

import gevent
import gevent.event
import gevent.pool
import gevent.pywsgi
import gevent.socket
import gevent.threadpool
import gevent.util
import numpy as np

from triptych import errors
from triptych.settings import Settings
from triptych.web import create_app
from triptych.web.registry import Registry

# The networks take all cores for one image already; a second worker prepares the next photo
# meanwhile, and more would only hold more memory.
WORKERS = 2
BACKLOG = 128  # connections that may wait to be taken
# How long answers that are under way may still take when the studio is told to stop.
GRACE_S = 30.0

T = TypeVar("T")


def serve(settings: Settings, registry: Registry, say: Callable[[str], None]) -> None:
    """Serve the studio until the process is told to stop (SIGINT or SIGTERM).

    Args:
        settings: Its host and port are listened on.
        registry: The committees; the default one is loaded before the first request is taken.
        say: Called with a line for people.

    Raises:
        errors.SettingError: The address cannot be listened on.
        errors.WeightsMissing: The default committee's weights have to be fetched first.
    """
    workers = gevent.threadpool.ThreadPool(WORKERS)
    app = create_app(settings, registry, run=lambda work: _in_worker(workers, work))
    server = _Server(_listen(settings.host, settings.port), app)
    with contextlib.closing(server):
        say(f"Warming up the committee {registry.default} ...")
        _warm_up(registry, workers)
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, server.close)
        say(f"The studio is open at {_address(server)} (stop it with Ctrl-C)")
        server.serve_forever()
    say("The studio is closed.")


def _warm_up(registry: Registry, workers: gevent.threadpool.ThreadPool) -> None:
    classifier = _in_worker(workers, registry.get)
    # The networks' first run is slow in each thread.
    workers.map(classifier.classify, [np.zeros((64, 64, 3), np.uint8)] * WORKERS)


def _in_worker(workers: gevent.threadpool.ThreadPool, work: Callable[[], T]) -> T:
    # Wrapped, because apply prints a traceback of every error, those raised on purpose too.
    outcome = workers.apply(gevent.util.wrap_errors(Exception, work))
    if isinstance(outcome, Exception):
        raise outcome
    return cast(T, outcome)


def _listen(host: str, port: int) -> gevent.socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise errors.SettingError(
            f"Cannot listen on {host}:{port}: {reason}. "
            "Choose another address with --host and --port; port 0 takes any free one."
        ) from None
    return gevent.socket.socket(fileno=listener.detach())


def _address(server: _Server) -> str:
    host = f"[{server.server_host}]" if ":" in server.server_host else server.server_host
    return f"http://{host}:{server.server_port}/"


class _Handler(gevent.pywsgi.WSGIHandler):  # type: ignore[misc]
    """Tells the server while it is answering."""

    def handle_one_response(self) -> None:
        with self.server.answering():
            super().handle_one_response()


class _Server(gevent.pywsgi.WSGIServer):  # type: ignore[misc]
    """Lets answers that are under way finish when it stops, and drops idle connections."""

    def __init__(self, listener: gevent.socket.socket, app: Any) -> None:
        # A pool, because without one gevent forgets its connections and cannot end them.
        connections = gevent.pool.Pool()
        # The name, because gevent would ask the network for it.
        names = {"SERVER_NAME": listener.getsockname()[0]}
        super().__init__(
            listener, app, log=None, spawn=connections, handler_class=_Handler, environ=names
        )
        self._under_way = 0
        self._idle = gevent.event.Event()
        self._idle.set()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def stop(self, timeout: float | None = None) -> None:
        self.close()
        self._idle.wait(GRACE_S if timeout is None else timeout)
        super().stop(timeout=0)
