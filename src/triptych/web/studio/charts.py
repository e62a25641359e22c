"""Where the points of the result page's two charts go.

Drawn as SVG by the page's own templates and coloured by its style sheet: pictures with colours
inside would need a looser policy, and Matplotlib, which only a machine that teaches must have.
Lengths are in units of the drawing, whose field is `SIDE` wide and high, with y pointing down.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from triptych.evaluation import metrics

SIDE = 300.0
SMALLEST, LARGEST = 4.0, 8.0
# Beyond so many times the fewest photos, even steps would crowd the first ones.
WIDE_RANGE = 8
MARGIN = 12.0
STEPS = (0.05, 0.1, 0.2, 0.25)
MOST_STEPS = 5


def reliability(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The points of a reliability diagram: how sure across, how often right upwards.

    Args:
        bins: Filled bins, as ``metrics.json`` has them.

    Returns:
        For each ``x``, ``y``, ``low`` and ``high`` (of the 95 % interval) and the ``radius``,
        larger where more photos stand behind it.

    Example:
        >>> [point] = reliability([{"prob": 0.5, "accuracy": 1.0, "count": 4}])
        >>> point["x"], point["y"], point["radius"]
        (150.0, 0.0, 8.0)
    """
    most = max((bin["count"] for bin in bins), default=1)
    return [_point(bin, most) for bin in bins]


def _point(bin: Mapping[str, Any], most: int) -> dict[str, float]:
    low, high = metrics.wilson(round(bin["accuracy"] * bin["count"]), bin["count"])
    return {
        "x": _across(bin["prob"]),
        "y": _up(bin["accuracy"]),
        "low": _up(low),
        "high": _up(high),
        "radius": SMALLEST + (LARGEST - SMALLEST) * math.sqrt(bin["count"] / most),
    }


def curve(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A learning curve: photos per class across, how often right upwards.

    Args:
        points: As ``metrics.json`` has them: ``images_per_class``, rising, and ``top1``, one
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
        for x, point in zip(_places(sizes), points, strict=True)
    ]
    line = " ".join(f"{point['x']:.1f},{point['y']:.1f}" for point in drawn)
    return {"points": drawn, "line": line, "ticks": _ticks(floor)}


def _places(sizes: Sequence[int]) -> list[float]:
    """Where numbers of photos lie across; by their logarithms where they range widely."""
    if len(sizes) < 2:
        return [SIDE / 2] * len(sizes)
    wide = sizes[-1] >= WIDE_RANGE * sizes[0]
    values = [math.log(size) if wide else float(size) for size in sizes]
    reach = values[-1] - values[0]
    return [MARGIN + (SIDE - 2 * MARGIN) * (value - values[0]) / reach for value in values]


def _ticks(floor: float) -> list[dict[str, float]]:
    """Round shares from the floor to 1, few enough to be read."""
    step = next((step for step in STEPS if (1 - floor) / step <= MOST_STEPS), STEPS[-1])
    first = math.ceil(round(floor / step, 6))
    shares = [round(place * step, 6) for place in range(first, round(1 / step) + 1)]
    return [{"share": share, "y": _up(share, floor)} for share in shares]


def _across(share: float) -> float:
    return SIDE * share


def _up(share: float, floor: float = 0.0) -> float:
    return SIDE * (1 - (share - floor) / (1 - floor))
