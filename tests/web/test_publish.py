"""Publishing: versions, roll back, the card, code to copy, downloads, the page to share."""

from __future__ import annotations

import html
import io
import re
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from support import studios
from support.bundles import MEMBER
from support.bundles import write_two_versions
from support.bundles import write_with_metrics
from support.images import squares
from triptych import bundles
from triptych import settings
from triptych.web import context
from triptych.web import create_app
from triptych.web.registry import Discovery
from triptych.web.registry import Registry

API = "/api/v1/classify"
BROWSER = {"Accept": "text/html"}
KEY = "a long key"
# The classes of the two versions.
OLD, NEW = {"ant", "bee"}, {"wasp", "hornet"}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A home folder with two committees, the first in two versions that differ in their classes."""
    write_two_versions(tmp_path)
    return tmp_path


def studio(home: Path, **limits: object) -> Flask:
    registry = Registry(lambda name: studios.bundle_classifier(home, name), Discovery(home), "base")
    registry.get()
    return create_app(settings.load({}, home=home, **limits), registry)


@pytest.fixture
def client(shelf: Path) -> FlaskClient:
    return studio(shelf).test_client()


def page(client: FlaskClient, path: str = "/bundles/garden") -> str:
    response = client.get(path, headers=BROWSER, follow_redirects=True)
    assert response.status_code == 200
    return html.unescape(re.sub(r"\s+", " ", response.text))


def page_text(client: FlaskClient, path: str = "/bundles/garden") -> str:
    """The text of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page(client, path)))


def serve(client: FlaskClient, version: int | str, name: str = "garden"):
    return client.post(f"/bundles/{name}/active", data={"version": version}, headers=BROWSER)


def classes(client: FlaskClient, committee: str = "garden") -> set[str]:
    response = client.post(f"{API}?committee={committee}", data=squares(), content_type="image/png")
    return {guess["label"] for guess in response.json["results"][0]["verdict"]["top"]}


# ------------------------------------------------------------------ versions


def test_versions_are_listed_with_their_accuracy(client):
    text = page_text(client)
    facts = "59 to 99 % (9 of 10 photos) 40 photos EfficientNetLite0 2026-01-02"
    assert f"2 active Take offline Try Download {facts}" in text
    assert "49 to 95 % (8 of 10 photos)" in text
    assert "are answered by version 2" in text
    assert [text.count(step) for step in ("Take offline", "Roll back to this", "Download")] == [
        *(1, 1, 2)
    ]


def test_rolling_back_and_forward_take_effect_at_once(client):
    assert classes(client) == NEW
    response = serve(client, 1)
    assert (response.status_code, response.location) == (303, "/bundles/garden?done=served")
    assert classes(client) == classes(client, "garden@1") == OLD
    assert classes(client, "garden@2") == NEW
    text = page_text(client, "/bundles/garden?done=served")
    assert "Published: requests by its name are answered" in text
    assert "are answered by version 1" in text
    serve(client, 2)
    assert classes(client) == NEW


def test_no_request_is_lost_or_mixed_up_while_versions_change(client):
    app, stop = client.application, threading.Event()
    allowed = {"garden": [OLD, NEW], "garden@1": [OLD], "garden@2": [NEW]}

    def ask(committee: str) -> int:
        asker, count = app.test_client(), 0
        while not stop.is_set():
            assert classes(asker, committee) in allowed[committee]
            count += 1
        return count

    with ThreadPoolExecutor(len(allowed)) as pool:
        asking = [pool.submit(ask, committee) for committee in allowed]
        for version in (1, 2) * 4:
            assert serve(client, version).status_code == 303
            assert classes(client) == (OLD if version == 1 else NEW)
        stop.set()
        assert min(one.result() for one in asking) > 0


def test_an_offline_committee_is_not_listed_until_it_is_published_again(client):
    assert serve(client, 0).location == "/bundles/garden?done=offline"
    refused = client.post(f"{API}?committee=garden", data=squares(), content_type="image/png")
    assert refused.status_code == 404
    assert "No version of garden is published" in refused.json["error"]["message"]
    assert classes(client, "garden@2") == NEW
    assert 'value="garden"' not in page(client, "/")
    assert client.get("/c/garden").status_code == 404
    assert "Publish a version first" in page_text(client)
    assert client.get("/v1/models/garden").status_code == 404
    assert client.get("/v1/models/garden/versions/1").status_code == 200
    assert client.get("/api/v1/bundles/garden@1").json["active"] is None
    serve(client, 1)
    assert classes(client) == OLD
    assert 'value="garden"' in page(client, "/")


