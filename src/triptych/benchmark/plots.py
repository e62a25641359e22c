"""The plot of ``triptych bench``: where the time of a photo goes, and photos a second.

Matplotlib is imported inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from triptych.evaluation import plot_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours of the stages before the networks, of the networks, and after them.
BEFORE = ("#7a8899", "#a9b4c2")
MEMBERS = ("#1a5fb4", "#4f86c6", "#86addb", "#b7cfeb")
AFTER = ("#b4530a", "#dd9a5f")
LINES = (plot_style.COLD, plot_style.WARM, plot_style.INK)
LEGEND: dict[str, Any] = {"frameon": False, "labelcolor": plot_style.INK, "fontsize": 8}

Figures = Mapping[str, Any]


def draw(path: Path, samples: Sequence[Figures], *, title: str) -> None:
    """Draw what was measured; what is missing is left out.

    Args:
        path: The PNG file to write.
        samples: As ``SampleReport.to_dict()`` gives them, at least one.
        title: What was measured.
    """
    figure = plot_style.figure(9.2, 3.6)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=plot_style.INK)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _stages(left, samples)
    _rates(right, samples)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=8, **LEGEND)
    plot_style.save(figure, path)


def shares_ms(sample: Figures) -> dict[str, float]:
    """Time of a photo by stage, in milliseconds; a member that does not always run counts less.

    Example:
        >>> stage = {"name": "A", "p50_ms": 4.0, "share": 0.5}
        >>> shares_ms({"stages": [stage], "http_beyond": {"p50_ms": 1.0}})
        {'A': 2.0, 'HTTP': 1.0}
    """
    times_ms = {stage["name"]: stage["p50_ms"] * stage["share"] for stage in sample["stages"]}
    if sample["http_beyond"]:
        times_ms["HTTP"] = max(0.0, sample["http_beyond"]["p50_ms"])
    return times_ms


def _stages(axes: Axes, samples: Sequence[Figures]) -> None:
    shares = [shares_ms(sample) for sample in samples]
    names = list({name: None for by_stage in shares for name in by_stage})
    ends = [0.0] * len(samples)
    for name, colour in zip(names, _colours(names), strict=True):
        widths = [by_stage.get(name, 0.0) for by_stage in shares]
        axes.barh(range(len(samples)), widths, left=ends, height=0.5, color=colour, label=name)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.set_yticks(range(len(samples)), [sample["sample"]["name"] for sample in samples])
    axes.set_ylim(len(samples) - 0.4, -0.6)
    axes.set_xlabel("milliseconds, the medians", fontsize=9)
    plot_style.title(axes, "one photo, stage after stage")
    plot_style.calm(axes)
    axes.grid(visible=False, axis="y")


def _colours(names: Sequence[str]) -> list[str]:
    fixed = {
        "decode": BEFORE[0],
        "preprocess": BEFORE[1],
        "combine": AFTER[0],
        "HTTP": AFTER[1],
    }
    members = [name for name in names if name not in fixed]
    colours = {name: MEMBERS[n % len(MEMBERS)] for n, name in enumerate(members)}
    return [(fixed | colours)[name] for name in names]


def _rates(axes: Axes, samples: Sequence[Figures]) -> None:
    """Photos a second by clients; dashed, those of the networks alone."""
    clients = sorted({load["clients"] for sample in samples for load in sample["loads"]})
    for sample, colour in zip(samples, LINES * len(samples), strict=False):
        positions = [clients.index(load["clients"]) for load in sample["loads"]]
        rates = [load["per_s"] for load in sample["loads"]]
        axes.plot(positions, rates, "o-", color=colour, label=sample["sample"]["name"])
        if sample["bare_per_s"]:
            axes.axhline(sample["bare_per_s"], color=colour, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xticks(range(len(clients)), [str(count) for count in clients])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("clients at once, over HTTP", fontsize=9)
    plot_style.title(axes, "photos a second (dashed: the networks alone)")
    plot_style.calm(axes)
    axes.legend(loc="best", **LEGEND)
