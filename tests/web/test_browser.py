"""The classify page in a real Chromium, with JavaScript and without.

Any error in the browser's console fails the test, unless the test says that it is expected.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from support import browser
from support import studios
from support.browser import assert_no_overflow
from support.browser import expect
from support.browser import files
from support.browser import follow
from support.browser import obstacles
from support.browser import screenshot
from support.browser import transfer
from support.browser import wait_for
from support.images import plain_image
from support.images import squares

LONG_NAME = "a_very_long_name_without_a_single_space_in_it_" * 3 + "final_FINAL2.png"
CLASSIFY = "**/api/v1/classify?*"
BAD_PHOTO = "status of 415"
MEMBERS = ["EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"]

pytestmark = [*browser.MARKS, pytest.mark.slow]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with studios.fake_studio(seconds_per_run=0.03) as (_, address):
        yield address


def ask(page) -> None:
    """Wait for the answers to photos, which are asked for at once, or again with other options."""
    if page.locator(".go").is_visible():
        page.click(".ask")
    expect(page.locator("#cards article").first).to_be_attached()
    expect(page.locator('#cards [data-state="waiting"]')).to_have_count(0)
    expect(page.locator("#progress")).to_be_hidden()


def select(page, **options: str) -> None:
    """Select some of the options, which are folded up."""
    if not page.evaluate("document.getElementById('options').open"):
        page.click("#options > summary")
    for name, value in options.items():
        page.check(f'[name="{name}"][value="{value}"]')


def texts(page, selector: str) -> list[str]:
    return page.locator(f"#cards {selector}").all_inner_texts()


# ------------------------------------------------------------------ ways to bring a photo


def test_photos_selected_by_the_button(visit):
    page = visit()
    page.set_input_files("#choose", files(("cat.png", squares(1)), ("dog.png", squares(2))))
    ask(page)
    assert texts(page, "figcaption") == ["cat.png", "dog.png"]
    assert texts(page, ".panel h4") == MEMBERS * 2
    for seed, verdict in zip((1, 2), texts(page, ".plate"), strict=True):
        expected = studios.fake_classifier("lite").classify(squares(seed))
        assert expected.label.name in verdict
        assert f"{100 * expected.prob:.1f}\xa0%" in verdict
        assert f"mean of 3 networks; surest was {expected.surest}" in verdict
    assert page.inner_text("#news").count("cat.png: ") == 1
    screenshot(page, "two-photos")
    # Also before the script has loaded.
    with browser.held_back(page, "studio.js"):
        page.reload(wait_until="commit")
        page.set_input_files("#choose", files(("cat.png", squares(1))))
    page.wait_for_selector("html.js")
    ask(page)
    assert texts(page, "figcaption") == ["cat.png"]


def test_photos_dropped_anywhere_or_pasted_stay_in_another_language(visit):
    page = visit()
    dropped = transfer(page, ("cat.png", squares(1)), ("dog.png", squares(2)))
    page.dispatch_event("main", "dragover", {"dataTransfer": dropped})
    expect(page.locator("#ask")).to_contain_class("hover")
    page.dispatch_event("main", "drop", {"dataTransfer": dropped})
    expect(page.locator("#ask")).not_to_contain_class("hover")
    ask(page)
    assert texts(page, "figcaption") == ["cat.png", "dog.png"]
    page.evaluate(
        """transfer => document.dispatchEvent(
            new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}))""",
        transfer(page, ("image.png", squares(3))),
    )
    ask(page)
    assert texts(page, "figcaption") == ["image.png", "cat.png", "dog.png"]
    # In another language they are classified anew, and nothing of them stays in the browser.
    follow(page.get_by_role("button", name="Deutsch"))
    ask(page)
    assert texts(page, "figcaption") == ["image.png", "cat.png", "dog.png"]
    assert "Netze" in texts(page, ".plate")[0]
    wait_for(page, lambda: page.evaluate("indexedDB.databases()"), [])


def test_the_form_without_a_script(visit):
    plain = visit(java_script_enabled=False)
    plain.set_input_files("#choose", files(("cat.png", squares(1)), ("dog.png", squares(2))))
    select(plain, rule="max")
    screenshot(plain, "no-script")
    follow(plain.locator(".ask"))
    screenshot(plain, "no-script-answered")

    scripted = visit()
    scripted.set_input_files("#choose", files(("cat.png", squares(1)), ("dog.png", squares(2))))
    select(scripted, rule="max")
    ask(scripted)
    for part in (".plate", ".panel h4", ".guesses", "figcaption"):
        assert texts(plain, part) == texts(scripted, part)
    bars = "[...document.querySelectorAll('#cards rect')].map(bar => bar.getAttribute('width'))"
    assert plain.evaluate(bars) == scripted.evaluate(bars)


# ------------------------------------------------------------------ asking


def test_photos_that_come_later_lie_above_the_earlier_ones(visit):
    page = visit()
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    page.set_input_files("#choose", files(("dog.png", squares(2)), ("ant.png", squares(3))))
    ask(page)
    assert texts(page, "figcaption") == ["dog.png", "ant.png", "cat.png"]
    select(page, rule="max")
    expect(page.locator(".ask")).to_have_text("Ask again about 3 photos")
    ask(page)
    assert texts(page, "figcaption") == ["dog.png", "ant.png", "cat.png"]
    assert ["max of 3" in verdict for verdict in texts(page, ".plate")] == [True] * 3
    expect(page.locator(".go")).to_be_hidden()


def test_a_drawing_for_who_has_no_photo_at_hand(visit):
    page = visit()
    page.get_by_role("button", name="umbrella").click()
    ask(page)
    assert texts(page, "figcaption") == ["umbrella.jpg"]


def test_the_options_are_kept_for_the_next_time(visit):
    page = visit()
    expect(page.locator("#present")).to_have_text("lite, the whole committee, mean")
    expect(page.locator('[name="rule"]').first).to_be_hidden()
    select(page, members=MEMBERS[1], rule="vote")
    page.select_option('[name="coverage"]', label="99 times in 100")
    page.reload()
    expect(page.locator("#present")).to_have_text(f"lite, {MEMBERS[1]}, vote")
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    ask(page)
    assert texts(page, ".panel h4") == [MEMBERS[1]]
    assert page.input_value('[name="coverage"]') == "0.99"
    # What a link says counts more, and what is not on offer any more is not selected.
    page.goto(page.url.partition("#")[0] + "?rule=max")
    expect(page.locator("#present")).to_have_text("lite, the whole committee, max")
    for damage in ('{"committee": "gone", "rule": "max"}', "{", "[]", "null", '{"rule": 3}'):
        page.evaluate("text => localStorage.setItem('triptych: options', text)", damage)
        page.goto(page.url.partition("?")[0])
        expect(page.locator("#present")).to_have_text("lite, the whole committee, mean")


def test_photo_and_verdict_fit_the_screen_of_a_phone(visit):
    page = visit(**browser.PHONE, reduced_motion="reduce")
    page.set_input_files("#choose", files(("cat.png", squares(1, size=(900, 600)))))
    ask(page)

    def is_seen() -> bool:
        photo = page.locator("#cards [data-slot=photo]").bounding_box()
        verdict = page.locator("#cards .plate .prob").bounding_box()
        height = page.evaluate("innerHeight")
        return photo["y"] >= 0 and verdict["y"] + verdict["height"] <= height

    wait_for(page, is_seen, True)
    screenshot(page, "phone-answered")


def test_one_bad_file_among_three(visit, expected):
    expected.append(BAD_PHOTO)
    page = visit()
    page.set_input_files(
        "#choose", files(("cat.png", squares(1)), (LONG_NAME, b"hello"), ("dog.png", squares(2)))
    )
    ask(page)
    states = page.eval_on_selector_all("#cards article", "all => all.map(a => a.dataset.state)")
    assert states == ["answered", "failed", "answered"]
    assert "Not answered" in texts(page, ".plate")[1]
    assert "not an image" in texts(page, ".plate")[1]
    assert_no_overflow(page)
    screenshot(page, "one-bad")


def test_one_member_alone(visit):
    page = visit()
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    select(page, committee="classic")
    expect(page.locator('[name="members"]:visible')).to_have_count(4)
    select(page, members="VGG16")
    ask(page)
    assert texts(page, ".panel h4") == ["VGG16"]
    assert "VGG16 alone" in texts(page, ".plate")[0]
    screenshot(page, "one-member")
    select(page, committee="lite")
    expect(page.locator('[name="members"][value=""]')).to_be_checked()


def test_the_same_photo_under_another_rule(visit):
    page = visit()
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    ask(page)
    select(page, rule="vote")
    ask(page)
    assert len(texts(page, ".plate")) == 1
    assert "vote of 3 networks" in texts(page, ".plate")[0]


def test_cancelling_keeps_what_was_answered(visit):
    page = visit()
    few = itertools.count()

    def answer_one(route) -> None:
        if next(few) == 0:
            route.continue_()

    page.route(CLASSIFY, answer_one)
    page.set_input_files("#choose", files(*((f"{n}.png", squares(n)) for n in range(3))))
    page.wait_for_selector('#cards [data-state="answered"]')
    page.click("#cancel")
    expect(page.locator("#progress")).to_be_hidden()
    verdicts = texts(page, ".plate")
    assert ["You cancelled" in each for each in verdicts] == [False, True, True]


def test_a_lost_connection_is_reported(visit, expected):
    expected.append("net::ERR_FAILED")
    page = visit()
    page.route("**/api/**", lambda route: route.abort())
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    ask(page)
    assert "The studio did not answer. Is it still running?" in texts(page, ".plate")[0]


def test_copying_the_json_and_the_command(visit, address):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    select(page, rule="max")
    ask(page)
    page.click("text=Copy as JSON")
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText().then(JSON.parse)")
    assert copied["verdict"]["rule"] == "max"
    page.click("text=The same from a terminal")
    url = f'"{address}/api/v1/classify?committee=lite&rule=max"'
    expect(page.locator("#curl")).to_contain_text(url)


def test_by_keyboard_only(visit):
    page = visit()

    def reach(selector: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"the Tab key does not reach {selector}")

    # Expected before the keys that lead there: the browser is told to hand choosers over without
    # being waited for, and where Space came first, the test waited for ever.
    with page.expect_file_chooser() as chooser:
        reach("#choose")
        page.keyboard.press("Space")
    chooser.value.set_files(files(("cat.png", squares(1)), ("dog.png", squares(2))))
    ask(page)
    reach("#options > summary")
    page.keyboard.press("Enter")
    reach('[name="rule"]')
    page.keyboard.press("ArrowDown")
    reach(".ask")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    ask(page)
    assert "weighted of 3 networks" in texts(page, ".plate")[0]


# ------------------------------------------------------------------ doubt


SHADES = ("SURE", "TWO_ASKED", "MANY_CLASSES", "NONE_OF_THESE")
NETWORK_DOWN = "net::ERR_FAILED"


def doubted(visit, rule: str = "cascade", committee: str = studios.GARDEN, **options):
    """The page with a photo of each status, for a fitted committee."""
    page = visit(**options)
    page.set_input_files(
        "#choose",
        files(*((f"{n}.png", plain_image(getattr(studios, n))) for n in SHADES)),
    )
    select(page, committee=committee)
    select(page, rule=rule)
    return page


def test_confidence_is_shown_alike_with_a_script_and_without(visit):
    plain = doubted(visit, java_script_enabled=False)
    follow(plain.locator(".ask"))
    scripted = doubted(visit)
    ask(scripted)
    for part in (".plate", ".panel h4", ".guesses", ".skipped", ".why[data-slot]"):
        assert texts(plain, part) == texts(scripted, part)
    seals = (
        "[...document.querySelectorAll('#cards .seal')].map(s => s.querySelectorAll('*').length)"
    )
    assert plain.evaluate(seals) == scripted.evaluate(seals) == [2, 2, 2, 1]
    advice = "The rule weighted runs every network."
    assert [advice in text for text in texts(plain, "[data-skipped]")] == [True] * 3
    assert [advice in text for text in texts(scripted, "[data-skipped]")] == [False] * 3
    expect(plain.locator(".plain[data-slot=ask]:visible")).to_have_count(0)
    expect(scripted.locator(".plain[data-slot=ask]:visible")).to_have_count(3)
    screenshot(scripted, "doubt")


def test_a_missing_promise_is_explained_with_a_script_and_without(visit):
    plain = doubted(visit, committee=studios.NURSERY, java_script_enabled=False)
    follow(plain.locator(".ask"))
    scripted = doubted(visit, committee=studios.NURSERY)
    ask(scripted)
    assert texts(plain, ".plate") == texts(scripted, ".plate")
    reason = "Nothing promised yet. Only 23 photos were answered while learning"
    assert [reason in text for text in texts(scripted, ".plate")] == [True, True, True, False]


def test_a_skipped_member_is_run_on_request(visit):
    page = doubted(visit)
    ask(page)
    before = texts(page, ".triptych")
    select(page, rule="max")  # what is chosen for the next question is no matter
    page.focus('[aria-label="Ask EfficientNetLite1 about SURE.png"]')
    page.keyboard.press("Enter")
    page.get_by_text("weighted of 3 networks").wait_for()
    after = texts(page, ".triptych")
    assert after[1:] == before[1:]
    assert "daisy" in after[0]
    assert "not needed" not in after[0]
    assert texts(page, ".panel h4")[:3] == MEMBERS
    assert page.evaluate("document.activeElement.querySelector('h4').textContent") == MEMBERS[1]
    assert page.inner_text("#news").count("SURE.png: daisy") == 2


def test_a_verdict_stays_when_running_a_skipped_member_fails(visit, expected):
    expected.append(NETWORK_DOWN)
    page = doubted(visit)
    ask(page)
    verdict = texts(page, ".plate")[0]
    page.route("**/api/**", lambda route: route.abort())
    page.click('[aria-label="Ask EfficientNetLite2 about SURE.png"]')
    page.get_by_text("The studio did not answer.").first.wait_for()
    assert texts(page, ".plate")[0] == verdict
    page.unroute("**/api/**")
    page.click('[aria-label="Ask EfficientNetLite2 about SURE.png"]')
    page.get_by_text("weighted of 3 networks").wait_for()


def test_the_coverage_can_be_selected(visit):
    page = doubted(visit, "weighted")
    select(page)
    page.select_option('[name="coverage"]', label="99 times in 100")
    ask(page)
    sets = texts(page, ".set")
    assert sets[0] == sets[3] == ""
    assert "one of: daisy, tulip, poppy" in sets[1]
    assert "contains the true class 99 times in 100" in sets[1]
    rest = page.locator("#cards .rest p")
    expect(rest).to_be_hidden()
    page.click("#cards .rest summary")
    expect(rest).to_be_visible()


# ------------------------------------------------------------------ why


PHOTO = '[data-slot="photo"]'


def explain(page, name: str, description: str) -> None:
    """Press a button by its name, and wait for the message and the map."""
    page.get_by_role("button", name=name).click()
    expect(page.locator("#cards .heat-map")).to_contain_text(description)
    expect(page.locator("#cards .heat")).to_be_visible()


def assert_heat_lies_on_photo(page) -> None:
    def apart() -> list[float]:
        one, other = (page.locator(f"#cards {s}").bounding_box() for s in (PHOTO, ".heat"))
        return [side for side in one if abs(one[side] - other[side]) > 1]

    wait_for(page, apart, [])


def test_a_heat_map_of_a_member_and_of_the_verdict(visit):
    page = visit()
    page.set_input_files("#choose", files(("cat.png", squares(1, size=(300, 400)))))
    ask(page)
    verdict = studios.fake_classifier("lite").classify(squares(1, size=(300, 400)))
    label = verdict.members[1].top[0].label.name
    to_member = f"Evidence for {label} according to EfficientNetLite1"
    explain(page, f"Why? {to_member}", f"{to_member}, by occlusion: most is ")
    cropped = "What is outside of the frame was cropped off."
    expect(page.locator("#cards .heat-map")).to_contain_text(cropped)
    label = verdict.label.name
    to_all = f"Evidence for {label} according to the committee"
    explain(page, f"Why this verdict? Evidence for {label}", f"{to_all}, by occlusion: most is ")
    heat = page.locator("#cards .heat:visible")
    expect(page.locator('#cards [aria-pressed="true"]')).to_have_count(1)
    alt = re.compile(re.escape(f"Heat map: most of the evidence for {label} is "))
    expect(heat).to_have_attribute("alt", alt)
    assert_heat_lies_on_photo(page)
    screenshot(page, "why")
    assert obstacles(page) == []
    page.emulate_media(color_scheme="dark")
    assert obstacles(page, "color-contrast") == []
    screenshot(page, "why-dark")
    page.get_by_role("button", name="Hide").click()
    expect(heat).to_have_count(0)
    expect(page.get_by_role("button", name="Why this verdict?")).to_be_focused()


def test_a_heat_map_by_keyboard(visit):
    page = visit()
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    ask(page)
    page.focus("#cards [data-slot=why-verdict]")
    page.keyboard.press("Space")
    page.wait_for_selector("#cards .heat:visible")
    reach_backwards = page.locator('#cards [data-slot="strength"]')
    for _ in range(5):
        page.keyboard.press("Shift+Tab")
        if reach_backwards.evaluate("e => e === document.activeElement"):
            break
    page.keyboard.press("Home")
    expect(page.locator("#cards .heat")).to_have_css("opacity", "0")
    page.keyboard.press("End")
    expect(page.locator("#cards .heat")).to_have_css("opacity", "1")
    page.focus("#cards [data-slot=why-verdict]")
    page.keyboard.press("Enter")
    expect(page.locator("#cards .heat:visible")).to_have_count(0)


def test_a_failed_heat_map_is_reported(visit, expected):
    expected.append(NETWORK_DOWN)
    page = visit()
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    ask(page)
    page.route("**/api/v1/explain*", lambda route: route.abort())
    page.click("#cards [data-slot=why-verdict]")
    page.get_by_text("The studio did not answer. Is it still running?").wait_for()
    expect(page.locator("#cards .heat:visible")).to_have_count(0)


def test_a_heat_map_on_a_phone_of_a_photo_that_is_taller_than_wide(visit):
    page = visit(viewport={"width": 390, "height": 780}, is_mobile=True, has_touch=True)
    page.set_input_files("#choose", files(("cat.png", squares(1, size=(1200, 500)))))
    ask(page)
    page.click("#cards [data-slot=why-verdict]")
    page.wait_for_selector("#cards .heat:visible")
    assert_heat_lies_on_photo(page)
    assert page.locator(f"#cards {PHOTO}").bounding_box()["height"] <= 512
    assert_no_overflow(page)
    screenshot(page, "why-phone")


def test_similar_training_photos_are_listed(visit):
    page = doubted(visit, "weighted")
    ask(page)
    named = texts(page, ".similar li")
    assert len(named) == 4 * 6
    assert set(named) <= set(studios.FLOWERS)
    # The studio has none of them: no broken picture, and no error in the console.
    page.wait_for_selector("#cards .likes img", state="detached")
    select(page, committee="lite")
    ask(page)
    expect(page.locator(".similar:visible")).to_have_count(0)


# ------------------------------------------------------------------ how it looks


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone(visit, expected, width):
    expected.append(BAD_PHOTO)
    page = visit(viewport={"width": width, "height": 780}, is_mobile=True, has_touch=True)
    expect(page.locator("text=Take a photo")).to_be_visible()
    assert_no_overflow(page)
    page.set_input_files(
        "#choose", files((LONG_NAME, squares(1, size=(400, 300))), ("notes.txt", b"hello"))
    )
    assert_no_overflow(page)
    select(page)
    page.click("text=The same from a terminal")
    ask(page)
    assert_no_overflow(page)
    screenshot(page, f"phone-{width}")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it, of ``#rrggbb``."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(visit, scheme):
    page = visit(color_scheme=scheme)
    page.set_input_files("#choose", files(("cat.png", squares(1, size=(300, 400)))))
    ask(page)
    screenshot(page, scheme)
    style = "getComputedStyle(document.documentElement)"
    names = ("wall", "plate", "mat", "wash", "ink", "quiet", "accent", "alarm", "on-accent")
    colour = {name: page.evaluate(f"{style}.getPropertyValue('--{name}')") for name in names}
    assert (luminance(colour["wall"]) < 0.2) == (scheme == "dark")
    assert contrast(colour["on-accent"], colour["accent"]) >= 4.5
    for ground in ("wall", "plate", "mat"):
        for text in ("ink", "quiet", "accent", "alarm"):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)


def test_reduced_motion_ends_every_animation(visit):
    page = visit(reduced_motion="reduce")
    page.set_input_files("#choose", files(("cat.png", squares(1))))
    ask(page)
    wait_for(page, lambda: page.evaluate("document.getAnimations().length"), 0)


def test_confidence_on_a_phone(visit):
    page = doubted(visit, viewport={"width": 320, "height": 780}, is_mobile=True, has_touch=True)
    ask(page)
    assert_no_overflow(page)
    page.click("#cards .rest summary")
    assert_no_overflow(page)
    screenshot(page, "doubt-phone")


@pytest.mark.parametrize("committee", ["lite", "garden"])
def test_everything_has_a_name_for_screen_readers(visit, committee):
    page = doubted(visit)
    select(page, committee=committee)
    ask(page)
    tree = page.locator("body").aria_snapshot()
    assert not re.search(r"^\s*- (button|radio|textbox|img)( \[.*\])?:?$", tree, re.MULTILINE)
    assert 'group "Committee"' in tree
    levels = page.eval_on_selector_all(
        "h1, h2, h3, h4", "all => all.filter(h => h.checkVisibility()).map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


# ------------------------------------------------------------------ weights


def test_fetching_weights_and_what_went_wrong(visit, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # nothing is there
    with studios.studio_without_weights(weights_source=tmp_path / "gone") as address:
        page = visit(**browser.PHONE)
        page.goto(address)
        select(page)
        page.get_by_role("button", name="Fetch ResNet50, VGG16, Xception (").click()
        expect(page.locator(".fetch")).to_contain_text("gone")
        expect(page.locator(".fetch")).to_contain_text("does not exist")
        expect(page.get_by_role("button", name="Fetch ResNet50")).to_be_visible()
        assert_no_overflow(page)
        page.close()  # before its studio, which it may ask again


# ------------------------------------------------------------------ a studio with a key


def test_signing_in_and_out(visit, expected, monkeypatch):
    expected.append("status of 401")
    monkeypatch.setenv("TRIPTYCH_API_KEY", "open sesame")
    with studios.fake_studio() as (_, locked):
        page = visit(viewport={"width": 375, "height": 720})
        page.goto(locked)
        expect(page.get_by_label("Key")).to_be_focused()
        page.keyboard.type("sesame")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("This is not a key")
        assert_no_overflow(page)
        screenshot(page, "sign-in-phone")
        page.get_by_label("Key").fill("open sesame")
        follow(page.get_by_role("button", name="Enter"))
        page.set_input_files("#choose", files(("cat.png", squares(1))))
        ask(page)
        assert texts(page, "figcaption") == ["cat.png"]
        expect(page.locator("#curl")).to_contain_text('-H "X-API-Key: $TRIPTYCH_API_KEY"')
        follow(page.get_by_role("button", name="Sign out"))
        expect(page.get_by_label("Key")).to_be_visible()
        page.close()
