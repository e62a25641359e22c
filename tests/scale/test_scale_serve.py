"""A committee served by Ray on three nodes of this machine: the same answers, and none is lost."""

from __future__ import annotations

import base64
import collections
import concurrent.futures
import http.client
import json
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from ray import serve

from support import ray_cluster
from support.bundles import write_multilabel
from support.bundles import write_runnable
from support.images import picture
from triptych import settings
from triptych.bundles import loading
from triptych.engines.conversion import store
from triptych.engines.options import EngineOptions
from triptych.models import zoo
from triptych.scale import run
from triptych.scale.app import INGRESS
from triptych.scale.arguments import Arguments
from triptych.web import create_app
from triptych.web.registry import Offer
from triptych.web.registry import Registry

pytestmark = [pytest.mark.ray, *map(pytest.mark.filterwarnings, ray_cluster.WARNINGS)]

# Of `lite`; and a bundle of tiny networks has members of these names, and sides in pixels.
MEMBERS = {"EfficientNetLite0": 32, "EfficientNetLite1": 48}
WAITING = 12
PHOTOS = [picture(seed) for seed in range(6)]
JPEG = {"Content-Type": "image/jpeg"}
# Long, as processes start slowly on a busy machine.
DEADLINE_S = 300
# Between the requests of a client: without it, clients take the cores from a process that starts.
PAUSE_S = 0.05
Reply = tuple[int, dict[str, str], Any]


@dataclass
class Studio:
    """What is served on the cluster.

    Args:
        nodes: The cluster.
        port: Of the proxy on the head.
        home: Of all replicas.
        arguments: As it was deployed at first.
        options: The same for the command line.
    """

    nodes: Any
    port: int
    home: Path
    arguments: Arguments
    options: list[str]

    def send(self, path: str, body: bytes, headers: dict[str, str] = JPEG) -> Reply:
        """What is answered to a post."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S + 60)
        try:
            connection.request("POST", path, body, headers)
            with connection.getresponse() as response:
                response_headers = {name.lower(): value for name, value in response.getheaders()}
                return response.status, response_headers, json.loads(response.read())
        finally:
            connection.close()

    def ask(self, photo: bytes = PHOTOS[0], **options: str) -> Reply:
        """What is answered about a photo."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return self.send(f"/api/v1/classify?{query}", photo)

    def facts(self, deployment: str) -> dict[str, Any]:
        """What the one replica of a deployment says of itself."""
        handle = serve.get_deployment_handle(deployment, run.APPLICATION)
        return handle.facts.remote().result(timeout_s=DEADLINE_S)


@pytest.fixture(scope="module")
def studio(cluster: Any, home: Path) -> Iterator[Studio]:
    """A cascade of tiny networks, whose three replicas fit into each of the nodes that work."""
    write_runnable(home, "garden", MEMBERS)
    arguments = Arguments(
        committee="garden",
        members=tuple(MEMBERS),
        precision="f32",
        home=str(home),
        cores=0.25,
        ingress_cores=0.25,
        settings={
            "max_waiting_images": WAITING,
            "max_requests_per_minute": 0,
            "deadline_s": DEADLINE_S,
        },
    )
    options = [
        *(f"--members={','.join(MEMBERS)}", "--precision=f32", f"--home={home}"),
        *("--cores=0.25", "--ingress-cores=0.25", f"--max-waiting-images={WAITING}"),
        *("--max-requests-per-minute=0", f"--deadline-s={DEADLINE_S}"),
    ]
    ray_cluster.add_workers(cluster, 2)
    port = ray_cluster.free_port()
    run.deploy(arguments, port=port, say=print, proxies=serve.config.ProxyLocation.HeadOnly)
    yield Studio(cluster, port, home, arguments, [f"--address={cluster.address}", *options])
    serve.shutdown()


def alone(home: Path, name: str) -> FlaskClient:
    """The same committee in this process alone, asked as ever."""
    in_force = settings.load({}, home=home, committee=name)
    build = EngineOptions(home=home, precision="f32", threads=1)
    classifier = loading.load_classifier(name, build, members=tuple(MEMBERS))
    bare, _, version = name.partition("@")
    offer = Offer((int(version or 1),), int(version or 1))
    registry = Registry(lambda _: classifier, lambda: {bare: offer}, bare)
    registry.get()
    return create_app(in_force, registry).test_client()


