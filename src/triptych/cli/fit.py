"""``triptych fit``: fit a committee's parameters on labelled photos, or select its networks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych import settings
from triptych.cli import common
from triptych.cli import fit_choose
from triptych.utils import extras
from triptych.utils import formatting

if TYPE_CHECKING:
    from triptych.inference.classifier import Classifier
    from triptych.tuning.fit import FitResult
    from triptych.tuning.predictions import LabelledPredictions

Figures = dict[str, Any]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@common.from_table("committee")
@common.members_option
@common.from_table("coverage")
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    help="Number of folds for cross-validation: no figure is of photos that were fitted on.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=100),
    default=0.1,
    help="Points of accuracy that the cascade may lose.",
)
@click.option(
    "--precision-of-sure",
    type=click.FloatRange(min=0, max=100, min_open=True, max_open=True),
    default=95,
    help="Per cent of the answers called sure that must be right.",
)
@click.option(
    "--keep-weights",
    is_flag=True,
    help="Keep the members' weights; otherwise they are fitted too, and some may become 0.",
)
@click.option("--seed", type=int, default=0, help="Seed of the folds.")
@click.option("--dry-run", is_flag=True, help="Measure only, and keep nothing.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the fitted parameters to this file instead of keeping them for the committee.",
)
@click.option("--choose", "is_choice", is_flag=True, help="Select networks instead.")
@fit_choose.backbones_option
@fit_choose.budget_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option(
    "--plots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw pictures into this folder, as PNG files.",
)
@common.from_table("precision", "device", "threads", "home")
def fit(folder: Path, is_choice: bool, as_json: bool, plots: Path | None, **options: Any) -> None:
    """Fit a committee on labelled photos: temperatures, weights, cascade thresholds, quantiles.

    DIR has a folder of photos per class, named by the class or its WordNet id. No member may have
    been trained on the photos. Figures are cross-validated; "before" means the networks' own
    probabilities with equal weights. What is kept was fitted on all photos: for a committee of the
    zoo in the home folder, for a bundle as its next version.

    With --choose, DIR may have any classes: every single network, pair and triple is evaluated, as
    mean and as cascade, and the fastest of those that are not significantly worse than the best is
    recommended.

    \b
    Examples:
      triptych fit photos/ --committee lite
      triptych fit photos/ --choose --budget-ms 20
    """
    if plots:
        extras.require("--plots", "matplotlib", extra="plots")
        plots.mkdir(parents=True, exist_ok=True)
    if is_choice:
        fit_choose.run(folder, as_json=as_json, plots=plots, **options)
    else:
        _fit(folder, as_json=as_json, plots=plots, **options)


def _fit(
    folder: Path,
    *,
    as_json: bool,
    plots: Path | None,
    members: tuple[str, ...] | None,
    dry_run: bool,
    output: Path | None,
    backbones: Any,
    budget_ms: float,
    folds: int,
    tolerance: float,
    precision_of_sure: float,
    keep_weights: bool,
    seed: int,
    **options: Any,
) -> None:
    import triptych
    from triptych import bundles
    from triptych import data
    from triptych import errors
    from triptych.ensemble import conformal
    from triptych.inference.committee import is_from_zoo
    from triptych.tuning import fit
    from triptych.tuning import predictions

    # Impossible options are refused before photos are classified, which takes long.
    extras.require("Fitting", "scipy", extra="teach")
    in_force = settings.load(os.environ, **options)
    conformal.check_coverage(in_force.coverage)
    learned: frozenset[str] = frozenset()  # photos the members were trained on
    if not is_from_zoo(in_force.committee):
        if members or output:
            raise errors.SettingError(
                f"{in_force.committee} is a bundle, which is fitted with all its members and keeps "
                "the fit itself. Leave out --members and --output."
            )
        bundle = bundles.find(in_force.home, in_force.committee)
        if bundle.multilabel:
            raise errors.SettingError(
                f"{in_force.committee} is multi-label: its calibrations and thresholds are fitted "
                "when it is trained. Train it again with these photos."
            )
        learned = bundle.trained_on
    classifier = triptych.load(members=members, report=common.note, **options)
    photos = data.labelled(folder, classifier.committee.labels)
    with common.Stages() as stages:
        scored = predictions.score(
            classifier,
            photos,
            trained_on=learned,
            seed=seed,
            progress=lambda done, total: stages.show("Classifying", done, total),
        )
    weights = classifier.committee.params.weights if keep_weights else None
    config = fit.FitConfig(folds, tolerance / 100, precision_of_sure / 100, weights, seed)
    described = f"{folder.resolve().name}, {len(set(scored.targets.tolist()))} classes"
    fitted = fit.fit(scored, classifier.committee.costs, config, data=described)
    report = _report(classifier, scored, fitted, in_force.coverage)
    if plots:
        report["plots"] = _draw(plots, scored, fitted)
    if not dry_run:
        report["kept"] = str(_keep(in_force, classifier, fitted, output))
    if as_json:
        common.print_json(report)
    else:
        click.echo(_describe(report))


def _report(
    classifier: Classifier, scored: LabelledPredictions, fitted: FitResult, coverage: float
) -> dict[str, Any]:
    from triptych.evaluation import fit_report

    committee = classifier.committee
    missing = fitted.params.missing_promise(committee.rule)
    names = [member.name for member in committee.members]
    gains = fit_report.gains(
        fitted.crossed, scored.probs, names, committee.costs, coverage=coverage
    )
    return {
        "committee": committee.name,
        **gains,
        "told": dict(fitted.params.provenance),
        "missing_promise": missing.message if missing else None,
        "skipped": [failure.to_dict() for failure in scored.skipped],
    }


def _draw(folder: Path, scored: LabelledPredictions, fitted: FitResult) -> list[str]:
    from triptych.ensemble.rules import FITTED_RULE
    from triptych.evaluation import fit_plots
    from triptych.evaluation import fit_report

    targets = fitted.crossed.targets
    answers = {
        "before": fit_report.unfitted(scored.probs)[FITTED_RULE],
        "after": fitted.crossed.joined[FITTED_RULE],
    }
    files = [folder / "reliability.png", folder / "risk_coverage.png"]
    fit_plots.reliability(files[0], answers, targets)
    fit_plots.risk_coverage(files[1], answers, targets)
    return [str(file) for file in files]


def _keep(
    in_force: settings.Settings, classifier: Classifier, fitted: FitResult, output: Path | None
) -> Path:
    from triptych.inference import params_store
    from triptych.tuning import fit

    committee = classifier.committee
    if output is None:
        return fit.keep(in_force.home, in_force.committee, committee, fitted.params)
    names = [member.name for member in committee.members]
    params_store.write(output, committee.name, names, fitted.params)
    return output


def _describe(report: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [("before → after", "top-1", "calibration error", "NLL", "Brier")]
    photos = report["photos"]
    rows += [_row(member["name"], member, photos) for member in report["members"]]
    rows += [_row(f"rule {rule['name']}", rule, photos) for rule in report["rules"]]
    coverage = formatting.percent(report["rules"][0]["sets"]["coverage"], None)
    confidence: list[tuple[str, ...]] = [
        (
            "",
            "called sure",
            "of those right",
            "95 % interval",
            f"{coverage} sets cover",
            "mean size",
        )
    ]
    for rule in report["rules"]:
        sure, sets = rule["sure"], rule["sets"]
        cells = common.sure_cells(sure["share"], sure["precision"], photos)
        covered = formatting.share_of(sets["covered"], photos)
        confidence.append((f"rule {rule['name']}", *cells, covered, f"{sets['mean_size']:.2f}"))
    percent, cascade = formatting.percent, report["cascade"]
    accuracies = {
        rule["name"]: formatting.accuracy(
            rule["after"]["top1"], tuple(rule["after"]["interval"]), photos
        )
        for rule in report["rules"]
    }
    shares = (f"{n}: {percent(share, 0)}" for n, share in enumerate(cascade["asked"], start=1))
    lines = [
        common.table(rows),
        "",
        common.table(confidence),
        "",
        f"Cascade: right for {accuracies['cascade']}, with {percent(cascade['cost'], 0)} of the "
        f"multiply-adds. All members, weighted: right for {accuracies['weighted']}.",
        f"Photos by the number of networks that were run: {', '.join(shares)}.",
        f"{photos} photos in {report['folds']} folds.",
    ]
    if report["missing_promise"]:
        lines.append(f"No answer is called sure. {report['missing_promise']}")
    lines += common.skipped(report["skipped"])
    lines += [f"Drawn: {file}" for file in report.get("plots", [])]
    lines.append(f"Kept: {report['kept']}" if "kept" in report else "Nothing was kept.")
    return "\n".join(lines)


def _row(name: str, figures: Figures, photos: int) -> tuple[str, ...]:
    before, after = figures["before"], figures["after"]
    return (
        name,
        " → ".join(formatting.share_of(each["top1"], photos) for each in (before, after)),
        *(f"{before[key]:.3f} → {after[key]:.3f}" for key in ("ece", "nll", "brier")),
    )
