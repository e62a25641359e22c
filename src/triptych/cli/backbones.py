"""``triptych backbones``: add networks from files as backbones, list and remove them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from triptych.cli import common


@click.group()
def backbones() -> None:
    """Networks from elsewhere, to be trained on like those of the zoo."""


@backbones.command()
@click.argument("network", type=click.Path(path_type=Path), metavar="NETWORK.onnx|.keras|.xml")
@click.option("--name", default=None, help="Name of the backbone. [default: the file's name]")
@click.option(
    "--recipe",
    default=None,
    metavar="FILE.json|SCALING[:SIZE[:FIT[:INTERPOLATION]]]",
    help="How photos are prepared: timm's config.json or Hugging Face's preprocessor_config.json, "
    "or in words, such as torch:224 or 0..1:224:square:bilinear. "
    "[default: the file of these names beside the network]",
)
@click.option(
    "--tokens",
    type=click.Choice(["class", "mean", "patches", "class+patches"]),
    default=None,
    help="Of a transformer that gives tokens: which become the features. patches: the mean of "
    "those after the class and register tokens. [default: found out where that can be known]",
)
@click.option(
    "--output",
    default=None,
    metavar="NAME",
    help="Which output to take, if there are several; penultimate: what the last layer takes.",
)
@click.option(
    "--layout",
    type=click.Choice(["nchw", "nhwc"]),
    default=None,
    help="Where the colours are in its input. [default: found out from its shape]",
)
@click.option("--licence", default=None, help="Of its weights, for the cards of bundles.")
@common.from_table("home")
def add(
    network: Path,
    name: str | None,
    recipe: str | None,
    tokens: str | None,
    output: str | None,
    layout: str | None,
    licence: str | None,
    **options: Any,
) -> None:
    """Make a backbone of a network that takes a photo and gives features.

    Any network of timm, KerasHub or Hugging Face that was exported to ONNX, Keras or OpenVINO.

    \b
    Examples:
      triptych backbones add vit/model.onnx --name vit --tokens class
      triptych backbones add resnet18.onnx --recipe torch:224:crop:bicubic
      triptych train photos/ --name garden --backbones vit,lite2
    """
    from triptych.backbones import ForeignNetwork
    from triptych.backbones import add

    added = add(
        ForeignNetwork(network, recipe, tokens, output, layout, licence),
        home=common.home(options),
        name=name,
        report=common.note,
    )
    row = added.row
    click.echo(
        f"{row.name}: {row.feature_length} features, {row.parameters / 1e6:.1f} million "
        f"parameters, {row.multiply_adds / 1e9:.2f} billion multiply-adds a photo"
    )
    click.echo(f"{added.folder}\nTo train on it:")
    click.echo(f"  triptych train photos/ --name NAME --backbones {row.name}")


@backbones.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per backbone and line.")
@common.from_table("home")
def list_backbones(as_json: bool, **options: Any) -> None:
    """List the backbones that were added; `triptych models` lists those of the zoo, too."""
    from triptych.models import zoo
    from triptych.models.zoo import added

    rows = [("backbone", "input", "features", "10^6 madds", "file", "taken from it")]
    for each in added.listed(common.home(options)):
        facts = zoo.facts(each.row)
        if as_json:
            common.print_json(
                {
                    **facts,
                    "recipe": each.row.recipe.to_dict(),
                    "source": each.source,
                    "taken": each.taken,
                    "folder": str(each.folder),
                }
            )
        rows.append(
            (
                facts["name"],
                " x ".join(map(str, facts["size"])),
                str(facts["feature_length"]),
                f"{facts['multiply_adds'] / 1e6:10,.0f}",
                each.source,
                each.taken,
            )
        )
    if as_json:
        return
    if len(rows) == 1:
        click.echo("No backbone was added yet. Add one with: triptych backbones add NETWORK.onnx")
    else:
        click.echo(common.table(rows))


@backbones.command()
@click.argument("name")
@common.from_table("home")
def remove(name: str, **options: Any) -> None:
    """Remove a backbone; bundles that were trained on it stay complete."""
    from triptych.backbones import remove

    click.echo(f"Removed {remove(name, common.home(options)).row.name}.")
