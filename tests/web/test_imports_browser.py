"""Importing a model in a real Chromium: the upload, the question of its recipe, and its end."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import browser
from support import onnx_models
from support import studios
from support.browser import expect
from support.browser import follow
from support.bundles import write_with_metrics
from triptych import bundles

pytest.importorskip("onnx")
pytestmark = browser.MARKS

ENDED_MS = 120_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("imports")
    write_with_metrics(home, "base", "x", "y")
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with studios.bundle_studio(home) as address:
        yield address


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = onnx_models.write(tmp_path / "garden.onnx", producer="pytorch")
    with zipfile.ZipFile(tmp_path / "My garden.zip", "w") as archive:
        archive.write(network, "garden.onnx")
        archive.writestr("labels.txt", "ant\nbee\ncat\n")
    return tmp_path / "My garden.zip"


def upload(page, file: Path) -> None:
    page.set_input_files("[name=model]", file)
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_selector('#job:not([data-state="running"])', timeout=ENDED_MS)


def test_a_model_is_uploaded_its_recipe_asked_for_and_imported(visit, address, home, model):
    """On a phone, the same steps are looked at beside."""

    def look(name: str) -> None:
        phone = visit(page.url.removeprefix(address), **browser.PHONE)
        for each in (page, phone):
            expect(each.locator("h1")).to_have_text(page.locator("h1").inner_text())
            browser.assert_no_overflow(each)
            browser.screenshot(each, f"import-{name}-{each.viewport_size['width']}")

    page = visit("/bundles", viewport={"width": 1280, "height": 800})
    follow(page.get_by_role("link", name="Import a model"))
    look("form")
    upload(page, model)
    expect(page.locator("h1")).to_have_text("How were photos scaled?")
    choices = page.locator(".choice")
    expect(choices).to_have_count(5)
    expect(choices.first).to_contain_text("torch")
    look("question")

    page.get_by_text("0..1 (rescale=1/255)").click()
    page.get_by_role("button", name="Go on").click()
    page.wait_for_selector('#job[data-state="done"]', timeout=ENDED_MS)
    expect(page.locator("#job")).to_contain_text("Answers as onnxruntime does")
    look("done")
    bundle = bundles.find(home, "my-garden")
    assert bundle.about["members"][0]["recipe"]["scaling"] == "unit"
    assert [label.name for label in bundle.labels] == ["ant", "bee", "cat"]
    follow(page.get_by_role("link", name="Try a photo"))


def test_a_file_that_cannot_be_imported_is_explained(visit, tmp_path):
    page = visit("/imports")
    (tmp_path / "model.pt").write_bytes(b"\x80\x02}q\x00.")
    page.set_input_files("[name=model]", tmp_path / "model.pt")
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_selector('#job[data-state="failed"]', timeout=ENDED_MS)
    expect(page.get_by_role("alert")).to_contain_text("is a pickle, such as PyTorch saves")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    browser.assert_no_overflow(page)
    browser.screenshot(page, "import-failed")
