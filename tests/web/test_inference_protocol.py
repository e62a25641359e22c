"""The Open Inference Protocol and TF Serving's REST: right answers, plain refusals, never a 500."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
import zlib

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import pytest
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException

from support import studios
from support.images import plain_image
from support.images import squares
from triptych import settings
from triptych.web import body
from triptych.web import context
from triptych.web import create_app
from triptych.web.protocols import tensors
from triptych.web.registry import Registry

INFER = "/v2/models/lite/infer"
PREDICT = "/v1/models/lite:predict"
NO_BASE64 = "index 0 of 1: This is no base64: .* Expected the bytes of an image file in base64"
LENGTH = "Inference-Header-Content-Length"
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
NONE = memoryview(b"")


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def files_as_json(*files: bytes, **more) -> dict:
    data = [text_of(file) for file in files]
    return {**input_of("BYTES", [len(files)], data=data), **more}


def input_of(datatype: str, shape: list[int], **more) -> dict:
    return {"inputs": [{"name": "image", "datatype": datatype, "shape": shape, **more}]}


def with_lengths(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def binary(request: dict, raw: bytes, *, size: int | None = None) -> dict:
    """Arguments of a post in which binary data follows the JSON."""
    (tensor,) = request["inputs"]
    sized = {**tensor, "parameters": {"binary_data_size": len(raw) if size is None else size}}
    header = json.dumps({**request, "inputs": [sized]}).encode()
    return {"data": header + raw, "headers": {LENGTH: str(len(header))}}


def outputs_of(response) -> dict[str, np.ndarray]:
    """The outputs by name, read as the specification says."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(LENGTH, len(response.data)))
    rest = response.data[length:]
    outputs = {}
    for tensor in json.loads(response.data[:length])["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        data = tensor["data"] if size is None else elements(tensor["datatype"], rest[:size])
        rest = rest[size or 0 :]
        kind = np.float32 if tensor["datatype"] == "FP32" else object
        outputs[tensor["name"]] = np.array(data, kind).reshape(tensor["shape"])
    assert not rest
    return outputs


def elements(datatype: str, raw: bytes) -> list:
    if datatype == "FP32":
        return [value for (value,) in struct.iter_unpack("<f", raw)]
    texts = []
    while raw:
        end = 4 + struct.unpack("<I", raw[:4])[0]
        texts.append(raw[4:end].decode())
        raw = raw[end:]
    return texts


def expected_probs(*images) -> np.ndarray:
    """The classifier's probabilities for the same images, shape (N, C)."""
    classifier = studios.fake_classifier("lite")
    rows = []
    for image in images:
        by_index = sorted(classifier.classify(image, top=100).top, key=lambda g: g.label.index)
        rows.append([guess.prob for guess in by_index])
    return np.array(rows, np.float32)


def refusal(response, status: int) -> str:
    """The message of an error in the format of both protocols."""
    assert (response.status_code, response.json.keys()) == (status, {"error"}), response.text
    return response.json["error"]


# ------------------------------------------------------------------ one answer, many ways to ask


@pytest.mark.parametrize(
    "arguments",
    [
        {"json": files_as_json(squares(1), squares(2))},
        {"json": input_of("BYTES", [2, 1], data=[[text_of(squares(1))], [text_of(squares(2))]])},
        binary(input_of("BYTES", [2]), with_lengths(squares(1), squares(2))),
        binary(input_of("BYTES", [2, 1]), with_lengths(squares(1), squares(2))),
    ],
)
def test_files_get_the_classifiers_answers(client, arguments):
    outputs = outputs_of(client.post(INFER, **arguments))
    assert outputs["probs"].tolist() == expected_probs(squares(1), squares(2)).tolist()
    named = [studios.NAMES[row.argmax()] for row in outputs["probs"]]
    assert outputs["labels"].tolist() == named


@pytest.mark.parametrize(
    "arguments",
    [
        binary(input_of("UINT8", [2, 5, 7, 3]), PIXELS.tobytes()),
        {"json": input_of("UINT8", [2, 5, 7, 3], data=PIXELS.tolist())},
        {"json": input_of("UINT8", [2, 5, 7, 3], data=PIXELS.ravel().tolist())},
    ],
)
def test_pixels_get_the_classifiers_answers(client, arguments):
    outputs = outputs_of(client.post(INFER, **arguments))
    assert outputs["probs"].tolist() == expected_probs(*PIXELS).tolist()


def test_pixels_of_one_image_need_no_batch(client):
    alone = client.post(INFER, **binary(input_of("UINT8", [5, 7, 3]), PIXELS[0].tobytes()))
    assert outputs_of(alone)["probs"].tolist() == expected_probs(PIXELS[0]).tolist()


def test_the_output_verdict_is_the_apis_answer(client):
    answer = client.post("/api/v1/classify", data=squares(), content_type="image/png").json
    text = outputs_of(client.post(INFER, json=files_as_json(squares())))["verdict"][0]
    (expected,) = answer["results"]
    got = json.loads(text)
    del got["timing"], expected["timing"]
    assert got == expected


def test_outputs_are_those_requested(client):
    wanted = [
        {"name": "labels"},
        {"name": "probs", "parameters": {"classification": 2, "binary_data": False}},
    ]
    request = files_as_json(
        squares(), outputs=wanted, parameters={"binary_data_output": True}, id="seven"
    )
    response = client.post(INFER, json=request)
    header = json.loads(response.data[: int(response.headers[LENGTH])])
    assert (header["id"], header["model_name"], header["model_version"]) == ("seven", "lite", "1")
    assert ["data" in output for output in header["outputs"]] == [False, True]
    outputs = outputs_of(response)
    assert list(outputs) == ["labels", "probs"]
    best = studios.fake_classifier("lite").classify(squares()).top
    assert outputs["probs"].tolist() == [
        [f"{guess.prob:.6f}:{guess.label.index}:{guess.label.name}" for guess in best[:2]]
    ]
    assert outputs["labels"].tolist() == [best[0].label.name]


def test_a_too_large_class_count_gives_all_classes(client):
    request = files_as_json(
        squares(), outputs=[{"name": "probs", "parameters": {"classification": 99}}]
    )
    assert outputs_of(client.post(INFER, json=request))["probs"].shape == (1, 6)


def test_coverage_widens_the_set(versioned):
    file = plain_image(studios.MANY_CLASSES)
    sizes = []
    for coverage in (0.5, 0.95):
        request = files_as_json(file, parameters={"coverage": coverage})
        outputs = outputs_of(versioned.post("/v2/models/garden/infer", json=request))
        sizes.append(len(json.loads(outputs["verdict"][0])["verdict"]["set"]["labels"]))
    assert sizes[0] < sizes[1]


def test_options_are_read_from_parameters(client):
    member = studios.fake_classifier("classic").committee.members[1].name
    options = {"members": member, "rule": "max", "fit": "square", "priority": 1}
    request = files_as_json(squares(), parameters=options)
    outputs = outputs_of(client.post("/v2/models/classic/infer", json=request))
    expected = studios.fake_classifier("classic").classify(
        squares(), members=[member], rule="max", fit="square"
    )
    verdict = json.loads(outputs["verdict"][0])
    assert verdict["verdict"]["prob"] == expected.prob
    assert [each["name"] for each in verdict["members"]] == [member]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_bodies_may_be_compressed(client, encoding, pack, path):
    both = {INFER: files_as_json(squares()), PREDICT: {"instances": [{"b64": text_of(squares())}]}}
    body = pack(json.dumps(both[path]).encode())
    response = client.post(path, data=body, headers={"Content-Encoding": encoding})
    assert response.status_code == 200


# ------------------------------------------------------------------ what the server says of itself


def test_the_server_describes_itself(client):
    answer = client.get("/v2").json
    assert answer["name"] == "triptych"
    assert {"binary_tensor_data", "classification"} <= set(answer["extensions"])
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == {"ready": True}


def test_the_metadata_fits_the_answer(client):
    answer = client.get("/v2/models/lite").json
    assert (answer["name"], answer["versions"]) == ("lite", ["1"])
    assert [(each["name"], each["datatype"]) for each in answer["inputs"]] == [("image", "BYTES")]
    outputs = client.post(INFER, json=files_as_json(squares(1), squares(2))).json["outputs"]
    assert [(o["name"], o["datatype"]) for o in outputs] == [
        (o["name"], o["datatype"]) for o in answer["outputs"]
    ]
    assert [o["shape"] for o in answer["outputs"]] == [[-1, 6], [-1], [-1]]
    assert [o["shape"] for o in outputs] == [[2, 6], [2], [2]]


def test_ready_means_loaded(client):
    response = client.get("/v2/models/classic/ready")
    assert (response.status_code, response.json) == (503, {"name": "classic", "ready": False})
    assert client.post("/v2/repository/models/classic/load", json={}).status_code == 200
    response = client.get("/v2/models/classic/ready")
    assert (response.status_code, response.json) == (200, {"name": "classic", "ready": True})
    assert client.post("/v2/repository/models/classic/unload", json={}).status_code == 200
    assert client.get("/v2/models/classic/versions/1/ready").status_code == 503


def test_a_stopping_server_is_alive_and_not_ready(app):
    app.extensions[context.KEY].queue.close()
    client = app.test_client()
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").status_code == 503
    response = client.post(INFER, json=files_as_json(squares()))
    assert "stopping" in refusal(response, 503)
    assert response.headers["Retry-After"]


def test_the_default_committee_cannot_be_unloaded(client):
    message = refusal(client.post("/v2/repository/models/lite/unload", json={}), 409)
    assert "default committee" in message
    assert client.get("/v2/health/ready").status_code == 200


@pytest.fixture
def versioned():
    """A studio with a bundle in two versions, of which the newest is loaded."""
    registry = Registry(
        lambda name: studios.fake_classifier(name.partition("@")[0]),
        lambda: {"lite": [1], studios.GARDEN: [1, 3]},
        "lite",
    )
    registry.get(studios.GARDEN)
    return create_app(settings.load({}), registry).test_client()


def test_versions_are_models_of_their_own(versioned):
    index = versioned.post("/v2/repository/index").json
    assert [(each["name"], each["version"], each["state"]) for each in index] == [
        ("lite", "1", "UNAVAILABLE"),
        ("garden", "1", "UNAVAILABLE"),
        ("garden", "3", "READY"),
    ]
    assert len(versioned.post("/v2/repository/index", json={"ready": True}).json) == 1
    assert versioned.get("/v2/models/garden").json["versions"] == ["1", "3"]
    assert versioned.get("/v2/models/garden/versions/1").json["outputs"][0]["shape"] == [-1, -1]
    for version, version_served in (("", "3"), ("/versions/1", "1"), ("/versions/3", "3")):
        response = versioned.post(
            f"/v2/models/garden{version}/infer", json=files_as_json(plain_image((9, 9, 9)))
        )
        assert response.json["model_version"] == version_served
    assert versioned.get("/v2/models/garden/versions/1/ready").status_code == 200
    assert "garden@2" in refusal(versioned.get("/v2/models/garden/versions/2"), 404)


def test_status_of_tf_serving_names_all_versions(versioned):
    answer = versioned.get("/v1/models/garden").json["model_version_status"]
    assert [(each["version"], each["state"]) for each in answer] == [
        ("3", "AVAILABLE"),
        ("1", "START"),
    ]
    answer = versioned.get("/v1/models/garden/versions/1").json["model_version_status"]
    assert [each["version"] for each in answer] == ["1"]


# ------------------------------------------------------------------ TF Serving


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (
            {"instances": [{"b64": text_of(squares(1))}, {"b64": text_of(squares(2))}]},
            "predictions",
        ),
        (
            {
                "signature_name": "serving_default",
                "instances": [{"image_bytes": {"b64": text_of(squares(n))}} for n in (1, 2)],
            },
            "predictions",
        ),
        ({"inputs": [{"b64": text_of(squares(1))}, {"b64": text_of(squares(2))}]}, "outputs"),
        ({"inputs": {"image_bytes": [{"b64": text_of(squares(n))} for n in (1, 2)]}}, "outputs"),
    ],
)
def test_tf_serving_gives_the_classifiers_answers(client, request_, key):
    for path in (PREDICT, "/v1/models/lite/versions/1:predict"):
        response = client.post(path, json=request_)
        assert response.json == {key: expected_probs(squares(1), squares(2)).tolist()}


