"""Out-of-distribution detection: is a photo like the training photos, by the distance of features?

The distance of a photo is the mean cosine distance to its few nearest training photos. The usual
distances are known from the training photos themselves, each held out in turn; the share of
those that are at least as far is a p-value: of photos that belong, at most 5 % get 0.05 or less,
on average over the choice of training photos. That holds for any number of photos, but with n of
them no p-value is below 1 / (n + 1): with fewer than 19 training photos none can be refused at 5 %.
docs/doubt.md has the measurements.

The nearest training photos themselves are given, too, where their files are known, so that people
see what an answer rests on.

Sources: Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", 2022; Bates et
al., "Testing for Outliers with Conformal p-values", 2023.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Literal

import numpy as np

from triptych import errors
from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import Mask
from triptych.typing import UInt8Array
from triptych.utils import arrays

NEIGHBOURS = 3
# 2000 photos take 5 MB on disk; more would make p-values finer than anybody needs.
MAX_PHOTOS = 2000
# 512 rows against 2000 photos take 4 MB.
CHUNK_SIZE = 512

# The share of photos that do belong to a class and are called "none of these" all the same.
FALSE_ALARMS = 0.05

NO_DIGESTS = np.empty((0, 32), np.uint8)
NO_LABELS = np.empty(0, np.intp)


@dataclass(frozen=True)
class Neighbour:
    """A training photo that is near to another photo.

    Args:
        digest: SHA-256 of its file, in hex.
        label: Index of its class; -1 in a multi-label data set.
        distance: Cosine distance of the features, 0 (the same direction) to 2.
        labels: Indices of all its classes in a multi-label data set, else ``None``.
    """

    digest: str
    label: int
    distance: float
    labels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class OODReference:
    """The features of training photos, with which new photos are compared.

    Args:
        features: Shape (N, F), float32, of length 1, rounded to float16, in which they are
            stored.
        distances: Of training photos, each held out, to the others, rising, shape (M,), M at most
            N. Infinite where there were not enough others.
        neighbours: Number of nearest photos over which distances are averaged.
        digests: SHA-256 of each photo's file, in the order of the features, shape (N, 32),
            uint8; empty where they are not known.
        labels: Index of each photo's class, shape (N,), or in a multi-label data set whether each
            class holds, 0 or 1, shape (N, C); empty likewise.
    """

    features: Array
    distances: Float32Array
    neighbours: int
    digests: UInt8Array = field(default_factory=lambda: NO_DIGESTS)
    labels: Indices = field(default_factory=lambda: NO_LABELS)

    def save(self, path: Path) -> None:
        """Write it to a file, ``.npz``."""
        np.savez(
            path,
            allow_pickle=False,
            features=self.features.astype(np.float16),
            distances=self.distances,
            neighbours=np.array(self.neighbours),
            digests=self.digests,
            labels=self.labels.astype(np.int32 if self.labels.ndim == 1 else np.uint8),
        )

    @classmethod
    def read(cls, path: Path) -> OODReference:
        """Read what `save` wrote.

        Raises:
            errors.BundleError: It is damaged, or its arrays do not fit together.
        """
        try:
            file = arrays.read_npz(path)
            features = file["features"].astype(np.float32)
            reference = cls(features, file["distances"], int(file["neighbours"]))
            if "digests" in file:  # not written by early versions
                labels = file["labels"].astype(np.intp)
                reference = dataclasses.replace(reference, digests=file["digests"], labels=labels)
            reference.check()
        except (KeyError, TypeError, ValueError) as error:
            raise errors.BundleError(f"{path} cannot be read: {error}. It is damaged.") from error
        return reference

    def check(self) -> None:
        """Refuse arrays that do not fit together.

        Raises:
            ValueError: They do not.
        """
        photos = len(self.features) if self.features.ndim == 2 else 0
        with_photos = len(self.digests) > 0
        measured = min(photos, self.distances.size)
        shapes: dict[str, tuple[Array, tuple[int, ...]]] = {
            "distances": (self.distances, (measured,)),
            "digests": (self.digests, (photos, 32) if with_photos else NO_DIGESTS.shape),
            "labels": (self.labels, (photos, *self.labels.shape[1:2]) if with_photos else (0,)),
        }
        for name, (array, expected) in shapes.items():
            if not measured or array.shape != expected:
                raise ValueError(f"{name} has the shape {array.shape}, expected {expected}")
        if not np.isfinite(self.features).all() or np.isnan(self.distances).any():
            raise ValueError("it holds what is no number")
        if self.neighbours < 1 or (self.labels < 0).any():
            raise ValueError("it holds impossible numbers")


def fit(
    features: Array,
    *,
    groups: Array | None = None,
    typical: Mask | None = None,
    digests: UInt8Array = NO_DIGESTS,
    labels: Array = NO_LABELS,
    neighbours: int = NEIGHBOURS,
    limit: int = MAX_PHOTOS,
    seed: int = 0,
) -> OODReference:
    """Measure how far apart training photos are.

    Held-out distances are never too small for this: a training photo has one fewer to be near to
    than a new one has.

    Args:
        features: Shape (N, F), N at least 1, of any length.
        groups: Photos with the same value are near duplicates, which do not count as each
            other's neighbours, as a new photo has no duplicates here; shape (N,).
        typical: Photos that are as far from the others as new ones are, bool, shape (N,): those
            that the network itself was not trained on. By default all.
        digests: SHA-256 of their files, so that `nearest` can name them, shape (N, 32); empty
            where they are not known.
        labels: Index of each photo's class, shape (N,), or whether each class holds, shape (N, C);
            given with the digests.
        neighbours: Number of nearest photos over which distances are averaged, at least 1.
        limit: Most photos to keep, chosen at random, at least 1.
        seed: Of that choice.

    Example:
        >>> reference = fit(np.random.default_rng(0).normal([9, 0, 0], 1, size=(99, 3)))
        >>> p_values(reference, np.array([[9, 0, 0], [0, 9, 0]])).round(2)
        array([0.5 , 0.01])
    """
    if len(features) > limit:
        sample = np.sort(np.random.default_rng(seed).choice(len(features), limit, replace=False))
        features, groups = features[sample], None if groups is None else groups[sample]
        typical = None if typical is None else typical[sample]
        if len(digests):
            digests, labels = digests[sample], labels[sample]
    unit = _unit(features).astype(np.float16).astype(np.float32)
    group_of = np.arange(len(unit)) if groups is None else groups
    held_out = [
        _mean_distances(unit[rows], unit, neighbours, apart=group_of[rows, None] != group_of)
        for rows in _chunks(len(unit))
    ]
    held_out_distances = np.concatenate(held_out)
    distances = np.sort(held_out_distances if typical is None else held_out_distances[typical])
    return OODReference(unit, distances, neighbours, digests, labels.astype(np.intp))


def distances(reference: OODReference, features: Array) -> Float32Array:
    """The distance of photos from the training photos.

    Args:
        reference: From `fit`.
        features: Shape (M, F), of any length.

    Returns:
        Mean cosine distance to the nearest, 0 (in the middle of them) to 2; shape (M,).
    """
    unit = _unit(features)
    parts = [
        _mean_distances(unit[rows], reference.features, reference.neighbours)
        for rows in _chunks(len(unit))
    ]
    return np.concatenate([np.empty(0, np.float32), *parts])


def p_values(reference: OODReference, features: Array) -> Float64Array:
    """How plausible it is that photos belong to the training photos.

    Args:
        reference: From `fit`.
        features: Shape (M, F), of any length.

    Returns:
        (1 + `distances` at least as large as that of this one) / (their number + 1): above 0 and
        at most 1, shape (M,).
    """
    count = len(reference.distances)
    nearer = np.searchsorted(reference.distances, distances(reference, features), side="left")
    return np.asarray((1 + count - nearer) / (count + 1))


def nearest(reference: OODReference, features: Array, count: int) -> list[list[Neighbour]]:
    """The training photos that are nearest to other photos.

    Args:
        reference: From `fit`.
        features: Shape (M, F), of any length.
        count: How many for each, at least 0; there may be fewer.

    Returns:
        One list for each of the M photos, the nearest first; empty ones where `fit` was given no
        digests.

    Example:
        >>> digests = np.arange(64, dtype=np.uint8).reshape(2, 32)
        >>> reference = fit(np.eye(2), digests=digests, labels=np.array([5, 7]))
        >>> [[n.label for n in row] for row in nearest(reference, np.array([[1, 3]]), 2)]
        [[7, 5]]
    """
    training = reference.features[: len(reference.digests)]
    gaps = 1 - _unit(features) @ training.T  # (M, N)
    order = np.argsort(gaps, axis=1, kind="stable")[:, :count]
    return [
        [
            Neighbour(
                digest=reference.digests[index].tobytes().hex(),
                distance=max(0.0, float(row[index])),  # rounding can put it a little below zero
                **_labels(reference.labels[index]),
            )
            for index in indices
        ]
        for row, indices in zip(gaps, order, strict=True)
    ]


def _labels(of_photo: Array) -> dict[str, Any]:
    """The fields of `Neighbour` for an index, or for what holds of C classes."""
    if not of_photo.ndim:
        return {"label": int(of_photo)}
    return {"label": -1, "labels": tuple(np.flatnonzero(of_photo).tolist())}


def _unit(features: Array) -> Float32Array:
    vectors = features.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + CHUNK_SIZE) for start in range(0, count, CHUNK_SIZE)]


def _mean_distances(
    rows: Array,
    training: Array,
    neighbours: int,
    *,
    apart: Mask | Literal[True] = True,
) -> Float32Array:
    """Mean distance (M,) to the nearest of those ``apart`` (M, N); infinite where too few are."""
    gaps = np.where(apart, 1 - rows @ training.T, np.inf)  # (M, N)
    count = min(neighbours, len(training))
    nearest = np.partition(gaps, count - 1, axis=1)[:, :count]
    return np.asarray(nearest.mean(axis=1), np.float32)
