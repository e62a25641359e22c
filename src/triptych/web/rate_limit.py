"""How often a client of another machine may ask."""

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
from triptych.web import access
from triptych.web import context

PERIOD_S = 60.0
# A page has a hundred of them, and each costs next to nothing.
FREE = (*access.STATIC, "studio.thumb")
# Most clients that are remembered; those who did not ask for the longest time are forgotten.
CLIENTS = 10_000


class Quota:
    """A number of requests a minute for each client, in a fixed amount of memory; thread-safe.

    A client that was away may send a whole minute's requests at once. Of each, only the moment
    is kept at which its requests so far would be due, if they came evenly.

    Args:
        per_minute: Most requests, at least 1.
        clients: Most clients that are remembered.
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
    """Hold the clients of an application to the setting ``max_requests_per_minute``."""
    most = settings.max_requests_per_minute
    if not most:
        return
    quota = Quota(most)

    def refuse_too_many() -> None:
        address = flask.request.remote_addr or ""
        is_free = flask.request.endpoint in FREE or context.notes().is_watching
        if is_free or access.is_loopback(address):
            return
        if wait_s := quota.take(client(address)):
            raise TooManyRequests(
                f"More than {most} requests came from this client within a minute. Wait "
                f"{math.ceil(wait_s)} s, or raise the setting max_requests_per_minute.",
                retry_after=math.ceil(wait_s),
            )

    app.before_request(refuse_too_many)


def client(address: str) -> str:
    """Who is behind an address: with IPv6, one client has a whole network of them.

    Example:
        >>> client("198.51.100.7"), client("2001:db8::1:2:3:4")
        ('198.51.100.7', '2001:db8::/64')
    """
    try:
        return str(ipaddress.ip_network((ipaddress.IPv6Address(address), 64), strict=False))
    except ipaddress.AddressValueError:
        return address
