"""The whole workflow of the studio, in a real Chromium and with real networks.

From an empty studio to a published committee: a project with two classes and forty photos, one of
them mislabelled; trained, reviewed, corrected, trained again, published, used, and explained. Once
by mouse, and once by keyboard alone on a screen as wide as a phone's. Any error of a script or in
the browser's console fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import browser
from support import studios
from support.browser import assert_no_overflow
from support.browser import expect
from support.browser import files
from support.browser import follow
from support.browser import screenshot
from support.images import shape_image
from triptych import data as triptych_data
from triptych.studio.projects import Projects
from triptych.training import feature_set

pytestmark = [*browser.MARKS, pytest.mark.slow]

PER_CLASS = 20
TEACHING_MS = 400_000
STRAY = "stray.png"
Named = tuple[str, bytes]
ANSWERS = re.compile("^(discs|rays|None of these)$")
# Clicks of a person (or of a driver that stands for one), on all pages of a tab.
COUNT_CLICKS = """addEventListener("click", (event) => {
    if (event.isTrusted) sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + 1;
}, true)"""


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with studios.training_studio(home) as address:
        yield address


@pytest.fixture(scope="module")
def projects(home: Path) -> Projects:
    """The photos that the studio keeps, for inspection."""
    return Projects(home)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Named]]:
    """Twenty photos a class; the last of the rays is a disc, and it is held out.

    The split depends on the photos' bytes, so it is computed which disc would be held out.
    """
    folder = tmp_path_factory.mktemp("drawn")
    named = {
        "discs": [(f"disc {n}.png", shape_image("discs", 900 + n)) for n in range(PER_CLASS)],
        "rays": [(f"ray {n}.png", shape_image("rays", 900 + n)) for n in range(PER_CLASS - 1)],
    }
    strays = [(f"stray {n}.png", shape_image("discs", 2000 + n)) for n in range(40)]
    for kind, photos in {**named, "rays": [*named["rays"], *strays]}.items():
        (folder / kind).mkdir()
        for name, data in photos:
            (folder / kind / name).write_bytes(data)
    all_of_them = triptych_data.open(folder).train
    for name, data in strays:
        some = [p for p in all_of_them if "stray" not in p.source or p.source.endswith(name)]
        _, held_out = triptych_data.split(some, share=feature_set.VALIDATION_SHARE, seed=0)
        if any("stray" in photo.source for photo in held_out):
            return {**named, "rays": [*named["rays"], (STRAY, data)]}
    raise AssertionError("none of the strays would be held back")


def class_of(projects: Projects, key: str, name: str) -> str:
    """The class that a photo is in."""
    (photo,) = (one for one in projects.photos(key, limit=-1) if one.name == name)
    return {label.id: label.name for label in projects.find(key).classes}[photo.class_id or 0]


def wait_for_photos(page, name: str, count: int) -> None:
    """Wait until the class shows this number of photos."""
    group = page.get_by_role("region", name=name, exact=True)
    group.get_by_text(f"{count} photos", exact=True).wait_for(timeout=2 * browser.PATIENCE_MS)


def wait_for_version(page, number: int) -> None:
    """Wait until the training has produced the version."""
    page.get_by_text(f"This made version {number}").wait_for(timeout=TEACHING_MS)


def wait_for_heat(page) -> None:
    """Wait until a heat map covers the photo, and is described in words."""
    page.get_by_role("img", name="Heat map: most of the evidence for discs is ").wait_for()
    expect(page.get_by_text("Evidence for discs according to")).to_be_visible()


# ------------------------------------------------------------------ with the mouse


def test_the_whole_path_with_the_mouse(visit, projects, photos):
    page = visit("/projects")
    page.get_by_label("Title", exact=True).fill("Round or rayed")
    follow(page.get_by_role("button", name="Create"))
    for name in ("discs", "rays"):
        page.locator("#new-class").fill(name)
        page.locator("#add-class").get_by_role("button", name="Add").click()
        page.get_by_role("region", name=name, exact=True).wait_for()
    for name, named in photos.items():
        page.get_by_label(f"Choose photos for {name}").set_input_files(files(*named))
        wait_for_photos(page, name, PER_CLASS)
    key = page.url.rsplit("/", 1)[-1]

    # The photos are there: a newcomer is at most six clicks from an answer about them.
    page.context.add_init_script(COUNT_CLICKS)
    page.reload()
    follow(page.get_by_role("link", name="On to teaching"))
    for name in ("EfficientNetLite1", "EfficientNetLite2"):  # not converted in this run
        page.evaluate("name => document.querySelector(`[value=${name}]`).checked = false", name)
    follow(page.get_by_role("button", name="Start"))
    wait_for_version(page, 1)
    page.get_by_role("button", name="Live from the camera").click()
    expect(page.locator('#live [data-slot="label"]')).to_have_text(ANSWERS)
    assert 1 < int(page.evaluate("sessionStorage.clicks")) <= 6
    screenshot(page, "path-try")
    follow(page.get_by_role("link", name="See the result"))
    screenshot(page, "path-result")

    follow(page.get_by_role("link", name="1 of rays taken for discs"))
    page.get_by_label(STRAY).check()
    page.get_by_role("button", name="Move to discs").click()
    page.get_by_text(f"Moved {STRAY} to discs.").wait_for()
    assert class_of(projects, key, STRAY) == "discs"

    follow(page.get_by_role("link", name="Back to the result"))
    expect(page.get_by_text("1 photo has changed since this version was")).to_be_visible()
    follow(page.get_by_role("button", name="Teach again"))
    wait_for_version(page, 2)
    follow(page.get_by_role("link", name="See the result"))
    expect(page.get_by_text("Nothing has changed since this version was taught")).to_be_visible()
    expect(page.get_by_role("link", name="taken for")).to_have_count(0)

    follow(tab(page, "Publish"))
    expect(page.get_by_text("are not answered yet")).to_be_visible()
    follow(page.get_by_role("button", name="Publish version 2"))
    follow(page.get_by_role("link", name="Open the page to share"))
    page.set_input_files("#choose", files(("new.png", shape_image("discs", 3000))))
    page.get_by_role("button", name="Why this verdict?").click()
    wait_for_heat(page)
    expect(page.locator('#cards .plate [data-slot="label"]')).to_have_text("discs")
    screenshot(page, "path-why")


@pytest.mark.thorough
def test_the_sample_answers_live_after_two_clicks(visit, projects):
    page = visit()
    page.context.add_init_script(COUNT_CLICKS)
    page.goto(page.url + "projects")
    page.get_by_role("button", name="Try the sample").click()
    page.wait_for_url("**/projects/sample-fruit/try", timeout=TEACHING_MS)
    page.get_by_role("button", name="Live from the camera").click()
    expect(page.locator('#live [data-slot="label"]')).not_to_be_empty()
    assert page.evaluate("sessionStorage.clicks") == "2"
    page.get_by_role("button", name="Close the camera").click()
    page.locator("[data-name='lemons.jpg']").click()
    expect(page.locator('#cards .plate [data-slot="label"]')).to_have_text("lemons")
    follow(tab(page, "Photos"))
    page.goto(page.url.rsplit("/", 1)[0])
    follow(page.get_by_role("button", name="Try the sample"))  # it is there, and taught
    assert page.url.endswith("/sample-fruit/try")
    assert [project.title for project in projects.all()].count("Sample: fruit") == 1


def tab(page, name: str):
    return page.get_by_role("navigation", name="Project").get_by_role("link", name=name)


# ------------------------------------------------------------------ by keyboard alone


class Keys:
    """The page as used by keyboard alone."""

    def __init__(self, page) -> None:
        self.page = page

    def reach(self, target, *, back: bool = False) -> None:
        """Press Tab until an element has the focus, which must be visible."""
        for _ in range(120):
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
            if target.evaluate("wanted => wanted === document.activeElement"):
                assert self.page.evaluate(IS_SEEN)
                return
        raise AssertionError(f"the Tab key does not reach {target}")

    def press(self, target, key: str = "Enter", *, back: bool = False) -> None:
        """Reach something and press a key there."""
        target.wait_for(state="attached")
        self.reach(target, back=back)
        self.page.keyboard.press(key)

    def follow(self, target, *, back: bool = False) -> None:
        """Press a link or button that leads to another page, and wait for it."""
        with self.page.expect_navigation():
            self.press(target, back=back)

    def choose(self, target, named: list[Named]) -> None:
        """Reach a file input and select files, as in the system's dialog."""
        with self.page.expect_file_chooser() as chooser:
            self.press(target, "Space")
        chooser.value.set_files(files(*named))


