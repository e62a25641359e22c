"""Running the studio: probes, metrics and the log."""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import studios
from support.images import squares
from triptych import settings
from triptych.client import Studio
from triptych.engines import JoinedOutput
from triptych.engines import Output
from triptych.engines.fake import FakeEngine
from triptych.inference import committee
from triptych.inference.classifier import Classifier
from triptych.utils import files
from triptych.web import context
from triptych.web import create_app
from triptych.web import logs
from triptych.web.registry import Registry

pytestmark = pytest.mark.slow

API = "/api/v1/classify"
LITE = [row.name for row in committee.backbones("lite")]


def ask(client, data: bytes = b"", **more):
    return client.post(API, data=data or squares(), content_type="image/png", **more)


def file(seed: int) -> tuple[io.BytesIO, str]:
    return io.BytesIO(squares(seed)), "private.png"


def measured(client) -> dict[str, float]:
    """All samples by name, without those of the process."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        sample.name.removeprefix("triptych_")
        + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("triptych_")
    }


# ------------------------------------------------------------------ probes


def test_livez_is_ok_before_readyz():
    registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
    app = create_app(settings.load({}), registry)
    client = app.test_client()
    assert client.get("/livez").text == client.get("/healthz").text == "ok"
    unready = client.get("/readyz")
    assert (unready.status_code, unready.text) == (503, "The committee lite is not loaded yet.")
    registry.get()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.text) == (200, "ready")
    app.extensions[context.KEY].queue.close()
    stopping = client.get("/readyz")
    assert (stopping.status_code, stopping.text) == (503, "The studio is stopping.")
    assert client.get("/livez").status_code == 200


# Loads its committee when it is told to, by a line.
WARMING = """
import sys
from support import studios
from triptych import settings
from triptych.web import server
from triptych.web.registry import Registry

def load(name):
    sys.stdin.readline()
    return studios.fake_classifier(name)