def test_tf_serving_accepts_pixels(client):
    response = client.post(PREDICT, json={"instances": PIXELS.tolist()})
    assert response.json == {"predictions": expected_probs(*PIXELS).tolist()}


def test_tf_serving_accepts_requests_of_curl(client):
    body = json.dumps({"instances": [{"b64": text_of(squares())}]})
    response = client.post(PREDICT, data=body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 200


def test_tf_serving_metadata_has_the_signature(client):
    answer = client.get("/v1/models/lite/metadata").json
    assert answer["model_spec"]["version"] == "1"
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    dim = signature["outputs"]["probs"]["tensor_shape"]["dim"]
    assert [side["size"] for side in dim] == ["-1", "6"]


# ------------------------------------------------------------------ what is refused


def test_a_bad_image_is_named(client):
    request = files_as_json(squares(), b"hello", squares())
    assert refusal(client.post(INFER, json=request), 415).startswith("The image at index 1 of 3:")
    instances = [{"b64": text_of(squares())}, {"b64": ""}]
    message = refusal(client.post(PREDICT, json={"instances": instances}), 400)
    assert message.startswith("The image at index 1 of 2:")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nobody", 404),
        ("/v2/models/nobody/ready", 404),
        ("/v2/models/lite/versions/2", 404),
        ("/v2/models/lite@2/versions/1", 404),
        ("/v2/nowhere", 404),
        ("/v2/models/lite/infer", 405),
        ("/v1/models/nobody", 404),
        ("/v1/models/lite/labels/stable", 404),
        ("/v1/models/lite:classify", 404),
    ],
)
def test_unknown_models_and_versions_are_404(client, path, status):
    refusal(client.get(path), status)


