"""The API of projects: photos, classes, decisions, training, versions, as the pages do them."""

from __future__ import annotations

import concurrent.futures
import io
import itertools
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage

from support import studios
from support import trained_project
from support.images import picture
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.data.documents import File
from triptych.data.formats import Missing
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.data.records import Finding
from triptych.studio import model_imports
from triptych.studio.jobs import Jobs
from triptych.studio.jobs import config as job_config
from triptych.studio.projects import Projects
from triptych.studio.projects import job_table
from triptych.typing import Progress
from triptych.web import create_app
from triptych.web.project_api import events
from triptych.web.project_api import imports
from triptych.web.project_api import schemas
from triptych.web.registry import Discovery
from triptych.web.registry import Registry
from triptych.web.studio import project_list

API = "/api/v1/projects"
GARDEN = f"{API}/garden"
IMPORTS = "/api/v1/imports"
NOTHING = "0" * 64


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Any]:
    """A studio over bundles that fake engines answer for."""
    registry = Registry(
        lambda name: (
            studios.fake_classifier(name)
            if name == "lite"
            else studios.bundle_classifier(tmp_path, name)
        ),
        Discovery(tmp_path),
        "lite",
    )
    app = create_app(settings.load({}, home=tmp_path), registry)
    yield app
    app.extensions["triptych"].close_imports()


@pytest.fixture
def client(studio: Any) -> FlaskClient:
    return studio.test_client()


@pytest.fixture
def projects(studio: Any) -> Projects:
    return studio.extensions["triptych"].projects


@pytest.fixture
def jobs(studio: Any) -> Iterator[Jobs]:
    yield studio.extensions["triptych"].jobs
    studio.extensions["triptych"].jobs.close()


@pytest.fixture
def garden(client: FlaskClient) -> dict[str, int]:
    """A project with two classes, and their numbers."""
    made = client.post(API, json={"title": "Garden"}).json
    assert schemas.Project().validate(made) == {}
    return {
        name: client.post(f"{GARDEN}/classes", json={"name": name}).json["id"]
        for name in ("ants", "bees")
    }


def bring(client: FlaskClient, *files: tuple[str, bytes], key: str = "garden", **fields: Any):
    photos = [(io.BytesIO(data), name) for name, data in files]
    return client.post(f"{API}/{key}/photos", data={"photo": photos, **fields})


def decide(client: FlaskClient, *digests: str, **fields: Any):
    return client.post(f"{GARDEN}/decisions", json={"digests": digests, **fields})


# ------------------------------------------------------------------ projects and classes


def test_a_project_is_made_changed_and_removed(client: FlaskClient) -> None:
    assert client.get(API).json == {"projects": []}
    made = client.post(API, json={"title": " My  garden "}).json
    assert (made["key"], made["title"], made["multilabel"]) == ("my-garden", "My garden", False)
    changed = client.patch(f"{API}/my-garden", json={"title": "Weeds", "multilabel": True}).json
    assert (changed["key"], changed["title"], changed["multilabel"]) == ("my-garden", "Weeds", True)
    assert client.get(f"{API}/my-garden").json == changed
    assert client.get(API).json == {"projects": [changed]}
    for changes in ({"title": "", "multilabel": False}, {}):
        assert client.patch(f"{API}/my-garden", json=changes).status_code == 400
    assert client.get(f"{API}/my-garden").json == changed
    assert client.delete(f"{API}/my-garden").json == {"removed": 1}
    assert client.delete(f"{API}/my-garden").status_code == 404


def test_classes_are_added_renamed_and_removed(
    client: FlaskClient, garden: dict[str, int], projects: Projects
) -> None:
    ants = f"{GARDEN}/classes/{garden['ants']}"
    assert client.patch(ants, json={"name": " wasps "}).json == {
        "id": garden["ants"],
        "name": "wasps",
        "photos": 0,
    }
    taken = client.post(f"{GARDEN}/classes", json={"name": "BEES"})
    assert "There is a class 'BEES' already" in taken.json["error"]["message"]
    assert client.delete(ants).json == {"removed": 1}
    assert client.delete(ants).status_code == 404
    assert [each.name for each in projects.find("garden").classes] == ["bees"]


def test_a_zip_makes_a_project(client: FlaskClient) -> None:
    names = ("ants/1.png", "bees/2.png", "notes.txt")
    made = client.post(API, data={"zip": (zipped(*names), "x.zip")})
    assert [(each["kind"], each["sources"]) for each in made.json["findings"]] == [LEFT_OUT]
    assert schemas.MadeProject().validate(made.json) == {}
    assert (made.json["key"], made.json["photos"]) == ("x", 2)
    assert [each["name"] for each in made.json["classes"]] == ["ants", "bees"]


# Of a text in a zip.
LEFT_OUT = ("ignored", ["notes.txt"])


def zipped(*names: str) -> io.BytesIO:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, picture(seed) if name.endswith(".png") else "")
    data.seek(0)
    return data


# ------------------------------------------------------------------ photos


