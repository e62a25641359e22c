"""Page and API over synthetic committees: answers, refusals and their messages."""

from __future__ import annotations

import html
import io
import json
import re

import pytest

from support import studios
from support.images import plain_image
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.ensemble import rules
from triptych.inference import committee
from triptych.models import weights
from triptych.models import zoo
from triptych.web import create_app
from triptych.web import uploads
from triptych.web.registry import Offer
from triptych.web.registry import Registry

API = "/api/v1/classify"


def file(name: str, data: bytes) -> tuple[io.BytesIO, str]:
    return io.BytesIO(data), name


def ask(client, *files: tuple[str, bytes], to: str = API, **options: str):
    images = [file(name, data) for name, data in files]
    return client.post(to, data={"image": images, **options})


# ------------------------------------------------------------------ the API's answers


def test_api_answers_as_the_classifier_does(client):
    answer = ask(client, ("cat.png", squares())).json["results"][0]
    expected = studios.fake_classifier("lite").classify(squares(), source="cat.png").to_dict()
    assert answer.pop("timing").keys() == expected.pop("timing").keys()
    assert answer == expected


def test_api_answers_many_in_order(client):
    response = ask(client, *((f"{seed}.png", squares(seed)) for seed in (3, 1, 2)))
    assert [each["source"] for each in response.json["results"]] == ["3.png", "1.png", "2.png"]


@pytest.mark.parametrize("kind", ["image/png", "image/whatever", "application/octet-stream"])
def test_api_takes_a_raw_body(client, kind):
    response = client.post(API, data=squares(), content_type=kind)
    assert response.json["results"][0]["source"] == "image 1"
    assert response.status_code == 200


def test_options_are_read_from_the_query_string_and_the_form(client):
    in_form = ask(client, ("a.png", squares()), rule="max", members="lite", committee="classic")
    assert in_form.status_code == 404
    first, _, last = zoo.COMMITTEES["classic"]
    options = {"committee": "classic", "members": f"{last},{first}", "rule": "vote", "top": "2"}
    for response in (
        ask(client, ("a.png", squares()), **options),
        client.post(API, query_string=options, data=squares(), content_type="image/png"),
    ):
        (answer,) = response.json["results"]
        assert answer["verdict"]["rule"] == "vote"
        assert [member["name"] for member in answer["members"]] == [first, last]
        assert [len(member["top"]) for member in answer["members"]] == [2, 2]


def test_fit_changes_the_networks_inputs(client):
    wide = squares(size=(40, 200))
    answers = [
        ask(client, ("a.png", wide), fit=fit).json["results"][0]["verdict"]["prob"]
        for fit in ("crop", "square")
    ]
    assert answers[0] != answers[1]


def test_empty_options_mean_the_committees_defaults(client):
    response = ask(client, ("a.png", squares()), committee="", members="", rule="", fit="", top="")
    plain = ask(client, ("a.png", squares()))
    assert response.json["results"][0]["verdict"] == plain.json["results"][0]["verdict"]


def test_auto_is_the_default_committee(client):
    answer = ask(client, ("a.png", squares()), committee="auto").json["results"][0]
    assert [member["name"] for member in answer["members"]] == [
        row.name for row in committee.backbones("lite")
    ]


def test_api_lists_the_committees(client):
    answer = client.get("/api/v1/committees").json
    lite, classic = answer["committees"]
    assert answer["default"] == "lite"
    assert lite["missing"] == []
    assert classic["missing"] == classic["members"]
    assert classic["missing_mb"] > 100


def test_healthz(client):
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok")


# ------------------------------------------------------------------ what goes wrong


