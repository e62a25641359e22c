"""Clients that keep a server busy: each asks anew as soon as it has its answer.

Requests are encoded before the clock starts and connections are kept, so that as little as can be
of what is measured is the clients' own time.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

GIVE_UP_S = 120.0
SEND_BYTES = 1024 * 1024  # so that a request of a photo is handed over at once
NO_ANSWER = 0  # in place of a status: the connection broke, or nobody answered


@dataclass(frozen=True)
class Record:
    """One request.

    Args:
        number: Position of what was sent.
        sent_s: When it was sent, from the start.
        done_s: When the whole answer was there.
        status: HTTP status, or `NO_ANSWER`.
    """

    number: int
    sent_s: float
    done_s: float
    status: int

    @property
    def ms(self) -> float:
        """How long the answer took."""
        return (self.done_s - self.sent_s) * 1000


class Connection:
    """A kept connection to this machine, opened anew where the server has closed it.

    Args:
        port: The server's.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._line: _Line | None = None

    async def post(self, request: bytes) -> int:
        """Send a request and read the whole answer; its status, or `NO_ANSWER`."""
        try:
            line = await self._open()
            return await asyncio.wait_for(line.ask(request), GIVE_UP_S)
        except (OSError, EOFError, asyncio.TimeoutError):
            self.close()
            return NO_ANSWER

    async def _open(self) -> _Line:
        if self._line is None or self._line.over:
            loop = asyncio.get_running_loop()
            _, self._line = await loop.create_connection(_Line, "127.0.0.1", self._port)
        return self._line

    def close(self) -> None:
        """Let go of it."""
        if self._line:
            self._line.close()
        self._line = None


class _Line(asyncio.Protocol):
    """One connection, with one question at a time; asyncio's streams take a sixth more time."""

    def __init__(self) -> None:
        self.over = False
        self._told = bytearray()
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        opened = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the status of its answer, once the whole of it is there."""
        self._told.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._told += data
        head, end, body = self._told.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        first, *lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        if len(body) >= int(fields["content-length"]):
            if fields.get("connection") == "close":
                self.close()
            self._answer.set_result(int(first.split(" ", 2)[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or EOFError("The server closed the connection."))

    def close(self) -> None:
        """End it."""
        self.over = True
        self._transport.close()


def encode(path: str, body: bytes, *, kind: str = "application/octet-stream") -> bytes:
    """The bytes of a request.

    Args:
        path: On the server, such as ``"/api/v1/classify"``.
        body: What is posted.
        kind: Its content type.

    Example:
        >>> encode("/answer", b"42").endswith(b"Content-Length: 2\\r\\n\\r\\n42")
        True
    """
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def keep_asking(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    before: Callable[[int], object] = lambda number: None,
) -> list[Record]:
    """Let clients ask a server on this machine, all of them at once.

    Args:
        port: The server's.
        requests: Sent in this order, again and again; as `encode` makes them.
        clients: How many have a request under way.
        seconds: How long new requests are sent; those under way are waited for.
        before: Called with the position of what is sent next; its time does not count.

    Returns:
        One record a request, in the order of the answers; at least one for each client.
    """
    records: list[Record] = []
    numbers = itertools.cycle(range(len(requests)))
    start = time.perf_counter()

    async def client(connection: Connection) -> None:
        for number in _until(start + seconds, numbers):
            before(number)
            sent_s = time.perf_counter() - start
            status = await connection.post(requests[number])
            records.append(Record(number, sent_s, time.perf_counter() - start, status))
        connection.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(client(Connection(port)) for _ in range(clients)))

    asyncio.run(all_of_them())
    return records


def _until(end: float, numbers: Iterator[int]) -> Iterator[int]:
    """The next numbers until a time has come, and one in any case."""
    yield next(numbers)
    while time.perf_counter() < end:
        yield next(numbers)
