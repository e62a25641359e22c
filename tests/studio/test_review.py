"""The result pages: their figures, and the decisions made on them."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from support import trained_project
from support.images import squares
from triptych import bundles
from triptych import errors
from triptych import settings
from triptych.evaluation import figures
from triptych.studio import review as studio_review
from triptych.studio.projects import Projects
from triptych.studio.projects import job_table
from triptych.web import create_app
from triptych.web.registry import Registry

HTML = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a project that was trained once."""
    door = Projects(tmp_path_factory.mktemp("garden"))
    trained_project.train(door, trained_project.create(door))
    return door.home


@pytest.fixture
def door(garden: Path, tmp_path: Path) -> Projects:
    return Projects(Path(shutil.copytree(garden, tmp_path / "home")))


@pytest.fixture
def key() -> str:
    return "garden"


@pytest.fixture
def client(door: Projects, key: str, registry: Registry) -> FlaskClient:
    app: Flask = create_app(settings.load({}, home=door.home), registry)
    return app.test_client()


def digest(door: Projects, key: str, name: str) -> str:
    return trained_project.photos_by_name(door, key)[name].digest


def home_of(door: Projects, key: str, name: str) -> str | None:
    names = {own.id: own.name for own in door.find(key).classes}
    return names.get(trained_project.photos_by_name(door, key)[name].class_id or 0)


def class_id(door: Projects, key: str, name: str) -> int:
    return next(own.id for own in door.find(key).classes if own.name == name)


def review(door: Projects, key: str, version: int | None = None) -> studio_review.Review:
    return studio_review.open(door, door.home, key, version)


# ------------------------------------------------------------------ what is shown


def test_each_cell_of_the_matrix_has_the_photos_that_it_counts(door: Projects, key: str) -> None:
    found = review(door, key)
    for row, truth in enumerate(found.labels):
        for column, answer in enumerate(found.labels):
            seen = found.cell(truth, answer)
            assert len(seen) == found.metrics["confusion"][row][column]
            assert {(one.truth, one.answer) for one in seen} <= {(truth, answer)}
    assert [one.name for one in found.cell("ants", "bees")] == ["ants-1.png"]
    all_of_them = found.cell("ants", "bees", held_out_only=False)
    assert [one.name for one in all_of_them] == ["ants-3.png", "ants-1.png"]  # the surest first


def test_a_cell_of_an_untrained_class_is_refused(door: Projects, key: str) -> None:
    with pytest.raises(errors.UnknownName, match="has no class 'moths'; expected one of: an"):
        review(door, key).cell("moths", None)


def test_the_mistakes_are_those_of_the_report(door: Projects, key: str) -> None:
    found = review(door, key)
    told = [(row["source"], row["answer"]) for row in found.metrics["mistakes"]]
    assert [(one.name, one.answer) for one in found.mistakes()] == told == [("ants-1.png", "bees")]


def label_issues(door: Projects, key: str) -> list[tuple[str, str]]:
    return [(one.reviewed.name, one.suggested.name) for one in review(door, key).label_issues()]


def test_likely_label_errors_come_first(door: Projects, key: str) -> None:
    first, *others = label_issues(door, key)
    assert first == ("ants-3.png", "bees")
    assert set(others) == {("ants-1.png", "bees"), ("bees-3.png", "wasps")}


def test_confirmed_photos_are_no_longer_listed(door: Projects, key: str) -> None:
    door.decide(key, [digest(door, key, "ants-3.png")], class_id=class_id(door, key, "bees"))
    door.confirm(key, [digest(door, key, "ants-1.png")])
    door.decide(key, [digest(door, key, "bees-3.png")], exclude=True)
    assert label_issues(door, key) == []
    door.undo(key)
    assert label_issues(door, key) == [("bees-3.png", "wasps")]
    door.undo(key)
    assert ("ants-1.png", "bees") in label_issues(door, key)


def test_moving_a_confirmed_photo_lists_it_again(door: Projects, key: str) -> None:
    own = [digest(door, key, "ants-1.png")]
    door.confirm(key, own)
    door.decide(key, own, class_id=class_id(door, key, "wasps"))
    assert door.confirmed(key) == frozenset()
    assert ("ants-1.png", "bees") in label_issues(door, key)