def test_one_bad_image_does_not_affect_the_others(client):
    response = ask(client, ("a.png", squares(1)), ("b.txt", b"hello"), ("c.png", squares(2)))
    good, bad, also_good = response.json["results"]
    assert response.status_code == 200
    assert bad["source"] == "b.txt"
    assert bad["error"]["code"] == "not_an_image"
    assert "verdict" in good
    assert "verdict" in also_good


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [(b"", 400, "empty_image"), (b"hello", 415, "not_an_image")],
)
def test_a_single_images_error_sets_the_status(client, data, status, code):
    for response in (
        ask(client, ("a.png", data)),
        client.post(API, data=data, content_type="image/png"),
    ):
        assert response.status_code == status
        assert response.json["results"][0]["error"]["code"] == code


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"committee": "nobody"}, 404, "There is no committee 'nobody'; expected one of: lite"),
        ({"members": "Nobody"}, 404, "has no members Nobody; its members are"),
        (
            {"rule": "dice"},
            400,
            "The option rule is 'dice'; expected one of: mean, weighted, cascade",
        ),
        ({"fit": "tight"}, 400, "The option fit is 'tight'; expected one of: crop, square"),
        ({"top": "many"}, 400, "The option top is 'many'; expected a whole number of at least 1"),
        ({"top": "0"}, 400, "The option top is 0; expected a whole number of at least 1"),
        ({"coverage": "most"}, 400, "The option coverage is 'most'; expected a share above 0"),
        (
            {"coverage": "1"},
            400,
            "The option coverage is '1'; expected a share above 0 and below 1",
        ),
        ({"coverage": "nan"}, 400, "The option coverage is 'nan'; expected a share above 0"),
        ({"rul": "max"}, 400, "There is no option 'rul'; expected only: committee"),
    ],
)
def test_bad_options_are_explained(client, options, status, message):
    response = ask(client, ("a.png", squares()), **options)
    assert response.status_code == status
    assert message in response.json["error"]["message"]
    assert response.json.keys() == {"error"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"data": {"rule": "max"}, "content_type": "multipart/form-data"}, "There is no image"),
        ({"data": {"rule": "max"}}, "application/x-www-form-urlencoded, which carries no files"),
        ({"data": b""}, "came without a Content-Type"),
        ({"json": {"image": "…"}}, 'There is no image in the request. Expected {"images": '),
        ({"data": {"file": file("a.png", b"x")}}, "came in the field 'file'; expected all files"),
        (
            {"data": {"image": "a.png"}, "content_type": "multipart/form-data"},
            "came as text instead of a file",
        ),
    ],
    ids=["no image", "no enctype", "no body", "json", "wrong field", "text"],
)
def test_a_request_without_an_image_is_diagnosed(client, request_, message):
    response = client.post(API, **request_)
    assert response.status_code == 400
    assert message in response.json["error"]["message"]
    assert response.json["error"]["code"] == "bad_request"


def test_too_many_images(client):
    response = ask(client, *(("a.png", squares()) for _ in range(5)))
    assert response.status_code == 413
    assert "5 images came in one request; at most 4" in response.json["error"]["message"]


@pytest.mark.parametrize("kind", ["multipart/form-data", "image/png"])
def test_too_many_bytes(registry, kind):
    client = create_app(settings.load({}, max_request_bytes=10_000), registry).test_client()
    data = bytes(20_000)
    body = {"image": file("a.png", data)} if kind.startswith("multipart") else data
    response = client.post(API, data=body, content_type=kind)
    assert response.status_code == 413
    assert "at most 0 MB" not in response.json["error"]["message"]
    assert "request is too large; at most 10 kB" in response.json["error"]["message"]


def test_missing_weights_are_explained(registry):
    def load(name):
        raise errors.WeightsMissing("Fetch them once with: triptych pull VGG16")

    client = create_app(
        settings.load({}), Registry(load, studios.catalogue("lite"), "lite")
    ).test_client()
    response = ask(client, ("a.png", squares()))
    assert response.status_code == 503
    assert response.json["error"] == {
        "code": "weights_missing",
        "message": "Fetch them once with: triptych pull VGG16",
    }


@pytest.mark.parametrize("path", [API, "/"])
def test_an_unexpected_error_shows_no_traceback(path, caplog):
    def load(name):
        raise RuntimeError("a secret of the house")

    client = create_app(
        settings.load({}), Registry(load, studios.catalogue("lite"), "lite")
    ).test_client()
    response = ask(client, ("a.png", squares()), to=path)
    assert response.status_code == 500
    assert "Something went wrong inside the studio" in response.text
    assert "Traceback" not in response.text
    assert "secret" not in response.text
    assert "a secret of the house" in caplog.text


