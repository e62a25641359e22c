"""What lies beside an export: its classes, its model card, and a program that runs it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from triptych.engines.options import INT8
from triptych.exports.checking import Comparison
from triptych.exports.formats import Format
from triptych.exports.source import Source
from triptych.utils.formatting import plain_text

LABELS, CARD = "labels.txt", "README.md"
# By the ending of a program, what runs it.
RUNNERS = {
    ".py": "python classify.py PHOTO",
    ".mjs": "node classify.mjs PHOTO",
    ".cpp": "./classify PHOTO",
}


def write(
    folder: Path, row: Format, source: Source, file: Path, comparison: Comparison, card: str | None
) -> None:
    """Write them into the folder of an export.

    Args:
        folder: Where to.
        row: The format.
        source: What was exported.
        file: The export.
        comparison: How far its answers are from those of the committee.
        card: Model card of the committee, which goes before what is said of the export.
    """
    labels = [plain_text(label.name) for label in source.committee.labels]
    (folder / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
    head = card or f"# {source.committee.name}\n"
    text = f"{head.rstrip()}\n\n{_describe(row, source, file, comparison)}"
    (folder / CARD).write_text(text, encoding="utf-8")
    for program in filter(None, (row.program, *row.other_programs)):
        text = resources.files("triptych.exports").joinpath("programs", program).read_text()
        target = folder / f"classify{Path(program).suffix}"
        values = {"{file}": file.name, "{enough}": str(source.metadata["enough_px"])}
        for slot, value in values.items():
            text = text.replace(slot, value)
        target.write_text(text, encoding="utf-8")


def _describe(row: Format, source: Source, file: Path, comparison: Comparison) -> str:
    committee = source.committee
    members = "\n".join(f"- {member.name}: {member.recipe}" for member in committee.members)
    warning = f"\nWarning: {committee.warning}.\n" if committee.warning else ""
    thresholds = committee.multilabel.thresholds if committee.multilabel else ()
    untested = ""
    if source.precision == INT8 and any(each.target is not None for each in thresholds):
        untested = " The stated precision of classes was tested on answers at f32."
    return (
        f"## This export\n\n"
        f"`{file.name}` is {row.summary}, at precision {source.precision}, by the rule "
        f"`{committee.rule}`. {comparison}{untested}\n{warning}\n{members}\n\n"
        f"`{LABELS}` names the classes in the order of the probabilities.{_programs(row)}\n"
    )


def _programs(row: Format) -> str:
    names = filter(None, (row.program, *row.other_programs))
    how = ", ".join(f"`{RUNNERS[Path(name).suffix]}`" for name in names)
    return how and f" To print verdicts: {how}; the first lines of each say what it needs."
