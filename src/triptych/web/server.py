"""The studio on a socket: gevent's WSGI server, with all that computes in threads beside it."""

from __future__ import annotations

import contextlib
import errno
import io
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
from werkzeug.exceptions import RequestTimeout

from triptych import errors
from triptych.settings import Settings
from triptych.typing import Notify
from triptych.web import access
from triptych.web import certificates
from triptych.web import connections
from triptych.web import create_app
from triptych.web import framing
from triptych.web import health
from triptych.web import logs
from triptych.web import path_prefix
from triptych.web import rate_limit
from triptych.web import security
from triptych.web.certificates import Certificate
from triptych.web.connections import Connection
from triptych.web.connections import Connections
from triptych.web.context import KEY
from triptych.web.context import Studio
from triptych.web.registry import Registry
from triptych.workers.pool import WorkerPool

LAST_PORT = 65535
BACKLOG = 128  # connections that may wait to be accepted
# Bytes of a request that are taken at once. With Python's own 8 kB a photo of 100 kB takes 13
# turns of the loop, also where all it gets is a refusal.
READ_BYTES = 64 * 1024
MALFORMED, TIMEOUT, BUSY = (
    f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Length: 0\r\n\r\n".encode()
    for status, more in (
        ("400 Bad Request", ""),
        ("408 Request Timeout", ""),
        ("503 Service Unavailable", "Retry-After: 1\r\n"),
    )
)
# The first byte of a TLS connection; a request in plain http begins with a letter.
HANDSHAKE = 0x16
NOT_HTTPS = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 72\r\n\r\n"
    b"This studio speaks https only. Begin its address with https:// instead.\n"
)
# Exceptions that end waiting for a client.
REFUSALS = (RequestTimeout, errors.Overloaded)
# Addresses that stand for all of the machine.
EVERYWHERE = ("0.0.0.0", "::")
# How long requests in progress may still take when the studio is stopped.
GRACE_S = 30.0
# How often the studio checks for committees that were trained or removed.
REFRESH_S = 5.0


T = TypeVar("T")


def serve(
    settings: Settings,
    registry: Registry,
    say: Notify,
    *,
    insecure: bool = False,
    workers: WorkerPool | None = None,
) -> None:
    """Serve the studio until the process receives SIGINT or SIGTERM.

    Args:
        settings: Its settings; it listens on their host and port.
        registry: The committees; the default one is loaded first, and until then requests wait.
        say: Called with a line for people.
        insecure: Let other machines send requests even without a key.
        workers: The processes in which committees of the registry classify, if any.

    Raises:
        errors.SettingError: The address cannot be used, or not without a key; or the certificate
            cannot.
        errors.WeightsMissing: The default committee's weights have to be fetched first.
    """
    access.check(settings, insecure=insecure, say=say)
    security.warn_of_old_pillow(say)
    certificate = certificates.of(settings)
    logs.configure(settings.log_format)
    app = create_app(settings, registry, wait=_wait, workers=workers)
    studio: Studio = app.extensions[KEY]
    server = _Server(_listen(settings.host, settings.port), app, settings, certificate)

    def stop() -> None:
        studio.queue.close()
        if studio.has_jobs:
            studio.jobs.changes.notify()  # who follows them is told to go
        server.close()

    with contextlib.closing(server):
        server.start()
        sweeping = gevent.spawn(server.connections.sweep)
        try:  # to find interrupted jobs
            _result(studio.changes.submit(lambda: studio.jobs))
        except errors.TriptychError as error:  # nothing can be written; the rest works anyway
            say(error.message)
        say(f"Warming up the committee {registry.default} ...")
        _result(studio.loading.submit(registry.get))
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, stop)
        for line in _welcome(server.server_host, server.server_port, certificate, settings):
            say(line)
        watching = gevent.spawn(_watch, studio, certificate, say)
        server.serve_forever()
        gevent.killall([watching, sweeping])
    studio.close_imports()
    if studio.has_jobs:
        studio.jobs.close()
    studio.exports.close()
    studio.quantizing.close()
    studio.sorting.close()
    say("The studio is closed.")


