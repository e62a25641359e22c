"""``triptych classify --out``: folders of millions, answered into files."""

from __future__ import annotations

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
    from triptych.inference.classifier import Question

# Settings that answers depend on; the others say where and how fast.
FIXED = ("committee", "rule", "coverage", "precision", "max_image_bytes", "max_image_pixels")
# Where nobody sees a bar, as in the log of a job.
LINE_EVERY_S = 30


@dataclass(frozen=True)
class Kept:
    """Options of answers that are written into files.

    Args:
        out: The folder they go to, a path or URL; ``None``: they are not written.
        rows_per_file: How many there are in a file; ``None`` leaves it to the plan.
        ray: Whether the nodes of a Ray cluster work.
        ray_address: Of the cluster; ``None`` starts one on this machine.
    """

    out: str | None
    rows_per_file: int | None
    ray: bool
    ray_address: str | None

    @property
    def is_on_ray(self) -> bool:
        """Whether a cluster works: to name one is enough."""
        return self.ray or bool(self.ray_address)

    def check(self, paths: tuple[str, ...], form: str | None) -> None:
        """Refuse what does not go together.

        Args:
            paths: What is classified.
            form: Another way to give answers: ``"json"``, ``"csv"``, ``"explain"``.

        Raises:
            errors.SettingError: It does not; the message says what is left out or given, too.
        """
        if not self.out:
            if self.rows_per_file or self.is_on_ray:
                option = "--rows-per-file" if self.rows_per_file else "--ray"
                raise errors.SettingError(
                    f"{option} is for answers that are written into files. Name a folder or URL "
                    "for them, too, with --out."
                )
            if any(map(storage.is_url, paths)):
                raise errors.SettingError(
                    "Photos at URLs are for answers that are written into files. Name a folder or "
                    "URL for them, too, with --out."
                )
        elif form:
            raise errors.SettingError(
                f"--out writes answers into Parquet files, so --{form} cannot be met. Leave out "
                "one of them."
            )
        elif "-" in paths:
            raise errors.SettingError(
                "--out is for folders and files, by path or URL, and - is standard input. "
                "Leave out one of them."
            )


def classify(
    paths: tuple[str, ...], kept: Kept, question: Question, options: dict[str, Any]
) -> None:
    """Answer all photos that have no answer yet.

    Args:
        paths: Files and folders, paths or URLs.
        kept: Where answers go.
        question: How they are asked for.
        options: The others of the command.
    """
    import triptych
    from triptych import batch

    if kept.is_on_ray:
        from triptych.scale import cluster

        cluster.require()
    seats = {name: options.pop(name) for name in ("members", "weights")}
    chosen = settings.load(os.environ, **options)
    load = {**seats, **{name: getattr(chosen, name) for name in FIXED}}
    classifier = triptych.load(report=common.note, home=chosen.home, threads=chosen.threads, **load)
    asked = batch.Asked.of(classifier, chosen.home, load, question)
    plan = batch.prepare(
        str(kept.out),
        paths,
        asked.to_dict(),
        rows_per_file=kept.rows_per_file,
        found=lambda photos: common.note(f"{photos:,} photos found."),
    )
    if plan.remaining_photos < plan.photos:
        told = f"{plan.photos - plan.remaining_photos:,} of {plan.photos:,}"
        common.note(f"{told} photos have their answers.")
    if not plan.remaining_photos:
        return
    if not kept.is_on_ray:
        _follow(plan, batch.classify(classifier, plan, asked))
        return
    with cluster.connect(kept.ray_address, say=common.note):
        from triptych.scale import folders

        # Else each node has its own.
        home = chosen.home.absolute() if options["home"] else None
        answered = folders.classify(
            plan, asked, batch.Cutter.of(classifier, asked), cores=chosen.threads or 1, home=home
        )
        _follow(plan, answered)


def _follow(plan: batch.Plan, answered: Iterator[batch.Part]) -> None:
    total = plan.remaining_photos
    pace = Pace(total)
    try:
        with common.Stages() as stages:
            stages.show("Classifying", 0, total)
            for part in answered:
                pace.add(part)
                stages.show("Classifying", pace.done, total)
                pace.tell()
    except KeyboardInterrupt:
        common.note("Stopped. What is answered is kept; the same command goes on from there.")
        raise click.exceptions.Exit(1) from None
    common.note(
        f"{pace.done - pace.failed:,} classified, {pace.failed:,} failed, {pace.speed:.1f} per s. "
        f"Answers: {plan.out}"
    )


@dataclass
class Pace:
    """How fast it goes.

    Args:
        total: How many photos there are to answer.
    """

    total: int
    done: int = 0
    failed: int = 0
    started_s: float = field(default_factory=time.monotonic)
    told_s: float = field(default_factory=time.monotonic)

    @property
    def speed(self) -> float:
        """Photos a second."""
        return self.done / max(1e-9, time.monotonic() - self.started_s)

    def add(self, part: batch.Part) -> None:
        """Count a part that was written."""
        self.done += part.photos
        self.failed += part.failed

    def tell(self) -> None:
        """Say how it goes, now and then, where no bar does."""
        now = time.monotonic()
        if sys.stderr.isatty() or now - self.told_s < LINE_EVERY_S:
            return
        self.told_s = now
        left_min = (self.total - self.done) / self.speed / 60
        common.note(
            f"{self.done:,} of {self.total:,} photos, {self.speed:.1f} per s, "
            f"about {left_min:.0f} min left"
        )