@pytest.mark.parametrize(
    ("path", "accepts", "is_page"),
    [
        ("/nothing", "text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("/nothing", "*/*", False),
        ("/nothing", None, False),
        ("/static/nothing", "*/*", False),
        ("/api/v1/nothing", "text/html,*/*;q=0.8", False),
        ("/?coverage=2", "*/*", True),
    ],
)
def test_errors_are_pages_for_people_and_json_for_programs(client, path, accepts, is_page):
    response = client.get(path, headers={"Accept": accepts} if accepts else {})
    assert response.status_code in (400, 404)
    if is_page:
        assert "<h1>Not answered</h1>" in response.text
    else:
        assert response.json["error"].keys() == {"code", "message"}


def test_a_wrong_method_says_which_are_right(client):
    response = client.get(API)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert response.json["error"]["code"] == "method_not_allowed"


# ------------------------------------------------------------------ names from outside


@pytest.mark.parametrize(
    ("sent", "base_name"),
    [
        ("../../etc/passwd", "passwd"),
        (r"C:\fakepath\cat.jpg", "cat.jpg"),
        ("<script>alert(1)<script>.png", "<script>alert(1)<script>.png"),
        ("Katze auf dem Dächle 猫 🐈.png", "Katze auf dem Dächle 猫 🐈.png"),
        ("line\nbreak\u202egpj.exe", "linebreakgpj.exe"),
        ("a/", "image 1"),
        ("x" * 500, "x" * uploads.LONGEST_NAME),
    ],
)
def test_names_are_base_names_and_harmless(client, sent, base_name):
    assert uploads.base_name(sent, 1) == base_name
    quoted = sent.replace("\n", "").replace("\\", r"\\")  # as a form carries it
    page = ask(client, (quoted, squares()), to="/").text
    api = ask(client, (quoted, squares())).json
    assert api["results"][0]["source"] == base_name
    assert "<script>alert" not in page


# ------------------------------------------------------------------ the page


def words(page: str) -> str:
    """The visible text of a page, without templates."""
    page = re.sub(r"<template.*?</template>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_page_invites_a_newcomer(client):
    page = client.get("/").text
    assert "Drop photos here, paste them, or choose some" in words(page)
    assert 'enctype="multipart/form-data"' in page


def test_the_form_works_without_a_script(client):
    files = (
        ("cat.png", squares(1)),
        ("notes.txt", b"hello"),
        ("dog.jpg", squares(2, format="JPEG")),
    )
    response = ask(client, *files, to="/", committee="lite", members="", rule="max", fit="")
    expected = studios.fake_classifier("lite").classify(squares(1), rule="max")
    page = words(response.text)
    assert response.status_code == 200
    assert f"{expected.label.name} {100 * expected.prob:.1f} %" in page
    assert f"max of 3 networks; surest was {expected.surest}" in page
    assert "notes.txt Not answered" in page
    assert response.text.count("data:image/jpeg;base64,") == 2
    assert response.text.count('<section class="panel"') == 6 + 2  # and the script's templates


def test_the_form_keeps_its_options(client):
    member = zoo.COMMITTEES["lite"][1]
    page = ask(client, ("a.png", squares()), to="/", members=member, rule="vote", fit="square").text
    checked = re.findall(r'name="(\w+)" value="([^"]*)"\s+checked', page)
    assert dict(checked) == {
        "committee": "lite",
        "members": member,
        "rule": "vote",
        "fit": "square",
    }
    assert f"{member} alone" in words(page)


def test_a_form_without_a_photo_gets_instructions(client):
    response = client.post("/", data={"image": file("", b""), "rule": "max"})
    assert response.status_code == 400
    assert "There is no image in the request." in words(response.text)
    assert "Back to the studio" in response.text


def test_a_committee_without_weights_says_how_to_get_them(client):
    page = client.get("/").text
    assert re.search(r'name="committee" value="classic"\s+disabled', page)
    assert re.search(r"Fetch ResNet50, VGG16, Xception \(\d+ MB\)", words(page))


def test_a_committee_with_weights_can_be_selected(client):
    folder = weights.cache_folder()
    folder.mkdir(parents=True)
    for row in committee.backbones("classic"):
        (folder / row.weights.file).touch()
    page = client.get("/").text
    assert not re.search(r'value="classic"\s+disabled', page)
    assert "Loads with the first photo" in page


def test_auto_says_which_committee_it_means_and_why():
    registry = Registry(studios.fake_classifier, studios.catalogue("lite", "classic"), "auto")
    registry.get()
    page = create_app(settings.load({}), registry).test_client().get("/").text
    assert registry.default == "lite"
    assert "Selected automatically, as the weights of classic are not on this machine" in page


def test_random_weights_have_a_warning():
    registry = Registry(
        lambda name: studios.fake_classifier(name, warning="random weights: meaningless"),
        studios.catalogue("lite", "classic"),
        "lite",
        missing=lambda name: [],
    )
    registry.get()
    client = create_app(settings.load({}), registry).test_client()
    page = ask(client, ("a.png", squares()), to="/").text
    assert words(page).count("random weights: meaningless") == 2  # on top, and on the verdict
    assert "pull" not in words(page)


def test_every_rule_is_explained(client):
    page = client.get("/").text
    assert all(rule.summary in page for rule in rules.RULES.values())


# ------------------------------------------------------------------ doubt


@pytest.fixture
def garden():
    """A client of a studio with a fitted committee, and its first answers."""
    catalogue = studios.catalogue(studios.GARDEN, studios.NURSERY)
    registry = Registry(studios.fake_classifier, catalogue, studios.GARDEN)
    registry.get()
    return create_app(settings.load({}), registry).test_client()


def plate_text(client, colour: tuple[int, int, int], **options: str) -> str:
    """The visible text of a verdict."""
    page = words(ask(client, ("a.png", plain_image(colour)), to="/", **options).text)
    return page.partition(" Verdicts ")[2].partition(" The same from a terminal ")[0]


def test_a_sure_answer_needs_no_set(garden):
    plate = plate_text(garden, studios.SURE)
    assert "daisy 98.8 % Sure : answers this probable are rarely wrong. then tulip 1.2 %" in plate
    assert "one of" not in plate
    assert "not needed" not in plate


def test_a_prediction_set_shows_its_coverage(garden):
    plate = plate_text(garden, studios.TWO_ASKED)
    assert "Unsure : it may well be another class." in plate
    assert "one of: daisy, tulip contains the true class 9 times in 10 then tulip" in plate
    wider = plate_text(garden, studios.TWO_ASKED, coverage="0.99")
    assert "one of: daisy, tulip, poppy contains the true class 99 times in 100" in wider


def test_a_large_set_is_folded(garden):
    plate = plate_text(garden, studios.MANY_CLASSES)
    folded = "one of: daisy, tulip, poppy, crocus, iris, dahlia and 2 more aster, peony contains"
    assert folded in plate


def test_none_of_these_shows_the_best_guess_and_no_set(garden):
    plate = plate_text(garden, studios.NONE_OF_THESE)
    assert "None of these Unlike all training photos. at best daisy 42.9 %; tulip" in plate
    assert "one of:" not in plate


def test_skipped_networks_keep_their_panels(garden):
    page = ask(garden, ("a.png", plain_image(studios.SURE)), to="/", rule="cascade").text
    text = words(page)
    assert "cascade of 3 networks; one was enough" in text
    assert re.findall(r'data-slot="member" translate="no">(\w+)<', page)[:3] == list(
        zoo.COMMITTEES["lite"]
    )
    skipped = "not needed After EfficientNetLite0 the answer had a probability of 0.982"
    assert text.count(skipped) == 2
    assert text.count("The rule weighted runs every network.") == 2
    two = plate_text(garden, studios.TWO_ASKED, rule="cascade")
    assert "cascade of 3 networks; 2 were enough; surest was EfficientNetLite1 with" in two


FEW = (
    "Only 23 photos were answered while learning; at least 59 without a mistake are needed before "
    "Triptych can promise 95 %. Add photos, and train again."
)


def test_too_few_photos_to_promise_are_not_shown_as_unsure(garden):
    plate = plate_text(garden, studios.SURE, committee=studios.NURSERY)
    assert f" % Nothing promised yet. {FEW} then tulip" in plate
    assert "it may well be another class" not in plate
    image = ("a.png", plain_image(studios.SURE))
    answer = ask(garden, image, committee=studios.NURSERY).json["results"][0]
    reason = {"code": "too_few_to_promise", "message": FEW, "promise": 0.95}
    assert answer["verdict"]["status_reason"] == reason
    assert answer["reason"] is None  # why members were skipped
    assert ask(garden, image).json["results"][0]["verdict"]["status_reason"] is None


def test_the_api_returns_status_and_set(garden):
    image = ("a.png", plain_image(studios.TWO_ASKED))
    answer = ask(garden, image, rule="cascade", coverage="0.8").json["results"][0]
    assert answer["verdict"]["status"] == "unsure"
    assert answer["verdict"]["set"]["coverage"] == 0.8
    assert answer["skipped"] == answer["slept"] == ["EfficientNetLite2"]


def test_an_unfitted_committee_has_no_status(client):
    page = ask(client, ("a.png", squares()), to="/", rule="cascade").text
    text = words(page).partition(" Verdicts ")[2]
    assert "cascade of 3 networks; surest was" in text
    for part in ("Sure", "Unsure", "Nothing like", "one of", "holds the true", "slept"):
        assert part not in text


@pytest.mark.parametrize(
    ("requested", "selected"),
    [("", ("", "9 times in 10")), ("0.9", ("", "9 times in 10")), ("0.5", ("0.5", "1 times in 2"))],
)
def test_the_page_offers_coverages_and_keeps_the_selected_one(client, requested, selected):
    page = client.get("/", query_string={"coverage": requested}).text
    assert re.findall(r'<option value="([^"]*)" selected>([^<]*)<', page) == [selected]
    others = re.findall(r'<option value="([^"]+)" +>', page)
    assert others == ["0.8", "0.95", "0.99"]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("coverage=2", 400, "expected a share above 0 and below 1"),
        ("committee=nobody", 404, "There is no committee 'nobody'; expected one of: lite, classic"),
        ("committee=lite@9", 404, "There is no committee 'lite@9'; expected one of: lite"),
        ("members=Nobody", 404, "The committee lite has no members Nobody; its members are: Eff"),
        ("rule=dice", 400, "The option rule is 'dice'; expected one of: mean, weighted"),
        ("fit=tight", 400, "The option fit is 'tight'; expected one of: crop, square"),
        ("top=many", 400, "The option top is 'many'; expected a whole number"),
    ],
)
def test_a_link_with_impossible_options_is_refused(client, query, status, message):
    response = client.get(f"/?{query}")
    assert response.status_code == status
    assert message in words(html.unescape(response.text))


