"""``triptych projects``: list, export to and import from plain folders."""

from __future__ import annotations

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
    """The studio's projects: classes and photos."""


@projects.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per project and line.")
@common.from_table("home")
def list_projects(as_json: bool, **options: Any) -> None:
    """List projects with their classes and photos, newest first."""
    from triptych.studio.projects import Projects

    listed = Projects(common.home(options)).all()
    if as_json:
        for project in listed:
            common.print_json(asdict(project))
    elif listed:
        rows = [("project", "title", "photos", "classes")]
        for project in listed:
            classes = ", ".join(f"{label.name} {label.photos:,}" for label in project.classes)
            rows.append((project.key, project.title, f"{project.photos:6,}", classes))
        click.echo(common.table(rows))
    else:
        click.echo("There are no projects yet. Create one in the studio, or from photos with:")
        click.echo("triptych projects import DIR")


@projects.command()
@click.argument("key", metavar="PROJECT")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@common.from_table("home")
def export(key: str, folder: Path, **options: Any) -> None:
    """Export a project to a folder of photos per class.

    DIR must be new or empty. Photos without a class and excluded ones are not exported.

    \b
    Example:
      triptych projects export garden garden-photos/
    """
    from triptych.studio.projects import Projects

    projects = Projects(common.home(options))
    with common.Stages() as stages:
        written = projects.export(
            key, folder, progress=lambda done, total: stages.show("Writing", done, total)
        )
    project = projects.find(key)
    click.echo(f"{folder}: {written:,} photos in {len(project.classes):,} classes")
    for count, reason in ((project.unsorted, "without a class"), (project.excluded, "excluded")):
        if count:
            common.note(f"{count:,} not exported: {reason}.")


@projects.command("import")
@click.argument("source", metavar="SOURCE")
@common.format_option
@click.option("--title", default=None, help="Its title. [default: the folder's or file's name]")
@click.option(
    "--multi-label",
    "multilabel",
    is_flag=True,
    help="A photo may have any number of classes: one that is in several folders has all of "
    "theirs. Implied by a CSV with | between classes.",
)
@common.from_table("home")
def import_project(
    source: str, format: str, title: str | None, multilabel: bool, **options: Any
) -> None:
    """Create a project from a folder of photos per class, a zip of it, or a CSV.

    Or from anything else that `triptych check` reads. Photos are copied; SOURCE is not changed.

    \b
    Examples:
      triptych projects import flowers/
      triptych projects import flowers.zip --title "Garden flowers"
    """
    from triptych.studio.projects import Projects

    findings: list[Finding] = []
    with common.Stages() as stages:
        project = Projects(common.home(options)).import_from(
            source,
            title,
            format=format,
            multilabel=multilabel,
            progress=lambda done, total: stages.show("Importing", done, total),
            report=findings.append,
        )
    for finding in findings:
        which = f" ({len(finding.sources):,}, such as {finding.sources[0]})"
        common.note(f"{finding.message}{which if finding.sources else ''}")
    click.echo(f"{project.key}: {project.photos:,} photos in {len(project.classes):,} classes")


@projects.command()
@common.from_table("home")
def rebuild(**options: Any) -> None:
    """Make a project of all photos after their database is lost.

    Classes and projects are lost with it, so put it back from a copy if there is one. What is left
    of it is kept as studio.sqlite.lost.
    """
    from triptych.studio.projects import recovery

    with common.Stages() as stages:
        key, count, damaged = recovery.rebuild(
            common.home(options),
            progress=lambda done, total: stages.show("Reading", done, total),
        )
    for path in damaged:
        common.note(f"Left out, as it is no photo any more: {path}")
    click.echo(f"{key}: {count:,} photos, none with a class")
