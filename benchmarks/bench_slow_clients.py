"""Keep many slow connections to a studio open, and measure how fast another client is answered.

    .venv/bin/python benchmarks/bench_slow_clients.py [--connections 600] [--seconds 60]

The studio is `triptych serve` with the committee `lite` and a temporary home folder. One after the
other, three kinds of connections are kept open: some send a header now and then, some a byte of a
photo, some nothing. Meanwhile a client with another address requests `/livez` and classifies a
drawing, once a second. A connection that the server closes is opened again at once.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import common
from triptych.studio import sample_images

HEAD = b"POST /api/v1/classify HTTP/1.1\r\nHost: localhost\r\n"
# The start of a request, and what follows every few seconds.
KINDS = {
    "heads": (HEAD, b"X-Header: value\r\n"),
    "bodies": (HEAD + b"Content-Type: image/jpeg\r\nContent-Length: 9999\r\n\r\n", b"\xff"),
    "nothing": (b"", b""),
}
EVERY_S = 5.0
LIMIT_S = 1.0


def main() -> None:
    """Measure each kind, check the claims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.connections + 200), hard))
    photo = sample_images.jpeg("apples", seed=0)
    figures: dict[str, Any] = {}
    claims: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as home, studio(home) as port:
        answer_s(port, "/api/v1/classify", photo)
        for kind in KINDS:
            figures[kind] = measure(port, photo, kind, options.connections, options.seconds)
            slowest = max(figures[kind]["livez_s"][-1], figures[kind]["classify_s"][-1])
            claims[f"{kind}: answered within {LIMIT_S:g} s"] = slowest <= LIMIT_S
            print(kind, figures[kind], flush=True)
    common.finish("slow_clients", {"connections": options.connections, **figures}, claims)


@contextlib.contextmanager
def studio(home: str) -> Iterator[int]:
    """Run a studio; gives its port."""
    command = [sys.executable, "-m", "triptych", "serve", "--port", "0", "--home", home]
    command += ["--committee", "lite", "--log-format", "off"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stderr or () if "http://" in line)
            yield int(line.split("127.0.0.1:")[1].split("/")[0])
        finally:
            process.terminate()


def measure(port: int, photo: bytes, kind: str, count: int, seconds: float) -> dict[str, Any]:
    """Median, 95th percentile and largest time of answers while slow connections are open."""
    start, chunk = KINDS[kind]
    slow = [connect(port, start) for _ in range(count)]
    livez, classify, reopened = [], [], 0
    end, next_send = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        livez.append(answer_s(port, "/livez"))
        classify.append(answer_s(port, "/api/v1/classify", photo))
        if time.monotonic() > next_send:
            next_send = time.monotonic() + EVERY_S
            for index, sock in enumerate(slow):
                try:
                    sock.sendall(chunk)
                    if sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) is not None:
                        raise ConnectionResetError  # closed, or answered
                except BlockingIOError:
                    continue
                except OSError:
                    sock.close()
                    slow[index], reopened = connect(port, start), reopened + 1
        time.sleep(1)
    for sock in slow:
        sock.close()
    return {
        "livez_s": percentiles(livez),
        "classify_s": percentiles(classify),
        "reopened": reopened,
    }


def connect(port: int, start: bytes) -> socket.socket:
    """A connection that begins a request."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    with contextlib.suppress(OSError):
        sock.sendall(start)
    return sock


def answer_s(port: int, path: str, body: bytes | None = None) -> float:
    """Seconds until a request from another address, on a new connection, is answered."""
    begun = time.perf_counter()
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=30, source_address=("127.0.0.2", 0)
    )
    headers = {"Content-Type": "image/jpeg"} if body else {}
    connection.request("POST" if body else "GET", path, body, headers)
    with connection.getresponse() as response:
        content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path} was answered by {response.status}: {content[:200]!r}")
    connection.close()
    return time.perf_counter() - begun


def percentiles(times: list[float]) -> list[float]:
    """Median, 95th percentile and largest."""
    ordered = sorted(times)
    picks = (len(ordered) // 2, int(0.95 * len(ordered)), len(ordered) - 1)
    return [round(ordered[index], 3) for index in picks]


if __name__ == "__main__":
    main()
