"""The pages on which projects are created, filled and trained."""

from __future__ import annotations

import dataclasses
import html
import io
import re
import urllib.request
import zipfile

import pytest
from PIL import Image

from support import image_formats
from support import studios
from support.images import picture
from support.images import plain_image
from support.images import squares
from triptych import settings
from triptych.studio.jobs.progress import JobProgress
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import job_table as rows
from triptych.training.finetune import pace
from triptych.web import create_app
from triptych.web.studio import progress

PAGE = {"Accept": "text/html"}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.7"}


@pytest.fixture
def studio(registry, tmp_path):
    """Make a studio with some settings."""
    return lambda **options: create_app(settings.load({}, home=tmp_path, **options), registry)


@pytest.fixture
def app(studio):
    return studio()


@pytest.fixture
def projects(app):
    return app.extensions["triptych"].projects


@pytest.fixture
def garden(projects):
    """A project with two classes and a photo in the first."""
    project = projects.make("Garden")
    ants = projects.add_class(project.key, "ants")
    projects.add_class(project.key, "bees")
    projects.add(project.key, "ant.jpg", picture(1), ants.id)
    return project.key


def upload(client, key, *files: tuple[str, bytes], headers=None, **fields):
    photos = [(io.BytesIO(data), name) for name, data in files]
    address = f"/projects/{key}/photos"
    return client.post(address, data={"photo": photos, **fields}, headers=headers or {})


def class_ids(projects, key) -> dict[str, int]:
    return {label.name: label.id for label in projects.find(key).classes}


def follow(client, response):
    assert response.status_code == 303
    return client.get(response.location, headers=PAGE)


def test_black_photos_have_a_badge_and_a_class_of_them_a_warning(client, projects, garden):
    ids = class_ids(projects, garden)
    for n in range(3):
        projects.add(garden, f"{n}.png", plain_image((0, 0, 40 * n)), ids["bees"])
        projects.add(garden, f"a{n}.png", squares(n, size=(120, 180)), ids["ants"])
    fault = "3 of 3 photos of &#39;bees&#39; are blank."
    wall = client.get(f"/projects/{garden}").text
    assert wall.count('<span class="badge">blank</span>') == 3
    assert f"<strong>{fault}" in wall
    assert 'hardly more. Nothing can be learned from that. <span class="quiet">3 photos<' in wall
    teaching = client.get(f"/projects/{garden}/teach").text
    assert f"<strong>{fault}" in teaching
    assert "disabled" not in teaching.partition(">Start<")[0].rpartition("<button")[2]


# ------------------------------------------------------------------ the list of projects


@pytest.mark.slow
def test_an_empty_studio_offers_the_sample(client):
    page = client.get("/projects").text
    assert "See it work first" in page
    assert 'aria-current="page">Teach' in page
    with_job = follow(client, client.post("/projects/sample", headers=PAGE)).text
    assert 'id="job"' in with_job
    client.post("/projects/sample-fruit/job/stop")
    again = client.post("/projects/sample", headers=PAGE)  # is there already
    assert again.location.endswith("/projects/sample-fruit/teach")
    client.post("/projects/sample-fruit/job/stop")
    project_page = client.get("/projects/sample-fruit").text
    assert len(re.findall('data-class="[1-9]', project_page)) > 1
    page = client.get("/projects").text
    assert "See it work first" not in page
    assert page.count("/thumb.jpg") == 4


def test_the_classify_page_leads_to_teaching(client):
    assert 'href="/projects">Teach your own' in client.get("/").text


def test_a_project_is_made_renamed_and_removed(client, projects):
    page = follow(client, client.post("/projects", data={"title": " My  garden "}, headers=PAGE))
    assert '<h1 translate="no">My garden</h1>' in page.text
    assert "Name the first class" in page.text
    renamed = client.post("/projects/my-garden/rename", data={"title": "Weeds"}, headers=PAGE)
    assert "Weeds" in follow(client, renamed).text
    follow(client, client.post("/projects/my-garden/remove", headers=PAGE))
    assert projects.all() == []


