"""The servers that are measured: each in a separate process on 127.0.0.1, one at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving import load
from serving.uploads import Upload
from triptych.models.zoo import Backbone

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
        """Processor time of the process and all its children so far, ended ones too, in seconds."""
        return sum(_ticks(pid) for pid in _family(self.pid)) / TICKS

    def workers(self) -> list[int]:
        """Process ids of its children that run Triptych, too: worker processes."""
        return [pid for pid in _family(self.pid)[1:] if _is_triptych(pid)]


@dataclass(frozen=True)
class LitServeSetup:
    """How LitServe runs networks.

    Args:
        precision: An OpenVINO precision; ``"auto"`` leaves it to OpenVINO.
        workers: Processes with all networks.
        threads: Processor threads of the networks in each; 0 leaves it to OpenVINO.
        max_batch_size: Photos in a batch at most.
        batch_timeout: How long a batch waits to fill, in seconds.
    """

    precision: str = "auto"
    workers: int = 1
    threads: int = 0
    max_batch_size: int = 1
    batch_timeout: float = 0.0

    def __str__(self) -> str:
        batches = f", batches of {self.max_batch_size}" if self.max_batch_size > 1 else ""
        return f"{self.workers} worker{'' if self.workers == 1 else 's'}{batches}"


def plain(backbones: Sequence[str]) -> Server:
    """The plain Flask app."""
    return Server(
        "plain Flask, model.predict",
        (sys.executable, str(HERE / "plain_app.py"), "{port}", *backbones),
        tuple(f"/{name}" for name in backbones),
    )


def litserve(
    python: Path, networks: Sequence[tuple[Backbone, Path]], setup: LitServeSetup, scratch: Path
) -> Server:
    """LitServe in the environment of ``python``.

    Args:
        python: Of its environment.
        networks: Each network's row of the zoo, and its ``.xml`` file.
        setup: How it runs them.
        scratch: A folder for the file that tells it all this.
    """
    job = {
        **dataclasses.asdict(setup),
        "networks": [
            {"path": str(path), "size": row.recipe.size, "scaling": row.recipe.scaling}
            for row, path in networks
        ],
    }
    descriptor, file = tempfile.mkstemp(".json", "litserve-", scratch)
    os.write(descriptor, json.dumps(job).encode())
    os.close(descriptor)
    command = (str(python), str(HERE / "litserve_app.py"), "{port}", file)
    return Server(f"LitServe, {setup}", command, ("/predict",))


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
    # utime, stime, and both of the children that have ended; the state is the first field.
    return sum(map(int, fields[11:15]))


def _is_triptych(pid: int) -> bool:
    try:
        parts = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(part.startswith(b"triptych") for part in parts)
