"""``triptych import``: make a bundle of a classifier that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from triptych.cli import common


@click.command("import")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    default=None,
    help="The classes, in the order of the outputs: a text file with one per line, or JSON. "
    "[default: those in the model's file or zip]",
)
@click.option("--name", default=None, help="Name of the bundle. [default: the file's name]")
@click.option(
    "--recipe",
    default=None,
    metavar="SCALING[:SIZE[:FIT[:INTERPOLATION]]]",
    help="Its preprocessing outside the model: 0..1, -1..1, raw (0 to 255), caffe, torch, or a "
    "backbone for its scaling, such as xception:150 or 0..1:224:crop:bilinear. "
    "[default: found out from the layers of the model, and printed]",
)
@click.option(
    "--logits/--probabilities",
    default=None,
    help="What it outputs. [default: found out from its layers and outputs]",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Labelled photos that decide the recipe, if the file does not tell it: a folder of photos "
    "per class, a zip of it, or a CSV.",
)
@common.from_table("home")
def import_model(
    model: Path,
    labels: Path | None,
    name: str | None,
    recipe: str | None,
    logits: bool | None,
    photos: Path | None,
    **options: Any,
) -> None:
    """Make a bundle of a classifier from elsewhere.

    MODEL is a file of Keras (.keras, .h5), ONNX, TensorFlow Lite or OpenVINO, a TensorFlow
    SavedModel, or a zip of one, such as Teachable Machine's.

    \b
    Examples:
      triptych import model.keras --labels labels.txt --recipe xception:150
      triptych import converted_keras.zip
      triptych import model.onnx --labels labels.txt --photos photos/
    """
    from triptych import imports

    external = imports.ExternalModel(model, labels, recipe, logits, photos)
    bundle = imports.import_model(
        external, name=name or model.stem, home=common.home(options), report=common.note
    )
    member = bundle.about["members"][0]
    click.echo(f"{bundle.name}: {len(bundle.labels)} classes, recipe {member['recipe']}")
    click.echo(f"{bundle.folder}")
