"""What every part of the benchmark needs to know, and the table they print."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import common
from serving import uploads
from serving.uploads import Upload
from triptych.engines import openvino

CLIENTS = (1, 4, 16)
CACHE = Path(__file__).parent.parent / ".cache"
DEFAULT_DATA = CACHE.parent.parent.parent / "shared" / "data" / "imagenet-mini"


@dataclass
class Bench:
    """A run, and what it has found so far.

    Args:
        folder: Of real photos, all of them.
        photos: Some of them, to post.
        home: Where the networks are kept.
        scratch: A folder for files to post.
        precisions: Number formats to measure, those that are to be had here.
        seconds: How long each load is counted.
        litserve: Python of LitServe's environment; ``None`` where there is none.
        soak_minutes: How long the soak lasts.
    """

    folder: Path
    photos: list[Upload]
    home: Path
    scratch: Path
    precisions: list[str]
    seconds: float
    litserve: Path | None
    soak_minutes: float
    figures: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, bool] = field(default_factory=dict)


Parts = Mapping[str, Callable[[Bench], None]]


def options(about: str, parts: Parts, *, seconds: float) -> argparse.ArgumentParser:
    """The options that every benchmark of servers has."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--only", default=",".join(parts), help="parts, separated by commas")
    parser.add_argument("--photos", type=Path, default=DEFAULT_DATA, help="folder of JPEG photos")
    parser.add_argument("--home", type=Path, default=CACHE / "home", help="keeps the networks")
    parser.add_argument("--seconds", type=float, default=seconds, help="how long a load is counted")
    return parser


def read(parser: argparse.ArgumentParser, parts: Parts) -> argparse.Namespace:
    """What was given, checked."""
    given = parser.parse_args()
    unknown = set(given.only.split(",")) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; expected: {', '.join(parts)}")
    return given


def run(
    name: str,
    parts: Parts,
    given: argparse.Namespace,
    *,
    precisions: list[str],
    litserve: Callable[[], Path | None] = lambda: None,
    soak_minutes: float = 0.0,
) -> None:
    """Run the parts that were asked for, keep the figures under a name, check the claims."""
    # Else a server would outlive a benchmark that is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load = os.getloadavg()[0]
    print(f"{common.machine()}\nother load on this machine at the start: {load:.2f}")
    with tempfile.TemporaryDirectory() as scratch:
        of = Bench(
            folder=given.photos,
            photos=uploads.photos(given.photos),
            home=given.home,
            scratch=Path(scratch),
            precisions=available(precisions),
            seconds=given.seconds,
            litserve=litserve(),
            soak_minutes=soak_minutes,
        )
        for part in given.only.split(","):
            parts[part](of)
    how = {"seconds": of.seconds, "photos": len(of.photos), "seed": uploads.SEED, "load": load}
    common.finish(name, {**how, **of.figures}, of.claims)


def available(wanted: Sequence[str]) -> list[str]:
    """Those number formats that this machine and installation have; says why others are not."""
    lacking = {}
    if not openvino.has_bf16():
        lacking["bf16"] = "this processor has no bf16 arithmetic"
    if importlib.util.find_spec("nncf") is None:
        lacking["int8"] = "nncf is not installed"
    for name in wanted:
        if name in lacking:
            print(f"Left out: {name}, for {lacking[name]}.")
    return [name for name in wanted if name not in lacking]


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first to the left."""
    widths = [max(len(row[i]) for row in (heading, *rows)) for i in range(len(heading))]
    print()
    for row in (heading, *rows):
        first, *others = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join((f"{first.strip():<{widths[0]}}", *others)), flush=True)
