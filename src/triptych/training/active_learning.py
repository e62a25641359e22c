"""Which photos to label next, and which to label together: pool-based active learning on features.

Both questions are answered by *coverage*. A photo covers others as well as it resembles them, by
the cosine of their features; a set of labelled photos is good if every photo of the pool that the
committee is uncertain of is covered by one of them. `order` adds the photo that improves coverage
most, again and again. The uncertain ones count most, so that no label is spent where the committee
knows the answer; what is labelled already covers its surroundings, so that no label is spent twice.
Before anything was trained all photos count alike, and the first few are the most typical ones of
different regions.

Sources: Nemhauser, Wolsey and Fisher, "An analysis of approximations for maximizing submodular set
functions", 1978 (the greedy choice has at least 63 % of the best possible coverage); Wei, Iyer and
Bilmes, "Submodularity in Data Subset Selection and Active Learning", 2015; Hacohen, Dekel and
Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets", 2022 (why
typical photos come first). docs/benchmarks.md has the measurements.
"""

from __future__ import annotations

import numpy as np

from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.typing import Float64Array
from triptych.typing import Indices

# Each of them is compared with all photos: 80 MB for 10,000 photos.
MOST_CANDIDATES = 2000
# Photos with labels that are compared with the pool; more of them hardly cover more of it.
MOST_LABELLED = 2000
# What a photo counts whose answer is certain, so that coverage decides where all are.
LEAST_WEIGHT = 1e-3
# Centres that are compared with all photos at once: 10 MB for 10,000 photos.
CHUNK_SIZE = 256
# So many photos of a group fit a screen.
MOST_IN_GROUP = 12


def uncertainty(probs: Array) -> Float64Array:
    """How uncertain predictions are: 1 minus the margin between the two most probable classes.

    Args:
        probs: Shape (N, C), C at least 2.

    Returns:
        0 (certain) to 1, shape (N,).

    Source: Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information
    Extraction", 2001.

    Example:
        >>> uncertainty(np.array([[0.5, 0.5, 0.0], [0.8, 0.1, 0.1], [0.0, 0.0, 1.0]])).round(2)
        array([1. , 0.3, 0. ])
    """
    second, first = np.partition(probs.astype(np.float64), -2, axis=1)[:, -2:].T
    return np.asarray(1 - (first - second))