MANY = [text_of(squares())] * 5  # one more than the fixture's limit


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ([], 400, "a JSON list; expected an object"),
        ({}, 400, "request.inputs is missing; expected a list of 1"),
        ({"inputs": []}, 400, r"request.inputs is \[\]; expected a list of 1"),
        ({"inputs": [3]}, 400, r"request.inputs\[0\] is 3; expected an object"),
        ({"inputs": [{}]}, 400, "input.name is missing; expected a text"),
        (input_of("FP32", [1, 2, 2, 3], data=[0] * 12), 400, "FP32.*expected one of: BYTES, UINT8"),
        (input_of("BYTES", [1]), 400, "neither 'data' nor the parameter 'binary_data_size'"),
        (
            input_of("BYTES", [0], data=[]),
            400,
            r"shape\[0\] is 0; expected a whole number of at least 1",
        ),
        (input_of("BYTES", [True], data=["a"]), 400, "expected a whole number of at least 1"),
        (input_of("BYTES", [-1], data=["a"]), 400, "expected a whole number of at least 1"),
        (input_of("BYTES", [1, 1, 1], data=["/9j/"]), 400, r"expected \[N\] or \[N, 1\]"),
        (input_of("BYTES", [2], data=["/9j/"]), 400, "1 elements, and its shape"),
        (
            input_of("BYTES", [1], data=["ÿØÿ"]),
            400,
            NO_BASE64,
        ),
        (input_of("BYTES", [1], data=[3]), 400, "expected a list of texts"),
        (input_of("BYTES", [5], data=MANY), 413, "more than 4 elements"),
        (input_of("BYTES", [10**9, 10**9], data=["a"]), 413, "more than 4 elements"),
        (input_of("UINT8", [2**31] * 4, data=[1]), 400, "1 elements, and its shape"),
        (input_of("UINT8", [10**4000], data=[1]), 400, "expected a whole number of at least 1"),
        (input_of("UINT8", [5, 1, 1, 3], data=[0] * 15), 413, "at most 4"),
        (input_of("UINT8", [1, 1, 3], data=[0, 1, 256]), 400, "whole numbers from 0 to 255"),
        (input_of("UINT8", [1, 1, 3], data=[0, 1, 0.5]), 400, "whole numbers from 0 to 255"),
        (input_of("UINT8", [1, 1, 3], data=[0, 1, None]), 400, "whole numbers from 0 to 255"),
        (input_of("UINT8", [1, 1, 3], data=[0, 1, "a"]), 400, "no list of numbers"),
        (input_of("UINT8", [1, 1, 3], data=[[1], [2, 3]]), 400, "ragged"),
        (input_of("UINT8", [1, 1, 3], data=[[1, 2, 3]]), 400, r"nested as \(1, 3\)"),
        (input_of("UINT8", [1, 3], data=[1, 2, 3]), 400, r"expected \[N, height, width, 3\]"),
        (
            input_of("BYTES", [1], parameters={"shared_memory_region": "x"}),
            400,
            "shared memory, which is not read here",
        ),
        (
            files_as_json(squares(), outputs=[{"name": "score"}]),
            400,
            "name is 'score'; expected one of",
        ),
        (
            files_as_json(squares(), outputs=[{"name": "probs"}] * 9),
            400,
            "expected a list of at most 3",
        ),
        (
            files_as_json(
                squares(), outputs=[{"name": "labels", "parameters": {"classification": 3}}]
            ),
            400,
            "classification is 3; expected it of 'probs' only",
        ),
        (files_as_json(squares(), parameters={"rul": "max"}), 400, "parameters.rul is unknown"),
        (files_as_json(squares(), parameters={"rule": "dice"}), 404, "no rule 'dice'"),
        (files_as_json(squares(), parameters={"members": "Nobody"}), 404, "no members Nobody"),
        (files_as_json(squares(), parameters={"members": "\ud800"}), 400, "half a character"),
        (files_as_json(squares(), parameters={"coverage": 10**4000}), 400, "expected a number"),
        (files_as_json(squares(), parameters={"coverage": 0.9999}), 400, "at most 0.999"),
        (files_as_json(squares(), parameters={"coverage": "0.9"}), 400, "expected a number"),
        (files_as_json(squares(), id=7), 400, "request.id is 7; expected a text"),
    ],
)
def test_invalid_requests_of_v2_are_refused(client, request_, status, message):
    assert_refused(client.post(INFER, data=json.dumps(request_)), status, message)


