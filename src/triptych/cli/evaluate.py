"""``triptych evaluate``: accuracy and calibration of members and rules on labelled photos."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common
from triptych.cli import multilabel_tables
from triptych.utils import formatting

if TYPE_CHECKING:
    from triptych.data import Labelled
    from triptych.data import LabelledSets
    from triptych.ensemble.multilabel import MultilabelParams
    from triptych.inference.classifier import Classifier


@click.command()
@click.argument("source", metavar="SOURCE")
@common.format_option
@common.from_table("committee")
@common.members_option
@common.from_table("rule")
@common.fit_option
@common.from_table("coverage")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@common.weights_option
@common.from_table("precision", "device", "threads", "home")
def evaluate(source: str, format: str, fit: str | None, as_json: bool, **options: Any) -> None:
    """Measure accuracy on labelled photos: a folder per class, by name or WordNet id.

    Or anything else that `triptych train` takes; of photos in train and val, val is taken. For a
    multi-label committee, a CSV or another document: a folder says of one class only that it holds.

    \b
    Examples:
      triptych evaluate photos/ --committee lite
      triptych evaluate https://example.org/photos.zip --committee garden
      triptych evaluate photos.csv --committee fruit
    """
    import triptych
    from triptych import data

    classifier = triptych.load(report=common.note, **options)
    committee, start = classifier.committee, time.perf_counter()
    if params := committee.multilabel:
        sets = data.labelled_sets(source, committee.labels, format=format)
        report = _count_sets(classifier, sets, fit, params)
    else:
        photos = data.labelled(source, committee.labels, format=format)
        report = _count(classifier, photos, fit)
    report["images_per_s"] = round(report["images"] / (time.perf_counter() - start), 1)
    if as_json:
        common.print_json(report)
    elif committee.multilabel:
        click.echo(_describe_sets(committee.name, report))
    else:
        click.echo(_describe(report))


def _count(classifier: Classifier, photos: Labelled, fit: str | None) -> dict[str, Any]:
    from triptych import data
    from triptych.evaluation import RunningMetrics
    from triptych.inference.classifier import ClassifyOptions
    from triptych.results import Failure

    committee = classifier.committee
    evaluation = RunningMetrics(
        [member.name for member in committee.members],
        committee.params,
        committee.costs,
        committee.rule,
        coverage=classifier.coverage,
    )
    skipped = list(photos.skipped)
    named = data.read_ahead(photo for photo, _ in photos.photos)
    with common.progress(len(photos.photos), "Evaluating") as bar:
        answers = classifier.score_many(named, ClassifyOptions(fit=fit))
        for answer, (_, label) in zip(answers, photos.photos, strict=True):
            if isinstance(answer, Failure):
                skipped.append(answer)
            else:
                evaluation.add(answer.probs, label)
            bar.update(1)
    report = evaluation.to_dict()
    report["committee"] = {"name": committee.name, **report["committee"]}
    if committee.params.is_fitted:
        report["fitted"] = dict(committee.params.provenance)
    if committee.warning:
        report["warning"] = committee.warning
    return {"skipped": [failure.to_dict() for failure in skipped], **report}


def _count_sets(
    classifier: Classifier, photos: LabelledSets, fit: str | None, params: MultilabelParams
) -> dict[str, Any]:
    from triptych import data
    from triptych.evaluation import RunningMultilabelMetrics
    from triptych.inference.classifier import ClassifyOptions
    from triptych.results import Failure

    committee = classifier.committee
    names = [label.name for label in committee.labels]
    evaluation = RunningMultilabelMetrics(
        names, [member.name for member in committee.members], params
    )
    skipped = list(photos.skipped)
    named = data.read_ahead(photo for photo, _ in photos.photos)
    with common.progress(len(photos.photos), "Evaluating") as bar:
        answers = classifier.score_many(named, ClassifyOptions(fit=fit))
        for answer, (_, labels) in zip(answers, photos.photos, strict=True):
            if isinstance(answer, Failure):
                skipped.append(answer)
            else:
                evaluation.add(answer.source, answer.probs, labels)
            bar.update(1)
    report = evaluation.to_dict()
    return {"skipped": [failure.to_dict() for failure in skipped], **report}


def _describe_sets(name: str, report: dict[str, Any]) -> str:
    if not report["images"]:
        lines = ["No photo could be read."]
    else:
        lines = [f"{multilabel_tables.describe(name, report)}, {report['images_per_s']} per s."]
    return "\n".join([*lines, *common.skipped(report["skipped"])])


def _describe(report: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        ("", "top-1", "95 % interval", "top-5", "ece", "cost", "sets cover", "set size")
    ]
    committee, images = report["committee"], report["images"]
    rows += [_row(member["name"], member, images) for member in report["members"]]
    rows += [_row(f"rule {name}", rule, images) for name, rule in report["rules"].items()]
    rows.append(_row(f"{committee['name']}, by {committee['rule']}", committee, images))
    lines = [common.table(rows), "", f"{images} photos, {report['images_per_s']} per s."]
    if report.get("fitted"):
        fitted = report["fitted"]
        lines.append(
            f"Fitted on {fitted['photos']} photos of {fitted.get('data', 'its own classes')}; on "
            "those photos these figures are too optimistic."
        )
    if report.get("warning"):
        lines.append(report["warning"])
    lines += common.skipped(report["skipped"])
    return "\n".join(lines)


def _row(name: str, score: dict[str, Any], images: int) -> tuple[str, ...]:
    return (
        name,
        formatting.share_of(score["top1"], images),
        formatting.percent_range(*score["interval"]),
        formatting.share_of(score["top5"], images),
        f"{score['ece']:.3f}",
        formatting.percent(score["cost"]) if "cost" in score else "",
        formatting.share_of(score["coverage"], images) if "coverage" in score else "",
        f"{score['set_size']:.2f}" if "set_size" in score else "",
    )
