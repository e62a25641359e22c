"""The command line: thin commands over the Python API, ``triptych NAME`` in ``cli/name.py``.

Exit codes: 0 success, 1 something failed (some images, a download), 2 wrong usage.
"""

from __future__ import annotations

import click

from triptych import __version__
from triptych.cli.backbones import backbones
from triptych.cli.bench import bench
from triptych.cli.bundles import bundles
from triptych.cli.check import check
from triptych.cli.classify import classify
from triptych.cli.common import CommandGroup
from triptych.cli.evaluate import evaluate
from triptych.cli.export import export
from triptych.cli.features import features
from triptych.cli.fit import fit
from triptych.cli.import_model import import_model
from triptych.cli.keys import keys
from triptych.cli.label_issues import label_issues
from triptych.cli.label_issues import suspects
from triptych.cli.models import models
from triptych.cli.models import pull
from triptych.cli.optimize import optimize
from triptych.cli.projects import projects
from triptych.cli.scale import scale
from triptych.cli.serve import serve
from triptych.cli.train import train
from triptych.utils import allocator


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="Every setting can also come from the environment; see docs/settings.md.",
)
@click.version_option(__version__, prog_name="triptych")
def main() -> None:
    """Show photos to a committee of networks and get one verdict."""
    allocator.return_large_blocks()


for command in (
    backbones,
    bench,
    bundles,
    check,
    classify,
    evaluate,
    export,
    features,
    fit,
    import_model,
    keys,
    label_issues,
    models,
    optimize,
    projects,
    pull,
    scale,
    serve,
    suspects,
    train,
):
    main.add_command(command)