def assert_refused(response, status: int, pattern: str) -> None:
    message = refusal(response, status)
    assert re.search(pattern, message), message


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({}, 400, "either 'instances' or 'inputs'"),
        ({"instances": [], "inputs": []}, 400, "either 'instances' or 'inputs'"),
        ({"instances": []}, 400, "no image"),
        ({"instances": {"b64": "a"}}, 400, "expected a list"),
        ({"instances": [{"b64": text} for text in MANY]}, 413, "at most 4"),
        ({"instances": ["/9j/"]}, 400, "index 0 is of another form; expected"),
        (
            {"instances": [{"b64": "ÿ"}]},
            400,
            NO_BASE64,
        ),
        ({"instances": [{"b64": 3}]}, 400, "expected a text"),
        ({"instances": [{"picture": {"b64": "/9j/"}}]}, 400, "of another form"),
        ({"instances": [[[1, 2, 3]]]}, 400, r"in the shape \[1, 3\]"),
        ({"instances": [[[[1, 2]]]]}, 400, r"in the shape \[1, 1, 2\]"),
        ({"instances": [[[[1, 2, 300]]]]}, 400, "whole numbers from 0 to 255"),
        ({"instances": [[[[1, 2, 3]], []]]}, 400, "ragged"),
        ({"instances": [], "signature_name": "classify"}, 400, "no signature 'classify'"),
        ({"instances": [], "top": 3}, 400, "request.top is unknown; expected only"),
    ],
)
def test_invalid_requests_of_tf_serving_are_refused(client, request_, status, message):
    assert_refused(client.post(PREDICT, data=json.dumps(request_)), status, message)


