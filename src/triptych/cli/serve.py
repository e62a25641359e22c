"""``triptych serve``: the studio in a browser."""

from __future__ import annotations

from typing import Any

import click

from triptych.cli import common


@click.command()
@common.from_table("host", "port", "committee")
@common.members_option
@common.from_table("rule")
@common.weights_option
@common.from_table(
    "precision",
    "threads",
    "max_image_bytes",
    "max_image_pixels",
    "max_request_bytes",
    "max_request_images",
    "home",
)
def serve(members: tuple[str, ...] | None, weights: str, **options: Any) -> None:
    """Serve the studio and the API on this machine.

    \b
    Example:
      triptych serve --port 8080
    """
    import os

    import triptych
    from triptych import settings
    from triptych.classifier import Classifier
    from triptych.web import registry
    from triptych.web import server

    chosen = settings.load(os.environ, **options)

    def load(name: str) -> Classifier:
        overrides = {**vars(chosen), "committee": name}
        return triptych.load(members=members, weights=weights, report=common.note, **overrides)

    server.serve(chosen, registry.Registry(load, default=chosen.committee), common.note)
