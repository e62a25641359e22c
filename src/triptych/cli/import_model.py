"""``triptych import``: somebody's own Keras classifier becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from triptych.cli import common


@click.command("import")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.keras")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    required=True,
    help="A text file: one class a line, in the order of the outputs.",
)
@click.option("--name", default=None, help="What to call it. [default: the file's name]")
@click.option(
    "--recipe",
    default=None,
    metavar="BACKBONE[:SIZE[:FIT[:INTERPOLATION]]]",
    help="How it was fed, such as xception:150 or resnet50:224:crop:bilinear. "
    "[default: guessed from the backbone found inside, and said]",
)
@click.option(
    "--logits/--probabilities",
    default=None,
    help="What it ends in. [default: looked up in its last layer]",
)
@common.from_table("home")
def import_model(
    model: Path,
    labels: Path,
    name: str | None,
    recipe: str | None,
    logits: bool | None,
    **options: Any,
) -> None:
    """Make a bundle of any Keras classifier saved as .keras.

    \b
    Example:
      triptych import model.keras --labels labels.txt --recipe xception:150
    """
    from triptych.bundles import import_keras

    stranger = import_keras.Stranger(model, labels, recipe=recipe, logits=logits)
    made = import_keras.take_in(
        stranger, name=name or model.stem, home=common.home(options), report=common.note
    )
    member = made.about["members"][0]
    click.echo(f"{made.name}: {len(made.labels)} classes, recipe {member['recipe']}")
    click.echo(f"{made.folder}")
