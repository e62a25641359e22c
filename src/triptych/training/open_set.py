"""Which photos may be accepted without a look, although some may be of a class that nobody named.

A classifier gives one of its classes to every photo, so that the photos of a class that it was
never shown end up in one that it was (open-set recognition). Here a photo is *strange* if it is
hardly nearer to the photos of its predicted class than to those of the next one. How strange the
photos of an unnamed class are is learned from the named ones: each labelled photo is compared with
the other classes only, as if its own had no name. The share of labelled photos that are then no
stranger than a photo of the pool is a conformal p-value of the hypothesis that the pool's photo is
not of the class predicted for it, and the Benjamini-Hochberg procedure selects those for which it
is rejected: of the selected ones, at most a given share is expected to be wrong.

That holds if classes without a name differ from the named ones as those differ from each other. A
photo of a named class that is nearer to another one counts, too: without its own class it is
stranger still, so that one p-value stands for both mistakes. With fewer than three named classes
nothing can be learned, and with few labelled photos little: then few are selected, or none.
docs/benchmarks.md has the measurements.

Sources: Jin and Candès, "Selection by Prediction with Conformal p-values", 2023; Bates et al.,
"Testing for Outliers with Conformal p-values", 2023; Benjamini and Hochberg, "Controlling the False
Discovery Rate", 1995.
"""

from __future__ import annotations

import numpy as np

from triptych.training import active_learning
from triptych.typing import Array
from triptych.typing import Float64Array
from triptych.typing import Mask

# The distance to a class is the mean of that to so many of its photos.
NEIGHBOURS = 3
# More labelled photos hardly make p-values finer.
MOST_LABELLED = 2000
# Photos that are compared with the labelled ones at once: 4 MB for 2,000 of those.
CHUNK_SIZE = 512
# Distances are at least this, so that copies in two classes have a ratio: of 1.
LEAST_DISTANCE = 1e-6


def strangeness(
    pool: Array, predicted: Array, labelled: Array, labels: Array, *, seed: int = 0
) -> tuple[Float64Array, Float64Array]:
    """How strange photos are in the classes predicted for them, and how strange wrong ones are.

    Args:
        pool: Features, shape (N, F), of any length.
        predicted: The class of each photo, shape (N,).
        labelled: Features of labelled photos, shape (L, F); L may be 0.
        labels: Their classes, shape (L,).
        seed: Of the choice among more than `MOST_LABELLED` labelled photos.

    Returns:
        Of the pool, shape (N,), the distance to the predicted class, divided by that to the nearest
        other one: above 1 if another one is nearer, infinite for a class without labelled photos.
        And of the labelled photos, each without its class, that of the nearest other one, shape
        (L,), at most 1; empty with fewer than three classes.

    Example:
        >>> labelled = np.array([[9, 0, 0], [8, 1, 0], [0, 9, 0], [1, 8, 0], [0, 0, 9], [0, 1, 8]])
        >>> labels, photo = np.array([0, 0, 1, 1, 2, 2]), np.array([[9, 1, 1]])
        >>> strange, wrong = strangeness(photo, np.array([0]), labelled, labels)
        >>> bool(strange[0] < 0.1), bool(wrong.min() > 0.7)
        (True, True)
    """
    if len(labelled) > MOST_LABELLED:
        chosen = np.random.default_rng(seed).choice(len(labelled), MOST_LABELLED, replace=False)
        labelled, labels = labelled[chosen], labels[chosen]
    directions = active_learning.to_directions(np.concatenate([pool, labelled]))
    pool, labelled = directions[: len(pool)], directions[len(pool) :]
    classes, own = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return np.full(len(pool), np.inf), np.empty(0)
    members = [np.flatnonzero(own == each) for each in range(len(classes))]
    distances = _class_distances(pool, labelled, members)
    is_predicted = predicted[:, None] == classes
    to_predicted = np.where(is_predicted, distances, np.inf).min(axis=1)
    to_others = np.where(is_predicted, np.inf, distances).min(axis=1)
    if len(classes) < 3:
        return to_predicted / to_others, np.empty(0)
    distances = _class_distances(labelled, labelled, members)
    distances[np.arange(len(labelled)), own] = np.inf
    nearest, second = np.partition(distances, 1, axis=1)[:, :2].T
    return to_predicted / to_others, nearest / second


def _class_distances(rows: Array, labelled: Array, members: list[Array]) -> Float64Array:
    """Mean cosine distances (N, C) to the nearest photos of each class."""
    distances = np.empty((len(rows), len(members)))
    for start in range(0, len(rows), CHUNK_SIZE):
        chunk = slice(start, start + CHUNK_SIZE)
        gaps = 1 - rows[chunk] @ labelled.T
        for number, photos in enumerate(members):
            count = min(NEIGHBOURS, len(photos))
            nearest = np.partition(gaps[:, photos], count - 1, axis=1)[:, :count]
            distances[chunk, number] = nearest.mean(axis=1)
    return np.maximum(distances, LEAST_DISTANCE)


def p_values(strange: Array, wrong: Array) -> Float64Array:
    """Conformal p-values of the hypothesis that photos are not of the classes predicted for them.

    Args:
        strange: How strange they are, shape (N,), from `strangeness`.
        wrong: How strange wrong ones are, shape (L,); L may be 0.

    Returns:
        In (0, 1], shape (N,): none is below 1 / (L + 1).

    Example:
        >>> p_values(np.array([0.3, 0.9]), np.array([0.5, 0.8, 0.95]))
        array([0.25, 0.75])
    """
    return np.asarray((1 + np.searchsorted(np.sort(wrong), strange, "right")) / (1 + len(wrong)))


def select(p_values: Array, share: float) -> Mask:
    """Select photos of which at most a share is expected to be wrong (Benjamini-Hochberg).

    A photo that is left out is compared with one class fewer than a new one, so that p-values hold
    only up to a factor of 2: the procedure runs at half the share.

    Args:
        p_values: From `p_values`, shape (N,).
        share: In (0, 1).

    Returns:
        Which are selected, shape (N,).

    Source: Barber et al., "Predictive Inference with the Jackknife+", 2021 (for the factor).

    Example:
        >>> select(np.array([0.01, 0.5, 0.06, 0.9]), 0.1)
        array([ True, False, False, False])
    """
    ordered = np.sort(p_values)
    limits = share / 2 * np.arange(1, len(ordered) + 1) / max(1, len(ordered))
    return np.asarray(p_values <= ordered[ordered <= limits].max(initial=0))