# What has the focus, or what it stands for where it is itself out of sight.
IS_SEEN = """() => {
    const focused = document.activeElement;
    return [focused, focused.closest("label")].some(
        (one) => one && getComputedStyle(one).outlineStyle !== "none");
}"""


@pytest.mark.thorough
def test_the_whole_path_by_keyboard_alone_on_a_phone(visit, projects, photos):
    page = visit("/projects", viewport=browser.PHONE["viewport"])
    keys = Keys(page)
    keys.reach(page.get_by_label("Title", exact=True))
    page.keyboard.type("Forms")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    for name in ("discs", "rays"):
        page.locator("#new-class:focus").wait_for()
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.get_by_role("region", name=name, exact=True).wait_for()
    for name, named in photos.items():
        keys.choose(page.get_by_label(f"Choose photos for {name}"), named)
        wait_for_photos(page, name, PER_CLASS)
    key = page.url.rsplit("/", 1)[-1]
    assert_no_overflow(page)

    keys.follow(tab(page, "Teach"))
    keys.press(page.get_by_text("More", exact=True))
    for name in ("EfficientNetLite1", "EfficientNetLite2"):
        keys.press(page.locator(f'[value="{name}"]'), "Space")
    keys.follow(page.get_by_role("button", name="Start"), back=True)
    wait_for_version(page, 1)
    assert_no_overflow(page)
    keys.follow(page.get_by_role("link", name="See the result"))

    keys.follow(page.get_by_role("link", name="1 of rays taken for discs"))
    keys.reach(page.get_by_label(STRAY))
    assert_no_overflow(page)
    page.keyboard.press("1")
    page.get_by_text(f"Moved {STRAY} to discs.").wait_for()
    assert class_of(projects, key, STRAY) == "discs"

    keys.follow(page.get_by_role("link", name="Back to the result"), back=True)
    keys.follow(page.get_by_role("button", name="Teach again"))
    wait_for_version(page, 2)

    keys.follow(tab(page, "Publish"))
    keys.follow(page.get_by_role("button", name="Publish version 2"))
    keys.follow(page.get_by_role("link", name="Open the page to share"))
    assert_no_overflow(page)
    keys.choose(page.locator("#choose"), [("new.png", shape_image("discs", 3000))])
    page.wait_for_selector('#cards [data-state="answered"]')
    keys.press(page.get_by_role("button", name="Why this verdict?"))
    wait_for_heat(page)
    assert_no_overflow(page)
    screenshot(page, "path-why-phone")
