"""Advice on which photos to add: given only if the numbers support it."""

from __future__ import annotations

import numpy as np
import pytest

from triptych.evaluation import advice

LABELS = ("ants", "bees", "wasps")
RISING = [
    {"images_per_class": 5, "top1": [0.70, 0.72, 0.69, 0.71, 0.70]},
    {"images_per_class": 10, "top1": [0.80, 0.81, 0.79, 0.82, 0.80]},
]
FLAT = [
    {"images_per_class": 5, "top1": [0.80, 0.82, 0.79, 0.81, 0.80]},
    {"images_per_class": 10, "top1": [0.80, 0.81, 0.80, 0.81, 0.80]},
]


def predictions(*classes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Probs and targets with these numbers of correct and wrong predictions in each class."""
    targets, predicted = [], []
    for label, (correct, wrong) in enumerate(classes):
        targets += [label] * (correct + wrong)
        predicted += [label] * correct + [(label + 1) % len(classes)] * wrong
    return np.eye(len(classes))[predicted], np.array(targets)


def test_the_hardest_class_is_named_if_accuracy_still_rises() -> None:
    advised = advice.advise(LABELS, *predictions((48, 2), (30, 20), (47, 3)), RISING)
    assert advised is not None
    assert (advised.label, advised.correct, advised.photos) == ("bees", 30, 50)
    assert advised.message == (
        "More photos of bees would help most: 30 of its 50 photos were classified correctly "
        "(60 %), and 95 % of the other classes' photos. Accuracy still rises with every photo "
        "added."
    )


def test_draws_are_compared_by_their_seed_where_large_ones_are_fewer() -> None:
    fewer = [RISING[0], {"images_per_class": 10, "top1": [0.80, 0.81]}]
    assert advice.advise(LABELS, *predictions((48, 2), (30, 20), (47, 3)), fewer) is not None


def test_a_small_class_is_named_on_a_flat_curve_too() -> None:
    advised = advice.advise(LABELS, *predictions((48, 2), (4, 6), (47, 3)), FLAT)
    assert advised is not None
    assert (advised.label, advised.short) == ("bees", True)
    assert advised.message.endswith("It has far fewer photos than the others.")


@pytest.mark.parametrize(
    ("classes", "curve", "why"),
    [
        (((48, 2), (30, 20), (47, 3)), FLAT, "it is hard, and not short of photos"),
        (((48, 2), (30, 20), (47, 3)), [], "nothing is known of more photos"),
        (((48, 2), (30, 20), (47, 3)), RISING[:1], "one point is no curve"),
        (((48, 2), (46, 4), (47, 3)), RISING, "the difference may be luck"),
        (((9, 1), (8, 2), (10, 0)), RISING, "so few photos tell nothing"),
        (((50, 0), (50, 0), (50, 0)), RISING, "nothing is wrong"),
        (((50, 0), (0, 0), (0, 0)), RISING, "there is nothing to compare with"),
    ],
)
def test_there_is_no_advice_without_evidence(
    classes: tuple[tuple[int, int], ...], curve: list[dict[str, object]], why: str
) -> None:
    assert advice.advise(LABELS, *predictions(*classes), curve) is None, why


def test_equally_hard_classes_are_rarely_named() -> None:
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(400):
        correct = rng.binomial(40, 0.8, 3)
        named += bool(advice.advise(LABELS, *predictions(*((n, 40 - n) for n in correct)), RISING))
    # Each of the three has a chance of 2.5 % to seem worse than the others, by its interval.
    assert 0 < named / 400 <= 0.15
