"""``triptych serve``: the studio in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.classifier import Classifier
    from triptych.settings import Settings
    from triptych.web.registry import Registry


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
    """Serve the studio and the API on this machine: all committees, the taught ones too.

    \b
    Example:
      triptych serve --port 8080
    """
    import os

    import triptych
    from triptych import settings
    from triptych.web import server

    chosen = settings.load(os.environ, **options)

    def load(name: str) -> Classifier:
        asked = {**vars(chosen), "committee": chosen.committee if members else name}
        return triptych.load(members=members, weights=weights, report=common.note, **asked)

    server.serve(
        chosen, _registry(load, chosen, custom=bool(members), weights=weights), common.note
    )


def _registry(
    load: Callable[[str], Classifier], chosen: Settings, *, custom: bool, weights: str
) -> Registry:
    from triptych import bundle
    from triptych import committee
    from triptych import zoo
    from triptych.web.registry import Registry

    names = ["custom"]
    if not custom:
        names = [*zoo.COMMITTEES, *(made.name for made in bundle.listed(chosen.home))]
    # Random weights are never missing.
    missing = committee.missing if weights == "imagenet" else lambda name: []
    return Registry(load, names, "custom" if custom else chosen.committee, missing=missing)
