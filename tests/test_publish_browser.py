"""Publishing in a real Chromium: versions, roll back, copying, the page to share.

Any error in the browser's console fails the test.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import browsing
import fake_bundles
from fake_studio import photo

api = pytest.importorskip("playwright.sync_api")
pytestmark = browsing.MARKS

# Copying asks for it; people give it by clicking.
CLIPBOARD = ["clipboard-read", "clipboard-write"]
WORDS = "Wasps and ants of one garden, in summer."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("publish")
    fake_bundles.teach(home, "base", "x", "y")
    fake_bundles.teach(home, "garden", "ant", "bee", top1=0.8)
    fake_bundles.teach(home, "garden", "wasp", "hornet", top1=0.9)
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with fake_bundles.running(home) as address:
        yield address


def verdict(page) -> str:
    page.set_input_files("#choose", browsing.files(("bug.png", photo())))
    page.click(".ask")
    page.wait_for_selector('#cards [data-state="answered"]')
    return page.inner_text('#cards [data-slot="label"]')


def publish(page):
    return page.get_by_role("button", name="Publish version 2")


def test_publish_roll_back_and_share(visit, address):
    page = visit("/bundles")
    page.click("text=garden")
    assert page.inner_text(".versions [data-active] th") == "2"
    browsing.screenshot(page, "publish")

    page.fill("[name=description]", WORDS)
    page.click("text=Keep the card")
    assert "The card is kept" in page.inner_text("#notice")
    page.click("text=Roll back to this")
    assert "Published" in page.inner_text("#notice")
    assert page.inner_text(".versions [data-active] th") == "1"

    with page.expect_navigation():
        page.click("text=Open the page to share")
    assert WORDS in page.inner_text(".about")
    assert verdict(page) in ("ant", "bee")
    assert browsing.has_no_overflow(page)
    browsing.screenshot(page, "share")

    page.goto(address + "/bundles/garden")
    with page.expect_navigation():
        page.get_by_role("link", name="Try version 2").click()
    assert verdict(page) in ("wasp", "hornet")

    page.goto(address + "/bundles/garden")
    page.click("text=Take offline")
    assert "Taken offline" in page.inner_text("#notice")
    assert page.locator("[data-copies]").count() == 0
    publish(page).click()
    assert page.inner_text(".versions [data-active] th") == "2"


def test_what_is_copied_asks_this_studio(visit, tmp_path):
    page = visit("/bundles/garden", permissions=CLIPBOARD)
    (tmp_path / "photo.jpg").write_bytes(photo())
    copied = []
    for button in page.locator("[data-copies]").all():
        button.click()
        api.expect(button).to_have_text("Copied")
        copied.append(page.evaluate("navigator.clipboard.readText()"))
    curl, elsewhere, _ = copied
    python = [sys.executable, "-c", elsewhere]
    for command in (shlex.split(curl.replace("curl ", "curl -s ")), python):
        ran = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ
        )
        assert "wasp" in ran.stdout or "hornet" in ran.stdout


def test_by_keyboard_only(visit):
    page = visit("/bundles/garden")
    page.focus("text=Roll back to this")
    page.keyboard.press("Enter")
    page.wait_for_selector(".versions [data-active] th:has-text('1')")
    page.focus("[name=contact]")
    page.keyboard.type("me@example.org")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The card is kept")
    assert page.input_value("[name=contact]") == "me@example.org"
    publish(page).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".versions [data-active] th:has-text('2')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_sticks_out(visit, address, scheme):
    page = visit("/c/garden", color_scheme=scheme, **browsing.PHONE)
    assert page.is_visible("text=Take a photo")
    assert page.get_attribute("#camera", "capture") == "environment"
    assert verdict(page) in ("wasp", "hornet")
    assert browsing.has_no_overflow(page)
    assert browsing.obstacles(page) == []
    browsing.screenshot(page, f"share-phone-{scheme}")
    for path, name in (("/bundles", "bundles"), ("/bundles/garden", "publish")):
        page.goto(address + path)
        assert browsing.has_no_overflow(page)
        assert browsing.obstacles(page) == []
        browsing.screenshot(page, f"{name}-phone-{scheme}")


def test_without_a_script_a_version_is_published(visit):
    page = visit("/bundles/garden", java_script_enabled=False)
    page.click("text=Roll back to this")
    assert page.inner_text(".versions [data-active] th") == "1"
    # What is hidden is so by a stylesheet, and a click does not wait for that.
    api.expect(page.locator("[data-copies]").first).to_be_hidden()
    publish(page).click()
    assert page.inner_text(".versions [data-active] th") == "2"
    page.click("text=Open the page to share")
    page.set_input_files("#choose", browsing.files(("bug.png", photo())))
    page.click(".ask")
    assert page.inner_text('#cards [data-slot="label"]') in ("wasp", "hornet")
