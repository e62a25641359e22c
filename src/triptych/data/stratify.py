"""Iterative stratification: divide photos of a multi-label data set so that each part has its share
of every class.

Photos of one class after the other are given to the part that lacks most of that class, the rarest
class first: frequent classes can still be evened out later, rare ones cannot. Groups of copies stay
together.

Source: Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", 2011.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triptych.typing import Array
from triptych.typing import Indices


def assign(groups: Array, sizes: Array, wanted: Array, room: Sequence[float]) -> Indices:
    """Divide groups of photos into parts.

    Args:
        groups: How many photos of each class each of G groups has, shape (G, C). Of groups that
            are equally good, the first is taken first.
        sizes: How many photos each group has, shape (G,).
        wanted: How many photos of each class each part is to have, shape (P, C).
        room: How many photos each part is to have, length P.

    Returns:
        The part of each group, shape (G,).

    Example:
        >>> groups = np.array([[1, 0], [1, 0], [1, 1], [1, 1], [0, 0], [0, 0]])
        >>> assign(groups, np.ones(6), np.array([[2, 1], [2, 1]]), [3, 3]).tolist()
        [0, 1, 0, 1, 0, 1]
    """
    part_of = np.full(len(groups), -1, np.intp)
    lacking, left = np.asarray(wanted, np.float64).copy(), np.asarray(room, np.float64).copy()
    remaining = groups.sum(axis=0)  # photos of each class that have no part yet
    while (part_of < 0).any():
        classes = np.flatnonzero(remaining)
        if len(classes):
            rarest = classes[remaining[classes].argmin()]
            open_groups = np.flatnonzero((part_of < 0) & (groups[:, rarest] > 0))
            order = open_groups[np.argsort(-groups[open_groups, rarest], kind="stable")]
        else:
            rarest = None
            open_groups = np.flatnonzero(part_of < 0)
            order = open_groups[np.argsort(-sizes[open_groups], kind="stable")]
        for group in order:
            # The part that lacks most of this class; of equal ones, the one with most room.
            first = left if rarest is None else lacking[:, rarest]
            part = np.lexsort((-left, -first))[0]
            part_of[group] = part
            lacking[part] -= groups[group]
            left[part] -= sizes[group]
            remaining -= groups[group]
    return part_of
