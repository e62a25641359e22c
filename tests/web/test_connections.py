"""Slow, numerous or large requests of one client do not block others."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import io
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support import studios
from support.images import squares
from triptych.images import MB

pytestmark = pytest.mark.slow

HEAD = b"POST /api/v1/classify HTTP/1.1\r\nHost: localhost\r\n"
BODY = HEAD + b"Content-Type: image/png\r\nContent-Length: 999\r\n\r\n"
# The same studio, but for the deadlines.
IMPATIENT = """
from support import studios
from triptych.web import connections
connections.IDLE_S = connections.HEAD_S = connections.BODY_S = 0.5
connections.SWEEP_S = 0.05
studios.main("fake")
"""


def dial(address: str, source: str = "127.0.0.1") -> socket.socket:
    host, port = urlsplit(address).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=300, source_address=(source, 0))


def ask(address: str, path: str, body: bytes | None = None, kind: str = "image/png", **more: str):
    """Status and body of an answer; the source address and headers as keywords."""
    source = (more.pop("source", "127.0.0.1"), 0)
    netloc = urlsplit(address).netloc
    connection = http.client.HTTPConnection(netloc, timeout=300, source_address=source)
    headers = {"Content-Type": kind, **{name.replace("_", "-"): more[name] for name in more}}
    connection.request("POST" if body is not None else "GET", path, body, headers)
    with connection.getresponse() as response:
        data = response.read()
    connection.close()
    return response.status, data


def received(sock: socket.socket) -> bytes:
    """All until the connection is closed."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            data += part
    return data


