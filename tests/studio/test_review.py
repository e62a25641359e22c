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
    projects = Projects(tmp_path_factory.mktemp("garden"))
    trained_project.train(projects, trained_project.create(projects))
    return projects.home


@pytest.fixture
def projects(garden: Path, tmp_path: Path) -> Projects:
    return Projects(Path(shutil.copytree(garden, tmp_path / "home")))


@pytest.fixture
def key() -> str:
    return "garden"


@pytest.fixture
def client(projects: Projects, key: str, registry: Registry) -> FlaskClient:
    app: Flask = create_app(settings.load({}, home=projects.home), registry)
    return app.test_client()


def digest(projects: Projects, key: str, name: str) -> str:
    return trained_project.photos_by_name(projects, key)[name].digest


def home_of(projects: Projects, key: str, name: str) -> str | None:
    names = {label.id: label.name for label in projects.find(key).classes}
    return names.get(trained_project.photos_by_name(projects, key)[name].class_id or 0)


def class_id(projects: Projects, key: str, name: str) -> int:
    return next(label.id for label in projects.find(key).classes if label.name == name)


def review(projects: Projects, key: str, version: int | None = None) -> studio_review.Review:
    return studio_review.open(projects, projects.home, key, version)


# ------------------------------------------------------------------ what is shown


def test_each_cell_of_the_matrix_has_the_photos_that_it_counts(
    projects: Projects, key: str
) -> None:
    opened = review(projects, key)
    for row, label in enumerate(opened.labels):
        for column, answer in enumerate(opened.labels):
            photos = opened.cell(label, answer)
            assert len(photos) == opened.metrics["confusion"][row][column]
            assert {(one.label, one.answer) for one in photos} <= {(label, answer)}
    assert [one.name for one in opened.cell("ants", "bees")] == ["ants-1.png"]
    all_of_them = opened.cell("ants", "bees", held_out_only=False)
    assert [one.name for one in all_of_them] == ["ants-3.png", "ants-1.png"]  # the surest first


def test_a_cell_of_an_untrained_class_is_refused(projects: Projects, key: str) -> None:
    with pytest.raises(errors.UnknownName, match="has no class 'moths'; expected one of: an"):
        review(projects, key).cell("moths", None)


def test_the_mistakes_are_those_of_the_report(projects: Projects, key: str) -> None:
    opened = review(projects, key)
    reported = [(row["source"], row["answer"]) for row in opened.metrics["mistakes"]]
    assert (
        [(one.name, one.answer) for one in opened.mistakes()]
        == reported
        == [("ants-1.png", "bees")]
    )


def label_issues(projects: Projects, key: str) -> list[tuple[str, str]]:
    return [(one.reviewed.name, one.suggested.name) for one in review(projects, key).label_issues()]


def test_likely_label_errors_come_first(projects: Projects, key: str) -> None:
    first, *others = label_issues(projects, key)
    assert first == ("ants-3.png", "bees")
    assert set(others) == {("ants-1.png", "bees"), ("bees-3.png", "wasps")}


def test_confirmed_photos_are_no_longer_listed(projects: Projects, key: str) -> None:
    projects.decide(
        key, [digest(projects, key, "ants-3.png")], class_id=class_id(projects, key, "bees")
    )
    projects.confirm(key, [digest(projects, key, "ants-1.png")])
    projects.decide(key, [digest(projects, key, "bees-3.png")], exclude=True)
    assert label_issues(projects, key) == []
    projects.undo(key)
    assert label_issues(projects, key) == [("bees-3.png", "wasps")]
    projects.undo(key)
    assert ("ants-1.png", "bees") in label_issues(projects, key)


def test_moving_a_confirmed_photo_lists_it_again(projects: Projects, key: str) -> None:
    digests = [digest(projects, key, "ants-1.png")]
    projects.confirm(key, digests)
    projects.decide(key, digests, class_id=class_id(projects, key, "wasps"))
    assert projects.confirmed(key) == frozenset()
    assert ("ants-1.png", "bees") in label_issues(projects, key)


def test_a_renamed_class_is_recognised_by_its_photos(projects: Projects, key: str) -> None:
    projects.rename_class(key, class_id(projects, key, "bees"), "honey bees")
    assert label_issues(projects, key)[0] == ("ants-3.png", "honey bees")
    assert review(projects, key).changes == 0


def test_changes_since_the_training_are_counted(projects: Projects, key: str) -> None:
    assert review(projects, key).changes == 0
    projects.decide(
        key, [digest(projects, key, "ants-3.png")], class_id=class_id(projects, key, "bees")
    )
    projects.decide(key, [digest(projects, key, "bees-3.png")], exclude=True)
    projects.add(key, "new.png", squares(99), class_id(projects, key, "ants"))
    projects.erase(key, [digest(projects, key, "wasps-3.png")])
    assert review(projects, key).changes == 4


