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
def kept(client: FlaskClient, projects: Projects) -> list[str]:
    """The digests of a photo the committee is unsure of, and of one that is like none."""
    ask(client, UNSURE, NONE, keep="true")
    return [one.digest for one in sorted(projects.inbox(), key=lambda one: one.name)]


def sort(client: FlaskClient, key: str, **fields: Any) -> TestResponse:
    return client.post(f"/projects/{key}/sort", data={"source": "inbox", **fields}, headers=JSON)


def bees(projects: Projects, key: str) -> int:
    return next(label.id for label in projects.find(key).classes if label.name == "bees")


def test_the_inbox_lists_waiting_photos(client: FlaskClient, key: str, kept: list[str]) -> None:
    answer = client.get("/projects/inbox")
    assert answer.location == f"/projects/{key}/sort?source=inbox"
    page = client.get(answer.location).text
    assert set(re.findall(r'data-photo="(\w+)"', page)) == set(kept)
    assert "none of its classes" in page
    assert re.search(r">daisy</span> [\d.]+.%", page)
    assert "2 photos left to sort" in page
    assert "style=" not in page


def test_a_labelled_photo_joins_the_project_and_is_taken_back(
    client: FlaskClient, projects: Projects, key: str, kept: list[str]
) -> None:
    answer = sort(client, key, photo=kept[0], do=f"class:{bees(projects, key)}").json
    assert (answer["left"], answer["said"]) == (1, ["1 photo in bees."])
    photo = trained_project.photos_by_name(projects, key)["0.png"]
    assert photo.class_id == bees(projects, key)
    assert projects.read(photo.digest) == UNSURE
    assert [one.digest for one in projects.inbox()] == [kept[1]]
    # Somebody else's page still shows it.
    again = sort(client, key, photo=kept, do=f"class:{bees(projects, key)}").json
    assert (again["photos"], again["left"]) == ([kept[1]], 0)
    assert "1 photo was decided about by somebody else" in again["said"][1]
    fields = {"source": "inbox", "batch": again["batch"], "kept": again["kept"]}
    undone = client.post(f"/projects/{key}/sort/undo", data=fields, headers=JSON)
    assert undone.json["left"] == 1
    assert list(trained_project.photos_by_name(projects, key)) == ["0.png"]


def test_photos_are_dismissed_and_restored(
    client: FlaskClient, projects: Projects, key: str, kept: list[str]
) -> None:
    answer = sort(client, key, photo=kept, do="exclude").json
    assert (answer["left"], answer["batch"]) == (0, 0)
    page = client.get(f"/projects/{key}/sort?source=inbox").text
    assert "There is nothing to review" in page
    fields = {"source": "inbox", "batch": "0", "kept": answer["kept"]}
    undone = client.post(f"/projects/{key}/sort/undo", data=fields, headers=JSON)
    assert undone.json["left"] == 2
    assert projects.find(key).photos == 0


def test_without_a_script_the_form_leads_back_and_offers_to_undo(
    client: FlaskClient, projects: Projects, key: str, kept: list[str]
) -> None:
    page = client.post(
        f"/projects/{key}/sort",
        data={"source": "inbox", "photo": kept[0], "do": "exclude"},
        headers={"Accept": "text/html"},
        follow_redirects=True,
    ).text
    assert "The last decision can be taken back." in page
    (number,) = re.findall(r'<input type="hidden" name="kept" value="(\d+)">', page)
    assert [one.digest for one in projects.inbox()] == [kept[1]]
    projects.reopen([int(number)])
    assert len(projects.inbox()) == 2


def test_the_project_whose_committee_was_unsure_is_offered_first(
    client: FlaskClient, projects: Projects, kept: list[str]
) -> None:
    page = client.get("/projects/inbox", follow_redirects=True).text
    assert "Make one first; the photos wait." in page
    garden = trained_project.create(projects, title=studios.GARDEN, each=0)
    other = trained_project.create(projects, title="Other", each=0)
    page = client.get("/projects/inbox", follow_redirects=True).text
    assert f'value="{garden}" selected' in page
    page = client.get(f"/projects/inbox?project={other}", follow_redirects=True).text
    assert f'value="{other}" selected' in page


@pytest.mark.parametrize(
    ("key", "fields", "status", "message"),
    [
        ("garden", {"do": "exclude"}, 400, "No photo was chosen"),
        ("garden", {"photo": "0" * 64, "do": "keep"}, 400, "expected accept, class:CLASS, ex"),
        ("garden", {"photo": "1", "do": "exclude"}, 400, "expected its SHA-256"),
        ("garden", {"photo": "0" * 64, "do": "class:1", "source": "x"}, 400, "one of: project, in"),
        ("garden", {"photo": "kept", "do": "class:999"}, 404, "no class of number 999"),
        ("nowhere", {"photo": "kept", "do": "class:1"}, 404, "There is no project"),
    ],
)
def test_impossible_actions_are_refused_with_a_message(
    client: FlaskClient,
    projects: Projects,
    kept: list[str],
    key: str,
    fields: dict[str, str],
    status: int,
    message: str,
) -> None:
    trained_project.create(projects, each=0)
    if fields.get("photo") == "kept":
        fields = {**fields, "photo": kept[0]}
    answer = sort(client, key, **fields)
    assert answer.status_code == status
    assert message in answer.json["error"]["message"]
    assert len(projects.inbox()) == 2


def test_an_inbox_that_is_off_says_how_to_open_it(projects: Projects, key: str) -> None:
    page = studio(projects).get("/projects/inbox", follow_redirects=True).text
    assert "The inbox is off" in page
    assert "triptych serve --inbox on" in page


def test_kept_photos_can_be_reviewed_while_the_inbox_is_off(
    client: FlaskClient, projects: Projects, key: str, kept: list[str]
) -> None:
    page = studio(projects).get("/projects/inbox", follow_redirects=True).text
    assert page.count("data-photo=") == 2
    assert "The inbox is off" in page


def test_a_project_with_any_number_of_classes_a_photo_takes_the_inbox_in(
    client: FlaskClient, projects: Projects, kept: list[str]
) -> None:
    key = projects.make("Many", multilabel=True).key
    page = client.get("/projects/inbox", follow_redirects=True).text
    assert set(re.findall(r'name="photo" value="(\w+)"', page)) == set(kept)
    answer = sort(client, key, photo=kept, do="review").json
    assert (answer["said"], answer["left"]) == (["2 photos to review."], 0)
    assert projects.find(key).unsorted == 2
    projects.set_label(key, kept[:1], projects.add_class(key, "bees").id, present=True)
    undo = {"source": "inbox", "batch": "0", "kept": answer["kept"]}
    refused = client.post(f"/projects/{key}/sort/undo", data=undo, headers=JSON)
    assert refused.status_code == 409
    projects.undo(key)
    assert client.post(f"/projects/{key}/sort/undo", data=undo, headers=JSON).json["left"] == 2
    assert sort(client, key, photo=kept, do="review", source="project").status_code == 400