def test_an_unpublished_version_is_served_by_its_number_only(client, shelf):
    write_with_metrics(shelf, "garden", "moth", "fly", publish=False)
    assert "are answered by version 2" in page_text(client)
    assert "3 Publish Try Download" in page_text(client)
    assert classes(client, "garden@3") == {"moth", "fly"}
    assert classes(client) == NEW
    serve(client, 3)
    assert classes(client) == {"moth", "fly"}


def test_other_protocols_mean_the_active_version_too(client):
    serve(client, 1)
    assert client.get("/v2/models/garden").json["versions"] == ["1", "2"]
    assert client.get("/v1/models/garden/metadata").json["model_spec"]["version"] == "1"
    facts = {one["name"]: one for one in client.get("/api/v1/committees").json["committees"]}
    assert (facts["garden"]["active"], facts["garden"]["versions"]) == (1, [1, 2])
    bundles = {one["name"]: one for one in client.get("/api/v1/bundles").json["bundles"]}
    assert (bundles["garden"]["version"], bundles["garden"]["classes"]) == (1, ["ant", "bee"])


def test_a_damaged_version_cannot_be_activated(client, shelf):
    (bundles.find(shelf, "garden@1").folder / "members" / MEMBER / "network.bin").write_text("")
    response = serve(client, 1)
    assert response.status_code == 409
    assert "is not the file that was written" in html.unescape(response.text)
    assert classes(client) == NEW
    (bundles.find(shelf, "garden@1").folder / "bundle.json").write_text("{")
    assert "cannot be read" in page_text(client)


def test_the_default_committee_stays_online(client):
    response = serve(client, 0, "base")
    assert response.status_code == 409
    assert "stays online" in response.text
    assert "it stays online" in page_text(client, "/bundles/base")
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("version", ["", "x", "-1", "1.5", "²", "9" * 400])
def test_a_version_that_is_not_a_number_is_refused(client, version):
    response = serve(client, version)
    assert response.status_code == 400
    assert "expected its number" in response.text
    assert classes(client) == NEW


def test_unknown_bundles_and_versions_have_a_message(client):
    assert serve(client, 7).status_code == 404
    assert serve(client, 0, "pond").status_code == 404
    for path in (
        "/bundles/pond",
        "/c/pond",
        "/c/garden@9",
        "/c/garden@x",
        "/c/lite",
        "/bundles/garden/9.zip",
    ):
        response = client.get(path, headers=BROWSER)
        assert response.status_code == 404, path
        assert "Not answered" in response.text
    assert client.get("/projects/pond/publish").status_code == 404


def test_publishing_from_other_sites_is_refused(client):
    for path in ("active", "card"):
        headers = {**BROWSER, "Sec-Fetch-Site": "cross-site"}
        response = client.post(f"/bundles/garden/{path}", data={"version": 1}, headers=headers)
        assert response.status_code == 403
    assert classes(client) == NEW


# ------------------------------------------------------------------ the lists


def test_all_bundles_are_listed_whatever_their_origin(client, shelf):
    serve(client, 0)
    text = page_text(client, "/bundles")
    assert "base 1 1 59 to 99 %" in text
    assert "garden none 2 59 to 99 %" in text
    assert "wasp, hornet" in text


def test_an_empty_studio_says_how_to_get_bundles(tmp_path):
    write_with_metrics(tmp_path, "base", "x", "y")
    client = studio(tmp_path).test_client()
    bundles.remove(tmp_path, "base")
    assert "There are no taught committees yet" in page_text(client, "/bundles")


def test_a_project_has_the_same_publishing_page(client, shelf):
    project = client.application.extensions["triptych"].projects.make("My pond")
    assert "has not been taught" in page_text(client, f"/projects/{project.key}/publish")
    write_with_metrics(shelf, project.key, "newt", "frog")
    text = page_text(client, f"/projects/{project.key}/publish")
    assert "My pond" in text
    assert "are answered by version 1" in text
    response = client.get(f"/bundles/{project.key}")
    assert response.location == f"/projects/{project.key}/publish"
    assert serve(client, 1, project.key).location == f"{response.location}?done=served"
    assert "My pond" in page_text(client, f"/c/{project.key}")
    assert client.get("/projects/garden/publish").location == "/bundles/garden"