def test_photos_are_brought_listed_and_read(client: FlaskClient, garden: dict[str, int]) -> None:
    data = picture(1)
    added = bring(client, ("bee.jpg", data), ("notes.txt", b"text"), class_name="bees")
    assert added.status_code == 200
    assert schemas.Added().validate(added.json) == {}
    ((photo,), (refused,)) = added.json["photos"], added.json["refused"]
    assert photo["class_id"] == garden["bees"]
    assert photo["class_ids"] == [garden["bees"]]
    assert (refused["name"], refused["code"]) == ("notes.txt", "not_an_image")
    address = f"{GARDEN}/photos/{photo['digest']}"
    assert client.get(address).json == photo
    file = client.get(f"{address}/file")
    assert (file.data, file.mimetype) == (data, "image/jpeg")
    assert file.headers["Content-Disposition"] == "attachment; filename=bee.jpg"
    assert client.get(f"{address}/preview").data.startswith(b"\xff\xd8")
    again = bring(client, ("other name.png", data))
    assert again.json["photos"] == [photo]
    for path in (f"photos/{NOTHING}", f"photos/{NOTHING}/file", f"photos/{NOTHING}/preview"):
        assert client.get(f"{GARDEN}/{path}").status_code == 404
    erased = client.post(f"{GARDEN}/erase", json={"digests": [photo["digest"]]})
    assert erased.json == {"removed": 1}
    assert client.get(address).status_code == 404


def test_a_photo_of_another_project_is_not_found(
    client: FlaskClient, garden: dict[str, int]
) -> None:
    client.post(API, json={"title": "Other"})
    (photo,) = bring(client, ("a.png", picture(1)), key="other").json["photos"]
    for path in ("", "/file", "/preview"):
        address = f"/photos/{photo['digest']}{path}"
        assert client.get(f"{API}/other{address}").status_code == 200
        assert client.get(f"{GARDEN}{address}").status_code == 404


def test_photos_are_listed_page_by_page_and_by_class(
    client: FlaskClient, garden: dict[str, int]
) -> None:
    digests = [
        bring(client, (f"{seed}.png", picture(seed)), class_id=garden["ants"]).json["photos"][0][
            "digest"
        ]
        for seed in range(5)
    ]
    decide(client, digests[0], action="exclude")
    decide(client, digests[1], action="move", class_id=None)
    listed, offset = [], 0
    while offset is not None:
        page = client.get(f"{GARDEN}/photos?limit=2&offset={offset}&excluded=any").json
        assert schemas.Photos().validate(page) == {}
        listed += [photo["digest"] for photo in page["photos"]]
        offset = page["next"]
    assert listed == digests

    def among(query: str) -> list[str]:
        return [photo["digest"] for photo in client.get(f"{GARDEN}/photos?{query}").json["photos"]]

    assert among("") == digests[1:]
    assert among("class_id=0") == [digests[1]]
    assert among(f"class_id={garden['ants']}") == digests[2:]
    assert among("excluded=true") == [digests[0]]


def test_the_only_file_is_refused_with_its_error(
    client: FlaskClient, garden: dict[str, int]
) -> None:
    response = bring(client, ("a.png", b"<html>"))
    assert response.status_code == 415
    assert schemas.AddedNothing().validate(response.json) == {}
    assert response.json["refused"] == [{"name": "a.png", **response.json["error"]}]


def test_a_zip_of_photos_is_added(client: FlaskClient, garden: dict[str, int]) -> None:
    for _ in range(2):  # the same photos
        form = {"zip": (zipped("bees/1.png", "wasps/2.png", "notes.txt"), "more.zip")}
        added = client.post(f"{GARDEN}/photos", data=form).json
        assert [(each["kind"], each["sources"]) for each in added["findings"]] == [LEFT_OUT]
        assert [photo["name"] for photo in added["photos"]] == ["1.png", "2.png"]
    classes = {each["name"]: each["photos"] for each in client.get(GARDEN).json["classes"]}
    assert classes == {"ants": 0, "bees": 1, "wasps": 1}


def test_a_photo_in_many_lines_of_a_document_is_read_once(
    client: FlaskClient, projects: Projects
) -> None:
    reads: list[int] = []

    def read() -> bytes:
        reads.append(1)
        return picture(1)

    twice = File("same.png", read)
    other = File("other.png", lambda: picture(2))
    missing = [File(f"{n}.png", Missing("Not among the files.")) for n in range(3)]
    items = [
        *[Item(twice, "ants", "train")] * 50,
        *[Item(file, "bees", "train") for file in (other, *missing)],
    ]
    counts: list[tuple[int, int]] = []
    findings: list[Finding] = []
    project = projects.import_layout(
        "Lines",
        Layout(("ants", "bees"), tuple(items), ()),
        progress=lambda *each: counts.append(each),
        report=findings.append,
    )
    assert (len(reads), project.photos, counts[-1]) == (1, 2, (54, 54))
    assert [(each.kind, each.sources) for each in findings] == [
        ("unreadable", ("0.png", "1.png", "2.png")),
        ("exact_duplicate", ("same.png",)),
    ]


