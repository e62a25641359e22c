"""The API: JSON, lists, its OpenAPI document, and malicious requests."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import subprocess
import urllib.request
import zipfile

import flask
import pytest
from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import RequestEntityTooLarge

from support import studios
from support.bundles import write_garden
from support.images import plain_image
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.inference import answer_schemas
from triptych.models import weights
from triptych.models import zoo
from triptych.web import body as web_body
from triptych.web import create_app
from triptych.web import response_schemas
from triptych.web.registry import Registry

API = "/api/v1/classify"
METHODS = {"get", "post", "patch", "delete"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def send(client, *images: dict[str, object], **beside: object):
    return client.post(API, json={"images": images, **beside})


def form(image: bytes = b"", **options: str) -> dict[str, object]:
    return {"image": [(io.BytesIO(image), "a.png")], **options}


def escaped(body: object) -> dict[str, object]:
    return {"data": json.dumps(body), "content_type": "application/json"}


IMAGES = {"images": [{"b64": b64(squares())}]}


# ------------------------------------------------------------------ JSON


def test_json_and_form_give_the_same_answers(client):
    answer = send(client, {"name": "dir/cat.png", "b64": b64(squares())}, rule="max", top=2).json
    expected = studios.fake_classifier("lite").classify(
        squares(), source="cat.png", rule="max", top=2
    )
    (result,) = answer["results"]
    assert {**result, "timing": None} == {**expected.to_dict(), "timing": None}


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"committee": "classic", "members": ["VGG16"], "coverage": 0.5, "fit": "square"}},
        {"query_string": {"committee": "classic", "members": "VGG16", "fit": "square"}, "json": {}},
    ],
    ids=["beside", "address"],
)
def test_options_are_read_from_the_body_and_the_query_string(client, options):
    options["json"]["images"] = [{"b64": b64(squares())}]
    (answer,) = client.post(API, **options).json["results"]
    assert answer["source"] == "image 1"
    assert [member["name"] for member in answer["members"]] == ["VGG16"]


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64," + b64(squares()),
        base64.encodebytes(squares()).decode(),  # with line breaks
    ],
    ids=["data", "lines"],
)
def test_base64_variants_are_accepted(client, text):
    answers = [send(client, {"b64": each}).json["results"] for each in (text, b64(squares()))]
    assert answers[0][0]["verdict"] == answers[1][0]["verdict"]


def test_json_with_very_many_values_is_not_unpacked(client):
    body = '{"images": [' + "[]," * web_body.MAX_VALUES + "[]]}"
    response = client.post(API, data=body, content_type="application/json")
    assert response.status_code == 413
    assert "more than 50,000 values" in response.json["error"]["message"]


def test_bad_base64_fails_alone(client):
    response = send(
        client, {"b64": b64(squares())}, {"b64": "päng", "name": "p"}, {"b64": b64(b"no")}
    )
    good, bad, text = response.json["results"]
    assert response.status_code == 200
    assert "verdict" in good
    assert bad["source"] == "p"
    assert bad["error"]["code"] == "damaged_image"
    assert "This is no base64" in bad["error"]["message"]
    assert text["error"]["code"] == "not_an_image"


def test_an_only_image_that_fails_has_the_error_of_every_failed_request(client):
    for response in (send(client, {"b64": "="}), client.post(API, data=form(b"text"))):
        assert response.status_code in (400, 415)
        assert response.json["error"] == response.json["results"][0]["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "The request is not JSON"),
        ("{", "The request is not JSON"),
        ('{"images": [{"b64": "\xff"}]}'.encode("latin-1"), "The request is not JSON"),
        ("[" * 10_000, "The JSON is nested too deeply"),
        ('{"images": [], "top": ' + "9" * 10_000 + "}", "The request is not JSON"),
        ("[]", "The request is a JSON list; expected an object"),
        ("{}", "There is no image in the request"),
        ('{"images": []}', "There is no image in the request"),
        ('{"images": 3}', "The JSON at images: Invalid input type"),
        ('{"images": {"b64": ""}}', "The JSON at images: Invalid input type"),
        ('{"images": ["x"]}', "The JSON at images[0]: Invalid input type"),
        ('{"images": [{}]}', "The JSON at images[0].b64: Missing data"),
        ('{"images": [{"b64": null}]}', "The JSON at images[0].b64: Field may not be null"),
        ('{"images": [{"b64": "", "size": 1}]}', "The JSON at images[0].size: Unknown field"),
        ('{"images": [{"url": "http://localhost/x.png"}]}', "as nothing is fetched from a url"),
        ('{"images": [{"b64": ""}], "rul": "max"}', "There is no option 'rul'; expected only"),
        ('{"images": [{"b64": ""}], "top": "3"}', "The option top is '3'; expected a whole"),
        ('{"images": [{"b64": ""}], "top": 3.5}', "The option top is 3.5; expected a whole"),
        ('{"images": [{"b64": ""}], "top": true}', "The option top is True; expected a whole"),
        ('{"images": [{"b64": ""}], "coverage": NaN}', "NaN is no number of JSON"),
        ('{"images": [{"b64": ""}], "coverage": 1e999}', "The option coverage is inf; expected"),
        ('{"images": [{"b64": ""}], "members": "A"}', "The option members is 'A'; expected a list"),
        ('{"images": [{"b64": ""}], "rule": "\\ud800"}', "The JSON has half a character"),
        ('{"images": [{"b64": ""}], "rule": {"a": [1]}}', "The option rule is {'a': [1]}"),
        ('{"images": [{"b64": ""}], "image": 1}', "There is no option 'image'"),
    ],
)
def test_invalid_json_requests_are_explained(client, body, message):
    response = client.post(API, data=body, content_type="application/json")
    assert response.status_code == 400
    assert message in response.json["error"]["message"]


@pytest.mark.parametrize(
    ("address", "options"),
    [({"rule": "dice"}, {"rule": "max"}), ({"rule": "max"}, {"rule": "dice"}), ({"fit": ""}, {})],
)
def test_an_invalid_option_is_reported_wherever_it_is(client, address, options):
    for request in ({"data": form(squares(), **options)}, escaped({**IMAGES, **options})):
        response = client.post(API, query_string=address, **request)
        assert response.status_code == 400
        assert "expected one of" in response.json["error"]["message"]


def test_options_in_the_body_override_the_query_string(client):
    for request in ({"data": form(squares(), rule="max")}, escaped({**IMAGES, "rule": "max"})):
        answer = client.post(f"{API}?rule=vote", **request).json["results"][0]
        assert answer["verdict"]["rule"] == "max"
    empty = form(squares(), rule="", members="")
    answer = client.post(f"{API}?rule=vote&members=EfficientNetLite0", data=empty).json["results"][
        0
    ]
    assert answer["verdict"]["rule"] == "vote"
    assert len(answer["members"]) == 1


# ------------------------------------------------------------------ meant badly

CRLF = "\r\n"
PART = 'Content-Disposition: form-data; name="image"; filename="a.png"'


def multipart(*lines: str) -> dict[str, object]:
    body = CRLF.join(lines).encode("latin-1")
    return {"data": body, "content_type": "multipart/form-data; boundary=x"}


HOSTILE = {
    "no boundary": {"data": b"--x", "content_type": "multipart/form-data"},
    "wrong boundary": {"data": b"--y\r\n\r\n", "content_type": "multipart/form-data; boundary=x"},
    "no end": multipart("--x", PART, "", "bytes"),
    "no name": multipart("--x", "Content-Disposition: form-data", "", "bytes", "--x--"),
    "no head": multipart("--x", "", "bytes", "--x--"),
    "bytes in names": multipart("--x", PART.replace("a", "\xff\x00"), "", "hi", "--x--"),
    "charset": multipart(
        "--x", PART + CRLF + "Content-Type: text/plain; charset=x", "", "", "--x--"
    ),
    "charset of form": {"data": form(b"x", rule="ü"), "content_type": "multipart/form-data"},
    "huge top": {"data": form(squares(), top="9" * 5000)},
    "top of other digits": {"data": form(squares(), top="\uff11\uff12e")},
    "NaN": {"data": form(squares(), coverage="NaN")},
    "null byte": {"data": form(squares(), committee="lite\0")},
    "null byte of member": {"data": form(squares(), members="\0")},
    "path": {"data": form(squares(), committee="../../etc/passwd@1")},
    "address": {"query_string": "rule=%ff%00", "data": form(squares())},
    "surrogate": escaped({**IMAGES, "committee": "\ud800"}),
    "surrogates": escaped({**IMAGES, "members": ["\ud800", "\udfff"]}),
    "surrogate in base64": escaped({"images": [{"b64": "\ud800", "name": "\ud800"}]}),
    "surrogate as a name": escaped({"images": [{"\ud800": "x"}]}),
    "surrogate as an option": escaped({"images": [{"b64": ""}], "\ud800": "x"}),
    "type": {"data": b"x", "content_type": "image/\xff; x=\0"},
    "other charset": {"data": "{}".encode("utf-16"), "content_type": "application/json"},
    "parts": {"data": {**form(b"x"), **{f"n{number}": "" for number in range(10_000)}}},
    "files": multipart(*["--x", PART, "", ""] * 10_000, "--x--"),
    "long option": {"data": form(b"x", committee="x" * 400_000)},
    "form": {"data": "a=" + "&" * 9999, "content_type": "application/x-www-form-urlencoded"},
}


# What werkzeug leaves open when it stops in the middle of a form.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("request_", HOSTILE.values(), ids=HOSTILE)
def test_malicious_requests_get_the_usual_error_format(client, request_):
    response = client.post(API, **request_)
    assert 400 <= response.status_code < 500
    assert response.json["error"].keys() == {"code", "message"}
    assert len(response.text) < 3000
    assert "Traceback" not in response.text


def test_a_name_in_another_code_is_no_form_without_files(client):
    for name in ("bytes in names", "no boundary"):
        message = client.post(API, **HOSTILE[name]).json["error"]["message"]
        expected = "name that is not in UTF-8" if "bytes" in name else "The form cannot be read"
        assert expected in message


def test_a_huge_top_gives_all_classes(client):
    (answer,) = send(client, {"b64": b64(squares())}, top=10**400).json["results"]
    assert len(answer["verdict"]["top"]) == len(studios.NAMES)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "GET"])
def test_wrong_methods_get_the_usual_error_format(client, method):
    response = client.open(API, method=method)
    assert response.status_code == 405
    assert response.json["error"]["code"] == "method_not_allowed"


# ------------------------------------------------------------------ lists


def test_models_say_which_weights_exist(client):
    models = {model["name"]: model for model in client.get("/api/v1/models").json["models"]}
    assert models.keys() == zoo.BACKBONES.keys()
    assert models["VGG16"]["committees"] == ["classic"]
    assert models["VGG16"]["parameters"] == 138_357_544
    assert [name for name, model in models.items() if model["here"]] == [
        name for name, row in zoo.BACKBONES.items() if weights.locate(row)
    ]


@pytest.fixture
def trained(registry, tmp_path):
    """A client of a studio whose home folder has two versions of a bundle."""
    for created in ("2026-01-01", "2026-02-02"):
        write_garden(tmp_path, created=created)
    return create_app(settings.load({}, home=tmp_path), registry).test_client()


def test_bundles_are_listed_and_described(trained):
    (listed,) = trained.get("/api/v1/bundles").json["bundles"]
    assert listed == {
        "name": "garden",
        "version": 2,
        "versions": [1, 2],
        "active": 2,
        "classes": ["ant", "bee"],
        "members": ["one"],
        "top1": 0.7,
        "interval": [0.3968, 0.8922],
        "images": 10,
        "created": "2026-02-02",
    }
    described = trained.get("/api/v1/bundles/garden").json
    metrics = described.pop("metrics")
    assert described == listed
    assert metrics["committee"]["top1"] == 0.7
    assert metrics["confusion"] == [[7, 3], [0, 0]]
    assert trained.get("/api/v1/bundles/garden@1").json["created"] == "2026-01-01"


@pytest.mark.parametrize("name", ["tulips", "garden@3", "garden@x", "..", "%2e%2e%2f", "a%00b"])
def test_an_unknown_bundle_is_404(trained, name):
    response = trained.get(f"/api/v1/bundles/{name}")
    assert response.status_code == 404
    assert response.json["error"]["code"] in ("unknown_name", "not_found")


def test_a_bundle_with_damaged_figures_is_named(trained, tmp_path):
    (tmp_path / "bundles" / "garden" / "2" / "metrics.json").write_text("[]")
    response = trained.get("/api/v1/bundles/garden")
    assert response.status_code == 409
    assert "metrics.json: metrics is []; expected an object" in response.json["error"]["message"]


# ------------------------------------------------------------------ the document


def test_answers_match_their_schemas(client, trained):
    garden = create_app(
        settings.load({}),
        Registry(studios.fake_classifier, studios.catalogue(studios.GARDEN), studios.GARDEN),
    ).test_client()
    colours = (studios.SURE, studios.TWO_ASKED, studios.NONE_OF_THESE)
    images = [{"b64": b64(plain_image(colour))} for colour in colours]
    random = create_app(
        settings.load({}),
        Registry(
            lambda name: studios.fake_classifier(name, warning="random"),
            studios.catalogue("lite"),
            "lite",
        ),
    ).test_client()
    verdicts = [
        *send(garden, *images, rule="cascade").json["results"],
        *send(client, *images).json["results"],
        *send(random, *images).json["results"],
    ]
    assert {each["verdict"]["status"] for each in verdicts} == {"sure", "unsure", "none", None}
    assert any(each["slept"] for each in verdicts)
    assert any("warning" in each for each in verdicts)
    for schema, answers in (
        (answer_schemas.Verdict(), verdicts),
        (
            response_schemas.Explanation(),
            [c.post("/api/v1/explain", data=form(squares())).json for c in (client, random)],
        ),
        (response_schemas.Refusal(), [send(client, {"b64": "!"}).json, send(client).json]),
        (answer_schemas.Failure(), send(client, {"b64": "!"}, {"b64": ""}).json["results"]),
        (response_schemas.Error(), [client.get(API).json]),
        (response_schemas.Committees(), [client.get("/api/v1/committees").json]),
        (response_schemas.Models(), [client.get("/api/v1/models").json]),
        (response_schemas.Bundles(), [trained.get("/api/v1/bundles").json]),
        (response_schemas.BundleWithMetrics(), [trained.get("/api/v1/bundles/garden").json]),
    ):
        for answer in answers:
            assert schema.validate(answer) == {}


def test_the_document_has_all_routes_of_the_api_and_no_others(app, client):
    document = client.get("/openapi.json").json
    rules = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/")}
    assert document["openapi"] == "3.1.0"
    assert sorted(document["paths"]) == sorted(
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) for rule in rules
    )


def test_every_operation_documents_the_common_errors(client):
    for methods in client.get("/openapi.json").json["paths"].values():
        for about in (methods[name] for name in METHODS if name in methods):
            assert {"200", "401", "429", "500"} <= about["responses"].keys()


def test_classify_and_explain_document_every_error_status(client):
    """Every error that a committee, its loading or an image can raise."""
    named = client.get("/openapi.json").json["paths"][API]["post"]["responses"]
    kinds = [errors.TriptychError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert {str(kind.status) for kind in kinds} <= named.keys()


# ------------------------------------------------------------------ the document, readable


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_page_shows_the_openapi_document(client):
    page = html.unescape(client.get("/docs").text)
    document = client.get("/openapi.json").json
    for path, methods in document["paths"].items():
        for method in METHODS & methods.keys():
            assert f"{method.upper()} {path}" in page
            assert methods[method]["summary"] in words(page)
    for name, schema in document["components"]["schemas"].items():
        assert f'<h3 id="{name}" translate="no">' in page
        assert all(f"<code>{field}</code>" in page for field in schema["properties"])
    linked = set(re.findall(r'href="#([^"]+)"', page))
    assert linked <= set(re.findall(r'id="([^"]+)"', page))


def test_the_page_has_no_inline_code_and_no_external_resources(client):
    page = client.get("/docs").text
    assert not re.search(r"<script(?![^>]* src=)|<style| style=|\son\w+=", page)
    assert not re.search(r'(src|href)="(https?:)?//', page)


@pytest.mark.parametrize(("key", "needed"), [("", False), ("secret", True)])
def test_document_and_page_describe_the_key(registry, key, needed):
    client = create_app(settings.load({}, api_key=key), registry).test_client()
    headers = {"X-API-Key": key}
    document = client.get("/openapi.json", headers=headers).json
    assert document["security"] == ([{"bearer": []}, {"key": []}] if needed else [])
    assert document["components"]["securitySchemes"].keys() == {"bearer", "key"}
    page = html.unescape(client.get("/docs", headers=headers).text)
    assert ('curl -H "X-API-Key: $TRIPTYCH_API_KEY"' in page) == needed


def test_its_commands_work_when_pasted(tmp_path, monkeypatch):
    (tmp_path / "photo.jpg").write_bytes(squares(format="JPEG"))
    monkeypatch.setenv("TRIPTYCH_API_KEY", "secret-key")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("bees/1.jpg", squares(1))
    (tmp_path / "model.onnx").write_bytes(b"no model")
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    with studios.fake_studio(home=tmp_path / "home") as (_, address):
        request = urllib.request.Request(f"{address}/docs", headers={"X-API-Key": "secret-key"})
        with urllib.request.urlopen(request) as page:
            samples = re.findall(r'class="sample".*?<code>(.*?)</code>', page.read().decode(), re.S)
        commands = [html.unescape(text) for text in samples if "curl" in text]
        for command in commands:
            ran = subprocess.run(
                ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
            )
            if "why.png" in command:
                assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
                continue
            if " -o " in command:  # of a photo, a version or an export that is not there
                continue
            answer = json.loads(ran.stdout)
            if "classify" in command:
                assert "verdict" in answer["results"][-1]
            if "error" in answer:
                assert answer["error"]["code"] not in ("bad_request", "not_found", "setting")
    assert len(commands) == 69


def received(data: bytes, claimed: int, *, piece: int = 1000, ends: bool = True) -> bytes:
    """A body as the studio receives it, of a client that claims a length; 1000 bytes are taken."""
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 1000
    environ = {"wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(claimed)}
    if ends:
        environ["wsgi.input_terminated"] = True
    with pytest.MonkeyPatch.context() as patch, app.test_request_context("/", method="POST"):
        patch.setattr(web_body, "MAX_PIECE_BYTES", piece)
        return web_body.receive(web_body.Request({**flask.request.environ, **environ}))


@pytest.mark.parametrize("ends", [True, False])
def test_a_body_is_received_whole_or_refused(ends: bool) -> None:
    data = bytes(range(256)) * 3
    assert received(data, len(data), ends=ends) == data
    assert received(data, len(data), ends=ends, piece=100) == data
    assert received(b"", 0, ends=ends) == b""
    assert received(data + b"the next request", len(data), ends=ends) == data
    with pytest.raises(ClientDisconnected):
        received(data, len(data) + 1, ends=ends)
    with pytest.raises(RequestEntityTooLarge):
        received(data * 2, 2 * len(data), ends=ends)
