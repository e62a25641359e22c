"""Hold photos out: once (`split`) or in turns, for cross-validation (`folds`).

Copies of one photo stay together: testing a network on copies of training photos would overestimate
its accuracy. Splits are stratified by class, those of multi-label photos by
`triptych.data.stratify`. They depend only on the photos' bytes and the seed, so renaming or
reordering files changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.data import stratify
from triptych.data.records import LabelledPhoto
from triptych.typing import Array
from triptych.typing import Indices

Group = list[int]  # indices of photos that stay together

# The fold of photos that are never held out.
NEVER = -1


def split(
    photos: Sequence[LabelledPhoto], *, share: float, seed: int
) -> tuple[tuple[LabelledPhoto, ...], tuple[LabelledPhoto, ...]]:
    """Split photos into training and held-out photos.

    Of each class about ``share`` is held out, at least one photo where copies allow it, and never
    all.

    Args:
        photos: The photos to split.
        share: How much to hold out, in (0, 1).
        seed: Another seed gives another split.

    Returns:
        The training photos and those held out, each ordered by digest.

    Raises:
        errors.SettingError: The share is not in (0, 1).

    Example:
        >>> photos = [LabelledPhoto("", i % 2, bytes([i]), i, bytes) for i in range(20)]
        >>> train, val = split(photos, share=0.2, seed=1)
        >>> len(train), sorted(photo.label for photo in val)
        (16, [0, 0, 1, 1])
    """
    if not 0 < share < 1:
        raise errors.SettingError(f"Got a share of {share}; expected one between 0 and 1.")
    if _is_multilabel(photos):
        held_out = _hold_out(photos, share, seed)
        return _divided(photos, held_out)
    total = Counter(photo.label for photo in photos)
    wanted = {label: max(1, round(share * count)) for label, count in total.items()}
    counts: Counter[int] = Counter()  # held out so far, by class
    held_out = set[int]()
    for group in _groups(photos, seed):
        more = Counter(photos[index].label for index in group)
        # Only if that brings the count closer to the target, and leaves some of each class.
        if all(
            counts[label] + n / 2 <= wanted[label] and counts[label] + n < total[label]
            for label, n in more.items()
        ):
            counts += more
            held_out.update(group)
    return _divided(photos, held_out)


def _divided(
    photos: Sequence[LabelledPhoto], held_out: Collection[int]
) -> tuple[tuple[LabelledPhoto, ...], tuple[LabelledPhoto, ...]]:
    order = sorted(range(len(photos)), key=lambda index: photos[index].digest)
    return (
        tuple(photos[index] for index in order if index not in held_out),
        tuple(photos[index] for index in order if index in held_out),
    )


def folds(photos: Sequence[LabelledPhoto], k: int, *, seed: int) -> Indices:
    """Divide photos into folds for cross-validation.

    A class with fewer groups of copies than folds is spread over as many folds as possible. A class
    whose photos are all copies of one is never held out: nothing would be left to train on.

    Args:
        photos: N photos.
        k: How many folds, at least 2.
        seed: Another seed gives other folds.

    Returns:
        Shape (N,): each photo's fold, 0 to k - 1, or -1 for one that is never held out. So
        ``folds != i`` are the training photos while ``folds == i`` are held out.

    Raises:
        errors.SettingError: Fewer than 2 folds.

    Example:
        >>> photos = [LabelledPhoto("", i % 2, bytes([i]), i, bytes) for i in range(20)]
        >>> np.bincount(folds(photos, 5, seed=1)).tolist()
        [4, 4, 4, 4, 4]
    """
    if k < 2:
        raise errors.SettingError(f"Got {k} folds; expected 2 or more.")
    if _is_multilabel(photos):
        return _multilabel_folds(photos, k, seed)
    fold_of = np.full(len(photos), NEVER, np.intp)
    labels = np.array([photo.label for photo in photos], np.intp)
    counts = np.zeros((labels.max(initial=0) + 1, k), np.intp)
    groups = _groups(photos, seed)
    # Groups of several classes first, then class by class, large groups first.
    for group in sorted(
        groups, key=lambda group: (-len(set(labels[group])), min(labels[group]), -len(group))
    ):
        classes = labels[group]
        # The fold with the fewest photos of these classes, then with the fewest of all.
        fold = np.lexsort((counts.sum(axis=0), counts[classes].sum(axis=0)))[0]
        fold_of[group] = fold
        np.add.at(counts, (classes, fold), 1)
    # If one fold has a whole class, one group of it is never held out.
    for group in groups:
        for label in set(labels[group].tolist()):
            in_class = fold_of[labels == label]
            if in_class[0] != NEVER and (in_class == in_class[0]).all():
                fold_of[group] = NEVER
    return fold_of


def _is_multilabel(photos: Sequence[LabelledPhoto]) -> bool:
    return any(photo.labels is not None for photo in photos)


def _hold_out(photos: Sequence[LabelledPhoto], share: float, seed: int) -> set[int]:
    """The indices of multi-label photos to hold out: of each class a share, and never all."""
    groups, holds = _groups(photos, seed), _holds(photos)
    counts = np.stack([holds[group].sum(axis=0) for group in groups])
    total = holds.sum(axis=0)
    wanted = np.maximum(np.minimum(1, total // 2), np.rint(share * total))
    sizes = np.array([len(group) for group in groups])
    room = (share * len(photos), (1 - share) * len(photos))
    part_of = stratify.assign(counts, sizes, np.stack([wanted, total - wanted]), room)
    held_out = part_of == 0
    for label in np.flatnonzero(total):
        of_class = np.flatnonzero(counts[:, label])
        if held_out[of_class].all():  # some must be left to train on
            held_out[of_class[0]] = False
    return {
        index for group, is_out in zip(groups, held_out, strict=True) if is_out for index in group
    }


def _multilabel_folds(photos: Sequence[LabelledPhoto], k: int, seed: int) -> Indices:
    groups, holds = _groups(photos, seed), _holds(photos)
    counts = np.stack([holds[group].sum(axis=0) for group in groups])
    sizes = np.array([len(group) for group in groups])
    wanted = np.tile(holds.sum(axis=0) / k, (k, 1))
    fold_of_group = stratify.assign(counts, sizes, wanted, [len(photos) / k] * k)
    # If one fold has all photos of a class, one group of them is never held out.
    for label in range(holds.shape[1]):
        of_class = np.flatnonzero(counts[:, label])
        in_class = fold_of_group[of_class]
        if len(of_class) and in_class[0] != NEVER and (in_class == in_class[0]).all():
            fold_of_group[of_class[0]] = NEVER
    fold_of = np.empty(len(photos), np.intp)
    for group, fold in zip(groups, fold_of_group, strict=True):
        fold_of[group] = fold
    return fold_of


def _holds(photos: Sequence[LabelledPhoto]) -> Array:
    """Which classes hold for multi-label photos, 0 or 1, shape (N, C)."""
    classes = 1 + max((max(photo.all_labels, default=0) for photo in photos), default=0)
    holds = np.zeros((len(photos), classes), np.intp)
    for row, photo in zip(holds, photos, strict=True):
        row[list(photo.all_labels)] = 1
    return holds


def _groups(photos: Sequence[LabelledPhoto], seed: int) -> list[Group]:
    """The groups of copies, in an order that depends only on their bytes and the seed."""
    groups: dict[int, Group] = {}
    for index, photo in enumerate(photos):
        groups.setdefault(photo.group, []).append(index)

    def shuffled(group: Group) -> bytes:
        digest = min(photos[index].digest for index in group)
        return hashlib.sha256(b"%d %s" % (seed, digest)).digest()

    return sorted(groups.values(), key=shuffled)
