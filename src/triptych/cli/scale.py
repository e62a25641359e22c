"""``triptych scale``: the same committees across many machines, on Ray."""

from __future__ import annotations

from typing import Any

import click

from triptych.cli import common
from triptych.cli import scale_options
from triptych.cli.scale_config import config


@click.group()
def scale() -> None:
    """Answer on many machines, by Ray; needs `pip install 'triptych[ray]'`."""


@scale.command()
@click.option("--address", metavar="HOST:PORT", help="Of a cluster; else Ray is started here.")
@click.option("--detach", is_flag=True, help="Leave it running on the cluster, and return.")
@scale_options.options
def serve(address: str | None, detach: bool, **options: Any) -> None:
    """Serve a committee on a cluster: its members scale each by its own load.

    Called again with the address of a cluster that serves already, it changes what is served, and
    no request is lost.

    \b
    Examples:
      triptych scale serve --max-replicas 4
      triptych scale serve --address 10.0.0.5:6379 --detach --committee garden
    """
    from triptych.scale import cluster

    cluster.require()
    from triptych.scale import run

    chosen, arguments = scale_options.read(options)
    run.run(arguments, address=address, port=chosen.port, detach=detach, say=common.note)


scale.add_command(config)