def order(
    pool: Array,
    labelled: Array,
    *,
    weights: Array | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Indices:
    """The photos to label, those first whose labels are worth most.

    Args:
        pool: Features of the photos without a label, shape (N, F), of any length.
        labelled: Features of those with one, shape (L, F); L may be 0.
        weights: How much it matters that a photo is covered, shape (N,), such as `uncertainty`;
            by default all count alike.
        count: How many photos to choose, at most N; by default all of at most `MOST_CANDIDATES`.
        seed: Of the choice of candidates from a larger pool.

    Returns:
        Positions in the pool, without repetition, the best first.

    Example:
        >>> pool = np.array([[9, 0], [9, 1], [9, 2], [0, 9], [1, 9]])  # three alike, and two
        >>> order(pool, np.empty((0, 2)), count=2).tolist()
        [1, 3]
    """
    photos = len(pool)
    worth = np.full(photos, 1.0) if weights is None else np.maximum(weights, LEAST_WEIGHT)
    random = np.random.default_rng(seed)
    candidates = np.arange(photos)
    if photos > MOST_CANDIDATES:  # those that matter are drawn more often
        share = worth / worth.sum()
        candidates = np.sort(random.choice(photos, MOST_CANDIDATES, replace=False, p=share))
    count = min(len(candidates), photos if count is None else count)
    if len(labelled) > MOST_LABELLED:
        labelled = labelled[random.choice(len(labelled), MOST_LABELLED, replace=False)]
    directions = to_directions(np.concatenate([pool, labelled]))
    pool, labelled = directions[:photos], directions[photos:]
    likeness = np.maximum(pool[candidates] @ pool.T, 0)  # (K, N)
    covered = np.zeros(photos, np.float32)
    if len(labelled):
        covered = np.maximum((pool @ labelled.T).max(axis=1), 0)
    chosen = np.empty(count, np.intp)
    is_free = np.ones(len(candidates), bool)
    # What a candidate adds only falls as others are chosen: its last value is an upper bound, and
    # most need not be computed again (Minoux, "Accelerated greedy algorithms", 1978).
    worth = worth.astype(np.float32)
    gains = np.maximum(likeness - covered, 0) @ worth  # (K,)
    for number in range(count):
        while True:
            best = int(np.where(is_free, gains, -1).argmax())
            gain = np.float32(np.maximum(likeness[best] - covered, 0) @ worth)
            is_current = gain >= gains[best] * (1 - 1e-5)
            gains[best] = gain
            if is_current:
                break
        chosen[number], is_free[best] = best, False
        covered = np.maximum(covered, likeness[best])
    return candidates[chosen]


def groups(
    pool: Array,
    *,
    centres: Indices,
    classes: Array | None = None,
    copies: Array | None = None,
    most: int = MOST_IN_GROUP,
) -> list[Indices]:
    """Groups of photos that are so alike that they probably belong to one class.

    A photo belongs to the group of a centre if they are at least as alike as half of all photos are
    to their nearest neighbour.

    Args:
        pool: Features, shape (N, F), of any length.
        centres: Around which photos, the most important one first, such as `order` gives.
        classes: Class that is predicted for each photo, shape (N,); photos of different ones are
            in different groups, unless they are copies.
        copies: Photos with the same value are copies of each other, shape (N,); they are in one
            group.
        most: How many photos a group has at most, without further copies.

    Returns:
        Positions of the photos of each group, the most alike first; at least two each, and no
        photo twice; in the order of the centres.

    Example:
        >>> pool = np.array([[9, 0, 0], [9, 1, 0], [0, 9, 0], [0, 9, 1], [0, 0, 9]])
        >>> [group.tolist() for group in groups(pool, centres=np.array([2, 0, 4]))]
        [[2, 3], [0, 1]]
    """
    directions = to_directions(pool)
    classes = np.zeros(len(pool), np.intp) if classes is None else classes
    copies = np.arange(len(pool)) if copies is None else copies
    threshold = _usual_likeness(directions)
    is_free = np.ones(len(pool), bool)
    grouped = []
    for start in range(0, len(centres), CHUNK_SIZE):
        some = centres[start : start + CHUNK_SIZE]
        for centre, likeness in zip(some, directions[some] @ directions.T, strict=True):
            if not is_free[centre]:
                continue
            likeness[classes != classes[centre]] = -np.inf
            likeness[copies == copies[centre]] = 2  # before all others
            likeness[centre] = 3
            alike = np.flatnonzero(is_free & (likeness >= threshold))
            alike = alike[np.argsort(-likeness[alike], kind="stable")]
            group = alike[: max(most, int((likeness[alike] >= 2).sum()))]
            further = np.flatnonzero(is_free & np.isin(copies, copies[group]))
            group = np.concatenate([group, np.setdiff1d(further, group)])
            if len(group) > 1:
                is_free[group] = False
                grouped.append(group)
    return grouped


def _usual_likeness(directions: Float32Array) -> float:
    """Half of the photos have a neighbour that is at least so alike."""
    if len(directions) < 2:
        return 1.0
    some = np.linspace(0, len(directions) - 1, min(len(directions), MOST_CANDIDATES)).astype(int)
    likeness = directions[some] @ directions.T
    likeness[np.arange(len(some)), some] = -1
    return float(np.median(likeness.max(axis=1)))


def to_directions(features: Array) -> Float32Array:
    """Features (N, F) without what all photos have in common, of length 1."""
    vectors = features.astype(np.float32)
    vectors = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))
