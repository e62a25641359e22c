"""Exporting in a real Chromium: with a script and without, on a screen and on a phone."""

from __future__ import annotations

import contextlib
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support import browser
from support import studios
from support.browser import expect
from support.browser import follow
from support.bundles import write_two_versions
from triptych.studio import exports

pytestmark = browser.MARKS


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("exports")
    write_two_versions(home)
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with studios.bundle_studio(home) as address:
        yield address


def export(page, form: str) -> None:
    page.check(f"[name=format][value={form}]")
    page.select_option("form.export select[name=version]", "1")
    follow(page.get_by_role("button", name="Export", exact=True))


@contextlib.contextmanager
def halted(page) -> Iterator[None]:
    """The export that is under way stands still: it could end while its page is looked at."""

    def find() -> list[psutil.Process]:
        children = psutil.Process().children(recursive=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            return [each for each in children if exports.WORKER in each.cmdline()]
        return []

    browser.wait_for(page, lambda: len(find()), 1)
    (worker,) = find()
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was stopped for good
            worker.send_signal(signal.SIGCONT)


def test_an_export_is_followed_and_downloaded(visit, tmp_path):
    page = visit("/bundles/garden")
    export(page, "openvino")
    job = page.locator("#export-job")
    expect(job.locator("[data-slot=title]")).to_have_text("Exported: version 1 as openvino, f32")
    expect(job).to_contain_text("all verdicts the same")
    browser.assert_no_overflow(page)
    assert browser.obstacles(page) == []
    browser.screenshot(page, "export")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the zip").click()
    download.value.save_as(tmp_path / "garden.zip")
    with zipfile.ZipFile(tmp_path / "garden.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode().split() == ["ant", "bee"]
    follow(page.get_by_role("button", name="Remove garden-1-openvino.zip"))
    expect(page.locator(".exported")).to_have_count(0)


def test_on_a_phone_an_export_is_stopped(visit):
    page = visit("/bundles/garden", **browser.PHONE)
    export(page, "litert")  # takes seconds
    with halted(page):
        browser.assert_no_overflow(page)
        assert browser.obstacles(page) == []
        browser.screenshot(page, "export-phone-running")
        follow(page.get_by_role("button", name="Stop"))
    title = page.locator("#export-job [data-slot=title]")
    expect(title).to_have_text("Stopped: version 1 as litert, f32")
    browser.screenshot(page, "export-phone")
    assert page.locator(".exported").count() == 0


def test_without_a_script_an_export_is_made(visit):
    page = visit("/bundles/garden", java_script_enabled=False)
    export(page, "openvino")
    title = page.locator("#export-job [data-slot=title]")
    expect(title).to_have_text("Exported: version 1 as openvino, f32")  # the page loads itself anew
    with page.expect_download() as download:
        page.get_by_role("link", name="Download garden-1-openvino.zip").click()
    assert download.value.suggested_filename == "garden-1-openvino.zip"
