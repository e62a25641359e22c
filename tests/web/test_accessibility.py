"""Every page of the studio, light and dark, has no serious violation that axe-core detects.

Axe detects missing names, wrong roles, low contrast, and scrollable content that the keyboard
cannot reach. Using the pages by keyboard is part of their own tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import browser
from support import multilabel_project
from support import studios
from support import trained_project
from support.browser import expect
from support.browser import files
from support.browser import foreign_text
from support.browser import obstacles
from support.images import plain_image
from support.images import squares
from triptych.studio.projects import Projects
from triptych.studio.projects.job_table import Job
from triptych.studio.projects.job_table import JobTable
from triptych.studio.sorting import INBOX
from triptych.studio.sorting import PROJECT
from triptych.studio.sorting import Answer
from triptych.studio.sorting import Plan
from triptych.studio.sorting import plan

pytestmark = [*browser.MARKS, pytest.mark.slow]

COLOURS = "color-contrast"
# Of what is alike, one stays: the page of the API repeats a few shapes hundreds of times, and axe
# takes a minute for all of them.
KEEP_ONE_OF_A_KIND = """() => {
    const seen = new Set();
    for (const part of document.querySelectorAll(".manual > section[id], .manual h3 + dl")) {
        const names = [...part.querySelectorAll("*")].map((each) => each.tagName + each.className);
        const shape = [...new Set(names)].sort().join();
        if (seen.has(shape)) part.remove();
        seen.add(shape);
    }
}"""
PAGES = {
    "api": "/docs",
    "no-such-page": "/nowhere",
    "projects": "/projects",
    "photos": "/projects/garden",
    "photos-none": "/projects/begun",
    "teach": "/projects/garden/teach",
    "teach-too-little": "/projects/begun/teach",
    "try": "/projects/garden/try?version=1",
    "try-none": "/projects/begun/try",
    "result": "/projects/garden/result",
    "result-none": "/projects/begun/result",
    "cell": "/projects/garden/result/cell?truth=ants&photos=all",
    "label-issues": "/projects/garden/result/label-issues",
    "compare": "/projects/garden/result/compare?before=1&after=2",
    "decisions": "/projects/garden/decisions",
    "publish": "/projects/garden/publish",
    "publish-none": "/projects/begun/publish",
    "bundles": "/bundles",
    "disk": "/disk",
    "share": "/c/garden",
    "multilabel-photos": "/projects/bowls",
    "multilabel-teach": "/projects/bowls/teach",
    "multilabel-result": "/projects/bowls/result",
    "multilabel-label-issues": "/projects/bowls/result/label-issues",
    "multilabel-cell": "/projects/bowls/result/cell?extra=cherry",
    "multilabel-compare": "/projects/bowls/result/compare?before=1&after=2",
    "inbox": "/projects/garden/sort?source=inbox",
    "sort": "/projects/garden/sort",
    "sort-none": "/projects/begun/sort",
    "keys": "/keys",
    "imports": "/imports",
}


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    return Projects(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def address(projects: Projects) -> Iterator[str]:
    with studios.fake_studio(home=projects.home, inbox="on") as (_, address):
        yield address


@pytest.fixture(scope="module")
def garden(projects: Projects) -> str:
    """A project with all kinds of content, and an empty one."""
    key = trained_project.create(projects)
    trained_project.train(projects, key)
    better = {
        **trained_project.PREDICTIONS,
        "ants-1.png": trained_project.Prediction((0.7, 0.2, 0.1), held_out=True),
    }
    trained_project.train(projects, key, better)
    named = trained_project.photos_by_name(projects, key)
    projects.decide(key, [named["ants-0.png"].digest], exclude=True)
    projects.decide(key, [named["wasps-3.png"].digest], class_id=named["bees-0.png"].class_id)
    projects.add(key, "unsorted.png", plain_image((90, 120, 30)), None)
    projects.add(key, "double.png", squares(5, size=(80, 120)), named["ants-1.png"].class_id)
    for seed in (101, 102):
        guess = {"label": "bees", "prob": 0.5, "status": "unsure", "novelty": None}
        top = [{"label": "bees", "prob": 0.5}, {"label": "ants", "prob": 0.4}]
        verdict = {**guess, "committee": "garden", "top": top}
        projects.keep(f"kept-{seed}.png", squares(seed), verdict)
    projects.make("Begun")
    multilabel_project.train(projects, multilabel_project.create(projects))
    for source in (PROJECT, INBOX):  # the pages would begin to compute them
        digests = [digest for digest, _ in plan.photos_of(projects, key, source)]
        answers = dict.fromkeys(digests, Answer("sure" if source == PROJECT else "none", 1, 0.9))
        Plan(2, answers, digests, [digests], frozenset(digests)).write(projects.home, key, source)
    return key


def assert_accessible(page) -> None:
    """Assert no serious violation in the light scheme, and none of contrast in the dark."""
    assert obstacles(page) == []
    page.emulate_media(color_scheme="dark")
    assert obstacles(page, COLOURS) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page(visit, garden, expected, name):
    if name == "no-such-page":
        expected.append("status of 404")
    page = visit(PAGES[name])
    if name == "api":
        page.evaluate(KEEP_ONE_OF_A_KIND)
        assert page.locator(".manual > section").count() > 3
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert_accessible(page)


# Names of data, networks, rules and formats, which sentences contain.
NAMES = (
    *("garden", "begun", "ants", "bees", "wasps", "png", "kept", "unsorted", "double", "one"),
    *("bowls", "apple", "banana", "cherry", "weighted"),
    *(*studios.FLOWERS, "efficientnetlite", "mean", "cascade", "occlusion"),
    *("keras", "tensorflow", "lite", "savedmodel", "openvino", "onnx"),
)


def test_all_pages_in_another_language(visit_translated, address, garden, expected):
    expected.append("status of 404")
    page = visit_translated("/")
    faults = {}
    for name, path in PAGES.items():
        page.goto(address + path)
        faults[name] = foreign_text(page, *NAMES)
    assert {name: found for name, found in faults.items() if found} == {}


def test_answers_in_another_language(visit_translated):
    page = visit_translated("/")
    kinds = ("SURE", "MANY_CLASSES", "TWO_ASKED", "NONE_OF_THESE")
    page.click("#options > summary")
    page.check('[name="committee"][value="garden"]')
    page.check('[name="rule"][value="cascade"]')
    colours = [getattr(studios, kind) for kind in kinds]
    named = (("1.png", plain_image(colour)) for colour in colours)
    page.set_input_files("#choose", files(*named))
    expect(page.locator('#cards [data-state="answered"]')).to_have_count(len(kinds))
    page.get_by_role("button", name="Whý thïs vérdïçt?").first.click()
    expect(page.locator('[data-slot="explained"]').first).not_to_have_text("")
    assert foreign_text(page, *NAMES) == []


def test_chosen_photos_in_another_language(visit_translated, garden):
    page = visit_translated(f"/projects/{garden}")
    page.locator('#classes input[name="digest"]').first.check()
    page.locator("#erase").click()
    page.locator("#sure").wait_for()
    assert foreign_text(page, *NAMES) == []


def test_axe_finds_what_is_wrong(visit, garden):
    page = visit(PAGES["projects"])
    page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    assert any(line.startswith("label") for line in obstacles(page))
    page.evaluate("document.querySelector('main p').style.color = '#777'")
    page.emulate_media(color_scheme="dark")
    assert obstacles(page, COLOURS)


def test_a_studio_without_projects(browser, tmp_path):
    with studios.fake_studio(home=tmp_path) as (_, address):
        page = browser.new_page()
        page.goto(f"{address}/projects")
        expect(page.get_by_role("button", name="Try the sample")).to_be_visible()
        assert_accessible(page)
        page.close()


def test_answers_of_all_kinds(visit):
    page = visit("/")
    kinds = ("SURE", "MANY_CLASSES", "NONE_OF_THESE")
    page.click("#options > summary")
    page.check('[name="committee"][value="garden"]')
    assert_accessible(page)
    page.emulate_media(color_scheme="light")
    page.set_input_files(
        "#choose", files(*((f"{one}.png", plain_image(getattr(studios, one))) for one in kinds))
    )
    expect(page.locator('#cards [data-state="answered"]')).to_have_count(len(kinds))
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert_accessible(page)


STATES = {
    "running": {"stage": "Computing features", "done": 30, "total": 90, "rate": 9.0},
    "interrupted": {"error": "The studio ended while this was under way."},
    "failed": {"error": "The machine may have run out of memory."},
    "done": {"version": 2},
}


@pytest.mark.parametrize("state", STATES)
def test_a_training_job(visit, projects, garden, state):
    rows = JobTable(projects.database)
    begun = rows.add(garden, {"backbones": ["lite0"], "classes": {}})
    news = ({"member": "EfficientNetLite0", "accuracy": 0.9},)
    fields = {"state": state, "news": news, **STATES[state]}
    rows.put(Job(begun.id, garden, begun.created_s, begun.options, **fields))
    page = visit(f"/projects/{garden}/teach")
    expect(page.locator("#job")).to_have_attribute("data-state", state)
    assert_accessible(page)


def test_photos_that_were_chosen_and_the_question_before_they_are_deleted(visit, garden):
    page = visit(f"/projects/{garden}")
    page.locator('#classes input[name="digest"]').first.check()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator("#sure").wait_for()
    assert_accessible(page)


@pytest.mark.parametrize("name", ["photos", "result", "publish"])
def test_a_phone(visit, garden, name):
    assert_accessible(visit(PAGES[name], **browser.PHONE))


def test_the_sign_in_page(browser, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_API_KEY", "open sesame")
    with studios.fake_studio() as (_, address):
        page = browser.new_page()
        page.goto(address)
        page.get_by_label("Key").fill("sesame")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        assert_accessible(page)
        page.close()