def test_a_refused_link_is_explained_in_the_language_of_the_page(client):
    page = client.get("/?rule=dice", headers={"Accept-Language": "de"}).text
    assert "Die Option rule ist 'dice'; erwartet: eine von: mean" in words(html.unescape(page))


def test_a_link_shows_its_options(client):
    first, _, last = zoo.COMMITTEES["lite"]
    page = client.get(f"/?members={last},{first}&top=2&committee=classic").text
    assert "no members" in words(page)
    page = client.get(f"/?members={last},{first.lower()}&top=2&precision=f32").text
    assert f"Options lite, {first},{last}, mean" in words(page)
    assert re.search(rf'name="members" value="{first},{last}"\s+checked', page)
    assert re.search(r'name="top" value="2"', page)
    assert "options that do not exist and have no effect: precision. " in words(page)
    # Else the form would ask the default committee.
    page = client.get("/?committee=classic").text
    assert re.search(r'name="committee" value="classic"\s+checked\s*>', page)


def test_a_link_to_a_version_that_is_not_published_shows_that_one():
    offers = {studios.GARDEN: Offer((1, 2), active=2)}
    registry = Registry(studios.fake_classifier, lambda: offers, studios.GARDEN)
    client = create_app(settings.load({}), registry).test_client()
    page = client.get(f"/?committee={studios.GARDEN}@1").text
    checked = re.findall(r'name="committee" value="([^"]*)"\s+checked', page)
    assert checked == [f"{studios.GARDEN}@1"]


