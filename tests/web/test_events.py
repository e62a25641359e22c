"""Server-sent events of a real server: clients that are slow, gone, or many."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.images import picture
from triptych.client import Job
from triptych.client import Studio
from triptych.studio.projects import Projects
from triptych.studio.projects import project_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts threads in /proc"),
]

STREAMS, CLASSES, PATIENCE_S = 16, 200, 300
SERVER = f"""
import threading
from support import studios
from triptych.studio.jobs import queue
from triptych.web import connections
from triptych.web.project_api import events
queue.WORKER = "support.endless_worker"
events._streams = threading.BoundedSemaphore({STREAMS})
events.LEAST_GAP_S, events.HEARTBEAT_S = 0.0, 0.2
connections.BODY_S, connections.RATE, connections.SWEEP_S = 1.0, 1e12, 0.05
studios.main("fake")
"""


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A studio and its address, with a project each state of whose jobs has some kilobytes."""
    home = tmp_path_factory.mktemp("events")
    projects = Projects(home)
    key = projects.make("Endless").key
    with projects.database.writing() as db:
        for number in range(CLASSES):
            project_table.add_class(db, 1, f"{'a long name ' * 4}{number}")
    for number in range(4):
        projects.add(key, f"{number}.jpg", picture(number), 1 + number % 2)
    environ = {**os.environ, "TRIPTYCH_HOME": str(home), "TRIPTYCH_LOG_FORMAT": "off"}
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            line = next(line for line in process.stdout or () if "http://" in line)
            yield process, "http://" + line.split("http://")[1].split("/")[0]
        finally:
            process.kill()


@pytest.fixture
def job(server: tuple[subprocess.Popen[str], str]) -> Iterator[Job]:
    """A training without end."""
    with Studio(server[1]) as studio:
        job = studio.projects.find("endless").teach(backbones=["lite0"])
        yield job
        if server[0].poll() is None:
            job.stop()
            list(job.events())


def listen(address: str, job: Job) -> socket.socket:
    """A client that asks for events, and reads none."""
    host, port = urlsplit(address).netloc.split(":")
    sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    path = f"/api/v1/projects/{job.key}/jobs/{job.id}/events"
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return sock


def status(address: str, job: Job) -> int:
    """The status of another client's request for events."""
    with contextlib.closing(http.client.HTTPConnection(urlsplit(address).netloc)) as connection:
        connection.request("GET", f"/api/v1/projects/{job.key}/jobs/{job.id}/events")
        return connection.getresponse().status


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def threads_of(process: subprocess.Popen[str]) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Threads:")).split()[1])


def test_silent_and_lost_listeners_hold_nothing(
    server: tuple[subprocess.Popen[str], str], job: Job
) -> None:
    process, address = server
    next(job.events())
    before = threads_of(process)
    with contextlib.ExitStack() as stack:

        def is_full() -> bool:
            # One may have been refused for a stream before, whose end the studio sees a bit later.
            stack.enter_context(listen(address, job))
            return status(address, job) == 503

        for _ in range(STREAMS):
            stack.enter_context(listen(address, job))
        wait_until(is_full)
        with urllib.request.urlopen(f"{address}/livez", timeout=PATIENCE_S) as response:
            assert response.status == 200
        assert job.state().is_under_way
        # All pools of threads together have fewer, which start when they are needed.
        assert threads_of(process) < before + STREAMS
        # Their sockets are full now; who reads nothing for the time of an answer is dropped.
        wait_until(lambda: status(address, job) == 200)
    for _ in range(3 * STREAMS):  # who is gone leaves room
        listen(address, job).close()
    wait_until(lambda: status(address, job) == 200)
    seen = job.events()
    assert next(seen).done < next(state for state in seen if state.done > 100).done


def test_many_follow_a_job_to_its_end(server: tuple[subprocess.Popen[str], str], job: Job) -> None:
    with ThreadPoolExecutor(STREAMS) as pool:
        followed = [pool.submit(lambda: list(job.events())) for _ in range(STREAMS - 1)]
        wait_until(lambda: job.state().stage == "Computing features")
        job.stop()
        for states in followed:
            assert states.result(PATIENCE_S)[-1].state == "stopped"


def test_streams_do_not_keep_a_studio_from_stopping(
    server: tuple[subprocess.Popen[str], str], job: Job
) -> None:
    process, address = server
    with urllib.request.urlopen(
        f"{address}/api/v1/projects/{job.key}/jobs/{job.id}/events", timeout=PATIENCE_S
    ) as stream:
        assert stream.readline() == b"retry: 2000\n"
        process.send_signal(signal.SIGTERM)
        lines = stream.read().decode().splitlines()  # to its end
    assert json.loads(lines[-2].removeprefix("data: "))["is_under_way"]
    assert process.wait(PATIENCE_S) == 0