def test_a_script_gets_the_address_of_the_project(client):
    response = client.post("/projects", data={"title": "Garden"}).json
    assert response == {"address": "/projects/garden", "key": "garden"}


@pytest.mark.parametrize("title", ["", "   ", "x" * 81])
def test_invalid_titles_are_refused_with_a_message(client, projects, title):
    page = client.post("/projects", data={"title": title}, headers=PAGE)
    assert page.status_code == 400
    assert "title" in page.text
    assert client.post("/projects", data={"title": title}).json["error"]["code"] == "setting"
    assert projects.all() == []


def test_titles_and_names_are_escaped(client, projects):
    bad = "<script>alert(1)</script>"
    key = projects.make(bad).key
    label = projects.add_class(key, "' onmouseover=alert(1) x='")
    photo = projects.add(key, "<img src=x onerror=alert(1)>.jpg", picture(1), label.id)
    projects.decide(key, [photo.digest], exclude=True)
    for path in ("/projects", f"/projects/{key}", f"/projects/{key}/teach"):
        page = client.get(path).text
        assert bad not in page
        assert html.escape(bad) in page
        assert "<img src=x" not in page
        assert "' onmouseover" not in page


def test_the_list_describes_each_project(client, garden):
    page = client.get("/projects").text
    assert "2 classes · 1 photo" in page
    assert page.count("/thumb.jpg") == 1


def zipped(**files: bytes) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    packed.seek(0)
    return packed


def test_a_zip_becomes_a_project(client, projects):
    photos = {
        f"pets/{pet}/{n}.jpg": picture(n + len(pet)) for pet in ("cat", "horse") for n in (1, 2)
    }
    sent = {"zip": (zipped(**photos), "My pets.zip")}
    page = follow(client, client.post("/projects/import", data=sent, headers=PAGE))
    assert '<h1 translate="no">My pets</h1>' in page.text
    (project,) = projects.all()
    assert {label.name: label.photos for label in project.classes} == {"cat": 2, "horse": 2}


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "No zip was chosen"),
        ({"zip": (io.BytesIO(b"hello"), "notes.zip")}, "zip"),
        ({"zip": (zipped(**{"notes.txt": b"hello"}), "notes.zip")}, "photo"),
    ],
)
def test_a_file_that_is_not_a_zip_of_photos_is_refused(client, projects, sent, message):
    page = client.post("/projects/import", data=sent, headers=PAGE)
    assert page.status_code == 400
    assert message in page.text
    assert projects.all() == []


# ------------------------------------------------------------------ classes


def test_classes_are_added_renamed_and_removed(client, projects, garden):
    added = client.post(f"/projects/{garden}/classes", data={"name": " wasps "}).json
    assert added["name"] == "wasps"
    ids = class_ids(projects, garden)
    assert added["id"] == ids["wasps"]
    renamed = client.post(
        f"/projects/{garden}/classes/{ids['ants']}/rename", data={"name": "red ants"}, headers=PAGE
    )
    assert renamed.location.endswith(f"#class-{ids['ants']}")
    page = follow(client, renamed).text
    assert '<h2 id="name-1" translate="no">red ants</h2>' in page
    client.post(f"/projects/{garden}/classes/{ids['ants']}/remove", headers=PAGE)
    assert set(class_ids(projects, garden)) == {"bees", "wasps"}
    assert "Without a class" in client.get(f"/projects/{garden}").text


@pytest.mark.parametrize("name", ["", "ants", "a/b", "..", "x" * 61, "line\nbreak\x00"])
def test_invalid_class_names_are_refused_with_a_message(client, garden, name):
    refused = client.post(f"/projects/{garden}/classes", data={"name": name})
    assert refused.status_code == 400
    assert refused.json["error"]["code"] == "setting"
    # Whatever a folder is called, its photos get a class.
    form = {"name": name, "of_folder": "true"}
    of_folder, again = (client.post(f"/projects/{garden}/classes", data=form) for _ in range(2))
    assert of_folder.json == again.json
    assert of_folder.json["name"]


