"""The page *Sort*: proposals accepted as one batch, photos and groups named, and two people."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from support import studios
from support import trained_project
from support.images import squares
from triptych import settings
from triptych.studio.keys import Keys
from triptych.studio.projects import Projects
from triptych.studio.sorting import INBOX
from triptych.studio.sorting import PROJECT
from triptych.studio.sorting import Answer
from triptych.studio.sorting import Plan
from triptych.studio.sorting.sorting import LabelsLeft
from triptych.web import create_app
from triptych.web.project_api import sorting_schemas
from triptych.web.registry import Registry
from triptych.web.studio.sorting import left_in_words

JSON = {"Accept": "application/json"}
SURE, UNSURE, NONE = "sure", "unsure", "none"
# What a committee of ants, bees and wasps answers about the photos of the heap.
ANSWERS = [
    *[Answer(SURE, 1, 0.9 + n / 1000, 0.3, is_selected=True) for n in range(6)],
    *[Answer(UNSURE, 0, 0.6), Answer(NONE, 2, 0.5), Answer(UNSURE, 0, 0.7)],
    Answer(SURE, 2, 0.9, 0.3, is_selected=True),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """A home, a trained project in it, and the digests of ten photos without a class.

    A plan says what the committee answers.
    """
    home = tmp_path_factory.mktemp("built")
    projects = Projects(home)
    key = trained_project.create(projects)
    trained_project.train(projects, key, fitted=trained_project.FITTED)
    digests = [
        projects.add(key, f"heap-{n}.png", squares(200 + n)).digest for n in range(len(ANSWERS))
    ]
    by_hand = [digests[7], digests[6], digests[8]]
    answers = dict(zip(digests, ANSWERS, strict=True))
    plan = Plan(1, answers, by_hand, [[digests[6], digests[8]]], frozenset(digests))
    plan.write(home, key, PROJECT)
    return home, key, digests


@pytest.fixture
def projects(built: tuple[Path, str, list[str]], tmp_path: Path) -> Projects:
    return Projects(shutil.copytree(built[0], tmp_path / "home"))


@pytest.fixture
def key(built: tuple[Path, str, list[str]]) -> str:
    return built[1]


@pytest.fixture
def heap(built: tuple[Path, str, list[str]]) -> list[str]:
    return built[2]


@pytest.fixture
def client(projects: Projects) -> FlaskClient:
    return studio(projects)


def studio(projects: Projects, **options: object) -> FlaskClient:
    registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
    return create_app(settings.load({}, home=projects.home, **options), registry).test_client()


def post(client: FlaskClient, address: str, **fields: Any) -> TestResponse:
    return client.post(address, data=fields, headers=JSON)


def classes(projects: Projects, key: str) -> dict[str, str | None]:
    names: dict[int | None, str] = {each.id: each.name for each in projects.find(key).classes}
    photos = projects.photos(key, limit=-1)
    return {each.name: names.get(each.class_id) for each in photos if each.name.startswith("heap")}


def form_of(page: str, name: str) -> dict[str, Any]:
    """The fields of the proposal of a class, as a browser sends them without a script."""
    forms = re.findall(r'<form class="proposal.*?</form>', page, re.DOTALL)
    (form,) = [each for each in forms if f'<strong translate="no">{name}</strong>' in each]
    return {
        "photo": re.findall(r'name="photo" value="([^"]+)" checked', form),
        "rest": re.search(r'name="rest" value="([^"]*)"', form)[1],
        "do": re.search(r'name="do" value="([^"]+)"', form)[1],
    }


def shown(page: str) -> list[str]:
    by_hand = page[page.index('id="sort"') :]
    return re.findall(r'data-photo="(\w+)"', by_hand)


def test_all_that_the_committee_is_sure_of_is_accepted_and_taken_back_at_once(
    client, projects, key, heap
):
    page = client.get(f"/projects/{key}/sort").text
    assert "10 photos left to sort" in page
    assert '<strong>6</strong> photos look like <strong translate="no">bees</strong>' in page
    assert "at most 10\xa0% are expected to be wrong" in page
    fields = form_of(page, "bees")
    assert {value.partition(":")[0] for value in fields["photo"]} == set(heap[:6])
    answer = post(client, f"/projects/{key}/sort", **fields).json
    assert (answer["said"], answer["left"]) == (["6 photos in bees."], 4)
    assert [*classes(projects, key).values()] == ["bees"] * 6 + [None] * 4
    assert "look like <strong" not in client.get(f"/projects/{key}/sort").text
    undone = post(client, f"/projects/{key}/sort/undo", batch=answer["batch"])
    assert undone.json["left"] == 10
    assert set(classes(projects, key).values()) == {None}


def test_strange_photos_come_first_and_what_was_not_selected_is_named_by_hand(
    client, projects, key, heap
):
    answers = dict(zip(heap, ANSWERS, strict=True))
    for digest, strangeness in zip(heap[:4], (0.1, 0.7, 0.5, 0.95), strict=True):
        answers[digest] = answers[digest]._replace(strangeness=strangeness)
    answers[heap[3]] = answers[heap[3]]._replace(is_selected=False)
    answers[heap[8]] = answers[heap[8]]._replace(is_selected=True)  # unsure, and safe
    Plan(1, answers, [heap[3], *heap[6:8]], [], frozenset(heap)).write(projects.home, key, PROJECT)
    address = f"/projects/{key}/sort"
    page = client.get(address).text
    photos = [value.partition(":")[0] for value in form_of(page, "bees")["photo"]]
    assert photos == [heap[1], heap[2], heap[4], heap[5], heap[0]]
    assert form_of(page, "ants")["photo"][0].startswith(heap[8])
    assert shown(page) == [heap[3], *heap[6:8]]
    # Where a person says that there is a class for everything, the committee's word counts.
    page = client.get(address, query_string={"closed": 1}).text
    photos = [value.partition(":")[0] for value in form_of(page, "bees")["photo"]]
    assert photos == [heap[3], heap[1], heap[2], heap[4], heap[5], heap[0]]
    assert shown(page) == heap[6:9]
    assert "at least 95\xa0% are right" in page
    # Out of fold, three bees were called bees as surely, and two ants.
    assert "3 of 5 such answers were right when it was tested" in page
    answer = post(client, address, **form_of(page, "bees"), closed=1).json
    page = client.get(answer["address"]).text
    assert "at least 95\xa0% are right" in page  # of wasps; it is still the same page
    assert "photos look like <strong" not in page


def test_programs_accept_what_the_page_offers_and_take_it_back(client, projects, key, heap):
    address = f"/api/v1/projects/{key}/sort"
    offered = client.get(address).json
    assert sorting_schemas.Heap().validate(offered) == {}
    assert (offered["waiting"], offered["by_hand"], offered["left"]) == (10, 3, None)
    assert (offered["wrong_share"], offered["promise"], offered["version"]) == (0.1, 0.95, 1)
    assert not offered["needs_comparison"]
    bees, wasps = offered["offers"]
    page = form_of(client.get(f"/projects/{key}/sort").text, "bees")
    assert bees["digests"] == [value.partition(":")[0] for value in page["photo"]]
    assert (bees["class_name"], bees["photos"], wasps["digests"]) == ("bees", 6, [heap[9]])
    # Somebody else is quicker with one of them.
    ants = projects.find(key).classes[0].id
    projects.decide(key, [heap[0]], class_id=ants, person="Ann")
    body = {"class_id": bees["class_id"], "digests": bees["digests"]}
    accepted = client.post(f"{address}/accept", json=body).json
    assert sorting_schemas.Accepted().validate(accepted) == {}
    assert (set(accepted["digests"]), accepted["skipped"]) == (set(heap[1:6]), 1)
    assert [*classes(projects, key).values()] == ["ants"] + ["bees"] * 5 + [None] * 4
    assert [each["class_name"] for each in client.get(address).json["offers"]] == ["wasps"]
    undo = {"batch": accepted["batch"]}
    assert client.post(f"{address}/undo", json=undo).json == {"waiting": 9}
    assert client.post(f"{address}/undo", json=undo).status_code == 409
    assert [*classes(projects, key).values()] == ["ants"] + [None] * 9
    body["class_id"] = 99
    assert client.post(f"{address}/accept", json=body).status_code == 404
    # With a class for everything, the word of the committee counts; here it was tested, too.
    closed = client.get(f"{address}?closed=true").json
    assert (closed["wrong_share"], closed["offers"][0]["tested"]) == (None, 5)


def test_programs_list_the_photos_of_a_heap_page_by_page(client, projects, key, heap):
    address = f"/api/v1/projects/{key}/sort/photos"
    first = client.get(f"{address}?limit=2").json
    assert sorting_schemas.HeapPhotos().validate(first) == {}
    assert [photo["digest"] for photo in first["photos"]] == [heap[7], heap[6]]
    assert (first["total"], first["next"]) == (3, 2)
    assert (first["photos"][0]["class_name"], first["photos"][0]["status"]) == ("wasps", NONE)
    last = client.get(f"{address}?limit=2&offset=2").json
    assert ([photo["digest"] for photo in last["photos"]], last["next"]) == ([heap[8]], None)
    bees, wasps = client.get(f"/api/v1/projects/{key}/sort").json["offers"]
    (photo,) = client.get(f"{address}?class_id={wasps['class_id']}").json["photos"]
    assert (photo["digest"], photo["prob"], photo["strangeness"]) == (heap[9], 0.9, 0.3)
    for query in ("closed=1", "source=heap", "class_id=0", "limit=1001", "page=2"):
        assert client.get(f"{address}?{query}").status_code == 400
    projects.set_multilabel(key, True)
    refused = client.get(address)
    assert "any number" in refused.json["error"]["message"]
    body = {"class_id": bees["class_id"], "digests": heap}
    assert client.post(f"/api/v1/projects/{key}/sort/accept", json=body).status_code == 400


def test_programs_sort_the_inbox_into_a_project(client, projects, key):
    photo = projects.keep("kept.png", squares(300), {"committee": key, "label": "bees"})
    digest = projects.inbox()[0].digest
    bees = projects.find(key).classes[1].id
    Plan(1, {digest: ANSWERS[0]}, [], [], frozenset([digest])).write(projects.home, key, INBOX)
    address = f"/api/v1/projects/{key}/sort"
    (offer,) = client.get(f"{address}?source=inbox").json["offers"]
    assert (offer["class_id"], offer["digests"]) == (bees, [digest])
    body = {"source": "inbox", "class_id": bees, "digests": [digest]}
    accepted = client.post(f"{address}/accept", json=body).json
    assert (len(accepted["inbox_ids"]), projects.waiting()) == (1, 0), photo
    undo = {name: accepted[name] for name in ("batch", "inbox_ids")}
    assert client.post(f"{address}/undo", json=undo).json == {"waiting": 1}
    assert projects.waiting() == 1


def test_where_nothing_can_be_offered_the_page_says_why(client, projects, key, heap):
    answers = {
        digest: answer._replace(is_selected=False)
        for digest, answer in zip(heap, ANSWERS, strict=True)
    }
    Plan(1, answers, heap, [], frozenset(heap)).write(projects.home, key, PROJECT)
    page = client.get(f"/projects/{key}/sort").text
    assert "too few are named to tell" in page
    wasps = next(each for each in projects.find(key).classes if each.name == "wasps")
    projects.remove_class(key, wasps.id)
    page = client.get(f"/projects/{key}/sort").text
    assert "that takes three of them" in page
    assert "look like <strong" not in page


def test_what_others_decided_since_the_page_was_loaded_stays(client, projects, key, heap):
    fields = form_of(client.get(f"/projects/{key}/sort").text, "bees")
    ants = projects.find(key).classes[0].id
    projects.decide(key, [heap[0]], class_id=ants, person="Ann")
    projects.decide(key, [heap[1]], exclude=True, person="Ann")
    mine = post(client, f"/projects/{key}/sort", **fields).json
    assert mine["said"][1].startswith("2 photos were decided about by somebody else meanwhile")
    assert set(mine["photos"]) == set(heap[2:6])
    assert classes(projects, key)["heap-0.png"] == "ants"
    # Ann goes on; my step is taken back all the same, and hers stays.
    projects.decide(key, [heap[9]], class_id=ants, person="Ann")
    assert post(client, f"/projects/{key}/sort/undo", batch=mine["batch"]).json["left"] == 7
    projects.decide(key, [heap[2]], class_id=ants, person="Ann")
    again = post(client, f"/projects/{key}/sort", **fields).json
    projects.decide(key, [heap[3]], class_id=ants, person="Ann")
    refused = post(client, f"/projects/{key}/sort/undo", batch=again["batch"])
    assert refused.status_code == 409
    assert "1 of these photos was decided about since" in refused.json["error"]["message"]


def test_the_uncertain_come_first_and_each_is_accepted_as_proposed(client, projects, key, heap):
    page = client.get(f"/projects/{key}/sort").text
    assert shown(page) == [heap[7], heap[6], heap[8]]
    assert "<strong>None of these</strong>" in page
    values = re.findall(r'name="photo" value="([^"]+)" >', page)
    answer = post(client, f"/projects/{key}/sort", photo=values, do="accept").json
    assert answer["said"] == ["3 photos, each in the class proposed for it."]
    assert classes(projects, key)["heap-7.png"] == "wasps"
    history = client.get(f"/projects/{key}/decisions").text
    assert "Sorted 3 photos into 2 classes." in history


def test_a_proposal_is_what_the_person_saw(client, projects, key, heap):
    page = client.get(f"/projects/{key}/sort").text
    fields = form_of(page, "bees")
    bees = next(each for each in projects.find(key).classes if each.name == "bees")
    projects.rename_class(key, bees.id, "honey bees")
    names = ("ants", "honey bees", "wasps")
    trained_project.train(projects, key, labels=names, fitted=trained_project.FITTED)
    page = client.get(f"/projects/{key}/sort").text
    assert "look like <strong" not in page  # the newest committee was not asked yet
    assert "data-start" in page
    assert post(client, f"/projects/{key}/sort", **fields).json["left"] == 4
    assert classes(projects, key)["heap-0.png"] == "honey bees"


def test_a_group_is_named_together(client, projects, key, heap):
    page = client.get(f"/projects/{key}/sort?by=groups").text
    assert "2 similar photos" in page
    assert shown(page) == [heap[6], heap[8]]
    ants = projects.find(key).classes[0].id
    post(client, f"/projects/{key}/sort", photo=[heap[6], heap[8]], do=f"class:{ants}")
    assert classes(projects, key)["heap-8.png"] == "ants"
    assert "similar photos" not in client.get(f"/projects/{key}/sort?by=groups").text


def test_each_step_is_in_the_history_with_the_name_of_the_key(projects, key, heap):
    client = studio(projects, api_key="the key of the settings")
    text = Keys(projects.home).add("Anna", "teach")[1]
    client.post(
        f"/projects/{key}/sort",
        data={"photo": heap, "do": f"class:{projects.find(key).classes[0].id}"},
        headers={**JSON, "Authorization": f"Bearer {text}"},
    )
    decisions = projects.history(key)
    assert [each.person for each in decisions] == ["Anna"] * len(heap)
    assert len({each.batch for each in decisions}) == 1


def test_before_the_first_teaching_photos_are_there_to_be_named(client, projects):
    key = projects.make("New").key
    page = client.get(f"/projects/{key}/sort").text
    assert "Every photo has a class." in page
    photo = projects.add(key, "a.png", squares(1))
    page = client.get(f"/projects/{key}/sort").text
    assert "Make the classes first" in page
    assert "1 photo left to sort" in page
    assert "data-start" in page
    assert shown(page) == [photo.digest]
    assert post(client, f"/projects/{key}/sort/undo", batch="0").status_code == 409
    assert post(client, f"/projects/{key}/sort/undo").status_code == 400
    assert client.get(f"/projects/{key}/sort/job.json").json is None


def test_how_many_labels_are_left_is_said_or_that_it_cannot_be_known(client, projects, key, heap):
    page = client.get(f"/projects/{key}/sort").text
    assert "How many labels are left to be good enough cannot be known yet" in page
    curve = {size: (1 - 0.5 / size**0.5,) * 2 for size in (1, 2, 4, 8, 16)}
    trained_project.train(projects, key, curve=curve)
    page = client.get(f"/projects/{key}/sort").text.replace("\xa0", " ")
    assert "Right answers to photos it was not taught: 43 to 97 % (5 of 6 photos)." in page
    # 0.05 is 0.5 / sqrt(100), and a fifth is held out: 125 of each class, of which there are 4.
    said = re.search(r"About (\d+) more labels for 95 %; with so few photos to measure on", page)
    assert 250 <= int(said[1]) <= 500


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        (LabelsLeft(0.99, 900, 0, 0, 0, 1), "That is good enough, if 95 % is."),
        (
            LabelsLeft(0.8, 50, None, None, None, 0.86),
            "with ten times as many it would be about 86",
        ),
        (
            LabelsLeft(0.8, 50, None, 30, None, 0.94),
            "At least 30 more labels for 95 %; whether any",
        ),
        (
            LabelsLeft(0.8, 5, None, 0, None, 0.94),
            "How many more labels lead to 95 % cannot be known",
        ),
        (LabelsLeft(0.96, 50, 0, 0, None, 0.97), "That may be 95 % already; with so few photos"),
        (
            LabelsLeft(0.8, 50, 40, 20, None, 0.97),
            "About 40 more labels for 95 %; at least 20, and",
        ),
        (LabelsLeft(0.8, 50, 1, 1, 90, 0.97), "About 1 more label for 95 % (1 to 90)."),
    ],
)
def test_the_labels_left_in_words(left, sentence):
    assert sentence in left_in_words(left)[1].replace("\xa0", " ")


def test_a_project_with_any_number_of_classes_a_photo_says_so(client, projects, key, heap):
    projects.set_multilabel(key, True)
    page = client.get(f"/projects/{key}/sort").text
    assert "Sorting is for projects with one class a photo" in page
    assert 'id="sort"' not in page


def test_a_job_that_was_stopped_is_not_started_by_the_page_again(client, projects, key, heap):
    trained_project.train(projects, key, fitted=trained_project.FITTED)  # to be asked anew
    assert "data-start" in client.get(f"/projects/{key}/sort").text
    api = f"/api/v1/projects/{key}/sort"
    assert client.get(api).json["needs_comparison"]
    assert client.get(f"{api}/job").json == {"job": None}
    assert post(client, f"/projects/{key}/sort/start").status_code == 200
    assert client.get(f"/projects/{key}/sort/job.json").json["under_way"]
    assert post(client, f"/projects/{key}/sort/start").status_code == 409
    assert client.post(f"{api}/job").status_code == 409
    stopped = client.post(f"{api}/job/stop").json
    assert sorting_schemas.Comparison().validate(stopped) == {}
    assert stopped["job"]["state"] == "stopped"
    assert post(client, f"/projects/{key}/sort/stop").status_code == 200
    assert client.get(f"/projects/{key}/sort/job.json").json["state"] == "stopped"
    page = client.get(f"/projects/{key}/sort").text
    assert "data-start" not in page
    assert "Look through them" in page
    assert shown(page)[:3] == [heap[7], heap[6], heap[8]]  # in the order of the plan before
    client.application.extensions["triptych"].sorting.close()
