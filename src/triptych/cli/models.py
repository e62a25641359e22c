"""``triptych models`` and ``triptych pull``: list the networks, and download their weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common
from triptych.utils import formatting

if TYPE_CHECKING:
    from triptych.models.zoo import Backbone

MB = 1_000_000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per network and line.")
def models(as_json: bool) -> None:
    """List the networks of the zoo: cost, accuracy, and whether their weights are here."""
    from triptych.models import zoo

    facts = [_facts(row) for row in zoo.BACKBONES.values()]
    if as_json:
        for fact in facts:
            click.echo(json.dumps(fact))
        return
    heading = (
        "network",
        "committee",
        "input",
        "top-1",
        "10^6 madds",
        "10^6 params",
        "file",
        "here",
    )
    click.echo(common.table([heading, *(_row(fact) for fact in facts)]))
    click.echo("\ntop-1: as published. To download weights: triptych pull NAME")


def _facts(row: Backbone) -> dict[str, Any]:
    from triptych.models import weights
    from triptych.models import zoo

    path = weights.locate(row)
    return {**zoo.facts(row), "cached": str(path) if path else None}


def _row(fact: dict[str, Any]) -> tuple[str, ...]:
    return (
        fact["name"],
        ", ".join(fact["committees"]),
        " x ".join(map(str, fact["size"])),
        formatting.percent(fact["top1"]),
        f"{fact['multiply_adds'] / 1e6:10,.0f}",
        f"{fact['parameters'] / 1e6:11,.1f}",
        f"{fact['size_mb']:4.0f} MB",
        "yes" if fact["cached"] else "",
    )


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--from",
    "source",
    metavar="URL|DIR",
    help="A mirror, or a folder (USB stick), with the official files under their names.",
)
def pull(names: tuple[str, ...], source: str | None) -> None:
    """Download and verify the weights of networks or committees, into Keras's cache.

    \b
    Examples:
      triptych pull classic
      triptych pull EfficientNetV2S --from /media/usb/keras
    """
    from triptych.models import zoo

    rows = [zoo.find(member) for name in names for member in zoo.COMMITTEES.get(name, (name,))]
    for row in dict.fromkeys(rows):
        _pull(row, source)


def _pull(row: Backbone, source: str | None) -> None:
    from triptych.models import weights

    if weights.locate(row) is None:
        common.note(f"{row.name}: downloading about {row.weights.size_mb:.0f} MB")
    with common.progress(int(row.weights.size_mb * MB), row.name) as bar:

        def show(done: int, total: int | None) -> None:
            bar.length = total or bar.length
            bar.update(done - bar.pos)

        path = weights.pull(row, source=source, progress=show)
    click.echo(f"{row.name}: {path}")
