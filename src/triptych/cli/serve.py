"""``triptych serve``: the studio in a browser."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.inference.classifier import Classifier
    from triptych.settings import Settings
    from triptych.web.registry import Registry


@click.command()
@common.from_table("host", "port", "allowed_hosts", "proxies", "committee")
@common.members_option
@common.from_table("rule")
@common.weights_option
@common.from_table(
    "precision",
    "threads",
    "streams",
    "max_batch",
    "max_waiting_images",
    "max_requests_per_minute",
    "deadline_s",
    "max_loaded_bytes",
    "max_image_bytes",
    "max_image_pixels",
    "max_request_bytes",
    "max_request_images",
    "inbox",
    "log_format",
    "home",
)
@click.option("--insecure", is_flag=True, help="Let other machines ask without a key.")
def serve(members: tuple[str, ...] | None, weights: str, insecure: bool, **options: Any) -> None:
    """Serve the studio and the API on this machine: all committees, the taught ones too.

    \b
    Example:
      triptych serve --port 8080
    """
    import os

    import triptych
    from triptych import settings
    from triptych.web import server

    chosen, borrowed = _borrowed(settings.load(os.environ, **options))

    def load(name: str) -> Classifier:
        own = members or name.partition("@")[0] == borrowed
        asked = {**vars(chosen), "committee": chosen.committee if own else name}
        classifier = triptych.load(members=members, weights=weights, report=common.note, **asked)
        classifier.warm_up()
        return classifier

    server.serve(
        chosen,
        _registry(load, chosen, custom=bool(members), borrowed=borrowed, weights=weights),
        common.note,
        insecure=insecure,
    )


def _borrowed(chosen: Settings) -> tuple[Settings, str | None]:
    """Settings whose committee stays the same, and what it is called if it lies at a URL."""
    from triptych import bundles
    from triptych import errors
    from triptych.utils import storage

    if not storage.is_url(chosen.committee):
        return chosen, None
    common.note(f"Fetching {storage.shown(chosen.committee)}, unless it is here ...")
    url = bundles.pinned(chosen.committee)
    name = bundles.borrow(chosen.home, url).name
    if bundles.versions(chosen.home, name):
        raise errors.SettingError(
            f"{storage.shown(url)} holds {name}, and {chosen.home} has another {name}. Serve that "
            "by its name, take this in with `triptych bundles import`, or name another --home."
        )
    return dataclasses.replace(chosen, committee=url), name


def _registry(
    load: Callable[[str], Classifier],
    chosen: Settings,
    *,
    custom: bool,
    borrowed: str | None,
    weights: str,
) -> Registry:
    from triptych.inference import committee
    from triptych.web.registry import Registry
    from triptych.web.registry import discover

    more = {borrowed: [1]} if borrowed else {}
    return Registry(
        load,
        lambda: {"custom": [1]} if custom else {**discover(chosen.home), **more},
        "custom" if custom else borrowed or chosen.committee,
        # Random weights are never missing.
        missing=committee.missing if weights == "imagenet" else lambda name: [],
        max_bytes=chosen.max_loaded_bytes,
    )
