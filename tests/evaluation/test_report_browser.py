"""The report in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.browser import MARKS
from support.browser import SCREENSHOTS
from support.reports import CURVE
from support.reports import jpeg
from support.reports import make_report
from triptych.evaluation import report

pytestmark = MARKS


@pytest.mark.parametrize(("width_px", "scheme"), [(390, "light"), (1280, "dark")])
@pytest.mark.parametrize("classes", [2, 30, 150])
def test_the_report_fits_the_screen_and_its_content_security_policy(
    browser: Any, tmp_path: Path, width_px: int, scheme: str, classes: int
) -> None:
    long = "a_class_name_without_a_single_space_" * 4
    labels = (long, *(f"class {n}" for n in range(1, classes)))
    html = report.render(
        make_report(labels=labels, photos=600, wrong=40, curve=CURVE, thumbnail=jpeg)
    )
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    sheet = browser.new_page(viewport={"width": width_px, "height": 860}, color_scheme=scheme)
    console: list[str] = []
    sheet.on("console", lambda line: console.append(line.text))
    sheet.goto((tmp_path / "report.html").as_uri())
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert sheet.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    colour = sheet.evaluate("getComputedStyle(document.querySelector('.chart text')).fill")
    ink = sheet.evaluate("getComputedStyle(document.querySelector('main > p')).color")
    quiet = sheet.evaluate("getComputedStyle(document.querySelector('.motto')).color")
    assert colour in (ink, quiet)
    sheet.screenshot(path=SCREENSHOTS / f"report_{classes}_{width_px}_{scheme}.png", full_page=True)
    sheet.close()
    assert console == []
