"""Live answers in a real Chromium, from cameras that show a drawn video or a test picture."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import browser
from support import studios
from support.browser import assert_no_overflow
from support.browser import expect
from support.browser import obstacles
from support.browser import screenshot
from support.browser import wait_for

# Means this machine, as Chromium is started.
NAME = "photos.example"
CLASSIFY = "**/api/v1/classify?*"
GARDEN = "[name=committee][value=garden]"
FRAMES_EACH, FRAMES_A_SECOND = 12, 5

pytestmark = [*browser.MARKS, pytest.mark.slow]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    options = {"seconds_per_run": 0.01, "allowed_hosts": NAME, "log_format": "off"}
    with studios.fake_studio(**options) as (_, address):
        yield address


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video in YUV4MPEG2 of two colours in turns: one that the garden is sure of, and one that
    it takes for none of its classes."""
    path = tmp_path_factory.mktemp("video") / "colours.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W320 H240 F%d:1 Ip A1:1 C420jpeg\n" % FRAMES_A_SECOND)
        for colour in (studios.SURE, studios.NONE_OF_THESE):
            planes = np.asarray(Image.new("RGB", (320, 240), colour).convert("YCbCr"))
            luma, chroma = planes[..., :1], planes[::2, ::2, 1:]
            frame = b"".join(part.tobytes() for part in (luma, chroma[..., 0], chroma[..., 1]))
            file.write((b"FRAME\n" + frame) * FRAMES_EACH)
    return path


def go_live(page) -> None:
    page.get_by_role("button", name="Live from the camera").click()


def part(page, name: str):
    return page.locator(f'#live [data-slot="{name}"]')


def open_garden(visit, **options):
    """The page of a committee whose answers depend on the colour only."""
    page = visit(**options)
    page.click("#options > summary")
    page.check("[name=committee][value=garden]")
    return page


class Frames:
    """Counts the frames of a page, and answers some of them in the studio's place.

    Args:
        page: The page.
    """

    def __init__(self, page) -> None:
        self.count = 0
        self.most_at_once = 0
        self.rules: list[str] = []
        self.refusals: list[dict] = []
        self._held: list | None = None
        self._under_way: set[object] = set()
        page.route(CLASSIFY, self._take)
        for end in ("requestfinished", "requestfailed"):
            page.on(end, lambda request: self._under_way.discard(request))

    def _take(self, route) -> None:
        self.count += 1
        self._under_way.add(route.request)
        self.most_at_once = max(self.most_at_once, len(self._under_way))
        self.rules.append(re.search("rule=([a-z]+)", route.request.url)[1])
        if self.refusals:
            route.fulfill(**self.refusals.pop(0))
        elif self._held is not None:
            self._held.append(route)
        else:
            route.continue_()

    @contextlib.contextmanager
    def held_back(self, *refusals: dict) -> Iterator[None]:
        """Within it, frames are refused, and then unanswered: what the page says of it stays."""
        self.refusals, self._held = [*refusals], []
        yield
        for route in self._held:
            route.continue_()
        self._held = None


def refusal(status: int, message: str, **headers: str) -> dict:
    """An answer of the API that refuses."""
    error = {"error": {"code": "refused", "message": message}}
    return {"status": status, "json": error, "headers": headers}


class TestNoCamera:
    """Chromium as it is without a camera."""

    @pytest.fixture
    def browser(self):
        return browser.with_cameras(0)

    def test_a_missing_camera_is_told(self, visit):
        page = open_garden(visit)
        go_live(page)
        expect(page.get_by_role("alert")).to_contain_text("There is no camera.")


class TestRefusal:
    """Chromium as it is where the person refuses the camera."""

    @pytest.fixture
    def browser(self):
        return browser.with_cameras(1, answer="deny")

    def test_a_refusal_is_told(self, visit):
        page = open_garden(visit)
        go_live(page)
        expect(page.get_by_role("alert")).to_contain_text("not allowed to use the camera")


class TestVideo:
    """A camera before which the colours change."""

    @pytest.fixture
    def browser(self, video):
        return browser.with_cameras(1, video)

    def test_answers_change_as_the_video_does(self, visit):
        page = open_garden(visit)
        frames = Frames(page)
        go_live(page)
        for text in ("daisy", "None of these", "daisy"):
            expect(part(page, "label")).to_have_text(text)
        expect(part(page, "status")).to_have_text("Sure: answers this probable are rarely wrong.")
        expect(part(page, "how")).to_have_text("The mean of 5 frames, 1 of 3 networks")
        screenshot(page, "live")
        assert frames.most_at_once == 1
        # The first shows that the committee answers one class.
        assert frames.rules[0] == "mean"
        assert set(frames.rules[1:]) == {"cascade"}
        expect(part(page, "switch")).to_be_hidden()

        page.get_by_role("button", name="Take this photo").click()
        expect(page.locator("#live")).to_be_hidden()
        expect(page.locator('#cards [data-state="answered"] figcaption')).to_contain_text("webcam")
        assert page.evaluate("document.querySelector('#live video').srcObject") is None


