"""``triptych bench``: measure how fast a committee is on this machine, and where time goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych import settings
from triptych.cli import common
from triptych.utils import extras
from triptych.utils import formatting

if TYPE_CHECKING:
    from triptych.benchmark import Bench
    from triptych.benchmark.report import Latency
    from triptych.benchmark.report import SampleReport
    from triptych.benchmark.samples import Sample
    from triptych.inference.classifier import Classifier
    from triptych.inference.committee import Committee
    from triptych.settings import Settings

Figures = dict[str, Any]
PASSED_ON = ("committee", "rule", "precision", "device", "threads", "streams", "max_batch", "home")


def _counts(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    counts = [int(text) if text.strip().isdecimal() else 0 for text in value.split(",")]
    if not all(counts):
        raise click.BadParameter(f"Got {value!r}; expected numbers of clients, such as 1,4,16.")
    return tuple(counts)


@click.command()
@click.argument("photos", nargs=-1, type=click.Path(path_type=Path))
@common.from_table("committee")
@common.members_option
@common.from_table("rule")
@common.weights_option
@common.from_table("precision", "device", "threads", "streams", "max_batch")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10,
    help="How long each figure is measured.",
)
@click.option(
    "--concurrency",
    default="1,4,16",
    metavar="N,N,N",
    callback=_counts,
    help="Numbers of clients that send requests at once.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write a plot to this PNG file.",
)
@common.from_table("home")
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    photos: tuple[Path, ...],
    seconds: float,
    concurrency: tuple[int, ...],
    as_json: bool,
    plot: Path | None,
    **options: Any,
) -> None:
    """Measure a committee on this machine: stages, photos per second, and the cost of HTTP.

    PHOTOS are files or folders; without them, synthetic photos of 0.2 and 12 megapixels are used.
    The command starts a server on a free port. Ctrl-C stops early and prints what was measured so
    far.

    \b
    Examples:
      triptych bench --committee lite --plot bench.png
      triptych bench holiday/ --rule cascade --json
      triptych bench --committee classic --weights random
    """
    import triptych
    from triptych.benchmark import Bench
    from triptych.benchmark import machine

    if plot:
        extras.require("--plot", "matplotlib", extra="plots")
        from triptych.benchmark import plots
    classifier = triptych.load(report=common.note, **options)
    in_force = settings.load(os.environ, **{name: options[name] for name in PASSED_ON})
    if busy := machine.busy_warning():
        common.note(busy)
    # The server must serve the same committee.
    served = {name: getattr(in_force, name) for name in PASSED_ON} | {"weights": options["weights"]}
    if options["members"]:
        served["members"] = ",".join(options["members"])

    about = _about(classifier, in_force, options)

    def open_committee(streams: int) -> Committee:
        return triptych.load(**{**options, "streams": streams, "max_batch": 1}).committee

    work = Bench(
        classifier,
        _samples(photos),
        open_committee=open_committee,
        cores=about["committee"]["threads"],
        seconds=seconds,
        concurrency=concurrency,
        server=[f"--{name.replace('_', '-')}={value}" for name, value in served.items()],
    )
    stopped = _run(work)
    report = {
        **about,
        "seconds": seconds,
        "stopped": stopped,
        "samples": [measured.to_dict() for measured in work.measured],
    }
    if as_json:
        common.print_json(report)
    else:
        click.echo(_describe(report, work.measured))
    if plot:
        plots.draw(plot, report["samples"], title=_title(report))
        common.note(f"Drawn: {plot}")
    if stopped:
        ctx.exit(1)


def _samples(photos: Sequence[Path]) -> list[Sample]:
    from triptych.benchmark import samples

    if photos:
        return [samples.read(photos, common.note)]
    common.note("No photos were given; synthetic ones are used.")
    return samples.synthetic_samples()


def _run(work: Bench) -> bool:
    """Measure with a progress bar; returns whether it was stopped."""
    try:
        with common.progress(work.steps, "Measuring") as bar:
            for _ in work.run():
                bar.update(1)
    except KeyboardInterrupt:
        common.note("\nStopped; these are the figures so far.")
        return True
    return False


def _about(classifier: Classifier, in_force: Settings, options: Figures) -> Figures:
    from triptych.benchmark import machine
    from triptych.engines import devices
    from triptych.engines.options import INT8
    from triptych.utils import concurrency

    precision = in_force.precision
    device = devices.resolve(in_force.device, precision)
    if precision != INT8:
        precision = devices.resolve_precision(device, precision, in_force.home)
    committee = classifier.committee
    return {
        "machine": machine.facts(),
        "committee": {
            "name": committee.name,
            "members": [member.name for member in committee.members],
            "rule": committee.rule,
            "weights": options["weights"],
            "precision": precision,
            "device": str(device),
            "threads": in_force.threads or concurrency.cpu_count(),
            "streams": in_force.streams or concurrency.cpu_count(),
        },
    }


def _title(report: Figures) -> str:
    about = report["committee"]
    return f"{about['name']}, by {about['rule']}, {about['precision']} on {about['device']}"


def _describe(report: Figures, measured: Sequence[SampleReport]) -> str:
    about, machine = report["committee"], report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    weights = "" if about["weights"] == "imagenet" else f"{about['weights']} weights, "
    lines = [
        f"{machine['processor']}, {machine['cores']} cores",
        f"Python {machine['python']}, {versions}",
        f"{_title(report)}, {weights}{about['threads']} threads in {about['streams']} streams; "
        f"each figure was measured for {report['seconds']:g} s",
    ]
    for one in measured:
        sample, drawn = one.sample, "drawn " if one.sample.is_synthetic else ""
        lines.append(
            f"\n{sample.name}: {len(sample.photos)} {drawn}files of {sample.megapixels:.1f} MP and "
            f"{sample.kilobytes:.0f} kB"
        )
        lines += [f"\n{common.table(rows)}" for rows in (_stages(one), _rates(one)) if rows[1:]]
    return "\n".join(lines)


def _stages(measured: SampleReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("one photo, stage after stage", "median", "95 of 100 within", "photos")
    ]
    rows += [
        (stage.name, *_times(stage.latency)[:2], formatting.percent(stage.share))
        for stage in measured.stages
    ]
    others = {
        "one photo, its networks side by side": measured.alone,
        "HTTP beyond that": measured.http,
    }
    rows += [(name, *_times(latency)[:2], "") for name, latency in others.items() if latency]
    return rows


def _rates(measured: SampleReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("photos a second", "", "of the networks", "median", "95 of 100", "99 of 100", "")
    ]
    if networks := measured.networks:
        rows.append(_rate(measured, f"the networks alone ({networks.best})", networks.best.per_s))
    if measured.stream_per_s:
        rows.append(_rate(measured, "in this process", measured.stream_per_s))
    for load in measured.loads:
        name = f"over HTTP, {load.clients} at once"
        other = sum(load.statuses.values()) - load.statuses.get(200, 0)
        note = f"{other} not answered" if other else ""
        rows.append(_rate(measured, name, load.per_s, load.latency, note))
    return rows


def _rate(
    measured: SampleReport, name: str, per_s: float, latency: Latency | None = None, note: str = ""
) -> tuple[str, ...]:
    share = measured.of_bare(per_s)
    times = _times(latency) if latency else ("", "", "")
    return (name, f"{per_s:7.1f}", formatting.percent(share) if share else "", *times, note)


def _times(latency: Latency) -> tuple[str, str, str]:
    p50, p95, p99 = (f"{ms:7.2f} ms" for ms in (latency.p50, latency.p95, latency.p99))
    return p50, p95, p99
