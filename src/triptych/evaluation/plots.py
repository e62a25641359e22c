"""The report's pictures, as SVG that takes its colours and its fonts from the page around it.

Matplotlib is imported inside functions only: whoever counts right answers need not have it.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from triptych.evaluation import metrics
from triptych.typing import Int64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib wants real colours, the page wants its own, which differ by day and by night: each
# stand-in below becomes the page's variable of that name.
INK = "#0000f1"
QUIET = "#0000f2"
LINE = "#0000f3"
ACCENT = "#0000f4"
ON_ACCENT = "#0000f5"
ALARM = "#0000f6"
PLATE = "#0000f7"
VARIABLES = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    ON_ACCENT: "var(--on-accent)",
    ALARM: "var(--alarm)",
    PLATE: "var(--plate)",
}
FONT_PT = 8.5
POINTS_PER_INCH = 72

# Beyond this many classes names and numbers would be too small to read.
MOST_NAMED = 40
LONGEST_NAME = 20
SHADES = 6
CORNER = ("answered →", "true class ↓")


def reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    """The reliability diagram: how sure against how right, and how many photos stand behind it.

    Args:
        bins: Filled bins, as in ``metrics_of(...)["reliability"]``.

    Returns:
        An ``<svg>`` element.
    """
    with _own_settings("reliability"):
        figure = _figure(3.9, 4.1)
        above = figure.add_axes((0.13, 0.36, 0.84, 0.58))
        below = figure.add_axes((0.13, 0.11, 0.84, 0.14))
        above.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        _points(above, bins)
        below.bar(
            [(bin["low"] + bin["high"]) / 2 for bin in bins],
            [bin["count"] for bin in bins],
            width=[0.9 * (bin["high"] - bin["low"]) for bin in bins],
            color=QUIET,
        )
        for axes in (above, below):
            _calm(axes)
            axes.set_xlim(-0.02, 1.02)
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        above.tick_params(labelbottom=False)
        above.set_ylim(-0.02, 1.02)
        above.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        _title(above, "right answers")
        _title(below, "photos")
        below.set_yticks([max(bin["count"] for bin in bins)])
        below.set_xlabel("probability of the answer")
        return _svg(figure)


def _points(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    """Each bin with its interval; the fewer photos, the smaller the point."""
    most = max(bin["count"] for bin in bins)
    for bin in bins:
        right = round(bin["accuracy"] * bin["count"])
        interval = metrics.wilson(right, bin["count"])
        axes.plot([bin["prob"]] * 2, interval, color=ACCENT, linewidth=1.2, alpha=0.45)
        size_pt = 3.5 + 3.5 * (bin["count"] / most) ** 0.5
        axes.plot(bin["prob"], bin["accuracy"], "o", color=ACCENT, markersize=size_pt)


def learning_curve(points: Sequence[tuple[int, Sequence[float]]]) -> str:
    """Accuracy against photos per class: the mean of the seeds, and from worst to best seed.

    Args:
        points: Photos per class, ascending, with one accuracy in [0, 1] per seed; not empty.

    Returns:
        An ``<svg>`` element.
    """
    sizes = [size for size, _ in points]
    means = [float(np.mean(seeds)) for _, seeds in points]
    lows, highs = [min(seeds) for _, seeds in points], [max(seeds) for _, seeds in points]
    with _own_settings("curve"):
        figure = _figure(3.9, 4.1)
        axes = figure.add_axes((0.13, 0.11, 0.82, 0.83))
        axes.fill_between(sizes, lows, highs, color=ACCENT, alpha=0.16, linewidth=0)
        for size, seeds in points:
            axes.plot([size] * len(seeds), seeds, "o", color=ACCENT, alpha=0.45, markersize=3)
        axes.plot(sizes, means, color=ACCENT, linewidth=1.6, marker="o", markersize=5)
        _calm(axes)
        _spread_sizes(axes, sizes)
        bottom = np.floor((min(lows) - 0.02) * 20) / 20
        axes.set_ylim(max(0.0, float(bottom)), 1.005)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share * 100:.0f} %")
        axes.set_xlabel("photos per class")
        _title(axes, "right answers")
        return _svg(figure)


def _spread_sizes(axes: Axes, sizes: Sequence[int]) -> None:
    if sizes[-1] >= 8 * sizes[0]:
        axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(sizes, [str(size) for size in sizes])


def confusion(counts: Int64Array, labels: Sequence[str]) -> str:
    """The confusion matrix: right answers in the accent colour, wrong ones in the alarm colour.

    A cell is the deeper, the larger its share of its class. Up to `MOST_NAMED` classes are named
    and their cells numbered.

    Args:
        counts: Shape (C, C): row the true class, column the answer.
        labels: Names of the classes, length C.

    Returns:
        An ``<svg>`` element.
    """
    classes = len(labels)
    named = classes <= MOST_NAMED
    cell_pt = float(np.clip(320 / classes, 15, 54)) if named else 340 / classes
    names = [_short(label) for label in labels] if named else []
    margin_pt = 8 + max(map(_width_pt, [*names, CORNER[0]]))
    side_pt = cell_pt * classes
    whole_pt = margin_pt + side_pt + 4
    inches = whole_pt / POINTS_PER_INCH
    with _own_settings("confusion"):
        figure = _figure(inches, inches)
        start, extent = margin_pt / whole_pt, side_pt / whole_pt
        axes = figure.add_axes((start, 4 / whole_pt, extent, extent))
        axes.set_xlim(-0.5, classes - 0.5)
        axes.set_ylim(classes - 0.5, -0.5)
        axes.set_facecolor(PLATE)
        axes.xaxis.tick_top()
        _name_cells(axes, names)
        _fill_cells(axes, counts, numbered=named, cell_pt=cell_pt)
        return _svg(figure)


def _name_cells(axes: Axes, names: Sequence[str]) -> None:
    axes.tick_params(length=0, pad=4)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90, color=INK, parse_math=False)
    axes.set_yticks(places, names, color=INK, parse_math=False)
    for edge in (place - 0.5 for place in places[1:]):
        axes.axhline(edge, color=LINE, linewidth=0.4)
        axes.axvline(edge, color=LINE, linewidth=0.4)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    for text, height in zip(CORNER, (5 + 1.4 * FONT_PT, 5), strict=True):
        axes.annotate(
            text,
            (0, 1),
            (-5, height),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            color=QUIET,
        )


def _fill_cells(axes: Axes, counts: Int64Array, *, numbered: bool, cell_pt: float) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = np.ceil(shares * SHADES).astype(int)  # 0: nothing there
    right = np.eye(len(counts), dtype=bool)
    faint = 0.15 if numbered else 0.5  # a tiny cell needs more colour to be seen
    for shade in range(1, SHADES + 1):
        for where, colour in ((right, ACCENT), (~right, ALARM)):
            cells = np.argwhere((shades == shade) & where)
            if len(cells):
                axes.add_patch(
                    _squares(cells, colour, faint + (1 - faint) * shade / SHADES, cell_pt)
                )
    if numbered:
        for row, column in np.argwhere(counts):
            deep = shades[row, column] > SHADES / 2
            axes.text(
                float(column),
                float(row),
                str(counts[row, column]),
                color=ON_ACCENT if deep else INK,
                ha="center",
                va="center_baseline",
                fontsize=FONT_PT - 0.5,
            )


def _squares(cells: Int64Array, colour: str, opacity: float, cell_pt: float) -> Any:
    """Many cells as one shape: a matrix of 1000 classes stays a small file."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # A lone mistake among 1000 classes must still be seen.
    reach = max(0.5, 0.8 / cell_pt)
    corners = reach * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    vertices = cells[:, None, ::-1] + corners  # (cells, 5, 2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(cells)
    path = Path(vertices.reshape(-1, 2), codes)
    return PathPatch(path, facecolor=colour, alpha=opacity, linewidth=0)


