"""``triptych classify --out``: classify folders of millions of photos into Parquet files."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych import errors
from triptych import settings
from triptych.cli import common
from triptych.utils import storage

if TYPE_CHECKING:
    from triptych import batch
    from triptych.inference.classifier import ClassifyOptions
    from triptych.workers.pool import WorkerPool

# Settings that answers depend on; the others only concern places and speed.
ANSWER_SETTINGS = (
    "committee",
    "rule",
    "coverage",
    "precision",
    "device",
    "max_image_bytes",
    "max_image_pixels",
)
# Worker processes start a second later than this process, which gains nothing for fewer photos.
MANY_PHOTOS = 200
# Interval of progress lines where stderr is no terminal.
LINE_EVERY_S = 30


@dataclass(frozen=True)
class OutputOptions:
    """Options for answers that are written to files.

    Args:
        out: Folder for the files, a path or URL; ``None`` prints answers instead.
        rows_per_file: Photos per file; ``None`` leaves it to the plan.
        ray: Whether to use a Ray cluster.
        ray_address: Address of the cluster; ``None`` starts one on this machine.
    """

    out: str | None
    rows_per_file: int | None
    ray: bool
    ray_address: str | None

    @property
    def is_on_ray(self) -> bool:
        """Whether to use a cluster, which an address implies."""
        return self.ray or bool(self.ray_address)

    def check(self, paths: tuple[str, ...], form: str | None) -> None:
        """Reject options that contradict each other.

        Args:
            paths: The photos to classify.
            form: Another output format: ``"json"``, ``"csv"``, ``"explain"``.

        Raises:
            errors.SettingError: They contradict each other; the message says which to add or leave
                out.
        """
        if not self.out:
            if self.rows_per_file or self.is_on_ray:
                option = "--rows-per-file" if self.rows_per_file else "--ray"
                raise errors.SettingError(
                    f"{option} needs --out: it is for answers that are written to files. Add --out "
                    "with a folder or URL, or leave it out."
                )
            if any(map(storage.is_url, paths)):
                raise errors.SettingError(
                    "Photos at URLs need --out, a folder or URL for the answers. Add it, or "
                    "download the photos first."
                )
        elif form:
            raise errors.SettingError(
                f"--out writes Parquet files, and cannot be combined with --{form}. Leave out one "
                "of them."
            )
        elif "-" in paths:
            raise errors.SettingError(
                "--out takes files and folders, by path or URL, and not - (standard input). Leave "
                "out one of them."
            )


def classify(
    paths: tuple[str, ...],
    output: OutputOptions,
    question: ClassifyOptions,
    options: dict[str, Any],
) -> None:
    """Classify all photos that have no answer yet.

    Args:
        paths: Files and folders, paths or URLs.
        output: Where answers are written.
        question: Options of the answers.
        options: The other options of the command.
    """
    import triptych
    from triptych import batch
    from triptych.engines.devices import check_device_of_nodes

    members = {name: options.pop(name) for name in ("members", "weights")}
    in_force = settings.load(os.environ, **options)
    if output.is_on_ray:
        from triptych.scale import cluster

        cluster.require()
        check_device_of_nodes(in_force.device)
        in_force = dataclasses.replace(in_force, device="cpu")
    load = {**members, **{name: getattr(in_force, name) for name in ANSWER_SETTINGS}}
    # A cluster has processes of its own.
    workers = contextlib.nullcontext() if output.is_on_ray else worker_pool(options, _count(paths))
    with workers as processes:
        classifier = triptych.load(
            report=common.note,
            home=in_force.home,
            threads=in_force.threads,
            pool=processes,
            **load,
        )
        manifest = batch.Manifest.of(classifier, in_force.home, load, question)
        plan = _plan(paths, output, manifest)
        if plan.remaining_photos and not output.is_on_ray:
            _follow(plan, batch.classify(classifier, plan, manifest))
    if not plan.remaining_photos or not output.is_on_ray:
        return
    with cluster.connect(output.ray_address, say=common.note):
        from triptych.scale import folders

        # Without --home each node uses its own home folder.
        home = in_force.home.absolute() if options["home"] else None
        shards = folders.classify(
            plan,
            manifest,
            batch.Preprocessor.of(classifier, manifest),
            cores=in_force.threads or 1,
            home=home,
        )
        _follow(plan, shards)


@contextlib.contextmanager
def worker_pool(options: dict[str, Any], photos: int) -> Iterator[WorkerPool | None]:
    """Worker processes, where there are enough photos for them.

    Args:
        options: Of the command: ``workers``, which counts whatever the number of photos, and
            ``threads``; ``None`` for those of the environment.
        photos: How many there are.
    """
    from triptych.workers import pool

    in_force = settings.load(os.environ, **{name: options[name] for name in ("workers", "threads")})
    workers = in_force.workers or (0 if photos > MANY_PHOTOS else 1)
    with pool.start(workers, threads=in_force.threads) as processes:
        yield processes


def _count(paths: tuple[str, ...]) -> int:
    """How many photos there are, or enough of them for worker processes."""
    from triptych import batch

    with contextlib.suppress(errors.SourceError):  # photos of an earlier plan may be gone
        return sum(1 for _ in itertools.islice(batch.find(paths), MANY_PHOTOS + 1))
    return 0


def _plan(
    paths: tuple[str, ...], output: OutputOptions, manifest: batch.Manifest
) -> batch.BatchPlan:
    """Take the plan of an earlier run, or make one; says how much is done already."""
    from triptych import batch

    plan = batch.prepare(
        str(output.out),
        paths,
        manifest.to_dict(),
        rows_per_file=output.rows_per_file,
        on_listed=lambda photos: common.note(f"{photos:,} photos found."),
    )
    if plan.remaining_photos < plan.photos:
        done = f"{plan.photos - plan.remaining_photos:,} of {plan.photos:,}"
        common.note(f"{done} photos already have answers.")
    return plan


def _follow(plan: batch.BatchPlan, shards: Iterator[batch.Shard]) -> None:
    total = plan.remaining_photos
    progress = Progress(total)
    try:
        with common.Stages() as stages:
            stages.show("Classifying", 0, total)
            for part in shards:
                progress.add(part)
                stages.show("Classifying", progress.done, total)
                progress.print_line()
    except KeyboardInterrupt:
        common.note("Stopped. Answers so far are kept; the same command resumes.")
        raise click.exceptions.Exit(1) from None
    common.note(
        f"{progress.done - progress.failed:,} classified, {progress.failed:,} failed, "
        f"{progress.speed:.1f} per s. Answers: {plan.out}"
    )


@dataclass
class Progress:
    """Progress and speed of a run.

    Args:
        total: Photos to classify.
    """

    total: int
    done: int = 0
    failed: int = 0
    started_s: float = field(default_factory=time.monotonic)
    printed_s: float = field(default_factory=time.monotonic)

    @property
    def speed(self) -> float:
        """Photos per second."""
        return self.done / max(1e-9, time.monotonic() - self.started_s)

    def add(self, part: batch.Shard) -> None:
        """Count a file that was written."""
        self.done += part.photos
        self.failed += part.failed

    def print_line(self) -> None:
        """Print a progress line at intervals, if there is no progress bar."""
        now = time.monotonic()
        if sys.stderr.isatty() or now - self.printed_s < LINE_EVERY_S:
            return
        self.printed_s = now
        left_min = (self.total - self.done) / self.speed / 60
        common.note(
            f"{self.done:,} of {self.total:,} photos, {self.speed:.1f} per s, "
            f"about {left_min:.0f} min left"
        )
