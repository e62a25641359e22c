"""Heat maps and similar photos on the page, in the API, on the command line and in Python."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from support import studios
from support.images import plain_image
from support.images import squares
from triptych import settings
from triptych.cli import main
from triptych.engines import Output
from triptych.typing import Float32Array
from triptych.web import context
from triptych.web import create_app
from triptych.web.registry import Registry

API = "/api/v1/explain"
EXPLANATION = {
    *("source", "member", "label", "id", "index", "prob"),
    *("method", "methods", "heat", "box", "overlay"),
}


def run(*arguments: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), input=stdin, catch_exceptions=False)


def form(image: bytes, **options: str) -> dict[str, object]:
    return {"image": [(io.BytesIO(image), "dir/a.png")], **options}


# ------------------------------------------------------------------ the API


def test_the_committees_answer_is_explained_in_numbers_and_drawn(client: FlaskClient) -> None:
    answer = client.post(API, data=form(squares(), rule="mean")).json
    assert set(answer) == EXPLANATION
    verdict = studios.fake_classifier("lite").classify(squares())
    assert (answer["source"], answer["member"]) == ("a.png", None)
    assert (answer["label"], answer["prob"]) == (verdict.label.name, verdict.prob)
    assert set(answer["methods"].values()) == {"occlusion"}
    heat = np.array(answer["heat"])
    assert heat.ndim == 2
    assert 0 <= heat.min() <= heat.max() <= 1
    drawn = Image.open(io.BytesIO(base64.b64decode(answer["overlay"])))
    assert (drawn.format, drawn.size) == ("PNG", (60, 40))


@pytest.mark.parametrize("way", ["body", "json", "form"])
def test_a_member_and_a_class_are_named_in_each_way_to_send(client: FlaskClient, way: str) -> None:
    options = {"member": "vgg16", "label": "teapot", "committee": "classic", "fit": "square"}
    sent: dict[str, object] = {"data": form(squares(), **options)}
    if way == "body":
        sent = {"data": squares(), "content_type": "image/png", "query_string": options}
    elif way == "json":
        images = [{"name": "a.png", "b64": base64.b64encode(squares()).decode()}]
        sent = {"json": {"images": images, **options}}
    answer = client.post(API, **sent).json
    assert (answer["member"], answer["label"]) == ("VGG16", "teapot")
    assert answer["box"] == [0, 0, 1, 1]
    explanation = studios.fake_classifier("classic").explain(
        squares(), member="VGG16", label="teapot", fit="square"
    )
    np.testing.assert_allclose(answer["heat"], explanation.heat, atol=1e-3)


def test_the_overlay_alone_by_option_or_header(client: FlaskClient) -> None:
    json_answer = client.post(API, data=form(squares())).json
    for options, headers in (({"format": "png"}, {}), ({}, {"Accept": "image/png"})):
        answer = client.post(API, data=form(squares(), **options), headers=headers)
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        assert answer.data == base64.b64decode(json_answer["overlay"])
    both = client.post(API, data=form(squares(), format="json"), headers={"Accept": "image/png"})
    assert both.json["overlay"] == json_answer["overlay"]


@pytest.mark.parametrize(
    ("image", "options", "status", "message"),
    [
        (squares(), {"member": "nobody"}, 404, "no members nobody"),
        (squares(), {"label": "unicorn"}, 404, "There is no class 'unicorn'"),
        (squares(), {"committee": "nobody"}, 404, "no committee 'nobody'"),
        (
            squares(),
            {"format": "gif"},
            400,
            "The option format is 'gif'; expected one of: json, png",
        ),
        (squares(), {"top": "3"}, 400, "no option 'top'; expected only: committee, member, label"),
        (b"hello", {}, 415, "This is plain text, not an image"),
    ],
)
def test_refusals_have_the_error_format_of_the_api(
    client: FlaskClient, image: bytes, options: dict[str, str], status: int, message: str
) -> None:
    answer = client.post(API, data=form(image, **options))
    assert answer.status_code == status
    assert message in answer.json["error"]["message"]


def test_one_image_at_a_time(client: FlaskClient) -> None:
    files = [(io.BytesIO(squares()), "a.png"), (io.BytesIO(squares(1)), "b.png")]
    answer = client.post(API, data={"image": files})
    assert answer.status_code == 400
    assert "2 images came; expected one." in answer.json["error"]["message"]


def test_a_map_that_exceeds_the_deadline_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    run = studios.SlowEngine.run
    batches: list[Float32Array] = []

    def counted(engine: studios.SlowEngine, batch: Float32Array) -> Output:
        batches.append(batch)
        return run(engine, batch)

    monkeypatch.setattr(studios.SlowEngine, "run", counted)

    def explain(*, seconds_per_run: float, deadline_s: float) -> tuple[TestResponse, int]:
        """The response, and the number of batches that ran."""
        batches.clear()
        registry = Registry(
            lambda name: studios.fake_classifier(name, seconds_per_run=seconds_per_run),
            studios.catalogue("lite"),
            "lite",
        )
        registry.get()
        app = create_app(settings.load({}, deadline_s=deadline_s), registry)
        answer = app.test_client().post(API, data=form(squares()))
        queue = app.extensions[context.KEY].queue
        while queue.images:
            time.sleep(0.01)
        return answer, len(batches)

    whole, needed = explain(seconds_per_run=0, deadline_s=600)
    assert whole.status_code == 200
    given_up, used = explain(seconds_per_run=0.5, deadline_s=1)
    assert given_up.status_code == 504
    assert given_up.json["error"]["code"] == "deadline"
    assert 0 < used < needed  # nobody waits for it any more, so it ends


# ------------------------------------------------------------------ similar photos


def test_similar_photos_are_listed_for_trained_committees() -> None:
    registry = Registry(studios.fake_classifier, studios.catalogue("lite", studios.GARDEN), "lite")
    client = create_app(settings.load({}), registry).test_client()
    grey = plain_image((128, 128, 128))
    classify = "/api/v1/classify"
    fields = form(grey, committee=studios.GARDEN, similar="4")
    (answer,) = client.post(classify, data=fields).json["results"]
    similar = answer["verdict"]["similar"]
    assert len(similar) == 4
    assert all(set(each) == {"digest", "label", "distance"} for each in similar)
    assert all(len(each["digest"]) == 64 and each["label"] in studios.FLOWERS for each in similar)
    gaps = [each["distance"] for each in similar]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 0
    for options in ({"committee": studios.GARDEN}, {"committee": "lite", "similar": "4"}):
        (answer,) = client.post(classify, data=form(grey, **options)).json["results"]
        assert answer["verdict"]["similar"] == []
    for impossible in ("13", "-1", "many"):
        refused = client.post(classify, data=form(grey, similar=impossible))
        assert refused.status_code == 400
        assert "expected a whole number from 0 to 12" in refused.json["error"]["message"]


def test_thumbnails_of_training_photos_are_shown_if_the_studio_has_them(tmp_path: Path) -> None:
    registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
    app = create_app(settings.load({}, home=tmp_path), registry)
    projects = app.extensions[context.KEY].projects
    photo = projects.add(projects.make("Fruit").key, "a.png", squares(size=(500, 300)), None)
    answer = app.test_client().get(f"/similar/{photo.digest}.jpg")
    assert answer.mimetype == "image/jpeg"
    with Image.open(io.BytesIO(answer.data)) as small:
        assert small.size == (144, 240)
    for gone in ("0" * 64, "nothing"):
        answer = app.test_client().get(f"/similar/{gone}.jpg")
        assert (answer.status_code, answer.data) == (204, b"")


# ------------------------------------------------------------------ the command line


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo, and a fitted committee that replaces any other."""
    monkeypatch.setattr("triptych.load", lambda **options: studios.fake_classifier(studios.GARDEN))
    path = tmp_path / "sure.png"
    path.write_bytes(plain_image(studios.SURE))
    return path


