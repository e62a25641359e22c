"""``triptych check``: list the classes and photos of a dataset, and findings about them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.data import Dataset

# Lines of one finding that are printed.
MAX_LISTED = 10


@click.command()
@click.argument("source", metavar="SOURCE")
@common.format_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a report.")
def check(source: str, format: str, as_json: bool) -> None:
    """Check labelled photos before training: a folder per class, a zip of it, or a CSV.

    Or a folder, zip or file of COCO JSON, Label Studio's JSON or Hugging Face's imagefolder, or the
    URL of any of these. Nothing is changed. Findings are not failures: the exit code is 0 whatever
    is found.

    \b
    Examples:
      triptych check flowers/
      triptych check flowers.zip --json
      triptych check s3://bucket/flowers/
    """
    import os

    from triptych import data
    from triptych import settings

    limits = settings.load(os.environ).image_limits
    with common.progress(0, "Checking") as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        dataset = data.open(source, format=format, progress=show, limits=limits)
    if as_json:
        common.print_json(dataset.to_dict())
    else:
        click.echo("\n".join(_describe(dataset)))


def _describe(dataset: Dataset) -> Iterator[str]:
    counts = dataset.to_dict()["classes"]
    rows = [("class", "train", "val")]
    rows += [(row["name"], f"{row['train']:5,}", f"{row['val']:5,}") for row in counts]
    yield common.table(rows)
    yield ""
    yield (
        f"{dataset.name}: {len(dataset.classes)} classes, {len(dataset.train):,} training photos, "
        f"{len(dataset.val):,} held out."
    )
    yield "" if dataset.findings else "No findings."
    for kind, findings in itertools.groupby(dataset.findings, key=lambda finding: finding.kind):
        yield click.style(kind.replace("_", " "), bold=True)
        messages = [
            [message, *_sources([finding.sources for finding in same])]
            for message, same in itertools.groupby(findings, key=lambda finding: finding.message)
        ]
        for lines in messages[:MAX_LISTED]:
            yield from (f"  {line}" for line in lines)
        if len(messages) > MAX_LISTED:
            yield f"  and {len(messages) - MAX_LISTED:,} more"


def _sources(sets: list[tuple[str, ...]]) -> list[str]:
    """One source per line or, of several sets, one set per line."""
    many = len(sets) > 1
    lines = ["  ".join(_cut(list(sources))) for sources in sets] if many else list(sets[0])
    return [f"  {line}" for line in _cut(lines)]


def _cut(items: list[str]) -> list[str]:
    more = len(items) - MAX_LISTED
    return items[:MAX_LISTED] + ([f"and {more:,} more"] if more > 0 else [])
