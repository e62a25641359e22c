"""The options that say how a committee is served on a cluster, and what they mean together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych import settings
from triptych.cli import common

if TYPE_CHECKING:
    from triptych.scale.arguments import Arguments
    from triptych.settings import Settings

REPLICAS = click.IntRange(min=1)
SHARE = click.FloatRange(min=0, min_open=True)
# Rows of the settings table that are fields of the arguments themselves.
FIELDS = ("committee", "rule", "precision", "home")
# Those that mean nothing on a cluster: replicas have cores, and nobody teaches there.
LEFT_OUT = ("api_key", "port", "inbox", "threads", "streams", "max_batch", "max_loaded_bytes")
ROWS = tuple(row.name for row in settings.SETTINGS if row.name not in (*FIELDS, *LEFT_OUT, "host"))
OPTIONS = (
    common.from_table("host", "port", "committee"),
    common.members_option,
    common.from_table("rule"),
    common.weights_option,
    common.from_table("precision", "home"),
    click.option("--cores", type=SHARE, default=1.0, help="Cores of each member's replica."),
    click.option("--min-replicas", type=REPLICAS, default=1, help="Fewest of each member."),
    click.option("--max-replicas", type=REPLICAS, default=1, help="Most of each member."),
    click.option("--ingress-cores", type=SHARE, default=1.0, help="Cores of each ingress."),
    click.option("--ingress-min-replicas", type=REPLICAS, default=1, help="Fewest ingresses."),
    click.option("--ingress-max-replicas", type=REPLICAS, default=1, help="Most ingresses."),
    click.option(
        "--target-ongoing-requests",
        type=SHARE,
        default=2.0,
        help="Photos under way at a replica, above which there shall be more of them.",
    ),
    common.from_table(*ROWS),
    click.option("--insecure", is_flag=True, help="Let other machines ask without a key."),
)


def options(command: common.Command) -> common.Command:
    """Give a command all these options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def read(given: dict[str, Any]) -> tuple[Settings, Arguments]:
    """What the options and the environment say.

    Args:
        given: By the names of the options.

    Raises:
        errors.SettingError: Something has an impossible value.
    """
    from triptych.scale import arguments

    rows = {row.name: row for row in settings.SETTINGS}
    chosen = settings.load(
        os.environ, **{name: value for name, value in given.items() if name in rows}
    )
    # Replicas may be on other machines, whose environment is another one.
    further = {
        name: getattr(chosen, name)
        for name in (*ROWS, "host")
        if getattr(chosen, name) != rows[name].default
    }
    return chosen, arguments.read(
        **{name: value for name, value in given.items() if name not in rows},
        **_fields(chosen),
        needs_key=bool(chosen.api_key),
        settings=further,
    )


def _fields(chosen: Settings) -> dict[str, Any]:
    defaults = {row.name: row.default for row in settings.SETTINGS}
    values = {name: getattr(chosen, name) for name in FIELDS}
    return {name: str(value) for name, value in values.items() if str(value) != str(defaults[name])}
