"""The studio on a socket: gevent's WSGI server, with all that computes in threads beside it."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from typing import TypeVar

import gevent
import gevent.event
import gevent.pool
import gevent.pywsgi
import gevent.socket

from triptych import errors
from triptych.settings import Settings
from triptych.typing import Notify
from triptych.web import access
from triptych.web import create_app
from triptych.web import logs
from triptych.web.context import KEY
from triptych.web.context import Studio
from triptych.web.registry import Registry

BACKLOG = 128  # connections that may wait to be taken
CONNECTIONS = 512  # connections at once
# Bytes of a request that are taken at once. With Python's own 8 kB a photo of 100 kB takes 13
# turns of the loop, also where all it gets is a refusal.
READ_BYTES = 64 * 1024
SILENCE_S = 60.0  # after which a connection is closed
# How long answers that are under way may still take when the studio is told to stop.
GRACE_S = 30.0
# How often the studio looks for committees that were taught or removed.
REFRESH_S = 5.0


T = TypeVar("T")


def serve(settings: Settings, registry: Registry, say: Notify, *, insecure: bool = False) -> None:
    """Serve the studio until the process is told to stop (SIGINT or SIGTERM).

    Args:
        settings: Its host and port are listened on.
        registry: The committees; the default one is loaded first, and until then those who ask
            wait.
        say: Called with a line for people.
        insecure: Let other machines ask even without a key.

    Raises:
        errors.SettingError: The address cannot be listened on, or not without a key.
        errors.WeightsMissing: The default committee's weights have to be fetched first.
    """
    access.check(settings, insecure=insecure, say=say)
    logs.configure(settings.log_format)
    app = create_app(settings, registry, wait=_wait)
    studio: Studio = app.extensions[KEY]
    server = _Server(_listen(settings.host, settings.port), app)

    def stop() -> None:
        studio.queue.close()
        server.close()

    with contextlib.closing(server):
        try:
            studio.jobs  # noqa: B018  # finds the jobs that were left behind
        except errors.StateError as error:  # nothing can be written; the rest works all the same
            say(error.message)
        server.start()
        say(f"Warming up the committee {registry.default} ...")
        _result(studio.loading.submit(registry.get))
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, stop)
        host = f"[{server.server_host}]" if ":" in server.server_host else server.server_host
        say(f"The studio is open at http://{host}:{server.server_port}/ (stop it with Ctrl-C)")
        watching = gevent.spawn(_watch, studio, say)
        server.serve_forever()
        watching.kill()
    if "jobs" in vars(studio):
        studio.jobs.close()
    say("The studio is closed.")


def _watch(studio: Studio, say: Notify) -> None:
    """Keep to what lies on disk: committees that are taught again or removed meanwhile."""
    while True:
        gevent.sleep(REFRESH_S)
        try:
            _result(studio.loading.submit(studio.registry.refresh))
        except errors.TriptychError as error:
            say(error.message)


def _result(future: Future[T]) -> T:
    while not _wait(future, REFRESH_S):
        pass
    return future.result()


def _wait(future: Future[Any], timeout_s: float) -> bool:
    """Wait for what another thread makes, without holding up the loop."""
    done = gevent.event.Event()
    loop = gevent.get_hub().loop
    future.add_done_callback(lambda _: loop.run_callback_threadsafe(done.set))
    done.wait(timeout_s)
    return future.done()


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


class _Handler(gevent.pywsgi.WSGIHandler):  # type: ignore[misc]
    """Tells the server while it is answering, and does not wait for ever for a silent client."""

    def __init__(self, sock: gevent.socket.socket, address: Any, server: _Server) -> None:
        super().__init__(sock, address, server, sock.makefile("rb", READ_BYTES))

    def handle(self) -> None:
        self.socket.settimeout(SILENCE_S)
        # gevent sends headers and body apart, and by default the body waits until the client has
        # acknowledged the headers, for which clients that keep their connection take 40 ms
        # (measured: one photo after the other, lite, 120 ms each; so, 76 ms).
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        super().handle()

    def read_request(self, raw_requestline: str) -> bool:
        try:
            return bool(super().read_request(raw_requestline))
        except TimeoutError:  # of which gevent would print a traceback
            return False

    def handle_one_response(self) -> None:
        with self.server.answering():
            super().handle_one_response()


class _Server(gevent.pywsgi.WSGIServer):  # type: ignore[misc]
    """Lets answers that are under way finish when it stops, and drops idle connections."""

    def __init__(self, listener: gevent.socket.socket, app: Any) -> None:
        # A pool, because without one gevent forgets its connections and cannot end them.
        connections = gevent.pool.Pool(CONNECTIONS)
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