@pytest.mark.parametrize(
    "path", ["classes/99/rename", "classes/99/remove", "classes/x/remove", "nothing"]
)
def test_unknown_addresses_are_404(client, garden, path):
    response = client.post(f"/projects/{garden}/{path}", data={"name": "wasps"}, headers=PAGE)
    assert response.status_code == 404


@pytest.mark.parametrize("path", ["", "/teach", "/job.json"])
def test_an_unknown_project_is_404(client, path):
    page = client.get(f"/projects/nothing{path}", headers=PAGE)
    assert page.status_code == 404
    assert "Traceback" not in page.text
    assert client.get(f"/projects/nothing{path}").json["error"]["code"] == "unknown_name"


# ------------------------------------------------------------------ photos come


def test_a_script_uploads_one_photo_per_request(client, projects, garden):
    bees = class_ids(projects, garden)["bees"]
    answer = upload(client, garden, ("bee.jpg", picture(2)), **{"class": str(bees)}).json
    assert answer["refused"] == []
    (uploaded,) = answer["photos"]
    assert uploaded["name"] == "bee.jpg"
    assert projects.photo(garden, uploaded["digest"]).class_id == bees
    assert projects.read(uploaded["digest"]) == picture(2)


def test_a_photo_without_a_class_waits_for_one(client, projects, garden):
    for home in ("", str(UNSORTED)):
        upload(client, garden, ("x.jpg", picture(3 + len(home))), **{"class": home})
    assert projects.find(garden).unsorted == 2


def test_one_bad_file_fails_alone(client, projects, garden):
    files = (("a.jpg", picture(2)), ("holiday.txt", b"hello"), ("c.jpg", picture(3)))
    answer = upload(client, garden, *files).json
    assert len(answer["photos"]) == 2
    (refused,) = answer["refused"]
    assert refused["name"] == "holiday.txt"
    assert "not an image" in refused["message"]
    page = upload(client, garden, *files, headers=PAGE)
    assert page.status_code == 200
    assert "1 file could not be added" in page.text
    assert "holiday.txt" in page.text
    assert projects.find(garden).photos == 3


def test_a_form_without_a_script_leads_back_to_the_page(client, garden):
    page = follow(client, upload(client, garden, ("b.jpg", picture(2)), headers=PAGE))
    assert "Without a class" in page.text


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.jpg", "C:\\photos\\x.jpg", "a\tb\u202e.jpg", "...", "x" * 5000, "é.jpg"],
)
def test_file_names_are_sanitised(client, projects, garden, name, tmp_path):
    (uploaded,) = upload(client, garden, (name, picture(9))).json["photos"]
    photo = projects.photo(garden, uploaded["digest"])
    assert not set(photo.name) & set("/\\\t\u202e")
    assert 0 < len(photo.name.encode()) < 256
    assert client.get(f"/projects/{garden}").status_code == 200
    assert [path.name for path in tmp_path.rglob("*passwd*")] == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"class": "99"}, 404),
        ({"class": "ants"}, 400),
        ({"class": "9" * 40}, 400),
        ({"class": "-1"}, 400),
    ],
)
def test_uploads_to_an_unknown_class_are_refused(client, projects, garden, fields, status):
    assert upload(client, garden, ("b.jpg", picture(2)), **fields).status_code == status
    assert projects.find(garden).photos == 1


def test_an_upload_without_a_photo_is_refused(client, garden):
    response = client.post(f"/projects/{garden}/photos", data={"class": ""})
    assert response.status_code == 400
    assert "'photo'" in response.json["error"]["message"]


def test_a_too_large_file_is_refused(studio):
    client = studio(max_image_bytes=1000).test_client()
    client.post("/projects", data={"title": "Garden"})
    answer = upload(client, "garden", ("big.jpg", picture(1, size=(600, 800)))).json
    assert answer["refused"][0]["code"] == "image_too_large"
    assert 'data-most="1000"' in client.get("/projects/garden").text


def test_changes_from_other_sites_are_refused(client, projects, garden):
    other = {"Origin": "https://example.org", **PAGE}
    for path in ("", "/sample", f"/{garden}/remove", f"/{garden}/photos", f"/{garden}/teach"):
        assert client.post(f"/projects{path}", headers=other).status_code == 403
    assert [project.key for project in projects.all()] == [garden]


