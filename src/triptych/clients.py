"""Clients that keep a server busy: each asks anew as soon as it has its answer.

Requests are encoded before the clock starts and connections are kept, so that as little as can be
of what is measured is the clients' own time.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

GIVE_UP_S = 120.0
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
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: bytes) -> int:
        """Send a request and read the whole answer; its status, or `NO_ANSWER`."""
        try:
            return await asyncio.wait_for(self._exchange(request), GIVE_UP_S)
        except (OSError, EOFError, asyncio.TimeoutError):
            self.close()
            return NO_ANSWER

    async def _exchange(self, request: bytes) -> int:
        reader, writer = await self._open()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(fields["content-length"]))
        if fields.get("connection") == "close":
            self.close()
        return int(head.split(" ", 2)[1])

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof() or self._streams[0].exception():
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams

    def close(self) -> None:
        """Let go of it."""
        if self._streams:
            self._streams[1].close()
        self._streams = None


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
