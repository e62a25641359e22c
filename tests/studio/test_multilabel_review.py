"""The result pages of projects in which a photo has any number of classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from support import multilabel_project
from support.multilabel_project import PHOTOS
from support.multilabel_project import train
from triptych import errors
from triptych import settings
from triptych.studio import review as studio_review
from triptych.studio.projects import Projects
from triptych.web import create_app
from triptych.web.registry import Registry

HTML = {"Accept": "text/html"}


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    return Projects(tmp_path)


@pytest.fixture
def key(projects: Projects) -> str:
    """A project that was trained once."""
    return multilabel_project.create(projects)


@pytest.fixture
def client(projects: Projects, key: str, registry: Registry) -> FlaskClient:
    return create_app(settings.load({}, home=projects.home), registry).test_client()


def review(projects: Projects, key: str) -> studio_review.MultilabelReview:
    opened = studio_review.open(projects, projects.home, key)
    assert isinstance(opened, studio_review.MultilabelReview)
    return opened


def issues(projects: Projects, key: str) -> list[tuple[str, str, bool]]:
    """Photos, their doubtful classes, and whether they have them."""
    found = review(projects, key).label_issues()
    return [(one.reviewed.name, one.suggested.name, one.given) for one in found]


def digest(projects: Projects, key: str, name: str) -> str:
    return next(photo.digest for photo in projects.photos(key) if photo.name == name)


def classes_of(projects: Projects, key: str, name: str) -> set[str]:
    names = {label.id: label.name for label in projects.find(key).classes}
    photo = projects.photo(key, digest(projects, key, name))
    return {names[number] for number in photo.class_ids}


def test_counts_are_those_of_the_photos_that_were_held_out(projects: Projects, key: str) -> None:
    opened = review(projects, key)
    counts = {one.name: (one.photos, one.missed, one.extra) for one in opened.counts()}
    assert counts == {"apple": (2, 0, 0), "banana": (3, 1, 0), "cherry": (1, 0, 1)}
    assert [one.name for one in opened.wrong("banana", missed=True)] == ["3.png"]
    assert [one.name for one in opened.wrong("cherry", missed=False)] == ["2.png"]
    assert [one.name for one in opened.wrong("apple", missed=True, held_out_only=False)] == [
        "5.png"
    ]
    with pytest.raises(errors.UnknownName, match="no class 'plum'"):
        opened.wrong("plum", missed=True)
    assert {one.name for one in opened.mistakes()} == {"2.png", "3.png"}
    pairs = {one.names: (one.labelled, one.answered) for one in opened.together()}
    assert pairs == {
        ("apple", "banana"): (1, 1),
        ("apple", "cherry"): (1, 0),
        ("banana", "cherry"): (1, 1),
    }


def test_a_missing_and_an_extra_class_are_suggested_and_accepted(
    projects: Projects, key: str, client: FlaskClient
) -> None:
    assert set(issues(projects, key)) == {
        ("2.png", "cherry", False),
        ("3.png", "banana", True),
        ("5.png", "apple", True),
    }
    cherry = projects.find(key).classes[2].id
    page = client.get(f"/projects/{key}/result/label-issues", headers=HTML).text
    assert f'value="{digest(projects, key, "2.png")} add:{cherry}"' in page
    answer = client.post(
        f"/projects/{key}/decisions",
        data={"one": f"{digest(projects, key, '2.png')} add:{cherry}"},
    )
    assert answer.json["undoable"] == "Added cherry to 2.png."
    assert answer.json["photos"] == {digest(projects, key, "2.png"): "banana, cherry"}
    assert classes_of(projects, key, "2.png") == {"banana", "cherry"}
    assert ("2.png", "cherry", False) not in issues(projects, key)
    assert review(projects, key).changes == 1
    client.post(
        f"/projects/{key}/decisions", data={"one": f"{digest(projects, key, '5.png')} right"}
    )
    assert issues(projects, key) == [("3.png", "banana", True)]
    for said in ("Added cherry to 2.png.", None):
        assert client.post(f"/projects/{key}/decisions/undo").json["undoable"] == said
    assert review(projects, key).changes == 0
    assert len(issues(projects, key)) == 3


def test_a_renamed_class_is_recognised_by_its_photos(projects: Projects, key: str) -> None:
    banana = projects.find(key).classes[1]
    projects.rename_class(key, banana.id, "plantain")
    opened = review(projects, key)
    assert [each.name for each in opened.current_classes] == ["apple", "plantain", "cherry"]
    assert opened.changes == 0
    assert ("3.png", "plantain", True) in issues(projects, key)


def test_two_versions_are_compared_by_all_classes_of_a_photo(projects: Projects, key: str) -> None:
    better = {**PHOTOS, "3.png": ("banana cherry", (0.2, 0.7, 0.8), True)}
    worse = {**better, "0.png": ("apple", (0.9, 0.9, 0.1), True)}
    train(projects, key, worse)
    before, after = (
        studio_review.open(projects, projects.home, key, version) for version in (1, 2)
    )
    change = studio_review.compare(before, after)
    assert (change.photos, change.before.correct, change.after.correct) == (5, 3, 3)
    assert [one.name for one in change.fixed] == ["3.png"]
    assert [one.name for one in change.broken] == ["0.png"]
    banana = next(one for one in change.classes if one.name == "banana")
    assert (banana.photos, banana.before, banana.after) == (3, 2, 3)
    assert (banana.before_extra, banana.after_extra) == (0, 1)


@pytest.mark.parametrize(
    ("page", "texts"),
    [
        ("result", ("All classes right", "Missed, and answered where they are not", "Class by")),
        ("result/cell?missed=banana", ("banana, not answered", "3.png")),
        ("result/cell?extra=cherry", ("cherry, answered where it is not", "2.png")),
        ("result/cell?truth=apple", ("apple, with any answer", "0.png", "1.png")),
        ("result/label-issues", ("3 classes are ticked or not", "Remove apple", "Add cherry")),
        ("result/compare?before=1&after=2", ("All classes right", "banana answered where")),
        ("publish", ("mean of the classes",)),
        ("teach", ("When is a class answered?",)),
    ],
)
def test_pages_show_several_classes(
    projects: Projects, key: str, client: FlaskClient, page: str, texts: tuple[str, ...]
) -> None:
    train(projects, key, PHOTOS)
    answer = client.get(f"/projects/{key}/{page}", headers=HTML)
    assert answer.status_code == 200
    for text in texts:
        assert text in answer.text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"threshold": "precision", "percent": "many"}, 400),
        ({"threshold": "precision", "percent": "0"}, 400),
        ({"threshold": "luck"}, 400),
    ],
)
def test_an_impossible_precision_is_refused(
    key: str, client: FlaskClient, form: dict[str, str], status: int
) -> None:
    data = {"backbones": "EfficientNetLite0", **form}
    answer = client.post(f"/projects/{key}/teach", data=data)
    assert answer.status_code == status
    assert "expected per cent, such as 95" in answer.json["error"]["message"]