def test_a_busy_studio_sends_retry_after(app, client, garden):
    queue = app.extensions["triptych"].queue
    queue.close()
    response = upload(client, garden, ("b.jpg", picture(2)))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0


def test_uploads_of_others_count_and_thumbnails_do_not(studio):
    app = studio(max_requests_per_minute=3)
    client = app.test_client()
    projects = app.extensions["triptych"].projects
    key = projects.make("Garden").key
    digest = projects.add(key, "a.jpg", picture(1)).digest
    client.environ_base.update(ELSEWHERE)
    for _ in range(5):
        assert client.get(f"/projects/photos/{digest}/thumb.jpg").status_code == 200
    got = [upload(client, key, ("b.jpg", picture(n))) for n in range(4)]
    assert [response.status_code for response in got] == [200, 200, 200, 429]
    assert int(got[-1].headers["Retry-After"]) > 0


# ------------------------------------------------------------------ photos are shown


def test_photos_and_thumbnails(client, projects, garden):
    (photo,) = projects.photos(garden)
    full = client.get(f"/projects/photos/{photo.digest}.jpg")
    assert (full.data, full.mimetype) == (picture(1), "image/jpeg")
    thumb = client.get(f"/projects/photos/{photo.digest}/thumb.jpg")
    assert thumb.mimetype == "image/jpeg"
    for response in (full, thumb):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "private" in response.headers["Cache-Control"]
        assert "immutable" in response.headers["Cache-Control"]


def test_formats_that_browsers_lack_are_sent_as_jpeg(client, projects, garden):
    digest = projects.add(
        garden, "scan.tif", image_formats.encode(Image.new("RGB", (20, 30)), "TIFF")
    ).digest
    full = client.get(f"/projects/photos/{digest}.jpg")
    assert full.mimetype == "image/jpeg"
    assert full.data.startswith(b"\xff\xd8")


@pytest.mark.parametrize("digest", ["0" * 64, "0" * 63, "..", "%2e%2e%2fstudio.sqlite", "A" * 64])
def test_unknown_photos_are_404(client, digest):
    for path in (f"{digest}.jpg", f"{digest}/thumb.jpg"):
        response = client.get(f"/projects/photos/{path}")
        assert response.status_code == 404
        assert "json" in response.mimetype


def test_photos_need_the_key(studio):
    app = studio(api_key="sesame")
    projects = app.extensions["triptych"].projects
    digest = projects.add(projects.make("Garden").key, "a.jpg", picture(1)).digest
    client = app.test_client()
    for path in ("/projects", "/projects/garden", f"/projects/photos/{digest}/thumb.jpg"):
        assert client.get(path).status_code == 401
    client.post("/sign-in", data={"key": "sesame"})
    assert client.get(f"/projects/photos/{digest}/thumb.jpg").status_code == 200
    assert client.get("/projects").headers["Cache-Control"] == "no-store"
    assert client.post("/sign-out").headers["Clear-Site-Data"] == '"cache"'


def test_only_pages_with_the_camera_may_use_it(client, garden):
    parts = ("", "/teach", "/try", "/result")
    lent = {
        path: client.get(path).headers["Permissions-Policy"].split(",")[0]
        for path in ("/", "/projects", *(f"/projects/{garden}{part}" for part in parts))
    }
    assert [path for path, rule in lent.items() if rule == "camera=(self)"] == [
        "/",
        f"/projects/{garden}",
        f"/projects/{garden}/try",
    ]


def test_many_photos_are_shown_in_parts(client, projects, garden):
    ants = class_ids(projects, garden)["ants"]
    for seed in range(40):
        projects.add(garden, f"{seed}.jpg", picture(seed, size=(8, 8)), ants)
    page = client.get(f"/projects/{garden}").text
    section = page[page.index(f'id="class-{ants}"') :]
    assert "41 photos" in section
    assert "39.jpg" in section
    more = re.search(r'class="more"[^>]*href="([^"]+)"', section)
    assert more
    assert "ant.jpg" not in section
    assert "ant.jpg" in client.get(html.unescape(more[1])).text


