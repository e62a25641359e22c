"""``triptych serve``: run the web server with the studio and the API."""

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
    from triptych.typing import Notify
    from triptych.web.registry import Registry


@click.command()
@common.from_table(
    "host",
    "port",
    "allowed_hosts",
    "certificate",
    "certificate_key",
    "self_signed",
    "proxies",
    "path_prefix",
    "cors_origins",
    "committee",
)
@common.from_table(
    "sso_issuer",
    "sso_client_id",
    "sso_client_secret_file",
    "sso_scopes",
    "sso_name_claim",
    "sso_roles",
    "sso_label",
    "sso_session_hours",
)
@common.members_option
@common.from_table("rule")
@common.weights_option
@common.from_table(
    "precision",
    "device",
    "threads",
    "streams",
    "workers",
    "max_batch",
    "max_waiting_images",
    "max_requests_per_minute",
    "max_client_connections",
    "deadline_s",
    "max_loaded_bytes",
    "max_image_bytes",
    "max_image_pixels",
    "max_unpacking_bytes",
    "max_request_bytes",
    "max_request_images",
    "shadow",
    "shadow_share",
    "inbox",
    "weights_source",
    "log_format",
    "home",
)
@click.option("--insecure", is_flag=True, help="Let other machines send requests without a key.")
def serve(members: tuple[str, ...] | None, weights: str, insecure: bool, **options: Any) -> None:
    """Serve the studio and the API: the committees of the zoo and all bundles.

    \b
    Example:
      triptych serve --port 8080
    """
    import os

    import triptych
    from triptych import settings
    from triptych.utils import files
    from triptych.web import logs
    from triptych.web import server
    from triptych.workers import pool

    in_force = settings.load(os.environ, **options)
    note = logs.configure(in_force.log_format) or common.note
    in_force, remote = _fetched(in_force, note)

    def load(name: str) -> Classifier:
        is_default = members or name.partition("@")[0] == remote
        committee = in_force.committee if is_default else name
        classifier = triptych.load(
            members=members,
            weights=weights,
            report=note,
            pool=workers,
            **{**vars(in_force), "committee": committee},
        )
        classifier.warm_up()
        return classifier

    with (
        files.own_temporary_dir(),
        pool.start(in_force.workers, threads=in_force.threads) as workers,
    ):
        server.serve(
            in_force,
            _registry(load, in_force, custom=bool(members), remote=remote, weights=weights),
            note,
            insecure=insecure,
            workers=workers,
        )


def _fetched(in_force: Settings, note: Notify) -> tuple[Settings, str | None]:
    """Fetch a committee at a URL; returns settings with its hash, and the bundle's name."""
    from triptych import bundles
    from triptych import errors
    from triptych.utils import storage

    if not storage.is_url(in_force.committee):
        return in_force, None
    note(f"Fetching {storage.redact(in_force.committee)}, unless it is here ...")
    url = bundles.with_digest(in_force.committee)
    name = bundles.download(in_force.home, url).name
    if bundles.versions(in_force.home, name):
        raise errors.SettingError(
            f"The bundle at {storage.redact(url)} is called {name}, and {in_force.home} has "
            f"another {name}. Serve that one by its name, import this one with `triptych bundles "
            "import`, or give another --home."
        )
    return dataclasses.replace(in_force, committee=url), name


def _registry(
    load: Callable[[str], Classifier],
    in_force: Settings,
    *,
    custom: bool,
    remote: str | None,
    weights: str,
) -> Registry:
    from triptych.inference import committee
    from triptych.web.registry import Discovery
    from triptych.web.registry import Registry

    more = {remote: [1]} if remote else {}
    discovery = Discovery(in_force.home)
    return Registry(
        load,
        lambda: {"custom": [1]} if custom else {**discovery(), **more},
        "custom" if custom else remote or in_force.committee,
        # Random weights are never missing.
        missing=committee.missing if weights == "imagenet" else lambda name: [],
        may_be_new=discovery.has,
        max_bytes=in_force.max_loaded_bytes,
    )