def test_a_zip_that_takes_too_long_is_given_up_with_the_right_advice(tmp_path: Path) -> None:
    registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
    app = create_app(settings.load({}, home=tmp_path, deadline_s=1), registry)
    given_up: list[bool] = []

    def work(path: Path, check: Progress) -> None:
        try:
            while True:
                check(3, 10)
                time.sleep(0.01)
        except errors.Stopped:
            given_up.append(True)
            raise

    while not given_up:  # under load it may not even have begun
        upload = FileStorage(zipped("a/1.png"), "a.zip")
        with app.test_request_context(), pytest.raises(errors.DeadlinePassed) as late:
            project_list.with_zip(upload, work)
        app.extensions["triptych"].changes.submit(lambda: None).result()
    assert "within 1 seconds: 3 of 10 files in the zip were read" in late.value.message
    assert "Divide the zip" in late.value.message


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "There are photos and a zip, or neither"),
        ({"photo": "text"}, "There are photos and a zip, or neither"),
        ({"photo": (io.BytesIO(b""), "a.png"), "class_id": "-1"}, "expected the number of a class"),
        ({"photo": (io.BytesIO(b""), "a.png"), "class_id": "9" * 99}, "expected the number"),
        ({"photo": (io.BytesIO(b""), "a.png"), "class": "1"}, "There is no field 'class'"),
        ({"\xa8%0A\x8f": "null"}, "There is no field"),
        ({"zip": (io.BytesIO(b"no zip"), "a.zip")}, "is plain text; expected a folder, a zip"),
        ({"zip": (io.BytesIO(b""), "a.zip"), "class_id": "1"}, "A zip came with a class"),
    ],
)
def test_an_upload_that_is_not_one_is_explained(
    client: FlaskClient, garden: dict[str, int], form: dict[str, Any], message: str
) -> None:
    response = client.post(f"{GARDEN}/photos", data=form, content_type="multipart/form-data")
    assert response.status_code in (400, 415)
    assert message in response.json["error"]["message"]
    assert client.get(GARDEN).json["photos"] == 0


def test_unknown_classes_and_projects_take_no_photo(
    client: FlaskClient, garden: dict[str, int]
) -> None:
    for fields in ({"class_name": "wasps"}, {"class_id": "99"}):
        assert bring(client, ("a.png", picture(1)), **fields).status_code == 404
    assert bring(client, ("a.png", picture(1)), key="nothing").status_code == 404
    assert client.get(GARDEN).json["photos"] == 0


def test_findings_name_photos(client: FlaskClient, garden: dict[str, int]) -> None:
    (photo,) = bring(client, ("a.png", picture(1)), class_name="ants").json["photos"]
    listed = client.get(f"{GARDEN}/findings").json
    assert schemas.Findings().validate(listed) == {}
    kinds = {each["kind"]: each["sources"] for each in listed["findings"]}
    assert kinds["odd_format"] == [photo["digest"]]
    assert "empty_class" in kinds


# ------------------------------------------------------------------ decisions


@pytest.fixture
def photo(client: FlaskClient, garden: dict[str, int]) -> str:
    (added,) = bring(client, ("a.png", picture(1)), class_name="ants").json["photos"]
    return str(added["digest"])


def test_decisions_are_recorded_and_undone(
    client: FlaskClient, garden: dict[str, int], photo: str
) -> None:
    moved = decide(client, photo, action="move", class_id=garden["bees"]).json
    assert schemas.Decided().validate(moved) == {}
    assert moved["photos"][0]["class_id"] == garden["bees"]
    assert decide(client, photo, action="exclude").json["photos"][0]["excluded"]
    assert not decide(client, photo, action="include").json["photos"][0]["excluded"]
    assert decide(client, photo, action="confirm").json["batch"] == moved["batch"] + 3
    assert decide(client, photo, action="move", class_id=garden["bees"]).json["batch"] == 0
    history = client.get(f"{GARDEN}/decisions").json
    assert schemas.Decisions().validate(history) == {}
    assert len(history["decisions"]) == 4
    latest = client.get(f"{GARDEN}/decisions?limit=1&offset=3").json["decisions"]
    assert [(each["before_name"], each["after_name"]) for each in latest] == [("ants", "bees")]
    for _ in range(4):
        undone = client.post(f"{GARDEN}/decisions/undo").json
    assert undone["batch"] == moved["batch"]
    assert undone["photos"][0]["class_id"] == garden["ants"]
    assert client.post(f"{GARDEN}/decisions/undo", json={}).json == {"batch": 0, "photos": []}


def test_a_conflict_tells_what_is_there_now(
    client: FlaskClient, garden: dict[str, int], photo: str
) -> None:
    seen = {photo: {"class_id": garden["ants"], "class_ids": [garden["ants"]], "excluded": False}}
    mine = {"action": "move", "class_id": None, "expected": seen}
    theirs = decide(client, photo, action="move", class_id=garden["bees"]).json
    for form in (mine, {**mine, "action": "add", "class_id": garden["bees"]}):
        refused = decide(client, photo, **form)
        assert refused.status_code == 409
        assert schemas.Conflict().validate(refused.json) == {}
        assert refused.json["error"]["code"] == "conflict"
        assert refused.json["photos"] == theirs["photos"]
    refused = client.post(f"{GARDEN}/decisions/undo", json={"batch": theirs["batch"] + 1})
    assert (refused.status_code, refused.json["photos"]) == (409, [])
    mine["expected"] = {photo: {"class_ids": [garden["bees"]]}}
    assert decide(client, photo, **mine).json["photos"][0]["class_id"] is None