def test_an_invalid_query_string_shows_the_page(client, garden):
    for show in ("x:y", "1:-5", "9" * 50 + ":1", "1:999999999", "-2:0"):
        assert client.get(f"/projects/{garden}", query_string={"show": show}).status_code == 200


def test_findings_are_shown_beside_the_photos(client, projects, garden):
    bees = class_ids(projects, garden)["bees"]
    smaller = io.BytesIO()
    with Image.open(io.BytesIO(picture(1))) as image:
        image.resize((100, 75)).save(smaller, "JPEG")
    projects.add(garden, "the same smaller.jpg", smaller.getvalue(), bees)
    page = client.get(f"/projects/{garden}").text
    assert "under several classes" in page
    assert page.count('<span class="badge">in two classes</span>') == 2
    findings = page[page.index('id="findings"') : page.index('id="classes"')]
    assert findings.count("data-photo") == 2
    assert "Expect poor results" in findings


def test_photos_are_deleted_for_good(client, projects, garden):
    (photo,) = projects.photos(garden)
    none = client.post(f"/projects/{garden}/photos/erase", data={})
    assert none.status_code == 400
    answer = client.post(f"/projects/{garden}/photos/erase", data={"digest": photo.digest})
    assert answer.json["erased"] == 1
    assert client.get(f"/projects/photos/{photo.digest}.jpg").status_code == 404


def test_undo_is_offered_once_there_is_something_to_undo(client, projects, garden):
    assert 'id="undo"' not in client.get(f"/projects/{garden}").text
    (photo,) = projects.photos(garden)
    projects.decide(garden, [photo.digest], exclude=True)
    page = client.get(f"/projects/{garden}").text
    assert 'id="undo"' in page
    assert "Excluded" in page
    projects.undo(garden)
    assert 'id="undo"' not in client.get(f"/projects/{garden}").text


# ------------------------------------------------------------------ teaching


def test_too_few_photos_cannot_be_trained_on(client, garden):
    page = client.get(f"/projects/{garden}/teach").text
    assert "too few photos to train on" in page
    assert re.search(r"<button[^>]*disabled[^>]*>Start", page)
    refused = client.post(f"/projects/{garden}/teach", data={"backbones": "lite0"})
    assert refused.status_code == 400


def test_missing_networks_are_shown_with_their_command(client, garden):
    page = client.get(f"/projects/{garden}/teach").text
    assert "triptych pull VGG16" in page
    assert re.search('value="EfficientNetLite0" checked', page)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "No network was chosen"),
        ({"backbones": "lite0", "seed": "-1"}, "seed"),
        ({"backbones": "lite0", "seed": "9" * 30}, "seed"),
        ({"backbones": "nothing"}, "nothing"),
        ({"backbones": "lite0", "head": "huge"}, "huge"),
        ({"backbones": "lite0", "augment": "mirrors"}, "mirrors"),
    ],
)
def test_invalid_settings_are_refused_with_a_message(client, projects, garden, form, message):
    for name, number in class_ids(projects, garden).items():
        for seed in range(3):
            projects.add(garden, f"{name}.jpg", picture(10 * number + seed), number)
    page = client.post(f"/projects/{garden}/teach", data=form, headers=PAGE)
    assert 400 <= page.status_code < 500
    assert message in page.text


@pytest.fixture
def plant(app, garden):
    """Write a job of the garden with this progress."""
    jobs = rows.JobTable(app.extensions["triptych"].projects.database)

    def plant(**fields):
        # First, since whoever opens the jobs interrupts those of one who died.
        assert app.extensions["triptych"].jobs.latest(garden) is None
        jobs.put(dataclasses.replace(jobs.add(garden, {"backbones": ["lite0"]}), **fields))

    return plant


NEWS = (
    {"member": "EfficientNetLite0", "accuracy": 0.75, "photos": 16},
    {"member": "committee", "accuracy": 0.875, "photos": 16},
)


