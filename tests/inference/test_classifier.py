"""From bytes to verdicts, with synthetic engines, and with the real committee `lite`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import triptych
from support import imagenet_drawings
from support.images import picture
from triptych import errors
from triptych.engines.fake import FakeEngine
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.preprocessing.recipe import Recipe
from triptych.results import Failure
from triptych.results import Label
from triptych.results import Verdict

LABELS = tuple(Label(f"class {n}", f"c{n}", n) for n in range(7))


@pytest.fixture
def classifier() -> Classifier:
    members = tuple(
        Member(name, FakeEngine(7, seed=seed), Recipe((size, size), "tf"), cost=seed + 1.0)
        for seed, (name, size) in enumerate([("Anna", 32), ("Ben", 48), ("Cleo", 64)])
    )
    weights = params.unfitted([1, 2, 3], [1, 2, 3])
    return Classifier(Committee("friends", members, LABELS, weights))


def test_a_verdict_holds_everything_people_see(classifier: Classifier) -> None:
    verdict = classifier.classify(picture(), source="cat.jpg")
    assert verdict.source == "cat.jpg"
    assert [prediction.name for prediction in verdict.members] == ["Anna", "Ben", "Cleo"]
    assert all(len(prediction.top) == 3 for prediction in verdict.members)
    assert verdict.prob == verdict.top[0].prob >= verdict.top[1].prob
    surest = max(verdict.members, key=lambda prediction: prediction.top[0].prob)
    assert verdict.surest == surest.name
    assert set(verdict.timing.members_ms) == {"Anna", "Ben", "Cleo"}
    assert verdict.timing.total_ms > 0


def test_path_bytes_array_and_pil_image_give_the_same_numbers(
    classifier: Classifier, tmp_path: Path
) -> None:
    data = picture(format="PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    opened = Image.open(io.BytesIO(data))
    answers = [
        classifier.classify(image).to_dict()
        for image in (path, str(path), data, np.asarray(opened.convert("RGB")), opened)
    ]
    for answer in answers[1:]:
        assert answer["verdict"] == answers[0]["verdict"]
        assert answer["members"] == answers[0]["members"]


def test_a_stream_answers_in_order_as_one_by_one_and_bad_images_fail_alone(
    classifier: Classifier,
) -> None:
    images = [picture(seed) for seed in range(30)]
    images[4], images[20] = b"", b"<html>"
    answers = list(classifier.classify_many((str(n), data) for n, data in enumerate(images)))
    assert [answer.source for answer in answers] == [str(n) for n in range(30)]
    for answer, data in zip(answers, images, strict=True):
        if isinstance(answer, Failure):
            assert answer.source in ("4", "20")
            assert answer.to_dict()["error"]["code"] in ("empty_image", "not_an_image")
        else:
            alone = classifier.classify(data)
            assert [g.label for g in answer.top] == [g.label for g in alone.top]
            assert answer.prob == pytest.approx(alone.prob, abs=1e-6)


def test_a_stream_is_never_read_far_ahead(classifier: Classifier) -> None:
    taken = 0

    def endless() -> Iterator[tuple[str, bytes]]:
        nonlocal taken
        while True:
            taken += 1
            yield (str(taken), picture(taken % 5))

    answers = classifier.classify_many(endless())
    for _ in range(10):
        assert isinstance(next(answers), Verdict)
    assert taken <= 40


@pytest.mark.parametrize("rule", rules.RULES)
def test_the_rule_combines_the_members_probabilities(classifier: Classifier, rule: str) -> None:
    question = ClassifyOptions(rule=rule, top=7)
    (scores,) = classifier.score_many([("x", picture())], question)
    assert not isinstance(scores, Failure)
    expected = rules.join(rule, scores.probs[:, None], [1, 2, 3])[0]
    verdict = classifier.classify(picture(), rule=rule, top=7)
    assert verdict.rule == rule
    probs = {guess.label.index: guess.prob for guess in verdict.top}
    np.testing.assert_allclose([probs[n] for n in range(7)], expected, rtol=1e-6)


def test_one_member_can_be_used_alone(classifier: Classifier) -> None:
    verdict = classifier.classify(picture(), members=["ben"])
    assert [prediction.name for prediction in verdict.members] == ["Ben"]
    assert verdict.top == verdict.members[0].top


def test_more_guesses_than_classes_are_all_classes(classifier: Classifier) -> None:
    verdict = classifier.classify(picture(), top=99)
    assert len(verdict.top) == 7
    assert sum(guess.prob for guess in verdict.top) == pytest.approx(1, abs=1e-5)


def test_fit_changes_the_members_inputs(classifier: Classifier) -> None:
    wide = picture(size=(60, 240), format="PNG")
    crop, square = (classifier.classify(wide, fit=fit) for fit in ("crop", "square"))
    assert crop.top != square.top
    squeezed = Image.open(io.BytesIO(wide)).resize((60, 60), Image.Resampling.BICUBIC)
    assert square.members != classifier.classify(squeezed, fit="crop").members


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        ({"members": ["Dora"]}, errors.UnknownName, "friends has no members Dora.*Anna, Ben, Cleo"),
        ({"members": []}, errors.UnknownName, "none named"),
        ({"rule": "best"}, errors.UnknownName, "no rule 'best'"),
        ({"top": 0}, errors.SettingError, "top 0; expected 1 or more"),
        ({"fit": "stretch"}, errors.SettingError, "'stretch' is not a known fit"),
    ],
)
def test_impossible_options_are_named(
    classifier: Classifier, question: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        classifier.classify(picture(), **question)


def test_a_committee_needs_members() -> None:
    with pytest.raises(errors.SettingError, match="at least one member"):
        Committee("nobody", (), LABELS, params.unfitted([], []))


@pytest.fixture(scope="module")
def lite(home: Path) -> Classifier:
    return triptych.load("lite", precision="f32", home=home)


@pytest.mark.parametrize("name", imagenet_drawings.DRAWINGS)
def test_lite_recognises_a_drawing(lite: Classifier, name: str) -> None:
    verdict = lite.classify(imagenet_drawings.DRAWINGS[name]())
    assert verdict.label.name == name.removesuffix(".png")
    assert verdict.label.id.startswith("n")
    assert verdict.warning is None


def test_photos_in_a_batch_are_answered_as_alone(lite: Classifier, home: Path) -> None:
    together = triptych.load("lite", precision="f32", home=home, max_batch=4, rule="mean")
    photos = [(name, draw()) for name, draw in imagenet_drawings.DRAWINGS.items()] * 3
    alone = lite.classify_many(photos, ClassifyOptions(rule="mean"))
    for batched, other in zip(together.classify_many(photos), alone, strict=True):
        assert isinstance(batched, Verdict)
        assert isinstance(other, Verdict)
        assert batched.label == other.label
        assert batched.prob == pytest.approx(other.prob, abs=1e-4)


def test_random_weights_come_with_a_warning(home: Path) -> None:
    classifier = triptych.load("lite", weights="random", members=["lite0"], home=home)
    verdict = classifier.classify(picture())
    assert verdict.warning == "random weights: meaningless"
    assert verdict.to_dict()["warning"] == verdict.warning


def test_auto_means_lite_until_the_weights_of_classic_exist() -> None:
    from triptych.inference import committee

    assert committee.resolve("auto") == "lite"
    with pytest.raises(errors.UnknownName, match="expected one of: auto, classic, lite"):
        committee.resolve("jury")
    with pytest.raises(errors.WeightsMissing, match="triptych pull ResNet50"):
        triptych.load("classic")


FORKED = """
import os
from support import studios
from support.images import squares
from triptych import errors

classifier = studios.fake_classifier("lite")
classifier.classify(squares())
child = os.fork()
if not child:
    try:
        classifier.classify(squares())
    except errors.EngineError as error:
        print(error, flush=True)
    studios.fake_classifier("lite").classify(squares())
    print("loaded after the fork it answers", flush=True)
    os._exit(0)
os.waitpid(child, 0)
classifier.classify(squares())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_committee_loaded_before_a_fork_is_refused():
    command = [sys.executable, "-c", FORKED]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "This committee was loaded before the process was forked" in ran.stdout, ran.stderr
    assert "loaded after the fork it answers" in ran.stdout
    assert ran.returncode == 0
