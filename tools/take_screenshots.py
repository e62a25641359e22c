"""Take the screenshots of the studio for the docs: every page, light and dark, wide and on a phone.

    .venv/bin/python tools/take_screenshots.py [FOLDER]

Runs a studio on a temporary home folder, with drawings in place of photos: the sample project, with
some labels wrong, trained, corrected and trained again. docs/images gets a picture for each page
and scheme, wide and phone side by side, cropped if they are long. FOLDER keeps the converted
networks for the next run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser
from playwright.sync_api import FilePayload
from playwright.sync_api import Page
from playwright.sync_api import sync_playwright

from triptych.studio import sample_images
from triptych.studio.projects import Projects

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
SCHEMES: dict[Any, str] = {
    "light": "#dcdcdc",
    "dark": "#3a3a3a",
}  # with the background between two pages
WIDTHS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1180, "height": 500}},
    "phone": {"viewport": {"width": 390, "height": 500}, "is_mobile": True, "has_touch": True},
}
GAP, MAX_HEIGHT, SCALE = 24, 1350, 0.6
Go = Callable[[Page], object]
KEY = "sample-fruit"
PAGES = {
    "projects": "/projects",
    "photos": f"/projects/{KEY}",
    "teach": f"/projects/{KEY}/teach",
    "try": f"/projects/{KEY}/try",
    "result": f"/projects/{KEY}/result?version=1",
    "cell": f"/projects/{KEY}/result/cell?version=1&photos=all&answer=apples",
    "label-issues": f"/projects/{KEY}/result/label-issues?version=1",
    "compare": f"/projects/{KEY}/result/compare?before=1&after=2",
    "decisions": f"/projects/{KEY}/decisions",
    "publish": f"/projects/{KEY}/publish",
    "bundles": "/bundles",
    "share": f"/c/{KEY}",
    "sort": f"/projects/{KEY}/sort",
    "inbox": f"/projects/{KEY}/sort?source=inbox",
    "api": "/docs",
    "error": "/projects/no-such-project",
}


def main() -> None:
    """Fill a studio and take all screenshots."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if len(sys.argv) > 1:
            networks = Path(sys.argv[1]).resolve() / "engines"
            networks.mkdir(parents=True, exist_ok=True)
            (home / "engines").symlink_to(networks)
        browser = stack.enter_context(chromium())
        with serving(home) as address:
            empty(browser, address, home)
            fill(browser, address, home)
            for name, path in PAGES.items():
                go = look_through if name in ("sort", "inbox") else visit
                picture(browser, home, name, go(address + path))
            picture(browser, home, "classify", lambda page: explain(page, address), "#wall")
            picture(browser, home, "classify-empty", visit(address))
            front(browser, address)
        with serving(home, TRIPTYCH_API_KEY="a key of this run") as address:
            picture(browser, home, "sign-in", visit(address))


def visit(url: str) -> Go:
    """What opens a page."""
    return lambda page: page.goto(url)


def look_through(url: str) -> Go:
    """What opens a page whose photos are looked through first."""

    def go(page: Page) -> None:
        page.goto(url)
        page.locator("#job").wait_for(state="detached", timeout=300_000)

    return go


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"),
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def serving(home: Path, **environ: str) -> Iterator[str]:
    """Run the studio on a home folder; gives its address."""
    command = [sys.executable, "-m", "triptych", "serve", "--committee", "lite", "--port", "0"]
    settings = {"TRIPTYCH_HOME": str(home), "TRIPTYCH_INBOX": "on", **environ}
    log = home / "server.log"
    with (
        log.open("w") as file,
        subprocess.Popen(command, env={**os.environ, **settings}, stderr=file) as server,
    ):
        try:
            yield address_in(log, server)
        finally:
            server.kill()


def address_in(log: Path, server: subprocess.Popen[bytes]) -> str:
    """The address that a studio prints."""
    while server.poll() is None:
        for line in log.read_text().splitlines():
            if "The studio is open at " in line:
                return line.split(" at ")[1].split()[0].rstrip("/")
        time.sleep(0.2)
    sys.exit(log.read_text())


# ------------------------------------------------------------------ the studio's content


def empty(browser: Browser, address: str, home: Path) -> None:
    """Screenshots of an empty studio."""
    picture(browser, home, "projects-empty", visit(f"{address}/projects"))