def test_a_running_training(client, garden, plant):
    plant(state="running", stage="Computing features", done=30, total=40, news=NEWS)
    page = client.get(f"/projects/{garden}/teach").text
    assert "Computing features: 30 of 40." in page
    assert 'value="0.75"' in page
    assert '<li data-state="done" >Reading photos' in page
    assert '<li data-state="now" aria-current="step">Computing features' in page
    assert "augmented views" not in page
    assert "<td>63 to 97 % (14 of 16 photos)</td>" in page
    assert ">Stop</button>" in page
    assert '<meta http-equiv="refresh"' in page
    assert re.search(r"<button[^>]*disabled[^>]*>Start", page)
    state = client.get(f"/projects/{garden}/job.json").json
    assert (state["state"], state["progress"], state["under_way"]) == ("running", 0.75, True)
    assert [{**news, "right": None} for news in state["news"]] == [
        {**news, "right": None} for news in NEWS
    ]
    assert state["news"][0]["right"] == "50 to 90 % (12 of 16 photos)"
    stopped = client.post(f"/projects/{garden}/job/stop", headers=PAGE)
    assert stopped.location == f"/projects/{garden}/teach"


@pytest.mark.parametrize(
    ("state", "title"),
    [("stopped", "Stopped"), ("failed", "It did not work"), ("interrupted", "Interrupted")],
)
def test_an_unfinished_training_says_why_and_can_resume(client, garden, plant, state, title):
    plant(state=state, error="Somebody pulled the <plug>.")
    page = client.get(f"/projects/{garden}/teach").text
    assert f">{title}</h2>" in page
    assert "Somebody pulled the &lt;plug&gt;." in page
    assert ">Go on</button>" in page
    refused = client.post(f"/projects/{garden}/job/resume", headers=PAGE)
    assert refused.status_code == 400  # there are too few photos
    assert "too few photos to train on" in refused.text


def test_a_finished_training_links_to_its_result(client, garden, plant):
    plant(state="done", version=3, news=NEWS)
    page = client.get(f"/projects/{garden}/teach").text
    assert "Right answers to photos it was not trained on: 63 to 97 % (14 of 16 photos)." in page
    assert f'href="/projects/{garden}/result">See the result' in page
    assert ">Go on</button>" not in page


def test_with_many_photos_accuracy_is_the_headline(client, garden, plant):
    plant(state="done", version=3, news=[{"member": "committee", "accuracy": 0.875, "photos": 800}])
    page = client.get(f"/projects/{garden}/teach").text
    assert "not trained on: 87.5 % (85.0 to 89.7 %, 800 photos)." in page


def test_with_several_classes_a_photo_all_of_them_count(client, garden, plant):
    several = {"member": "committee", "accuracy": 0.875, "photos": 800, "multilabel": True}
    plant(state="done", version=3, news=[several])
    page = client.get(f"/projects/{garden}/teach").text
    assert "that got all their classes, and no other: 87.5 %" in page


def test_a_job_of_0_1_0_has_no_interval(client, garden, plant):
    plant(state="done", version=3, news=[{"member": "committee", "accuracy": 0.875}])
    assert "not trained on: 87.5 %." in client.get(f"/projects/{garden}/teach").text


def test_with_very_few_photos_there_is_no_accuracy(client, garden, plant):
    plant(state="done", version=1)
    assert "too few photos to say" in client.get(f"/projects/{garden}/teach").text


def test_time_left_in_words():
    job = rows.Job(
        1, "garden", 0.0, {}, "running", "Computing features", 1, 9, rate=3.4, left_s=2.2
    )
    state = progress.of(job)
    assert state["said"] == "Computing features: 1 of 9, 3.4 photos a second."
    assert state["left"] == "About 3 seconds left in this stage."
    long = dataclasses.replace(job, left_s=200.0, options={"augment": ["flips"]})
    assert progress.of(long)["left"] == "About 3 minutes left in this stage."
    names = [stage["name"] for stage in progress.of(long)["stages"]]
    assert "Computing features of augmented views" in names
    assert "Fine-tuning" not in names


