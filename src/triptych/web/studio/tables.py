"""The figures of ``metrics.json`` as the tables of the result page show them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

# With more classes a matrix is no table that people read: the worst pairs are listed.
MOST_IN_MATRIX = 12
PAIRS = 15
SHADES = 6

Numbers = Mapping[str, Any]


def scores(numbers: Numbers) -> list[dict[str, Any]]:
    """The committee and its members, with where they lie on one scale.

    Args:
        numbers: Figures of an evaluation; may be empty.

    Returns:
        The rows of the figures, the committee's first and without a name; each with the ``floor``
        where the scale begins and the ``places`` of its share and of its interval's ends, in
        [0, 1].

    Example:
        >>> committee = {"top1": 0.9, "interval": [0.8, 1.0]}
        >>> [row] = scores({"committee": committee, "members": []})
        >>> row["floor"], [round(place, 3) for place in row["places"]]
        (0.8, [0.5, 0.0, 1.0])
    """
    if not numbers:
        return []
    rows = [{"name": None, **numbers["committee"]}, *numbers["members"]]
    floor = min(*(math.floor(row["interval"][0] * 10) / 10 for row in rows), 0.9)
    return [
        {
            **row,
            "floor": floor,
            "places": [(share - floor) / (1 - floor) for share in (row["top1"], *row["interval"])],
        }
        for row in rows
    ]


def matrix(labels: Sequence[str], numbers: Numbers) -> list[dict[str, Any]]:
    """The confusion matrix by rows; empty where it has too many classes to be a table.

    Each row has its ``truth``, how many ``photos`` and its ``cells``: ``answer``, ``count``,
    whether that is ``right``, and a ``shade`` from 0 (none) to `SHADES` (all of the class).
    """
    if len(labels) > MOST_IN_MATRIX:
        return []
    return [
        {"truth": truth, "photos": sum(row), "cells": _cells(labels, truth, row)}
        for truth, row in zip(labels, numbers.get("confusion", ()), strict=False)
    ]


def _cells(labels: Sequence[str], truth: str, row: Sequence[int]) -> list[dict[str, Any]]:
    whole = max(sum(row), 1)
    return [
        {
            "answer": answer,
            "count": count,
            "right": answer == truth,
            "shade": math.ceil(SHADES * count / whole),
        }
        for answer, count in zip(labels, row, strict=True)
    ]


def pairs(labels: Sequence[str], numbers: Numbers) -> list[dict[str, Any]]:
    """The classes that are most often taken for another, most frequent first.

    Example:
        >>> pairs(["ants", "bees"], {"confusion": [[3, 1], [0, 5]]})
        [{'truth': 'ants', 'answer': 'bees', 'count': 1, 'photos': 4}]
    """
    found = [
        {"truth": truth, "answer": answer, "count": count, "photos": sum(row)}
        for truth, row in zip(labels, numbers.get("confusion", ()), strict=False)
        for answer, count in zip(labels, row, strict=True)
        if count and answer != truth
    ]
    return sorted(found, key=lambda pair: -pair["count"])[:PAIRS]
