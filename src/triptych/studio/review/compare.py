"""Two versions of a committee compared on the same photos, by current labels."""

from __future__ import annotations

from dataclasses import dataclass
from operator import eq

import numpy as np

from triptych.evaluation import metrics
from triptych.evaluation import paired
from triptych.studio.review.review import Review
from triptych.studio.review.review import ReviewedPhoto
from triptych.typing import Mask


@dataclass(frozen=True)
class VersionAccuracy:
    """The accuracy of one of two versions on the compared photos.

    Args:
        correct: How many it predicted correctly.
        interval: 95 % interval of their share.
    """

    correct: int
    interval: tuple[float, float]


@dataclass(frozen=True)
class ClassComparison:
    """How many photos of a class each version predicted correctly.

    Args:
        name: Its current name.
        photos: How many of the compared photos are in it.
        before: How many of them the older version predicted correctly.
        after: How many the newer one predicted correctly.
        before_extra: For how many other photos the older version predicted it.
        after_extra: For how many the newer one did.
    """

    name: str
    photos: int
    before: int
    after: int
    before_extra: int = 0
    after_extra: int = 0


@dataclass(frozen=True)
class Comparison:
    """Two versions compared on photos that neither was trained on, by current labels.

    Args:
        photos: How many photos were compared; 0 if they have none in common.
        only_one: How many photos only one of them was evaluated on; they are not compared.
        before: The older version.
        after: The newer one.
        gain: The gain in accuracy, with its 95 % interval.
        classes: The comparison for each class.
        fixed: Photos that only the newer one predicts correctly, with its predictions.
        broken: Photos that only the older one predicts correctly, with the newer one's predictions.
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
    """Compare two versions of a project's committee.

    Args:
        before: The older version.
        after: The newer one, of the same project.
        held_out_only: Whether to compare only photos that both held out, or all that both predicted
            out of fold.
    """
    old, new = _positions(before, held_out_only), _positions(after, held_out_only)
    both = [digest for digest in new if digest in old and _home(after, digest) is not None]
    labels = [_home(after, digest) for digest in both]
    answers = [
        before.answers([old[digest] for digest in both]),
        after.answers([new[digest] for digest in both]),
    ]
    # Of several classes all have to be right, and no other be answered.
    was, now = (np.array(list(map(eq, each, labels)), bool) for each in answers)
    broken, fixed = was & ~now, now & ~was
    total = len(both)
    # The difference of two shares, the newer one's first.
    gain = paired.Loss(0.0, -1.0, 1.0)
    if total:
        gain = paired.paired(int(fixed.sum()), int(broken.sum()), total)
    classes = []
    for each in after.project.classes:
        photos = [each.id in (label or ()) for label in labels]
        if any(photos):
            correct = (
                sum(each.id in answer for answer, is_in in zip(side, photos, strict=True) if is_in)
                for side in answers
            )
            extra = (
                sum(
                    each.id in answer
                    for answer, is_in in zip(side, photos, strict=True)
                    if not is_in
                )
                for side in answers
            )
            classes.append(ClassComparison(each.name, sum(photos), *correct, *extra))
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
    """Positions of the photos to compare among the predictions of a version."""
    if review.predictions is None:
        return {}
    counts = review.predictions.held_out | (not held_out_only)
    return {review.digests[position]: int(position) for position in np.nonzero(counts)[0]}


def _home(review: Review, digest: str) -> frozenset[int] | None:
    """The current classes of a photo; ``None`` if it does not count."""
    photo = review.photos.get(digest)
    if photo is None or photo.excluded or photo.class_ids is None:
        return None
    return frozenset(photo.class_ids)


def _side(correct: Mask) -> VersionAccuracy:
    count = int(correct.sum())
    return VersionAccuracy(count, metrics.wilson(count, len(correct)))