def fill(browser: Browser, address: str, home: Path) -> None:
    """Train on the sample, correct labels, train again, publish, fill the inbox."""
    projects = Projects(home)
    sample_images.make_project(projects)
    class_ids = {each.name: each.id for each in projects.find(KEY).classes}
    photos = {photo.name: photo.digest for photo in projects.photos(KEY, limit=-1)}
    mislabelled = [photos[f"apples {number:02}.jpg"] for number in (3, 11)]
    projects.decide(KEY, mislabelled, class_id=class_ids["pears"])
    page = browser.new_page()
    page.set_default_timeout(300_000)  # a machine may be busy
    page.goto(f"{address}/projects/{KEY}/teach")
    page.get_by_role("button", name="Start").click()
    page.locator('#job [data-state="now"]').wait_for()
    picture(browser, home, "teach-running", visit(f"{address}/projects/{KEY}/teach"))
    page.get_by_text("This made version 1").wait_for()
    projects.decide(KEY, [photos["lemons 05.jpg"]], exclude=True)
    projects.decide(KEY, mislabelled[:1], class_id=class_ids["apples"])
    page.goto(f"{address}/projects/{KEY}/result")
    page.get_by_role("button", name="Teach again").click()
    page.get_by_text("This made version 2").wait_for()
    page.goto(f"{address}/projects/{KEY}/publish")
    page.get_by_role("button", name="Publish version 2").click()
    page.get_by_label("Description").fill("Drawings of apples, lemons and pears, to try training.")
    page.get_by_role("button", name="Save the card").click()
    fill_inbox(projects)
    for seed, kind in enumerate(("apples", "lemons", "pears") * 6):
        photo = sample_images.jpeg(kind, seed=300 + seed)
        projects.add(KEY, f"market {seed + 1:02}.jpg", photo)
    page.close()


def fill_inbox(projects: Projects) -> None:
    """Fill the inbox with photos the committee is unsure of."""
    for number, (kind, prob) in enumerate((("apples", 0.52), ("pears", 0.61), ("lemons", 0.48))):
        answer = {"label": kind, "prob": prob, "status": "unsure", "novelty": None}
        top = [{"label": kind, "prob": prob}, {"label": "quinces", "prob": 0.9 - prob}]
        verdict = {**answer, "committee": KEY, "top": top}
        photo = sample_images.jpeg(kind, seed=100 + number)
        projects.keep(f"kitchen {number + 1}.jpg", photo, verdict)


def explain(page: Page, address: str) -> None:
    """Screenshot of an answer with its heat map."""
    page.goto(f"{address}/?committee={KEY}")
    data = sample_images.jpeg("pears", seed=200)
    photo: FilePayload = {"name": "pear.jpg", "mimeType": "image/jpeg", "buffer": data}
    page.set_input_files("#choose", [photo])
    page.get_by_role("button", name="Why this verdict?").click()
    page.locator("#cards .heat").wait_for()


def front(browser: Browser, address: str) -> None:
    """The screenshot of the README: two drawings, classified by `lite`."""
    page = browser.new_page(**WIDTHS["wide"])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, ROOT / "tests" / "support" / "imagenet_drawings.py", folder],
            check=True,
        )
        page.goto(f"{address}/?committee=lite")
        names = ("analog clock.png", "umbrella.png")
        page.set_input_files("#choose", [Path(folder) / name for name in names])
        page.wait_for_selector('#cards [data-state="answered"] >> nth=1')
        page.wait_for_selector("#progress", state="hidden")
    page.screenshot(path=IMAGES / "studio.png", full_page=True, animations="disabled")
    page.close()


# ------------------------------------------------------------------ pictures


def picture(browser: Browser, home: Path, name: str, go: Go, part: str = "body") -> None:
    """Save a page in both schemes, in two widths side by side."""
    folder = home / "screenshots"
    folder.mkdir(exist_ok=True)
    for scheme, background in SCHEMES.items():
        paths = [folder / f"{name}-{scheme}-{width}.png" for width in WIDTHS]
        for path, options in zip(paths, WIDTHS.values(), strict=True):
            page = browser.new_page(color_scheme=scheme, **options)
            page.set_default_timeout(300_000)
            go(page)
            shoot(page, path, part)
            page.close()
        both = side_by_side(paths, background)
        both.save(IMAGES / f"studio-{name}-{scheme}.png", optimize=True)
    print(name, flush=True)


def shoot(page: Page, path: Path, part: str) -> None:
    """Take an element of a page, in a window as high as the page."""
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_load_state("networkidle")
    # Else elements that stick to the window's edge would be in the middle of the picture.
    for _ in range(2):  # the layout of a page may change in a high window
        height = page.evaluate("document.documentElement.scrollHeight")
        if size := page.viewport_size:
            page.set_viewport_size({"width": size["width"], "height": height})
    page.locator(part).screenshot(path=path, animations="disabled")


def side_by_side(paths: list[Path], background: str) -> Image.Image:
    """Put screenshots side by side, cropped, reduced, and with few colours."""
    pages = [Image.open(path).convert("RGB") for path in paths]
    pages = [page.crop((0, 0, page.width, min(page.height, MAX_HEIGHT))) for page in pages]
    width = sum(page.width for page in pages) + GAP * (len(pages) + 1)
    both = Image.new("RGB", (width, max(page.height for page in pages) + 2 * GAP), background)
    left = GAP
    for page in pages:
        both.paste(page, (left, GAP))
        left += page.width + GAP
    size = round(both.width * SCALE), round(both.height * SCALE)
    small = both.resize(size, Image.Resampling.LANCZOS)
    return small.quantize(256, kmeans=1, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
