"""Signing in with a provider of another site, in a real Chromium: cookies stay with their site."""

from __future__ import annotations

import pytest

from support import browser
from support import oidc_provider
from support import studios
from support.browser import expect
from support.browser import follow
from support.bundles import write_garden

pytestmark = browser.MARKS


@pytest.fixture
def provider():
    with oidc_provider.running() as provider:
        provider.person = oidc_provider.Person("anna", {"name": "Anna", "groups": ["botany"]})
        provider.shows_page = True
        yield provider


@pytest.fixture
def address(provider, tmp_path):
    write_garden(tmp_path)
    options = {**provider.settings("teach:groups=botany"), "sso_label": "Our garden"}
    with studios.bundle_studio(tmp_path, **options) as address:
        yield address.replace("127.0.0.1", "localhost")  # another site than the provider's


def test_a_person_signs_in_with_the_provider_and_out(visit, expected):
    expected.append("401")
    page = visit("/projects")
    link = page.get_by_role("link", name="Sign in with Our garden")
    expect(link).to_be_visible()
    follow(link)
    expect(page).to_have_title("Provider")
    page.get_by_role("link", name="Go on as Anna").click()
    page.wait_for_url("**/projects")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Sign in")
    page.reload()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Sign in")
    follow(page.get_by_role("button", name="Sign out"))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    # The provider still knows the person, who is let in again without a password.
    follow(page.get_by_role("link", name="Sign in with Our garden"))
    page.get_by_role("link", name="Go on as Anna").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_person_signs_out_at_a_provider_that_offers_it(visit, expected, provider):
    expected.append("401")
    provider.shows_page, provider.ends_sessions = False, True
    page = visit("/projects")
    page.get_by_role("link", name="Sign in with Our garden").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out here and at Our garden.")).to_be_visible()
    assert provider.person is None
    page.get_by_role("link", name="Sign in with Our garden").click()
    expect(page.get_by_text("Our garden refused: access_denied.")).to_be_visible()