def test_a_renamed_class_is_recognised_by_its_photos(door: Projects, key: str) -> None:
    door.rename_class(key, class_id(door, key, "bees"), "honey bees")
    assert label_issues(door, key)[0] == ("ants-3.png", "honey bees")
    assert review(door, key).changes == 0


def test_changes_since_the_training_are_counted(door: Projects, key: str) -> None:
    assert review(door, key).changes == 0
    door.decide(key, [digest(door, key, "ants-3.png")], class_id=class_id(door, key, "bees"))
    door.decide(key, [digest(door, key, "bees-3.png")], exclude=True)
    door.add(key, "new.png", squares(99), class_id(door, key, "ants"))
    door.erase(key, [digest(door, key, "wasps-3.png")])
    assert review(door, key).changes == 4


def test_a_removed_photo_is_still_listed(door: Projects, key: str) -> None:
    door.erase(key, [digest(door, key, "ants-1.png")])
    found = review(door, key)
    (seen,) = found.cell("ants", "bees")
    assert (seen.name, seen.photo) == ("ants-1.png", None)
    assert found.status_of(seen.photo) == "no longer in the project"


@pytest.mark.parametrize("odd", ["[]", "null", '{"committee": "good"}', "[" * 100_000])
def test_damaged_metrics_are_named_and_projects_are_still_listed(
    door: Projects, key: str, client: FlaskClient, odd: str
) -> None:
    (review(door, key).bundle.folder / "metrics.json").write_text(odd)
    page = client.get(f"/projects/{key}/result", headers={"Accept": "text/html"})
    assert page.status_code == 409
    assert "metrics.json" in page.text
    assert client.get("/projects").status_code == 200
    assert client.get(f"/projects/{key}/publish").status_code == 200


# ------------------------------------------------------------------ before and after


def teach_again(door: Projects, key: str) -> None:
    """ants-1 moves to the bees; the next version has ants-0 wrong, and measures ants-2, too."""
    door.decide(key, [digest(door, key, "ants-1.png")], class_id=class_id(door, key, "bees"))
    answers = dict(trained_project.PREDICTIONS)
    answers["ants-0.png"] = trained_project.Prediction((0.3, 0.1, 0.6), held=True)
    answers["bees-0.png"] = trained_project.Prediction((0.05, 0.95, 0.0), held=True)
    answers["ants-2.png"] = dataclasses.replace(answers["ants-2.png"], held=True)
    trained_project.train(door, key, answers)


def test_versions_are_compared_on_photos_held_out_from_both(door: Projects, key: str) -> None:
    teach_again(door, key)
    change = studio_review.compare(review(door, key, 1), review(door, key, 2))
    assert (change.photos, change.only_one) == (6, 1)
    # By today's labels ants-1 was a bee all along.
    assert (change.before.right, change.after.right) == (6, 5)
    assert [one.name for one in change.broken] == ["ants-0.png"]
    assert change.fixed == []
    assert change.gain.share == pytest.approx(-1 / 6)
    assert change.gain.low < 0 < change.gain.high
    by_name = {row.name: (row.photos, row.before, row.after) for row in change.classes}
    assert by_name == {"ants": (1, 1, 0), "bees": (3, 3, 3), "wasps": (2, 2, 2)}


def test_swapping_the_versions_turns_a_loss_into_a_gain(door: Projects, key: str) -> None:
    teach_again(door, key)
    change = studio_review.compare(review(door, key, 2), review(door, key, 1))
    assert [one.name for one in change.fixed] == ["ants-0.png"]
    assert change.gain.share == pytest.approx(1 / 6)


def test_excluded_photos_are_not_compared(door: Projects, key: str) -> None:
    teach_again(door, key)
    door.decide(key, [digest(door, key, "ants-0.png")], exclude=True)
    change = studio_review.compare(review(door, key, 1), review(door, key, 2))
    assert (change.photos, change.before.right, change.after.right) == (5, 5, 5)


def test_versions_without_common_photos_are_not_compared(
    door: Projects, key: str, client: FlaskClient
) -> None:
    answers = {
        name: dataclasses.replace(one, held=not one.held)
        for name, one in trained_project.PREDICTIONS.items()
    }
    trained_project.train(door, key, answers)
    assert studio_review.compare(review(door, key, 1), review(door, key, 2)).photos == 0
    page = client.get(f"/projects/{key}/result/compare?before=1&after=2").text
    assert "have no photos in common that can be compared: none was held out from both" in page
    assert (
        "Both on the same 12 photos"
        in client.get(f"/projects/{key}/result/compare?before=1&after=2&photos=all").text
    )