@pytest.mark.parametrize("path", [INFER, PREDICT, "/v2/repository/models/lite/load"])
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"\xff\xd8\xff", 400, "not JSON"),
        (b'{"inputs": NaN}', 400, "NaN is no number of JSON"),
        (b'{"a":' * 10_000, 400, "nested too deeply"),
        (b"1" * 5000, 400, "not JSON"),
        (b"[" + b"0," * body.MAX_VALUES + b"0]", 413, "more than 2,000,000 values"),
    ],
)
def test_bodies_that_are_not_requests_are_refused(client, path, body, status, message):
    assert_refused(client.post(path, data=body), status, message)


ONE_FILE = input_of("BYTES", [1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (binary(ONE_FILE, with_lengths(squares()), size=3), "declares 3 bytes of binary data"),
        (binary(ONE_FILE, with_lengths(squares()), size=-1), "declares -1 bytes"),
        (binary(ONE_FILE, with_lengths(squares())[:-1]), "ends within its element 0"),
        (binary(ONE_FILE, b"\x01\x00"), "ends within its element 0"),
        (binary(ONE_FILE, b"\xff" * 4), "ends within its element 0"),
        (binary(ONE_FILE, b""), "ends within its element 0"),
        (binary(ONE_FILE, with_lengths(squares(), b"")), "4 bytes after its last element"),
        (binary(input_of("UINT8", [1, 1, 3]), b"12"), "2 elements, and its shape"),
        (binary(input_of("UINT8", [2**31] * 4), b"12"), "2 elements, and its shape"),
        (binary(files_as_json(squares()), b"123"), "has data in its JSON, and 3 bytes follow"),
        ({"data": b"{}", "headers": {LENGTH: "3"}}, "is '3'; expected the bytes of JSON"),
        ({"data": b"{}", "headers": {LENGTH: "-1"}}, "is '-1'; expected the bytes of JSON"),
        ({"data": b"{}", "headers": {LENGTH: "9" * 9999}}, "expected the bytes of JSON"),
        ({"data": b"{}", "headers": {LENGTH: "²"}}, "expected the bytes of JSON"),
        ({"data": b"{}", "headers": {LENGTH: "0"}}, "not JSON"),
    ],
)
def test_inconsistent_binary_data_is_refused(client, arguments, message):
    assert_refused(client.post(INFER, **arguments), 400, message)


