"""A committee as a page in one file: real Chromium, no server, no request, the same answers."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL import ImageCms

from support import browser as browsers
from support.bundles import RUNNABLE_CLASSES
from support.bundles import rename_classes
from support.bundles import write_multilabel
from support.bundles import write_runnable
from support.images import picture
from triptych import errors
from triptych.bundles import loading
from triptych.engines.options import EngineOptions
from triptych.exports import checking
from triptych.exports import exporting
from triptych.exports import onnxruntime_web
from triptych.inference.classifier import Classifier
from triptych.utils.formatting import percent

pytest.importorskip("onnx")

pytestmark = [*browsers.MARKS, pytest.mark.network, pytest.mark.slow]

EVIL = '</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_runnable(home)
    rename_classes(home, EVIL, *RUNNABLE_CLASSES[1:])
    return home


@pytest.fixture(scope="module")
def page(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, with onnxruntime-web as npm fetches it."""
    try:
        onnxruntime_web.read(home)
    except errors.SettingError as error:
        pytest.skip(error.message)
    path = tmp_path_factory.mktemp("page") / "tiny.html"
    exporting.export("tiny", path, EngineOptions(home))
    return path


@pytest.fixture(scope="module")
def classifier(home: Path) -> Classifier:
    return loading.load_classifier("tiny", EngineOptions(home, precision="f32"))


def encoded(pixels: np.ndarray, form: str, *, turn: int = 1, **how: Any) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(file, form, exif=exif, **how)
    return file.getvalue()


def photos() -> dict[str, bytes]:
    """Photos of many sizes and formats: turned, transparent, large, tiny, with another profile."""
    drawn = checking.draw_photos()
    rng = np.random.default_rng(0)
    see_through = np.dstack([drawn[1], rng.integers(0, 256, drawn[1].shape[:2], np.uint8)])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return {
        **{f"turn-{turn}.jpg": encoded(drawn[0], "JPEG", turn=turn) for turn in range(1, 9)},
        "see-through.png": encoded(see_through, "PNG"),
        "pixel.png": encoded(drawn[4], "PNG"),
        "tall.webp": encoded(drawn[6], "WEBP", lossless=True),
        "large.jpg": encoded(drawn[9], "JPEG", quality=95),
        "profile.jpg": encoded(drawn[2], "JPEG", icc_profile=profile),
        "grey.jpg": encoded(drawn[3][..., 0], "JPEG"),
    }


ASK = """async ([letters, name, type]) => {
  const bytes = Uint8Array.from(atob(letters), (letter) => letter.charCodeAt(0));
  const photo = await decode(new File([bytes], name, {type}));
  const {probs, status, inSet} = await ask({photo}, [photo.pixels]);
  return {probs: [...probs], status, inSet: [...inSet].map(Boolean)};
}"""


