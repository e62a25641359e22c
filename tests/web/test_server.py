"""The server on a real socket: responsive while it computes, and stopped gracefully."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support import studios
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.web import server
from triptych.web.registry import Registry

pytestmark = pytest.mark.slow

BOUNDARY = "frontier"


def connect(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)


def post(address: str, body, headers: dict[str, str]) -> tuple[int, dict]:
    connection = connect(address)
    connection.request("POST", "/api/v1/classify", body, headers)
    with connection.getresponse() as response:
        answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def ask(address: str) -> tuple[int, dict]:
    return post(address, squares(), {"Content-Type": "image/png"})


def get(address: str, path: str) -> str:
    connection = connect(address)
    connection.request("GET", path)
    with connection.getresponse() as response:
        text = response.read().decode()
    connection.close()
    return text


def is_healthy(address: str) -> bool:
    return get(address, "/healthz") == "ok"


def wait_for_requests(address: str, count: int) -> None:
    """Wait until a number of requests is in progress."""
    while f"\ntriptych_requests_in_progress {count}.0\n" not in get(address, "/metrics"):
        time.sleep(0.02)


@pytest.fixture(scope="module")
def busy_studio():
    """A studio whose three networks take a second together."""
    with studios.fake_studio(seconds_per_run=0.35) as (_, address):
        yield address


@pytest.fixture
def asking():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield lambda address: pool.submit(ask, address)


def test_the_server_answers(busy_studio):
    status, answer = ask(busy_studio)
    assert status == 200
    assert answer["results"][0]["verdict"]["label"] in studios.NAMES


def test_requests_are_answered_while_networks_compute(busy_studio, asking):
    answers = [asking(busy_studio) for _ in range(4)]
    wait_for_requests(busy_studio, 4)
    # Were it asleep while a network computes, all would be answered before these.
    for _ in range(12):
        assert is_healthy(busy_studio)
    assert not all(answer.done() for answer in answers)
    assert [answer.result()[0] for answer in answers] == [200] * 4


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="acknowledges at once")
def test_kept_alive_connections_do_not_wait_for_acknowledgements(busy_studio):
    def fastest_s(*, acknowledge_at_once: bool) -> float:
        connection = connect(busy_studio)
        waits_s = []
        for _ in range(20):
            start = time.perf_counter()
            connection.request("GET", "/healthz")
            if acknowledge_at_once:
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            assert connection.getresponse().read() == b"ok"
            waits_s.append(time.perf_counter() - start)
        connection.close()
        return min(waits_s[1:])

    # A body that waits until its headers are acknowledged comes 40 ms later, every time but the
    # first, however fast the machine is; for a client that acknowledges at once, it does not.
    usual_s, at_once_s = (fastest_s(acknowledge_at_once=each) for each in (False, True))
    assert usual_s - at_once_s < 0.03


def test_errors_in_threads_are_answered(busy_studio):
    status, answer = post(busy_studio, b"hello", {"Content-Type": "image/png"})
    assert (status, answer["results"][0]["error"]["code"]) == (415, "not_an_image")
    status, answer = post(
        busy_studio,
        f"--{BOUNDARY}--",
        {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    assert (status, answer["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize("chunked", [False, True])
def test_requests_beyond_the_limits_are_rejected_with_a_message(busy_studio, chunked):
    block = bytes(1 << 20)
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    for before, kind, most in (
        (b"", "image/png", 32),
        (head.encode(), f"multipart/form-data; boundary={BOUNDARY}", 256),
    ):
        blocks = [before, *[block] * (most + 1)]
        body = iter(blocks) if chunked else b"".join(blocks)
        status, answer = post(busy_studio, body, {"Content-Type": kind})
        assert status == 413
        assert f" {most} MB" in answer["error"]["message"]


def refused_unread(address: str) -> tuple[int, http.client.HTTPMessage, dict] | None:
    """The answer to a request that sends its headers and not one byte of its photo, if any."""
    connection = connect(address)
    connection.putrequest("POST", "/api/v1/classify")
    connection.putheader("Content-Type", "image/png")
    connection.putheader("Content-Length", str(16 << 20))
    connection.endheaders()
    try:
        if not select.select([connection.sock], [], [], 0.1)[0]:
            return None  # it waits for the photo
        with connection.getresponse() as response:
            return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def test_a_full_server_refuses_before_it_reads(asking):
    with studios.fake_studio(seconds_per_run=2.0, max_waiting_images=2) as (_, address):
        taken = [asking(address) for _ in range(2)]
        while (refusal := refused_unread(address)) is None:
            assert not any(future.done() for future in taken), "a full server read on"
        status, headers, answer = refusal
        assert status == 503
        assert int(headers["Retry-After"]) >= 1
        assert answer["error"]["code"] == "overloaded"
        assert "2 images are waiting already" in answer["error"]["message"]
        assert [future.result()[0] for future in taken] == [200, 200]
        assert ask(address)[0] == 200


def test_requests_beyond_the_deadline_are_cancelled(asking):
    with studios.fake_studio(seconds_per_run=1.0, deadline_s=1) as (_, address):
        first, second = asking(address), asking(address)
        for answer in (first, second):
            status, body = answer.result()
            assert (status, body["error"]["code"]) == (504, "deadline")
        assert is_healthy(address)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_photos_are_freed_while_a_connection_stays_open():
    large = bytes(30 << 20)
    with studios.fake_studio() as (process, address):
        before = memory_bytes(process.pid)
        connections = [connect(address) for _ in range(6)]
        for connection in connections:
            connection.request("POST", "/api/v1/classify", large, {"Content-Type": "image/png"})
            with connection.getresponse() as response:
                assert response.status == 415
                response.read()
        assert memory_bytes(process.pid) - before < 3 * len(large)
        for connection in connections:
            connection.close()


def memory_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_progress_finish_before_the_server_stops(asking, number):
    with studios.fake_studio(seconds_per_run=0.35) as (process, address):
        idle = connect(address)
        idle.request("GET", "/healthz")
        idle.getresponse().read()  # and the connection stays open
        answer = asking(address)
        wait_for_requests(address, 1)
        assert not answer.done()
        process.send_signal(number)
        assert answer.result()[0] == 200
        assert process.wait(timeout=300) == 0
        assert "The studio is closed." in process.stdout.read()
        idle.close()


def test_a_busy_port_is_explained(busy_studio):
    port = urlsplit(busy_studio).port
    registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
    with pytest.raises(errors.SettingError, match=f"Cannot listen on 127.0.0.1:{port}: .* in use"):
        server.serve(settings.load({}, port=port), registry, print)
    with pytest.raises(errors.SettingError, match="99999: Ports end at 65535"):
        server.serve(settings.load({}, port=99999), registry, print)


def test_the_server_does_not_start_without_its_committee():
    def load(name):
        raise errors.WeightsMissing("Fetch them once with: triptych pull VGG16")

    lines = []
    with pytest.raises(errors.WeightsMissing, match="triptych pull VGG16"):
        server.serve(
            settings.load({}, port=0),
            Registry(load, studios.catalogue("lite"), "lite"),
            lines.append,
        )
    assert lines == ["Warming up the committee lite ..."]
