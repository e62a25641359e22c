"""The figures of ``metrics.json`` as tables and charts: the same on the result page of the studio
and in ``report.html``.

`prepare` gives what the macros of ``templates/figures.html`` draw, as HTML and as SVG that takes
its colours from ``static/figures.css``. Lengths are in units of the drawing, whose field is `SIDE`
wide and high, with y pointing down.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from triptych.ensemble.promise import RISK
from triptych.ensemble.promise import least_photos
from triptych.evaluation import metrics
from triptych.evaluation import multilabel
from triptych.utils import formatting

# With more classes the confusion matrix is drawn without names and numbers.
MOST_IN_MATRIX = 12
PAIRS = 15
SHADES = 6

SIDE = 300.0
SMALLEST, LARGEST = 4.0, 8.0
# Above this ratio of most to fewest photos, a linear axis would crowd the first points.
WIDE_RANGE = 8
MARGIN = 12.0
STEPS = (0.05, 0.1, 0.2, 0.25)
MOST_STEPS = 5

Numbers = Mapping[str, Any]


def prepare(labels: Sequence[str], numbers: Numbers) -> dict[str, Any]:
    """Prepare the data that the macros draw.

    Args:
        labels: Names of the classes, in the order of the outputs.
        numbers: What ``metrics.json`` holds; may be empty.

    Returns:
        ``numbers``; ``scores``, see `scores`; ``classes``, hardest first; ``matrix``, ``cells`` and
        ``pairs`` of the confusion matrix, see the functions of these names; ``reliability`` and
        ``curve``, the points of the two charts; ``few``, whether there are so few photos that the
        interval is the headline; ``correct``, how many of them were classified correctly. Of a
        multi-label committee ``multilabel`` is true, and there are no positions, matrix and pairs.
    """
    if not numbers:
        return {"numbers": {}}
    if numbers.get("task") == multilabel.TASK:
        return _prepare_multilabel(numbers)
    counts = numbers["confusion"]
    predicted = [sum(column) for column in zip(*counts, strict=True)]
    classes = [
        {**row, "answered": times}
        for row, times in zip(numbers["per_class"], predicted, strict=True)
    ]
    return {
        "numbers": numbers,
        "multilabel": False,
        "few": numbers["images"] < formatting.SHARE_FROM,
        "correct": sum(row[index] for index, row in enumerate(counts)),
        "scores": scores(numbers),
        "classes": sorted(classes, key=lambda row: row["f1"]),
        "matrix": matrix(labels, counts) if len(labels) <= MOST_IN_MATRIX else [],
        "cells": cells(counts) if len(labels) > MOST_IN_MATRIX else [],
        "pairs": pairs(labels, counts),
        "reliability": reliability(numbers["reliability"]),
        "curve": curve(numbers.get("learning_curve", ())),
    }


def _prepare_multilabel(numbers: Numbers) -> dict[str, Any]:
    """The data of a multi-label committee: there is no confusion of one class with another."""
    exact = round(numbers["committee"]["subset_accuracy"] * numbers["images"])
    unknown = {"target": None, "precision": None}
    thresholds = numbers.get("thresholds") or [unknown] * len(numbers["per_class"])
    target = next((each["target"] for each in thresholds if each["target"]), None)
    return {
        "numbers": numbers,
        "multilabel": True,
        "few": numbers["images"] < formatting.SHARE_FROM,
        "correct": exact,
        "scores": [{"name": None, **numbers["committee"]}, *numbers["members"]],
        "classes": sorted(
            (
                {**row, "chosen": {"status": None, **chosen, "missed": _is_missed(chosen)}}
                for row, chosen in zip(numbers["per_class"], thresholds, strict=True)
            ),
            key=lambda row: row["f1"],
        ),
        "least": least_photos(target) if target and target < 1 else None,
        "confidence": 1 - RISK,
        "reliability": reliability(numbers["reliability"]),
        "curve": curve(()),
    }


def _is_missed(threshold: Mapping[str, Any]) -> bool:
    target, precision = threshold["target"], threshold["precision"]
    return target is not None and (precision is None or precision < target)


def scores(numbers: Numbers) -> list[dict[str, Any]]:
    """The accuracies of the committee and its members, with their positions on a common scale.

    Args:
        numbers: What ``metrics.json`` holds.

    Returns:
        The rows of the figures, the committee's first and without a name; each with the ``floor``
        where the scale begins and the ``positions`` of its share and of its interval's ends, in
        [0, 1].

    Example:
        >>> committee = {"top1": 0.9, "interval": [0.8, 1.0]}
        >>> [row] = scores({"committee": committee, "members": []})
        >>> row["floor"], [round(position, 3) for position in row["positions"]]
        (0.8, [0.5, 0.0, 1.0])
    """
    rows = [{"name": None, **numbers["committee"]}, *numbers["members"]]
    floor = min(*(math.floor(row["interval"][0] * 10) / 10 for row in rows), 0.9)
    return [
        {
            **row,
            "floor": floor,
            "positions": [
                (share - floor) / (1 - floor) for share in (row["top1"], *row["interval"])
            ],
        }
        for row in rows
    ]


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """The confusion matrix as the rows of a table.

    Args:
        labels: Names of the C classes.
        counts: C rows of C numbers: row the true class, column the answer.

    Returns:
        Rows with their ``truth``, how many ``photos`` and their ``cells``: ``answer``, ``count``,
        whether that is ``correct``, and a ``shade`` from 0 (none) to `SHADES` (all of the class).

    Example:
        >>> [row, _] = matrix(["ants", "bees"], [[3, 1], [0, 5]])
        >>> row["truth"], row["photos"], [cell["shade"] for cell in row["cells"]]
        ('ants', 4, [5, 2])
    """
    return [
        {
            "truth": label,
            "photos": sum(row),
            "cells": [
                {
                    "answer": answer,
                    "count": count,
                    "correct": answer == label,
                    "shade": _shade(count, row),
                }
                for answer, count in zip(labels, row, strict=True)
            ],
        }
        for label, row in zip(labels, counts, strict=True)
    ]


def cells(counts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """The confusion matrix of many classes as a picture, one path for each colour and shade.

    Args:
        counts: C rows of C numbers: row the true class, column the answer.

    Returns:
        For each its ``shade``, whether the cells are ``correct``, and the ``path`` of their
        squares, a unit wide each.

    Example:
        >>> cells([[3, 1], [0, 5]])[0]
        {'correct': False, 'shade': 2, 'path': 'M1 0h1v1h-1z'}
    """
    paths: dict[tuple[bool, int], str] = {}
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            if count:
                key = (x == y, _shade(count, row))
                paths[key] = paths.get(key, "") + f"M{x} {y}h1v1h-1z"
    return [
        {"correct": correct, "shade": shade, "path": path}
        for (correct, shade), path in sorted(paths.items())
    ]


def _shade(count: int, row: Sequence[int]) -> int:
    return math.ceil(SHADES * count / max(sum(row), 1))


def pairs(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """The `PAIRS` classes that are most often taken for another, most frequent first.

    Args:
        labels: Names of the C classes.
        counts: C rows of C numbers: row the true class, column the answer.

    Example:
        >>> pairs(["ants", "bees"], [[3, 1], [0, 5]])
        [{'truth': 'ants', 'answer': 'bees', 'count': 1, 'photos': 4}]
    """
    confused: list[dict[str, Any]] = [
        {"truth": label, "answer": answer, "count": count, "photos": sum(row)}
        for label, row in zip(labels, counts, strict=True)
        for answer, count in zip(labels, row, strict=True)
        if count and answer != label
    ]
    return sorted(confused, key=lambda pair: -pair["count"])[:PAIRS]


def reliability(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The points of a reliability diagram: stated probability across, accuracy upwards.

    Args:
        bins: Filled bins, as ``metrics.json`` has them.

    Returns:
        For each ``x``, ``y``, ``low`` and ``high`` (of the 95 % interval) and the ``radius``,
        larger for more photos.

    Example:
        >>> [point] = reliability([{"prob": 0.5, "accuracy": 1.0, "count": 4}])
        >>> point["x"], point["y"], point["radius"]
        (150.0, 0.0, 8.0)
    """
    most = max((bin["count"] for bin in bins), default=1)
    points = []
    for bin in bins:
        low, high = metrics.wilson(round(bin["accuracy"] * bin["count"]), bin["count"])
        points.append(
            {
                "x": SIDE * bin["prob"],
                "y": _up(bin["accuracy"]),
                "low": _up(low),
                "high": _up(high),
                "radius": SMALLEST + (LARGEST - SMALLEST) * math.sqrt(bin["count"] / most),
            }
        )
    return points