def test_a_removed_photo_is_still_listed(projects: Projects, key: str) -> None:
    projects.erase(key, [digest(projects, key, "ants-1.png")])
    opened = review(projects, key)
    (reviewed,) = opened.cell("ants", "bees")
    assert (reviewed.name, reviewed.photo) == ("ants-1.png", None)
    assert opened.status_of(reviewed.photo) == "no longer in the project"


@pytest.mark.parametrize("odd", ["[]", "null", '{"committee": "good"}', "[" * 100_000])
def test_damaged_metrics_are_named_and_projects_are_still_listed(
    projects: Projects, key: str, client: FlaskClient, odd: str
) -> None:
    (review(projects, key).bundle.folder / "metrics.json").write_text(odd)
    page = client.get(f"/projects/{key}/result", headers={"Accept": "text/html"})
    assert page.status_code == 409
    assert "metrics.json" in page.text
    assert client.get("/projects").status_code == 200
    assert client.get(f"/projects/{key}/publish").status_code == 200


# ------------------------------------------------------------------ before and after


def teach_again(projects: Projects, key: str) -> None:
    """ants-1 moves to the bees; the next version has ants-0 wrong, and measures ants-2, too."""
    projects.decide(
        key, [digest(projects, key, "ants-1.png")], class_id=class_id(projects, key, "bees")
    )
    answers = dict(trained_project.PREDICTIONS)
    answers["ants-0.png"] = trained_project.Prediction((0.3, 0.1, 0.6), held_out=True)
    answers["bees-0.png"] = trained_project.Prediction((0.05, 0.95, 0.0), held_out=True)
    answers["ants-2.png"] = dataclasses.replace(answers["ants-2.png"], held_out=True)
    trained_project.train(projects, key, answers)


def test_versions_are_compared_on_photos_held_out_from_both(projects: Projects, key: str) -> None:
    teach_again(projects, key)
    change = studio_review.compare(review(projects, key, 1), review(projects, key, 2))
    assert (change.photos, change.only_one) == (6, 1)
    # By today's labels ants-1 was a bee all along.
    assert (change.before.correct, change.after.correct) == (6, 5)
    assert [one.name for one in change.broken] == ["ants-0.png"]
    assert change.fixed == []
    assert change.gain.share == pytest.approx(-1 / 6)
    assert change.gain.low < 0 < change.gain.high
    by_name = {row.name: (row.photos, row.before, row.after) for row in change.classes}
    assert by_name == {"ants": (1, 1, 0), "bees": (3, 3, 3), "wasps": (2, 2, 2)}


def test_swapping_the_versions_turns_a_loss_into_a_gain(projects: Projects, key: str) -> None:
    teach_again(projects, key)
    change = studio_review.compare(review(projects, key, 2), review(projects, key, 1))
    assert [one.name for one in change.fixed] == ["ants-0.png"]
    assert change.gain.share == pytest.approx(1 / 6)


def test_excluded_photos_are_not_compared(projects: Projects, key: str) -> None:
    teach_again(projects, key)
    projects.decide(key, [digest(projects, key, "ants-0.png")], exclude=True)
    change = studio_review.compare(review(projects, key, 1), review(projects, key, 2))
    assert (change.photos, change.before.correct, change.after.correct) == (5, 5, 5)


def test_versions_without_common_photos_are_not_compared(
    projects: Projects, key: str, client: FlaskClient
) -> None:
    answers = {
        name: dataclasses.replace(one, held_out=not one.held_out)
        for name, one in trained_project.PREDICTIONS.items()
    }
    trained_project.train(projects, key, answers)
    assert studio_review.compare(review(projects, key, 1), review(projects, key, 2)).photos == 0
    page = client.get(f"/projects/{key}/result/compare?before=1&after=2").text
    assert "have no photos in common that can be compared: none was held out from both" in page
    assert (
        "Both on the same 12 photos"
        in client.get(f"/projects/{key}/result/compare?before=1&after=2&photos=all").text
    )


# ------------------------------------------------------------------ the pages


def test_the_result_page(client: FlaskClient, key: str) -> None:
    page = client.get(f"/projects/{key}/result").text
    assert 'class="figure range">43 to 97\xa0%' in page  # Wilson's 95 % interval of 5 of 6
    assert "right on 5 of 6 photos that it was not trained on" in page
    assert "1 of ants taken for bees" in page
    cell = f"/projects/{key}/result/cell?version=1&amp;truth=ants&amp;answer=bees"
    assert f'href="{cell}"' in page
    assert "Move to bees" in page
    assert 'aria-label="Learning curve. 1 photo of each class: 60.0\xa0% right.' in page
    assert 'aria-label="Reliability diagram. ' in page
    assert "Nothing has changed since this version was taught." in page
    assert "style=" not in page  # the policy forbids it