# ------------------------------------------------------------------ the card


def test_the_card_is_plain_text_wherever_it_is_shown(client, shelf):
    words = {
        "description": "Insects <script>alert(1)</script>\n\nof my garden",
        "use": "Not for medicine.",
        "contact": "me@example.org",
    }
    assert client.post("/bundles/garden/card", data=words).location.endswith("?done=card")
    for path in ("/bundles/garden", "/c/garden"):
        text = client.get(path).text
        assert "Insects &lt;script&gt;" in text
        assert "<script>alert" not in text
        assert "Not for medicine." in text
    assert '<p class="paragraph" translate="no">of my garden</p>' in client.get("/c/garden").text
    serve(client, 1)
    assert "Not for medicine." in page_text(client, "/c/garden")
    client.post("/bundles/garden/card", data={})
    assert "Not for medicine." not in page_text(client, "/c/garden")
    assert bundles.card_texts(shelf, "garden") == {}


def test_the_figures_of_a_card_cannot_be_edited(client):
    client.post("/bundles/garden/card", data={"top1": "1.0", "accuracy": "100 %", "use": "Fun."})
    text = page_text(client, "/c/garden")
    assert "9 of 10 photos" in text
    assert "100 %" not in text


def test_a_card_that_is_too_long_is_refused(client, shelf):
    response = client.post("/bundles/garden/card", data={"use": "x" * 4001}, headers=BROWSER)
    assert response.status_code == 400
    assert "at most 4000" in response.text
    huge = client.post("/bundles/garden/card", data={"use": "x" * 200_000}, headers=BROWSER)
    assert huge.status_code == 413
    assert bundles.card_texts(shelf, "garden") == {}


# ------------------------------------------------------------------ download