def test_several_classes_a_photo(client: FlaskClient, garden: dict[str, int]) -> None:
    ants, bees = garden.values()
    client.patch(GARDEN, json={"multilabel": True})
    (photo,) = bring(client, ("a.png", picture(1)), class_id=[ants, bees]).json["photos"]
    assert photo["class_ids"] == [ants, bees]
    digest = photo["digest"]

    def classes(**form: Any) -> list[int] | None:
        return decide(client, digest, **form).json["photos"][0]["class_ids"]

    assert classes(action="remove", class_id=ants) == [bees]
    assert classes(action="add", class_id=ants) == [ants, bees]
    assert classes(action="move", class_ids=[bees]) == [bees]
    assert classes(action="move", class_ids=[]) == []
    none_applies = client.get(f"{GARDEN}/photos?class_id=-3").json["photos"]
    assert [each["digest"] for each in none_applies] == [digest]
    assert classes(action="move", class_id=None) is None
    assert client.patch(GARDEN, json={"multilabel": False}).status_code == 200


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"action": "sell"}, "The option action is 'sell'; expected one of: move, add"),
        ({}, "The option action is missing; expected one of"),
        ({"action": "move"}, "The action move came without a class"),
        ({"action": "move", "class_id": 1, "class_ids": [1]}, "came with class_id, class_ids"),
        ({"action": "exclude", "class_id": 1}, "The action exclude came with class_id"),
        ({"action": "add", "class_ids": [1]}, "The action add came with class_ids"),
        ({"action": "add", "class_id": None}, "The action add came with class_id"),
        ({"action": "move", "class_id": "1"}, "The option class_id is '1'; expected a whole"),
        ({"action": "move", "class_id": True}, "The option class_id is True"),
        ({"action": "move", "class_id": 2**70}, "The option class_id is 1180591620717411303424"),
        ({"action": "exclude", "digests": []}, "expected a list of 1 to 5000 digests"),
        ({"action": "exclude", "digests": ["x"] * 5001}, "expected a list of 1 to 5000 digests"),
        ({"action": "exclude", "digests": [1]}, "expected a list of 1 to 5000 digests"),
        ({"action": "exclude", "expected": {NOTHING: {"colour": 1}}}, "The option expected is"),
        ({"action": "exclude", "why": ""}, "There is no option 'why'"),
    ],
)
def test_an_impossible_decision_is_explained(
    client: FlaskClient, photo: str, form: dict[str, Any], message: str
) -> None:
    response = client.post(f"{GARDEN}/decisions", json={"digests": [photo], **form})
    assert response.status_code == 400
    assert message in response.json["error"]["message"]
    assert client.get(f"{GARDEN}/decisions").json == {"decisions": []}


def test_a_decision_about_an_unknown_photo_changes_nothing(
    client: FlaskClient, garden: dict[str, int], photo: str
) -> None:
    for unknown, status in ((NOTHING, 404), ("../../etc/passwd", 400), (f"{NOTHING}\n", 404)):
        assert decide(client, photo, unknown, action="exclude").status_code == status
    for class_id in (99, 2**53 - 1):
        assert decide(client, photo, action="move", class_id=class_id).status_code == 404
    assert not client.get(f"{GARDEN}/photos/{photo}").json["excluded"]


# ------------------------------------------------------------------ the inbox

INBOX = "/api/v1/inbox"


@pytest.fixture
def kept(projects: Projects) -> list[int]:
    """The numbers of three photos in the inbox, the newest first."""
    for seed in range(3):
        verdict = {"committee": "garden", "label": "bees", "prob": 0.5, "status": "unsure"}
        assert projects.keep(f"{seed}.jpg", picture(seed), verdict)
    return [photo.id for photo in projects.inbox()]


def test_the_inbox_is_listed_and_read(client: FlaskClient, kept: list[int]) -> None:
    first = client.get(f"{INBOX}?limit=2").json
    assert schemas.InboxPhotos().validate(first) == {}
    assert [photo["id"] for photo in first["photos"]] == kept[:2]
    assert (first["waiting"], first["next"]) == (3, kept[1])
    assert first["photos"][0]["verdict"]["status"] == "unsure"
    client.post(f"{INBOX}/dismiss", json={"ids": kept[:1]})
    rest = client.get(f"{INBOX}?limit=2&before={first['next']}").json  # and none is left out
    assert ([photo["id"] for photo in rest["photos"]], rest["next"]) == (kept[2:], None)
    file = client.get(f"{INBOX}/{kept[2]}/file")
    assert (file.data, file.mimetype) == (picture(0), "image/jpeg")
    assert file.headers["Content-Disposition"] == "attachment; filename=0.jpg"
    assert client.get(f"{INBOX}/{kept[2]}/preview").data.startswith(b"\xff\xd8")
    for path in ("file", "preview"):  # it does not wait any more
        assert client.get(f"{INBOX}/{kept[0]}/{path}").status_code == 404
    for query in ("before=0", "limit=0", "offset=1"):
        assert client.get(f"{INBOX}?{query}").status_code == 400


def test_photos_of_the_inbox_are_moved_to_a_project_and_put_back(
    client: FlaskClient, garden: dict[str, int], kept: list[int], projects: Projects
) -> None:
    form = {"ids": [*kept[:2], 99], "project": "garden", "class_id": garden["bees"]}
    moved = client.post(f"{INBOX}/move", json=form).json
    assert schemas.Moved().validate(moved) == {}
    assert (moved["ids"], moved["skipped"]) == (kept[:2], [99])
    assert [photo["class_id"] for photo in moved["photos"]] == [garden["bees"]] * 2
    assert client.post(f"{INBOX}/move", json=form).json["skipped"] == form["ids"]
    back = {"ids": moved["ids"], "project": "garden", "batch": moved["batch"]}
    assert client.post(f"{INBOX}/return", json=back).json == {"waiting": 3}
    assert projects.find("garden").photos == 0
    unsorted = client.post(f"{INBOX}/move", json={"ids": kept[:1], "project": "garden"}).json
    assert (unsorted["batch"], unsorted["photos"][0]["class_id"]) == (0, None)
    digest = unsorted["photos"][0]["digest"]
    decided = decide(client, digest, action="move", class_id=garden["ants"]).json
    assert client.post(f"{INBOX}/return", json={"ids": kept[:1]}).status_code == 409
    client.post(f"{GARDEN}/decisions/undo", json={"batch": decided["batch"]})
    assert client.post(f"{INBOX}/return", json={"ids": kept[:1]}).json == {"waiting": 3}


