"""``triptych export``: a committee as one file for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from triptych.cli import common


@click.command()
@click.argument("name", metavar="COMMITTEE")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", metavar="NAME", help="[default: by the ending of FILE]")
@common.members_option
@common.from_table("rule", "coverage")
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Photos to compare it on, beside drawn ones.",
)
@click.option(
    "--onnxruntime-web",
    type=click.Path(path_type=Path),
    metavar="TGZ",
    help="Its npm package, for a page; where npm can fetch it, that is not needed.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@common.from_table("precision", "threads", "home")
def export(
    name: str,
    file: Path,
    form: str | None,
    members: tuple[str, ...] | None,
    photos: Path | None,
    onnxruntime_web: Path | None,
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
      triptych export garden exported/garden.html
    """
    import triptych
    from triptych import data
    from triptych.exports import onnxruntime_web as runtime

    if onnxruntime_web:
        runtime.keep(onnxruntime_web, common.home(options))
    exported = triptych.export(
        name,
        file,
        format=form,
        members=members,
        photos=data.walk(photos) if photos else (),
        overwrite=overwrite,
        report=common.note,
        **options,
    )
    click.echo(str(exported.comparison))
    for path in exported.files:
        click.echo(str(path))
