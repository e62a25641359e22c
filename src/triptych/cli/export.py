"""``triptych export``: a committee as one file for another runtime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from triptych import settings
from triptych.cli import common


@click.command()
@click.argument("name", metavar="COMMITTEE")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", metavar="NAME", help="[default: by the ending of FILE]")
@common.members_option
@common.from_table("rule", "coverage")
@click.option(
    "--photos",
    type=click.Path(exists=True, path_type=Path),
    metavar="DIR",
    help="Photos to compare it on, beside drawn ones.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@common.from_table("precision", "threads", "home")
def export(
    name: str,
    file: Path,
    form: str | None,
    members: tuple[str, ...] | None,
    photos: Path | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Export a committee as one file that answers elsewhere as it does here.

    Before it is handed over it is compared with the committee, photo by photo. Beside the file are
    the classes, a model card, and a short program that reads a photo and prints the verdict.

    \b
    Examples:
      triptych export lite exported/lite.onnx
      triptych export garden exported/garden.xml --precision int8
    """
    from triptych.cli.classify import _images
    from triptych.engines.options import EngineOptions
    from triptych.exports import exporting

    in_force = settings.load(os.environ, **options)
    exported = exporting.export(
        name,
        file,
        EngineOptions(
            in_force.home,
            precision=in_force.precision,
            threads=in_force.threads,
            report=common.note,
        ),
        exporting.ExportOptions(
            format=form,
            members=members,
            rule=None if in_force.rule == "auto" else in_force.rule,
            coverage=in_force.coverage,
            photos=(photo for _, photo in _images((str(photos),))) if photos else (),
            overwrite=overwrite,
        ),
    )
    click.echo(str(exported.comparison))
    for path in exported.files:
        click.echo(str(path))
