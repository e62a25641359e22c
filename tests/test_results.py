"""Results: how notebooks display a verdict, and deprecated attributes."""

from __future__ import annotations

import dataclasses
import html.parser

import pytest

from triptych.results import NONE
from triptych.results import SURE
from triptych.results import Guess
from triptych.results import Label
from triptych.results import MultilabelGuess
from triptych.results import Prediction
from triptych.results import PredictionSet
from triptych.results import Similar
from triptych.results import Timing
from triptych.results import Verdict

ANT = Guess(Label("ant", "ant", 0), 0.9)
BEE = Guess(Label("bee", "bee", 1), 0.1)
HOSTILE = "<script>alert('&\"')</script>"


class Html(html.parser.HTMLParser):
    """The elements of a piece of HTML, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def test_a_notebook_shows_the_verdict_and_every_member() -> None:
    verdict = Verdict(
        "garden/1.jpg",
        "cascade",
        (ANT, BEE),
        (Prediction("Lite0", (ANT, BEE)), Prediction("Lite1", (BEE, ANT))),
        Timing(1, 1),
        warning="random weights: meaningless",
        status=SURE,
        prediction_set=PredictionSet(0.95, (ANT, BEE)),
        skipped=("Lite2",),
    )
    text = Html(verdict._repr_html_()).text
    for part in (
        "ant",
        "90.0 % (sure)",
        "garden/1.jpg",
        "95 %: ant, bee",
        "Lite2",
        "random weights",
    ):
        assert part in text
    assert text.index("Lite0") < text.index("ant 90.0 %") < text.index("Lite1")
    assert "None of these" not in text


def test_deprecated_attributes_still_work_and_warn() -> None:
    prediction_set = PredictionSet(0.9, (ANT,))
    verdict = Verdict(
        "1.jpg", "mean", (ANT,), (), Timing(1, 1), prediction_set=prediction_set, skipped=("Lite2",)
    )
    with pytest.warns(DeprecationWarning, match=r"now Verdict\.skipped"):
        assert verdict.slept == ("Lite2",)
    with pytest.warns(DeprecationWarning, match=r"now Verdict\.prediction_set"):
        assert verdict.choice == prediction_set


def test_a_notebook_says_that_a_photo_is_none_of_the_classes() -> None:
    verdict = Verdict(
        "1.jpg", "mean", (ANT,), (Prediction("Lite0", (ANT,)),), Timing(1, 1), status=NONE
    )
    assert "None of these" in Html(verdict._repr_html_()).text


def test_names_are_escaped_in_a_notebook() -> None:
    guess = Guess(Label(HOSTILE, "x", 0), 1.0)
    verdict = Verdict(
        HOSTILE,
        HOSTILE,
        (guess,),
        (Prediction(HOSTILE, (guess,)),),
        Timing(1, 1),
        warning=HOSTILE,
        prediction_set=PredictionSet(0.9, (guess,)),
        skipped=(HOSTILE,),
    )
    page = Html(verdict._repr_html_())
    assert page.elements <= {"div", "p", "strong", "br", "table", "tbody", "tr", "th", "td"}
    assert page.text.count(HOSTILE) == 9


def test_a_multilabel_verdict_survives_json() -> None:
    bee = MultilabelGuess(Label("bee", "bee", 1), 0.7, threshold=0.4)
    similar = Similar("ab" * 32, None, 0.5, (bee.label,))
    verdict = Verdict(
        "a.jpg",
        "weighted",
        (bee,),
        (Prediction("A", (bee,)),),
        Timing(1, 1),
        labels=(bee,),
        similar=(similar,),
    )
    whole = verdict.to_dict()
    assert whole["verdict"]["labels"][0]["threshold"] == 0.4
    again = Verdict.from_dict(whole)
    assert again.labels == verdict.labels
    assert [each.text for each in again.similar] == ["bee"]
    nothing = dataclasses.replace(verdict, labels=())
    assert Verdict.from_dict(nothing.to_dict()).labels == ()