def test_a_cell_shows_its_photos(client: FlaskClient, projects: Projects, key: str) -> None:
    page = client.get(f"/projects/{key}/result/cell?truth=ants&answer=bees").text
    assert re.findall(r'data-photo="(\w+)"', page) == [digest(projects, key, "ants-1.png")]
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


def test_an_untrained_project_has_no_result(client: FlaskClient, projects: Projects) -> None:
    empty = projects.make("Empty").key
    answer = client.get(f"/projects/{empty}/result")
    assert answer.status_code == 200
    assert "Not taught yet" in answer.text


@pytest.mark.parametrize(
    ("address", "status", "message"),
    [
        ("nowhere/result", 404, "There is no project"),
        ("garden/result?version=7", 404, "garden@7"),
        ("garden/result?version=two", 400, "a whole number, such as 2"),
        ("garden/result/cell?truth=moths", 404, "has no class"),
        ("garden/result/report?version=7", 404, "garden@7"),
    ],
)
def test_unknown_addresses_have_a_message(
    client: FlaskClient, address: str, status: int, message: str
) -> None:
    answer = client.get(f"/projects/{address}", headers=HTML)
    assert answer.status_code == status
    assert message in answer.text


def test_the_report_has_a_strict_content_security_policy(client: FlaskClient, key: str) -> None:
    answer = client.get(f"/projects/{key}/result/report")
    assert "All of it." in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_many_classes_are_listed_as_confused_pairs(client: FlaskClient, projects: Projects) -> None:
    names = [f"kind {number:02}" for number in range(13)]
    key = trained_project.create(projects, title="Many", classes=names, each=1)
    wrong = tuple(float(number == 1) for number in range(13))
    answers = {f"{name}-0.png": trained_project.Prediction(wrong, held_out=True) for name in names}
    trained_project.train(projects, key, answers, labels=names)
    page = client.get(f"/projects/{key}/result").text
    assert 'class="matrix"' not in page
    assert page.count("taken for kind 01") == 12


def test_a_version_without_predictions_is_shown_without_photos(
    client: FlaskClient, projects: Projects, key: str
) -> None:
    bundle = bundles.find(projects.home, f"{key}@1")

    def fill(folder: Path) -> dict[str, object]:
        for name in set(bundle.about["files"]) - {"answers.npz"}:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((bundle.folder / name).read_bytes())
        return {name: value for name, value in bundle.about.items() if name != "name"}

    bundles.write(projects.home, key, fill)
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


def test_names_are_escaped_on_the_page(client: FlaskClient, projects: Projects) -> None:
    hostile = "<script>alert(1)</script>"
    key = trained_project.create(projects, title=hostile, classes=("a&amp", "b'c"), each=1)
    answers = {"a&amp-0.png": trained_project.Prediction((0.1, 0.9), held_out=True)}
    trained_project.train(projects, key, answers, labels=("a&amp", "b'c"))
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


def test_a_photo_is_moved_and_moved_back(client: FlaskClient, projects: Projects, key: str) -> None:
    photo, bees = digest(projects, key, "ants-3.png"), class_id(projects, key, "bees")
    answer = decide(client, key, digest=photo, do=f"move:{bees}").json
    assert answer["photos"] == {photo: "bees"}
    assert answer["undoable"] == "Moved ants-3.png to bees."
    assert home_of(projects, key, "ants-3.png") == "bees"
    assert "Moved ants-3.png to bees." in client.get(f"/projects/{key}/result").text
    answer = client.post(f"/projects/{key}/decisions/undo", headers=JSON).json
    assert answer["photos"] == {photo: "ants"}
    assert answer["undoable"] is None
    assert home_of(projects, key, "ants-3.png") == "ants"


