"""The common style of pictures in PNG files: colours, and axes without clutter.

Files are shown on any background, so their colours do not follow the page's theme. Matplotlib is
imported inside functions only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, LINE, PAPER = "#1f2328", "#5c6370", "#dcdfe4", "#ffffff"
WARM, COLD = "#b4530a", "#1a5fb4"
DPI = 150


def title(axes: Axes, text: str) -> None:
    """Write what the axes show above them."""
    axes.set_title(text, loc="left", fontsize=9, color=QUIET)


def percents(axis: Any) -> None:
    """Write an axis of shares in per cent."""
    axis.set_major_formatter(lambda share, _: f"{100 * share:g} %")


def calm(axes: Axes) -> None:
    """Style axes: no frame, a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=QUIET, length=3, labelsize=8)
    axes.grid(color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)


def figure(width_in: float, height_in: float) -> Figure:
    """An empty picture, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), facecolor=PAPER, layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a picture as a PNG file."""
    # "Software" contains Matplotlib's version, which would make equal pictures differ.
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
