"""Metrics against scikit-learn's and netcal's numbers, and properties for any probs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych import errors
from triptych.evaluation import Predictions
from triptych.evaluation import metrics
from triptych.evaluation import metrics_of

# Twelve photos of four classes; the last class is never an answer. No top
# probability lies on the edge of a bin, where programs differ.
FEW_TARGETS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3])
FEW = np.array(
    [
        [0.82, 0.10, 0.05, 0.03],
        [0.34, 0.41, 0.15, 0.10],
        [0.95, 0.02, 0.02, 0.01],
        [0.05, 0.90, 0.03, 0.02],
        [0.20, 0.55, 0.15, 0.10],
        [0.45, 0.30, 0.15, 0.10],
        [0.01, 0.97, 0.01, 0.01],
        [0.10, 0.15, 0.70, 0.05],
        [0.25, 0.25, 0.45, 0.05],
        [0.98, 0.005, 0.01, 0.005],
        [0.05, 0.20, 0.61, 0.14],
        [0.10, 0.62, 0.18, 0.10],
    ]
)


def waves(images: int = 400, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Many photos, by a formula instead of a random generator, for use in any program."""
    n, c = np.mgrid[:images, :classes]
    scores = np.exp(3 * np.sin(n * (c + 1) * 0.7) + np.cos(n + c))
    probs = scores / scores.sum(1, keepdims=True)
    targets = np.where(np.arange(images) % 3 > 0, probs.argmax(1), np.arange(images) % classes)
    return probs, targets


MANY, MANY_TARGETS = waves()


@pytest.mark.parametrize(
    ("metric", "few", "many"),
    [
        # scikit-learn 1.9.1: accuracy_score
        (lambda p, t: metrics.accuracy(p, t).share, 0.5833333333333334, 0.6975),
        # scikit-learn 1.9.1: f1_score(average="macro", zero_division=0)
        (metrics.macro_f1, 0.47619047619047616, 0.6918338004237832),
        # scikit-learn 1.9.1: brier_score_loss(scale_by_half=False)
        (metrics.brier, 0.5489125, 0.5928208937334496),
        # netcal 1.4.0: metrics.ECE(15).measure
        (metrics.expected_calibration_error, 0.2891666666666667, 0.1741934891746533),
    ],
)
def test_a_metric_equals_another_programs_number(
    metric: Callable[..., float], few: float, many: float
) -> None:
    assert metric(FEW, FEW_TARGETS) == pytest.approx(few, abs=1e-12)
    assert metric(MANY, MANY_TARGETS) == pytest.approx(many, abs=1e-12)


def test_other_bins_and_other_k_equal_the_other_programs() -> None:
    # netcal 1.4.0: metrics.ECE(10).measure
    ece = metrics.expected_calibration_error(MANY, MANY_TARGETS, bins=10)
    assert ece == pytest.approx(0.1609020736032832, abs=1e-12)
    # scikit-learn 1.9.1: top_k_accuracy_score
    assert metrics.top_k(FEW, FEW_TARGETS, 2) == pytest.approx(0.8333333333333334)
    assert metrics.top_k(MANY, MANY_TARGETS, 5) == pytest.approx(0.9125)


def test_classes_equal_scikit_learn() -> None:
    # scikit-learn 1.9.1: confusion_matrix, precision_recall_fscore_support(zero_division=0)
    assert metrics.confusion(FEW, FEW_TARGETS).tolist() == [
        [2, 1, 0, 0],
        [1, 3, 0, 0],
        [1, 0, 2, 0],
        [0, 1, 1, 0],
    ]
    scores = metrics.per_class(FEW, FEW_TARGETS)
    assert scores.precision == pytest.approx([0.5, 0.6, 2 / 3, 0])
    assert scores.recall == pytest.approx([2 / 3, 0.75, 2 / 3, 0])
    assert scores.f1 == pytest.approx([0.5714285714285714, 2 / 3, 2 / 3, 0])
    assert scores.support.tolist() == [3, 4, 3, 2]