def test_the_command_draws_the_evidence_for_the_answer(garden: Path, tmp_path: Path) -> None:
    target = tmp_path / "why.png"
    ran = run("classify", garden, "--explain", target)
    assert ran.exit_code == 0
    assert "daisy" in ran.stdout
    described = "evidence for daisy according to the committee garden, by occlusion."
    assert f"{target}: {described}" in ran.stderr
    with Image.open(target) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (60, 80))
    again = run(
        "classify", "-", "--explain", target, "--explain-member", "EfficientNetLite1",
        "--explain-label", "rose", stdin=garden.read_bytes(),
    )  # fmt: skip
    assert again.exit_code == 0
    assert "evidence for rose according to EfficientNetLite1, by occlusion." in again.stderr


def test_the_command_refuses_contradictory_options(garden: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((garden, garden, "--explain", tmp_path / "a.png"), "--explain takes one photo"),
        ((tmp_path, "--explain", tmp_path / "a.png"), "--explain takes one photo"),
        ((garden, "--explain-label", "rose"), "need --explain FILE.png"),
        ((garden, "--explain", tmp_path / "a.png", "--explain-label", "x"), "no class 'x'"),
    ):
        ran = run("classify", *arguments)
        assert ran.exit_code == 2
        assert message in ran.stderr
    nowhere = run("classify", garden, "--explain", tmp_path / "no" / "a.png")
    assert nowhere.exit_code == 1
    assert "a.png cannot be written: No such file or directory" in nowhere.stderr
    assert not (tmp_path / "a.png").exists()


def test_the_command_names_similar_photos(garden: Path) -> None:
    stdout = run("classify", garden, "--similar", "2", "--json").stdout
    similar = json.loads(stdout)["verdict"]["similar"]
    assert len(similar) == 2
    plain = run("classify", garden, "--similar", "2").stdout
    assert f"most like: {similar[0]['label']} {similar[0]['digest'][:8]}, " in plain
    table = run("classify", garden, "--similar", "2", "--csv").stdout
    assert "|".join(f"{each['label']}:{each['digest']}" for each in similar) in table
