"""``triptych train``: train a committee on a folder of photos per class."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from triptych.cli import common
from triptych.cli import multilabel_tables
from triptych.typing import Notify
from triptych.typing import StageProgress
from triptych.utils import durations
from triptych.utils import formatting

AUTO = "auto"
FINE_TUNE = (AUTO, "always")


def _files(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    pairs = [value.partition("=") for value in values]
    wrong = [value for value, (_, equals, file) in zip(values, pairs, strict=True) if not file]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r}; expected NAME=FILE, such as xception=my.keras")
    return {name: Path(file) for name, _, file in pairs}


class _TrainCommand(click.Command):
    """Takes ``--fine-tune`` with or without a value; the next argument may be the photos."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Add the value of ``--fine-tune`` if it has none."""
        followers = [*args[1:], ""]
        return super().parse_args(
            ctx,
            [
                "--fine-tune=always" if arg == "--fine-tune" and after not in FINE_TUNE else arg
                for arg, after in zip(args, followers, strict=True)
            ],
        )


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else durations.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


@click.command(cls=_TrainCommand)
@click.argument("source", metavar="SOURCE")
@click.option("--name", required=True, help="Name of the committee.")
@common.format_option
@click.option(
    "--backbones",
    metavar="A,B,C",
    default="lite0,lite1,lite2",
    callback=common.split_names,
    help="Backbones to train heads on; see `triptych models`.",
)
@click.option(
    "--head",
    type=click.Choice(["linear", "mlp"]),
    default="linear",
    help="linear: softmax regression, from 5 photos per class on. mlp: dense layers with dropout.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=FILE",
    callback=_files,
    help="Your own .keras or .h5 file for a backbone, instead of the published weights.",
)
@click.option(
    "--augment",
    metavar="flips,crops",
    callback=common.split_names,
    help="Also train on mirrored photos, or crops: one and two more passes per photo.",
)
@click.option(
    "--fine-tune",
    type=click.Choice(FINE_TUNE),
    metavar="[auto|always]",
    help="Train the networks themselves, too, and keep the result if it is better. Takes minutes "
    "instead of seconds, and needs TensorFlow. auto: only if a short run shows that it pays. "
    "Without a value: always.",
)
@click.option(
    "--budget",
    "budget_s",
    metavar="TIME",
    callback=_duration,
    help="Time limit, such as 90s, 10m or 1h30m: decides which networks are fine-tuned, and for "
    "how many epochs. Implies --fine-tune.",
)
@click.option(
    "--multi-label",
    "multilabel",
    is_flag=True,
    help="A photo may have any number of classes. Implied by a CSV with | between classes.",
)
@click.option(
    "--precision-of-labels",
    type=click.FloatRange(min=0, max=100, min_open=True),
    metavar="PERCENT",
    help="Multi-label: per cent of the answers with each class that must be right, such as 95. "
    "By default each class's threshold is near the best F1.",
)
@click.option("--seed", type=int, default=0, help="Seed of splits and everything else random.")
@common.ray_options
@common.from_table("precision", "device", "threads", "home")
def train(
    source: str,
    name: str,
    format: str,
    backbones: tuple[str, ...],
    head: str,
    weights: dict[str, Path],
    augment: tuple[str, ...] | None,
    fine_tune: str | None,
    budget_s: float | None,
    multilabel: bool,
    precision_of_labels: float | None,
    seed: int,
    ray: bool,
    ray_address: str | None,
    **options: Any,
) -> None:
    """Train a committee on your own classes, from a folder of photos per class.

    Or from train/ and val/ folders of those, a zip of either, a CSV with the columns path and
    label, COCO JSON, Label Studio's JSON, Hugging Face's imagefolder, or the URL of any of these.
    With classes such as ant|bee in a CSV, a photo may have any number of them.
    Ctrl-C stops; the next run resumes. During fine-tuning, Ctrl-C keeps the best so far
    and still makes the bundle. With --ray the nodes of a cluster compute the
    features of the photos, which they read at the same paths.

    \b
    Examples:
      triptych train photos/ --name garden
      triptych train photos/ --name garden --fine-tune auto --budget 10m
      triptych train photos.csv --name garden --multi-label --precision-of-labels 95
      triptych classify new.jpg --committee garden
    """
    import triptych

    started = time.perf_counter()
    stopping = threading.Event()
    with (
        common.Stages() as stages,
        _interruptible(stopping, stages) as progress,
        _computing(ray, ray_address, stages.say) as compute,
    ):
        bundle = triptych.train(
            source,
            name=name,
            format=format,
            backbones=backbones,
            head=head,
            weights=weights,
            augment=augment or (),
            fine_tune=AUTO if fine_tune == AUTO else bool(fine_tune or budget_s),
            budget_s=budget_s,
            multilabel=multilabel,
            label_precision=None if precision_of_labels is None else precision_of_labels / 100,
            seed=seed,
            progress=progress,
            stop=stopping.is_set,
            on_score=lambda member, score: stages.say(
                f"{member}: {score} {'all classes right' if score.multilabel else 'right'}"
            ),
            report=stages.say,
            **compute,
            **options,
        )
    describe = multilabel_tables.describe if bundle.multilabel else _describe
    click.echo(describe(bundle.about["name"], bundle.metrics, bundle.about))
    if bundle.missing_promise:
        click.echo(f"\nNo answer is called sure yet. {bundle.missing_promise}")
    click.echo(f"\n{bundle.folder}\nTrained in {time.perf_counter() - started:.1f} s. To use it:")
    click.echo(f"  triptych classify PHOTO --committee {bundle.name}")


