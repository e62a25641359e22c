"""Projects in which a photo has any number of classes, in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import triptych
from support import browser
from support import bundles
from support import studios
from support.browser import assert_no_overflow
from support.browser import expect
from support.browser import files
from support.browser import follow
from support.browser import foreign_text
from support.browser import screenshot
from support.browser import wait_for
from support.images import picture
from triptych.studio import sample_images
from triptych.studio.projects import Projects

pytestmark = [*browser.MARKS, pytest.mark.slow]

FRUIT = ("apples", "lemons", "pears")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with studios.training_studio(home) as address:
        yield address


@pytest.fixture
def projects(home: Path) -> Projects:
    return Projects(home)


def scenes(count: int) -> list[tuple[str, bytes]]:
    return [(f"scene {n}.jpg", sample_images.scene(FRUIT[: n % 4], seed=n)) for n in range(count)]


def tick(page, photo: str, name: str):
    boxes = page.get_by_role("group", name=f"Classes of {photo}")
    return boxes.get_by_role("checkbox", name=name, exact=True)


def test_boxes_are_ticked_by_keyboard_and_by_two_people(
    visit, projects: Projects, expected: list[str]
) -> None:
    expected.append("status of 400")  # one class a photo is refused at the end
    page = visit("/projects")
    page.get_by_label("Title").fill("Bowls")
    page.get_by_label("Any number, or none").check()
    follow(page.get_by_role("button", name="Create"))
    for name in FRUIT:
        page.get_by_label("Name the first class").or_(page.get_by_label("Add a class")).fill(name)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name=name, exact=True).wait_for()
    page.get_by_label("Choose photos for Photos to review").set_input_files(files(*scenes(4)))
    wall = page.get_by_role("region", name="Which classes do the photos have?")
    expect(wall.locator(".photo")).to_have_count(4)
    (key,) = (project.key for project in projects.all() if project.title == "Bowls")
    ids = [label.id for label in projects.find(key).classes]
    digests = {photo.name: photo.digest for photo in projects.photos(key)}

    def labels(name: str) -> object:
        return projects.photo(key, digests[f"{name}.jpg"]).class_ids

    follow(wall.get_by_role("link", name="To review"))
    page.locator('[title="scene 3.jpg"] [name=digest]').focus()
    page.keyboard.press("1")
    page.keyboard.press("3")
    wait_for(page, lambda: labels("scene 3"), (ids[0], ids[2]))
    expect(tick(page, "scene 3.jpg", "pears")).to_be_checked()
    # Somebody else gives it another class meanwhile, and takes none away.
    projects.set_label(key, [digests["scene 3.jpg"]], ids[1], True, person="ann")
    page.keyboard.press("1")
    wait_for(page, lambda: labels("scene 3"), (ids[1], ids[2]))
    expect(tick(page, "scene 3.jpg", "lemons")).to_be_checked()
    expect(tick(page, "scene 3.jpg", "apples")).not_to_be_checked()
    page.keyboard.press("u")
    wait_for(page, lambda: labels("scene 3"), tuple(ids))
    # It has classes now, so it is no longer among those to review.
    expect(wall.locator(".photo")).to_have_count(3)
    page.locator('[title="scene 0.jpg"] [name=digest]').focus()
    page.keyboard.press("0")
    wait_for(page, lambda: labels("scene 0"), ())
    expect(tick(page, "scene 0.jpg", "none")).to_be_checked()
    expect(wall.get_by_role("link", name="None of the classes 1")).to_be_visible()
    # With the mouse, and all that are chosen at once.
    tick(page, "scene 2.jpg", "lemons").click()
    wait_for(page, lambda: labels("scene 2"), (ids[1],))
    # The page has its new counts; when they come, they may take a choice away.
    expect(wall.get_by_role("link", name="lemons 2")).to_be_visible()
    page.locator('[title="scene 1.jpg"] [name=digest]').check()
    page.locator('[title="scene 2.jpg"] [name=digest]').check()
    page.keyboard.press("1")
    wait_for(page, lambda: (labels("scene 1"), labels("scene 2")), ((ids[0],), (ids[0], ids[1])))
    for name, count in (("apples", 3), ("lemons", 2), ("None of the classes", 1), ("To review", 0)):
        expect(wall.get_by_role("link", name=f"{name} {count}")).to_be_visible()
    follow(wall.get_by_role("link", name="lemons 2"))
    expect(wall.locator(".photo")).to_have_count(2)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    # Refused, and how to mend it; nothing is lost.
    page.get_by_role("button", name="One class a photo").click()
    expect(page.get_by_text("2 photos have several classes.")).to_be_visible()
    assert projects.find(key).multilabel
    screenshot(page, "multilabel-photos")
    page.set_viewport_size({"width": 390, "height": 780})
    assert_no_overflow(page)
    screenshot(page, "multilabel-photos-phone")


def test_boxes_work_without_scripts(visit, projects: Projects) -> None:
    project = projects.make("Plain", multilabel=True)
    apples = projects.add_class(project.key, "apples")
    photo = projects.add(project.key, "scene 1.jpg", sample_images.scene(["apples"], seed=1))
    page = visit(f"/projects/{project.key}?only=0", java_script_enabled=False)
    follow(tick(page, photo.name, "apples"))
    assert page.url.endswith(f"/projects/{project.key}?only=0")
    assert projects.photo(project.key, photo.digest).class_ids == (apples.id,)
    follow(page.get_by_role("link", name="apples 1"))
    expect(tick(page, photo.name, "apples")).to_be_checked()
    follow(tick(page, photo.name, "none"))
    follow(page.get_by_role("link", name="None of the classes 1"))
    follow(tick(page, photo.name, "none"))
    assert projects.find(project.key).unsorted == 1


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A studio with a multi-label bundle that really predicts: its address and home folder."""
    home = tmp_path_factory.mktemp("served")
    bundles.write_multilabel(home)
    with studios.training_studio(home) as address:
        yield address, home