# ------------------------------------------------------------------ several frames together

RECENT = """async (verdicts) => {
    const { Recent } = await import("/static/live.js");
    const recent = new Recent();
    return verdicts.map((verdict) => recent.add(verdict));
}"""


def verdict(status: str | None = "sure", labels: list[str] | None = None, **probs: float) -> dict:
    top = [{"label": name, "prob": prob} for name, prob in probs.items()]
    several = {} if labels is None else {"labels": [{"label": name} for name in labels]}
    return {"status": status, "label": top[0]["label"], "top": top, **several}


def test_what_several_frames_say_together(visit):
    page = visit()

    def say(*verdicts: dict) -> list[tuple]:
        said = page.evaluate(RECENT, list(verdicts))
        return [(each["names"], each["kind"], each["prob"]) for each in said]

    bee, wasp = verdict(bee=0.9, wasp=0.1), verdict(wasp=0.7, bee=0.3)
    # The mean of the frames; not sure while they differ. Two in a row are another thing.
    assert say(bee, bee, wasp, wasp) == [
        (["bee"], "sure", 0.9),
        (["bee"], "sure", 0.9),
        (["bee"], "unsure", pytest.approx(0.7)),
        (["wasp"], "sure", pytest.approx(0.7)),
    ]
    none = verdict("none", bee=0.5, wasp=0.5)
    assert [names for names, _, _ in say(bee, none, bee, none, none)] == [
        ["bee"],
        ["bee"],
        ["bee"],
        ["bee"],
        [],
    ]
    assert [kind for _, kind, _ in say(none, none, verdict("unsure", bee=1.0))] == [
        "none",
        "none",
        "none",
    ]
    assert say(verdict(None, bee=0.8, wasp=0.2))[0][1] == ""

    both = verdict(labels=["wasp", "bee"], wasp=0.9, bee=0.8, ant=0.1)
    swapped = verdict(labels=["bee", "wasp"], bee=0.9, wasp=0.8, ant=0.1)
    nothing = verdict(labels=[], bee=0.3, wasp=0.2, ant=0.1)
    assert [names for names, _, _ in say(both, swapped, nothing, nothing)] == [
        ["bee", "wasp"],
        ["bee", "wasp"],
        ["bee", "wasp"],
        [],
    ]


# ------------------------------------------------------------------ cameras


def test_cameras_are_switched_and_only_the_front_one_is_mirrored(visit):
    page = open_garden(visit)
    # What Chromium's test cameras do not say, those of a phone do.
    page.evaluate(
        """() => {
            const settings = MediaStreamTrack.prototype.getSettings;
            const opened = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            let facing;
            navigator.mediaDevices.getUserMedia = ({video: {facingMode, ...video}}) => {
                facing = facingMode.exact ?? facingMode.ideal;
                return opened({video});
            };
            MediaStreamTrack.prototype.getSettings = function () {
                return {...settings.call(this), facingMode: facing};
            };
        }"""
    )
    go_live(page)
    expect(part(page, "label")).not_to_be_empty()
    video = page.locator("#live video")
    expect(video).not_to_contain_class("mirrored")
    page.get_by_role("button", name="Switch camera").click()
    expect(video).to_contain_class("mirrored")
    expect(part(page, "label")).not_to_be_empty()
    page.get_by_role("button", name="Switch camera").click()
    expect(video).not_to_contain_class("mirrored")


def test_cameras_that_do_not_say_where_they_look_are_switched_one_by_one(visit):
    page = open_garden(visit)
    device = (
        "document.querySelector('#live video').srcObject?.getTracks()[0].getSettings().deviceId"
    )
    go_live(page)
    expect(part(page, "label")).not_to_be_empty()
    first = page.evaluate(device)
    page.get_by_role("button", name="Switch camera").click()
    wait_for(page, lambda: page.evaluate(device) not in (None, first), True)
    page.get_by_role("button", name="Switch camera").click()
    wait_for(page, lambda: page.evaluate(device), first)