def test_an_impossible_decision_about_the_inbox_changes_nothing(
    client: FlaskClient, garden: dict[str, int], kept: list[int]
) -> None:
    forms: list[tuple[str, dict[str, Any], int]] = [
        ("move", {"project": "garden", "class_id": 99}, 404),
        ("move", {"project": "nothing"}, 404),
        ("move", {"project": "garden", "class_id": 1, "class_ids": [1]}, 400),
        ("move", {"project": "garden", "class_ids": [1, 2]}, 400),
        ("move", {}, 400),
        ("move", {"project": "garden", "ids": []}, 400),
        ("move", {"project": "garden", "ids": ["1"]}, 400),
        ("dismiss", {"ids": [1, 99]}, 404),
        ("dismiss", {"ids": [2**70]}, 400),
        ("return", {"batch": 1}, 400),
        ("return", {"ids": [99]}, 404),
    ]
    for address, form, status in forms:
        response = client.post(f"{INBOX}/{address}", json={"ids": kept, **form})
        assert response.status_code == status, (address, form, response.text)
    assert client.get(INBOX).json["waiting"] == 3
    assert client.get(GARDEN).json["photos"] == 0


# ------------------------------------------------------------------ meant badly


def test_a_body_that_is_no_request_gets_the_usual_error(
    client: FlaskClient, garden: dict[str, int]
) -> None:
    in_json = {"content_type": "application/json"}
    bodies: list[tuple[dict[str, Any], int]] = [
        ({"data": "title=x", "content_type": "application/x-www-form-urlencoded"}, 415),
        ({"data": b'{"title": "x"}', "content_type": "text/plain"}, 415),
        ({"data": b"{", **in_json}, 400),
        ({"data": b"[]", **in_json}, 400),
        ({"data": b"[" * 9999, **in_json}, 400),
        ({"data": b'{"a": NaN}', **in_json}, 400),
        ({"data": b'{"\\ud800": "x"}', **in_json}, 400),
        ({"data": b'{"ids": [1], "project": "\\uDFFF", "title": "\\ud800"}', **in_json}, 400),
        ({"data": b'{"ids": [1], "project": "\xed\xa0\x80", "title": "x"}', **in_json}, 400),
        ({"data": b"[" + b"1," * 60_000 + b"1]", **in_json}, 413),
        ({"data": b" " * (3 << 20), **in_json}, 413),
        ({}, 400),
    ]
    paths = ("", "/garden/classes", "/garden/decisions", "/garden/publish")
    addresses = [*(f"{API}{path}" for path in paths), f"{INBOX}/move"]
    for (body, status), address in itertools.product(bodies, addresses):
        response = client.post(address, **body)
        assert response.status_code == status, (address, body)
        assert response.json["error"].keys() == {"code", "message"}
        assert len(response.text) < 3000


def test_an_impossible_filter_is_explained(client: FlaskClient, garden: dict[str, int]) -> None:
    for query in (
        *("limit=0", "limit=1001", "limit=x", "offset=-1", "excluded=maybe", "page=2"),
        *("class_id=x", "class_id=-4", f"class_id={2**70}", f"offset={2**70}"),
    ):
        response = client.get(f"{GARDEN}/photos?{query}")
        assert response.status_code == 400, query
        assert query.partition("=")[0] in response.json["error"]["message"]


def test_an_unknown_project_is_404_everywhere(client: FlaskClient, studio: Any) -> None:
    document = client.get("/openapi.json").json
    values = {"key": "nothing", "class_id": "1", "digest": NOTHING, "number": "1", "version": "1"}
    bodies = {
        "accept": {"digests": [NOTHING], "class_id": 1},
        "decisions": {"digests": [NOTHING], "action": "exclude"},
        "erase": {"digests": [NOTHING]},
        "exports": {"version": 1, "format": "onnx"},
        "int8": {"version": 1},
        "publish": {"version": 1},
    }
    checked = 0
    for path, methods in document["paths"].items():
        if "{key}" not in path:
            continue
        for method in methods.keys() & {"get", "post", "patch", "delete"}:
            sent: dict[str, Any] = {}
            if path.endswith("{key}/photos") and method == "post":
                sent["data"] = {"photo": (io.BytesIO(picture(1)), "a.png")}
            elif method in ("post", "patch"):
                last = path.rpartition("/")[2]
                sent["json"] = bodies.get(last, {"name": "x"} if "classes" in path else {})
                if path.endswith("sort/undo"):
                    sent["json"] = {"batch": 1}
                if path.endswith("{key}"):
                    sent["json"] = {"title": "x"}
            address = path.format(file="x.zip", **values)
            response = client.open(address, method=method.upper(), **sent)
            assert response.status_code == 404, (method, path, response.text)
            assert response.json["error"]["code"] == "unknown_name"
            checked += 1
    assert checked > 25


