"""``triptych check``: what photos there are to teach with, and what is wrong with them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.data import Dataset
    from triptych.data import Finding

LONGEST_LIST = 10


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a report.")
def check(folder: Path, as_json: bool) -> None:
    """Look over labelled photos before teaching: a folder per class, a zip of it, or a CSV.

    Nothing is changed. Findings are no failure; the exit code is 0 with any number of them.

    \b
    Examples:
      triptych check flowers/
      triptych check flowers.zip --json
    """
    from triptych import data

    with common.progress(0, "Looking") as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        found = data.open(folder, progress=show)
    if as_json:
        click.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        click.echo("\n".join(_describe(found)))


def _describe(found: Dataset) -> Iterator[str]:
    counts = found.to_dict()["classes"]
    rows = [("class", "train", "val")]
    rows += [(row["name"], f"{row['train']:5,}", f"{row['val']:5,}") for row in counts]
    yield common.table(rows)
    yield ""
    yield (
        f"{found.name}: {len(found.classes)} classes, {len(found.train):,} photos to train with, "
        f"{len(found.val):,} set apart to measure with."
    )
    yield "" if found.findings else "Nothing odd was found."
    for kind, findings in itertools.groupby(found.findings, key=lambda finding: finding.kind):
        yield from _of_kind(kind, list(findings))


def _of_kind(kind: str, findings: Sequence[Finding]) -> Iterator[str]:
    yield click.style(kind.replace("_", " "), bold=True)
    messages = [
        [message, *_sources([finding.sources for finding in same])]
        for message, same in itertools.groupby(findings, key=lambda finding: finding.message)
    ]
    for lines in messages[:LONGEST_LIST]:
        yield from (f"  {line}" for line in lines)
    if len(messages) > LONGEST_LIST:
        yield f"  and {len(messages) - LONGEST_LIST:,} more"


def _sources(sets: list[tuple[str, ...]]) -> list[str]:
    """A source a line; where there are several sets of them, a set a line."""
    many = len(sets) > 1
    lines = ["  ".join(_cut(list(sources))) for sources in sets] if many else list(sets[0])
    return [f"  {line}" for line in _cut(lines)]


def _cut(items: list[str]) -> list[str]:
    more = len(items) - LONGEST_LIST
    return items[:LONGEST_LIST] + ([f"and {more:,} more"] if more > 0 else [])