def test_what_is_in_the_way_is_told_and_can_be_tried_again(visit):
    page = open_garden(visit)
    page.evaluate(
        """() => {
            const {mediaDevices} = navigator;
            const opened = mediaDevices.getUserMedia;
            const offer = (value) =>
                Object.defineProperty(navigator, "mediaDevices", {value, configurable: true});
            window.fail = (reason) => {
                mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", reason));
                offer(reason ? mediaDevices : undefined);
            };
            window.mend = () => {
                mediaDevices.getUserMedia = opened;
                offer(mediaDevices);
            };
        }"""
    )
    troubles = {
        "NotAllowedError": "not allowed to use the camera",
        "NotFoundError": "There is no camera.",
        "NotReadableError": "in use by another program",
        "": "over https",
    }
    for reason, message in troubles.items():
        page.evaluate("reason => fail(reason)", reason)
        go_live(page)
        expect(page.get_by_role("alert")).to_contain_text(message)
        expect(page.get_by_role("alert")).to_contain_text("photo")  # can be chosen instead
        page.evaluate("mend()")
        page.get_by_role("button", name="Try again").click()
        expect(part(page, "label")).not_to_be_empty()
        expect(page.get_by_role("alert")).to_be_hidden()
        page.get_by_role("button", name="Close the camera").click()


def test_a_camera_that_is_unplugged(visit):
    page = open_garden(visit)
    go_live(page)
    expect(part(page, "label")).not_to_be_empty()
    track = "document.querySelector('#live video').srcObject.getTracks()[0]"
    page.evaluate(f"{track}.dispatchEvent(new Event('ended'))")
    expect(page.get_by_role("alert")).to_contain_text("The camera is gone.")
    page.get_by_role("button", name="Try again").click()
    expect(part(page, "label")).not_to_be_empty()


def test_cameras_of_other_machines_need_https(visit, address, tmp_path, expected):
    pytest.importorskip("cryptography")
    expected.append("the URL's origin was untrustworthy")  # says Chromium of plain http
    page = visit()
    page.goto(f"http://{NAME}:{address.rpartition(':')[2]}/")
    go_live(page)
    expect(page.get_by_role("alert")).to_contain_text("start it with --self-signed")
    page.close()
    options = {"home": tmp_path, "self_signed": "on", "allowed_hosts": NAME, "log_format": "off"}
    with studios.fake_studio(**options) as (_, address):
        page = visit(ignore_https_errors=True)
        page.goto(f"https://{NAME}:{address.rpartition(':')[2]}/")
        go_live(page)
        expect(part(page, "label")).not_to_be_empty()
        page.close()


# ------------------------------------------------------------------ when frames are not answered


def test_a_quota_slows_down_and_faults_are_told_and_retried(visit, expected):
    expected += ["status of 429", "status of 503", "net::ERR_FAILED"]
    page = open_garden(visit)
    frames = Frames(page)
    alert = page.get_by_role("alert")
    with frames.held_back(refusal(429, "Too many.", **{"Retry-After": "1"})):
        go_live(page)
        expect(alert).to_have_text("Too many.")
        # 1.0 s, or as long as a frame takes where that is longer.
        expect(part(page, "rate")).to_have_text(re.compile(r"^a frame every [1-9]"))
        wait_for(page, lambda: frames.count, 2)
        expect(part(page, "label")).to_be_empty()
    expect(part(page, "label")).not_to_be_empty()
    expect(alert).to_be_hidden()

    with frames.held_back(refusal(503, "Busy.")):
        expect(alert).to_have_text("Busy.")
    expect(alert).to_be_hidden()
    with frames.held_back():
        page.route(CLASSIFY, lambda route: route.abort(), times=1)
        expect(alert).to_contain_text("The studio did not answer.")
    expect(alert).to_be_hidden()


def test_what_cannot_go_on_ends_with_its_reason(visit, expected):
    expected.append("status of 401")
    page = open_garden(visit)
    frames = Frames(page)
    frames.refusals = [refusal(401, "This studio answers only to those who know a key.")]
    go_live(page)
    expect(page.get_by_role("alert")).to_contain_text("who know a key")
    assert page.evaluate("document.querySelector('#live video').srcObject") is None
    page.get_by_role("button", name="Try again").click()
    expect(part(page, "label")).not_to_be_empty()


def test_nothing_is_asked_while_nobody_sees_the_page(visit):
    page = open_garden(visit)
    frames = Frames(page)
    go_live(page)
    expect(part(page, "label")).not_to_be_empty()
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    page.wait_for_timeout(500)  # the frame under way
    before = frames.count
    page.wait_for_timeout(1000)
    assert frames.count == before
    page.evaluate(hide, False)
    wait_for(page, lambda: frames.count > before, True)
    page.get_by_role("button", name="Close the camera").click()
    expect(page.get_by_role("button", name="Live from the camera")).to_be_focused()


def test_on_a_phone(visit):
    page = open_garden(visit, **browser.PHONE)
    go_live(page)
    expect(part(page, "label")).not_to_be_empty()
    assert_no_overflow(page)
    expect(page.locator("#live video")).to_be_in_viewport(ratio=0.9)
    for name in ("Take this photo", "Close the camera"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport()
    assert obstacles(page) == []
    screenshot(page, "live-phone-light")
    page.emulate_media(color_scheme="dark")
    assert obstacles(page) == []
    screenshot(page, "live-phone-dark")
