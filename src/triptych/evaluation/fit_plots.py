"""Plots of what fitting changes and of what networks cost, as PNG files.

The charts of the report are SVG, see `figures`. Matplotlib is imported inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

import numpy as np

from triptych.evaluation import metrics
from triptych.evaluation import plot_style
from triptych.typing import Float64Array
from triptych.typing import Labels
from triptych.typing import Probs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE, AFTER = plot_style.WARM, plot_style.COLD


def reliability(path: Path, answers: Mapping[str, Probs], targets: Labels) -> None:
    """Reliability diagrams side by side: stated probability against accuracy.

    Args:
        path: The file to write.
        answers: By title, shape (N, C) each; the first is drawn as "before".
        targets: Shape (N,).
    """
    figure = plot_style.figure(3.6 * len(answers), 3.7)
    panels = figure.subplots(1, len(answers), sharey=True, squeeze=False)[0]
    for axes, colour, (title, probs) in zip(
        panels, _colours(answers), answers.items(), strict=True
    ):
        axes.plot([0, 1], [0, 1], color=plot_style.QUIET, linewidth=1, linestyle=(0, (4, 3)))
        for bin in metrics.reliability(probs, targets):
            interval = metrics.wilson(round(bin.accuracy * bin.count), bin.count)
            axes.plot([bin.prob] * 2, interval, color=colour, linewidth=1.2, alpha=0.45)
            size_pt = 3 + 6 * (bin.count / len(targets)) ** 0.5
            axes.plot(bin.prob, bin.accuracy, "o", color=colour, markersize=size_pt)
        error = metrics.expected_calibration_error(probs, targets)
        plot_style.title(axes, f"{title}: calibration error {100 * error:.1f} points")
        axes.set_xlabel("probability of the answer")
        plot_style.percents(axes.xaxis)
        plot_style.calm(axes)
    plot_style.percents(panels[0].yaxis)
    panels[0].set_ylabel("right answers")
    plot_style.save(figure, path)


def risk_coverage(path: Path, answers: Mapping[str, Probs], targets: Labels) -> None:
    """Risk-coverage curves: the share of wrong answers among the surest, from few to all.

    Args:
        path: The file to write.
        answers: By title, shape (N, C) each; the first is drawn as "before".
        targets: Shape (N,).

    Source: El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", 2010.
    """
    figure = plot_style.figure(5.2, 3.7)
    axes = figure.subplots()
    for colour, (title, probs) in zip(_colours(answers), answers.items(), strict=True):
        shares, risks = risks_of(probs, targets)
        axes.plot(shares, risks, color=colour, linewidth=1.6, label=title)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("photos answered, the surest first")
    plot_style.title(axes, "wrong answers among them")
    plot_style.percents(axes.xaxis)
    plot_style.percents(axes.yaxis)
    axes.legend(frameon=False, labelcolor=plot_style.INK)
    plot_style.calm(axes)
    plot_style.save(figure, path)


def risks_of(probs: Probs, targets: Labels) -> tuple[Float64Array, Float64Array]:
    """The share of wrong answers among the surest 1, 2, ... N photos.

    Args:
        probs: Shape (N, C).
        targets: Shape (N,).

    Returns:
        Shares of all photos and of wrong answers among them, shape (N,) each.

    Example:
        >>> risks_of(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))[1].tolist()
        [0.0, 0.5]
    """
    order = np.argsort(-probs.max(axis=1), kind="stable")
    wrong = (probs.argmax(axis=1) != targets)[order]
    counts = np.arange(1, len(targets) + 1)
    return counts / len(targets), np.cumsum(wrong) / counts


class Spot(NamedTuple):
    """One committee in the plot of `costs`.

    Args:
        title: Its name.
        ms: Latency for a photo, in milliseconds.
        accuracy: In [0, 1].
        interval: 95 % interval of the accuracy.
        is_cascade: Whether it is a cascade.
        is_front: Whether it is on the Pareto front.
        is_recommended: Whether it is recommended.
    """

    title: str
    ms: float
    accuracy: float
    interval: tuple[float, float]
    is_cascade: bool
    is_front: bool
    is_recommended: bool


def costs(path: Path, spots: Sequence[Spot], *, budget_ms: float) -> None:
    """Accuracy against latency; the Pareto front is joined by a line and labelled.

    Args:
        path: The file to write.
        spots: At least one.
        budget_ms: Drawn if it lies within the axes.
    """
    figure = plot_style.figure(7.2, 4.6)
    axes = figure.subplots()
    front = sorted((spot for spot in spots if spot.is_front), key=lambda spot: spot.ms)
    for spot in spots:
        colour = BEFORE if spot.is_recommended else AFTER if spot.is_front else plot_style.QUIET
        marker, alpha = "D" if spot.is_cascade else "o", 1.0 if spot.is_front else 0.45
        axes.plot([spot.ms] * 2, spot.interval, color=colour, linewidth=1, alpha=alpha * 0.3)
        axes.plot(spot.ms, spot.accuracy, marker, color=colour, markersize=6, alpha=alpha)
    axes.plot(
        [spot.ms for spot in front],
        [spot.accuracy for spot in front],
        color=AFTER,
        linewidth=1.2,
        drawstyle="steps-post",
    )
    axes.set_xscale("log")
    _ticks_ms(axes, [spot.ms for spot in spots])
    axes.set_xlabel("milliseconds a photo")
    plot_style.percents(axes.yaxis)
    if axes.get_xlim()[0] < budget_ms < axes.get_xlim()[1]:
        axes.axvline(budget_ms, color=BEFORE, linewidth=1, linestyle=(0, (4, 3)))
    for number, spot in enumerate(front, start=1):
        axes.annotate(
            str(number),
            (spot.ms, spot.accuracy),
            (4, 5),
            textcoords="offset points",
            color=plot_style.INK,
        )
    plot_style.title(axes, "right answers (dots run all members, diamonds are cascades)")
    plot_style.calm(axes)
    _legend(axes, front)
    plot_style.save(figure, path)


def _legend(axes: Axes, front: Sequence[Spot]) -> None:
    lines = [
        f"{number}  {spot.title}{'  (recommended)' if spot.is_recommended else ''}"
        for number, spot in enumerate(front, start=1)
    ]
    axes.text(
        0.99, 0.02, "\n".join(lines), transform=axes.transAxes, ha="right", va="bottom", fontsize=7
    )


def _ticks_ms(axes: Axes, times_ms: Sequence[float]) -> None:
    low, high = 0.8 * min(times_ms), 1.25 * max(times_ms)
    steps = [base * 10.0**power for power in range(-2, 5) for base in (1, 2, 5)]
    ticks = [step for step in steps if low <= step <= high]
    axes.set_xlim(low, high)
    axes.minorticks_off()
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def _colours(answers: Mapping[str, Any]) -> list[str]:
    return [BEFORE, *[AFTER] * (len(answers) - 1)]