def _welcome(
    host: str, port: int, certificate: Certificate | None, settings: Settings
) -> list[str]:
    """What people are told at the start: where the studio is, also for other machines."""
    scheme = "https" if certificate else "http"

    def address(name: str) -> str:
        return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/"

    lines = [f"The studio is open at {address(host)} (stop it with Ctrl-C)"]
    if host in EVERYWHERE:
        others = [*certificates.own_addresses(), *certificates.own_names()]
        others = [name for name in others if not access.is_loopback(name)]
        known = ", ".join(map(address, others)) or "an address of this machine"
        hint = "" if certificate else ", but for its camera: that needs https, as by --self-signed"
        lines.append(f"From a phone in the same network: {known}{hint}")
    if certificate and settings.self_signed == "on":
        lines.append(
            "Browsers warn of its certificate, as nobody vouches for it; its SHA-256 fingerprint "
            f"is {certificate.fingerprint}"
        )
    return lines


def _watch(studio: Studio, certificate: Certificate | None, say: Notify) -> None:
    """Follow changes on disk: committees that are trained or removed, and a renewed certificate."""
    reported = ""
    while True:
        gevent.sleep(REFRESH_S)
        try:
            if certificate and certificate.refresh():
                say("The certificate was renewed.")
            _result(studio.loading.submit(studio.registry.refresh))
            reported = ""
        except errors.TriptychError as error:
            if error.message != reported:  # a missing disk is reported once
                say(error.message)
            reported = error.message
        except Exception:  # one bundle must not keep later ones from being found
            logs.logger.exception("Looking for new bundles failed; it is tried again")


def _result(future: Future[T]) -> T:
    while not _wait(future, REFRESH_S):
        pass
    return future.result()


def _wait(future: Future[Any], timeout_s: float) -> bool:
    """Wait for a future without blocking the event loop."""
    done = gevent.event.Event()
    loop = gevent.get_hub().loop
    future.add_done_callback(lambda _: loop.run_callback_threadsafe(done.set))
    done.wait(timeout_s)
    return future.done()


def _listen(host: str, port: int) -> gevent.socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if port > LAST_PORT:
            raise OSError(errno.EINVAL, f"Ports end at {LAST_PORT}")
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise errors.SettingError(
            f"Cannot listen on {host}:{port}: {reason}. "
            "Choose another address with --host and --port; port 0 takes any free one."
        ) from None
    return gevent.socket.socket(fileno=listener.detach())


