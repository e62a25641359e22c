"""``triptych models`` and ``triptych pull``: list the networks, and download their weights."""

from __future__ import annotations

from typing import Any

import click

from triptych.cli import common
from triptych.utils import formatting

MB = 1_000_000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per network and line.")
@common.from_table("home")
def models(as_json: bool, **options: Any) -> None:
    """List the networks of the zoo, and those that were added, with cost and accuracy."""
    from triptych.models import weights
    from triptych.models import zoo

    rows: list[tuple[str, ...]] = [
        ("network", "committee", "input", "top-1", "10^6 madds", "10^6 params", "file", "here")
    ]
    for row in zoo.rows(common.home(options)):
        facts, path = zoo.facts(row), weights.locate(row)
        if as_json:
            common.print_json({**facts, "cached": str(path) if path else None})
        rows.append(
            (
                facts["name"],
                ", ".join(facts["committees"]),
                " x ".join(map(str, facts["size"])),
                "" if facts["top1"] is None else formatting.percent(facts["top1"]),
                f"{facts['multiply_adds'] / 1e6:10,.0f}",
                f"{facts['parameters'] / 1e6:11,.1f}",
                f"{facts['size_mb']:4.0f} MB",
                "yes" if path else "",
            )
        )
    if as_json:
        return
    click.echo(common.table(rows))
    click.echo(
        "\ntop-1: as published. To download weights: triptych pull NAME. "
        "To add a network from a file: triptych backbones add FILE"
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
    from triptych.models import weights
    from triptych.models import zoo

    rows = [zoo.find(member) for name in names for member in zoo.COMMITTEES.get(name, (name,))]
    for row in dict.fromkeys(rows):
        if weights.locate(row) is None:
            common.note(f"{row.name}: downloading about {row.weights.size_mb:.0f} MB")
        with common.progress(int(row.weights.size_mb * MB), row.name) as bar:

            def show(done: int, total: int | None, bar: Any = bar) -> None:
                bar.length = total or bar.length
                bar.update(done - bar.pos)

            path = weights.pull(row, source=source, progress=show)
        click.echo(f"{row.name}: {path}")