registry = Registry(load, studios.catalogue("lite"), "lite")
chosen = settings.load({}, port=int(sys.argv[1]))
server.serve(chosen, registry, lambda line: print(line, flush=True))
"""


def test_the_server_says_when_it_is_ready_and_logs_what_it_answers():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", WARMING, str(port)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], text=True, **pipes) as process:
        assert "Warming up" in process.stdout.readline()
        assert answer(port, "GET", "/livez") == (200, "ok")
        assert answer(port, "GET", "/readyz") == (503, "The committee lite is not loaded yet.")
        process.stdin.write("\n")
        process.stdin.flush()
        assert "is open" in process.stdout.readline()
        assert answer(port, "GET", "/readyz") == (200, "ready")
        headers = {"Content-Type": "image/png", "X-Request-ID": "mine"}
        assert answer(port, "POST", f"{API}?rule=max", squares(), headers)[0] == 200
        process.terminate()
        lines = [json.loads(line) for line in process.communicate()[1].splitlines()]
    assert [line["path"] for line in lines] == [API]
    assert lines[0]["request_id"] == "mine"


def answer(port: int, method: str, path: str, *more) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, *more)
    with connection.getresponse() as response:
        answer = response.status, response.read().decode()
    connection.close()
    return answer


# ------------------------------------------------------------------ metrics


def test_metrics_count_answers(client):
    client.post(API, data={"image": [file(1), file(2)]})
    ask(client, b"hello")
    samples = measured(client)
    assert samples["requests_total 200 api.classify lite"] == 1
    assert samples["requests_total 415 api.classify lite"] == 1
    assert samples["request_duration_seconds_count api.classify"] == 2
    assert samples["requests_in_progress"] == 0
    assert samples["queue_duration_seconds_count"] == 2
    assert samples["batches_total lite"] == 2
    assert samples["batch_size_sum"] == 3
    assert samples["images_total lite"] == 2
    for member in LITE:
        assert samples[f"inference_duration_seconds_count {member}"] == 2
        assert samples[f"network_batch_size_count {member}"] == 2
        assert samples[f"network_batch_size_sum {member}"] == 2
    assert samples["model_ready lite"] == 1
    assert samples["model_ready classic"] == 0
    assert any(name.startswith("build_info") for name in samples)


class JoinedEngine(FakeEngine):
    """Says that photos of other callers ran together with its own."""

    def run(self, batch: np.ndarray) -> Output:
        output = JoinedOutput(*super().run(batch))
        output.batch_size = 3
        return output


def test_metrics_count_the_photos_that_a_network_ran_at_once():
    fake = studios.fake_classifier("lite").committee
    members = [dataclasses.replace(fake.members[0], engine=JoinedEngine(len(fake.labels)))]
    joined = dataclasses.replace(fake, members=(*members, *fake.members[1:]))
    registry = Registry(lambda _: Classifier(joined), studios.catalogue("lite"), "lite")
    client = create_app(settings.load({}), registry).test_client()
    assert ask(client, query_string={"rule": "mean"}).status_code == 200
    samples = measured(client)
    assert [samples[f"network_batch_size_sum {member}"] for member in LITE] == [3, 1, 1]
    assert samples[f"network_batch_size_bucket 2.0 {LITE[0]}"] == 0
    assert samples[f"network_batch_size_bucket 4.0 {LITE[0]}"] == 1


def test_probes_are_not_counted(client):
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/v2/health/live"):
        client.get(path)
    samples = measured(client)
    assert samples["requests_in_progress"] == 0
    assert not [name for name in samples if name.startswith("requests_total")]


def test_metric_labels_are_never_user_input(client):
    client.get("/some/nonsense")
    ask(client, query_string={"committee": "nonsense"})
    samples = measured(client)
    assert samples["requests_total 404 none "] == 1
    assert samples["requests_total 404 api.classify "] == 1
    assert "nonsense" not in client.get("/metrics").text


def test_rejections_are_counted_by_reason(registry):
    app = create_app(settings.load({}, max_request_bytes=10_000), registry)
    client = app.test_client()
    assert ask(client, bytes(20_000)).status_code == 413
    app.extensions[context.KEY].queue.close()
    assert ask(client).json["error"]["code"] == "stopping"
    samples = measured(client)
    assert samples["rejected_total request_entity_too_large"] == 1
    assert samples["rejected_total stopping"] == 1
    assert samples["requests_in_progress"] == 0


def test_studios_in_one_process_have_separate_metrics(client, registry):
    ask(client)
    other = create_app(settings.load({}), registry).test_client()
    assert "requests_total 200 api.classify lite" in measured(client)
    assert "requests_total 200 api.classify lite" not in measured(other)


def test_metrics_include_memory(client):
    assert re.search(r"^process_resident_memory_bytes \d", client.get("/metrics").text, re.M)


# ------------------------------------------------------------------ the log


@pytest.fixture
def logged(caplog):
    """The log records of a test."""
    caplog.set_level(logging.INFO, logs.logger.name)
    return caplog


def test_a_request_is_one_log_line_without_file_names(client, logged):
    data = {"image": file(1), "top": "1"}
    client.post(f"{API}?rule=max", data=data, headers={"X-Request-ID": "abc-1"})
    (record,) = logged.records
    assert record.fields.pop("duration_ms") > 0
    assert record.fields == {
        "request_id": "abc-1",
        "method": "POST",
        "path": API,
        "endpoint": "api.classify",
        "status": 200,
        "images": 1,
        "committee": "lite",
        "error": None,
        "client": "127.0.0.1",
        "key": None,
    }


def serve(home: Path, **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "triptych", "serve", "--committee", "lite", "--port", "0"]
    command += ["--weights", "random", "--members", "lite0", "--home", str(home)]
    return subprocess.Popen(
        command, text=True, stderr=subprocess.PIPE, env={**os.environ, **environ}
    )


def messages_until_open(process: subprocess.Popen[str]) -> list[dict[str, str]]:
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if "is open at" in lines[-1]["message"]:
            return lines
    raise AssertionError(lines)


def test_start_messages_are_json_if_the_log_is(tmp_path):
    with serve(tmp_path) as process:
        lines = messages_until_open(process)
        process.terminate()
        lines += map(json.loads, process.stderr)
    assert {"time", "level", "message"} == set(lines[0])
    messages = " ".join(line["message"] for line in lines)
    for part in ("Preparing EfficientNetLite0", "Warming up", "is open at", "is closed"):
        assert part in messages


def test_what_a_killed_studio_left_is_removed_at_the_next_start(tmp_path, monkeypatch):
    temporary, home, model = tmp_path / "temporary", tmp_path / "home", tmp_path / "model.pt"
    temporary.mkdir()
    model.write_bytes(b"\x80\x02}q\x00.")

    def import_model(process: subprocess.Popen[str]) -> None:
        said = messages_until_open(process)[-1]["message"]
        with Studio(re.search(r"http://\S+[^\s/.]", said)[0]) as studio:
            studio.import_model(model)

    def uploads() -> list[Path]:
        return list(temporary.rglob("model.pt"))

    with serve(home, TMPDIR=str(temporary)) as process:
        import_model(process)
        process.kill()
    assert len(uploads()) == 1
    killed = uploads()
    with serve(home, TMPDIR=str(temporary)) as process:
        import_model(process)
        (living,) = uploads()
        assert living not in killed
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        with files.own_temporary_dir():  # another studio beside it
            assert uploads() == [living]
            assert Path(tempfile.gettempdir()).parent == next(temporary.iterdir())
        assert tempfile.gettempdir() == str(temporary)
        process.terminate()
        process.communicate()
    assert [path for path in temporary.rglob("*") if path.is_file()] == []


def test_probes_are_not_logged(client, logged):
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        client.get(path)
    assert not logged.records
    client.get("/")
    assert logged.records


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, 'a"b', "猫"])
def test_an_invalid_request_id_is_replaced(client, sent):
    got = client.get("/livez", headers={"X-Request-ID": sent.encode().decode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", got.headers["X-Request-ID"])


def test_a_valid_request_id_is_kept(client):
    got = client.get("/nothing", headers={"X-Request-ID": "trace:1.2_3-4"})
    assert got.headers["X-Request-ID"] == "trace:1.2_3-4"


@pytest.fixture
def broken():
    """A studio whose committee raises an unexpected error when it is loaded."""

    def load(name):
        raise RuntimeError("a secret of the house")

    registry = Registry(load, studios.catalogue("lite"), "lite")
    yield create_app(settings.load({}), registry).test_client()
    logs.logger.handlers = []
    logs.logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("form", ["json", "off"])
def test_an_unexpected_error_is_logged_with_its_request_id(broken, capsys, form):
    logs.configure(form)
    message = ask(broken, headers={"X-Request-ID": "find-me"}).json["error"]["message"]
    assert "under the id find-me" in message
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["request_id"] for line in lines] == ["find-me"] * (2 if form == "json" else 1)
    assert "RuntimeError: a secret of the house" in lines[0]["traceback"]


def test_the_text_log_is_readable(broken, capsys):
    logs.configure("text")
    broken.get("/no%0Athing")
    (line,) = capsys.readouterr().err.splitlines()
    assert "info request request_id=" in line
    assert "method=GET path=/no%0Athing status=404" in line


def test_work_stops_soon_after_its_deadline():
    classifier = studios.fake_classifier("lite", seconds_per_run=0.1)
    registry = Registry(lambda name: classifier, studios.catalogue("lite"), "lite")
    app = create_app(settings.load({}, deadline_s=1), registry)
    data = {"image": [file(seed) for seed in range(64)]}
    late = app.test_client().post(API, data=data)
    assert (late.status_code, late.json["error"]["code"]) == (504, "deadline")
    queue = app.extensions[context.KEY].queue
    while queue.images:
        time.sleep(0.05)
    runs = sum(member.engine.runs for member in classifier.committee.members)
    assert 0 < runs < 64 * 3