def _short(name: str) -> str:
    """A name on one line, without what cannot be drawn."""
    line = "".join(filter(str.isprintable, " ".join(name.split())))
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"


def _width_pt(name: str) -> float:
    ems = [1.0 if unicodedata.east_asian_width(letter) in "FW" else 0.58 for letter in name]
    return FONT_PT * sum(ems)


def _title(axes: Axes, text: str) -> None:
    """What the vertical axis counts, above it: turned text is hard to read."""
    axes.set_title(text, loc="left", x=-0.13, fontsize=FONT_PT, color=QUIET)


def _calm(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=QUIET, length=3, width=0.8)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(QUIET)


@contextmanager
def _own_settings(name: str) -> Iterator[None]:
    """Draw by these settings whatever the user's are, and leave the user's as they were."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                # Text stays text: it is found, read aloud and set in the page's own font.
                "svg.fonttype": "none",
                # Ids differ from picture to picture on one page and stay the same every time.
                "svg.hashsalt": name,
                "font.size": FONT_PT,
                "axes.facecolor": "none",
            }
        )
        yield


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), facecolor="none")


def _svg(figure: Figure) -> str:
    """A figure as an element of the page: in its colours, its font and any size."""
    file = io.StringIO()
    with warnings.catch_warnings():
        # The browser draws the text; that matplotlib's own font lacks a letter is no matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg[svg.index("<svg") :], flags=re.S)
    # Within tags only: a class may be named like a colour.
    return re.sub(r"<[^>]+>", lambda tag: _page_tag(tag[0]), svg).strip()


def _page_tag(tag: str) -> str:
    if tag.startswith("<svg"):
        tag = re.sub(r' (?:height|xmlns:?\w*|version)="[^"]*"', "", tag)
        return re.sub(r'width="([\d.]+pt)"', r'style="--width: \1"', tag)
    tag = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", tag)
    tag = re.sub(r" font-family: [^;\"]*;", "", tag)
    for colour, variable in VARIABLES.items():
        tag = tag.replace(colour, variable)
    return tag