def curve(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A learning curve: photos per class across, accuracy upwards.

    Args:
        points: As ``metrics.json`` has them: ``images_per_class``, ascending, and ``top1``, one
            share for each run.

    Returns:
        ``points`` (each with ``x``, ``y``, ``size``, ``mean`` and the heights of its ``runs``),
        the ``line`` through them as SVG wants it, and ``ticks`` of the vertical axis.

    Example:
        >>> drawn = curve([{"images_per_class": 5, "top1": [0.5, 1.0]}])
        >>> drawn["points"][0]["mean"], drawn["line"]
        (0.75, '150.0,150.0')
    """
    lowest = min((share for point in points for share in point["top1"]), default=0.0)
    floor = min(math.floor(lowest * 20) / 20, 0.9)
    sizes = [point["images_per_class"] for point in points]
    drawn = [
        {
            "x": x,
            "size": point["images_per_class"],
            "mean": statistics.fmean(point["top1"]),
            "y": _up(statistics.fmean(point["top1"]), floor),
            "runs": [_up(share, floor) for share in point["top1"]],
        }
        for x, point in zip(_positions(sizes), points, strict=True)
    ]
    line = " ".join(f"{point['x']:.1f},{point['y']:.1f}" for point in drawn)
    return {"points": drawn, "line": line, "ticks": _ticks(floor)}


def _positions(sizes: Sequence[int]) -> list[float]:
    """Horizontal positions of numbers of photos; on a logarithmic axis if they range widely."""
    if len(sizes) < 2:
        return [SIDE / 2] * len(sizes)
    wide = sizes[-1] >= WIDE_RANGE * sizes[0]
    values = [math.log(size) if wide else float(size) for size in sizes]
    reach = values[-1] - values[0]
    return [MARGIN + (SIDE - 2 * MARGIN) * (value - values[0]) / reach for value in values]


def _ticks(floor: float) -> list[dict[str, float]]:
    """A few round shares from the floor to 1."""
    step = next((step for step in STEPS if (1 - floor) / step <= MOST_STEPS), STEPS[-1])
    first = math.ceil(round(floor / step, 6))
    shares = [round(number * step, 6) for number in range(first, round(1 / step) + 1)]
    return [{"share": share, "y": _up(share, floor)} for share in shares]


def _up(share: float, floor: float = 0.0) -> float:
    return SIDE * (1 - (share - floor) / (1 - floor))
