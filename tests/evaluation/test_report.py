"""The report: its content, and that it is one self-contained file."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from support.reports import CURVE
from support.reports import jpeg
from support.reports import make_report
from triptych.evaluation import report
from triptych.evaluation.report import MemberNote
from triptych.utils import formatting

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "br", "img", "base", "input", "hr"}


def finding(kind: str, message: str, sources: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"kind": kind, "message": message, "sources": list(sources)}


class Page(HTMLParser):
    """What a browser would see: the text, and every element with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.words).replace("\xa0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def page(**parts: Any) -> Page:
    return Page(report.render(make_report(**parts)))


# ------------------------------------------------------------------ what it says


def test_the_headline_has_its_interval_in_words() -> None:
    # statsmodels 0.15.0: proportion_confint(148, 153, method="wilson") is 0.9258, 0.9860
    text = page().text
    assert "96.7 % right on 148 of 153 photos that it was not trained on" in text
    assert "95 % interval 92.5 to 98.6 %" in text


@pytest.mark.parametrize("photos", [10, formatting.SHARE_FROM - 1])
def test_from_few_photos_the_interval_is_the_headline(photos: int) -> None:
    rendered = page(photos=photos, wrong=0)
    figures_shown = re.findall(
        r'class="figure[^"]*">(.*?)</p>', report.render(make_report(photos=photos))
    )
    assert "100.0" not in "".join(figures_shown)
    assert f"right on {photos} of {photos} photos" in rendered.text
    assert ("72 to 100 %" in rendered.text) == (photos == 10)  # Wilson: 10 / (10 + 1.96²)


def test_from_enough_photos_the_share_is_the_headline() -> None:
    assert re.search(r'class="figure">99.0', report.render(make_report(photos=100, wrong=1)))


def test_the_committee_is_compared_with_its_best_network() -> None:
    text = page().text
    assert "The committee is right on 3 photos more than its best network alone, Lite1 ." in text
    assert "Best network alone 94.8 % Lite1" in text


def test_weights_temperatures_and_dropped_networks_are_shown() -> None:
    notes = {
        "Lite0": MemberNote(0.0, 1.5, dropped="it made the committee worse"),
        "Lite1": MemberNote(0.62, 1.25),
    }
    text = page(members=notes).text
    assert "Lite0 left out: it made the committee worse" in text
    assert re.search(r"Lite1 95?.* 0\.62 1\.25", text)


def test_a_single_network_is_not_compared_with_itself() -> None:
    text = page(lone=True).text
    assert "best network" not in text.lower()
    assert "Mean over classes" in text


def test_classes_are_sorted_by_recall_and_unmeasured_ones_have_none() -> None:
    text = page(labels=("ash", "beech", "cedar"), photos=3, wrong=1).text
    table = text[text.index("Class by class") : text.index("Confusion matrix")]
    assert table.index("ash") < table.index("beech") < table.index("cedar")
    assert "ash 0.0 % never answered 0.00 1" in table
    assert "the smallest has 1 photo." in table


def test_the_learning_curve_is_there_when_it_was_measured() -> None:
    text = page(curve=CURVE).text
    assert "From 4 to 16 photos of each class, accuracy rose by 16.0 points." in text
    assert "Would more photos help?" not in page().text


def test_mistakes_are_shown_with_their_photos() -> None:
    rendered = page(thumbnail=lambda source: jpeg(source) if source != "photos/2.jpg" else None)
    images = [attrs for tag, attrs in rendered.elements if tag == "img"]
    assert len(images) == 4
    assert all((attrs["src"] or "").startswith("data:image/jpeg;base64,/9j/") for attrs in images)
    assert images[0]["alt"] == "A photo labelled class 0"
    assert "class 1 90.0 % is labelled class 0 photos/0.jpg" in rendered.text
    assert rendered.text.count("no photo to show") == 1


def test_findings_and_settings_are_listed() -> None:
    findings = (
        finding("damaged_image", "Ends too early.", ("a.jpg", "b.jpg")),
        finding("duplicate", "The same photo.", tuple(f"{n}.jpg" for n in range(7))),
    )
    text = page(findings=findings, details=[("Seed", "7"), ("Head", "one dense layer")]).text
    assert "damaged image Ends too early. a.jpg b.jpg" in text
    assert "duplicate The same photo. 7 photos 0.jpg" in text
    assert "Seed 7 Head one dense layer" in text
    assert "every photo could be read" in page().text


def test_without_mistakes_there_is_no_gallery() -> None:
    text = page(wrong=0).text
    assert "Every one of the 153 photos was recognised" in text
    assert "most confident mistakes" not in text
    assert "Most often confused" not in text


# ------------------------------------------------------------------ that it needs nothing


def test_the_report_loads_nothing() -> None:
    html = report.render(make_report(thumbnail=jpeg, curve=CURVE))
    rendered = Page(html)
    assert not {tag for tag, _ in rendered.elements} & {
        "script",
        "link",
        "iframe",
        "object",
        "base",
    }
    addresses = [
        value
        for _, attrs in rendered.elements
        for name, value in attrs.items()
        if name in ("src", "href", "xlink:href", "action", "srcset", "poster")
    ]
    assert addresses
    assert all(address and address.startswith(("data:image/", "#")) for address in addresses)
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    assert "@import" not in html
    policies = [attrs["content"] for _, attrs in rendered.elements if "http-equiv" in attrs]
    assert len(policies) == 1
    assert (policies[0] or "").startswith("default-src 'none'")


def test_the_same_report_gives_the_same_text() -> None:
    assert report.render(make_report(curve=CURVE)) == report.render(make_report(curve=CURVE))


def test_charts_take_the_colours_of_the_page() -> None:
    html = report.render(make_report(curve=CURVE))
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.S))
    assert not re.search(r"\b(?:fill|stroke|style)=", drawn)
    assert ".chart circle { fill: var(--accent); }" in html