def test_the_decision_that_a_page_shows_is_undone_and_not_one_of_others(
    client: FlaskClient, projects: Projects, key: str
) -> None:
    mine, theirs = (digest(projects, key, name) for name in ("ants-1.png", "ants-3.png"))
    bees, address = class_id(projects, key, "bees"), f"/projects/{key}/decisions/undo"
    batch = str(decide(client, key, digest=mine, do=f"move:{bees}").json["batch"])
    for page in ("result", "decisions"):
        field = f'name="batch" value="{batch}"'
        assert field in client.get(f"/projects/{key}/{page}").text
    assert field in client.get(f"/projects/{key}").text
    projects.decide(key, [theirs], class_id=bees, person="ann")
    answer = client.post(address, data={"batch": batch}, headers=JSON).json
    assert answer["photos"] == {mine: "ants"}
    assert answer["undoable"] == "Moved ants-3.png to bees."
    assert home_of(projects, key, "ants-3.png") == "bees"
    again = client.post(address, data={"batch": batch}, headers=JSON)
    assert again.status_code == 409
    assert "is not in effect" in again.json["error"]["message"]
    for nonsense in ("-1", "one", "1" * 16):
        assert client.post(address, data={"batch": nonsense}).status_code == 400
    assert home_of(projects, key, "ants-3.png") == "bees"


def test_several_photos_are_decided_at_once(
    client: FlaskClient, projects: Projects, key: str
) -> None:
    both = [digest(projects, key, name) for name in ("ants-1.png", "ants-3.png")]
    bees = class_id(projects, key, "bees")
    answer = decide(client, key, digest=both, do="move", to=str(bees)).json
    assert answer["undoable"] == "Moved 2 photos to bees."
    client.post(f"/projects/{key}/decisions/undo", headers=JSON)
    assert home_of(projects, key, "ants-1.png") == home_of(projects, key, "ants-3.png") == "ants"


def test_excluding_and_including_again(client: FlaskClient, projects: Projects, key: str) -> None:
    photo = digest(projects, key, "ants-1.png")
    assert decide(client, key, digest=photo, do="exclude").json["photos"] == {photo: "excluded"}
    answer = decide(client, key, digest=photo, do="include").json
    assert answer["photos"] == {photo: "ants"}
    assert answer["undoable"] == "Included ants-1.png again."


def test_a_label_is_confirmed(client: FlaskClient, projects: Projects, key: str) -> None:
    photo = digest(projects, key, "ants-3.png")
    answer = decide(client, key, digest=photo, do="right").json
    assert answer["photos"] == {photo: "ants, confirmed"}
    assert answer["undoable"] == "Confirmed ants-3.png as ants."
    assert photo not in client.get(f"/projects/{key}/result/label-issues").text


def test_the_button_of_one_photo_ignores_the_selection(
    client: FlaskClient, projects: Projects, key: str
) -> None:
    one, other = (digest(projects, key, name) for name in ("ants-3.png", "ants-1.png"))
    decide(client, key, digest=other, one=f"{one} exclude")
    assert trained_project.photos_by_name(projects, key)["ants-3.png"].excluded
    assert not trained_project.photos_by_name(projects, key)["ants-1.png"].excluded


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
    client: FlaskClient, projects: Projects, key: str, back: str, expected: str
) -> None:
    photo = digest(projects, key, "ants-3.png")
    answer = decide(client, key, HTML, digest=photo, do="exclude", back=back)
    assert answer.status_code == 303
    assert answer.location == expected


@pytest.mark.parametrize(
    ("fields", "status", "message"),
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
    client: FlaskClient,
    projects: Projects,
    key: str,
    fields: dict[str, str],
    status: int,
    message: str,
) -> None:
    if fields.get("digest") == "known":
        fields = {**fields, "digest": digest(projects, key, "ants-1.png")}
    answer = decide(client, key, **fields)
    assert answer.status_code == status
    assert message in answer.json["error"]["message"]
    assert projects.history(key) == []


def test_decisions_from_other_sites_are_refused(
    client: FlaskClient, projects: Projects, key: str
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    photo = digest(projects, key, "ants-1.png")
    assert decide(client, key, headers, digest=photo, do="exclude").status_code == 403
    assert projects.history(key) == []


def test_all_decisions_are_listed(client: FlaskClient, projects: Projects, key: str) -> None:
    photo = digest(projects, key, "ants-1.png")
    decide(client, key, digest=photo, do="exclude")
    decide(client, key, digest=photo, do="right")
    client.post(f"/projects/{key}/decisions/undo", headers=JSON)
    page = client.get(f"/projects/{key}/decisions").text
    listed = re.findall(r"<span>(.*?)</span> <time", page)
    assert listed == [
        "Confirmed ants-1.png as ants. <small>undone</small>",
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
    client: FlaskClient, projects: Projects, key: str
) -> None:
    everything = [photo.digest for photo in trained_project.photos_by_name(projects, key).values()]
    projects.decide(key, everything, exclude=True)
    answer = client.post(f"/projects/{key}/retrain", headers=JSON)
    assert answer.status_code == 400
    assert "classes" in answer.json["error"]["message"]
    assert job_table.JobTable(projects.database).of(key) == []