def test_a_page_shows_all_classes_that_hold(visit, served: tuple[str, Path]) -> None:
    address, home = served
    classifier = triptych.load("bowls", home=home, precision="f32")
    photos = {f"{seed}.png": picture(seed) for seed in range(6)}
    verdicts = {name: classifier.classify(photo) for name, photo in photos.items()}
    several = next(name for name, each in verdicts.items() if len(each.labels) > 1)
    for script in (True, False):
        page = visit(java_script_enabled=script)
        page.goto(f"{address}/c/bowls")
        page.set_input_files("#choose", files((several, photos[several])))
        if not script:
            follow(page.get_by_role("button", name="Ask the committee"))
        card = page.locator("[data-state=answered]")
        names = [guess.label.name for guess in verdicts[several].labels]
        expect(card.locator("h3")).to_have_text(", ".join(names))
        lines = card.locator(".holding .guess")
        expect(lines).to_have_count(len(names))
        for line, guess in zip(lines.all(), verdicts[several].labels, strict=True):
            expect(line).to_contain_text(f"from {100 * guess.threshold:.1f}\u00a0% on")
        expect(card.get_by_text("below their thresholds:")).to_be_visible()
        expect(card.locator(".panel")).to_have_count(2)
        if script:
            why = lines.last.get_by_role("button", name=f"Evidence for {names[-1]}")
            why.click()
            expect(why).to_have_attribute("aria-pressed", "true")
            expect(card.get_by_text(f"evidence for {names[-1]}")).to_be_visible()
            screenshot(page, "multilabel-verdict")
            page.set_viewport_size({"width": 390, "height": 780})
            assert_no_overflow(page)


def test_a_committee_of_several_classes_is_asked_without_a_rule(
    visit, served: tuple[str, Path]
) -> None:
    address, _ = served
    page = visit()
    page.goto(address)
    page.click("#options > summary")
    page.check('[name="committee"][value="bowls"]')
    page.set_input_files("#choose", files(("photo.png", picture(1))))
    expect(page.locator("[data-state=answered] h3")).to_be_visible()
    assert "rule=" not in page.locator("#curl").text_content()
    page.get_by_role("button", name="Live from the camera").click()
    expect(page.locator('#live [data-slot="how"]')).to_have_text("The mean of 5 frames, 2 networks")
    expect(page.locator("#live").get_by_role("alert")).to_be_hidden()


