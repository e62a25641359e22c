"""Make the pictures and the figures of docs/doubt.md from labelled photos.

.venv/bin/python tools/plot_doubt.py IMAGENET_PHOTOS OWN_PHOTOS [--same ID ...] [--near ID ...]

IMAGENET_PHOTOS has a folder per class, named by WordNet id. OWN_PHOTOS has train/ and val/ with a
folder per class: a committee is trained on the first, and evaluated on the second and on the
ImageNet photos. ImageNet classes that equal classes of OWN_PHOTOS, or are near relatives, are given
by their WordNet ids and counted apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import triptych
from triptych import data
from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.ensemble.fit import CrossFit
from triptych.ensemble.ood import FALSE_ALARMS
from triptych.ensemble.rules import CASCADE
from triptych.ensemble.rules import FITTED_RULE
from triptych.ensemble.rules import RULES
from triptych.evaluation import metrics

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SEEDS = range(5)
FOLDS = 5
COVERAGES = (0.8, 0.9, 0.95, 0.97, 0.98, 0.99)
TOLERANCES = (0.0, 0.001, 0.003, 0.01, 0.03)
USUAL = 0.001

INK, QUIET, LINE, ACCENT, ALARM = "#14171d", "#555d6a", "#cdd2da", "#2c46b5", "#9c2424"


@dataclass(frozen=True)
class Answers:
    """Probabilities of a committee's members for N photos.

    Args:
        probs: Their own probabilities, shape (M, N, C).
        truth: Shape (N,).
        costs: Of each member, in billions of multiply-adds.
        names: Of the members.
        weights: Of the members, as the committee ships with them.
        folds: By seed, each photo's fold, shape (N,).
    """

    probs: Any
    truth: Any
    costs: list[float]
    names: list[str]
    weights: list[float]
    folds: list[Any]

    def crossed(self, **settings: Any) -> list[CrossFit]:
        """Cross-fits, five folds each, by seed."""
        settings = {"weights": self.weights, **settings}
        return [
            fit.cross_fit(self.probs, self.truth, self.costs, folds, **settings)
            for folds in self.folds
        ]


def main() -> None:
    """Predict, fit, print tables, write plots."""
    given = arguments()
    answers = ask(given.imagenet)
    crossed = answers.crossed()
    print(rules_table(answers, crossed))
    print(sets_table(crossed))
    reliability(answers, crossed[0])
    sets(crossed)
    print(cascade(answers, crossed))
    apart = {"of near relatives": given.near, "of the same, elsewhere": given.same}
    print(none_of_these(given.own, given.imagenet, apart))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("imagenet", type=Path)
    parser.add_argument("own", type=Path)
    parser.add_argument("--same", nargs="*", default=[])
    parser.add_argument("--near", nargs="*", default=[])
    return parser.parse_args()


def ask(folder: Path) -> Answers:
    """Probabilities of ``lite`` for labelled photos."""
    classifier = triptych.load("lite", precision="f32", report=say)
    seated = classifier.committee
    indices = {label.id: label.index for label in seated.labels}
    photos = everything(folder)
    classes = data.open(folder).classes
    named = ((photo.source, photo.read()) for photo in photos)
    scores = [score.probs for score in classifier.score_many(named)]
    say(f"Asked about {len(photos)} photos of {len(classes)} classes.")
    return Answers(
        probs=np.stack(scores, axis=1),
        truth=np.array([indices[classes[photo.label]] for photo in photos]),
        costs=seated.costs,
        names=[member.name for member in seated.members],
        weights=list(seated.params.weights),
        folds=[data.folds(photos, FOLDS, seed=seed) for seed in SEEDS],
    )


def everything(folder: Path) -> list[data.LabelledPhoto]:
    """All readable photos of a data set."""
    found = data.open(folder)
    return [*found.train, *found.val]


# ---------------------------------------------------------------- figures


def rules_table(answers: Answers, crossed: list[CrossFit]) -> str:
    """A table of accuracy and calibration by rule."""
    raw = rules.join("mean", answers.probs, [1.0] * len(answers.probs))
    rows = [
        "| who answers | right | off by | multiply-adds | called sure | of these right |",
        "|---|---|---|---|---|---|",
        row(
            "`mean`, as the networks say it",
            metrics.accuracy(raw, answers.truth).share,
            metrics.expected_calibration_error(raw, answers.truth),
        ),
    ]
    for rule in RULES:
        cost = [fit.cost.mean() / sum(answers.costs) if rule == CASCADE else 1 for fit in crossed]
        sure = [fit.sure(rule) for fit in crossed]
        rows.append(
            row(
                f"`{rule}`, fitted",
                [metrics.accuracy(fit.joined[rule], fit.truth).share for fit in crossed],
                [
                    metrics.expected_calibration_error(fit.joined[rule], fit.truth)
                    for fit in crossed
                ],
                cost,
                [flags.mean() for flags in sure],
                [
                    metrics.accuracy(fit.joined[rule][flags], fit.truth[flags]).share
                    for fit, flags in zip(crossed, sure, strict=True)
                ],
            )
        )
    return "\n".join([*rows, ""])


def sets_table(crossed: list[CrossFit]) -> str:
    """A table of prediction sets by requested coverage."""
    rows = ["| asked for | held it | classes | largest | of one class |", "|---|---|---|---|---|"]
    for coverage in COVERAGES:
        sizes = [fit.sizes(FITTED_RULE, coverage) for fit in crossed]
        held = span([fit.covered(FITTED_RULE, coverage).mean() for fit in crossed])
        alone = np.mean([(own == 1).mean() for own in sizes])
        most = max(own.max() for own in sizes)
        rows.append(
            f"| {100 * coverage:g} % | {held} | {np.mean(sizes):.2f} | {most} | {alone:.0%} |"
        )
    return "\n".join([*rows, ""])


def row(name: str, *columns: float | Sequence[float]) -> str:
    """A table row of shares, each with its range over the seeds."""
    cells = [span(column) for column in columns] + ["" for _ in range(5 - len(columns))]
    return f"| {name} | {' | '.join(cells)} |"


def span(shares: float | Sequence[float]) -> str:
    """The mean, and the range if it is not a point."""
    every = np.atleast_1d(shares) * 100
    low, high = f"{every.min():.1f}", f"{every.max():.1f}"
    return f"{every.mean():.1f} %" + (f" ({low} to {high})" if low != high else "")


# ---------------------------------------------------------------- pictures


def reliability(answers: Answers, crossed: CrossFit) -> None:
    """Plot reliability before and after calibration."""
    before = rules.join("mean", answers.probs, [1.0] * len(answers.probs))
    figure = page(7.6, 3.7)
    panels = (("as the networks say it", before), ("calibrated", crossed.joined[FITTED_RULE]))
    for place, (title, probs) in enumerate(panels, start=1):
        axes = plain(figure.add_subplot(1, 2, place), title)
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        for bin in metrics.reliability(probs, answers.truth):
            interval = metrics.wilson(round(bin.accuracy * bin.count), bin.count)
            axes.plot([bin.prob] * 2, interval, color=ACCENT, linewidth=1.2, alpha=0.45)
            size_pt = 3 + 0.35 * bin.count**0.5
            axes.plot(bin.prob, bin.accuracy, "o", color=ACCENT, markersize=size_pt, clip_on=False)
        axes.text(
            0.98,
            0.04,
            f"off by {metrics.expected_calibration_error(probs, answers.truth):.1%}",
            ha="right",
            color=INK,
        )
        shares(axes, "xy")
        axes.set_xlabel("how sure the answer was")
        axes.set_ylabel("how many were right")
    save(figure, "doubt-reliability")


def cascade(answers: Answers, crossed: list[CrossFit]) -> str:
    """Plot accuracy against cost for several tolerances; also as a table."""
    figure = page(6.2, 3.7)
    axes = plain(figure.add_subplot(1, 1, 1), "right answers")
    full = sum(answers.costs)
    for name, cost, own in zip(answers.names, answers.costs, answers.probs, strict=True):
        dot(axes, cost / full, metrics.accuracy(own, answers.truth).share, f"{name} alone", QUIET)
    every = np.mean([metrics.accuracy(fit.joined[FITTED_RULE], fit.truth).share for fit in crossed])
    dot(axes, 1, every, "all three", INK)
    points, rows = [], ["| may lose | multiply-adds | right |", "|---|---|---|"]
    for tolerance in TOLERANCES:
        say(f"Cascades that may lose {100 * tolerance:g} points ...")
        fits = crossed if tolerance == USUAL else answers.crossed(tolerance=tolerance)
        costs = [fit.cost.mean() / full for fit in fits]
        found = [metrics.accuracy(fit.joined[CASCADE], fit.truth).share for fit in fits]
        rows.append(row(f"{100 * tolerance:g} points", costs, found).rstrip("| ") + " |")
        points.append((float(np.mean(costs)), float(np.mean(found))))
        axes.plot([points[-1][0]] * 2, [min(found), max(found)], color=ACCENT, alpha=0.45)
    axes.plot(*zip(*points, strict=True), color=ACCENT, linewidth=0.8, marker="o", markersize=4)
    x, y = points[TOLERANCES.index(USUAL)]
    axes.plot(x, y, "o", color=ACCENT, markersize=9)
    axes.annotate("the cascade", (x, y), (7, 7), textcoords="offset points", color=ACCENT)
    axes.set_xlim(0, 1.15)
    axes.set_ylim(0.805, 0.88)
    shares(axes, "xy", limits=False)
    axes.set_xlabel("multiply-adds, as a share of asking all three")
    save(figure, "doubt-cascade")
    return "\n".join([*rows, ""])


def dot(axes: Any, x: float, y: float, name: str, colour: str) -> None:
    """A point with a label."""
    axes.plot(x, y, "o", color=colour, markersize=6)
    axes.annotate(
        name, (x, y), (7, -9), textcoords="offset points", color=colour, fontsize=8, va="center"
    )


def sets(crossed: list[CrossFit]) -> None:
    """Plot coverage and size of prediction sets by requested coverage."""
    asked = np.arange(50, 100) / 100
    figure = page(7.6, 3.4)
    held = plain(figure.add_subplot(1, 2, 1), "sets that held the true class")
    held.plot(asked, asked, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    large = plain(figure.add_subplot(1, 2, 2), "classes in a set, on average")
    covered = np.array(
        [[fit.covered(FITTED_RULE, each).mean() for each in asked] for fit in crossed]
    )
    sizes = np.array([[fit.sizes(FITTED_RULE, each).mean() for each in asked] for fit in crossed])
    for axes, values in ((held, covered), (large, sizes)):
        axes.fill_between(asked, values.min(0), values.max(0), color=ACCENT, alpha=0.2, linewidth=0)
        axes.plot(asked, values.mean(0), color=ACCENT, linewidth=1.6)
        axes.set_xlabel("how often they shall hold it")
    shares(held, "xy", limits=False)
    shares(large, "x", limits=False)
    large.set_ylim(0)
    save(figure, "doubt-sets")


def none_of_these(own: Path, others: Path, apart: Mapping[str, Sequence[str]]) -> str:
    """Plot p-values in and out of distribution; the share refused as a table."""
    strangers, classes = everything(others), data.open(others).classes
    with tempfile.TemporaryDirectory() as home:
        say("Teaching a committee ...")
        triptych.train(own, name="own", home=home, precision="f32")
        taught = triptych.load("own", home=home, precision="f32")
        belonging = p_values(taught, data.open(own).val)
        rest = p_values(taught, strangers)
    named = np.array([classes[photo.label] for photo in strangers])
    known = [name for names in apart.values() for name in names]
    unlike = rest[~np.isin(named, known)]
    groups = {"of the taught classes": belonging, "of something else": unlike}
    groups.update({name: rest[np.isin(named, names)] for name, names in apart.items() if names})
    draw_p_values(groups)
    # How often a photo that belongs looks more like the taught ones than one that does not.
    pairs = belonging[:, None], unlike[None]
    auroc = (pairs[0] > pairs[1]).mean() + (pairs[0] == pairs[1]).mean() / 2
    lines = [f"| {name} | {len(each)} | {refused(each):.1%} |" for name, each in groups.items()]
    head = ["| photos | how many | called none of these |", "|---|---|---|"]
    return "\n".join([*head, *lines, "", f"AUROC {auroc:.3f}"])


def draw_p_values(groups: Mapping[str, Any]) -> None:
    """Plot the distribution of p-values in each group of photos."""
    figure = page(2.4 * len(groups), 3.1)
    for place, (name, values) in enumerate(groups.items(), start=1):
        title = f"{len(values)} photos\n{name}"
        axes = plain(figure.add_subplot(1, len(groups), place), title)
        counts, edges = np.histogram(values, np.linspace(0, 1, 21))
        colours = [ALARM if edge < FALSE_ALARMS - 1e-9 else ACCENT for edge in edges[:-1]]
        axes.bar(edges[:-1], counts / len(values), 0.045, align="edge", color=colours)
        axes.text(0.12, 0.9, f"{refused(values):.0%} refused", color=ALARM)
        shares(axes, "y")
        axes.set_xlabel("p-value")
    save(figure, "doubt-none")


def p_values(classifier: Any, photos: Sequence[data.LabelledPhoto]) -> Any:
    """p-values of photos against the training photos."""
    named = ((photo.source, photo.read()) for photo in photos)
    return np.array([verdict.novelty for verdict in classifier.classify_many(named)])


def refused(values: Any) -> float:
    """The share that is refused as none of these."""
    return float((values <= FALSE_ALARMS).mean())


def page(width_in: float, height_in: float) -> Figure:
    """An empty figure that suits a light and a dark background."""
    return Figure(figsize=(width_in, height_in), facecolor="white", layout="constrained")


def plain(axes: Any, title: str) -> Any:
    """Axes without needless lines."""
    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=QUIET, length=3)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(QUIET)
    return axes


def shares(axes: Any, which: str, *, limits: bool = True) -> None:
    """Format axes as percentages."""
    for name in which:
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
        if limits:
            getattr(axes, f"set_{name}lim")(0, 1)


def save(figure: Figure, name: str) -> None:
    """Write a plot reproducibly."""
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
    say(f"Wrote docs/images/{name}.svg")


def say(line: str) -> None:
    """Print a line to stderr, beside the tables."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