def test_charts_have_text_alternatives() -> None:
    descriptions = [
        attrs["aria-label"] or ""
        for _, attrs in page(classes=30, curve=CURVE).elements
        if attrs.get("role") == "img"
    ]
    assert len(descriptions) == 3
    assert "148 of 153 photos on the diagonal" in descriptions[0]
    assert "4 photos of each class: 75.0\xa0% right" in descriptions[1]
    assert "153 photos at 90.0\xa0%: 96.7\xa0% right" in descriptions[2]


# ------------------------------------------------------------------ hostile and many names

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "a$b$ \\frac{",
    "{{ 7 * 7 }}",
    'url(#x) id="y" ]]> --> &amp;',
    "长长的名字的类别名",
    "\u202eevil",
    "bytes \udcff that are no text",
)


def test_hostile_names_are_escaped() -> None:
    names = [f"{name}.jpg" for name in HOSTILE]
    whole = make_report(
        labels=HOSTILE,
        photos=16,
        wrong=16,
        sources=tuple(names * 2),
        findings=(finding(HOSTILE[0], HOSTILE[1], HOSTILE),),
        details=[(HOSTILE[0], HOSTILE[1])],
        members={"Lite0": MemberNote(1, dropped=HOSTILE[1]), "Lite1": MemberNote(1)},
    )
    whole = dataclasses.replace(whole, name=HOSTILE[0], date=HOSTILE[1], data=HOSTILE[1])
    html = report.render(whole)
    rendered = Page(html)
    html.encode("utf-8")
    assert not {tag for tag, _ in rendered.elements} & {"script", "img"}
    assert not [name for _, attrs in rendered.elements for name in attrs if name.startswith("on")]
    for name in HOSTILE[:-1]:
        assert " ".join(name.split()) in rendered.text


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=2, max_size=4), st.text(max_size=30))
def test_any_names_add_no_elements_to_the_page(labels: list[str], source: str) -> None:
    def tags(**parts: Any) -> set[str]:
        html = report.render(make_report(photos=8, wrong=2, **parts))
        html.encode("utf-8")
        return {tag for tag, _ in Page(html).elements}

    plain = tuple("abcd"[: len(labels)])
    assert tags(labels=tuple(labels), sources=(source,) * 8) <= tags(labels=plain)


def test_many_classes_stay_readable_and_light() -> None:
    whole = make_report(photos=3000, classes=150, wrong=60)
    html = report.render(whole)
    text = Page(html).text
    assert len(html) < 500_000
    assert "130 more classes" in text
    assert text.count("Most often confused") == 1
    matrix = re.search(r'aria-label="Confusion.*?</svg>', html, re.S)
    assert matrix
    assert "<text" not in matrix[0]
    assert sum(path.count("M") for path in re.findall(r' d="(.*?)"', matrix[0])) == 150 + 60


def test_few_classes_are_named_and_numbered_in_the_matrix() -> None:
    text = page(labels=("ash", "beech"), photos=20, wrong=3).text
    assert "class ↓ answer → ash beech ash 10 8 2 beech 10 1 9" in text


def test_columns_of_the_matrix_have_the_numbers_of_their_rows() -> None:
    text = page(labels=("ash", "beech", "elm", "oak"), photos=8, wrong=1).text
    assert text.index("Most often confused") < text.index("class ↓ answer →")
    assert "class ↓ answer → 1 ash 2 beech 3 elm 4 oak 1 ash 2 " in text


# ------------------------------------------------------------------ manners


def test_the_report_is_drawn_without_matplotlib() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; import numpy as np;"
        "from triptych.evaluation import Predictions, metrics_of, report;"
        "probs = np.array([[0.9, 0.1], [0.6, 0.4]]);"
        "answers = Predictions(('a', 'b'), np.array([0, 1]), {'A': probs}, probs, ('x', 'y'));"
        "report.render(report.Report('a', 'b', 'c', ('a', 'b'), metrics_of(answers), {}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
