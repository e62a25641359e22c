"""A real Chromium for tests of pages; any error in its console fails the test.

A module that uses it has a fixture ``address``: where its studio is.

A page may be slow, and a test must not depend on how slow it is. A click waits neither for the page
that it leads to, nor for that page's styles and scripts: `follow` does. What a page shows is
claimed by `expect`, which looks until it is so; what no locator shows, such as what lies on the
disk, by `wait_for`. (Not by `wait_for_function`: it looks a second time by `eval`, which the pages
of the studio forbid.) Whether a test keeps to this: ``make test PYTEST='-m browser --slowly'``.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
# Far more than anything takes: a machine may be slow, and busy with other tests.
PATIENCE_MS = 180_000
PHONE = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True}

executable = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_chromium = pytest.mark.skipif(
    executable is None, reason=f"none of {', '.join(BROWSERS)} is installed"
)
MARKS = [pytest.mark.browser, needs_chromium]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slowly", action="store_true", help="browsers get a slow machine and a slow line"
    )


# Ends the Chromium of this worker, if it runs. Not the end of a fixture's scope: a session would
# keep Playwright's event loop running beside later tests, which have loops of their own, and a
# module would start Chromium anew for each file.
_open = contextlib.ExitStack()


@functools.cache
def _playwright():
    api = pytest.importorskip("playwright.sync_api")
    api.expect.set_options(timeout=PATIENCE_MS)
    _open.callback(_playwright.cache_clear)
    return _open.enter_context(api.sync_playwright())


@functools.cache
def _chromium(*cameras: str):
    playwright = _playwright()
    _open.callback(_chromium.cache_clear)
    browser = playwright.chromium.launch(
        executable_path=executable,
        args=[
            "--no-sandbox",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP photos.example 127.0.0.1",
            "--in-process-gpu",
            "--renderer-process-limit=1",
            *cameras,
        ],
    )
    return _open.enter_context(contextlib.closing(browser))


def with_cameras(count: int, video: Path | None = None, *, answer: str = "accept"):
    """Chromium with cameras that show a test picture, or with one that shows a video.

    Args:
        count: How many there are.
        video: A file of raw pictures (.y4m), shown over and over.
        answer: What the person says when pages ask for a camera: ``"accept"`` or ``"deny"``.
    """
    flags = [f"--use-fake-device-for-media-stream=device-count={count}"]
    if video:
        flags.append(f"--use-file-for-fake-video-capture={video}")
    fake_ui = "--use-fake-ui-for-media-stream"
    return _chromium(*flags, fake_ui if answer == "accept" else f"{fake_ui}={answer}")


@pytest.fixture
def browser():
    """Chromium, with two cameras; one for all tests that come in a row."""
    return with_cameras(2)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or not nextitem.get_closest_marker("browser"):
        _open.close()


def pytest_sessionfinish() -> None:
    _open.close()


@pytest.fixture
def expected() -> list[str]:
    """Console errors that a test expects, as parts of their texts."""
    return []


@pytest.fixture
def visit(browser, address, expected, request):
    """Opens a page as someone: with a phone, in the dark, without a script."""
    with contextlib.ExitStack() as contexts:
        problems: list[str] = []

        def open_page(path: str = "", **options):
            options = {"viewport": {"width": 1280, "height": 860}, **options}
            context = contexts.enter_context(contextlib.closing(browser.new_context(**options)))
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            if request.config.getoption("--slowly"):
                slow_down(page)
            page.on("console", lambda line: line.type == "error" and problems.append(line.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(address + path)
            return page

        yield open_page
    assert [text for text in problems if not any(part in text for part in expected)] == []


@pytest.fixture
def visit_translated(visit, address):
    """Opens a page on a phone, in the pseudo-language."""
    host = address.split("/")[2].split(":")[0]
    cookie = {"name": "triptych_language", "value": "en_XA", "domain": host, "path": "/"}
    fields = {"expires": -1, "httpOnly": True, "secure": False, "sameSite": "Lax"}
    state = {"cookies": [{**cookie, **fields}], "origins": []}
    return lambda path: visit(path, **PHONE, storage_state=state)


def slow_down(page) -> None:
    """Each request takes half a second, and each script six times as long."""
    devtools = page.context.new_cdp_session(page)
    line = {"latency": 500, "downloadThroughput": -1, "uploadThroughput": -1}
    devtools.send("Network.emulateNetworkConditions", {"offline": False, **line})
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 6})


def expect(locator):
    """What a locator or a page must show, at once or in a while."""
    return pytest.importorskip("playwright.sync_api").expect(locator)


def wait_for(page, ask: Callable[[], object], wanted: object) -> None:
    """Until something is as it is wanted, at once or in a while; the page goes on meanwhile."""
    for _ in range(PATIENCE_MS // 50):
        if ask() == wanted:
            return
        page.wait_for_timeout(50)
    assert ask() == wanted


def follow(target) -> None:
    """Click what leads to another page, and wait until that is there with its scripts."""
    with target.page.expect_navigation():
        target.click()


@contextlib.contextmanager
def held_back(page, script: str) -> Iterator[None]:
    """Within it, a script of the page does not come: as where the way to the studio is slow."""
    routes = []

    def hold(route) -> None:
        routes.append(route)

    page.route(f"**/{script}", hold)
    yield
    for route in routes:
        route.continue_()
    page.unroute(f"**/{script}")


def files(*named: tuple[str, bytes]) -> list[dict]:
    """Files for an input."""
    return [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in named]


def transfer(page, *named: tuple[str, bytes]):
    """The files of a drop or a paste, as the page gets them."""
    return page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, data] of files) {
                const bytes = Uint8Array.from(atob(data), char => char.charCodeAt(0));
                transfer.items.add(new File([bytes], name, {type: "image/png"}));
            }
            return transfer;
        }""",
        [[name, base64.b64encode(data).decode()] for name, data in named],
    )


