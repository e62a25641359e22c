"""``triptych scale config``: what ``triptych scale serve`` would do, as a file."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from triptych import errors
from triptych.cli import scale_options

COUNT = click.IntRange(min=1)
PODS = ("image", "worker_cores", "worker_memory", "min_workers", "max_workers")


@click.command()
@click.option("--kuberay", is_flag=True, help="A RayService for Kubernetes; it needs --image.")
@click.option("--image", metavar="NAME:TAG", help="What its pods run: Ray and triptych[ray].")
@click.option("--worker-cores", type=COUNT, default=8, help="Cores of each of its workers.")
@click.option("--worker-memory", type=COUNT, default=16, help="Memory of each, in GiB.")
@click.option("--min-workers", type=COUNT, default=2, help="Fewest workers.")
@click.option("--max-workers", type=COUNT, default=10, help="Most workers.")
@scale_options.options
@click.pass_context
def config(ctx: click.Context, /, kuberay: bool, **options: Any) -> None:
    """Write a file that serves a committee on a cluster, for `serve deploy` or `kubectl apply`.

    The options say what `triptych scale serve` would serve; what is left at its default is left
    out of the file.

    \b
    Examples:
      triptych scale config --committee garden --max-replicas 8 > garden.yaml
      triptych scale config --kuberay --image registry/triptych:1 > triptych.yaml
    """
    from triptych.scale import cluster

    cluster.require()
    from triptych.scale import config

    pods = {name: options.pop(name) for name in PODS}
    chosen, arguments = scale_options.read(options)
    if kuberay:
        click.echo(config.kuberay(arguments, config.Pods(**_pods(pods))), nl=False)
        return
    said = [name for name in PODS if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if said:
        raise errors.SettingError(
            f"--{said[0].replace('_', '-')} is about the pods of Kubernetes: give --kuberay, too."
        )
    click.echo(config.serve(arguments, port=chosen.port), nl=False)


def _pods(given: dict[str, Any]) -> dict[str, Any]:
    if not given["image"]:
        raise errors.SettingError(
            "--kuberay needs --image, such as --image registry/triptych:1: an image with Ray and "
            "triptych[ray] in it. docs/scale.md says how to build one."
        )
    return {
        "image": given["image"],
        "cores": given["worker_cores"],
        "memory_gib": given["worker_memory"],
        "min_workers": given["min_workers"],
        "max_workers": given["max_workers"],
    }