def test_pages_of_other_sites_are_refused(client: FlaskClient, garden: dict[str, int]) -> None:
    foreign = {"Origin": "https://elsewhere.example"}
    for method, path in (("DELETE", ""), ("PATCH", ""), ("POST", "/jobs"), ("POST", "/photos")):
        response = client.open(f"{GARDEN}{path}", method=method, headers=foreign)
        assert response.status_code == 403
    assert client.get(GARDEN).status_code == 200


# ------------------------------------------------------------------ jobs


def test_the_schema_of_training_has_the_options_of_a_job() -> None:
    assert set(schemas.Teaching().fields) == set(job_config.FIELDS)
    for schema in (schemas.NewProject, schemas.Teaching, schemas.DecisionForm, schemas.NewExport):
        assert all(field.metadata["expected"] for field in schema().fields.values())


def test_a_training_that_cannot_start_is_explained(
    client: FlaskClient, garden: dict[str, int]
) -> None:
    for body, message in (
        ({}, "There are too few photos to train on"),
        ({"backbones": []}, "The option backbones is []; expected a list of names"),
        ({"seed": -1}, "The option seed is -1"),
        ({"epochs": 3}, "There is no option 'epochs'"),
    ):
        response = client.post(f"{GARDEN}/jobs", json=body)
        assert response.status_code == 400
        assert message in response.json["error"]["message"]
    assert client.get(f"{GARDEN}/jobs").json == {"jobs": []}
    assert client.get(f"{GARDEN}/jobs/1").status_code == 404


def test_a_body_of_unknown_length_is_read(client: FlaskClient, garden: dict[str, int]) -> None:
    chunked = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    for data, headers, status in (
        (b'{"batch": 7}', {}, 415),  # not taken for none, which would undo the latest
        (b'{"batch": 7}', {"Content-Type": "application/json"}, 409),
    ):
        response = client.post(
            f"{GARDEN}/decisions/undo",
            data=data,
            headers={"Transfer-Encoding": "chunked", **headers},
            environ_overrides=chunked,
        )
        assert response.status_code == status, response.text


class Training:
    """A job of a project whose progress the test reports, in place of the worker process."""

    def __init__(self, jobs: Jobs, number: int) -> None:
        self.jobs = jobs
        self.number = number

    def report(self, **message: Any) -> None:
        with self.jobs._lock:
            assert self.jobs._running
            self.jobs._running.update(message)
        self.jobs.changes.notify()


@pytest.fixture
def training(projects: Projects, jobs: Jobs, garden: dict[str, int]) -> Iterator[Training]:
    table = job_table.JobTable(projects.database)
    job = table.add("garden", {"backbones": ["lite0"], "classes": garden})
    jobs._waiting.append(job)
    jobs._next()
    yield Training(jobs, job.id)
    with jobs._lock:
        jobs._running = None