# ------------------------------------------------------------------ safety


@pytest.mark.parametrize("path", ["/", "/api/v1/committees", "/static/studio.js", "/nothing"])
def test_every_response_has_the_security_headers(client, path):
    with client.get(path) as response:
        headers = response.headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_page_has_no_inline_code_and_no_external_resources(client):
    page = ask(client, ("a.png", squares()), to="/").text
    assert not re.search(r"<script(?![^>]*src=)|<style| style=|\son\w+=", page)
    assert not re.search(r'(src|href)="(https?:)?//', page)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", API])
def test_requests_from_other_sites_are_refused(client, path, headers, status):
    data = {"image": file("a.png", squares())}
    response = client.post(path, data=data, headers=headers)
    assert response.status_code == status
    assert ("sent by a page of another site" in response.text) == (status == 403)


def test_answers_are_not_stored_by_browsers(client):
    assert ask(client, ("a.png", squares())).headers["Cache-Control"] == "no-store"


def test_json_is_readable_in_every_script(client):
    text = ask(client, ("猫.png", squares())).text
    assert "猫" in text
    assert next(iter(json.loads(text)["results"][0])) == "source"


def test_json_is_strict(app):
    # Python would write NaN, which no other language reads.
    with pytest.raises(ValueError, match="not JSON compliant"):
        app.json.dumps({"prob": float("nan")})