def untimed(answer: Any) -> Any:
    """An answer without what differs between two that are the same."""
    if isinstance(answer, dict):
        return {key: untimed(value) for key, value in answer.items() if key != "timing"}
    if isinstance(answer, list):
        return [untimed(value) for value in answer]
    return untimed(json.loads(answer)) if _is_verdict(answer) else answer


def _is_verdict(answer: Any) -> bool:
    return isinstance(answer, str) and answer.startswith("{")


@pytest.fixture(scope="module")
def garden(studio: Studio) -> FlaskClient:
    return alone(studio.home, "garden@1")


@pytest.mark.parametrize("rule", ["mean", "max", "vote"])
def test_answers_are_those_of_a_single_process_bit_for_bit(
    studio: Studio, garden: FlaskClient, rule: str
) -> None:
    path = f"/api/v1/classify?rule={rule}&top=1000"
    for photo in PHOTOS:
        status, headers, answer = studio.send(path, photo)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["x-content-type-options"] == "nosniff"
        assert untimed(answer) == untimed(garden.post(path, data=photo, headers=JPEG).json)


def test_the_open_inference_protocol_gives_the_same_bits(
    studio: Studio, garden: FlaskClient
) -> None:
    data = [base64.b64encode(photo).decode() for photo in PHOTOS]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}
    body = json.dumps({"id": "a", "inputs": [tensor]}).encode()
    headers = {"Content-Type": "application/json"}
    status, _, answer = studio.send("/v2/models/garden/infer", body, headers)
    assert status == 200
    expected = garden.post("/v2/models/garden/infer", data=body, headers=headers).json
    assert untimed(answer) == untimed(expected)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/classify", b"This is no photo."),
        ("/api/v1/classify?rule=guess", PHOTOS[0]),
        ("/api/v1/classify?committee=nobody", PHOTOS[0]),
        ("/api/v1/explain?member=EfficientNetLite0&format=json", PHOTOS[0]),
        ("/v2/models/garden/infer", b"{}"),
        ("/nowhere", b""),
    ],
)
def test_errors_and_explanations_are_the_same_too(
    studio: Studio, garden: FlaskClient, path: str, body: bytes
) -> None:
    expected = garden.post(path, data=body, headers=JPEG)
    status, _, answer = studio.send(path, body)
    assert (status, untimed(answer)) == (expected.status_code, untimed(expected.json))


def test_there_are_no_pages_of_projects(studio: Studio) -> None:
    for path, expected in (("/", 200), ("/projects", 404), ("/readyz", 200), ("/docs", 200)):
        connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=DEADLINE_S)
        connection.request("GET", path)
        with connection.getresponse() as response:
            assert (path, response.status) == (path, expected)
            assert b"Teach" not in response.read()
        connection.close()


def test_a_later_member_is_called_only_when_it_is_needed(studio: Studio) -> None:
    before = {name: studio.facts(name)["images"] for name in MEMBERS}
    reported = collections.Counter[str]()
    for seed in range(20):
        status, _, answer = studio.ask(picture(seed))
        assert status == 200
        reported.update(member["name"] for member in answer["results"][0]["members"])
    called = {name: studio.facts(name)["images"] - before[name] for name in MEMBERS}
    assert called == dict(reported)
    first, second = called.values()
    assert 20 == first > second > 0


def metrics_of_ray() -> dict[str, float]:
    """What Ray's agents tell of us: sums by a name and the values of the meters' own labels."""
    sums: dict[str, float] = collections.defaultdict(float)
    for node in filter(operator.itemgetter("Alive"), ray.nodes()):
        for sample in samples(node["MetricsExportPort"]):
            labels = (
                sample.labels.get(name) for name in ("deployment", "endpoint", "model", "code")
            )
            sums[" ".join((sample.name, *filter(None, labels)))] += sample.value
    return sums


def samples(port: int) -> Iterator[Sample]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("GET", "/metrics")
    with connection.getresponse() as response:
        text = response.read().decode()
    connection.close()
    for family in text_string_to_metric_families(text):
        yield from (one for one in family.samples if one.name.startswith("ray_triptych_"))


REQUESTS = f"ray_triptych_requests_total {INGRESS} api.classify garden"


def told_once(names: list[str], before: dict[str, float]) -> dict[str, float]:
    """What is told as soon as each of these figures has grown."""
    end = time.monotonic() + DEADLINE_S
    while True:
        after = metrics_of_ray()
        if all(after[name] > before[name] for name in names):
            return after
        assert time.monotonic() < end, after
        time.sleep(0.1)  # each process tells its own, five times a second


