"""``triptych keys``: make, list and take back the keys of a studio."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.studio.keys import Key

# `triptych --help` does not wait for the module that has them; a test compares the two.
ROLES = ("ask", "teach", "own")


@click.group()
def keys() -> None:
    """Keys of people and programs that use the studio.

    As soon as there is one, every request needs a key. A key with the role ask classifies photos,
    with all committees or with one; teach also sees and changes projects and publishes what they
    train; own also removes projects and makes keys.
    """


@keys.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="ask", help="What it may be used for.")
@click.option("--committee", default=None, help="The only committee that it may ask.")
@click.option(
    "--requests-per-minute",
    type=click.IntRange(min=0),
    default=0,
    help="Most requests with it; 0: the limit of each client applies alone.",
)
@common.from_table("home")
def add(
    name: str, role: str, committee: str | None, requests_per_minute: int, **options: Any
) -> None:
    """Make a key for NAME and print it; it cannot be printed again.

    \b
    Examples:
      triptych keys add Anna --role own
      triptych keys add "Guests of the garden" --committee garden
    """
    from triptych.studio.keys import Keys

    store = Keys(common.home(options))
    _, text = store.add(name, role, committee=committee, requests_per_minute=requests_per_minute)
    click.echo(text)
    common.note(f"The key of {name}. Keep it now: only its hash is stored.")
    if not any(key.may("own") for key in store.all()):
        common.note(
            "No key owns the studio yet, so only the server's own setting api_key, if it has one, "
            "can remove projects. Make one with: triptych keys add NAME --role own"
        )


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per key and line.")
@common.from_table("home")
def list_keys(as_json: bool, **options: Any) -> None:
    """List keys with their roles, and when each was used last."""
    from triptych.studio.keys import Keys

    listed = Keys(common.home(options)).all()
    if as_json:
        for key in listed:
            facts = dataclasses.asdict(key)
            del facts["digest"]
            common.print_json(facts)
    elif listed:
        rows = [("key", "role", "committee", "made", "last used")]
        click.echo(common.table(rows + [_row(key) for key in listed]))
    else:
        click.echo("There are no keys. Make one with: triptych keys add NAME --role own")


def _row(key: Key) -> tuple[str, ...]:
    days = [
        datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") if when else "never"
        for when in (key.created_s, key.used_s)
    ]
    return (key.name, key.role, key.committee or "all", *days)


@keys.command()
@click.argument("name")
@common.from_table("home")
def remove(name: str, **options: Any) -> None:
    """Take the key of NAME back: it is refused from now on, and who is signed in with it, too."""
    from triptych.studio.keys import Keys

    store = Keys(common.home(options))
    removed = store.remove(name)
    click.echo(f"Removed the key of {removed.name}.")
    if not store.exist:
        common.note(
            "It was the last one. Servers that run go on requiring a key; one that is started now "
            "without the setting api_key answers everybody on this machine."
        )
