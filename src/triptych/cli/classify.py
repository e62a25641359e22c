"""``triptych classify``: classify photos, and print verdicts or write them to files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import classify_out
from triptych.cli import common
from triptych.utils import formatting

if TYPE_CHECKING:
    from triptych.inference.classifier import Classifier
    from triptych.results import Failure
    from triptych.results import Verdict

MAX_LISTED = 6  # classes of a prediction set
# Spreadsheets take cells that begin with these for formulas, also after white space.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

Writer = Callable[["Verdict | Failure"], None]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@common.from_table("committee")
@common.members_option
@common.from_table("rule")
@common.fit_option
@common.from_table("coverage")
@click.option("--top", type=click.IntRange(min=1), default=3, help="How many guesses to print.")
@click.option(
    "--similar",
    type=click.IntRange(0, 12),
    default=0,
    help="How many of the most similar training photos to print, for committees you trained.",
)
@click.option(
    "--explain",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Draw a heat map of the evidence for the answer over the photo; for one photo.",
)
@click.option(
    "--explain-member", metavar="NAME", help="Explain this member's answer, not the committee's."
)
@click.option(
    "--explain-label", metavar="CLASS", help="Explain this class, by id or name, not the answer."
)
@click.option("--json", "form", flag_value="json", help="One JSON object per line.")
@click.option("--csv", "form", flag_value="csv", help="A CSV table for spreadsheets.")
@click.option(
    "--out",
    metavar="DIR|URL",
    help="Write answers there as Parquet files, and resume an earlier run. Photos may be at URLs.",
)
@click.option(
    "--rows-per-file",
    type=click.IntRange(min=1),
    help="Photos per file of --out.  [default: 256]",
)
@common.ray_options
@common.weights_option
@common.from_table("precision", "device", "threads", "workers", "home")
@click.pass_context
def classify(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    fit: str | None,
    top: int,
    similar: int,
    form: str | None,
    out: str | None,
    rows_per_file: int | None,
    ray: bool,
    ray_address: str | None,
    **options: Any,
) -> None:
    """Classify images: files, folders (walked), or - for one image on standard input.

    Control characters in names are escaped as in URLs, and letters that the output's encoding lacks
    by backslashes. In CSV, text that a spreadsheet would run as a formula is preceded by an
    apostrophe.

    \b
    Examples:
      triptych classify cat.jpg
      triptych classify holiday/ --json > answers.jsonl
      triptych classify /archive --out answers/
      triptych classify cat.jpg --explain why.png
      curl -s $URL | triptych classify -
    """
    import triptych
    from triptych.inference.classifier import ClassifyOptions
    from triptych.results import Failure

    many = len(paths) > 1 or Path(paths[0]).is_dir()
    picture, explained = _explain_options(options, many)
    output = classify_out.OutputOptions(out, rows_per_file, ray, ray_address)
    output.check(paths, "explain" if picture else form)
    question = ClassifyOptions(top=top, fit=fit, similar=similar)
    if output.out:
        classify_out.classify(paths, output, question, options)
        return
    total = sum(1 for _ in _images(paths, read_stdin=False)) if many else 1
    with classify_out.worker_pool(options, total) as processes:
        classifier = triptych.load(report=common.note, pool=processes, **options)
        committee = classifier.committee
        members = tuple(member.name for member in committee.members)
        write = _writer(form, members, multilabel=committee.multilabel is not None)
        if not form and (missing := committee.params.missing_promise(committee.rule)):
            common.note(f"No answer is called sure. {missing.message}\n")
        failed = 0
        photos = list(_images(paths)) if picture else _images(paths)  # standard input is read once
        with common.progress(total if total > 1 else 0, "Classifying") as bar:
            for answer in classifier.classify_many(photos, question):
                failed += isinstance(answer, Failure)
                write(answer)
                bar.update(1)
        if picture and not failed:
            _explain(classifier, *next(iter(photos)), picture, {**explained, "fit": fit})
    if many:
        common.note(f"{total - failed} classified, {failed} failed.")
    if failed or not total:
        ctx.exit(1)


def _explain_options(options: dict[str, Any], many: bool) -> tuple[Path | None, dict[str, Any]]:
    """Separate the options of --explain from the others."""
    from triptych import errors

    picture: Path | None = options.pop("picture")
    explained = {name: options.pop(f"explain_{name}") for name in ("member", "label")}
    if picture and many:
        raise errors.SettingError(
            "--explain takes one photo, and several or a folder came. Name one photo."
        )
    if any(explained.values()) and not picture:
        raise errors.SettingError(
            "--explain-member and --explain-label need --explain FILE.png, the file to write."
        )
    return picture, explained


def _explain(
    classifier: Classifier, source: str, photo: Any, picture: Path, explained: dict[str, Any]
) -> None:
    from triptych import errors

    explanation = classifier.explain(photo, source=source, **explained)
    try:
        picture.write_bytes(explanation.overlay())
    except OSError as error:
        raise errors.SourceError(
            f"{picture} cannot be written: {error.strerror}. Name another file with --explain."
        ) from error
    whose = explanation.member or f"the committee {classifier.committee.name}"
    name, method = explanation.label.name, explanation.method
    common.note(f"{picture}: evidence for {name} according to {whose}, by {method}.")


def _images(paths: tuple[str, ...], *, read_stdin: bool = True) -> Iterator[tuple[str, Any]]:
    from triptych import data

    for path in paths:
        if path == "-":
            yield ("-", sys.stdin.buffer.read() if read_stdin else b"")
        elif Path(path).is_dir():
            yield from ((str(photo), photo) for photo in data.walk(Path(path)))
        else:
            yield (path, Path(path))


def _writer(form: str | None, members: tuple[str, ...], *, multilabel: bool) -> Writer:
    if form == "json":
        return lambda answer: common.print_json(answer.to_dict())
    if form != "csv":
        return _text_writer(members)
    columns = ["source", "label", "id", "index", "prob", "rule"]
    columns += ["status", "set", "novelty", "asked"]
    columns += [f"{name}_{what}" for name in members for what in ("label", "prob")]
    columns += ["similar", "warning", "error_code", "error_message", "status_reason"]
    columns += ["labels", "label_probs"] if multilabel else []
    sheet = csv.DictWriter(sys.stdout, columns, lineterminator="\n", restval="")
    sheet.writeheader()
    return lambda answer: sheet.writerow(_safe_cells(_csv_row(answer.to_dict())))


def _safe_cells(row: dict[str, Any]) -> dict[str, Any]:
    """Cells with an apostrophe before text that a spreadsheet would run as a formula."""
    return {
        column: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
        for column, cell in row.items()
    }


def _csv_row(answer: dict[str, Any]) -> dict[str, Any]:
    row = {"source": formatting.plain_text(answer["source"]), "warning": answer.get("warning", "")}
    if "error" in answer:
        return {**row, **{f"error_{key}": text for key, text in answer["error"].items()}}
    verdict = answer["verdict"]
    columns = ("label", "id", "index", "prob", "rule", "status", "novelty")
    row.update({key: verdict[key] for key in columns})
    row["set"] = "|".join(guess["label"] for guess in (verdict["set"] or {"labels": []})["labels"])
    row["similar"] = "|".join(f"{photo['label']}:{photo['digest']}" for photo in verdict["similar"])
    row["status_reason"] = (verdict["status_reason"] or {"code": ""})["code"]
    if "labels" in verdict:
        row["labels"] = "|".join(guess["label"] for guess in verdict["labels"])
        row["label_probs"] = "|".join(f"{guess['prob']:.4f}" for guess in verdict["labels"])
    row["asked"] = "|".join(member["name"] for member in answer["members"])
    for member in answer["members"]:
        best = member["top"][0]
        row.update({f"{member['name']}_{key}": best[key] for key in ("label", "prob")})
    return row


def _text_writer(members: tuple[str, ...]) -> Writer:
    from triptych.results import Failure

    width = max(map(len, members))

    def write(answer: Verdict | Failure) -> None:
        click.secho(formatting.plain_text(answer.source), bold=True)
        if isinstance(answer, Failure):
            click.secho(f"  {answer.message}\n", fg="red")
        else:
            click.echo(_describe(answer, width) + "\n")

    return write


def _describe(verdict: Verdict, width: int) -> str:
    from triptych.results import NONE

    members = len(verdict.members) + len(verdict.skipped)
    at_best = "None of these; at best " if verdict.status == NONE else ""
    best = f"{at_best}{verdict.label.name}  {formatting.percent(verdict.prob)}"
    lines = [
        f"  {best if verdict.labels is None else verdict.answer}"
        f"   ({verdict.rule} of {members}, surest: {verdict.surest}, "
        f"{verdict.timing.total_ms:.0f} ms)"
    ]
    confidence = _confidence(verdict)
    if confidence:
        lines.append(f"    {confidence}")
    for member in verdict.members:
        guesses = "   ".join(f"{g.label.name} {formatting.percent(g.prob)}" for g in member.top)
        lines.append(f"    {member.name:<{width}}  {guesses}")
    if verdict.similar:
        named = ", ".join(f"{p.text} {p.digest[:8]}" for p in verdict.similar)
        lines.append(f"    most like: {named}")
    if verdict.warning:
        lines.append(f"    {verdict.warning}")
    return "\n".join(lines)


def _confidence(verdict: Verdict) -> str:
    """A line on its confidence: status, prediction set, and skipped members."""
    from triptych.results import NONE

    status = "unlike all training photos" if verdict.status == NONE else verdict.status or ""
    parts = ["nothing promised yet" if verdict.status_reason else status]
    labels = (
        [guess.label.name for guess in verdict.prediction_set.guesses]
        if verdict.prediction_set
        else []
    )
    if verdict.prediction_set and len(labels) > 1:  # a set of one class adds nothing
        more = len(labels) - MAX_LISTED
        named = ", ".join(labels[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
        coverage = formatting.percent(verdict.prediction_set.coverage, None)
        parts.append(f"one of ({coverage}): {named}")
    if verdict.skipped:
        parts.append(f"skipped: {', '.join(verdict.skipped)}")
    return "; ".join(filter(None, parts))