# ------------------------------------------------------------------ the pages


def test_the_result_page(client: FlaskClient, key: str) -> None:
    page = client.get(f"/projects/{key}/result").text
    assert 'class="figure range">44\xa0% to 97\xa0%' in page  # Wilson's 95 % interval of 5 of 6
    assert "right on 5 of 6 photos that it was not trained on" in page
    assert "1 of ants taken for bees" in page
    cell = f"/projects/{key}/result/cell?version=1&amp;truth=ants&amp;answer=bees"
    assert f'href="{cell}"' in page
    assert "Move to bees" in page
    assert 'aria-label="Learning curve. 1 photo of each class: 60.0\xa0% right.' in page
    assert 'aria-label="Reliability diagram. ' in page
    assert "Nothing has changed since this version was taught." in page
    assert "style=" not in page  # the policy forbids it


def test_a_cell_shows_its_photos(client: FlaskClient, door: Projects, key: str) -> None:
    page = client.get(f"/projects/{key}/result/cell?truth=ants&answer=bees").text
    assert re.findall(r'data-photo="(\w+)"', page) == [digest(door, key, "ants-1.png")]
    assert "ants taken for bees" in page
    page = client.get(f"/projects/{key}/result/cell?truth=ants&photos=all").text
    assert page.count("data-photo=") == 4


def test_many_photos_are_shown_in_parts(client: FlaskClient, key: str, monkeypatch) -> None:
    monkeypatch.setattr("triptych.web.studio.review.ON_A_PAGE", 5)
    address = f"/projects/{key}/result/cell?photos=all"
    first = client.get(address).text
    assert "1 to 5 of 12" in first
    assert "?photos=all&amp;from=5" in first
    last = client.get(f"{address}&from=10").text
    assert last.count("data-photo=") == 2
    assert "11 to 12 of 12" in last
    assert "?photos=all&amp;from=5" in last


def test_an_untrained_project_has_no_result(client: FlaskClient, door: Projects) -> None:
    empty = door.make("Empty").key
    answer = client.get(f"/projects/{empty}/result")
    assert answer.status_code == 200
    assert "Not taught yet" in answer.text


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("nowhere/result", 404, "There is no project"),
        ("garden/result?version=7", 404, "garden@7"),
        ("garden/result?version=two", 400, "a whole number, such as 2"),
        ("garden/result/cell?truth=moths", 404, "has no class"),
        ("garden/result/report?version=7", 404, "garden@7"),
    ],
)
def test_unknown_addresses_have_a_message(
    client: FlaskClient, address: str, status: int, said: str
) -> None:
    answer = client.get(f"/projects/{address}", headers=HTML)
    assert answer.status_code == status
    assert said in answer.text


def test_the_report_has_a_strict_content_security_policy(client: FlaskClient, key: str) -> None:
    answer = client.get(f"/projects/{key}/result/report")
    assert "All of it." in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_many_classes_are_listed_as_confused_pairs(client: FlaskClient, door: Projects) -> None:
    names = [f"kind {number:02}" for number in range(13)]
    key = trained_project.create(door, title="Many", classes=names, each=1)
    wrong = tuple(float(number == 1) for number in range(13))
    answers = {f"{name}-0.png": trained_project.Prediction(wrong, held=True) for name in names}
    trained_project.train(door, key, answers, labels=names)
    page = client.get(f"/projects/{key}/result").text
    assert 'class="matrix"' not in page
    assert page.count("taken for kind 01") == 12


def test_a_version_without_predictions_is_shown_without_photos(
    client: FlaskClient, door: Projects, key: str
) -> None:
    made = bundles.find(door.home, f"{key}@1")

    def fill(folder: Path) -> dict[str, object]:
        for name in set(made.about["files"]) - {"answers.npz"}:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((made.folder / name).read_bytes())
        return {name: value for name, value in made.about.items() if name != "name"}

    bundles.write(door.home, key, fill)
    page = client.get(f"/projects/{key}/result").text
    assert "5\xa0of\xa06" in page
    assert "data-photo=" not in page
    page = client.get(f"/projects/{key}/result/cell?truth=ants").text
    assert "taught before Triptych stored" in page