def test_ray_exports_the_metrics_of_the_server_by_the_same_names(studio: Studio) -> None:
    # A process tells all its figures at once, so with this one all that was asked before is told.
    before = metrics_of_ray()
    assert studio.ask(b"no photo")[0] == 415
    before = told_once([f"{REQUESTS} 415"], before)
    assert studio.ask()[0] == 200
    assert studio.ask(b"no photo")[0] == 415
    # The replicas themselves know how long their networks took.
    engines = [f"ray_triptych_engine_images_total {member} {member}" for member in MEMBERS]
    after = told_once([f"{REQUESTS} 200", f"{REQUESTS} 415", *engines], before)
    more = collections.defaultdict(
        float, {name: value - before[name] for name, value in after.items()}
    )
    assert (more[f"{REQUESTS} 200"], more[f"{REQUESTS} 415"]) == (1, 1)
    assert more[f"ray_triptych_images_total {INGRESS} garden"] == 1
    assert more[f"ray_triptych_request_duration_seconds_count {INGRESS} api.classify"] == 2
    for member in MEMBERS:
        assert more[f"ray_triptych_inference_duration_seconds_count {INGRESS} {member}"] == 1
        assert more[f"ray_triptych_engine_duration_seconds_count {member} {member}"] >= 1
    assert after[f"ray_triptych_requests_in_progress {INGRESS}"] == 0
    assert after[f"ray_triptych_model_ready {INGRESS} garden"] == 1
    assert after[f"ray_triptych_build_info {INGRESS}"] == 1


def test_replicas_have_no_metrics_page(studio: Studio) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=DEADLINE_S)
    connection.request("GET", "/metrics")
    with connection.getresponse() as response:
        assert response.status == 404
    connection.close()


def test_requests_beyond_the_limits_are_rejected_with_a_message(studio: Studio) -> None:
    data = [base64.b64encode(photo).decode() for photo in 2 * PHOTOS]
    assert len(data) == WAITING  # so there is room for one of these requests at a time
    body = json.dumps({"images": [{"b64": one} for one in data]}).encode()

    def send(_: int) -> Reply:
        return studio.send("/api/v1/classify", body, {"Content-Type": "application/json"})

    replies: list[Reply] = []
    end = time.monotonic() + DEADLINE_S
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        while {status for status, _, _ in replies} != {200, 503}:
            assert time.monotonic() < end, replies
            replies += pool.map(send, range(4))
    for status, headers, answer in replies:
        if status == 503:
            assert answer["error"]["code"] == "overloaded"
            assert int(headers["retry-after"]) >= 1


# ------------------------------------------------------------------ under load


@dataclass(frozen=True)
class Seen:
    """A request, and what became of it.

    Args:
        start_s: When it was sent.
        end_s: When it was answered.
        status: 0 where the connection broke.
        answer: As JSON.
    """

    start_s: float
    end_s: float
    status: int
    answer: Any


class Load:
    """Clients that ask one after the other until they are told to stop.

    Args:
        studio: Is asked.
        clients: How many there are.
        pause_s: Between an answer and the next request; after a refusal it says itself how long.
    """

    def __init__(self, studio: Studio, clients: int = 4, pause_s: float = 0.0) -> None:
        self._studio, self._pause_s = studio, pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self.seen: list[Seen] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=DEADLINE_S + 90)
            assert not thread.is_alive(), "a request hangs"

    def _run(self) -> None:
        while not self._stop.is_set():
            start = time.monotonic()
            try:
                status, headers, answer = self._studio.ask(PHOTOS[0])
            except http.client.IncompleteRead:
                status, headers, answer = 0, {}, None
            self.seen.append(Seen(start, time.monotonic(), status, answer))
            self._stop.wait(float(headers.get("retry-after", self._pause_s)))

    def wait(self, since_s: float, *, count: int, at_most_s: float = DEADLINE_S) -> float:
        """Wait until so many requests that were sent since a moment are answered; gives when."""
        end = time.monotonic() + at_most_s
        while time.monotonic() < end:
            good = [one.end_s for one in self.seen if one.start_s > since_s and one.status == 200]
            if len(good) >= count:
                return sorted(good)[count - 1]
            time.sleep(0.05)
        raise AssertionError(f"no {count} answers within {at_most_s} s")


def clear(one: Seen) -> bool:
    """Whether a request was answered, or refused in words that say when to come again."""
    return one.status == 200 or (
        one.status in (503, 504) and one.answer["error"]["code"] in ("overloaded", "deadline")
    )