@pytest.fixture(params=["desk", "phone"])
def opened(browser: Any, page: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened from the disk; any request and any error fails the test."""
    desk = {"viewport": {"width": 1280, "height": 800}}
    context = browser.new_context(**(desk if request.param == "desk" else browsers.PHONE))
    tab = context.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda one: said.append(one.url) if one.url.startswith("http") else None)
    tab.goto(page.as_uri())
    browsers.expect(tab.locator("html[data-ready]")).to_be_attached()
    yield tab
    context.close()
    assert said == []


def test_a_page_answers_as_the_committee_and_in_words(
    opened: Any, classifier: Classifier, tmp_path: Path
) -> None:
    """In one test, as opening the page takes as long as all that is asked of it."""
    assert_same_answers(opened, classifier)
    assert_verdict_in_words(opened, classifier, tmp_path)


def assert_same_answers(opened: Any, classifier: Classifier) -> None:
    for name, photo in photos().items():
        kind = f"image/{Path(name).suffix[1:].replace('jpg', 'jpeg')}"
        answer = opened.evaluate(ASK, [base64.b64encode(photo).decode(), name, kind])
        verdict = classifier.classify(photo, top=len(RUNNABLE_CLASSES))
        gap = np.abs(np.array(answer["probs"]) - checking.probs_of(verdict)).max()
        assert gap < checking.TOLERANCE, name
        assert ("sure", "unsure", "none", None)[answer["status"]] == verdict.status, name
        assert verdict.prediction_set
        named = {guess.label.index for guess in verdict.prediction_set.guesses}
        assert set(np.flatnonzero(answer["inSet"])) == named, name


def assert_verdict_in_words(opened: Any, classifier: Classifier, tmp_path: Path) -> None:
    expect = browsers.expect
    photo, broken = tmp_path / "photo.jpg", tmp_path / "notes.jpg"
    photo.write_bytes(picture(3))
    broken.write_text("no photo")
    verdict = classifier.classify(photo, top=len(RUNNABLE_CLASSES))
    is_phone = opened.evaluate("matchMedia('(pointer: coarse)').matches")
    expect(opened.locator("label.camera")).to_be_visible(visible=is_phone)
    opened.set_input_files("#choose", photo)
    expect(opened.locator("#answer[data-state=answered]")).to_be_visible()
    expect(opened.locator("#label")).to_have_text(verdict.label.name)
    expect(opened.locator("#words")).to_contain_text((verdict.status or "").capitalize())
    expect(opened.locator("#bars li")).to_have_count(len(RUNNABLE_CLASSES))
    shown = opened.locator("#prob").inner_text().replace("\u00a0", " ")
    assert float(shown[:-2]) == pytest.approx(100 * verdict.prob, abs=0.2), percent(verdict.prob)
    expect(opened.locator("#classes")).to_contain_text(EVIL)
    assert opened.locator("img").count() == 1
    assert opened.title() == "tiny: what does a photo show?"
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")

    opened.set_input_files("#choose", broken)
    expect(opened.locator("#answer[data-state=failed]")).to_be_visible()
    expect(opened.locator("#timing")).to_have_text(re.compile("cannot read notes.jpg as a photo"))


def test_a_page_of_a_multilabel_committee_names_all_classes_that_hold(
    browser: Any, home: Path, page: Path, tmp_path: Path
) -> None:
    write_multilabel(home)
    path = tmp_path / "bowls.html"
    exporting.export("bowls", path, EngineOptions(home))
    classifier = loading.load_classifier("bowls", EngineOptions(home, precision="f32"))
    with contextlib.closing(browser.new_context()) as context:
        tab = context.new_page()
        tab.goto(path.as_uri())
        for photo in (encoded(pixels, "PNG") for pixels in checking.draw_photos()[:3]):
            verdict = classifier.classify(photo)
            assert verdict.labels is not None
            names = [guess.label.name for guess in verdict.labels]
            file = {"name": f"{len(names)}.png", "mimeType": "image/png", "buffer": photo}
            tab.set_input_files("#choose", file)
            browsers.expect(tab.locator("#answer[data-state=answered]")).to_be_visible()
            browsers.expect(tab.locator("#source")).to_have_text(file["name"])
            shown = tab.locator("#label")
            browsers.expect(shown).to_have_text(", ".join(names) or "None of the classes")
            assert tab.locator("#prob").inner_text().count("%") == len(names)
            browsers.expect(tab.locator("#set")).to_be_hidden()
            browsers.expect(tab.locator("#bars li.answer")).to_have_count(len(names))
        # As in the studio, what is unlike all training photos is none of these.
        tab.evaluate(
            "showAnswer({probs: [0.9, 0, 0, 0, 0], status: 2, inSet: null, novelty: 0.01,"
            " holds: [true, false, false, false, false]}, 1)"
        )
        browsers.expect(tab.locator("#label")).to_have_text("None of these")
        browsers.expect(tab.locator("#prob")).to_be_empty()
        browsers.expect(tab.locator("#bars li.answer")).to_have_count(0)
        browsers.expect(tab.get_by_text("never answered")).to_be_visible()
        browsers.expect(tab.get_by_text("holds from 30.0")).to_be_visible()
        assert browsers.obstacles(tab) == []


def test_its_policy_lets_nothing_out(browser: Any, page: Path) -> None:
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto(page.as_uri())
        said: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        for script in (
            "fetch('http://127.0.0.1:9/').catch(() => 0)",
            "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))",
            "void navigator.sendBeacon('http://127.0.0.1:9/', 'photo')",
        ):
            tab.evaluate(script)
        browsers.wait_for(tab, lambda: len(said) >= 3, True)
        assert all("Content Security Policy" in text for text in said)


def test_axe_finds_nothing_serious(browser: Any, page: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture(3))
    with browser.new_context(bypass_csp=True) as context:
        tab = context.new_page()
        tab.goto(page.as_uri())
        tab.set_input_files("#choose", photo)
        browsers.expect(tab.locator("#answer[data-state=answered]")).to_be_visible()
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            assert browsers.obstacles(tab) == [], scheme
