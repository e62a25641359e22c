"""Hold photos back: for one measurement (`split`) or in turns (`folds`).

Copies of one photo stay together, since a network measured with a photo it has learned looks
better than it is. Each class is divided alike. Who goes where follows from the photos' bytes and
the seed alone, so renamed or reordered files change nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.data.records import LabelledPhoto
from triptych.typing import Indices

Group = list[int]  # indices of photos that stay together

# The fold of photos that are never held back.
NEVER = -1


def split(
    photos: Sequence[LabelledPhoto], *, share: float, seed: int
) -> tuple[tuple[LabelledPhoto, ...], tuple[LabelledPhoto, ...]]:
    """Divide photos into some to learn from and some to measure with.

    Of each class about ``share`` is held back, at least one photo where copies allow it, and never
    all.

    Args:
        photos: To be divided.
        share: How much to hold back, in (0, 1).
        seed: Another one gives another division.

    Returns:
        The photos to learn from and those held back, each in an order that follows from their
        bytes.

    Raises:
        errors.SettingError: The share is impossible.

    Example:
        >>> photos = [LabelledPhoto("", i % 2, bytes([i]), i, bytes) for i in range(20)]
        >>> train, val = split(photos, share=0.2, seed=1)
        >>> len(train), sorted(photo.label for photo in val)
        (16, [0, 0, 1, 1])
    """
    if not 0 < share < 1:
        raise errors.SettingError(f"A share of {share} came; expected one between 0 and 1.")
    total = Counter(photo.label for photo in photos)
    wanted = {label: max(1, round(share * count)) for label, count in total.items()}
    held: Counter[int] = Counter()
    back: set[int] = set()
    for group in _groups(photos, seed):
        more = Counter(photos[index].label for index in group)
        if all(_may_go(label, n, held, wanted, total) for label, n in more.items()):
            held += more
            back.update(group)
    order = sorted(range(len(photos)), key=lambda index: photos[index].digest)
    return (
        tuple(photos[index] for index in order if index not in back),
        tuple(photos[index] for index in order if index in back),
    )


def _may_go(
    label: int, more: int, held: Counter[int], wanted: dict[int, int], total: Counter[int]
) -> bool:
    """Whether holding back so many more comes closer to what is wanted, and leaves some."""
    closer = held[label] + more / 2 <= wanted[label]
    return closer and held[label] + more < total[label]


def folds(photos: Sequence[LabelledPhoto], k: int, *, seed: int) -> Indices:
    """Divide photos into folds, each of which is held back once.

    A class with fewer groups of copies than folds is in as many folds as it can. A class whose
    photos are all copies of one is never held back: nothing would be left to learn it from.

    Args:
        photos: To be divided, N of them.
        k: How many folds, at least 2.
        seed: Another one gives another division.

    Returns:
        Shape (N,): each photo's fold, 0 to k - 1, or -1 for one that is never held back. So
        ``folds != i`` is to be learned from while ``folds == i`` is held back.

    Raises:
        errors.SettingError: Fewer than 2 folds.

    Example:
        >>> photos = [LabelledPhoto("", i % 2, bytes([i]), i, bytes) for i in range(20)]
        >>> np.bincount(folds(photos, 5, seed=1)).tolist()
        [4, 4, 4, 4, 4]
    """
    if k < 2:
        raise errors.SettingError(f"Asked for {k} folds; expected 2 or more.")
    chosen = np.full(len(photos), NEVER, np.intp)
    labels = np.array([photo.label for photo in photos], np.intp)
    counts = np.zeros((labels.max(initial=0) + 1, k), np.intp)
    for group in sorted(_groups(photos, seed), key=lambda group: _turn(labels[group])):
        own = labels[group]
        # The emptiest fold for these classes, then the emptiest of all.
        fold = np.lexsort((counts.sum(axis=0), counts[own].sum(axis=0)))[0]
        chosen[group] = fold
        np.add.at(counts, (own, fold), 1)
    _keep_some(chosen, labels, photos, seed)
    return chosen


def _turn(labels: Indices) -> tuple[int, int, int]:
    """When a group is placed: first if of several classes; then by class, large ones first."""
    return -len(set(labels.tolist())), int(labels.min()), -len(labels)


def _keep_some(
    chosen: Indices,
    labels: Indices,
    photos: Sequence[LabelledPhoto],
    seed: int,
) -> None:
    """Where one fold has a whole class, never hold back one group of it."""
    for group in _groups(photos, seed):
        for label in set(labels[group].tolist()):
            in_class = chosen[labels == label]
            if in_class[0] != NEVER and (in_class == in_class[0]).all():
                chosen[group] = NEVER


def _groups(photos: Sequence[LabelledPhoto], seed: int) -> list[Group]:
    """The groups of copies, in an order that follows from their bytes and the seed."""
    found: dict[int, Group] = {}
    for index, photo in enumerate(photos):
        found.setdefault(photo.group, []).append(index)
    return sorted(
        found.values(),
        key=lambda group: _shuffled(min(photos[index].digest for index in group), seed),
    )


def _shuffled(digest: bytes, seed: int) -> bytes:
    return hashlib.sha256(b"%d %s" % (seed, digest)).digest()
