"""``triptych scale serve`` and ``triptych scale config``: committees on many machines, by Ray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from typing import Any

import click
from click.core import ParameterSource

from triptych import errors
from triptych import settings
from triptych.cli import common

if TYPE_CHECKING:
    from triptych.scale.arguments import Arguments
    from triptych.settings import Settings

COUNT = click.IntRange(min=1)
SHARE = click.FloatRange(min=0, min_open=True)
PODS = ("image", "worker_cores", "worker_memory", "min_workers", "max_workers")
# Settings that are fields of `Arguments`.
FIELDS = ("committee", "rule", "precision", "home")
# Settings without meaning on a cluster: replicas have cores, and nothing is trained there.
LEFT_OUT = (
    *("certificate", "certificate_key", "self_signed"),
    *("api_key", "port", "inbox", "shadow", "shadow_share", "weights_source"),
    *("threads", "streams", "max_batch", "max_loaded_bytes"),
    # Signing in needs a secret, which is in the environment of each node, as these are.
    *(row.name for row in settings.SETTINGS if row.name.startswith("sso_")),
)
ROWS = tuple(row.name for row in settings.SETTINGS if row.name not in (*FIELDS, *LEFT_OUT, "host"))
OPTIONS = (
    common.from_table("host", "port", "committee"),
    common.members_option,
    common.from_table("rule"),
    common.weights_option,
    common.from_table("precision", "home"),
    click.option("--cores", type=SHARE, default=1.0, help="Cores of each replica of a member."),
    click.option("--min-replicas", type=COUNT, default=1, help="Fewest replicas of each member."),
    click.option("--max-replicas", type=COUNT, default=1, help="Most replicas of each member."),
    click.option("--ingress-cores", type=SHARE, default=1.0, help="Cores of each ingress."),
    click.option("--ingress-min-replicas", type=COUNT, default=1, help="Fewest ingresses."),
    click.option("--ingress-max-replicas", type=COUNT, default=1, help="Most ingresses."),
    click.option(
        "--target-ongoing-requests",
        type=SHARE,
        default=2.0,
        help="Photos in progress per replica above which replicas are added.",
    ),
    common.from_table(*ROWS),
    click.option(
        "--insecure", is_flag=True, help="Let other machines send requests without a key."
    ),
)


def cluster_options(command: common.Command) -> common.Command:
    """Options that say how a committee is served on a cluster."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def read(options: dict[str, Any]) -> tuple[Settings, Arguments]:
    """Settings and arguments from options and the environment.

    Args:
        options: Values of the options, by their names.

    Raises:
        errors.SettingError: One has an impossible value.
    """
    from triptych.scale import arguments

    rows = {row.name: row for row in settings.SETTINGS}
    in_force = settings.load(
        os.environ, **{name: value for name, value in options.items() if name in rows}
    )

    def changed(*names: str) -> dict[str, Any]:
        values = {name: getattr(in_force, name) for name in names}
        return {name: value for name, value in values.items() if value != rows[name].default}

    # Settings that differ from their defaults are passed on, as replicas on other machines have
    # another environment.
    return in_force, arguments.read(
        **{name: value for name, value in options.items() if name not in rows},
        **{name: str(value) for name, value in changed(*FIELDS).items()},
        needs_key=bool(in_force.api_key),
        settings=changed(*ROWS, "host"),
    )


@click.group()
def scale() -> None:
    """Serve on many machines, by Ray; needs `pip install 'triptych[ray]'`."""


@scale.command()
@click.option("--address", metavar="HOST:PORT", help="Join this cluster; else Ray is started here.")
@click.option("--detach", is_flag=True, help="Leave it running on the cluster, and return.")
@cluster_options
def serve(address: str | None, detach: bool, **options: Any) -> None:
    """Serve a committee on a cluster; each member scales by its own load.

    Called again with the address of a cluster that already serves one, it updates it without losing
    a request.

    \b
    Examples:
      triptych scale serve --max-replicas 4
      triptych scale serve --address 10.0.0.5:6379 --detach --committee garden
    """
    from triptych.scale import cluster

    cluster.require()
    from triptych.scale import run

    in_force, arguments = read(options)
    run.run(arguments, address=address, port=in_force.port, detach=detach, say=common.note)


@scale.command()
@click.option("--kuberay", is_flag=True, help="Write a RayService for Kubernetes; needs --image.")
@click.option("--image", metavar="NAME:TAG", help="Image of its pods, with Ray and triptych[ray].")
@click.option("--worker-cores", type=COUNT, default=8, help="Cores of each worker.")
@click.option("--worker-memory", type=COUNT, default=16, help="Memory of each worker, in GiB.")
@click.option("--min-workers", type=COUNT, default=2, help="Fewest workers.")
@click.option("--max-workers", type=COUNT, default=10, help="Most workers.")
@cluster_options
@click.pass_context
def config(ctx: click.Context, /, kuberay: bool, **options: Any) -> None:
    """Write a configuration file for `serve deploy` or `kubectl apply`.

    The options are those of `triptych scale serve`; options left at their defaults are not written.

    \b
    Examples:
      triptych scale config --committee garden --max-replicas 8 > garden.yaml
      triptych scale config --kuberay --image registry/triptych:1 > triptych.yaml
    """
    from triptych.scale import cluster

    cluster.require()
    from triptych.scale import config

    pod_options = [
        name for name in PODS if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    pods = {name.removeprefix("worker_"): options.pop(name) for name in PODS}
    in_force, arguments = read(options)
    if kuberay:
        if not pods["image"]:
            raise errors.SettingError(
                "--kuberay needs --image, such as --image registry/triptych:1: an image with Ray "
                "and triptych[ray] in it. docs/scale.md says how to build one."
            )
        pods["memory_gib"] = pods.pop("memory")
        click.echo(config.kuberay(arguments, config.Pods(**pods)), nl=False)
        return
    if pod_options:
        option = f"--{pod_options[0].replace('_', '-')}"
        raise errors.SettingError(f"{option} is for pods of Kubernetes. Add --kuberay, or omit it.")
    click.echo(config.serve(arguments, port=in_force.port), nl=False)
