"""Ambiguous HTTP requests are refused, and nothing after them is read."""

from __future__ import annotations

import contextlib
import http.client
import socket
from urllib.parse import urlsplit

import pytest

from support import studios
from support.images import squares

pytestmark = pytest.mark.slow

CLASSIFY = b"POST /api/v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
HIDDEN = b"GET /api/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def address():
    with studios.fake_studio(log_format="off") as (_, address):
        yield address


def dial(address: str, source: str = "127.0.0.1") -> socket.socket:
    host, port = urlsplit(address).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=300, source_address=(source, 0))


def spoken(address: str, data: bytes) -> bytes:
    """Everything that the server sends in reply to some bytes until it closes the connection."""
    with dial(address) as sock:
        sock.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                received += part
    return received


MALFORMED = {
    "two lengths": CLASSIFY + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths in one": CLASSIFY + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": CLASSIFY + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": CLASSIFY + b"Content-Length: -2\r\n\r\n{}",
    "a length of Python": CLASSIFY + b"Content-Length: 1_0\r\n\r\n0123456789",
    "digits of another script": CLASSIFY + "Content-Length: ²\r\n\r\n".encode(),
    "an empty length": CLASSIFY + b"Content-Length:\r\n\r\n",
    "a length and chunks": CLASSIFY
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown chunks": CLASSIFY + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "several codings": CLASSIFY + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": CLASSIFY
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a CR inside a header": GET + b"X: a\rContent-Length: 60\r\n\r\n",
    "LF alone": b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    "LF after a header": GET + b"X: a\n\r\n",
    "CR alone": b"GET /livez HTTP/1.1\rHost: localhost\r\r\r\n\r\n",
    "NUL": GET + b"X: a\0b\r\n\r\n",
    "an escape": GET + b"X: \x1b[31m\r\n\r\n",
    "a folded header": GET + b"X: a\r\n b\r\n\r\n",
    "a space before the colon": GET + b"X : a\r\n\r\n",
    "no name": GET + b": a\r\n\r\n",
    "no colon": GET + b"nonsense\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: localhost\r\n\r\n",
    "a host that is none": b"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a verb with an escape": b"G\x1bT /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "too many spaces": b"GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no path": b"GET livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "too many headers": GET + b"X: a\r\n" * 200 + b"\r\n",
    "too long a head": GET + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_head_ends_the_connection(address, what):
    response = spoken(address, MALFORMED[what] + HIDDEN)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.count(b"HTTP/1.1 ") == 1, "what followed was answered, too"


@pytest.mark.parametrize("chunk", [b"\r\n", b"+1\r\na\r\n", b"0x1\r\na\r\n", b"1\na\r\n", b"g\r\n"])
def test_malformed_chunks_end_the_connection(address, chunk):
    responses = spoken(address, CLASSIFY + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + HIDDEN)
    assert responses.startswith(b"HTTP/1.1 400 ")
    assert responses.count(b"HTTP/1.1 ") == 1


def test_well_formed_requests_are_answered(address):
    photo = squares()
    chunk = b"%x;name=value\r\n%b\r\n0\r\nTrailer: a\r\n\r\n" % (len(photo), photo)
    responses = spoken(
        address,
        b"GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        + CLASSIFY
        + b"Content-Length:%d \t\r\n\r\n%b" % (len(photo), photo)
        + CLASSIFY
        + b"X-Odd: \xe4, \t, \r\nTransfer-Encoding: Chunked\r\n\r\n"
        + chunk
        + b"GET /livez HTTP/1.0\r\n\r\n",
    )
    assert responses.count(b"HTTP/1.1 200 ") == 4


ODD_PATHS = {
    "/projects/a%00b": 404,
    "/projects/a%0d%0aX:%20b": 404,
    "/bundles/a%00b": 404,
    "/bundles/a%0d%0a/1.zip": 404,
    "/bundles/a/9223372036854775808.zip": 404,
    "/c/a%0d%0ab": 404,
    "/api/v1/bundles/%00": 404,
    "/v2/models/a%00/ready": 404,
    "/%ff%fe": 404,
}


@pytest.mark.parametrize("path", ODD_PATHS)
def test_odd_paths_are_harmless(address, path):
    response = spoken(
        address, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    assert int(response.split()[1]) == ODD_PATHS[path]


@pytest.mark.parametrize("number", [2**31, 2**63 - 1, 2**63, 2**64, 10**30])
def test_class_numbers_out_of_range_are_404(address, number):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    connection.request("POST", "/projects", "title=Numbers", FORM)
    assert connection.getresponse().read() is not None
    connection.request("POST", f"/projects/numbers/classes/{number}/rename", "name=a", FORM)
    assert connection.getresponse().status == 404
    connection.close()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