def assert_no_overflow(page) -> None:
    """Nobody has to scroll sideways."""
    # Not `innerWidth`: a phone zooms out until all fits.
    root = "document.documentElement"
    fits = f"{root}.scrollWidth <= {root}.clientWidth"
    wait_for(page, lambda: page.evaluate(fits), True)


# Text that people can read or hear and that is not theirs: accents tell what was translated.
READABLE = """allowed => {
    const theirs = "[translate=no], bdi, code, kbd, pre, script, style, noscript, textarea";
    const isShown = (element) => !element.closest("[hidden]") && element.getClientRects().length;
    const isPlain = (text) => (text.match(/[a-z]{3,}/gi) ?? []).some(
        (word) => /[aeiouy]/i.test(word) && !allowed.includes(word.toLowerCase()));
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { parentElement: parent, data } = walker.currentNode;
        if (parent.closest(theirs) || !isShown(parent)) continue;
        if (isPlain(data)) found.push(data.trim());
    }
    for (const name of ["aria-label", "placeholder", "title", "alt"]) {
        for (const element of document.querySelectorAll(`[${name}]`)) {
            if (element.closest(theirs) || !isShown(element)) continue;
            const text = element.getAttribute(name);
            if (isPlain(text)) found.push(`${name}: ${text}`);
        }
    }
    return [...new Set(found)];
}"""
# Elements that reach beyond the page, unless they are in a box that scrolls.
TOO_WIDE = """() => {
    const page = document.documentElement.clientWidth;
    const scrolls = (element) => element !== document.body && (
        getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
    return [...document.body.querySelectorAll("*")].filter((element) => {
        const { right, left, width } = element.getBoundingClientRect();
        return width && (right > page + 1 || left < -1) && !scrolls(element);
    }).map((element) => element.outerHTML.slice(0, 120));
}"""


def foreign_text(page, *names: str) -> list[str]:
    """What is in plain English, and what sticks out of the page, on a phone and on a desktop.

    Args:
        page: In the pseudo-language.
        *names: Words in sentences that stay in every language, such as names of classes.
    """
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    found = page.evaluate(READABLE, [name.lower() for name in names])
    for size in ({"width": 1280, "height": 860}, PHONE["viewport"]):
        found += page.evaluate(TOO_WIDE)
        page.set_viewport_size(size)
    return found


def obstacles(page, *only: str) -> list[str]:
    """What axe finds on the page that keeps somebody out: serious faults, with where they are.

    Animations are ended first: what is half faded in has no contrast yet.

    Args:
        page: Is searched as it is shown, in its colour scheme.
        *only: Rules to try; by default all.
    """
    page.emulate_media(reduced_motion="reduce")
    wait_for(page, lambda: page.evaluate("document.getAnimations().length"), 0)
    if not page.evaluate("'axe' in window"):
        page.evaluate(pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT)
    # Axe would first fetch styles and media again, for two rules that do not count here: one is off
    # by default, the other moderate.
    options = {"resultTypes": ["violations"], "preload": False}
    options |= {"runOnly": list(only)} if only else {}
    return [
        f"{fault['id']}: {node['html']}: {node['failureSummary']}"
        for fault in page.evaluate("options => axe.run(options)", options)["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def screenshot(page, name: str) -> None:
    """Keep a picture of the whole page for people to look at."""
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, animations="disabled")
