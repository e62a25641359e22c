"""Make the plots and the tables of docs/doubt.md from labelled photos.

.venv/bin/python tools/plot_doubt.py IMAGENET_PHOTOS PHOTOS [--same ID ...] [--near ID ...]

IMAGENET_PHOTOS has a folder per class, named by WordNet id. PHOTOS has train/ and val/ with a
folder per class: a committee is trained on the first, and evaluated on the second and on the
ImageNet photos. ImageNet classes that equal classes of PHOTOS, or are closely related to them,
are given by their WordNet ids and counted separately.
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
from triptych.evaluation import fit_report
from triptych.evaluation import metrics
from triptych.evaluation.rule_metrics import RuleScores
from triptych.inference.classifier import Scores

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SEEDS = range(5)
FOLDS = 5
COVERAGES = (0.8, 0.9, 0.95, 0.97, 0.98, 0.99)
TOLERANCES = (0.0, 0.001, 0.003, 0.01, 0.03)
DEFAULT_TOLERANCE = 0.001

INK, QUIET, LINE, ACCENT, ALARM = "#14171d", "#555d6a", "#cdd2da", "#2c46b5", "#9c2424"


@dataclass(frozen=True)
class Predictions:
    """Probabilities of a committee's members for N photos.

    Args:
        probs: The members' uncalibrated probabilities, shape (M, N, C).
        targets: Shape (N,).
        costs: Of each member, in billions of multiply-adds.
        names: Of the members.
        weights: Of the members, as they come with the committee.
        folds: By seed, each photo's fold, shape (N,).
    """

    probs: Any
    targets: Any
    costs: list[float]
    names: list[str]
    weights: list[float]
    folds: list[Any]

    def cross_fits(self, **settings: Any) -> list[CrossFit]:
        """Cross-fits, five folds each, by seed."""
        settings = {"weights": self.weights, **settings}
        return [
            fit.cross_fit(self.probs, self.targets, self.costs, folds, **settings)
            for folds in self.folds
        ]


def main() -> None:
    """Predict, fit, print tables, write plots."""
    options = arguments()
    predictions = predict(options.imagenet)
    crossed = predictions.cross_fits()
    print(rules_table(predictions, crossed))
    print(sets_table(predictions, crossed))
    reliability(predictions, crossed[0])
    sets(predictions, crossed)
    print(cascade(predictions, crossed))
    related = {
        "of related classes": options.near,
        "of the same classes, from ImageNet": options.same,
    }
    print(none_of_these(options.photos, options.imagenet, related))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("imagenet", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--same", nargs="*", default=[])
    parser.add_argument("--near", nargs="*", default=[])
    return parser.parse_args()


def predict(folder: Path) -> Predictions:
    """Probabilities of ``lite`` for labelled photos."""
    classifier = triptych.load("lite", precision="f32", report=say)
    committee = classifier.committee
    indices = {label.id: label.index for label in committee.labels}
    photos = readable_photos(folder)
    classes = data.open(folder).classes
    named = ((photo.source, photo.read()) for photo in photos)
    scores = [each.probs for each in classifier.score_many(named) if isinstance(each, Scores)]
    say(f"Classified {len(photos)} photos of {len(classes)} classes.")
    return Predictions(
        probs=np.stack(scores, axis=1),
        targets=np.array([indices[classes[photo.label]] for photo in photos]),
        costs=committee.costs,
        names=[member.name for member in committee.members],
        weights=list(committee.params.weights),
        folds=[data.folds(photos, FOLDS, seed=seed) for seed in SEEDS],
    )


def readable_photos(folder: Path) -> list[data.LabelledPhoto]:
    """All readable photos of a dataset."""
    dataset = data.open(folder)
    return [*dataset.train, *dataset.val]


# ---------------------------------------------------------------- figures


def rules_table(predictions: Predictions, crossed: list[CrossFit]) -> str:
    """A table of accuracy and calibration by rule."""
    raw = rules.join("mean", predictions.probs, [1.0] * len(predictions.probs))
    rows = [
        "| answer by | right | calibration error | multiply-adds | called sure | of these right |",
        "|---|---|---|---|---|---|",
        row(
            "`mean`, not fitted",
            metrics.accuracy(raw, predictions.targets).share,
            metrics.expected_calibration_error(raw, predictions.targets),
        ),
    ]
    for rule in RULES:
        runs = [fit_report.rule_scores(fit, rule, predictions.costs).metrics() for fit in crossed]
        columns = ("top1", "ece", "cost", "sure", "sure_right")
        rows.append(row(f"`{rule}`, fitted", *([run[name] for run in runs] for name in columns)))
    return "\n".join([*rows, ""])


def sets_table(predictions: Predictions, crossed: list[CrossFit]) -> str:
    """A table of prediction sets by requested coverage."""
    rows = [
        "| requested | contained the true class | classes, on average | largest "
        "| sets of one class |",
        "|---|---|---|---|---|",
    ]
    for coverage in COVERAGES:
        scores = sets_at(coverage, predictions, crossed)
        sizes = [each.size for each in scores]
        covered = span([each.covered.mean() for each in scores])
        single = np.mean([(each == 1).mean() for each in sizes])
        largest = max(each.max() for each in sizes)
        rows.append(
            f"| {100 * coverage:g} % | {covered} | {np.mean(sizes):.2f} | {largest} "
            f"| {single:.0%} |"
        )
    return "\n".join([*rows, ""])


def sets_at(coverage: float, predictions: Predictions, crossed: list[CrossFit]) -> list[RuleScores]:
    """Scores of the default rule with prediction sets of a coverage, by seed."""
    return [
        fit_report.rule_scores(fit, FITTED_RULE, predictions.costs, coverage) for fit in crossed
    ]


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


def reliability(predictions: Predictions, crossed: CrossFit) -> None:
    """Plot reliability before and after calibration."""
    before = rules.join("mean", predictions.probs, [1.0] * len(predictions.probs))
    figure = page(7.6, 3.7)
    panels = (("uncalibrated", before), ("calibrated", crossed.joined[FITTED_RULE]))
    for column, (title, probs) in enumerate(panels, start=1):
        axes = plain(figure.add_subplot(1, 2, column), title)
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        for bin in metrics.reliability(probs, predictions.targets):
            interval = metrics.wilson(round(bin.accuracy * bin.count), bin.count)
            axes.plot([bin.prob] * 2, interval, color=ACCENT, linewidth=1.2, alpha=0.45)
            size_pt = 3 + 0.35 * bin.count**0.5
            axes.plot(bin.prob, bin.accuracy, "o", color=ACCENT, markersize=size_pt, clip_on=False)
        axes.text(
            0.98,
            0.04,
            f"ECE {metrics.expected_calibration_error(probs, predictions.targets):.1%}",
            ha="right",
            color=INK,
        )
        shares(axes, "xy")
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("accuracy")
    save(figure, "doubt-reliability")


def cascade(predictions: Predictions, crossed: list[CrossFit]) -> str:
    """Plot accuracy against cost for several tolerances; also as a table."""
    figure = page(6.2, 3.7)
    axes = plain(figure.add_subplot(1, 1, 1), "accuracy")
    full = sum(predictions.costs)
    members = zip(predictions.names, predictions.costs, predictions.probs, strict=True)
    for name, cost, probs in members:
        accuracy = metrics.accuracy(probs, predictions.targets).share
        dot(axes, cost / full, accuracy, f"{name} alone", QUIET)
    full_accuracy = np.mean(
        [metrics.accuracy(fit.joined[FITTED_RULE], fit.targets).share for fit in crossed]
    )
    dot(axes, 1, float(full_accuracy), "all three", INK)
    points, rows = [], ["| may lose | multiply-adds | accuracy |", "|---|---|---|"]
    for tolerance in TOLERANCES:
        say(f"Cascades that may lose {100 * tolerance:g} points ...")
        is_default = tolerance == DEFAULT_TOLERANCE
        fits = crossed if is_default else predictions.cross_fits(tolerance=tolerance)
        runs = [fit_report.rule_scores(fit, CASCADE, predictions.costs).metrics() for fit in fits]
        costs, accuracies = ([run[name] for run in runs] for name in ("cost", "top1"))
        rows.append(row(f"{100 * tolerance:g} points", costs, accuracies).rstrip("| ") + " |")
        points.append((float(np.mean(costs)), float(np.mean(accuracies))))
        axes.plot([points[-1][0]] * 2, [min(accuracies), max(accuracies)], color=ACCENT, alpha=0.45)
    axes.plot(*zip(*points, strict=True), color=ACCENT, linewidth=0.8, marker="o", markersize=4)
    x, y = points[TOLERANCES.index(DEFAULT_TOLERANCE)]
    axes.plot(x, y, "o", color=ACCENT, markersize=9)
    axes.annotate("the cascade", (x, y), (7, 7), textcoords="offset points", color=ACCENT)
    axes.set_xlim(0, 1.15)
    axes.set_ylim(0.805, 0.88)
    shares(axes, "xy", limits=False)
    axes.set_xlabel("multiply-adds, as a share of running all three")
    save(figure, "doubt-cascade")
    return "\n".join([*rows, ""])


def dot(axes: Any, x: float, y: float, name: str, colour: str) -> None:
    """A point with a label."""
    axes.plot(x, y, "o", color=colour, markersize=6)
    axes.annotate(
        name, (x, y), (7, -9), textcoords="offset points", color=colour, fontsize=8, va="center"
    )


def sets(predictions: Predictions, crossed: list[CrossFit]) -> None:
    """Plot coverage and size of prediction sets by requested coverage."""
    requested = np.arange(50, 100) / 100
    figure = page(7.6, 3.4)
    coverage_axes = plain(figure.add_subplot(1, 2, 1), "sets that contain the true class")
    coverage_axes.plot(requested, requested, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    size_axes = plain(figure.add_subplot(1, 2, 2), "classes in a set, on average")
    scores = [sets_at(each, predictions, crossed) for each in requested]
    covered = np.array([[run.covered.mean() for run in runs] for runs in scores]).T
    sizes = np.array([[run.size.mean() for run in runs] for runs in scores]).T
    for axes, values in ((coverage_axes, covered), (size_axes, sizes)):
        low, high = values.min(0), values.max(0)
        axes.fill_between(requested, low, high, color=ACCENT, alpha=0.2, linewidth=0)
        axes.plot(requested, values.mean(0), color=ACCENT, linewidth=1.6)
        axes.set_xlabel("requested coverage")
    shares(coverage_axes, "xy", limits=False)
    shares(size_axes, "x", limits=False)
    size_axes.set_ylim(0)
    save(figure, "doubt-sets")


def none_of_these(dataset: Path, imagenet: Path, related: Mapping[str, Sequence[str]]) -> str:
    """Plot p-values in and out of distribution; the share refused as a table."""
    others, classes = readable_photos(imagenet), data.open(imagenet).classes
    with tempfile.TemporaryDirectory() as home:
        say("Training a committee ...")
        triptych.train(dataset, name="doubt", home=Path(home), precision="f32")
        classifier = triptych.load("doubt", home=home, precision="f32")
        inside = p_values(classifier, data.open(dataset).val)
        outside = p_values(classifier, others)
    names = np.array([classes[photo.label] for photo in others])
    unrelated = outside[~np.isin(names, [name for group in related.values() for name in group])]
    groups = {"of the trained classes": inside, "of other classes": unrelated}
    groups |= {title: outside[np.isin(names, group)] for title, group in related.items() if group}
    draw_p_values(groups)
    # How often an in-distribution photo has the higher p-value of the two.
    pairs = inside[:, None], unrelated[None]
    auroc = (pairs[0] > pairs[1]).mean() + (pairs[0] == pairs[1]).mean() / 2
    lines = [f"| {name} | {len(each)} | {refused(each):.1%} |" for name, each in groups.items()]
    head = ["| photos | how many | called none of these |", "|---|---|---|"]
    return "\n".join([*head, *lines, "", f"AUROC {auroc:.3f}"])


def draw_p_values(groups: Mapping[str, Any]) -> None:
    """Plot the distribution of p-values in each group of photos."""
    figure = page(2.4 * len(groups), 3.1)
    for column, (name, values) in enumerate(groups.items(), start=1):
        title = f"{len(values)} photos\n{name}"
        axes = plain(figure.add_subplot(1, len(groups), column), title)
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