def read_events(stream: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """The events of a stream; comments have the key ''."""
    text = ""
    for piece in stream:
        text += piece.decode()
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            yield dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")


def test_events_follow_a_job_to_its_end(
    client: FlaskClient, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LEAST_GAP_S", 0.0)
    address = f"{GARDEN}/jobs/{training.number}/events"
    response = client.get(address)
    assert response.mimetype == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert "no-store" in response.headers["Cache-Control"]
    stream = read_events(response.iter_encoded())
    assert next(stream) == {"retry": "2000"}
    first = next(stream)
    assert first["event"] == "progress"
    job = json.loads(first["data"])
    assert schemas.Job().validate(job) == {}
    assert (job["state"], job["stage"]) == ("running", "Starting")
    training.report(stage="Computing features", done=1, total=3)
    assert json.loads(next(stream)["data"])["message"] == "Computing features: 1 of 3."
    training.report(member="committee", accuracy=0.9, photos=10)
    assert json.loads(next(stream)["data"])["news"][0]["accuracy"] == 0.9
    training.report(version=1)
    last = next(stream)
    assert (last["event"], json.loads(last["data"])["version"]) == ("end", 1)
    assert list(stream) == []
    again = client.get(address, headers={"Last-Event-ID": last["id"]})
    assert again.status_code == 204
    late = list(read_events(client.get(address).iter_encoded()))
    assert [each.get("event") for each in late] == [None, "end"]


def test_a_client_that_connects_again_gets_what_it_missed(
    client: FlaskClient, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LEAST_GAP_S", 0.0)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    address = f"{GARDEN}/jobs/{training.number}/events"
    stream = read_events(client.get(address).iter_encoded())
    next(stream)
    first = next(stream)
    again = read_events(client.get(address, headers={"Last-Event-ID": first["id"]}).iter_encoded())
    assert next(again) == {"retry": "2000"}
    assert next(again) == {}  # a heartbeat: it has missed nothing
    training.report(stage="Training heads", done=1, total=1)
    assert json.loads(next(each for each in again if each)["data"])["stage"] == "Training heads"


def test_streams_are_limited_and_freed(
    client: FlaskClient, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_streams", threading.BoundedSemaphore(2))
    address = f"{GARDEN}/jobs/{training.number}/events"
    one, two = client.get(address), client.get(address)
    refused = client.get(address)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "10"
    one.close()  # before it was read
    assert client.get(address).status_code == 200
    two.close()


def test_a_stream_ends_with_the_studio_and_with_the_project(
    client: FlaskClient, studio: Any, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LEAST_GAP_S", 0.0)
    address = f"{GARDEN}/jobs/{training.number}/events"
    stream = read_events(client.get(address).iter_encoded())
    assert next(stream)
    assert next(stream)["event"] == "progress"
    studio.extensions["triptych"].queue.close()
    training.jobs.changes.notify()
    assert list(stream) == []


def test_a_job_is_stopped_and_belongs_to_one_project(
    client: FlaskClient, projects: Projects, jobs: Jobs, garden: dict[str, int]
) -> None:
    table = job_table.JobTable(projects.database)
    job = table.add("garden", {"classes": garden})
    jobs._waiting.append(job)
    client.post(API, json={"title": "Other"})
    assert client.get(f"{API}/other/jobs/{job.id}").status_code == 404
    assert client.post(f"{API}/other/jobs/{job.id}/stop").status_code == 404
    waiting = client.get(f"{GARDEN}/jobs/{job.id}").json
    assert schemas.Job().validate(waiting) == {}
    assert (waiting["state"], waiting["is_under_way"]) == ("waiting", True)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        response = client.get(f"{GARDEN}/jobs/{job.id}/events")
        followed = pool.submit(lambda: list(read_events(response.iter_encoded())))
        stopped = client.post(f"{GARDEN}/jobs/{job.id}/stop").json
        assert stopped["state"] == "stopped"
        assert followed.result(60)[-1]["event"] == "end"
    assert client.get(f"{GARDEN}/jobs").json == {"jobs": [stopped]}
    refused = client.post(f"{GARDEN}/jobs/{job.id}/resume")
    assert "too few photos" in refused.json["error"]["message"]


# ------------------------------------------------------------------ versions


@pytest.fixture
def trained(projects: Projects) -> None:
    """A project of three versions."""
    key = trained_project.create(projects)
    for _ in range(3):
        trained_project.train(projects, key)


def test_versions_are_listed_published_and_removed(client: FlaskClient, trained: None) -> None:
    listed = client.get(f"{GARDEN}/versions").json
    assert schemas.Versions().validate(listed) == {}
    assert listed["active"] == 3
    assert [each["version"] for each in listed["versions"]] == [3, 2, 1]
    assert listed["versions"][0]["top1"] == 5 / 6
    assert client.post(f"{GARDEN}/publish", json={"version": 2}).json["active"] == 2
    facts = client.get("/api/v1/bundles/garden").json
    assert facts["active"] == 2

    def label(committee: str) -> int:
        return client.post(
            f"/api/v1/classify?committee={committee}", data=squares(), content_type="image/png"
        ).status_code

    assert (label("garden"), label("garden@1")) == (200, 200)
    assert client.delete(f"{GARDEN}/versions/2").status_code == 400
    assert client.delete(f"{GARDEN}/versions/1").json == {"removed": 1}
    assert label("garden@1") == 404
    assert client.delete(f"{GARDEN}/versions/1").status_code == 404
    assert client.post(f"{GARDEN}/publish", json={"version": None}).json["active"] is None
    assert label("garden") == 404
    assert client.post(f"{GARDEN}/publish", json={"version": 9}).status_code == 404
    assert client.post(f"{GARDEN}/publish", json={}).status_code == 400


def test_a_version_is_judged(client: FlaskClient, trained: None) -> None:
    version = f"{GARDEN}/versions/2"
    result = client.get(f"{version}/result").json
    assert schemas.Result().validate(result) == {}
    assert (result["version"], result["classes"]) == (2, ["ants", "bees", "wasps"])
    assert result["metrics"]["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 2]]
    assert (result["label_issues"], result["changes"]) == (3, 0)

    def names(query: str) -> list[str]:
        listed = client.get(f"{version}/photos?{query}").json
        assert schemas.PhotoResults().validate(listed) == {}
        return [photo["name"] for photo in listed["photos"]]

    assert names("wrong=true") == ["ants-1.png"]
    assert names("wrong=true&photos=all") == ["ants-3.png", "ants-1.png", "bees-3.png"]
    assert names("label=ants&answer=bees&photos=all") == ["ants-3.png", "ants-1.png"]
    first = client.get(f"{version}/photos?limit=4").json
    assert (len(first["photos"]), first["total"], first["next"]) == (4, 6, 4)
    assert len(names("offset=4")) == 2
    (photo,) = client.get(f"{version}/photos?wrong=true").json["photos"]
    assert (photo["labels"], photo["answers"][0]["label"]) == (["ants"], "bees")
    assert photo["held_out"]
    assert photo["photo"]["digest"] == photo["digest"]
    listed = client.get(f"{version}/label-issues").json
    assert schemas.LabelIssues().validate(listed) == {}
    assert len(listed["issues"]) == listed["total"] == 3
    issue = listed["issues"][0]
    assert (issue["result"]["name"], issue["class_name"]) == ("ants-3.png", "bees")
    decide(client, issue["result"]["digest"], action="move", class_id=issue["class_id"])
    assert client.get(f"{version}/label-issues").json["total"] == 2
    assert client.get(f"{version}/result").json["changes"] == 1
    assert client.get(f"{version}/photos?label=flies").status_code == 404
    assert client.get(f"{version}/photos?wrong=maybe").status_code == 400
    assert client.get(f"{GARDEN}/versions/9/result").status_code == 404


def test_a_project_that_was_not_trained_has_no_version(
    client: FlaskClient, garden: dict[str, int]
) -> None:
    assert client.get(f"{GARDEN}/versions").json == {"active": None, "versions": []}
    assert client.post(f"{GARDEN}/publish", json={"version": 1}).status_code == 404
    assert client.get(f"{GARDEN}/versions/1/bundle.zip").status_code == 404


def test_a_version_is_downloaded(client: FlaskClient, trained: None) -> None:
    with client.get(f"{GARDEN}/versions/2/bundle.zip") as response:
        names = zipfile.ZipFile(io.BytesIO(response.data)).namelist()
    assert any(name.endswith("bundle.json") for name in names)


def test_exports_are_listed_downloaded_and_removed(
    client: FlaskClient, trained: None, tmp_path: Path
) -> None:
    assert client.get(f"{GARDEN}/exports").json == {"job": None, "files": []}
    refused = client.post(f"{GARDEN}/exports", json={"version": 1, "format": "gif"})
    assert refused.status_code == 404
    folder = tmp_path / "studio" / "exports" / "garden"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "garden-1-onnx.zip", "w") as archive:
        archive.comment = b"the same"
    listed = client.get(f"{GARDEN}/exports").json
    assert schemas.Exports().validate(listed) == {}
    assert listed["files"][0]["comparison"] == "the same"
    with client.get(f"{GARDEN}/exports/files/garden-1-onnx.zip") as response:
        assert response.data.startswith(b"PK")
    assert client.post(f"{GARDEN}/exports/stop").status_code == 200
    assert client.delete(f"{GARDEN}/exports/files/garden-1-onnx.zip").json == {"removed": 1}
    assert client.delete(f"{GARDEN}/exports/files/garden-1-onnx.zip").status_code == 404


def test_a_file_that_is_expected_is_not_a_text(client: FlaskClient, trained: None) -> None:
    for address, fields, name in (
        (f"{GARDEN}/int8", {"version": "1", "photos": "photos.zip"}, "photos"),
        (IMPORTS, {"model": "model.onnx"}, "model"),
        (IMPORTS, {"model": (io.BytesIO(b"x"), "m.onnx"), "labels": "ants"}, "labels"),
    ):
        refused = client.post(address, data=fields, content_type="multipart/form-data")
        assert refused.status_code == 400
        message = refused.json["error"]["message"]
        assert f"The field {name} came without a file" in message
        assert f"-F {name}=@FILE" in message


# ------------------------------------------------------------------ imports


def test_an_import_that_cannot_start_is_explained(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(**fields: Any) -> Any:
        model = {"model": (io.BytesIO(b"x"), "My model.onnx")}
        return client.post(IMPORTS, data={**model, **fields})

    for fields, message in (
        ({"model": (io.BytesIO(), "")}, "The option model is missing; expected a file"),
        ({"outputs": "votes"}, "expected one of: logits, probabilities"),
        ({"scale": "0..1"}, "There is no option 'scale'"),
        ({"name": "../up"}, "../up"),
    ):
        refused = send(**fields)
        assert (refused.status_code, refused.json["error"]["code"]) == (400, "setting"), fields
        assert message in refused.json["error"]["message"]
    assert client.post(IMPORTS, json={"name": "x"}).status_code == 415
    monkeypatch.setattr(model_imports, "UNDER_WAY", 0)
    assert (send().status_code, send().json["error"]["code"]) == (409, "busy")
    for address in (f"{IMPORTS}/{NOTHING}", f"{IMPORTS}/{NOTHING}/stop"):
        assert client.post(address, data={"name": (io.BytesIO(), "")}).status_code == 404
    assert client.get(f"{IMPORTS}/{NOTHING}").status_code == 404


def test_an_import_is_followed_to_its_reason_stopped_and_tried_again(client: FlaskClient) -> None:
    model = {"model": (io.BytesIO(b"\x80\x02}q\x00."), "My model.pt")}
    begun = client.post(IMPORTS, data={**model, "labels_text": "ants\nbees"}).json
    assert imports.Import().validate(begun) == {}
    assert (begun["state"], begun["name"], begun["version"]) == ("running", "my-model", None)
    address = f"{IMPORTS}/{begun['id']}"
    assert client.post(address, data={"recipe": "0..1"}).status_code in (400, 415)
    page = client.get(f"/imports/{begun['id']}.json").json
    assert page["id"] == begun["id"]
    while (state := client.get(address).json)["state"] == "running":
        time.sleep(0.05)
    assert imports.Import().validate(state) == {}
    assert state["state"] == "failed"
    assert "is a pickle, such as PyTorch saves" in state["message"]
    form = {"data": {"recipe": "0..1"}, "content_type": "multipart/form-data"}
    assert client.post(address, **form).json["state"] == "running"
    assert client.post(f"{address}/stop").json["state"] == "stopped"


def test_without_projects_there_is_no_api_of_them(registry: Registry, tmp_path: Path) -> None:
    app = create_app(settings.load({}, home=tmp_path), registry, teaching=False)
    assert app.test_client().get(API).status_code == 404
    paths = app.test_client().get("/openapi.json").json["paths"]
    assert not [path for path in paths if path.startswith((API, IMPORTS))]
