"""The studio used by NVIDIA's tritonclient, over a real socket."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from support import studios
from support.images import squares

pytestmark = pytest.mark.slow

triton = pytest.importorskip("tritonclient.http")

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), np.uint8)
FILES = np.array([squares(1), squares(2)], object)


@pytest.fixture(scope="module")
def address():
    with studios.fake_studio() as (_, address):
        yield urlsplit(address).netloc


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address) as client:
        yield client


def tensor(array: np.ndarray, *, binary: bool = True):
    kind = "BYTES" if array.dtype == object else "UINT8"
    infer_input = triton.InferInput("image", list(array.shape), kind)
    return [infer_input.set_data_from_numpy(array, binary_data=binary)]


def expected_probs(images) -> list[list[float]]:
    classifier = studios.fake_classifier("lite")
    verdicts = [classifier.classify(image, top=100) for image in images]
    rows = [sorted(verdict.top, key=lambda guess: guess.label.index) for verdict in verdicts]
    return np.array([[guess.prob for guess in row] for row in rows], np.float32).tolist()


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("lite")
    assert client.is_model_ready("garden", "1")
    assert client.get_server_metadata()["name"] == "triptych"
    assert client.get_model_metadata("lite", "1")["inputs"][0]["name"] == "image"
    assert client.get_model_config("lite")["max_batch_size"] == 0


def test_the_repository(client):
    index = {each["name"]: each["state"] for each in client.get_model_repository_index()}
    assert index == {
        "lite": "READY",
        "classic": "UNAVAILABLE",
        "garden": "READY",
        "nursery": "UNAVAILABLE",
    }
    client.load_model("classic")
    assert client.is_model_ready("classic")
    client.unload_model("classic")
    assert not client.is_model_ready("classic")
    with pytest.raises(triton.InferenceServerException, match="default committee"):
        client.unload_model("lite")


TEXTS = np.array([base64.b64encode(file) for file in FILES], object)


@pytest.mark.parametrize(
    ("inputs", "images"),
    [
        (tensor(FILES), FILES),
        (tensor(FILES[:, np.newaxis]), FILES),
        (tensor(TEXTS, binary=False), FILES),
        (tensor(PIXELS), PIXELS),
        (tensor(PIXELS, binary=False), PIXELS),
    ],
)
@pytest.mark.parametrize("is_binary", [True, False])
def test_answers(client, inputs, images, is_binary):
    wanted = [triton.InferRequestedOutput(n, binary_data=is_binary) for n in ("probs", "labels")]
    result = client.infer("lite", inputs, outputs=wanted, request_id="7")
    assert result.get_response()["id"] == "7"
    assert result.as_numpy("probs").tolist() == expected_probs(images)
    winners = [studios.NAMES[row.argmax()] for row in result.as_numpy("probs")]
    assert [
        label.decode() if is_binary else label for label in result.as_numpy("labels")
    ] == winners


def test_all_outputs_come_when_none_is_named(client):
    result = client.infer("lite", tensor(FILES), parameters={"rule": "max"}, timeout=1000)
    assert result.as_numpy("probs").shape == (2, 6)
    assert json.loads(result.as_numpy("verdict")[0])["verdict"]["rule"] == "max"


def test_classification(client):
    wanted = [triton.InferRequestedOutput("probs", class_count=2)]
    (best, _), _ = client.infer("lite", tensor(FILES), outputs=wanted).as_numpy("probs")
    value, index, label = best.decode().split(":", 2)
    expected = studios.fake_classifier("lite").classify(FILES[0])
    assert (int(index), label) == (expected.label.index, expected.label.name)
    assert float(value) == pytest.approx(expected.prob, abs=1e-6)


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_compression(client, kind):
    result = client.infer(
        "lite",
        tensor(PIXELS),
        request_compression_algorithm=kind,
        response_compression_algorithm=kind,
    )
    assert result.as_numpy("probs").tolist() == expected_probs(PIXELS)


def test_the_example_of_the_docs(address, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "protocols.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    (tmp_path / "cat.jpg").write_bytes(squares(format="JPEG"))
    monkeypatch.chdir(tmp_path)
    exec(example.replace("127.0.0.1:5000", address), {})
    assert capsys.readouterr().out.startswith("[[b'0.")


def test_simultaneous_requests(client):
    pending = [client.async_infer("lite", tensor(FILES)) for _ in range(4)]
    answers = [each.get_result().as_numpy("probs").tolist() for each in pending]
    assert answers == [expected_probs(FILES)] * 4


@pytest.mark.parametrize(
    ("model", "array", "status", "message"),
    [
        ("nobody", FILES, "404", "There is no committee 'nobody'"),
        ("lite", np.array([squares(), b"hello"], object), "415", "image at index 1 of 2"),
        ("lite", PIXELS[..., :2], "400", r"expected \[N, height, width, 3\]"),
    ],
)
def test_refusals_are_the_clients_exceptions(client, model, array, status, message):
    with pytest.raises(triton.InferenceServerException, match=message) as caught:
        client.infer(model, tensor(array))
    assert caught.value.status() == status