def test_a_download_is_imported_with_its_card(client, shelf, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    client.post("/bundles/garden/card", data={"use": "Only in summer."})
    response = client.get("/bundles/garden/1.zip")
    assert response.headers["Content-Disposition"] == "attachment; filename=garden-1.zip"
    assert int(response.headers["Content-Length"]) == len(response.data)
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert "Only in summer." in archive.read("README.md").decode()
    (elsewhere / "x.zip").write_bytes(response.data)
    taken = bundles.unpack(elsewhere, elsewhere / "x.zip")
    assert [label.name for label in taken.labels] == ["ant", "bee"]
    assert taken.card_texts == {"use": "Only in summer."}
    response.close()
    assert {path.name.split(".")[0] for path in shelf.iterdir()} <= {"bundles", "studio"}


def test_simultaneous_downloads_are_limited(client, shelf):
    under_way = [client.get("/bundles/garden/1.zip") for _ in range(context.DOWNLOADS)]
    assert {response.status_code for response in under_way} == {200}
    refused = client.get("/bundles/garden/1.zip")
    assert refused.status_code == 503
    assert "Retry-After" in refused.headers
    under_way.pop().close()
    for _ in range(2):  # one that fails takes no place
        assert client.get("/bundles/garden/7.zip").status_code == 404
    under_way.append(client.get("/bundles/garden/1.zip"))
    assert under_way[-1].status_code == 200
    for response in under_way:
        response.close()
        response.close()  # as servers may


# ------------------------------------------------------------------ what is copied


def snippets(client: FlaskClient, **more: object) -> dict[str, str]:
    text = client.get("/bundles/garden", **more).text
    blocks = re.findall(r'<code id="([a-z]+)" translate="no">(.*?)</code>', text, re.DOTALL)
    return {name: html.unescape(code) for name, code in blocks}


def test_the_code_to_copy_names_this_studio_and_committee(shelf):
    client = studio(shelf, allowed_hosts="photos.example").test_client()
    code = snippets(client, base_url="https://photos.example")
    address = f"https://photos.example{API}?committee=garden"
    assert code["curl"] == f'curl -F image=@photo.jpg "{address}"\n'
    assert f'"{address}"' in code["elsewhere"]
    assert 'triptych.load("garden")' in code["here"]
    for name in ("elsewhere", "here"):
        compile(code[name], name, "exec")


def test_the_python_to_copy_works(shelf, monkeypatch, capsys, tmp_path):
    code = snippets(studio(shelf).test_client())["here"]
    names = []
    monkeypatch.setattr(
        "triptych.load", lambda name: names.append(name) or studios.bundle_classifier(shelf, name)
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(squares())
    exec(code, {})
    assert names == ["garden"]
    assert capsys.readouterr().out.split()[0] in ("wasp", "hornet")


def test_with_a_key_the_code_to_copy_sends_it(shelf):
    client = studio(shelf, api_key=KEY).test_client()
    for path in ("/bundles", "/bundles/garden", "/c/garden", "/bundles/garden/1.zip"):
        assert client.get(path, headers=BROWSER).status_code == 401
    assert serve(client, 1).status_code == 401
    code = snippets(client, headers={"Authorization": f"Bearer {KEY}"})
    assert '-H "Authorization: Bearer $TRIPTYCH_API_KEY"' in code["curl"]
    assert 'os.environ["TRIPTYCH_API_KEY"]' in code["elsewhere"]
    compile(code["elsewhere"], "elsewhere", "exec")
    assert KEY not in "".join(code.values())


# ------------------------------------------------------------------ the page to share


def test_the_page_to_share_is_about_one_committee(client):
    text = page_text(client, "/c/garden")
    assert "2 classes: wasp, hornet" in text
    assert "it was right on 9 of 10 photos that it was not trained on" in text
    assert "On 59 to 99 % of photos like those it was evaluated on" in text
    assert "Take a photo" in text
    for other in ("base", "classic", "Classify", "How answers are combined", "Teach your own"):
        assert other not in text


def test_a_version_is_tried_before_it_is_published(client, shelf):
    write_with_metrics(shelf, "garden", "moth", "fly", publish=False)
    text = page_text(client, "/c/garden@3")
    assert "Version 3, for trying out; version 2 is published" in text
    assert "moth, fly" in text
    data = {"image": (io.BytesIO(squares()), "bug.png"), "committee": "garden@3"}
    tried = client.post("/c/garden@3", data=data, headers=BROWSER).text
    assert re.search(r'<h3 data-slot="label" translate="no">(moth|fly)</h3>', tried)
    assert "for trying out" not in page_text(client, "/c/garden")


def test_where_training_ends_the_newest_version_is_tried_out(client, shelf):
    client.post("/projects", data={"title": "Yard"}, headers=BROWSER)
    assert "Not taught yet" in page(client, "/projects/yard/try")
    for _ in range(2):
        write_with_metrics(shelf, "yard", "moth", "fly", publish=False)
    for path, name in (("try", "yard@2"), ("try?version=1", "yard@1")):
        tried = page(client, f"/projects/yard/{path}")
        assert f'<input type="hidden" name="committee" value="{name}">' in tried
        assert 'id="go-live"' in tried
    data = {"image": (io.BytesIO(squares()), "bug.png"), "committee": "yard@2"}
    answered = client.post("/projects/yard/try", data=data, headers=BROWSER).text
    assert re.search(r'<h3 data-slot="label" translate="no">(moth|fly)</h3>', answered)
    assert client.get("/projects/yard/try?version=9").status_code == 404


def test_drawings_to_try_the_sample_with(client):
    apple = client.get("/projects/sample/apples.jpg")
    assert apple.mimetype == "image/jpeg"
    assert client.get("/projects/sample/cherries.jpg").status_code == 404


def test_the_page_to_share_answers_without_a_script(client):
    data = {"image": (io.BytesIO(squares()), "bug.png"), "committee": "garden"}
    response = client.post("/c/garden", data=data, headers=BROWSER)
    assert response.status_code == 200
    assert re.search(r'<h3 data-slot="label" translate="no">(wasp|hornet)</h3>', response.text)
    assert "bug.png" in response.text


@pytest.mark.parametrize(
    ("onward", "where"),
    [
        ("/c/garden", "/c/garden"),
        ("/bundles/garden?done=card", "/bundles/garden?done=card"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/a b", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_signing_in_redirects_to_the_requested_page(shelf, onward, where):
    client = studio(shelf, api_key=KEY).test_client()
    sign_in = client.get("/c/garden?x=1", headers=BROWSER)
    assert 'name="next" value="/c/garden?x=1"' in html.unescape(sign_in.text)
    wrong = client.post("/sign-in", data={"key": "no", "next": onward}, headers=BROWSER)
    assert f'name="next" value="{html.escape(onward)}"' in wrong.text
    assert client.post("/sign-in", data={"key": KEY, "next": onward}).location == where
