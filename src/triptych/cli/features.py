"""``triptych features``: list the feature store, and prune it."""

from __future__ import annotations

import time
from typing import Any

import click

from triptych.cli import common

MB = 1_000_000
DAY_S = 86_400


@click.group()
def features() -> None:
    """Stored features of photos, which save a second pass through each backbone."""


@features.command("list")
@common.from_table("home")
def list_features(**options: Any) -> None:
    """List stored features by backbone and recipe."""
    spaces = _store(options).spaces()
    if not spaces:
        click.echo("The store is empty.")
        return
    rows = [("photos", "size", "used", "backbone, weights, recipe")]
    for space in spaces:
        days = (time.time() - space.used_s) / DAY_S
        size = f"{space.size_bytes / MB:.1f} MB"
        rows.append((str(space.photos), size, f"{days:.0f} days ago", space.name))
    click.echo(common.table(rows))


@features.command()
@click.option(
    "--unused-days",
    type=click.FloatRange(min=0),
    default=30,
    help="Remove features that were not used for this many days; 0 removes all.",
)
@common.from_table("home")
def prune(unused_days: float, **options: Any) -> None:
    """Remove features that are not used, and free the disk space."""
    removed = _store(options).prune(unused_days=unused_days)
    click.echo(f"Removed {removed}.")


def _store(options: dict[str, Any]) -> Any:
    from triptych.features import FeatureStore

    return FeatureStore(common.home(options) / "features.sqlite")