def test_the_old_address_of_label_issues_leads_to_the_new_one(
    client: FlaskClient, key: str
) -> None:
    answer = client.get(f"/projects/{key}/result/doubted?version=1")
    assert answer.status_code == 301
    assert answer.location == f"/projects/{key}/result/label-issues?version=1"


def test_names_are_escaped_on_the_page(client: FlaskClient, door: Projects) -> None:
    hostile = "<script>alert(1)</script>"
    key = trained_project.create(door, title=hostile, classes=("a&amp", "b'c"), each=1)
    answers = {"a&amp-0.png": trained_project.Prediction((0.1, 0.9), held=True)}
    trained_project.train(door, key, answers, labels=("a&amp", "b'c"))
    for page in ("", "/cell?truth=a%26amp", "/label-issues"):
        text = client.get(f"/projects/{key}/result{page}").text
        assert "<script>alert" not in text
        assert "a&amp;amp" in text
        assert "a&amp<" not in text


# ------------------------------------------------------------------ deciding


def decide(
    client: FlaskClient, key: str, headers: Mapping[str, str] = JSON, **fields: Any
) -> TestResponse:
    return client.post(f"/projects/{key}/decisions", data=fields, headers=headers)


def test_a_photo_is_moved_and_moved_back(client: FlaskClient, door: Projects, key: str) -> None:
    own, bees = digest(door, key, "ants-3.png"), class_id(door, key, "bees")
    answer = decide(client, key, digest=own, do=f"move:{bees}").json
    assert answer["photos"] == {own: "bees"}
    assert answer["undoable"] == "Moved ants-3.png to bees."
    assert home_of(door, key, "ants-3.png") == "bees"
    assert "Moved ants-3.png to bees." in client.get(f"/projects/{key}/result").text
    answer = client.post(f"/projects/{key}/decisions/undo", headers=JSON).json
    assert answer["photos"] == {own: "ants"}
    assert answer["undoable"] is None
    assert home_of(door, key, "ants-3.png") == "ants"


def test_several_photos_are_decided_at_once(client: FlaskClient, door: Projects, key: str) -> None:
    both = [digest(door, key, name) for name in ("ants-1.png", "ants-3.png")]
    bees = class_id(door, key, "bees")
    answer = decide(client, key, digest=both, do="move", to=str(bees)).json
    assert answer["undoable"] == "Moved 2 photos to bees."
    client.post(f"/projects/{key}/decisions/undo", headers=JSON)
    assert home_of(door, key, "ants-1.png") == home_of(door, key, "ants-3.png") == "ants"


def test_excluding_and_including_again(client: FlaskClient, door: Projects, key: str) -> None:
    own = digest(door, key, "ants-1.png")
    assert decide(client, key, digest=own, do="exclude").json["photos"] == {own: "excluded"}
    answer = decide(client, key, digest=own, do="include").json
    assert answer["photos"] == {own: "ants"}
    assert answer["undoable"] == "Took ants-1.png in again."


def test_a_label_is_confirmed(client: FlaskClient, door: Projects, key: str) -> None:
    own = digest(door, key, "ants-3.png")
    answer = decide(client, key, digest=own, do="right").json
    assert answer["photos"] == {own: "ants, looked at and right"}
    assert answer["undoable"] == "Called ants-3.png right as ants."
    assert own not in client.get(f"/projects/{key}/result/label-issues").text


