"""Publishing in a real Chromium: versions, roll back, copying, the page to share.

Any error in the browser's console fails the test.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import browser
from support import studios
from support.browser import expect
from support.browser import follow
from support.bundles import write_two_versions
from support.bundles import write_with_metrics
from support.images import squares

pytestmark = browser.MARKS

# Copying asks for it; people give it by clicking.
CLIPBOARD = ["clipboard-read", "clipboard-write"]
WORDS = "Wasps and ants of one garden, in summer."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("publish")
    write_two_versions(home)
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with studios.bundle_studio(home) as address:
        yield address


def verdict(page) -> str:
    page.set_input_files("#choose", browser.files(("bug.png", squares())))
    page.wait_for_selector('#cards [data-state="answered"]')
    return page.inner_text('#cards [data-slot="label"]')


def assert_active(page, version: int) -> None:
    expect(page.locator(".versions [data-active] th")).to_have_text(str(version))


def publish(page):
    return page.get_by_role("button", name="Publish version 2")


def test_publish_roll_back_and_share(visit, address):
    page = visit("/bundles")
    notice = page.locator("#notice")
    follow(page.locator("text=garden"))
    assert_active(page, 2)
    browser.screenshot(page, "publish")

    page.fill("[name=description]", WORDS)
    follow(page.locator("text=Save the card"))
    expect(notice).to_contain_text("The card is saved")
    follow(page.locator("text=Roll back to this"))
    expect(notice).to_contain_text("Published")
    assert_active(page, 1)

    follow(page.locator("text=Open the page to share"))
    expect(page.locator(".about")).to_contain_text(WORDS)
    assert verdict(page) in ("ant", "bee")
    browser.assert_no_overflow(page)
    browser.screenshot(page, "share")

    page.goto(address + "/bundles/garden")
    follow(page.get_by_role("link", name="Try version 2"))
    assert verdict(page) in ("wasp", "hornet")

    page.goto(address + "/bundles/garden")
    follow(page.locator("text=Take offline"))
    expect(notice).to_contain_text("Taken offline")
    expect(page.locator("[data-copies]")).to_have_count(0)
    follow(publish(page))
    assert_active(page, 2)


def test_the_copied_command_uses_this_studio(visit, tmp_path):
    page = visit("/bundles/garden", permissions=CLIPBOARD)
    (tmp_path / "photo.jpg").write_bytes(squares())
    page.clock.install()
    page.clock.pause_at("2100-01-01")  # what a button says goes by
    copied = []
    for button in page.locator("[data-copies]").all():
        button.click()
        expect(button).to_have_text("Copied")
        copied.append(page.evaluate("navigator.clipboard.readText()"))
        page.clock.run_for(2000)
        expect(button).to_have_text("Copy")
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
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert_active(page, 1)
    page.focus("[name=contact]")
    page.keyboard.type("me@example.org")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("The card is saved")
    expect(page.locator("[name=contact]")).to_have_value("me@example.org")
    publish(page).focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert_active(page, 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(visit, address, scheme):
    page = visit("/c/garden", color_scheme=scheme, **browser.PHONE)
    expect(page.locator("text=Take a photo")).to_be_visible()
    expect(page.locator("#camera")).to_have_attribute("capture", "environment")
    assert verdict(page) in ("wasp", "hornet")
    browser.assert_no_overflow(page)
    assert browser.obstacles(page) == []
    browser.screenshot(page, f"share-phone-{scheme}")
    for path, name in (("/bundles", "bundles"), ("/bundles/garden", "publish")):
        page.goto(address + path)
        browser.assert_no_overflow(page)
        assert browser.obstacles(page) == []
        browser.screenshot(page, f"{name}-phone-{scheme}")


def test_without_a_script_a_version_is_published(visit):
    page = visit("/bundles/garden", java_script_enabled=False)
    follow(page.locator("text=Roll back to this"))
    assert_active(page, 1)
    expect(page.locator("[data-copies]").first).to_be_hidden()
    follow(publish(page))
    assert_active(page, 2)
    follow(page.locator("text=Open the page to share"))
    page.set_input_files("#choose", browser.files(("bug.png", squares())))
    follow(page.locator(".ask"))
    assert page.inner_text('#cards [data-slot="label"]') in ("wasp", "hornet")


def test_the_first_key_and_a_link_for_guests(visit, tmp_path):
    write_with_metrics(tmp_path, "garden", "ant", "bee")
    with studios.bundle_studio(tmp_path) as address:
        page = visit(**browser.PHONE)
        page.goto(address + "/keys")
        page.fill("[name=name]", "Anna")
        follow(page.get_by_role("button", name="Make the key"))
        page.fill("[name=name]", "Guests of the fair")
        page.check("[value=ask]")
        page.select_option("[name=committee]", "garden")
        follow(page.get_by_role("button", name="Make the key"))
        browser.assert_no_overflow(page)
        assert browser.obstacles(page) == []
        browser.screenshot(page, "keys-phone")
        link = page.get_by_role("group", name="The link").inner_text()

        # The cookie is not sent with a request that a page of another site begins.
        guest = visit()
        site = f'<!doctype html><title>Fair</title><link rel="icon" href="data:,"><a href="{link}">'
        guest.route(
            "http://fair.example/",
            lambda route: route.fulfill(body=f"{site}go</a>", content_type="text/html"),
        )
        guest.goto("http://fair.example/")
        guest.get_by_text("go").click()
        guest.wait_for_url("**/c/garden")
        assert verdict(guest) in ("ant", "bee")
        guest.get_by_role("button", name="Live from the camera").click()
        expect(guest.locator('#live [data-slot="label"]')).to_have_text(re.compile("^(ant|bee)$"))
        expect(guest.get_by_role("link", name="Teach")).to_have_count(0)
        guest.close()  # it is live, and would go on to ask a studio that is closed
        page.close()
