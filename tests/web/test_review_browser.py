"""Reviewing mistakes and correcting labels in a real Chromium, by mouse and by keyboard.

Any error in the browser's console fails the test.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server

from support import browser
from support import studios
from support import trained_project
from support.browser import assert_no_overflow
from support.browser import expect
from support.browser import follow
from support.browser import obstacles
from support.browser import screenshot
from support.browser import wait_for
from support.images import plain_image
from support.images import squares
from triptych import settings
from triptych.studio.projects import Projects
from triptych.studio.sorting import INBOX
from triptych.studio.sorting import PROJECT
from triptych.studio.sorting import Answer
from triptych.studio.sorting import Plan
from triptych.web import create_app
from triptych.web.registry import Registry
from triptych.web.studio import sorting

pytestmark = browser.MARKS


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    return Projects(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def address(projects: Projects) -> Iterator[str]:
    with studios.fake_studio(home=projects.home, inbox="on") as (_, address):
        yield address


@pytest.fixture
def key(projects: Projects) -> str:
    key = trained_project.create(projects)
    trained_project.train(projects, key)
    return key


def home_of(projects: Projects, key: str, name: str) -> str:
    names = {label.id: label.name for label in projects.find(key).classes}
    return names[trained_project.photos_by_name(projects, key)[name].class_id or 0]


def photo(page, name: str):
    return page.locator("[data-photo]").filter(has_text=name).first


def assert_focused(page, name: str) -> None:
    expect(page.locator("[data-photo]:focus-within .choose")).to_have_text(name)


def test_a_cell_opens_its_photos_and_a_label_is_corrected(visit, projects, key):
    page = visit(f"/projects/{key}/result")
    screenshot(page, "result")
    follow(page.get_by_role("link", name="1 of ants taken for bees"))
    page.get_by_label("ants-1.png").check()
    page.get_by_role("button", name="Move to bees").click()
    status = page.get_by_role("status").filter(has_text="Moved ants-1.png to bees.")
    status.wait_for()
    expect(photo(page, "ants-1.png")).to_have_attribute("data-done", "")
    assert home_of(projects, key, "ants-1.png") == "bees"
    screenshot(page, "cell")
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Nothing is left to undo.").wait_for()
    assert home_of(projects, key, "ants-1.png") == "ants"


def test_a_likely_label_error_is_corrected_by_one_click(visit, projects, key):
    page = visit(f"/projects/{key}/result")
    photo(page, "ants-3.png").get_by_role("button", name="Move to bees").click()
    page.get_by_text("Moved ants-3.png to bees.").wait_for()
    assert home_of(projects, key, "ants-3.png") == "bees"
    page.reload()
    expect(page.get_by_text("Moved ants-3.png to bees.")).to_be_visible()
    expect(page.get_by_text("1 photo has changed since this version was")).to_be_visible()
    expect(photo(page, "ants-3.png")).to_have_count(0)


def test_labels_are_corrected_by_keyboard_alone(visit, projects, key):
    page = visit(f"/projects/{key}/result/cell?truth=ants&photos=all")
    page.locator("[data-photo] input").first.focus()
    order = ["ants-3.png", "ants-0.png", "ants-1.png", "ants-2.png"]  # the surest first
    for name in order:
        assert_focused(page, name)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    page.keyboard.press("2")
    page.get_by_text("Moved ants-3.png to bees.").wait_for()
    assert home_of(projects, key, "ants-3.png") == "bees"
    assert_focused(page, "ants-0.png")  # on to the next
    page.keyboard.press("r")
    page.get_by_text("Confirmed ants-0.png as ants.").wait_for()
    page.keyboard.press("u")
    page.locator("#undo").get_by_text("Moved ants-3.png to bees.").wait_for()
    page.keyboard.press("Space")
    page.keyboard.press("End")
    page.keyboard.press("Space")
    page.keyboard.press("x")
    page.get_by_text("Excluded 2 photos.").wait_for()
    left_out = {one.name for one in projects.photos(key, excluded=True)}
    assert left_out == {"ants-1.png", "ants-2.png"}


def test_two_versions_side_by_side(visit, projects, key):
    answers = {
        **trained_project.PREDICTIONS,
        "ants-0.png": trained_project.Prediction((0.3, 0.1, 0.6), held_out=True),
    }
    trained_project.train(projects, key, answers)
    page = visit(f"/projects/{key}/result")
    follow(page.get_by_role("link", name="Compare with version 1"))
    expect(page.get_by_text("Both on the same 6 photos")).to_be_visible()
    expect(photo(page, "ants-0.png")).to_be_visible()
    expect(page.get_by_text("this may be chance")).to_be_visible()
    screenshot(page, "compare")


def test_the_report_opens_within_its_content_security_policy(visit, key):
    page = visit(f"/projects/{key}/result")
    follow(page.get_by_role("link", name="The whole report of this version"))
    expect(page.get_by_text("All of it.")).to_be_visible()


def keep(projects: Projects, *seeds: int) -> None:
    for seed in seeds:
        guess = {"label": "bees", "prob": 0.5, "status": "unsure", "novelty": None}
        top = [{"label": "bees", "prob": 0.5}, {"label": "ants", "prob": 0.4}]
        projects.keep(
            f"kept-{seed}.png", squares(seed), {**guess, "committee": "garden", "top": top}
        )


def heap(projects: Projects, key: str) -> list[str]:
    """Ten photos without a class: six the committee is sure of, two alone, and two alike."""
    digests = [projects.add(key, f"heap-{n}.png", squares(200 + n)).digest for n in range(10)]
    answers = [
        *[Answer("sure", 1, 0.9, is_selected=True)] * 6,
        Answer("none", 2, 0.5),
        Answer("unsure", 0, 0.6),
    ]
    answers += [Answer("unsure", 2, 0.7)] * 2
    known = dict(zip(digests, answers, strict=True))
    Plan(1, known, digests[6:], [digests[8:]], frozenset(digests)).write(
        projects.home, key, PROJECT
    )
    return digests


def test_a_heap_is_sorted_by_keyboard_alone(visit, projects):
    key = trained_project.create(projects, title="Heap")
    trained_project.train(projects, key, fitted=trained_project.FITTED)
    heap(projects, key)

    def left() -> int:
        return projects.find(key).unsorted

    page = visit(f"/projects/{key}/sort")
    said = page.locator("#undo [role=status]")
    count = page.locator("#left")
    expect(count).to_have_text("10 photos left to sort")
    screenshot(page, "sort")
    # All that look like bees at once, and back.
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Accept all":
            break
    page.keyboard.press("Enter")
    expect(said).to_have_text("6 photos in bees.")
    expect(count).to_have_text("4 photos left to sort")
    page.keyboard.press("u")  # the focus is on Undo
    expect(said).to_have_text("Undone; nothing is left to undo.")
    expect(count).to_have_text("10 photos left to sort")
    page.keyboard.press("Enter")
    expect(said).to_have_text("6 photos in bees.")
    # One by one: none of these first. The first arrow goes to the photos.
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowDown")
    assert_focused(page, "heap-6.png")
    page.keyboard.press("1")
    expect(said).to_have_text("1 photo in ants.")
    assert_focused(page, "heap-7.png")
    page.keyboard.press("Enter")  # as proposed
    expect(said).to_have_text("1 photo in ants.")
    assert_focused(page, "heap-8.png")
    page.keyboard.press("u")
    expect(count).to_have_text("3 photos left to sort")
    assert home_of(projects, key, "heap-6.png") == "ants"
    assert trained_project.photos_by_name(projects, key)["heap-7.png"].class_id is None
    assert_focused(page, "heap-7.png")
    page.keyboard.press("n")  # a new class
    page.keyboard.type("moths")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    assert_focused(page, "heap-7.png")
    page.keyboard.press("4")
    expect(said).to_have_text("1 photo in moths.")
    # Groups: one key names all photos that are ticked.
    page.goto(f"{page.url}?by=groups")
    screenshot(page, "sort-groups")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("3")
    expect(said).to_have_text("1 photo in wasps.")
    expect(count).to_have_text("1 photo left to sort")
    page.keyboard.press("Space")
    page.keyboard.press("x")
    expect(said).to_have_text("1 photo left out.")
    assert left() == 0
    page.keyboard.press("u")
    page.keyboard.press("u")
    expect(count).to_have_text("2 photos left to sort")
    assert {each.name for each in projects.photos(key, class_id=None)} == {
        "heap-8.png",
        "heap-9.png",
    }
    page.set_viewport_size({"width": 390, "height": 780})
    assert_no_overflow(page)
    assert obstacles(page) == []
    screenshot(page, "sort-phone")
    # With more classes than keys, one is chosen from the list.
    ids = [projects.add_class(key, f"{letter} moths").id for letter in "pqrstuvz"]
    page.goto(page.url.partition("?")[0])
    page.keyboard.press("ArrowDown")
    assert_focused(page, "heap-8.png")
    page.keyboard.press("c")
    page.keyboard.type("z")
    page.keyboard.press("Enter")
    expect(said).to_have_text("1 photo in z moths.")
    assert trained_project.photos_by_name(projects, key)["heap-8.png"].class_id == ids[-1]
    assert_focused(page, "heap-9.png")


def test_what_is_more_than_one_can_accept_at_once_is_offered_next(visit, projects, monkeypatch):
    monkeypatch.setattr(sorting, "AT_ONCE", 4)
    key = trained_project.create(projects, title="Large heap")
    trained_project.train(projects, key)
    heap(projects, key)
    registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
    app = create_app(settings.load({}, home=projects.home), registry)
    server = make_server("127.0.0.1", 0, app, threaded=True)  # here, where the limit is less
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    page = visit()
    page.goto(f"http://127.0.0.1:{server.port}/projects/{key}/sort")
    expect(page.get_by_text("At most 4 are accepted at once")).to_be_visible()
    page.get_by_text("See them, the strangest first").click()
    page.locator("form.proposal [data-photo] input").first.uncheck()
    page.get_by_role("button", name="Accept 4").click()
    expect(page.locator("#undo [role=status]")).to_have_text("3 photos in bees.")
    # The other two come, and the one that was left out is left out again.
    rest = page.locator("form.proposal:visible")
    expect(rest).to_contain_text("3 photos look like bees")
    expect(rest.locator("input:checked")).to_have_count(2)
    rest.get_by_role("button", name="Accept all").click()
    expect(page.locator("#left")).to_have_text("5 photos left to sort")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#left")).to_have_text("7 photos left to sort")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#left")).to_have_text("10 photos left to sort")
    server.shutdown()


def test_the_inbox_by_keyboard_alone(visit, address, projects, key):
    for one in projects.inbox():
        projects.dismiss([one.id])
    keep(projects, 101, 102, 103)
    waiting = {one.digest for one in projects.inbox()}
    Plan(1, digests=frozenset(waiting)).write(projects.home, key, INBOX)
    page = visit(f"/projects/inbox?project={key}")
    assert (
        page.request.get(f"{address}/projects/inbox?project=nobody").status == 404
    )  # in no other one
    page.keyboard.press("ArrowDown")
    assert_focused(page, "kept-101.png")
    page.keyboard.press("2")
    page.get_by_text("1 photo in bees.").wait_for()
    assert_focused(page, "kept-102.png")
    page.keyboard.press("x")
    page.get_by_text("1 photo left out.").wait_for()
    expect(page.locator("#left")).to_have_text("1 photo left to sort")
    page.keyboard.press("u")
    page.get_by_text("Undone.").wait_for()
    expect(page.locator("#left")).to_have_text("2 photos left to sort")
    screenshot(page, "inbox")
    page.reload()
    expect(page.locator("[data-photo]")).to_have_count(2)
    assert home_of(projects, key, "kept-101.png") == "bees"
    page.set_viewport_size({"width": 390, "height": 780})
    assert_no_overflow(page)
    # The bar that sticks to the edge, too: what is beyond it is not seen.
    verbs = page.locator(".verbs")
    wait_for(page, lambda: verbs.evaluate("bar => bar.scrollWidth <= bar.clientWidth"), True)


def test_a_photo_from_the_classify_page_reaches_the_inbox(visit, projects):
    before = projects.waiting()
    page = visit("/")
    page.click("#options > summary")
    page.check('[name="committee"][value="garden"]')
    page.get_by_label("Keep these photos for review").check()
    unsure = plain_image(studios.MANY_CLASSES)
    page.set_input_files(
        "#choose", [{"name": "grey.png", "mimeType": "image/png", "buffer": unsure}]
    )
    wait_for(page, projects.waiting, before + 1)


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("result", "light"),
        ("result/cell?photos=all", "dark"),
        ("result/label-issues", "light"),
        ("decisions", "dark"),
    ],
)
def test_a_phone(visit, projects, key, path, scheme):
    projects.decide(
        key, [trained_project.photos_by_name(projects, key)["ants-0.png"].digest], exclude=True
    )
    page = visit(
        f"/projects/{key}/{path}",
        viewport={"width": 390, "height": 780},
        is_mobile=True,
        has_touch=True,
        color_scheme=scheme,
    )
    # A long name has a line for itself; in a narrow column it was broken anywhere.
    for name in page.locator(".pairs bdi").all():
        name.evaluate("name => { name.textContent = 'Kanadagans-Hybridform' }")
        assert name.evaluate("name => name.getClientRects().length") == 1
    assert_no_overflow(page)
    screenshot(page, f"review-{path.partition('?')[0].replace('/', '-')}-phone-{scheme}")


def test_a_label_is_corrected_without_a_script(visit, projects, key):
    page = visit(f"/projects/{key}/result/label-issues", java_script_enabled=False)
    follow(photo(page, "ants-3.png").get_by_role("button", name="Move to bees"))
    expect(page.get_by_text("Moved ants-3.png to bees.")).to_be_visible()
    assert page.url.endswith("/result/label-issues")
    assert home_of(projects, key, "ants-3.png") == "bees"