def test_the_stage_of_fine_tuning_is_shown_whichever_member_it_is():
    options = {"fine_tune": True}
    job = rows.Job(1, "garden", 0.0, options, "running", "Fine-tuning EfficientNetLite0", 1, 9)
    stages = {stage["name"]: stage["state"] for stage in progress.of(job)["stages"]}
    assert stages["Learning curve"] == "done"
    assert stages["Fine-tuning"] == "now"
    assert stages["Saving the classifier"] == "to come"


def test_a_studio_that_cannot_write_reports_it_and_still_classifies(registry, tmp_path):
    (tmp_path / "studio").write_text("a file where a folder belongs")
    app = create_app(settings.load({}, home=tmp_path), registry)
    client = app.test_client()
    assert client.get("/").status_code == 200
    page = client.get("/projects", headers=PAGE)
    assert page.status_code == 500
    assert str(tmp_path) not in page.text  # that is for the log
    assert "Traceback" not in page.text


def test_a_server_starts_without_a_writable_studio_folder(tmp_path):
    (tmp_path / "studio").write_text("a file where a folder belongs")
    with (
        studios.fake_studio(home=tmp_path) as (_, address),
        urllib.request.urlopen(f"{address}/readyz") as answer,
    ):
        assert answer.read() == b"ready"


def test_without_a_job_there_is_no_job_status(client, garden):
    assert client.get(f"/projects/{garden}/job.json").status_code == 404
    for what in ("stop", "resume"):
        assert client.post(f"/projects/{garden}/job/{what}").status_code == 404


# ------------------------------------------------------------------ fine-tuning


def epoch(number: int, correct: int, member: str = "EfficientNetLite0") -> dict[str, object]:
    return {"member": member, "number": number, "right": correct, "photos": 120, "loss": 0.5}


def test_the_rounds_of_fine_tuning_are_a_curve_for_each_network():
    stage = "Fine-tuning EfficientNetLite0"
    job = rows.Job(1, "garden", 0.0, {"fine_tune": True}, "running", stage, 1, 9)
    live = JobProgress(job)
    for number, correct in enumerate((60, 90, 84)):
        live.update({"epoch": epoch(number, correct)})
    live.update({"epoch": epoch(0, 108, "EfficientNetLite1")})
    first, second = progress.of(live.job)["tuned"]
    assert first["member"] == "EfficientNetLite0"
    assert first["said"] == "50.0 % right before, 70.0 % after 2 rounds."
    assert first["line"] == "0.0,100.0 50.0,0.0 100.0,20.0"
    assert second["said"] == "90.0 % right before."


def test_what_a_stop_keeps_is_said_before_and_after_it():
    job = rows.Job(1, "garden", 0.0, {}, "running", "Computing features", 1, 9)
    assert "What the networks have computed is kept" in progress.of(job)["kept"]
    tuning = dataclasses.replace(job, stage="Fine-tuning EfficientNetLite0")
    assert "Stopping keeps the best so far" in progress.of(tuning)["kept"]
    live = JobProgress(tuning)
    live.stop()
    state = progress.of(live.job)
    assert state["stop"] == "Stop at once"
    assert state["said"].startswith("Stopping: the best so far is kept")
    live.update({"version": 2})
    assert not live.job.is_stopping


def test_the_time_of_fine_tuning_is_estimated_from_the_last_one(client, garden, tmp_path):
    page = client.get(f"/projects/{garden}/teach").text
    assert "Also train the networks' own layers" in page
    assert "(about" not in page
    pace.record(tmp_path, start_s=30.0, rest_s=90.0, photos=100, cost=0.4)
    assert pace.estimate(tmp_path, photos=100, costs=[0.4]) == pytest.approx(120)
    assert pace.estimate(tmp_path, photos=200, costs=[0.4, 0.8]) == pytest.approx(600)
    assert "own layers (about 2 minutes)" in client.get(f"/projects/{garden}/teach").text
    (tmp_path / "tuning" / "pace.json").write_text('{"start_s": "soon"}')
    assert "(about" not in client.get(f"/projects/{garden}/teach").text