def test_reliability_equals_scikit_learn() -> None:
    # scikit-learn 1.9.1: calibration.calibration_curve(answer == targets, top prob, n_bins=15)
    bins = metrics.reliability(MANY, MANY_TARGETS)
    assert [bin.accuracy for bin in bins] == pytest.approx(
        [
            *(0.714286, 0.590909, 0.636364, 0.625, 0.690909, 0.75),
            *(0.745098, 0.8, 0.682927, 0.71875, 0.611111, 1.0),
        ],
        abs=1e-6,
    )
    assert [bin.prob for bin in bins] == pytest.approx(
        [
            *(0.243116, 0.309409, 0.368291, 0.431233, 0.50168, 0.566937),
            *(0.632965, 0.700543, 0.771842, 0.83474, 0.889056, 0.945225),
        ],
        abs=1e-6,
    )


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Any probs, ties and certainties included, and any targets."""
    images, classes = draw(st.integers(1, 12)), draw(st.integers(2, 7))
    scores = draw(hnp.arrays(np.int64, (images, classes), elements=st.integers(0, 4)))
    scores[:, 0] += scores.sum(axis=1) == 0
    targets = draw(hnp.arrays(np.int64, images, elements=st.integers(0, classes - 1)))
    return scores / scores.sum(axis=1, keepdims=True), targets


@given(answers())
def test_every_metric_stays_in_its_range(case: tuple[np.ndarray, np.ndarray]) -> None:
    accuracy = metrics.accuracy(*case)
    # At 0 and 1 the bounds touch the share, up to rounding.
    assert 0 <= accuracy.low <= accuracy.share + 1e-12
    assert accuracy.share - 1e-12 <= accuracy.high <= 1
    assert 0 <= metrics.macro_f1(*case) <= 1
    assert 0 <= metrics.expected_calibration_error(*case) <= 1
    assert 0 <= metrics.brier(*case) <= 2


@given(answers())
def test_counts_of_parts_add_up(case: tuple[np.ndarray, np.ndarray]) -> None:
    probs, targets = case
    counts = metrics.confusion(probs, targets)
    share = metrics.accuracy(probs, targets).share
    assert counts.sum() == len(targets)
    assert counts.trace() / len(targets) == pytest.approx(share)
    assert counts.sum(axis=1).tolist() == np.bincount(targets, minlength=probs.shape[1]).tolist()
    bins = metrics.reliability(probs, targets)
    assert sum(bin.count for bin in bins) == len(targets)
    assert sum(bin.count * bin.accuracy for bin in bins) / len(targets) == pytest.approx(share)
    assert all(bin.low - 1e-12 < bin.prob < bin.high + 1e-12 for bin in bins)
    assert metrics.top_k(probs, targets, 1) == pytest.approx(share)
    assert metrics.top_k(probs, targets, probs.shape[1]) == 1


@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(
    case: tuple[np.ndarray, np.ndarray], random: Any
) -> None:
    probs, targets = case
    order = random.sample(range(len(targets)), len(targets))
    for metric in (
        metrics.macro_f1,
        metrics.brier,
        metrics.expected_calibration_error,
    ):
        assert metric(probs[order], targets[order]) == pytest.approx(metric(probs, targets))
    shuffled = metrics.confusion(probs[order], targets[order])
    assert (shuffled == metrics.confusion(probs, targets)).all()


@given(answers())
def test_mistakes_are_sorted_by_probability(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    probs, targets = case
    mistakes = metrics.most_confident_mistakes(probs, targets, len(targets))
    assert set(mistakes) == {n for n in range(len(targets)) if probs[n].argmax() != targets[n]}
    sureness = [probs[n].max() for n in mistakes]
    assert sureness == sorted(sureness, reverse=True)
    assert metrics.most_confident_mistakes(probs, targets, 2).tolist() == mistakes[:2].tolist()


def test_a_perfect_committee_is_perfect_by_every_metric() -> None:
    probs, targets = np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 1])
    assert metrics.accuracy(probs, targets).share == 1
    assert metrics.macro_f1(probs, targets) == 1
    assert metrics.expected_calibration_error(probs, targets) == 0
    assert metrics.brier(probs, targets) == 0
    assert metrics.most_confident_mistakes(probs, targets, 5).tolist() == []


def few(**other: Any) -> Predictions:
    parts: dict[str, Any] = {
        "labels": ("ash", "beech", "cedar", "elm"),
        "targets": FEW_TARGETS,
        "members": {"A": FEW, "B": FEW[:, [1, 0, 2, 3]]},
        "committee": FEW,
        "sources": tuple(f"{n}.jpg" for n in range(12)),
    }
    return Predictions(**{**parts, **other})


def test_the_json_equals_the_functions() -> None:
    numbers = json.loads(json.dumps(metrics_of(few())))
    assert numbers["images"] == 12
    assert numbers["committee"]["top1"] == metrics.accuracy(FEW, FEW_TARGETS).share
    assert numbers["committee"]["interval"] == [0.3195, 0.8067]
    assert [member["name"] for member in numbers["members"]] == ["A", "B"]
    assert numbers["members"][0] == {"name": "A", **numbers["committee"]}
    assert numbers["members"][1]["top1"] == 4 / 12
    assert numbers["per_class"][3] == {
        "label": "elm",
        "precision": 0,
        "recall": 0,
        "f1": 0,
        "support": 2,
    }
    assert numbers["mistakes"][0] == {
        "source": "9.jpg",
        "truth": "cedar",
        "answer": "ash",
        "prob": 0.98,
    }
    assert len(numbers["mistakes"]) == 5
    assert "top5" not in numbers["committee"]


def test_top5_is_given_for_more_than_5_classes() -> None:
    sources = tuple(map(str, range(400)))
    predictions = Predictions(tuple("abcdef"), MANY_TARGETS, {"A": MANY}, MANY, sources)
    assert metrics_of(predictions)["committee"]["top5"] == pytest.approx(0.9125)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"sources": ()}, "no photos"),
        ({"targets": FEW_TARGETS[:3]}, r"shape \(3,\) for 12 sources"),
        ({"targets": FEW_TARGETS + 1}, "from 1 to 4 for 4 labels; expected 0 to 3"),
        ({"committee": FEW[:, :3]}, r"shape \(12, 3\) from the committee.*\(12, 4\)"),
        ({"members": {"A": FEW * 2}}, "from A that do not sum to 1"),
        ({"members": {"A": FEW * np.nan}}, "from A that do not sum to 1"),
    ],
)
def test_arrays_of_different_lengths_are_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.SettingError, match=message):
        few(**other)
