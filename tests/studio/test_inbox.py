"""The inbox: photos are kept for review only with consent, and only unsure ones."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from support import studios
from support import trained_project
from support.images import plain_image
from triptych import errors
from triptych import settings
from triptych.studio.projects import Projects
from triptych.web import create_app
from triptych.web.registry import Registry

JSON = {"Accept": "application/json"}
UNSURE = plain_image(studios.MANY_CLASSES)
SURE = plain_image(studios.SURE)
NONE = plain_image(studios.NONE_OF_THESE)


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    return Projects(tmp_path)


def studio(projects: Projects, **options: object) -> FlaskClient:
    registry = Registry(
        studios.fake_classifier,
        studios.catalogue(studios.GARDEN, studios.NURSERY, "lite"),
        studios.GARDEN,
    )
    in_force = settings.load({}, home=projects.home, **options)
    return create_app(in_force, registry).test_client()


@pytest.fixture
def client(projects: Projects) -> FlaskClient:
    return studio(projects, inbox="on")


def ask(
    client: FlaskClient, *photos: bytes, address: str = "/api/v1/classify", **options: str
) -> TestResponse:
    images = [(io.BytesIO(data), f"{number}.png") for number, data in enumerate(photos)]
    return client.post(address, data={"image": images, **options})


# ------------------------------------------------------------------ what is kept


def test_only_unsure_photos_are_kept(client: FlaskClient, projects: Projects) -> None:
    answer = ask(client, SURE, UNSURE, NONE, b"no image", keep="true")
    assert answer.status_code == 200
    statuses = [result.get("verdict", {}).get("status") for result in answer.json["results"]]
    assert statuses == ["sure", "unsure", "none", None]
    stored = projects.inbox()
    assert {one.name for one in stored} == {"1.png", "2.png"}
    verdicts = {one.name: one.verdict for one in stored}
    assert verdicts["1.png"]["committee"] == studios.GARDEN
    assert verdicts["1.png"]["status"] == "unsure"
    assert verdicts["1.png"]["top"][0]["label"] == verdicts["1.png"]["label"]
    assert {one.name: projects.read(one.digest) for one in stored} == {
        "1.png": UNSURE,
        "2.png": NONE,
    }


def test_a_committee_that_promises_nothing_keeps_only_doubtful_photos(
    client: FlaskClient, projects: Projects
) -> None:
    answer = ask(client, SURE, UNSURE, NONE, keep="true", committee=studios.NURSERY)
    verdicts = [result["verdict"] for result in answer.json["results"]]
    assert [verdict["status"] for verdict in verdicts] == ["unsure", "unsure", "none"]
    assert [bool(verdict["status_reason"]) for verdict in verdicts] == [True, True, False]
    assert verdicts[0]["prob"] > 0.95
    assert {one.name for one in projects.inbox()} == {"1.png", "2.png"}
    page = client.get("/projects/inbox").text
    assert '<strong>In doubt</strong>: <span translate="no">daisy' in page


@pytest.mark.parametrize("options", [{}, {"keep": "false"}, {"keep": ""}])
def test_nothing_is_kept_without_the_senders_consent(
    client: FlaskClient, projects: Projects, options: dict[str, str]
) -> None:
    assert ask(client, UNSURE, **options).status_code == 200
    assert projects.inbox() == []


def test_nothing_is_kept_while_the_inbox_is_off(projects: Projects) -> None:
    answer = ask(studio(projects), UNSURE, keep="true")
    assert answer.status_code == 403
    assert "this studio keeps no photos: its inbox is off" in answer.json["error"]["message"]
    assert "start it with --inbox on" in answer.json["error"]["message"]
    assert projects.inbox() == []


def test_photos_in_json_are_kept_as_files_are(client: FlaskClient, projects: Projects) -> None:
    images = [{"b64": base64.b64encode(UNSURE).decode(), "name": "far/away.png"}]
    answer = client.post("/api/v1/classify", json={"images": images, "keep": True})
    assert answer.status_code == 200
    assert [(one.name, projects.read(one.digest)) for one in projects.inbox()] == [
        ("away.png", UNSURE)
    ]


@pytest.mark.parametrize("keep", ["yes", 1, "true", None])
def test_keep_accepts_true_and_false_only(client: FlaskClient, keep: object) -> None:
    images = [{"b64": base64.b64encode(UNSURE).decode()}]
    answer = client.post("/api/v1/classify", json={"images": images, "keep": keep})
    assert answer.status_code == 400
    assert "expected true or false" in answer.json["error"]["message"]


def test_the_page_asks_for_consent_only_if_the_inbox_is_on(
    client: FlaskClient, projects: Projects
) -> None:
    words = "Keep these photos for review if the committee is unsure"
    page = client.get("/").text
    assert words in page
    assert re.search(r'<input type="checkbox" name="keep" value="true"\s*>', page)  # not ticked
    assert words not in studio(projects).get("/").text


def test_the_form_keeps_photos_too(client: FlaskClient, projects: Projects) -> None:
    page = ask(client, UNSURE, address="/", keep="true")
    assert page.status_code == 200
    assert re.search(r'name="keep" value="true"\s+checked', page.text)
    assert len(projects.inbox()) == 1


def test_a_failure_to_keep_a_photo_does_not_affect_the_answer(
    client: FlaskClient, projects: Projects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise errors.StateError("The disk is full.")

    monkeypatch.setattr(Projects, "keep", full)
    answer = ask(client, UNSURE, keep="true")
    assert answer.status_code == 200
    assert answer.json["results"][0]["verdict"]["status"] == "unsure"
    assert projects.inbox() == []


# ------------------------------------------------------------------ what becomes of it


@pytest.fixture
def key(projects: Projects) -> str:
    return trained_project.create(projects, each=0)


@pytest.fixture
def inbox_ids(client: FlaskClient, projects: Projects) -> list[int]:
    ask(client, UNSURE, NONE, keep="true")
    return [one.id for one in sorted(projects.inbox(), key=lambda one: one.name)]


def settle(client: FlaskClient, **fields: Any) -> TestResponse:
    return client.post("/projects/inbox/settle", data=fields, headers=JSON)


def bees(projects: Projects, key: str) -> int:
    return next(label.id for label in projects.find(key).classes if label.name == "bees")


def test_the_inbox_lists_waiting_photos(
    client: FlaskClient, key: str, inbox_ids: list[int]
) -> None:
    page = client.get("/projects/inbox").text
    assert {int(number) for number in re.findall(r'data-photo="(\d+)"', page)} == set(inbox_ids)
    assert '<strong>Unsure</strong>: <span translate="no">daisy' in page
    assert '<strong>None of these</strong>; at best <span translate="no">daisy' in page
    assert "2 photos" in page
    assert "style=" not in page


def test_a_labelled_photo_joins_the_project(
    client: FlaskClient, projects: Projects, key: str, inbox_ids: list[int]
) -> None:
    answer = settle(client, kept=inbox_ids[0], project=key, do=f"class:{bees(projects, key)}")
    assert answer.json["waiting"] == 1
    photo = trained_project.photos_by_name(projects, key)["0.png"]
    assert photo.class_id == bees(projects, key)
    assert projects.read(photo.digest) == UNSURE
    assert [one.id for one in projects.inbox()] == [inbox_ids[1]]


def test_photos_are_dismissed_and_restored(
    client: FlaskClient, projects: Projects, key: str, inbox_ids: list[int]
) -> None:
    assert settle(client, kept=inbox_ids, project=key, do="dismiss").json["waiting"] == 0
    assert "There is nothing to review" in client.get("/projects/inbox").text
    answer = client.post("/projects/inbox/reopen", data={"kept": inbox_ids}, headers=JSON)
    assert answer.json["waiting"] == 2


def test_without_a_script_the_form_leads_back_and_offers_to_undo(
    client: FlaskClient, projects: Projects, key: str, inbox_ids: list[int]
) -> None:
    fields = {"one": f"{inbox_ids[0]} dismiss", "kept": inbox_ids[1], "project": key}
    page = client.post(
        "/projects/inbox/settle",
        data=fields,
        headers={"Accept": "text/html"},
        follow_redirects=True,
    ).text
    assert "1 photo dealt with." in page
    assert f'<input type="hidden" name="kept" value="{inbox_ids[0]}">' in page
    assert [one.id for one in projects.inbox()] == [inbox_ids[1]]


def test_the_project_whose_committee_was_unsure_is_offered_first(
    client: FlaskClient, projects: Projects, inbox_ids: list[int]
) -> None:
    garden = trained_project.create(projects, title=studios.GARDEN, each=0)
    other = trained_project.create(projects, title="Other", each=0)
    assert f'value="{garden}" selected' in client.get("/projects/inbox").text
    assert f'value="{other}" selected' in client.get(f"/projects/inbox?project={other}").text


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"do": "dismiss"}, 400, "No photo was chosen"),
        ({"kept": "1", "do": "keep"}, 400, "expected class:CLASS or dismiss"),
        ({"kept": "99", "do": "dismiss"}, 404, "no photo of number 99"),
        ({"kept": "1", "do": "class:999", "project": "garden"}, 404, "no class of number 999"),
        ({"kept": "1", "do": "class:1", "project": "nowhere"}, 404, "There is no project"),
    ],
)
def test_impossible_actions_are_refused_with_a_message(
    client: FlaskClient,
    projects: Projects,
    key: str,
    inbox_ids: list[int],
    fields: dict[str, str],
    status: int,
    message: str,
) -> None:
    answer = settle(client, **fields)
    assert answer.status_code == status
    assert message in answer.json["error"]["message"]
    assert len(projects.inbox()) == 2


def test_an_inbox_that_is_off_says_how_to_open_it(projects: Projects) -> None:
    page = studio(projects).get("/projects/inbox").text
    assert "The inbox is off" in page
    assert "triptych serve --inbox on" in page


def test_kept_photos_can_be_reviewed_while_the_inbox_is_off(
    client: FlaskClient, projects: Projects, key: str, inbox_ids: list[int]
) -> None:
    page = studio(projects).get("/projects/inbox").text
    assert page.count("data-photo=") == 2
    assert "The inbox is off" in page


def test_without_projects_photos_wait(client: FlaskClient, inbox_ids: list[int]) -> None:
    assert "There is no project to add them to yet" in client.get("/projects/inbox").text