@contextlib.contextmanager
def flood(address: str, start: bytes, count: int = 600) -> Iterator[list[socket.socket]]:
    """Connections that send an incomplete request."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dial(address)) for _ in range(count)]
        for sock in sockets:
            with contextlib.suppress(OSError):  # it had to give way
                sock.sendall(start)
        yield sockets


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with studios.fake_studio(log_format="off") as (_, address):
        yield address


@pytest.fixture(scope="module")
def impatient() -> Iterator[str]:
    command = [sys.executable, "-c", IMPATIENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stdout if "http://" in line)
            yield "http://" + line.split("http://")[1].split("/")[0]
        finally:
            process.kill()


@pytest.mark.parametrize("start", [HEAD, BODY], ids=["heads", "bodies"])
def test_slow_clients_do_not_block_others(address, start):
    with flood(address, start):
        for source in ("127.0.0.1", "127.0.0.2"):
            assert ask(address, "/livez", source=source)[0] == 200
            assert ask(address, "/readyz", source=source)[0] == 200
            assert ask(address, "/api/v1/classify", squares(), source=source)[0] == 200


def test_connections_per_client_are_limited(address):
    with dial(address, "127.0.0.3") as first, flood(address, HEAD, count=400) as sockets:
        first.sendall(HEAD)
        assert ask(address, "/livez")[0] == 200
        # The oldest of the client that has most have to go, and nobody else's.
        end = time.monotonic() + 300
        while len(gone := select.select(sockets, [], [], 1)[0]) < 400 - 256:
            assert time.monotonic() < end, f"{len(gone)} of 400 are closed"
        assert not select.select([first], [], [], 0)[0]


def test_requests_per_client_behind_a_proxy_are_limited():
    options = {"proxies": 1, "max_client_connections": 2, "max_requests_per_minute": 0}
    with studios.fake_studio(seconds_per_run=2.0, log_format="off", **options) as (_, address):

        def begin(client: str) -> socket.socket:
            sock = dial(address)
            head = HEAD + f"X-Forwarded-For: 203.0.113.9, {client}\r\n".encode()
            photo = squares()
            length = f"Content-Type: image/png\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
            sock.sendall(head + length + photo)
            return sock

        busy = [begin("198.51.100.7") for _ in range(2)]
        while b"\ntriptych_requests_in_progress 2.0\n" not in ask(address, "/metrics")[1]:
            time.sleep(0.02)
        third, other = begin("198.51.100.7"), begin("198.51.100.8")
        assert third.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        for sock in (*busy, other):
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            sock.close()
        third.close()


@pytest.mark.parametrize(
    ("start", "drop", "response"),
    [
        (HEAD, b"X: y\r\n", b"HTTP/1.1 408 "),
        (BODY, b"\x89", b"HTTP/1.1 408 "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"HTTP/1.1 4"),
        (b"", b"", b""),
    ],
    ids=["a head", "a body", "chunks", "nothing"],
)
def test_sending_slowly_does_not_extend_the_time(impatient, start, drop, response):
    with dial(impatient) as sock:
        sock.sendall(start)
        with contextlib.suppress(OSError):
            while not select.select([sock], [], [], 0.1)[0]:
                sock.sendall(drop)
        assert received(sock).startswith(response)


def test_a_response_that_is_not_read_is_aborted(impatient):
    with dial(impatient) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):  # it is closed, while it still is written to
            while True:
                sock.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    assert ask(impatient, "/livez")[0] == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bytes_received_at_a_time_are_limited():
    limit = 30 * MB
    with studios.fake_studio(max_request_bytes=limit, log_format="off") as (process, address):
        before = memory_bytes(process.pid)
        head = HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % limit
        with flood(address, head, count=12) as sockets:
            for sock in sockets:
                with contextlib.suppress(OSError):  # refused, and closed
                    sock.sendall(b" " * (limit - 1))
            refused = [sock for sock in sockets if select.select([sock], [], [], 0)[0]]
            assert len(refused) >= 10
            assert refused[0].recv(1 << 16).startswith(b"HTTP/1.1 503 ")
            assert memory_bytes(process.pid) - before < 4 * limit
            assert ask(address, "/api/v1/classify", squares())[0] == 200
        assert ask(address, "/livez")[0] == 200


def memory_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "body",
    [b"a=b&" * 300_000, b"&" * 900_000, b"a" * 5_000_000],
    ids=["fields", "separators", "one field"],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_large_forms_are_refused_before_they_are_parsed(address, body, chunked):
    status, response = ask(
        address,
        "/projects",
        io.BytesIO(body) if chunked else body,
        "application/x-www-form-urlencoded",
        Accept="application/json",
    )
    assert status == 413
    assert "The form is too large" in json.loads(response)["error"]["message"]


@pytest.mark.parametrize(
    "text",
    [b"[" + b"{}," * 600_000 + b"1]", b'{"a": [' + b"[]," * 999_999 + b"1]}", b"[" * 100_000],
)
def test_large_json_is_refused_before_it_is_parsed(address, text):
    status, body = ask(address, "/api/v1/classify", text, "application/json")
    assert (status, json.loads(body)["error"]["code"]) == (413, "request_entity_too_large")


def test_json_with_very_many_keys_is_refused(address):
    text = b"{" + b",".join(b'"%d":1' % number for number in range(30_000)) + b"}"
    status, body = ask(address, "/v2/models/lite/infer", text, "application/json")
    assert status == 413
    assert "20,000 keys" in json.loads(body)["error"]


def test_the_api_accepts_compressed_bodies(address):
    """By RFC 9110, section 8.4, with Python's `gzip`."""
    for body, kind in ((squares(), "image/png"), (JSON, "application/json")):
        status, plain = ask(address, "/api/v1/classify", body, kind)
        packed = gzip.compress(body)
        same = ask(address, "/api/v1/classify", packed, kind, Content_Encoding="gzip")
        assert status == same[0] == 200
        verdicts = [json.loads(each)["results"][0]["verdict"]["top"] for each in (plain, same[1])]
        assert verdicts[0] == verdicts[1]


JSON = json.dumps({"images": [{"b64": base64.b64encode(squares()).decode()}]}).encode()


@pytest.mark.parametrize(
    ("body", "encoding", "kind", "status"),
    [
        (lambda: gzip.compress(bytes(40 * MB), 1), "gzip", "image/png", 413),
        (lambda: gzip.compress(b" " * 300 * MB, 1), "gzip", "application/json", 413),
        (lambda: gzip.compress(b"{}")[:-4], "gzip", "application/json", 400),
        (lambda: b"{}", "br", "application/json", 415),
        (lambda: b"--a--", "gzip", "multipart/form-data; boundary=a", 415),
    ],
    ids=["image", "json", "damaged", "unknown", "form"],
)
def test_compressed_bodies_have_the_same_limits(address, body, encoding, kind, status):
    assert ask(address, "/api/v1/classify", body(), kind, Content_Encoding=encoding)[0] == status
