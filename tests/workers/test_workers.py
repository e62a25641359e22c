"""Committees in worker processes: the same answers as here, also when the processes are killed."""

from __future__ import annotations

import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import triptych
from support import bundles
from support import images
from triptych import errors
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.results import Failure
from triptych.workers import pool as pools
from triptych.workers.classifier import WorkerClassifier
from triptych.workers.messages import Classify
from triptych.workers.pool import WorkerPool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes inherit connections")

LITE = {"committee": "lite", "members": ["lite0"], "weights": "random", "precision": "f32"}
PATIENCE_S = 300


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def here(home) -> Classifier:
    return triptych.load(**LITE, home=home)


@pytest.fixture(scope="module")
def classifier(pool, here, home) -> WorkerClassifier:
    loaded = triptych.load(**LITE, home=home, pool=pool)
    assert isinstance(loaded, WorkerClassifier)
    return loaded


def bare(answer):
    """An answer without how long it took."""
    record = answer.to_dict()
    record.pop("timing", None)
    return record


def until(condition) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


class Deadly:
    """An image that ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_answers_are_those_of_a_classifier_in_this_process(classifier, here):
    pixels = np.random.default_rng(9).integers(0, 256, (30, 50, 3), np.uint8)
    named = [(f"{seed}.jpg", images.picture(seed)) for seed in range(12)]
    named[3:3] = [
        ("text", b"no image"),
        ("empty", b""),
        ("pixels", pixels),
        ("nowhere", "no/where"),
    ]
    options = ClassifyOptions(top=2, fit="square")
    there = list(classifier.classify_many(named, options))
    assert list(map(bare, there)) == list(map(bare, here.classify_many(named, options)))
    assert [isinstance(answer, Failure) for answer in there[2:8]] == [False] + [True] * 2 + [
        False,
        True,
        False,
    ]
    (alone,) = classifier.classify_many(named[:1], options)
    assert bare(alone) == bare(there[0])
    assert bare(classifier.classify(images.picture(5))) == bare(here.classify(images.picture(5)))


def test_all_classes_of_a_photo_come_from_workers_too(pool, home):
    bundles.write_multilabel(home)
    here = triptych.load("bowls", precision="f32", home=home)
    there = triptych.load("bowls", precision="f32", home=home, pool=pool)
    assert isinstance(there, WorkerClassifier)
    for seed in range(3):
        verdict = there.classify(images.picture(seed))
        assert verdict.labels is not None
        assert bare(verdict) == bare(here.classify(images.picture(seed)))
    with pytest.raises(errors.SettingError, match="this committee is multi-label"):
        there.classify(images.picture(0), coverage=0.9)


def test_options_are_checked_before_a_photo_is_sent(classifier):
    with pytest.raises(errors.UnknownName, match="no rule"):
        classifier.classify_many([("a", b"")], ClassifyOptions(rule="nosuch"))
    with pytest.raises(errors.UnknownName, match="VGG16"):
        classifier.classify(images.picture(0), members=["VGG16"])


def test_explanations_are_computed_in_this_process(classifier, here):
    there, expected = (each.explain(images.picture(2)) for each in (classifier, here))
    assert there.to_dict() == expected.to_dict()


def test_what_cannot_be_loaded_is_refused_and_the_rest_goes_on(pool, classifier, home):
    with pytest.raises(errors.UnknownName, match="nosuch"):
        triptych.load("nosuch", home=home, pool=pool)
    with pytest.raises(errors.UnknownName, match="nosuch"):
        pool.load("nosuch", {"home": home}, {})
    assert classifier.classify(images.picture(1)).top


def test_a_killed_worker_is_replaced_and_its_photos_are_answered(pool, classifier, here):
    photos = [images.picture(seed) for seed in range(8)]
    expected = [bare(here.classify(data)) for data in photos]
    before, stop, chance = pool.restarts, threading.Event(), random.Random(0)

    def kill() -> None:
        kills = 0
        while not stop.wait(chance.uniform(0.1, 0.5)):
            if pool.restarts == before + kills:  # the one that was killed last is replaced
                os.kill(chance.choice(pool.process_ids), signal.SIGKILL)
                kills += 1

    def ask(number: int) -> bool:
        (answer,) = classifier.classify_many([("image", photos[number % 8])], ClassifyOptions())
        return bare(answer) == {**expected[number % 8], "source": "image"}

    with ThreadPoolExecutor(7) as threads:
        threads.submit(kill)
        try:
            while pool.restarts < before + 2:
                assert all(threads.map(ask, range(24)))
        finally:
            stop.set()
    until(lambda: len(pool.process_ids) == 2)


def test_an_image_that_ends_each_process_is_refused_and_others_are_not(pool, classifier):
    named = [(f"{n}", images.picture(n) if n % 4 else Deadly()) for n in range(9)]
    for number, answer in enumerate(classifier.classify_many(named)):
        if number % 4:
            assert answer.top
        else:
            assert (answer.code, answer.source) == ("engine", f"{number}")
            assert "ended before it was done" in answer.message
    until(lambda: len(pool.process_ids) == 2)


def test_a_committee_that_nobody_uses_is_dropped_in_the_workers(pool, classifier, home):
    other = triptych.load(**{**LITE, "members": ["lite0"]}, home=home, pool=pool)
    key = other._key
    request = Classify(key, "image", images.picture(1), ClassifyOptions())
    assert pool.classify(request).top
    del other
    gc.collect()

    def is_gone() -> bool:
        try:
            pool.classify(request)
        except errors.EngineError:
            return True
        return False

    until(is_gone)
    assert classifier.classify(images.picture(1)).top


def test_workers_that_cannot_start_again_are_an_error_and_no_wait_for_ever(monkeypatch):
    with WorkerPool(2) as pool:
        monkeypatch.setattr(pools.worker_process, "__name__", "triptych.no_such_module")
        for process_id in pool.process_ids:
            os.kill(process_id, signal.SIGKILL)
        with pytest.raises(errors.EngineError, match="cannot be started again"):
            pool.classify(Classify(0, "image", b"", ClassifyOptions()))


def test_a_worker_that_cannot_be_started_for_a_while_is_started_later(monkeypatch, home):
    with WorkerPool(2) as pool:
        with monkeypatch.context() as patch:
            refused = OSError(11, "Resource temporarily unavailable")
            patch.setattr(pools, "Worker", lambda *_, **__: (_ for _ in ()).throw(refused))
            with pytest.raises(errors.EngineError, match=r"temporarily unavailable.*--workers 1"):
                WorkerPool(1)
            os.kill(pool.process_ids[0], signal.SIGKILL)
            until(lambda: pool._failed_starts)
        until(lambda: len(pool.process_ids) == 2)
        classifier = triptych.load(**LITE, home=home, pool=pool)
        assert classifier.classify(images.picture(1)).top


def test_a_committee_of_large_networks_stays_in_this_process(pool, home, monkeypatch):
    monkeypatch.setattr("triptych.workers.classifier.LIGHT_BYTES", 1000)
    assert type(triptych.load(**LITE, home=home, pool=pool)) is Classifier


@pytest.mark.parametrize(("wanted", "threads", "size"), [(1, 0, None), (3, 0, 3), (0, 1, None)])
def test_how_many_workers_are_started(wanted, threads, size):
    with pools.start(wanted, threads=threads) as pool:
        assert (pool and pool.size) == size
        assert pool is None or len(pool.process_ids) == size


@pytest.fixture(scope="module")
def served(home, here):
    """A server with two workers, in a process group of its own; its process, address, output."""
    command = [sys.executable, "-m", "triptych", "serve", "--port=0", "--workers=2"]
    command += ["--committee=lite", "--members=lite0", "--weights=random", "--precision=f32"]
    with subprocess.Popen(
        [*command, f"--home={home}"], text=True, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if address := re.search(r"http://[0-9.:]+/", line):
                break
        reader = threading.Thread(target=lines.extend, args=(process.stderr,))
        reader.start()
        yield process, address[0], lines
        process.kill()
        reader.join()


def post(address: str, data: bytes):
    request = urllib.request.Request(f"{address}api/v1/classify", data)
    request.add_header("Content-Type", "image/jpeg")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return json.load(response)


def metric(address: str, name: str) -> list[float]:
    with urllib.request.urlopen(f"{address}metrics") as response:
        text = response.read().decode()
    return [float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)]


def test_a_server_answers_while_its_workers_are_killed(served, here):
    process, address, lines = served
    data = images.picture(3)
    (expected,) = (bare(each) for each in here.classify_many([("image 1", data)]))
    assert metric(address, "triptych_workers") == [2]
    with ThreadPoolExecutor(4) as clients:
        answers = [clients.submit(post, address, data) for _ in range(40)]
        if sys.platform == "linux":
            assert all(size > 1 << 20 for size in metric(address, "triptych_worker_memory_bytes"))
            for child in worker_ids(process.pid)[:1]:
                os.kill(child, signal.SIGKILL)
        for answer in answers:
            (result,) = answer.result()["results"]
            result.pop("timing")
            assert result == expected
    if sys.platform == "linux":
        until(lambda: metric(address, "triptych_worker_restarts") == [1])
        assert metric(address, "triptych_workers") == [2]
        assert any("worker process ended" in line for line in lines)


def worker_ids(parent: int) -> list[int]:
    """The children of a process, by the files of all its threads."""
    tasks = f"/proc/{parent}/task"
    found = []
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/children") as file:
            found += map(int, file.read().split())
    return sorted(found)


def test_ctrl_c_in_a_terminal_lets_photos_under_way_finish(served):
    process, address, _lines = served
    body = [images.picture(seed) for seed in range(30)]
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(post_many, address, body)
        until(lambda: metric(address, "triptych_requests_in_progress") == [1])
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        results = answer.result()["results"]
    assert len(results) == 30
    assert all("verdict" in result for result in results)
    assert process.wait(PATIENCE_S) == 0


def post_many(address: str, photos: list[bytes]):
    head = '--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    body = b"".join(head.encode() + data + b"\r\n" for data in photos) + b"--x--\r\n"
    request = urllib.request.Request(f"{address}api/v1/classify", body)
    request.add_header("Content-Type", "multipart/form-data; boundary=x")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return json.load(response)
