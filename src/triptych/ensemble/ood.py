"""None of these: whether a photo is like those that were taught, by the distance of its features.

The distance of a photo is the mean cosine distance to the few nearest taught photos. How large it
is for photos that belong is known from the taught ones themselves, each held out in turn; the
share of those that are at least as far is a p-value: of photos that belong, at most 5 % get 0.05
or less, on average over what might have been taught. That holds for any number of photos, but
with n of them no p-value is below 1 / (n + 1): with fewer than 19 taught photos nothing can be
refused at 5 %.

Measured: taught 245 photos of ants and bees, then asked about 153 more and 730 of anything but
insects. The features as they come tell them apart with an AUROC of 0.990, 0.994 and 0.997
(EfficientNet-Lite 0, 1 and 2), and at 5 % 98 to 99 % of the others are refused. Square roots and
centring of features did worse; the number of neighbours, 1 to 10, hardly matters. What resembles
the taught is told from it less often: of 10 dragonflies and ladybirds 5, 6 and 8 are refused.

The nearest taught photos themselves are given, too, where it is known which they are: people see by
them what an answer rests on.

Sources: Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", 2022; Bates et
al., "Testing for Outliers with Conformal p-values", 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Literal

import numpy as np

from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import Mask
from triptych.typing import UInt8Array

NEIGHBOURS = 3
# As many prototypes take 5 MB on disk; more than that make p-values finer than anybody asks for.
LIMIT = 2000
# So many rows against 2000 prototypes take 4 MB.
ROWS_AT_ONCE = 512


NO_DIGESTS = np.empty((0, 32), np.uint8)
NO_LABELS = np.empty(0, np.intp)


@dataclass(frozen=True)
class Neighbour:
    """A taught photo that is near to another photo.

    Args:
        digest: SHA-256 of its file, in hex.
        label: Its class, by its position.
        distance: 0 (the same direction) to 2: the cosine distance of the features.
    """

    digest: str
    label: int
    distance: float


@dataclass(frozen=True)
class OODReference:
    """What photos are compared with.

    Args:
        features: Shape (N, F), float32, of length 1. They are rounded to float16, which loses
            nothing more when they are stored so.
        distances: Shape (N,), rising: of each taught photo, held out, to the others. Infinite
            where there were not enough others.
        neighbours: Over how many nearest photos distances are averaged.
        digests: Shape (N, 32), uint8: the SHA-256 of each photo's file, in the order of the
            features; empty where they are not known.
        labels: Shape (N,): the class of each, by its position; empty likewise.
    """

    features: Array
    distances: Float32Array
    neighbours: int
    digests: UInt8Array = field(default_factory=lambda: NO_DIGESTS)
    labels: Indices = field(default_factory=lambda: NO_LABELS)

    def save(self, path: Path) -> None:
        """Write it as ``.npz``."""
        np.savez(
            path,
            allow_pickle=False,
            features=self.features.astype(np.float16),
            distances=self.distances,
            neighbours=np.array(self.neighbours),
            digests=self.digests,
            labels=self.labels.astype(np.int32),
        )

    @classmethod
    def read(cls, path: Path) -> OODReference:
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            features = file["features"].astype(np.float32)
            known = (features, file["distances"], int(file["neighbours"]))
            if "digests" not in file:  # written before photos could be told apart
                return cls(*known)
            return cls(*known, file["digests"], file["labels"].astype(np.intp))


def fit(
    features: Array,
    *,
    groups: Array | None = None,
    digests: UInt8Array = NO_DIGESTS,
    labels: Array = NO_LABELS,
    neighbours: int = NEIGHBOURS,
    limit: int = LIMIT,
    seed: int = 0,
) -> OODReference:
    """Learn how far apart photos that belong are.

    Held-out distances are never too small for this: a taught photo has one fewer to be near to
    than a new one has.

    Args:
        features: Shape (N, F), N at least 1, of any length.
        groups: Shape (N,): photos with the same value are near copies, which are not counted as
            each other's neighbours; a new photo has no copies among the taught ones.
        digests: Shape (N, 32): which photos they are, so that `nearest` can name them; none at
            all where that is not known.
        labels: Shape (N,): the class of each, by its position; given with the digests.
        neighbours: Over how many nearest photos distances are averaged, at least 1.
        limit: At most so many photos are kept, chosen by lot, at least 1.
        seed: Of that choice.

    Example:
        >>> taught = fit(np.random.default_rng(0).normal([9, 0, 0], 1, size=(99, 3)))
        >>> p_values(taught, np.array([[9, 0, 0], [0, 9, 0]])).round(2)
        array([0.5 , 0.01])
    """
    if len(features) > limit:
        kept = np.sort(np.random.default_rng(seed).choice(len(features), limit, replace=False))
        features, groups = features[kept], None if groups is None else groups[kept]
        if len(digests):
            digests, labels = digests[kept], labels[kept]
    known = _unit(features).astype(np.float16).astype(np.float32)
    own = np.arange(len(known)) if groups is None else groups
    found = [
        _nearest(known[rows], known, neighbours, apart=own[rows, None] != own)
        for rows in _chunks(len(known))
    ]
    order = np.sort(np.concatenate(found))
    return OODReference(known, order, neighbours, digests, labels.astype(np.intp))


def distances(reference: OODReference, features: Array) -> Float32Array:
    """How far photos are from those that were taught.

    Args:
        taught: From `fit`.
        features: Shape (M, F), of any length.

    Returns:
        Shape (M,), 0 (in the middle of them) to 2: mean cosine distance to the nearest.
    """
    fresh, known = _unit(features), reference.features
    found = [_nearest(fresh[rows], known, reference.neighbours) for rows in _chunks(len(fresh))]
    return np.concatenate([np.empty(0, np.float32), *found])


def p_values(reference: OODReference, features: Array) -> Float64Array:
    """How plausible it is that photos belong to what was taught.

    Args:
        taught: From `fit`.
        features: Shape (M, F), of any length.

    Returns:
        Shape (M,), above 0 and at most 1: (1 + taught photos at least as far from the others as
        this one) / (N + 1).
    """
    count = len(reference.distances)
    nearer = np.searchsorted(reference.distances, distances(reference, features), side="left")
    return np.asarray((1 + count - nearer) / (count + 1))


def nearest(reference: OODReference, features: Array, count: int) -> list[list[Neighbour]]:
    """The taught photos that are nearest to others.

    Args:
        taught: From `fit`.
        features: Shape (M, F), of any length.
        count: How many of each, at least 0; there may be fewer.

    Returns:
        One list for each of the M photos, the nearest first; empty ones where `fit` was not told
        which photos they are.

    Example:
        >>> digests = np.arange(64, dtype=np.uint8).reshape(2, 32)
        >>> taught = fit(np.eye(2), digests=digests, labels=np.array([5, 7]))
        >>> [[one.label for one in found] for found in nearest(taught, np.array([[1, 3]]), 2)]
        [[7, 5]]
    """
    gaps = 1 - _unit(features) @ reference.features[: len(reference.digests)].T  # (M, N)
    order = np.argsort(gaps, axis=1, kind="stable")[:, :count]
    return [
        [_neighbour(reference, int(place), float(row[place])) for place in places]
        for row, places in zip(gaps, order, strict=True)
    ]


def _neighbour(reference: OODReference, place: int, gap: float) -> Neighbour:
    digest = reference.digests[place].tobytes().hex()
    # Rounding can put the distance to itself a little below zero.
    return Neighbour(digest, int(reference.labels[place]), max(0.0, gap))


def _unit(features: Array) -> Float32Array:
    vectors = features.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]


def _nearest(
    rows: Array,
    known: Array,
    neighbours: int,
    *,
    apart: Mask | Literal[True] = True,
) -> Float32Array:
    """Mean distance (M,) to the nearest of those ``apart`` (M, N); infinite where too few are."""
    gaps = np.where(apart, 1 - rows @ known.T, np.inf)  # (M, N)
    count = min(neighbours, len(known))
    nearest = np.partition(gaps, count - 1, axis=1)[:, :count]
    return np.asarray(nearest.mean(axis=1), np.float32)
