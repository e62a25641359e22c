"""``triptych bundles``: list, show, publish, remove, export and import bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from triptych.cli import common
from triptych.utils import formatting


@click.group()
def bundles() -> None:
    """Committees that were trained here or imported."""


@bundles.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per bundle and line.")
@common.from_table("home")
def list_bundles(as_json: bool, **options: Any) -> None:
    """List bundles with their versions, the active one, classes and accuracy."""
    from triptych import bundles

    home = common.home(options)
    listed = [
        {
            **bundle.facts,
            "versions": bundles.versions(home, bundle.name),
            "active": bundles.active(home, bundle.name),
            "folder": str(bundle.folder),
        }
        for bundle in bundles.listed(home, unpublished=True)
    ]
    if as_json:
        for facts in listed:
            common.print_json(facts)
    elif listed:
        rows = [("bundle", "active", "versions", "classes", "members", "right", "created")]
        click.echo(common.table(rows + [_row(facts) for facts in listed]))
    else:
        click.echo("There are no bundles yet. Train one with: triptych train DIR --name NAME")


@bundles.command()
@click.argument("name")
@common.from_table("home")
def show(name: str, **options: Any) -> None:
    """Print a bundle's description and metrics as JSON."""
    from triptych import bundles

    bundle = bundles.find(common.home(options), name)
    about = {**bundle.about, "folder": str(bundle.folder), "metrics": bundle.metrics}
    common.print_json(about, indent=1)


@bundles.command()
@click.argument("name", metavar="NAME@VERSION")
@common.from_table("home")
def activate(name: str, **options: Any) -> None:
    """Make a version the one that is served under the bundle's name.

    An older version rolls a newer one back. Without a number the highest version is published. A
    running server switches within seconds and keeps answering meanwhile.
    """
    from triptych import bundles

    home, bare = common.home(options), name.partition("@")[0]
    highest = max(bundles.versions(home, bare), default=None)
    bundle = bundles.find(home, name if "@" in name or not highest else f"{name}@{highest}")
    bundles.activate(home, bundle.name, bundle.version)
    click.echo(f"{bundle.name} is now version {bundle.version}.")


@bundles.command()
@click.argument("name")
@common.from_table("home")
def deactivate(name: str, **options: Any) -> None:
    """Serve no version under the bundle's name; each is still served by its number."""
    from triptych import bundles

    bundles.activate(common.home(options), name, None)
    click.echo(f"{name} is offline. To publish a version: triptych bundles activate {name}@N")


@bundles.command()
@click.argument("name")
@common.from_table("home")
def remove(name: str, **options: Any) -> None:
    """Remove a bundle with all its versions, or one version of it, as garden@2."""
    from triptych import bundles

    home = common.home(options)
    bare, at, number = name.partition("@")
    if at and not (number.isascii() and number.isdecimal()):
        raise bundles.registry.unknown(home, name)
    if at:
        bundles.remove_version(home, bare, int(number))
    else:
        bundles.remove(home, name)
    click.echo(f"Removed {name}.")


@bundles.command()
@click.argument("name")
@click.argument("file", metavar="FILE|URL")
@common.from_table("home")
def export(name: str, file: str, **options: Any) -> None:
    """Write a bundle to one zip file.

    \b
    At a URL its hash is written to a file beside it; the printed address works everywhere:
      triptych bundles export garden s3://bucket/garden-2.zip
    """
    from triptych import bundles
    from triptych.utils import storage

    bundle = bundles.find(common.home(options), name)
    if storage.is_url(file):
        click.echo(bundles.upload(bundle, file))
    else:
        bundles.pack(bundle, Path(file))
        click.echo(file)


@bundles.command()
@click.argument("name")
@click.argument("url", metavar="hf://USER/NAME")
@click.option("--private", is_flag=True, help="Make the repository private.")
@common.from_table("home")
def push(name: str, url: str, private: bool, **options: Any) -> None:
    """Write a bundle to a repository of the Hugging Face Hub.

    \b
    Log in first with `hf auth login`. The printed address names the commit, and works everywhere:
      triptych bundles push garden hf://ann/garden
      triptych classify new.jpg --committee hf://ann/garden
    """
    from triptych import bundles

    bundle = bundles.find(common.home(options), name)
    click.echo(bundles.push(bundle, url, private=private or None))


@bundles.command()
@click.argument("name")
@click.option("--register", metavar="NAME", help="Register it under this name, too.")
@click.option("--no-paths", is_flag=True, help="Take photos only as bytes, not by their paths.")
@common.from_table("home")
def log(name: str, register: str | None, no_paths: bool, **options: Any) -> None:
    """Log a bundle as a model to MLflow, to the server or store of MLFLOW_TRACKING_URI.

    \b
    The printed address is for MLflow's commands:
      triptych bundles log garden
      mlflow models serve -m models:/m-0f3a... --env-manager local
    """
    from triptych import bundles
    from triptych import mlflow

    bundle = bundles.find(common.home(options), name)
    logged = mlflow.log(bundle, registered_name=register, paths=not no_paths)
    click.echo(logged.model_uri)


@bundles.command("import")
@click.argument("file", metavar="FILE|URL")
@click.option("--name", default=None, help="A new name. [default: its own]")
@common.from_table("home")
def import_bundle(file: str, name: str | None, **options: Any) -> None:
    """Import a bundle from a file that export wrote, or a repository that push wrote."""
    from triptych import bundles
    from triptych.utils import storage

    home = common.home(options)
    if storage.is_url(file):
        bundle = bundles.import_from_url(home, file, name=name)
    else:
        bundle = bundles.unpack(home, Path(file), name=name)
    click.echo(f"{bundle.name}, version {bundle.version}: {bundle.folder}")


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    active = "none" if facts["active"] is None else str(facts["active"])
    accuracy = facts.get("damage", "")
    if facts["top1"] is not None:
        accuracy = formatting.accuracy(facts["top1"], facts["interval"], facts["images"])
    elif "macro_f1" in facts:
        accuracy = f"macro F1 {facts['macro_f1']:.3f} ({facts['images']} photos)"
    published, classes = ", ".join(map(str, facts["versions"])), str(len(facts["classes"]))
    members = ", ".join(facts["members"])
    return (facts["name"], active, published, classes, members, accuracy, facts["created"])
