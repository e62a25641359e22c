"""``triptych fit --choose``: select the networks of a committee by accuracy and time."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych import settings
from triptych.cli import common
from triptych.utils import extras
from triptych.utils import formatting

if TYPE_CHECKING:
    from triptych.tuning.candidates import CandidateScores
    from triptych.tuning.select import Option

backbones_option = click.option(
    "--backbones",
    metavar="A,B,C",
    callback=common.split_names,
    help="With --choose: the candidates. [default: all networks whose weights are here]",
)
budget_option = click.option(
    "--budget-ms",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    help="With --choose: most milliseconds per photo.",
)


def run(
    folder: Path,
    *,
    as_json: bool,
    plots: Path | None,
    backbones: tuple[str, ...] | None,
    budget_ms: float,
    folds: int,
    tolerance: float,
    seed: int,
    precision: str | None,
    device: str | None,
    threads: int | None,
    home: Path | None,
    **unused: Any,
) -> None:
    """Evaluate all committees of up to three networks, and recommend one.

    Args:
        folder: A folder of photos per class.
        as_json: Print one JSON object instead of tables.
        plots: Folder for a plot.
        backbones: Names of networks; ``None`` for all whose weights are here.
        budget_ms: Most milliseconds per photo, on average.
        folds: Number of folds.
        tolerance: Points of accuracy that a cascade may lose.
        seed: Seed of the folds.
        precision: A setting, as the next three.
        device: What the networks run on.
        threads: Processor threads.
        home: The home folder.
        unused: Other options of ``triptych fit``.
    """
    from triptych.engines.options import EngineOptions
    from triptych.tuning import candidates
    from triptych.tuning import select

    extras.require("Fitting", "scipy", "threadpoolctl", extra="teach")
    in_force = settings.load(
        os.environ, precision=precision, device=device, threads=threads, home=home
    )
    engine_options = EngineOptions(
        in_force.home,
        in_force.precision,
        in_force.threads,
        report=common.note,
        device=in_force.device,
    )
    rows = candidates.resolve_backbones(backbones, in_force.home)
    with common.Stages() as stages:
        scored = candidates.evaluate_candidates(
            folder,
            rows,
            engine_options,
            budget_ms=budget_ms,
            folds=folds,
            seed=seed,
            progress=stages.show,
        )
        stages.say(f"Evaluating committees of {len(rows)} networks ...")
    options = select.options(
        scored.probs, scored.targets, scored.candidates, scored.folds, tolerance=tolerance / 100
    )
    recommended = select.recommend(options, budget_ms)
    report = _report(folder, scored, options, recommended, budget_ms)
    if plots:
        report["plots"] = [str(_draw(plots, options, recommended, budget_ms))]
    if as_json:
        common.print_json(report)
    else:
        click.echo(_describe(report))


def _report(
    folder: Path,
    scored: CandidateScores,
    options: Sequence[Option],
    recommended: Option,
    budget_ms: float,
) -> dict[str, Any]:
    from triptych.tuning import select

    names, path = ",".join(recommended.members), shlex.quote(str(folder))
    rule = " --rule cascade" if recommended.is_cascade else ""
    if scored.is_imagenet:
        commands = [
            f"triptych fit {path} --members {names}",
            f"triptych serve --members {names}{rule}",
        ]
    else:
        commands = [
            f"triptych train {path} --name NAME --backbones {names}",
            f"triptych serve --committee NAME{rule}",
        ]
    front = select.front(options)
    ordered = sorted(options, key=lambda option: (option.ms, -option.accuracy))
    return {
        "photos": len(scored.targets),
        "answers": "imagenet" if scored.is_imagenet else "heads",
        "options": [{**option.to_dict(), "front": option in front} for option in ordered],
        "budget_ms": budget_ms,
        "recommended": {**recommended.to_dict(), "commands": commands},
    }


def _draw(folder: Path, options: Sequence[Option], recommended: Option, budget_ms: float) -> Path:
    from triptych.evaluation import fit_plots
    from triptych.tuning import select

    front = select.front(options)
    spots = [
        fit_plots.Spot(
            title=option.title,
            ms=option.ms,
            accuracy=option.accuracy,
            interval=option.interval,
            is_cascade=option.is_cascade,
            is_front=option in front,
            is_recommended=option is recommended,
        )
        for option in options
    ]
    fit_plots.costs(folder / "costs.png", spots, budget_ms=budget_ms)
    return folder / "costs.png"


def _describe(report: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        ("", "members", "top-1", "95 % interval", "ms a photo", "G multiply-adds")
    ]
    for option in report["options"]:
        rows.append(
            (
                "*" if option["front"] else "",
                option["title"],
                formatting.share_of(option["top1"], report["photos"]),
                formatting.percent_range(*option["interval"]),
                f"{option['ms']:.1f}",
                f"{option['multiply_adds']:.2f}",
            )
        )
    recommended = report["recommended"]
    what = "The networks' own answers" if report["answers"] == "imagenet" else "Linear heads"
    return "\n".join(
        [
            common.table(rows),
            "",
            f"{what} for {report['photos']} photos they were not trained on. *: no faster "
            "committee is as accurate (Pareto front).",
            f"Fastest within {report['budget_ms']:g} ms of those not significantly worse than the "
            f"best: {recommended['title']}.",
            *(f"  {command}" for command in recommended["commands"]),
            *(f"Drawn: {file}" for file in report.get("plots", [])),
        ]
    )
