"""The documentation site is built strictly, as by `make site`."""

from __future__ import annotations

import html.parser
import json
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


class Page(html.parser.HTMLParser):
    """The anchors of a page of the site, its links, and the files it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value for name, value in attrs if value}
        self.anchors.add(attributes.get("id", ""))
        if tag == "a" and "href" in attributes:
            self.links.add(attributes["href"])
        elif tag == "link" and attributes.get("rel") != "canonical":
            self.loaded.add(attributes.get("href", ""))
        else:
            self.loaded |= {attributes[name] for name in ("src", "srcset") if name in attributes}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    ran = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder / "build" / "site"


def test_every_page_is_in_the_site_and_in_its_search(site: Path) -> None:
    pages = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")}
    pages = pages - {"README.html"} | {"index.html"}
    assert {path.name for path in site.glob("*.html")} == pages | {"404.html"}
    items = json.loads((site / "search.json").read_text(encoding="utf-8"))["items"]
    assert {item["location"].partition("#")[0] or "index.html" for item in items} == pages


def test_links_and_pictures_are_valid_and_nothing_is_loaded_from_other_sites(site: Path) -> None:
    pages = {path.name: Page(path) for path in site.glob("*.html") if path.name != "404.html"}
    for name, page in pages.items():
        for link in page.links | page.loaded:
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                assert link not in page.loaded, f"{name} loads {link}"
                continue
            target = urllib.parse.unquote(url.path) or name
            assert (site / target).exists(), f"{name} links to {link}"
            if url.fragment and target in pages:
                assert url.fragment in pages[target].anchors, f"{name} links to {link}"
