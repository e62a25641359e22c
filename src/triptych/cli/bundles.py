"""``triptych bundles``: list, show, remove, export to and import from one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from triptych.cli import common
from triptych.utils import formatting


@click.group()
def bundles() -> None:
    """The committees that were taught here or taken in."""


@bundles.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per bundle and line.")
@common.from_table("home")
def list_bundles(as_json: bool, **options: Any) -> None:
    """List bundles with their versions, the active one, classes and accuracy."""
    from triptych import bundles

    home = common.home(options)
    found = [_facts(made, home) for made in bundles.listed(home, unpublished=True)]
    if as_json:
        for facts in found:
            click.echo(json.dumps(facts, ensure_ascii=False))
    elif found:
        rows = [("bundle", "active", "versions", "classes", "members", "right", "made")]
        click.echo(common.table(rows + [_row(facts) for facts in found]))
    else:
        click.echo("There are no bundles yet. Teach one with: triptych train DIR --name NAME")


@bundles.command()
@click.argument("name")
@common.from_table("home")
def show(name: str, **options: Any) -> None:
    """Print what a bundle says of itself, as JSON."""
    from triptych import bundles

    made = bundles.find(common.home(options), name)
    about = {**made.about, "folder": str(made.folder), "metrics": made.metrics}
    click.echo(json.dumps(about, indent=1, ensure_ascii=False))


@bundles.command()
@click.argument("name", metavar="NAME@VERSION")
@common.from_table("home")
def activate(name: str, **options: Any) -> None:
    """Serve this version under the bare name from now on.

    An older version takes a newer one back. Without a number the highest is meant. A studio that
    runs changes over within seconds, and answers on meanwhile.
    """
    from triptych import bundles

    home, bare = common.home(options), name.partition("@")[0]
    highest = max(bundles.versions(home, bare), default=None)
    made = bundles.find(home, name if "@" in name or not highest else f"{name}@{highest}")
    bundles.activate(home, made.name, made.version)
    click.echo(f"{made.name} is version {made.version} from now on.")


@bundles.command()
@click.argument("name")
@common.from_table("home")
def deactivate(name: str, **options: Any) -> None:
    """Serve no version under the bare name; each can still be asked by its number."""
    from triptych import bundles

    bundles.activate(common.home(options), name, None)
    click.echo(f"{name} is offline. To publish a version: triptych bundles activate {name}@N")


@bundles.command()
@click.argument("name")
@common.from_table("home")
def remove(name: str, **options: Any) -> None:
    """Remove a bundle with all its versions."""
    from triptych import bundles

    bundles.remove(common.home(options), name)
    click.echo(f"{name} is gone.")


@bundles.command()
@click.argument("name")
@click.argument("file", metavar="FILE|URL")
@common.from_table("home")
def export(name: str, file: str, **options: Any) -> None:
    """Write a bundle as one zip file.

    \b
    At a URL, its hash goes into a file beside it, and what is printed names it everywhere:
      triptych bundles export garden s3://bucket/garden-2.zip
    """
    from triptych import bundles
    from triptych.utils import storage

    made = bundles.find(common.home(options), name)
    if storage.is_url(file):
        click.echo(bundles.lend(made, file))
    else:
        bundles.pack(made, Path(file))
        click.echo(file)


@bundles.command("import")
@click.argument("file", metavar="FILE|URL")
@click.option("--name", default=None, help="Instead of its own name.")
@common.from_table("home")
def import_bundle(file: str, name: str | None, **options: Any) -> None:
    """Take in a bundle from the file that export wrote."""
    from triptych import bundles
    from triptych.utils import storage

    home = common.home(options)
    if storage.is_url(file):
        made = bundles.adopt(home, file, name=name)
    else:
        made = bundles.unpack(home, Path(file), name=name)
    click.echo(f"{made.name}, version {made.version}: {made.folder}")


def _facts(made: Any, home: Path) -> dict[str, Any]:
    from triptych import bundles

    return {
        **made.facts,
        "versions": bundles.versions(home, made.name),
        "active": bundles.active(home, made.name),
        "folder": str(made.folder),
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    active = "none" if facts["active"] is None else str(facts["active"])
    right = "" if facts["top1"] is None else formatting.percent(facts["top1"])
    kept, classes = ", ".join(map(str, facts["versions"])), str(len(facts["classes"]))
    members = ", ".join(facts["members"])
    return (facts["name"], active, kept, classes, members, right, facts["created"])
