"""The connections of a server: time limits for clients, and which one is closed for others.

A connection costs its client nothing, so a few clients could occupy all of them. Therefore each
phase as a whole has a deadline, which single bytes do not extend; each client may have a limited
share; and when connections run short, the longest waiting connection of the client with the most
connections is closed. One whose request is being answered is never closed.
"""

from __future__ import annotations

import contextlib
import io
import math
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any

import gevent
import gevent.socket
from werkzeug.exceptions import RequestTimeout

from triptych import errors
from triptych.images import MB
from triptych.utils import formatting
from triptych.utils.text import text

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECTIONS = 512
# Reserved for probes, and for new connections while others are being closed.
RESERVED = 32
IDLE_S = 60.0  # until a connection that is kept alive brings its next request
HEAD_S = 20.0  # from the first byte of a request to the end of its headers
BODY_S = 60.0  # for a body or an answer, and longer at a fair rate
RATE = 32 * 1024  # bytes a second
SWEEP_S = 1.0


class Connection(io.RawIOBase):
    """The receiving side of a connection, and how long it has waited for its client.

    Args:
        sock: Its socket, which yields to other greenlets while it waits.
        client: The client; ``None`` if unknown, as behind a proxy.
        others: All connections of the server.
    """

    def __init__(self, sock: Any, client: str | None, others: Connections) -> None:
        self.socket = sock
        self.client = client
        self.received = 0  # bytes of this request, which are held until it is answered
        self.waiting = False  # for its client, to send or to take something
        self._receiving = False
        self._discarding = False
        self._others = others
        self._refusal: Exception | None = None
        self.expect(IDLE_S)

    def expect(self, allowed_s: float, *, rate: float = math.inf) -> None:
        """Begin a phase with a deadline.

        Args:
            allowed_s: How long it may take, in seconds.
            rate: Bytes that extend it by a second.
        """
        self.began_s = time.monotonic()
        self._allowed_s, self._rate, self._bytes = allowed_s, rate, 0
        self._discarding = False

    @property
    def deadline_s(self) -> float:
        """When the phase must end, by `time.monotonic`."""
        return self.began_s + self._allowed_s + self._bytes / self._rate

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Receive some bytes; 0 at the end.

        Raises:
            RequestTimeout: They did not arrive in time.
            errors.Overloaded: The connection was closed for others, or too much is being received.
            OSError: The same, for the rest of a request that was answered already.
        """
        self._receiving = True
        try:
            with self.progress():
                count: int = self.socket.recv_into(buffer)
        except OSError:
            if not self._refusal:
                raise
            count = 0
        finally:
            self._receiving = False
        if self._refusal and not count:
            raise OSError("given up") if self._discarding else self._refusal
        before, self._bytes = self._bytes, self._bytes + count
        if not self._discarding:
            self.received += count
        if before // MB != self._bytes // MB:
            gevent.sleep(0)  # else a fast client would block the others
            self._others.check_receiving(self)
        return count

    @contextlib.contextmanager
    def progress(self, sent: int = 0) -> Iterator[None]:
        """In this block, the connection waits for its client.

        Args:
            sent: Bytes that the client receives in it.
        """
        self.waiting = True
        try:
            yield
        finally:
            self.waiting = False
        self._bytes += sent

    def discard(self) -> None:
        """Discard the rest of a request from now on, as it was answered."""
        self.received = 0
        self.expect(HEAD_S)
        self._discarding = True

    def end(self, refusal: Exception) -> None:
        """Stop waiting for the client; the next read raises this error."""
        self._refusal = refusal
        # A reader gets the end of the data and can still answer; a sender fails.
        with contextlib.suppress(OSError):
            # Not that of a TLS socket, which would send the rest unencrypted.
            gevent.socket.socket.shutdown(
                self.socket, socket.SHUT_RD if self._receiving else socket.SHUT_RDWR
            )


class Connections:
    """All connections of a server.

    Args:
        share: Limit of connections of a client.
        max_request_bytes: Limit of a request's size; twice as much is received at once, half of it
            from one client.
    """

    def __init__(self, *, share: int, max_request_bytes: int) -> None:
        self._all: set[Connection] = set()
        self._share = share
        # A request of the largest size fits with its head and its neighbours' small ones.
        self._max_bytes_by_one = max_request_bytes + 16 * MB
        self.answering = 0

    def add(self, connection: Connection) -> bool:
        """Add a connection; another may be closed for it.

        Returns:
            Whether there is room for it.
        """
        self._all.add(connection)
        if len(self._all) > CONNECTIONS - RESERVED:
            waiting = Counter(each.client for each in self._all if each.waiting)
            if waiting:
                self._close_oldest(waiting.most_common(1)[0][0])
        return self.has_share(connection)

    def remove(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._all.discard(connection)

    def has_share(self, connection: Connection) -> bool:
        """Whether a client may have this connection; another of its own may be closed."""
        client = connection.client
        if client is None or sum(each.client == client for each in self._all) <= self._share:
            return True
        return self._close_oldest(client)

    def _close_oldest(self, client: str | None) -> bool:
        waiting = [each for each in self._all if each.waiting and each.client == client]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda each: each.began_s)
        oldest.end(errors.Overloaded("Too many connections are open, so this one was closed."))
        self.remove(oldest)
        return True

    @property
    def has_room(self) -> bool:
        """Whether requests other than probes may be answered."""
        return self.answering <= CONNECTIONS - RESERVED

    def check_receiving(self, connection: Connection) -> None:
        """Check that not too much is being received.

        Raises:
            errors.Overloaded: It is; this connection is to be closed.
        """
        received = sum(each.received for each in self._all)
        by_one = sum(e.received for e in self._all if e.client == connection.client)
        if by_one > self._max_bytes_by_one or received > 2 * self._max_bytes_by_one:
            connection.received = 0  # it has no data any more
            raise errors.Overloaded(
                text(
                    "{received} are being received at once already. Send fewer large requests "
                    "beside each other.",
                    received=formatting.size(received),
                ),
                retry_after_s=5,
            )

    def sweep(self) -> None:
        """Close connections that wait for their client beyond the deadline, in an endless loop."""
        while True:
            gevent.sleep(SWEEP_S)
            now = time.monotonic()
            for each in [each for each in self._all if each.waiting and each.deadline_s < now]:
                each.end(RequestTimeout("The request did not arrive in time. Send it again."))