def test_a_zip_with_a_list_is_read_and_a_folder_with_one_refused(
    visit, projects: Projects, tmp_path: Path
) -> None:
    project = projects.make("Listed", multilabel=True)
    both = [projects.add_class(project.key, name).id for name in FRUIT[:2]]
    for seed, class_ids in enumerate((both, both[:1], ())):
        scene = sample_images.scene(FRUIT[: len(class_ids)], seed=seed)
        projects.add(project.key, f"{seed}.jpg", scene, class_ids)
    projects.export(project.key, tmp_path / "tables")
    shutil.make_archive(str(tmp_path / "tables"), "zip", tmp_path / "tables")
    page = visit("/projects")
    page.set_input_files("#import-folder", tmp_path / "tables")
    expect(page.get_by_text("labels.csv says what the photos show")).to_be_visible()
    page.set_input_files("#import-zip", tmp_path / "tables.zip")
    page.get_by_role("link", name="Open the project").or_(page.locator("#wall")).first.wait_for()
    page.goto(page.url.partition("/projects")[0] + "/projects/tables")
    expect(page.get_by_role("link", name="None of the classes 1")).to_be_visible()
    again = projects.find("tables")
    assert again.multilabel
    assert [label.photos for label in again.classes] == [2, 1]


COUNT = 32
TEACHING_MS = 400_000


def test_from_drawn_scenes_to_two_labels(
    visit, visit_translated, projects: Projects, home: Path
) -> None:
    """Ticked by keyboard, taught by a stated precision, reviewed, and asked about a new scene."""
    project = projects.make("Scenes", multilabel=True)
    key, ids = project.key, [projects.add_class(project.key, name).id for name in FRUIT]
    truth: dict[str, list[int]] = {}
    for seed in range(COUNT):
        kinds = [kind for index, kind in enumerate(FRUIT) if seed >> index & 1]
        photo = projects.add(key, f"{seed}.jpg", sample_images.scene(kinds, seed=seed))
        truth[photo.digest] = [FRUIT.index(kind) for kind in kinds]
    page = visit(f"/projects/{key}?only=0&show=0:{COUNT}")
    boxes = page.locator("#wall [name=digest]")
    expect(boxes).to_have_count(COUNT)
    boxes.first.focus()
    for _ in range(COUNT):
        digest = page.evaluate("document.activeElement.value")
        for index in truth[digest] or [-1]:
            page.keyboard.press(str(index + 1))
        page.keyboard.press("ArrowRight")
    expected = {digest: tuple(ids[index] for index in each) for digest, each in truth.items()}

    def stored() -> dict[str, tuple[int, ...]]:
        return {photo.digest: photo.class_ids for photo in projects.photos(key)}

    wait_for(page, stored, expected)
    follow(page.get_by_role("link", name="On to teaching"))
    page.get_by_text("So that answers are right").click()
    page.get_by_label("Per cent of the answers that must be right").fill("60")
    page.click(".options > summary")
    for name in ("EfficientNetLite1", "EfficientNetLite2"):
        page.locator(f'[name="backbones"][value="{name}"]').uncheck()
    screenshot(page, "multilabel-teach")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("This made version 1").wait_for(timeout=TEACHING_MS)
    (version,) = triptych.bundles.versions(home, key)
    bundle = triptych.bundles.find(home, f"{key}@{version}")
    assert bundle.multilabel
    assert {row["target"] for row in bundle.about["doubt"]["thresholds"]} == {0.6}
    page.goto(f"{page.url.partition('/projects')[0]}/projects/{key}/result")
    expect(page.get_by_text("so that 60", exact=False)).to_be_visible()
    expect(page.get_by_role("heading", name="Class by class")).to_be_visible()
    screenshot(page, "multilabel-result")
    page.goto(page.url.replace(f"/projects/{key}/result", f"/c/{key}@{version}"))
    classifier = triptych.load(f"{key}@{version}", home=home)
    new = {seed: sample_images.scene(FRUIT[:2], seed=seed) for seed in range(100, 140)}
    seed = next(n for n, photo in new.items() if len(classifier.classify(photo).labels) == 2)
    page.set_input_files("#choose", files((f"{seed}.jpg", new[seed])))
    expect(page.locator("[data-state=answered] .holding .guess")).to_have_count(2)
    pages = ("", "/teach", "/try", "/result", "/result/label-issues", "/decisions", "/publish")
    names = (*FRUIT, "scenes", "jpg", "efficientnetlite")
    for path in [f"/projects/{key}{each}" for each in pages]:
        page = visit_translated(path)
        assert foreign_text(page, *names) == []
        expect(page.locator(".keys:visible")).to_have_count(0)  # a phone has no keyboard
