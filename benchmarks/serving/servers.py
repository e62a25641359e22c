"""The servers that are measured: each in a separate process on 127.0.0.1, one at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving import load
from serving.uploads import Upload

HERE = Path(__file__).parent
READY_S = 600.0  # a first start converts networks
STOP_S = 30.0
ANSWERED = b"HTTP/1.1 200"
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """How to start a server.

    Args:
        name: For people.
        command: The command line; ``{port}`` stands for the port.
        paths: Where a photo is posted, one after the other.
    """

    name: str
    command: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Running:
    """A running server."""

    port: int
    pid: int

    def rss_mb(self) -> float:
        """Memory of the process and all its children, in MB."""
        return sum(_rss_bytes(pid) for pid in _family(self.pid)) / 1e6

    def cpu_s(self) -> float:
        """Processor time that the process and all its children have taken so far, in seconds."""
        return sum(_ticks(pid) for pid in _family(self.pid)) / TICKS


def plain() -> Server:
    """The plain Flask app."""
    return Server(
        "plain Flask, model.predict",
        (sys.executable, str(HERE / "plain_app.py"), "{port}"),
        ("/resnet50", "/vgg16", "/xception"),
    )


def litserve(python: Path, precision: str, networks: list[Path]) -> Server:
    """LitServe with the three networks, in the environment of ``python``."""
    script = str(HERE / "litserve_app.py")
    return Server(
        f"LitServe {precision}",
        (str(python), script, "{port}", precision, *map(str, networks)),
        ("/predict",),
    )


def triptych(committee: str, precision: str, home: Path, *options: str) -> Server:
    """``triptych serve``."""
    command = (sys.executable, "-m", "triptych", "serve", "--port", "{port}")
    selected = ("--committee", committee, "--precision", precision, "--home", str(home))
    return Server(f"Triptych {precision}", (*command, *selected, *options), ("/api/v1/classify",))


@contextlib.contextmanager
def running(server: Server, photo: Upload) -> Iterator[Running]:
    """Start a server, wait until it answers, and end it with all its children afterwards.

    Args:
        server: How to start it.
        photo: Is posted until there is an answer.

    Raises:
        RuntimeError: It ended before it was ready; the message has the end of its output.
    """
    port = _free_port()
    requests = [load.encode(path, str(photo.file), photo.type) for path in server.paths]
    # Settings in the environment must not change the measurement.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("TRIPTYCH_")}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [part.format(port=port) for part in server.command],
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _wait_ready(process, port, requests):
                output.seek(0)
                raise RuntimeError(f"{server.name} did not start:\n{output.read()[-2000:]}")
            yield Running(port, process.pid)
        finally:
            _end(process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_ready(process: subprocess.Popen[bytes], port: int, requests: list[bytes]) -> bool:
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if all(_is_answered(port, request) for request in requests):
                return True
        time.sleep(0.2)
    return False


def _is_answered(port: int, request: bytes) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=READY_S) as connection:
        connection.sendall(request)
        return connection.recv(len(ANSWERED)) == ANSWERED


def _end(process: subprocess.Popen[bytes]) -> None:
    # Its children too: LitServe has several.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _family(pid: int) -> list[int]:
    """A process, its children and theirs."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name may contain anything, so fields are counted from its closing bracket.
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])  # utime and stime; the state is the first
