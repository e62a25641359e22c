"""``triptych optimize``: quantize a committee's networks to int8, and measure the loss."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from triptych import errors
from triptych import settings
from triptych.cli import common
from triptych.ensemble.promise import PROMISED
from triptych.utils import formatting

Figures = dict[str, Any]


@click.command()
@click.argument("committee")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Photos like those to be classified: at least 75, better a few hundred.",
)
@common.members_option
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0, max=100),
    default=0.5,
    help="Points of accuracy that the committee may lose.",
)
@click.option("--seed", type=int, default=0, help="Seed of the split.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@common.from_table("threads", "home")
def optimize(
    committee: str,
    images: Path | None,
    members: tuple[str, ...] | None,
    max_loss: float,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize a committee's networks to int8, and keep them if they lose little.

    One photo in three, 100 at most, calibrates the quantization; f32 and int8 are compared on the
    others. If the photos are in a folder per class, named by the class or its WordNet id,
    accuracy is compared. Otherwise each photo with another answer counts as lost. A multi-label
    committee takes a CSV file, or a folder or zip with one beside its photos, and micro-averaged F1
    is compared.

    The networks are kept in the home folder, those of a bundle in its next version. Use them with
    --precision int8.

    \b
    Example:
      triptych optimize lite --images photos/
    """
    from triptych.engines.options import EngineOptions
    from triptych.tuning import quantize
    from triptych.utils import concurrency

    if images is None:
        raise errors.SettingError(
            f"Quantizing {committee} needs photos like those to be classified, and none are kept: "
            f"triptych optimize {committee} --images photos/"
        )
    in_force = settings.load(os.environ, **options)
    with common.Stages() as stages:
        done = quantize.optimize(
            committee,
            images,
            EngineOptions(
                in_force.home,
                threads=in_force.threads,
                streams=concurrency.cpu_count(),
                report=stages.say,
            ),
            quantize.QuantizeConfig(max_loss / 100, members, seed, stages.show),
        )
    report = {**done.report, "kept": [str(path) for path in done.kept]}
    if as_json:
        common.print_json(report)
    else:
        click.echo(_describe(report))
    if done.broken:
        raise errors.TooLossy(
            f"At int8, the precision that is promised of {', '.join(done.broken)} is not kept: on "
            "these photos too few answers are right to be chance, and at f32 they are not. Nothing "
            "was kept. Try more or other photos."
        )
    if not done.kept:
        rule = report["rules"][0]
        low, high = rule["interval"]
        raise errors.TooLossy(
            f"At int8, {report['committee']} loses {_points(rule['loss'])} points "
            f"(95 % interval {_points(low)} to {_points(high)}), and {_points(report['max_loss'])} "
            "are allowed. Nothing was kept. Try more photos, other ones, or a higher --max-loss."
        )


def _describe_sets(report: Figures) -> str:
    """The comparison of a multi-label committee."""
    photos = report["photos"]
    rows = [("f32 → int8", "micro F1", "same classes", "points of F1 lost", "95 % interval")]
    for figures in (*report["members"], *report["rules"]):
        low, high = map(_points, figures["interval"])
        pair = [figures[precision].get("micro") for precision in ("f32", "int8")]
        f1 = " → ".join(f"{each['f1']:.3f}" for each in pair if each)
        agreement = formatting.share_of(figures["agreement"], photos)
        rows.append((figures["name"], f1, agreement, _points(figures["loss"]), f"{low} to {high}"))
    compared = f"Compared on {photos} photos; {report['shown']} others calibrated the networks."
    if report["judged_by"] == "agreement":
        compared += " Their classes are not known: those answered at f32 count as right."
    lines = [common.table(rows), "", *_describe_precisions(report["per_class"]), compared]
    lines += common.skipped(report["skipped"])
    return "\n".join([*lines, *(f"Kept: {folder}" for folder in report["kept"])])


def _describe_precisions(classes: list[Figures]) -> list[str]:
    """What became of the stated precision of each class."""
    if not classes:
        return []
    rows = [("f32 → int8", "precision", "right answers", "promised at f32")]
    for row in classes:
        pair = [row[precision] for precision in ("f32", "int8")]
        shares = [each["right"] / each["answered"] if each["answered"] else None for each in pair]
        promised = "yes" if row["status"] == PROMISED else "no"
        rows.append(
            (
                formatting.plain_text(row["label"]),
                " → ".join("-" if share is None else formatting.percent(share) for share in shares),
                " → ".join(f"{each['right']} of {each['answered']}" for each in pair),
                "yes, not kept at int8" if row["breaks_promise"] else promised,
            )
        )
    return [common.table(rows), ""]


def _describe(report: Figures) -> str:
    if report.get("task"):
        return _describe_sets(report)
    named = [(member["name"], member) for member in report["members"]]
    named += [(f"rule {rule['name']}", rule) for rule in report["rules"]]
    photos = report["photos"]
    accuracy = [("f32 → int8", "top-1", "same answer", "points lost", "95 % interval")]
    confidence = [
        (
            "f32 → int8",
            "calibration error",
            "cost",
            "called sure",
            "of those right",
            "95 % interval",
        )
    ]
    for name, figures in named:
        low, high = map(_points, figures["interval"])
        agreement = formatting.share_of(figures["agreement"], photos)
        top1 = _change(figures, "top1", lambda share: formatting.share_of(share, photos))
        accuracy.append((name, top1, agreement, _points(figures["loss"]), f"{low} to {high}"))
        ece, cost = _change(figures, "ece", "{:.3f}".format), _change(figures, "cost")
        confidence.append((name, ece, cost, *_sure_cells(figures, photos)))
    compared = (
        f"Compared on {report['photos']} photos; {report['shown']} others calibrated the networks."
    )
    if report["judged_by"] == "accuracy":
        lines = [common.table(accuracy), "", common.table(confidence), "", compared]
    else:
        unknown = "Their classes are not known: each photo with another answer counts as lost."
        lines = [common.table(accuracy), "", f"{compared} {unknown}"]
    lines += common.skipped(report["skipped"])
    lines += [f"Kept: {folder}" for folder in report["kept"]]
    return "\n".join(lines)


def _change(figures: Figures, key: str, show: Callable[[float], str] = formatting.percent) -> str:
    pair = [figures[precision].get(key) for precision in ("f32", "int8")]
    return "" if None in pair else " → ".join(map(show, pair))


def _sure_cells(figures: Figures, photos: int) -> tuple[str, str, str]:
    before, after = figures["f32"], figures["int8"]
    if "sure" not in before:  # a member
        return "", "", ""
    cells = [
        common.sure_cells(each["sure"], each.get("sure_right"), photos) for each in (before, after)
    ]
    called, correct, interval = (
        " → ".join(cell or "-" for cell in pair) if any(pair) else ""
        for pair in zip(*cells, strict=True)
    )
    return called, correct, interval


def _points(share: float) -> str:
    return f"{100 * share:.2f}"
