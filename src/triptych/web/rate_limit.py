"""Rate limit: how many requests a client of another machine may send."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import flask
from werkzeug.exceptions import TooManyRequests

from triptych.settings import Settings
from triptych.utils.text import text
from triptych.web import access
from triptych.web import context

PERIOD_S = 60.0
# A page has a hundred of these, and each is cheap.
FREE = (*access.STATIC, "studio.thumb", "inbox_api.preview", "project_api.preview")
# Limit of tracked clients; the least recent are dropped.
CLIENTS = 10_000


class Quota:
    """Limits each client to a number of requests a minute, in a fixed amount of memory;
    thread-safe. A client that was idle may send a whole minute's requests in a burst. For each,
    only the time is kept at which its requests so far would be due, if they came evenly.

    Args:
        per_minute: Limit of requests, at least 1.
        clients: Limit of tracked clients.
        clock: Tells the time in seconds.

    Source: the generic cell rate algorithm of ATM networks (ITU-T I.371).

    Example:
        >>> quota = Quota(1)
        >>> quota.take("198.51.100.7"), round(quota.take("198.51.100.7"))
        (0.0, 60)
    """

    def __init__(
        self,
        per_minute: int,
        *,
        clients: int = CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s = PERIOD_S / per_minute
        self._clients = clients
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> float:
        """Take one request; returns 0, or the seconds to wait if there is none left."""
        with self._lock:
            now = self._clock()
            due = max(self._due.pop(client, now), now)
            wait_s = max(0.0, due + self._every_s - now - PERIOD_S)
            self._due[client] = due if wait_s else due + self._every_s
            if len(self._due) > self._clients:
                self._due.popitem(last=False)
        return wait_s


def register(app: flask.Flask, settings: Settings) -> None:
    """Apply the setting ``max_requests_per_minute`` to the clients of an application."""
    most = settings.max_requests_per_minute
    if not most:
        return
    quota = Quota(most)

    def refuse_too_many() -> None:
        address = flask.request.remote_addr or ""
        is_free = flask.request.endpoint in FREE or context.of_request().is_watching
        if is_free or access.is_loopback(address):
            return
        if wait_s := quota.take(client(address)):
            raise TooManyRequests(
                text(
                    "More than {most} requests came from this client within a minute. Wait "
                    "{ceil} s, or raise the setting max_requests_per_minute.",
                    most=most,
                    ceil=math.ceil(wait_s),
                ),
                retry_after=math.ceil(wait_s),
            )

    app.before_request(refuse_too_many)


def register_keys(app: flask.Flask) -> None:
    """Apply the limits of keys, wherever requests with them come from; after the key is known."""
    quotas: dict[tuple[str, int], Quota] = {}

    def refuse_too_many() -> None:
        key = context.of_request().key
        most = key.requests_per_minute
        if not most or flask.request.endpoint in FREE:
            return
        quota = quotas.setdefault((key.id, most), Quota(most, clients=1))
        if wait_s := quota.take(key.id):
            raise TooManyRequests(
                text(
                    "More than {most} requests came with the key of {key} within a minute. Wait "
                    "{ceil} s, or ask the studio's owner for a key with a higher limit.",
                    most=most,
                    key=key.name,
                    ceil=math.ceil(wait_s),
                ),
                retry_after=math.ceil(wait_s),
            )

    app.before_request(refuse_too_many)


def client(address: str) -> str:
    """The client of an address; with IPv6, a client is a /64 network.

    Example:
        >>> client("198.51.100.7"), client("2001:db8::1:2:3:4")
        ('198.51.100.7', '2001:db8::/64')
    """
    try:
        return str(ipaddress.ip_network((ipaddress.IPv6Address(address), 64), strict=False))
    except ipaddress.AddressValueError:
        return address
