"""``triptych optimize``: int8 networks for a committee, and what they lose."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from triptych import errors
from triptych import settings
from triptych.cli import common
from triptych.utils import formatting

Figures = dict[str, Any]


@click.command()
@click.argument("committee")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Photos like those that will be asked about: 75 at least, a few hundred better.",
)
@common.members_option
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0, max=100),
    default=0.5,
    help="Points of accuracy that the committee may lose.",
)
@click.option("--seed", type=int, default=0, help="Of the division of photos.")
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
    """Make int8 networks for a committee, and keep them if they answer well enough.

    One photo in three, 100 at most, shows the networks how large their numbers get; the others
    judge f32 and int8 alike. In a folder per class, named by the class or its WordNet id, they
    tell the accuracy. Else each photo that is answered otherwise counts as lost.

    For a committee of the zoo they are kept in the home folder, for a bundle in its next version.
    Afterwards, --precision int8 answers with them.

    \b
    Example:
      triptych optimize lite --images photos/
    """
    from triptych.engines.options import EngineOptions
    from triptych.tuning import quantize
    from triptych.utils import concurrency

    if images is None:
        raise errors.SettingError(
            f"Making int8 networks for {committee} needs photos like those that it will be asked "
            f"about, and none are kept: triptych optimize {committee} --images photos/"
        )
    chosen = settings.load(os.environ, **options)
    with common.Stages() as stages:
        done = quantize.optimize(
            committee,
            images,
            EngineOptions(
                chosen.home,
                threads=chosen.threads,
                streams=concurrency.cores(),
                report=stages.say,
            ),
            quantize.Wish(max_loss / 100, members, seed, stages.show),
        )
    report = {**done.report, "kept": [str(path) for path in done.kept]}
    click.echo(json.dumps(report, ensure_ascii=False) if as_json else _describe(report))
    if not done.kept:
        raise errors.TooLossy(_refusal(report))


def _refusal(report: Figures) -> str:
    rule = report["rules"][0]
    low, high = rule["interval"]
    return (
        f"At int8, {report['committee']} loses {_points(rule['loss'])} points "
        f"(95 % interval {_points(low)} to {_points(high)}), and {_points(report['max_loss'])} "
        "are allowed. Nothing was kept. Try other photos, more of them, or --max-loss."
    )


def _describe(report: Figures) -> str:
    lines = [common.table(_judged(report)), ""]
    lines += [common.table(_believed(report)), ""] if report["judged_by"] == "accuracy" else []
    lines.append(_judge(report))
    if report["skipped"]:
        lines.append(f"{len(report['skipped'])} skipped:")
        lines += [f"  {item['source']}: {item['error']['message']}" for item in report["skipped"]]
    lines += [f"Kept: {folder}" for folder in report["kept"]]
    return "\n".join(lines)


def _rows(report: Figures) -> list[tuple[str, Figures]]:
    members = [(member["name"], member) for member in report["members"]]
    return members + [(f"rule {rule['name']}", rule) for rule in report["rules"]]


def _judged(report: Figures) -> list[tuple[str, ...]]:
    heading = ("f32 → int8", "top-1", "answers alike", "points lost", "95 % interval")
    return [heading, *((name, *_score(own)) for name, own in _rows(report))]


def _score(own: Figures) -> tuple[str, ...]:
    low, high = own["interval"]
    return (
        _change(own, "top1", formatting.percent),
        formatting.percent(own["agreement"]),
        _points(own["loss"]),
        f"{_points(low)} to {_points(high)}",
    )


def _believed(report: Figures) -> list[tuple[str, ...]]:
    heading = ("f32 → int8", "calibration error", "called sure", "of those right", "cost")
    return [
        heading,
        *(
            (
                name,
                _change(own, "ece", "{:.3f}".format),
                *(_change(own, key, formatting.percent) for key in ("sure", "sure_right", "cost")),
            )
            for name, own in _rows(report)
        ),
    ]


def _change(own: Figures, key: str, show: Callable[[float], str]) -> str:
    pair = [own[form].get(key) for form in ("f32", "int8")]
    return "" if None in pair else " → ".join(map(show, pair))


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _judge(report: Figures) -> str:
    how = f"{report['photos']} photos judged; {report['shown']} others were shown to the networks."
    if report["judged_by"] == "accuracy":
        return how
    return f"{how} Their classes are not known: each one answered otherwise counts as lost."
