"""Measuring a committee: what is measured, what is printed, and how it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from support import studios
from support.images import picture
from support.images import plain_image
from triptych import errors
from triptych.benchmark import load_generator
from triptych.benchmark import local
from triptych.benchmark import networks
from triptych.benchmark import samples
from triptych.benchmark import serving
from triptych.benchmark.report import LoadReport
from triptych.cli import main
from triptych.engines import Output
from triptych.engines.fake import FakeEngine
from triptych.ensemble import params
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.preprocessing import recipe
from triptych.typing import Float32Array


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(picture(1))
    return path


@pytest.mark.slow
def test_a_network_is_measured_here_and_over_http(photo: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "bench.png"
    ran = run(
        *(photo, "--members", "EfficientNetLite0", "--weights", "random"),
        *("--seconds", "0.2", "--concurrency", "1,3", "--json", "--plot", drawing),
    )
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert report["machine"]["cores"] >= 1
    assert "openvino" in report["machine"]["versions"]
    assert report["committee"]["members"] == ["EfficientNetLite0"]
    assert not report["stopped"]
    (measured,) = report["samples"]
    assert measured["sample"]["drawn"] is False
    names = ["decode", "preprocess", "EfficientNetLite0", "combine"]
    assert [stage["name"] for stage in measured["stages"]] == names
    assert all(0 < stage["p50_ms"] <= stage["p95_ms"] for stage in measured["stages"])
    assert measured["bare_per_s"] == measured["bare"]["per_s"] > 0
    assert {way["batch"] for way in measured["bare"]["tried"]} == set(networks.BATCHES)
    assert measured["stream_per_s"] > 0
    assert measured["alone"]["p50_ms"] > 0
    assert [load["clients"] for load in measured["loads"]] == [1, 3]
    for load in measured["loads"]:
        assert set(load["statuses"]) == {"200"}
        assert load["per_s"] > 0
        assert load["p50_ms"] <= load["p99_ms"]
    assert drawing.read_bytes().startswith(b"\x89PNG")


@pytest.mark.thorough
def test_an_int8_network_is_measured_as_such(photo: Path) -> None:
    ran = run(
        *(photo, "--members", "EfficientNetLite0", "--weights", "random", "--precision", "int8"),
        *("--seconds", "0.2", "--concurrency", "1", "--json"),
    )
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["committee"]["precision"] == "int8"


class Interrupter(FakeEngine):
    """Presses Ctrl-C as soon as the networks alone are measured, in other threads."""

    def __init__(self) -> None:
        super().__init__(2)
        self._first = threading.Lock()

    def run(self, batch: Float32Array) -> Output:
        alone = threading.current_thread().name.startswith("triptych-bench")
        if alone and self._first.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        return super().run(batch)


def test_ctrl_c_shows_what_was_measured_so_far(
    photo: Path, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Member("Fake", Interrupter(), recipe.Recipe((8, 8), "tf"))
    committee = Committee("demo", (member,), studios.LABELS[:2], params.unfitted([1], [1]))
    monkeypatch.setattr("triptych.load", lambda **options: Classifier(committee))
    ran = run(photo, "--seconds", "0.1")
    assert ran.exit_code == 1
    assert "Stopped" in ran.stderr
    assert "preprocess" in ran.stdout
    assert "own photos: 1 files of 0.0 MP" in ran.stdout
    assert "photos a second" not in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--concurrency", "1,none"), "expected numbers of clients"),
        (("--seconds", "0"), "0.0 is not in the range"),
        (("--committee", "nosuch"), "nosuch"),
    ],
)
def test_wrong_usage_is_explained(arguments: tuple[str, ...], message: str) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_a_cascade_is_measured_with_the_members_it_runs() -> None:
    garden = studios.fake_classifier(studios.GARDEN)
    garden = Classifier(garden.committee.configured(rule="cascade"))
    photos = [plain_image(studios.SURE), plain_image(studios.TWO_ASKED)]
    stages, members = local.measure_stages(garden, photos, seconds=0)
    shares = {stage.name: stage.share for stage in stages}
    assert [len(names) for names in members] == [1, 2]
    assert shares["EfficientNetLite0"] == 1
    assert shares["EfficientNetLite1"] == 0.5
    assert "EfficientNetLite2" not in shares


class Recorder(FakeEngine):
    """Remembers how many photos came at once, and in how many threads."""

    def __init__(self, calls: list[tuple[int, int]], streams: int) -> None:
        super().__init__(2)
        self._calls = calls
        self._streams = streams

    def run(self, batch: Float32Array) -> Output:
        self._calls.append((self._streams, len(batch)))
        return super().run(batch)


def test_the_networks_alone_are_run_in_all_ways_and_the_best_counts() -> None:
    calls: list[tuple[int, int]] = []

    def open_committee(streams: int) -> Committee:
        members = tuple(
            Member(name, Recorder(calls, streams), recipe.Recipe((8, 8), "tf")) for name in "AB"
        )
        return Committee("demo", members, studios.LABELS[:2], params.unfitted([1, 1], [1, 1]))

    report = networks.measure(
        open_committee, [picture(1)], [["A"], ["A", "B"]], cores=3, seconds=0.05
    )
    ways = [(rate.streams, rate.batch) for rate in report.tried]
    assert ways == [(streams, batch) for streams in (1, 2, 3) for batch in (1, 2, 4, 8)]
    assert {streams for streams, _ in calls} == {1, 2, 3}
    # B runs on every second photo only.
    assert {size for _, size in calls} == {1, 2, 4, 8}
    fastest = max(report.tried, key=lambda rate: rate.per_s)
    assert (report.best.streams, report.best.batch) == (fastest.streams, fastest.batch)
    assert report.best.per_s > 0


@given(
    calls=st.lists(st.lists(st.sampled_from("ABC"), unique=True), min_size=1, max_size=9),
    batch=st.sampled_from(networks.BATCHES),
)
def test_batches_run_each_member_as_often_as_single_photos(
    calls: list[list[str]], batch: int
) -> None:
    groups = networks.group_runs(calls, batch)
    assert len(groups) == len(calls)
    once = Counter(name for names in calls for name in names)
    assert sum(groups, Counter()) == Counter({name: batch * n for name, n in once.items()})
    assert all(count <= batch for group in groups for count in group.values())


def test_photos_that_cannot_be_read_are_left_out(photo: Path) -> None:
    (photo.parent / "liar.jpg").write_bytes(b"just text")
    messages: list[str] = []
    sample = samples.read([photo.parent], messages.append)
    assert sample.photos == (picture(1),)
    assert len(messages) == 1
    assert "liar.jpg" in messages[0]
    with pytest.raises(errors.SourceError, match="no photo to measure with"):
        samples.read([photo.parent / "liar.jpg"], messages.append)


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(errors.EngineError, match=r"did not start: .*nosuch"):
        serving.ServerProcess(["--committee=nosuch"])


def test_a_lost_request_is_counted_but_not_timed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    records = load_generator.generate_load(
        port, [load_generator.encode_request("/", b"")], clients=2, seconds=0
    )
    load = LoadReport.of(2, records)
    assert load.statuses == {load_generator.NO_RESPONSE: 2}
    assert load.per_s == 0
    assert "p50_ms" not in load.to_dict()


@contextlib.contextmanager
def sending(*pieces: bytes) -> Iterator[tuple[int, list[socket.socket]]]:
    """A server that sends these pieces to any request, and then closes the connection."""
    taken: list[socket.socket] = []

    def answer(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                taken.append(connection)
                with connection:
                    connection.recv(4096)
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], taken
        listener.shutdown(socket.SHUT_RDWR)


REFUSAL = b"HTTP/1.1 503 Full\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull"


@pytest.mark.parametrize("cuts", [(), (12,), (30, 58), (len(REFUSAL) - 2,)])
def test_a_response_may_arrive_in_pieces(cuts: tuple[int, ...]) -> None:
    ends = (*cuts, len(REFUSAL))
    pieces = [REFUSAL[start:end] for start, end in zip((0, *cuts), ends, strict=True)]
    with sending(*pieces) as (port, taken):
        records: list[load_generator.RequestRecord] = []
        seconds = 0.2
        while len(records) < 2:  # a slow machine takes longer
            taken.clear()
            records = load_generator.generate_load(
                port, [load_generator.encode_request("/", b"")], clients=1, seconds=seconds
            )
            seconds *= 2
    assert {record.status for record in records} == {503}
    assert len(taken) == len(records)  # opened anew each time, as the server closes it


@pytest.mark.parametrize("response", [b"", REFUSAL[:20], REFUSAL[:-1]])
def test_a_response_that_breaks_off_counts_as_lost(response: bytes) -> None:
    with sending(response) as (port, _):
        records = load_generator.generate_load(
            port, [load_generator.encode_request("/", b"")], clients=1, seconds=0
        )
    assert [record.status for record in records] == [load_generator.NO_RESPONSE]
