"""Projects in a real Chromium: created, filled in every way, corrected and trained.

Any error in the browser's console fails the test, unless the test says that it is expected.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
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
from support.browser import transfer
from support.browser import wait_for
from support.images import picture
from triptych import bundles
from triptych.studio.projects import Projects

pytestmark = [*browser.MARKS, pytest.mark.slow]

TEACHING_MS = 400_000
BOX = 'input[name="digest"]'


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """A studio on the home folder of this run, where networks are converted once."""
    with studios.training_studio(home) as address:
        yield address


@pytest.fixture
def projects(home: Path) -> Iterator[Projects]:
    """The projects of the studio; removed after each test."""
    store = Projects(home)
    yield store
    for project in store.all():
        store.remove(project.key)
        if bundles.versions(home, project.key):
            bundles.remove(home, project.key)


@pytest.fixture
def garden(projects: Projects) -> str:
    """A project with two classes."""
    key = projects.make("Garden").key
    for name in ("ants", "bees"):
        projects.add_class(key, name)
    return key


def section(page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def wait_for_photos(page, name: str, count: int) -> None:
    """Wait until the class shows this number of photos."""
    words = "1 photo" if count == 1 else f"{count} photos"
    section(page, name).get_by_text(words, exact=True).wait_for()


def counts(projects: Projects, key: str) -> dict[str, int]:
    return {label.name: label.photos for label in projects.find(key).classes}


def some(count: int, *, start: int = 0) -> list[tuple[str, bytes]]:
    return [(f"photo {n}.jpg", picture(n)) for n in range(start, start + count)]


# ------------------------------------------------------------------ first steps


def test_the_sample_is_one_click_away(projects, visit):
    page = visit("/projects")
    screenshot(page, "projects-empty")
    follow(page.get_by_role("button", name="Try the sample"))
    expect(page.locator("#job")).to_be_visible()
    follow(page.get_by_role("button", name="Stop"))
    assert len(projects.all()) == 1
    follow(page.get_by_role("link", name="Photos", exact=True))
    page.locator(".photo img").nth(20).wait_for(state="attached")
    assert page.locator(".photo img").first.evaluate("image => image.decode().then(() => true)")
    screenshot(page, "project-sample")
    follow(page.get_by_role("link", name="Teach", exact=True).last)
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    screenshot(page, "teach-ready")
    page.goto(page.url.rsplit("/", 2)[0])
    expect(page.locator(".card")).to_have_count(1)
    screenshot(page, "projects")


def test_a_project_and_its_classes_by_keyboard_alone(projects, visit, expected):
    expected.append("status of 400")  # the third name is there already
    page = visit("/projects")
    page.get_by_label("Title", exact=True).focus()
    page.keyboard.type("My garden")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("My garden")
    expect(page.locator("#new-class")).to_be_focused()
    for name in ("ants", "bees"):
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        section(page, name).wait_for()
        expect(page.locator("#new-class")).to_be_focused()
        expect(page.locator("#new-class")).to_have_value("")
    page.keyboard.type("ants")
    page.keyboard.press("Enter")
    page.locator("#notice.wrong").get_by_text("There is a class 'ants' already").wait_for()
    assert counts(projects, "my-garden") == {"ants": 0, "bees": 0}


def test_a_late_response_does_not_restore_old_content(projects, garden, visit):
    page = visit(f"/projects/{garden}")
    late = []

    def hold_first(route) -> None:
        if late:
            route.continue_()
        else:
            late.append((route, route.fetch()))

    page.route(page.url, hold_first)
    for count, name in enumerate(("wasps", "flies"), start=3):
        page.get_by_label("Add a class").fill(name)
        page.get_by_label("Add a class").press("Enter")
        wait_for(page, lambda: len(projects.find(garden).classes), count)
        wait_for(page, lambda: len(late), 1)
    expect(section(page, "flies")).to_be_visible()
    [(route, answer)] = late
    assert "wasps" in answer.text()
    assert "flies" not in answer.text()
    with page.expect_event("requestfinished"):
        route.fulfill(response=answer)
    # What the page fetches later comes later, so by then it has dealt with that one.
    page.evaluate("fetch(location.href).then(answer => answer.text())")
    expect(section(page, "flies")).to_be_visible()


def test_a_project_is_renamed_and_deleted(projects, garden, visit):
    page = visit("/projects")
    page.get_by_role("button", name="Rename Garden").click()
    expect(page.locator("dialog[open] input:focus")).to_have_value("Garden")
    page.keyboard.press("Control+A")
    page.keyboard.type("Weeds")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Delete Weeds").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert projects.find(garden).title == "Weeds"
    page.get_by_role("button", name="Delete Weeds").click()
    follow(page.get_by_role("button", name="Delete for good"))
    expect(page.get_by_text("See it work first")).to_be_visible()
    assert projects.all() == []


# ------------------------------------------------------------------ ways to bring photos


def test_photos_selected_for_each_class(projects, garden, visit):
    page = visit(f"/projects/{garden}")
    for start, name in ((0, "ants"), (20, "bees")):
        section(page, name).get_by_label(f"Choose photos for {name}").set_input_files(
            files(*some(6, start=start))
        )
        wait_for_photos(page, name, 6)
    expect(page.locator("#uploads-count")).to_have_text("6 of 6 photos added.")
    assert counts(projects, garden) == {"ants": 6, "bees": 6}
    screenshot(page, "project")


def test_photos_selected_while_the_page_was_updated(projects, garden, visit):
    page = visit(f"/projects/{garden}")
    with page.expect_file_chooser() as chooser:
        section(page, "bees").get_by_text("Choose photos").click()
    section(page, "ants").get_by_label("Choose photos for ants").set_input_files(files(*some(1)))
    wait_for_photos(page, "ants", 1)
    chooser.value.set_files(files(*some(2, start=5)))
    wait_for_photos(page, "bees", 2)


def test_photos_selected_before_the_script_has_loaded(projects, garden, visit):
    page = visit(f"/projects/{garden}")
    with browser.held_back(page, "photos.js"):
        page.reload(wait_until="commit")
        page.get_by_label("Choose photos for ants").set_input_files(files(*some(2)))
        webcam = page.locator('[data-name="ants"] [data-camera]')
        for early in (webcam, page.locator("#erase")):  # that would not ask first
            expect(early).to_be_attached()
            expect(early).to_be_hidden()
    wait_for_photos(page, "ants", 2)
    expect(webcam).to_be_visible()


def test_photos_dropped_on_a_class(projects, garden, visit):
    page = visit(f"/projects/{garden}")
    dropped = transfer(page, *some(3))
    target = page.locator('[data-name="bees"]')
    target.dispatch_event("dragover", {"dataTransfer": dropped})
    expect(target).to_contain_class("hover")
    target.dispatch_event("drop", {"dataTransfer": dropped})
    wait_for_photos(page, "bees", 3)
    assert counts(projects, garden) == {"ants": 0, "bees": 3}


def test_a_photo_pasted_goes_to_the_class_with_the_focus(projects, garden, visit):
    page = visit(f"/projects/{garden}")
    paste = """transfer => document.activeElement.dispatchEvent(
        new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}))"""
    page.evaluate(paste, transfer(page, ("image.png", picture(1))))
    page.get_by_text("Choose a class first").wait_for()
    page.get_by_label("Choose photos for bees").focus()
    page.evaluate(paste, transfer(page, ("image.png", picture(1))))
    wait_for_photos(page, "bees", 1)


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n in range(4):
            kind = zipfile.ZIP_DEFLATED if n % 2 else zipfile.ZIP_STORED
            archive.writestr(
                f"pets/{'cat' if n < 3 else 'dög'}/{n}.png", picture(n, format="PNG"), kind
            )
        archive.writestr("__MACOSX/pets/._0.png", b"junk")
        archive.writestr("pets/.DS_Store", b"junk")
        archive.writestr("pets/cat/notes.txt", b"hello")
    return packed.getvalue()


def test_a_zip_becomes_a_project_and_other_files_are_listed(projects, visit):
    page = visit("/projects")
    page.set_input_files("#import-zip", files(("pets.zip", zipped())))
    page.get_by_role("link", name="Open the project").wait_for()
    page.get_by_text("1 file could not be added").click()
    expect(page.locator("#uploads-refused li")).to_contain_text(
        "notes.txt: This is plain text, not an image"
    )
    follow(page.get_by_role("link", name="Open the project"))
    wait_for_photos(page, "cat", 3)
    assert counts(projects, "pets") == {"cat": 3, "dög": 1}


def test_what_is_typed_stays_when_the_language_changes(visit):
    page = visit("/projects")
    page.get_by_label("Title").fill("Käfer")
    page.get_by_label("Any number, or none").check()
    follow(page.get_by_role("button", name="Deutsch"))
    expect(page.get_by_label("Titel")).to_have_value("Käfer")
    expect(page.locator("[type=radio][value=multi]")).to_be_checked()
    page.reload()
    expect(page.get_by_label("Titel")).to_have_value("")


def test_a_folder_becomes_a_project(projects, visit, tmp_path):
    for n in range(4):
        path = tmp_path / "pets" / ("cat" if n < 3 else "c:t") / "2025" / f"{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(n))
    page = visit("/projects")
    page.set_input_files("#import-folder", tmp_path / "pets")
    page.get_by_role("heading", name="pets").wait_for()
    assert counts(projects, "pets") == {"cat": 3, "c\uff1at": 1}


def test_a_zip_with_labels_of_coco_is_read_by_the_studio(projects, visit, address, tmp_path):
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(4)],
        "annotations": [{"image_id": n, "category_id": n % 2} for n in range(4)],
        "categories": [{"id": n, "name": "xy"[n]} for n in range(2)],
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n in range(3):
            archive.writestr(f"images/{n}.png", picture(n, format="PNG"))
        archive.writestr("annotations/all.json", json.dumps(content))
    page = visit("/projects")
    page.set_input_files("#import-zip", files(("drawn.zip", packed.getvalue())))
    notice = page.locator("#notice")
    expect(notice.get_by_role("listitem").first).to_contain_text("Not among the files. 3.png")
    follow(notice.get_by_role("link", name="Open the project"))
    wait_for_photos(page, "x", 2)
    assert counts(projects, "drawn") == {"x": 2, "y": 1}
    # A folder with such a file is not read by its folders, which would be wrong.
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "all.json").write_text(json.dumps(content))
    (tmp_path / "drawn" / "0.png").write_bytes(picture(0, format="PNG"))
    page.goto(f"{address}/projects")
    page.set_input_files("#import-folder", tmp_path / "drawn")
    expect(page.locator("#notice")).to_contain_text("all.json says what the photos show")
    # A table of other columns says nothing of them: it is not passed over, and nothing is made.
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("loose/0.png", picture(0, format="PNG"))
        archive.writestr("loose/list.csv", "file;class\n0.png;x\n")
    page.set_input_files("#import-zip", files(("loose.zip", packed.getvalue())))
    expect(page.locator("#notice")).to_contain_text("list.csv begins with “file;class”")
    expect(page.locator("#notice")).to_contain_text("if all of the photos are of one class, loose")
    assert [project.key for project in projects.all()] == ["drawn"]


def test_a_zip_selected_for_a_class_goes_into_it(projects, garden, visit, expected):
    page = visit(f"/projects/{garden}")
    page.get_by_label("Choose photos for ants").set_input_files(files(("pets.zip", zipped())))
    wait_for_photos(page, "ants", 4)
    # Where the project was removed in another tab, the page says so.
    projects.remove(garden)
    expected.append("404")
    page.get_by_label("Choose photos for ants").set_input_files(files(("pets.zip", zipped())))
    expect(page.locator("#notice")).to_contain_text("There is no project 'garden'")


def test_a_zip_dropped_beside_the_classes_adds_classes(projects, garden, visit):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n, folder in enumerate(("ANTS", "wasps", "wasps")):
            archive.writestr(f"{folder}/{n}.png", picture(n, format="PNG"))
    page = visit(f"/projects/{garden}")
    page.dispatch_event(
        "main", "drop", {"dataTransfer": transfer(page, ("x.zip", packed.getvalue()))}
    )
    wait_for_photos(page, "wasps", 2)
    wait_for_photos(page, "ants", 1)
    assert counts(projects, garden) == {"ants": 1, "bees": 0, "wasps": 2}


def test_a_burst_by_webcam(projects, garden, visit):
    page = visit(f"/projects/{garden}", permissions=["camera"])
    page.get_by_role("button", name="Webcam for bees").click()
    expect(page.locator("#shoot")).to_be_enabled()
    page.hover("#shoot")
    page.mouse.down()
    page.get_by_text(re.compile(r"^([3-9]|\d\d+) photos taken$")).wait_for()
    page.mouse.up()
    page.get_by_role("button", name="Done").click()
    page.locator('[data-name="bees"] .photo').nth(2).wait_for()
    assert counts(projects, garden)["bees"] >= 3


def test_a_missing_camera_is_reported(garden, visit):
    page = visit(f"/projects/{garden}")
    page.evaluate(
        """() => {
            const none = new DOMException("none", "NotFoundError");
            navigator.mediaDevices.getUserMedia = () => Promise.reject(none);
        }"""
    )
    page.get_by_role("button", name="Webcam for bees").click()
    page.get_by_role("alert").get_by_text("There is no camera.").wait_for()
    expect(page.locator("#shoot")).to_be_disabled()


# ------------------------------------------------------------------ when uploads go wrong


def test_uploads_to_a_busy_studio_are_repeated(projects, garden, visit, expected):
    expected.append("status of 503")
    page = visit(f"/projects/{garden}")
    answers = iter([True, True])

    def busy(route):
        if route.request.method == "POST" and next(answers, False):
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="busy")
        else:
            route.continue_()

    page.route("**/photos", busy)
    page.get_by_label("Choose photos for ants").set_input_files(files(*some(4)))
    wait_for_photos(page, "ants", 4)
    assert counts(projects, garden)["ants"] == 4


def test_uploads_resume_after_a_lost_connection(projects, garden, visit, expected):
    expected.append("net::ERR_FAILED")
    page = visit(f"/projects/{garden}")
    page.route("**/photos", lambda route: route.abort())
    page.get_by_label("Choose photos for ants").set_input_files(files(*some(5)))
    page.get_by_text("The studio does not answer. What arrived is kept.").wait_for()
    page.unroute("**/photos")
    page.get_by_role("button", name="Go on").click()
    wait_for_photos(page, "ants", 5)
    expect(page.locator("#uploads-count")).to_have_text("5 of 5 photos added.")


def test_stopping_keeps_uploaded_photos(projects, garden, visit):
    page = visit(f"/projects/{garden}")
    few = itertools.count()

    def take_four(route) -> None:
        if route.request.method != "POST" or next(few) < 4:
            route.continue_()

    page.route("**/photos", take_four)
    page.get_by_label("Choose photos for ants").set_input_files(files(*some(10)))
    count = page.locator("#uploads-count")
    expect(count).to_have_text("4 of 10 photos added.")
    page.get_by_role("button", name="Stop").click()
    expect(count).to_have_text("Stopped. 4 of 10 photos added.")
    page.unroute("**/photos")
    page.get_by_role("button", name="Go on").click()
    wait_for_photos(page, "ants", 10)
    assert counts(projects, garden)["ants"] == 10


# ------------------------------------------------------------------ choosing and deciding


@pytest.fixture
def sorted_wrongly(projects, garden) -> str:
    ants, bees = (label.id for label in projects.find(garden).classes)
    for n in range(6):
        projects.add(garden, f"{n}.jpg", picture(n), ants)
    projects.add(garden, "near copy.jpg", picture(0, size=(80, 107)), bees)
    return garden


def test_findings_are_shown_and_corrected(projects, sorted_wrongly, visit):
    page = visit(f"/projects/{sorted_wrongly}")
    expect(page.locator(".badge", has_text="in two classes")).to_have_count(2)
    page.get_by_text("under several classes").click()
    page.locator('.finding [title="near copy.jpg"]').get_by_role("checkbox").check()
    expect(page.locator("#chosen")).to_have_text("1 photo chosen")
    screenshot(page, "project-findings")
    page.get_by_role("button", name="Exclude").click()
    section(page, "Excluded").wait_for()
    expect(page.locator(".badge")).to_have_count(0)
    assert projects.find(sorted_wrongly).excluded == 1
    page.get_by_role("button", name="Undo the last change").click()
    page.locator(".badge").first.wait_for()
    assert projects.find(sorted_wrongly).excluded == 0


def test_photos_are_moved_by_keyboard(projects, sorted_wrongly, visit):
    page = visit(f"/projects/{sorted_wrongly}")
    boxes = section(page, "ants").locator(BOX)
    boxes.first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator("#chosen")).to_have_text("2 photos chosen")
    page.get_by_label("Class to move to").focus()
    page.keyboard.type("bees")
    page.get_by_role("button", name="Move", exact=True).focus()
    page.keyboard.press("Enter")
    wait_for_photos(page, "bees", 3)
    assert counts(projects, sorted_wrongly) == {"ants": 4, "bees": 3}
    expect(page.locator("#undo")).to_be_focused()
    page.keyboard.press("Enter")
    wait_for_photos(page, "ants", 6)


def test_many_photos_are_selected_at_once(sorted_wrongly, visit):
    page = visit(f"/projects/{sorted_wrongly}")
    boxes = section(page, "ants").locator(BOX)
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.locator("#chosen")).to_have_text("4 photos chosen")
    page.get_by_role("button", name="Choose none").click()
    expect(page.locator("#decide")).to_be_hidden()
    page.get_by_role("button", name="Choose all shown of ants").click()
    expect(page.locator("#chosen")).to_have_text("6 photos chosen")


def test_deleting_asks_for_confirmation(projects, sorted_wrongly, visit):
    page = visit(f"/projects/{sorted_wrongly}")
    section(page, "bees").locator(BOX).check()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#sure")).to_contain_text("Delete 1 photo?")
    page.keyboard.press("Escape")
    expect(page.locator("#sure")).to_be_hidden()
    assert projects.find(sorted_wrongly).photos == 7
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    wait_for_photos(page, "bees", 0)
    assert projects.find(sorted_wrongly).photos == 6


def test_text_input_is_kept_while_photos_arrive(garden, visit):
    page = visit(f"/projects/{garden}")
    page.get_by_label("Add a class").fill("wasp")
    page.get_by_label("Choose photos for ants").set_input_files(files(*some(3)))
    page.get_by_label("Add a class").focus()
    wait_for_photos(page, "ants", 3)
    expect(page.get_by_label("Add a class")).to_have_value("wasp")
    expect(page.get_by_label("Add a class")).to_be_focused()


def test_more_photos_are_shown_on_request(projects, garden, visit):
    ants = projects.find(garden).classes[0].id
    for n in range(30):
        projects.add(garden, f"{n}.jpg", picture(n, size=(8, 8)), ants)
    page = visit(f"/projects/{garden}")
    expect(section(page, "ants").locator(BOX)).to_have_count(24)
    page.get_by_role("link", name="Show more of ants").click()
    page.locator(".photo").nth(29).wait_for()
    expect(page.get_by_role("link", name="Show more of ants")).to_have_count(0)


# ------------------------------------------------------------------ teaching


def test_training_is_shown_to_its_end(projects, garden, visit):
    for label in projects.find(garden).classes:
        for n in range(6):
            projects.add(garden, f"{n}.jpg", picture(100 * label.id + n), label.id)
    page = visit(f"/projects/{garden}/teach")
    page.get_by_text("More", exact=True).click()
    for name in ("EfficientNetLite1", "EfficientNetLite2"):
        page.uncheck(f'[value="{name}"]')
    follow(page.get_by_role("button", name="Start"))
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    under_way = page.locator('#job [data-state="now"], #job[data-state="done"]').first
    under_way.wait_for(timeout=TEACHING_MS)
    screenshot(page, "teach-running")
    page.close()  # nothing depends on the page
    page = visit(f"/projects/{garden}/teach")
    page.wait_for_url(f"**/projects/{garden}/try", timeout=TEACHING_MS)
    expect(page.locator("main")).to_contain_text("This made version 1")
    page.goto(page.url.replace("/try", "/teach"))
    expect(page.locator("#job")).to_contain_text("This made version 1")
    expect(page.locator('[value="EfficientNetLite0"]')).to_be_checked()
    expect(page.locator('[value="EfficientNetLite1"]')).not_to_be_checked()
    screenshot(page, "teach-done")


# ------------------------------------------------------------------ everybody


def test_without_a_script(projects, visit):
    page = visit("/projects", java_script_enabled=False)
    page.get_by_label("Title", exact=True).fill("Garden")
    follow(page.get_by_role("button", name="Create"))
    for name in ("ants", "bees"):
        page.fill("#new-class", name)
        follow(page.locator("#add-class button"))
    page.set_input_files(
        '[data-name="ants"] [name="photo"]', files(*some(2), ("notes.txt", b"hello"))
    )
    screenshot(page, "project-no-script")
    follow(page.locator('[data-name="ants"]').get_by_role("button", name="Add"))
    expect(page.locator("#notice")).to_contain_text("notes.txt: This is plain text")
    assert counts(projects, "garden") == {"ants": 2, "bees": 0}
    page.locator('[data-name="ants"]').locator(BOX).first.check()
    page.select_option("#to", label="bees")
    follow(page.get_by_role("button", name="Move"))
    assert counts(projects, "garden") == {"ants": 1, "bees": 1}
    page.goto(page.url.split("/projects")[0] + "/projects/garden/teach")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    expect(page.locator("#reasons")).to_contain_text("too few photos to train on")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(projects, sorted_wrongly, visit, scheme):
    projects.rename(sorted_wrongly, "Supercalifragilisticexpialidocious " * 2)
    projects.add_class(
        sorted_wrongly, "a_class_with_quite_a_long_name_and_not_a_single_space_in_it"
    )
    for path in ("/projects", f"/projects/{sorted_wrongly}", f"/projects/{sorted_wrongly}/teach"):
        page = visit(path, color_scheme=scheme, **browser.PHONE)
        assert_no_overflow(page)
        if path.endswith(sorted_wrongly):
            section(page, "ants").locator(BOX).first.check()
            page.locator(".edit summary").first.click()
            assert_no_overflow(page)
        name = "-".join(["phone", scheme, *path.split("/")[2:]]).replace(sorted_wrongly, "project")
        screenshot(page, name)


def test_everything_has_a_name_for_screen_readers(sorted_wrongly, visit):
    for path in ("/projects", f"/projects/{sorted_wrongly}", f"/projects/{sorted_wrongly}/teach"):
        page = visit(path)
        tree = page.locator("body").aria_snapshot()
        unnamed = r"^\s*- (button|radio|checkbox|textbox|combobox|link|img)( \[.*\])?:?$"
        assert not re.search(unnamed, tree, re.MULTILINE), path
