"""A closed-loop load generator: each client sends its next request when it has its response.

Requests are encoded before the clock starts and connections are kept alive, so that as little as
possible of what is measured is the clients' own time.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

TIMEOUT_S = 120.0
SEND_BYTES = 1024 * 1024  # a request with a photo fits into the socket's buffer
NO_RESPONSE = 0  # instead of a status: the connection broke, or timed out


@dataclass(frozen=True)
class RequestRecord:
    """One request.

    Args:
        number: Index of the request that was sent.
        sent_s: When it was sent, in seconds from the start.
        done_s: When the whole response was there.
        status: HTTP status, or `NO_RESPONSE`.
    """

    number: int
    sent_s: float
    done_s: float
    status: int

    @property
    def ms(self) -> float:
        """The latency."""
        return (self.done_s - self.sent_s) * 1000


class KeptConnection:
    """A keep-alive connection to this machine; it is opened again where the server closed it.

    Args:
        port: The server's.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._protocol: _ClientProtocol | None = None

    async def post(self, request: bytes) -> int:
        """Send a request and read the whole response; its status, or `NO_RESPONSE`."""
        try:
            if self._protocol is None or self._protocol.closed:
                loop = asyncio.get_running_loop()
                _, self._protocol = await loop.create_connection(
                    _ClientProtocol, "127.0.0.1", self._port
                )
            return await asyncio.wait_for(self._protocol.send(request), TIMEOUT_S)
        except (OSError, EOFError, asyncio.TimeoutError):
            self.close()
            return NO_RESPONSE

    @property
    def body(self) -> bytes:
        """The body of the last response; empty where there was none."""
        return self._protocol.body if self._protocol else b""

    def close(self) -> None:
        """Close it."""
        if self._protocol:
            self._protocol.close()
        self._protocol = None


class _ClientProtocol(asyncio.Protocol):
    """HTTP/1.1, one request at a time; with asyncio's streams a request takes a sixth longer."""

    def __init__(self) -> None:
        self.closed = False
        self.body = b""
        self._received = bytearray()
        self._status: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        opened = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)

    def send(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the status of its response, once the whole of it is there."""
        self._received.clear()
        self._status = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._status

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._status is None or self._status.done():
            return
        first, *lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        if len(body) >= int(fields["content-length"]):
            if fields.get("connection") == "close":
                self.close()
            self.body = bytes(body)
            self._status.set_result(int(first.split(" ", 2)[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._status and not self._status.done():
            self._status.set_exception(exc or EOFError("The server closed the connection."))

    def close(self) -> None:
        self.closed = True
        self._transport.close()


def encode_request(path: str, body: bytes, *, kind: str = "application/octet-stream") -> bytes:
    """The bytes of a POST request.

    Args:
        path: On the server, such as ``"/api/v1/classify"``.
        body: What is posted.
        kind: Its content type.

    Example:
        >>> encode_request("/answer", b"42").endswith(b"Content-Length: 2\\r\\n\\r\\n42")
        True
    """
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def generate_load(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    before: Callable[[int], object] = lambda number: None,
) -> list[RequestRecord]:
    """Send requests to a server on this machine from several clients at once.

    Args:
        port: The server's.
        requests: Sent in this order, again and again; as `encode_request` makes them.
        clients: How many have a request under way, each one.
        seconds: How long new requests are sent; those under way are waited for.
        before: Called with the index of the next request; its time does not count.

    Returns:
        A record for each request, in the order of the responses; at least one for each client.
    """
    records: list[RequestRecord] = []
    numbers = itertools.cycle(range(len(requests)))
    start = time.perf_counter()

    async def client(connection: KeptConnection) -> None:
        while True:
            number = next(numbers)
            before(number)
            sent_s = time.perf_counter() - start
            status = await connection.post(requests[number])
            records.append(RequestRecord(number, sent_s, time.perf_counter() - start, status))
            if time.perf_counter() >= start + seconds:
                break
        connection.close()

    async def all_clients() -> None:
        await asyncio.gather(*(client(KeptConnection(port)) for _ in range(clients)))

    asyncio.run(all_clients())
    return records
