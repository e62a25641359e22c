"""Two versions of a committee on the same photos, by today's labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triptych.evaluation import metrics
from triptych.evaluation import paired
from triptych.studio.review.review import Review
from triptych.studio.review.review import ReviewedPhoto
from triptych.typing import Indices
from triptych.typing import Mask


@dataclass(frozen=True)
class VersionAccuracy:
    """How one of two versions did on the photos that are compared.

    Args:
        correct: How many it predicted correctly.
        interval: Of their share, 95 %.
    """

    correct: int
    interval: tuple[float, float]


@dataclass(frozen=True)
class ClassComparison:
    """How often photos of a class were right before and after.

    Args:
        name: Today's.
        photos: How many of the compared photos are in it.
        before: How many of those the older version had right.
        after: How many the newer one had right.
    """

    name: str
    photos: int
    before: int
    after: int


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same photos, which neither was trained on, by today's labels.

    Args:
        photos: How many they are; 0 where there are none in common.
        only_one: Photos that only one of them was evaluated on, which are not compared.
        before: The older version.
        after: The newer one.
        gain: How much larger the share of right answers is, with its 95 % interval.
        classes: Class by class.
        fixed: Photos that only the newer one has right, as it answered them.
        broken: Photos that only the older one has right, as the newer one answered them.
    """

    photos: int
    only_one: int
    before: VersionAccuracy
    after: VersionAccuracy
    gain: paired.Loss
    classes: list[ClassComparison]
    fixed: list[ReviewedPhoto]
    broken: list[ReviewedPhoto]


def compare(before: Review, after: Review, *, held_out_only: bool = True) -> Comparison:
    """What changed from one version to another.

    Args:
        before: The older version.
        after: The newer one, of the same project.
        held_out_only: Whether only photos that both held out are compared, or all that both
            predicted out of fold.
    """
    old, new = _positions(before, held_out_only), _positions(after, held_out_only)
    both = [digest for digest in new if digest in old and _home(after, digest) is not None]
    labels = np.array([_home(after, digest) for digest in both], dtype=np.intp)
    was = _answered(before, [old[digest] for digest in both]) == labels
    now = _answered(after, [new[digest] for digest in both]) == labels
    broken, fixed = was & ~now, now & ~was
    total = len(both)
    # The difference of two shares, the newer one's first.
    gain = paired.Loss(0.0, -1.0, 1.0)
    if total:
        gain = paired.paired(int(fixed.sum()), int(broken.sum()), total)
    classes = []
    for each in after.project.classes:
        photos = labels == each.id
        if photos.any():
            correct = int(was[photos].sum()), int(now[photos].sum())
            classes.append(ClassComparison(each.name, int(photos.sum()), *correct))
    return Comparison(
        photos=total,
        only_one=len({*old, *new}) - len({*old} & {*new}),
        before=_side(was),
        after=_side(now),
        gain=gain,
        classes=classes,
        fixed=after.photos_at(new[both[position]] for position in np.nonzero(fixed)[0]),
        broken=after.photos_at(new[both[position]] for position in np.nonzero(broken)[0]),
    )


def _positions(review: Review, held_out_only: bool) -> dict[str, int]:
    """Where the photos that count are among the answers of a version."""
    if review.predictions is None:
        return {}
    counts = review.predictions.held_out | (not held_out_only)
    return {review.digests[position]: int(position) for position in np.nonzero(counts)[0]}


def _home(review: Review, digest: str) -> int | None:
    """The class that a photo belongs to today; ``None`` if it is not to be counted."""
    photo = review.photos.get(digest)
    return None if photo is None or photo.excluded else photo.class_id


def _answered(review: Review, positions: list[int]) -> Indices:
    """The answers of a version as today's classes; -1 for one that is no more."""
    ids = np.array([each.id if each else -1 for each in review.current_classes], dtype=np.intp)
    if review.predictions is None or not positions:
        return np.zeros(0, dtype=np.intp)
    answers: Indices = ids[review.predictions.probs[positions].argmax(axis=1)]
    return answers


def _side(correct: Mask) -> VersionAccuracy:
    count = int(correct.sum())
    return VersionAccuracy(count, metrics.wilson(count, len(correct)))