def test_a_committee_is_replaced_under_load(studio: Studio, garden: FlaskClient) -> None:
    store.prepare([zoo.find(name) for name in MEMBERS], home=studio.home)
    before = {name: studio.facts(name)["pid"] for name in (INGRESS, *MEMBERS)}
    with Load(studio, pause_s=0.2) as load:
        load.wait(0, count=4)
        command = ["scale", "serve", "--detach", "--committee=lite", *studio.options]
        ran = subprocess.run(
            [sys.executable, "-m", "triptych", *command, f"--port={studio.port}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        load.wait(time.monotonic(), count=8)
    assert f"The studio is open at http://127.0.0.1:{studio.port}/" in ran.stderr
    # In place: nobody had to wait for a process to start.
    assert {name: studio.facts(name)["pid"] for name in (INGRESS, *MEMBERS)} == before
    old, new = (
        untimed(one.post("/api/v1/classify", data=PHOTOS[0], headers=JPEG).json)
        for one in (garden, alone(studio.home, "lite"))
    )
    assert {one.status for one in load.seen} == {200}
    answers = [untimed(one.answer) for one in sorted(load.seen, key=lambda one: one.start_s)]
    assert answers[0] == old
    assert answers[-1] == new
    assert all(answer in (old, new) for answer in answers)


def test_all_classes_that_hold_are_answered_as_by_a_single_process(studio: Studio) -> None:
    write_multilabel(studio.home, "bowls", MEMBERS)
    update = {"committee": "bowls"}  # its members have the same names: the replicas stay
    run.deploy(studio.arguments.model_copy(update=update), port=studio.port, say=print)
    bowls, named = alone(studio.home, "bowls@1"), set()
    for photo in PHOTOS:
        status, _, answer = studio.ask(photo, committee="bowls", top="5")
        path = "/api/v1/classify?committee=bowls&top=5"
        assert status == 200, answer
        assert untimed(answer) == untimed(bowls.post(path, data=photo, headers=JPEG).json)
        labels = answer["results"][0]["verdict"]["labels"]
        named.add(tuple(guess["label"] for guess in labels))
    assert len(named) > 1


@pytest.fixture(scope="module")
def checked_often(studio: Studio) -> None:
    """The same replicas, whose health is checked each second instead of every ten."""
    update = {"health_check_period_s": 1.0}
    run.deploy(studio.arguments.model_copy(update=update), port=studio.port, say=print)


def test_a_call_of_a_replica_that_dies_is_repeated(studio: Studio, checked_often: None) -> None:
    with Load(studio, pause_s=PAUSE_S) as load:
        load.wait(0, count=4)
        killed = time.monotonic()
        os.kill(studio.facts(next(iter(MEMBERS)))["pid"], signal.SIGKILL)
        back = load.wait(killed, count=4) - killed
    print(f"a member's replica killed: answers again after {back:.1f} s")
    assert {one.status for one in load.seen} == {200}


def test_requests_of_an_ingress_that_dies_get_503(studio: Studio, checked_often: None) -> None:
    with Load(studio, pause_s=PAUSE_S) as load:
        load.wait(0, count=4)
        killed = time.monotonic()
        os.kill(studio.facts(INGRESS)["pid"], signal.SIGKILL)
        back = load.wait(killed, count=4) - killed
    print(f"the ingress killed: answers again after {back:.1f} s")
    # An answer whose head was sent already can only be cut off, which its client notices.
    seen = [one for one in load.seen if one.status or one.start_s > killed]
    assert all(map(clear, seen)), [one for one in seen if not clear(one)]


def test_no_answer_is_lost_with_a_node(studio: Studio, checked_often: None) -> None:
    hosts = collections.Counter(studio.facts(name)["node"] for name in (INGRESS, *MEMBERS))
    victim = max(studio.nodes.worker_nodes, key=lambda node: hosts[node.node_id])
    assert hosts[victim.node_id]
    with Load(studio, pause_s=PAUSE_S) as load:
        load.wait(0, count=4)
        killed = time.monotonic()
        studio.nodes.remove_node(victim, allow_graceful=False)
        back = load.wait(killed, count=4) - killed
    print(f"a node killed: answers again after {back:.1f} s")
    assert all(map(clear, load.seen)), [one for one in load.seen if not clear(one)]
    # Its processes may live on for a moment, and the clients may not have needed all members.
    end = time.monotonic() + DEADLINE_S
    while victim.node_id in {studio.facts(name)["node"] for name in (INGRESS, *MEMBERS)}:
        assert time.monotonic() < end
        time.sleep(0.2)
