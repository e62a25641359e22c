"""Label issues against cleanlab's numbers, and properties for any predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from triptych.evaluation import label_issues

PHOTOS, CLASSES = 60, 3


def waves() -> tuple[np.ndarray, np.ndarray]:
    """Predictions and labels by a formula, for use in any program; every ninth label is wrong."""
    n, c = np.mgrid[:PHOTOS, :CLASSES]
    scores = np.exp(6 * np.sin(n * (c + 1) * 0.7) + np.cos(n + c))
    probs = scores / scores.sum(1, keepdims=True)
    labels = np.where(np.arange(PHOTOS) % 9 != 4, probs.argmax(1), (probs.argmax(1) + 1) % CLASSES)
    return probs, labels


@st.composite
def labelled_predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probs (N, C) and labels (N,), N from 1 to 40, C from 2 to 5."""
    count, classes = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    probs = rng.dirichlet([draw(st.sampled_from([0.1, 1.0, 20.0]))] * classes, count)
    return probs, rng.integers(0, classes, count)


def test_issues_are_those_of_cleanlab() -> None:
    # cleanlab 2.9.0: count.get_confident_thresholds;
    # 1 - rank.get_label_quality_scores(method="normalized_margin", adjust_pred_probs=True);
    # filter.find_label_issues(filter_by="confident_learning", min_examples_per_class=0)
    probs, labels = waves()
    np.testing.assert_allclose(
        label_issues.thresholds(probs, labels),
        [0.6816156074477276, 0.8555338961591998, 0.8338084321241077],
    )
    judgement = label_issues.judge(probs, labels)
    first = np.argsort(-judgement.scores)[:8]
    assert first.tolist() == [4, 22, 49, 40, 31, 58, 13, 27]
    np.testing.assert_allclose(
        judgement.scores[first[[0, 1, 2, 7]]],
        [0.8472053435241486, 0.8442869725418742, 0.8181698723059326, 0.5405572779720431],
    )
    assert judgement.scores.mean() == pytest.approx(0.2573392672365344)
    assert np.nonzero(judgement.likely)[0].tolist() == [4, 22, 31, 40, 49]


@given(labelled_predictions())
@settings(deadline=None, max_examples=50)
def test_scores_are_shares_and_the_suggestion_is_another_class(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    probs, labels = case
    judgement = label_issues.judge(probs, labels)
    assert ((judgement.scores >= 0) & (judgement.scores <= 1)).all()
    assert (judgement.suggested != labels).all()
    assert (judgement.suggested < probs.shape[1]).all()


@given(labelled_predictions())
@settings(deadline=None, max_examples=50)
def test_the_order_of_photos_and_classes_does_not_matter(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    probs, labels = case
    rng = np.random.default_rng(0)
    photos, classes = rng.permutation(len(labels)), rng.permutation(probs.shape[1])
    first = label_issues.judge(probs, labels)
    other = label_issues.judge(probs[photos][:, classes], np.argsort(classes)[labels[photos]])
    np.testing.assert_allclose(other.scores, first.scores[photos], atol=1e-12)
    np.testing.assert_array_equal(other.likely, first.likely[photos])
    np.testing.assert_array_equal(classes[other.suggested], first.suggested[photos])


@given(labelled_predictions())
@settings(deadline=None, max_examples=50)
def test_where_the_committee_agrees_nothing_is_likely(case: tuple[np.ndarray, np.ndarray]) -> None:
    probs, _ = case
    assert not label_issues.judge(probs, probs.argmax(axis=1)).likely.any()


@given(st.integers(0, 1 << 32), st.floats(0.1, 0.2))
@settings(deadline=None, max_examples=25)
def test_labels_that_were_flipped_come_first(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, 400)
    probs = 0.04 + 0.84 * np.eye(4)[true]
    probs = np.exp(np.log(probs) + rng.normal(scale=0.3, size=probs.shape))
    probs /= probs.sum(axis=1, keepdims=True)
    flipped = rng.permutation(400)[: round(400 * share)]
    labels = true.copy()
    labels[flipped] = (true[flipped] + rng.integers(1, 4, len(flipped))) % 4
    issues = label_issues.rank(probs, labels)
    numbers = [issue.photo for issue in issues]
    assert set(numbers[: len(flipped)]) == set(flipped.tolist())
    likely = [n for n, issue in zip(numbers, issues, strict=True) if issue.likely]
    assert set(likely) <= set(flipped.tolist())
    assert len(likely) >= len(flipped) / 2  # of 40 to 80; over 1,500 seeds never below 0.82
    ours = zip(numbers[: len(flipped)], issues, strict=False)
    assert all(issue.suggested == true[number] for number, issue in ours)


def test_an_underconfident_class_is_not_listed_as_a_whole() -> None:
    # Class 1 gets 0.55 from its own photos at best, and 0.45 from half of them.
    probs = np.array([[0.99, 0.01]] * 20 + [[0.45, 0.55]] * 10 + [[0.55, 0.45]] * 10)
    labels = np.array([0] * 20 + [1] * 20)
    assert (probs.argmax(axis=1) != labels).sum() == 10
    assert not label_issues.judge(probs, labels).likely.any()


def test_current_labels_count_and_unlabelled_photos_do_not() -> None:
    probs, labels = waves()
    worst = label_issues.rank(probs, labels)[0]
    corrected = labels.copy()
    corrected[worst.photo] = worst.suggested
    after = {issue.photo: issue for issue in label_issues.rank(probs, corrected)}
    assert after[worst.photo].given == worst.suggested
    assert not after[worst.photo].likely
    for no_class in (-1, CLASSES):  # a class that the bundle does not know yet
        corrected[worst.photo] = no_class
        assert worst.photo not in {i.photo for i in label_issues.rank(probs, corrected)}


def test_all_photos_are_listed_in_order() -> None:
    probs, labels = waves()
    issues = label_issues.rank(probs, labels)
    assert len({issue.photo for issue in issues}) == PHOTOS
    scores = [suspect.score for suspect in issues]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("count", [0, 1])
def test_very_few_photos_are_accepted(count: int) -> None:
    probs, labels = waves()
    assert len(label_issues.rank(probs[:count], labels[:count])) == count