@contextlib.contextmanager
def _interruptible(stopping: threading.Event, stages: common.Stages) -> Iterator[StageProgress]:
    """Make the first Ctrl-C during fine-tuning set an event; any other interrupts as usual.

    Yields:
        A progress callback, which also keeps track of the stage.
    """
    from triptych.training.config import TrainingStage

    stage_now = ""

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal stage_now
        stage_now = stage
        stages.show(stage, done, total)

    def interrupt(*signal_and_frame: Any) -> None:
        if stopping.is_set() or TrainingStage.of(stage_now) is not TrainingStage.FINE_TUNING:
            raise KeyboardInterrupt
        stopping.set()
        stages.say("Stopping; the best so far is kept. Ctrl-C once more ends at once.")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield progress
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _computing(ray: bool, address: str | None, say: Notify) -> Iterator[dict[str, Any]]:
    """The keyword argument ``compute`` of `triptych.train` for a cluster; none without one."""
    if not (ray or address):
        yield {}
        return
    from triptych.scale import cluster
    from triptych.scale import features

    with cluster.connect(address, say=say):
        yield {"compute": features.compute}


def _describe(name: str, metrics: dict[str, Any], about: dict[str, Any]) -> str:
    # Weight and temperature of each member, unless there were too few photos to fit them.
    names, fit = [member["name"] for member in about["members"]], about["doubt"]
    fitted = dict.fromkeys(names, ("", ""))
    if fit:
        pairs = zip(fit["weights"], fit["temperatures"], strict=True)
        texts = [(f"{weight:.2f}", f"{temperature:.2f}") for weight, temperature in pairs]
        fitted = dict(zip(names, texts, strict=True))
    rows = [("", "right", "95 % interval", "weight", "temperature")]
    images = metrics["images"]
    for member in metrics["members"]:
        fit_columns = fitted.get(member["name"], ("dropped", ""))
        rows.append((member["name"], *_score(member, images), *fit_columns))
    rows.append((name, *_score(metrics["committee"], images), "", ""))
    lines = [common.table(rows), "", f"on {images} held-out photos"]
    tuned = about.get("fine_tuned", [])
    if tuned:
        lines += ["", "Fine-tuning:"]
    for record in tuned:
        before, after = (
            formatting.share_of(record[when]["held_out"], record["photos"])
            for when in ("before", "after")
        )
        result = "kept" if record["kept"] else "not clearly better, so not kept"
        lines.append(
            f"{record['member']}: {before} -> {after} on {record['photos']} held-out photos, "
            f"{record['seconds']:.0f} s; {result}"
        )
    return "\n".join(lines)


def _score(score: dict[str, Any], images: int) -> tuple[str, str]:
    share = formatting.share_of(score["top1"], images)
    return share, formatting.percent_range(*score["interval"])