class _Handler(gevent.pywsgi.WSGIHandler):  # type: ignore[misc]
    """Reads requests strictly and with time limits, and tells the server when it is answering."""

    wsgi_input: Any
    socket: Any
    # And that of a connection that was closed for others.
    ignored_socket_errors = (*gevent.pywsgi.WSGIHandler.ignored_socket_errors, errno.EBADF)

    def __init__(self, sock: gevent.socket.socket, address: Any, server: _Server) -> None:
        client = None if server.proxies else rate_limit.client(address[0])
        self.connection = Connection(sock, client, server.connections)
        rfile = io.BufferedReader(self.connection, READ_BYTES)
        super().__init__(sock, address, server, rfile)

    def handle(self) -> None:
        # gevent sends headers and body separately, and by default the body waits until the client
        # has acknowledged the headers, which takes 40 ms on a kept connection (measured with lite,
        # one photo after the other: 120 ms each; without the wait, 76 ms).
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        try:
            certificate = self.server.certificate
            if not self.server.connections.add(self.connection):
                if certificate is None:
                    self.socket.sendall(BUSY)
                self.socket.close()
            elif certificate is None or self._shake_hands(certificate):
                super().handle()
            else:
                self.socket.close()
        except OSError:  # the client has disconnected
            self.socket.close()
        finally:
            self.server.connections.remove(self.connection)

    def _shake_hands(self, certificate: Certificate) -> bool:
        """Begin TLS, within the time for a head; a client that speaks http is told, instead."""
        self.connection.expect(connections.HEAD_S)
        with self.connection.progress():
            first = self.socket.recv(1, socket.MSG_PEEK)
            if first and first[0] != HANDSHAKE:
                self.socket.recv(READ_BYTES)  # what is unread when it is closed resets it
                self.socket.sendall(NOT_HTTPS)
                return False
            self.socket = self.connection.socket = certificate.context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
            self.socket.do_handshake()
        return True

    def read_requestline(self) -> str:
        self.connection.expect(connections.IDLE_S)
        try:
            self.rfile.peek(1)
            self.connection.expect(connections.HEAD_S)
            return str(super().read_requestline())
        except REFUSALS:
            return ""  # and the connection is closed

    def read_request(self, raw_requestline: str) -> bool:
        head = framing.read(raw_requestline, self.rfile.readline)
        self.requestline = raw_requestline.rstrip()
        self.command, self.path, self.request_version = head[:3]
        self.headers, self.content_length = head.headers, head.length
        wanted = {word.strip() for word in head.headers.get("connection", "").lower().split(",")}
        is_old = head.version == "HTTP/1.0"
        self.close_connection = "keep-alive" not in wanted if is_old else "close" in wanted
        if proxies := self.server.proxies:
            forwarded = head.headers.get("x-forwarded-for", "").split(",")[-proxies:]
            address = forwarded[0].strip() or self.client_address[0]
            self.connection.client = rate_limit.client(address)
        self.connection.expect(connections.BODY_S, rate=connections.RATE)
        return True

    def _connection_upgrade_requested(self) -> bool:
        return False  # no other protocol is supported; with one, bodies would have no end

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        body, chunked = self.wsgi_input, self.wsgi_input.chunked_input
        self.wsgi_input = _Body(self.rfile, body.content_length, body.socket, chunked)
        return {**environ, "wsgi.input": self.wsgi_input}

    def handle_one_response(self) -> None:
        with self.server.answering():
            others = self.server.connections
            # Without proxies, the share was checked when the connection was opened.
            has_share = not self.server.proxies or others.has_share(self.connection)
            is_probe = (
                path_prefix.strip(self.path.partition("?")[0], self.server.prefix) in health.PATHS
            )
            if is_probe or (has_share and others.has_room):
                super().handle_one_response()
            else:
                self.close_connection = True
                self.socket.sendall(BUSY)

    def run_application(self) -> None:
        try:
            super().run_application()
        finally:
            self.close_connection |= self.wsgi_input.broken
            self.connection.discard()

    def _sendall(self, data: bytes) -> None:
        # Between the events of a stream any time may pass, so each has a deadline of its own.
        if not self.response_length or self.provided_content_length is None:
            self.connection.expect(connections.BODY_S, rate=connections.RATE)
        with self.connection.progress(len(data)):
            super()._sendall(data)

    def _handle_client_error(self, problem: Exception) -> tuple[str, bytes]:
        if isinstance(problem, REFUSALS):
            return "408", TIMEOUT
        fields = {"client": self.client_address[0], "error": str(problem)}
        logs.logger.info("malformed request", extra={"fields": fields})
        return "400", MALFORMED

    def _log_error(self, kind: Any, error: Any, trace: Any) -> None:
        if not issubclass(kind, gevent.GreenletExit):
            logs.logger.error("Unexpected error", exc_info=(kind, error, trace))


class _Body(gevent.pywsgi.Input):  # type: ignore[misc]
    """The body of a request; if its end is unknown, the connection takes no further request."""

    @property
    def broken(self) -> bool:
        return bool(self._chunked_input_error)

    def _chunked_read(self, *args: Any) -> bytes:
        try:
            return bytes(super()._chunked_read(*args))
        except BaseException:
            self._chunked_input_error = True  # gevent sets it only for some errors
            raise


class _Server(gevent.pywsgi.WSGIServer):  # type: ignore[misc]
    """Finishes requests in progress when it stops, and closes idle connections."""

    def __init__(
        self,
        listener: gevent.socket.socket,
        app: Any,
        settings: Settings,
        certificate: Certificate | None,
    ) -> None:
        self.certificate = certificate
        self.proxies = settings.proxies
        self.prefix = path_prefix.parse(settings.path_prefix)
        self.connections = Connections(
            share=settings.max_client_connections, max_request_bytes=settings.max_request_bytes
        )
        # With a pool, since gevent otherwise does not track its connections and cannot close them.
        pool = gevent.pool.Pool(connections.CONNECTIONS)
        # Set, since gevent would otherwise resolve the name in the network.
        scheme = "https" if certificate else "http"
        given = {"SERVER_NAME": listener.getsockname()[0], "wsgi.url_scheme": scheme}
        super().__init__(listener, app, log=None, spawn=pool, handler_class=_Handler, environ=given)
        self._idle = gevent.event.Event()
        self._idle.set()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        self.connections.answering += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.connections.answering -= 1
            if not self.connections.answering:
                self._idle.set()

    def stop(self, timeout: float | None = None) -> None:
        self.close()
        self._idle.wait(GRACE_S if timeout is None else timeout)
        super().stop(timeout=0)
