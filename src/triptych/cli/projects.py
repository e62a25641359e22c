"""``triptych projects``: list, export to and import from plain folders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.data import Finding


@click.group()
def projects() -> None:
    """The classes and photos that were gathered in the studio."""


@projects.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per project and line.")
@common.from_table("home")
def list_projects(as_json: bool, **options: Any) -> None:
    """List projects with their classes and photos, newest first."""
    from triptych.studio.projects import Projects

    found = Projects(common.home(options)).all()
    if as_json:
        for project in found:
            click.echo(json.dumps(asdict(project), ensure_ascii=False))
    elif found:
        rows = [("project", "title", "photos", "classes")]
        for project in found:
            classes = ", ".join(f"{own.name} {own.photos:,}" for own in project.classes)
            rows.append((project.key, project.title, f"{project.photos:6,}", classes))
        click.echo(common.table(rows))
    else:
        click.echo("There are no projects yet. Make one in the studio, or from photos with:")
        click.echo("triptych projects import DIR")


@projects.command()
@click.argument("key", metavar="PROJECT")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@common.from_table("home")
def export(key: str, folder: Path, **options: Any) -> None:
    """Write a project as a plain folder of photos per class.

    DIR must be new or empty. Photos without a class and those that are excluded stay behind.

    \b
    Example:
      triptych projects export garden garden-photos/
    """
    from triptych.studio.projects import Projects

    kept = Projects(common.home(options))
    with common.Stages() as stages:
        written = kept.export(
            key, folder, progress=lambda done, total: stages.show("Writing", done, total)
        )
    left = kept.find(key)
    click.echo(f"{folder}: {written:,} photos in {len(left.classes):,} classes")
    for count, why in ((left.unsorted, "without a class"), (left.excluded, "excluded")):
        if count:
            common.note(f"{count:,} left behind: {why}.")


@projects.command("import")
@click.argument("source", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--title", default=None, help="Instead of the name of the folder or file.")
@common.from_table("home")
def import_project(source: Path, title: str | None, **options: Any) -> None:
    """Make a project of a folder of photos per class, a zip of it, or a CSV.

    The photos are copied; what lies in DIR is left as it is.

    \b
    Examples:
      triptych projects import flowers/
      triptych projects import flowers.zip --title "Garden flowers"
    """
    from triptych.studio.projects import Projects

    found: list[Finding] = []
    with common.Stages() as stages:
        made = Projects(common.home(options)).take_in(
            source,
            title,
            progress=lambda done, total: stages.show("Taking in", done, total),
            report=found.append,
        )
    for finding in found:
        which = f" ({len(finding.sources):,}, such as {finding.sources[0]})"
        common.note(f"{finding.message}{which if finding.sources else ''}")
    click.echo(f"{made.key}: {made.photos:,} photos in {len(made.classes):,} classes")
