"""The head of a request, parsed strictly: ambiguous ones are refused (request smuggling).

If a proxy and a server disagree about the end of a request, a second one can be smuggled in behind
it. So lines must end with CR LF, and there must be only one length, of digits.

Source: RFC 9112, HTTP/1.1 (2022), sections 2.2, 3, 5 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http.client import HTTPMessage
from typing import NamedTuple

LONGEST_LINE = 8192
LONGEST_HEAD = 64 * 1024
MOST_HEADERS = 100

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!-~\x80-\xff]+) (HTTP/1\.[01])\r\n")
_HEADER = re.compile(rf"({_TOKEN}):([\t -~\x80-\xff]*)\r\n")
_ORIGIN = re.compile(r"https?://([^/?#]+)", re.IGNORECASE)
_HOST = re.compile(r"[0-9A-Za-z._~%!$&'()*+,;=:\[\]-]*")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Headers(HTTPMessage):
    """The headers of a request, as gevent's handler reads them."""

    @property
    def headers(self) -> list[str]:
        """Each as a line."""
        return [f"{name}: {value}" for name, value in self.raw_items()]

    @property
    def typeheader(self) -> str | None:
        """The header ``Content-Type``."""
        return self.get("content-type")

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """The first header of a name."""
        return self.get(name, default)


class Head(NamedTuple):
    """Everything before the body of a request.

    Args:
        method: Such as ``POST``.
        target: Its path and query.
        version: ``HTTP/1.1`` or ``HTTP/1.0``.
        headers: In the order received.
        length: Bytes of the body; ``None`` if none is declared.
        chunked: Whether the body is chunked.
    """

    method: str
    target: str
    version: str
    headers: Headers
    length: int | None
    chunked: bool


def read(request_line: str, readline: Callable[[int], bytes]) -> Head:
    """Read the head of a request.

    Args:
        request_line: Its first line, with its end.
        readline: Reads the next line, with a limit of bytes.

    Raises:
        ValueError: It is malformed or ambiguous; the message says where.

    Example:
        >>> import io
        >>> rest = io.BytesIO(b"Host: localhost\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
        >>> head = read("POST /api HTTP/1.1\\r\\n", rest.readline)
        >>> head.method, head.length, head.headers["host"], rest.read()
        ('POST', 2, 'localhost', b'{}')
    """
    line = _REQUEST_LINE.fullmatch(request_line)
    if line is None:
        raise ValueError(f"the request line is {request_line[:80]!r}")
    method, target, version = line.groups()
    headers, size = Headers(), 0
    while (raw := readline(LONGEST_HEAD - size + 1)) != b"\r\n":
        size += len(raw)
        header = _HEADER.fullmatch(raw.decode("latin-1"))
        if header is None or size > LONGEST_HEAD or len(headers) >= MOST_HEADERS:
            raise ValueError(f"a header line is {raw[:80]!r}" if header is None else "long head")
        headers.set_raw(header[1], header[2].strip(" \t"))
    target = _check_host(target, version, headers)
    length, chunked = _check_body(version, headers)
    return Head(method, target, version, headers, length, chunked)


def _check_host(target: str, version: str, headers: Headers) -> str:
    """Check the host; returns the target without it."""
    hosts = headers.get_all("host") or []
    if (
        len(hosts) > 1
        or (not hosts and version == "HTTP/1.1")
        or not all(map(_HOST.fullmatch, hosts))
    ):
        raise ValueError(f"the header Host came {len(hosts)} times, or is no host")
    if origin := _ORIGIN.match(target):  # absolute-form, for proxies, contains the host
        del headers["host"]
        headers.set_raw("Host", origin[1])
        target = target[origin.end() :]
        target = target if target.startswith("/") else f"/{target}"
    if not target.startswith("/") and target != "*":
        raise ValueError(f"the target is {target[:80]!r}")
    return target


def _check_body(version: str, headers: Headers) -> tuple[int | None, bool]:
    """The length of the body, and whether it is chunked instead."""
    lengths = headers.get_all("content-length") or []
    codings = headers.get_all("transfer-encoding") or []
    if len(lengths) + len(codings) > 1:
        raise ValueError("the length of the body is given more than once")
    if codings and (codings[0].lower() != "chunked" or version != "HTTP/1.1"):
        raise ValueError(f"the header Transfer-Encoding is {codings[0][:40]!r}")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise ValueError(f"the header Content-Length is {lengths[0][:40]!r}")
    return (int(lengths[0]) if lengths else None), bool(codings)