def test_the_button_of_one_photo_ignores_the_selection(
    client: FlaskClient, door: Projects, key: str
) -> None:
    one, other = (digest(door, key, name) for name in ("ants-3.png", "ants-1.png"))
    decide(client, key, digest=other, one=f"{one} exclude")
    assert trained_project.photos_by_name(door, key)["ants-3.png"].excluded
    assert not trained_project.photos_by_name(door, key)["ants-1.png"].excluded


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        ("/projects/garden/result/cell?truth=ants", "/projects/garden/result/cell?truth=ants"),
        ("/projects/garden", "/projects/garden"),
        ("https://elsewhere.example/", "/projects/garden/result"),
        ("//elsewhere.example/projects/garden/", "/projects/garden/result"),
        ("/projects/gardeners", "/projects/garden/result"),
        ("/projects/garden/\\elsewhere", "/projects/garden/result"),
    ],
)
def test_a_form_redirects_to_its_page(
    client: FlaskClient, door: Projects, key: str, back: str, expected: str
) -> None:
    own = digest(door, key, "ants-3.png")
    answer = decide(client, key, HTML, digest=own, do="exclude", back=back)
    assert answer.status_code == 303
    assert answer.location == expected


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"do": "exclude"}, 400, "No photo was chosen"),
        ({"digest": "0" * 64, "do": "exclude"}, 404, "There is no photo"),
        ({"digest": "../../etc", "do": "exclude"}, 404, "There is no photo"),
        ({"digest": "known", "do": "move:999"}, 404, "no class of number 999"),
        ({"digest": "known", "do": "move:one"}, 400, "expected one of: move:CLASS"),
        ({"digest": "known", "do": "burn"}, 400, "What to do with the photos is 'burn'"),
    ],
)
def test_impossible_decisions_are_refused_with_a_message(
    client: FlaskClient, door: Projects, key: str, fields: dict[str, str], status: int, said: str
) -> None:
    if fields.get("digest") == "known":
        fields = {**fields, "digest": digest(door, key, "ants-1.png")}
    answer = decide(client, key, **fields)
    assert answer.status_code == status
    assert said in answer.json["error"]["message"]
    assert door.history(key) == []


def test_decisions_from_other_sites_are_refused(
    client: FlaskClient, door: Projects, key: str
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    own = digest(door, key, "ants-1.png")
    assert decide(client, key, headers, digest=own, do="exclude").status_code == 403
    assert door.history(key) == []


def test_all_decisions_are_listed(client: FlaskClient, door: Projects, key: str) -> None:
    own = digest(door, key, "ants-1.png")
    decide(client, key, digest=own, do="exclude")
    decide(client, key, digest=own, do="right")
    client.post(f"/projects/{key}/decisions/undo", headers=JSON)
    page = client.get(f"/projects/{key}/decisions").text
    said = re.findall(r"<span>(.*?)</span> <time", page)
    assert said == [
        "Called ants-1.png right as ants. <small>undone</small>",
        "Excluded ants-1.png.",
    ]


# ------------------------------------------------------------------ charts


shares = st.floats(0, 1)


@given(st.lists(st.lists(shares, min_size=1, max_size=5), min_size=1, max_size=8))
def test_a_learning_curve_stays_within_its_field(runs: list[list[float]]) -> None:
    points = [{"images_per_class": 3**n, "top1": top1} for n, top1 in enumerate(runs)]
    drawn = figures.curve(points)
    heights = [height for point in drawn["points"] for height in (point["y"], *point["runs"])]
    across = [point["x"] for point in drawn["points"]]
    assert all(-1e-6 <= height <= figures.SIDE + 1e-6 for height in heights)
    assert across == sorted(across)
    assert all(0 <= x <= figures.SIDE for x in across)
    assert 2 <= len(drawn["ticks"]) <= figures.MOST_STEPS + 1


@given(
    st.lists(
        st.fixed_dictionaries(
            {"prob": shares, "accuracy": shares, "count": st.integers(1, 10_000)}
        ),
        max_size=15,
    )
)
def test_a_point_of_a_reliability_diagram_lies_in_its_interval(bins: list[dict]) -> None:
    for point, bin in zip(figures.reliability(bins), bins, strict=True):
        rounded = figures.SIDE * (0.5 / bin["count"])
        assert point["high"] - rounded - 1e-6 <= point["y"] <= point["low"] + rounded + 1e-6
        assert figures.SMALLEST <= point["radius"] <= figures.LARGEST


# ------------------------------------------------------------------ training again


def test_training_again_says_why_it_is_impossible(
    client: FlaskClient, door: Projects, key: str
) -> None:
    everything = [photo.digest for photo in trained_project.photos_by_name(door, key).values()]
    door.decide(key, everything, exclude=True)
    answer = client.post(f"/projects/{key}/retrain", headers=JSON)
    assert answer.status_code == 400
    assert "classes" in answer.json["error"]["message"]
    assert job_table.JobTable(door.database).of(key) == []