PACKED = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (PACKED, "br", 415, "'br'; expected gzip, deflate or none"),
        (b"{}", "gzip", 400, "no gzip, or damaged"),
        (PACKED[:-1], "gzip", 400, "ends too early"),
        (PACKED * 2, "gzip", 400, "something follows"),
    ],
)
def test_damaged_compression_is_refused(client, body, encoding, status, message):
    response = client.post(INFER, data=body, headers={"Content-Encoding": encoding})
    assert_refused(response, status, message)


def test_a_compression_bomb_is_not_unpacked(registry):
    client = create_app(settings.load({}, max_request_bytes=10_000), registry).test_client()
    bomb = gzip.compress(bytes(1_000_000), mtime=0)
    response = client.post(INFER, data=bomb, headers={"Content-Encoding": "gzip"})
    assert_refused(response, 413, "too large")
    assert_refused(client.post(INFER, data=bytes(20_000)), 413, "too large")


# ------------------------------------------------------------------ properties

ANY_TEXT = st.text(st.characters(), max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
ARRAYS = hypothesis.extra.numpy.arrays(
    np.uint8, hypothesis.extra.numpy.array_shapes(max_dims=4, max_side=4)
)
EVERY_APP = hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None
)


@hypothesis.given(ARRAYS)
def test_pixels_arrive_unchanged(array):
    declared = {"name": "x", "datatype": "UINT8", "shape": list(array.shape)}
    sized = {**declared, "parameters": {"binary_data_size": array.size}}
    for tensor, rest in (
        (sized, memoryview(array.tobytes())),
        ({**declared, "data": array.tolist()}, NONE),
        ({**declared, "data": array.ravel().tolist()}, NONE),
    ):
        got = tensors.read(tensor, rest, most=1).data
        assert got.dtype == np.uint8
        assert got.tolist() == array.tolist()


@hypothesis.given(st.lists(st.binary(max_size=20), min_size=1))
def test_files_arrive_unchanged(files):
    raw = with_lengths(*files)
    tensor = {"name": "x", "datatype": "BYTES", "shape": [len(files)]}
    sized = {**tensor, "parameters": {"binary_data_size": len(raw)}}
    assert tensors.read(sized, memoryview(raw), most=len(files)).data == files


@hypothesis.given(
    st.booleans(),
    hypothesis.extra.numpy.arrays(np.float32, (2, 3), elements=st.floats(0, 1, width=32))
    | hypothesis.extra.numpy.arrays(object, (2, 3), elements=st.text()),
)
def test_answers_are_returned_unchanged(is_binary, array):
    tensor, raw = tensors.write("x", array, binary=is_binary)
    tensor = json.loads(json.dumps(tensor))
    data = elements(tensor["datatype"], raw) if is_binary else tensor["data"]
    assert np.array(data, array.dtype).reshape(tensor["shape"]).tolist() == array.tolist()


@hypothesis.given(ANY_JSON, st.binary(max_size=40), st.none() | st.integers(-1, 50))
def test_a_tensor_is_read_or_refused(value, rest, size):
    valid = {"name": "x", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 8}}
    for key in (*valid, "data"):
        tensor = {**valid, key: value}
        if key == "datatype":
            tensor = {**valid, "datatype": "UINT8", "shape": value}
        try:
            tensors.read(tensor, memoryview(rest)[:size], most=2)
            code = 400
        except HTTPException as error:
            code = error.code
        assert code in (400, 413)


@EVERY_APP
@hypothesis.given(ANY_JSON, st.sampled_from(["id", "inputs", "outputs", "parameters", None]))
def test_any_json_is_answered_or_refused(client, value, key):
    for path, valid in (
        (INFER, files_as_json(b"", outputs=[{"name": "probs"}])),
        (PREDICT, {"instances": [value]}),
    ):
        body = json.dumps({**valid, key: value} if key else value)
        response = client.post(path, data=body)
        assert 400 <= response.status_code < 500
        assert isinstance(response.json["error"], str)
