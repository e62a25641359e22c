"""The settings and results that all parts of a benchmark share, and the table they print."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import traceback
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

CLIENTS = (1, 4, 16, 64)
CACHE = Path(__file__).parent.parent / ".cache"
DEFAULT_DATA = CACHE.parent.parent.parent / "shared" / "data" / "imagenet-mini"


@dataclass
class Bench:
    """A run: its settings, and its results so far.

    Args:
        folder: Of real photos.
        photos: Some of them, to post.
        home: Home folder with the converted networks.
        scratch: A folder for files to post.
        precisions: Number formats to measure, those that are available.
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
    """The options of every benchmark of servers."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--only", default=",".join(parts), help="parts, separated by commas")
    parser.add_argument("--photos", type=Path, default=DEFAULT_DATA, help="folder of JPEG photos")
    parser.add_argument(
        "--home", type=Path, default=CACHE / "home", help="keeps converted networks"
    )
    parser.add_argument("--seconds", type=float, default=seconds, help="how long a load is counted")
    return parser


def read(parser: argparse.ArgumentParser, parts: Parts) -> argparse.Namespace:
    """Parse and check the command line."""
    arguments = parser.parse_args()
    unknown = set(arguments.only.split(",")) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; expected: {', '.join(parts)}")
    return arguments


def run(
    name: str,
    parts: Parts,
    arguments: argparse.Namespace,
    *,
    precisions: list[str],
    litserve: Callable[[], Path | None] = lambda: None,
    soak_minutes: float = 0.0,
) -> None:
    """Run the requested parts, write the figures under a name, check the claims."""
    # Else servers would outlive a benchmark that is terminated.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load = os.getloadavg()[0]
    print(f"{common.machine()}\nother load on this machine at the start: {load:.2f}")
    with tempfile.TemporaryDirectory() as scratch:
        bench_run = Bench(
            folder=arguments.photos,
            photos=uploads.photos(arguments.photos),
            home=arguments.home,
            scratch=Path(scratch),
            precisions=available(precisions),
            seconds=arguments.seconds,
            litserve=litserve(),
            soak_minutes=soak_minutes,
        )
        for part in arguments.only.split(","):
            try:
                parts[part](bench_run)
            except Exception:  # the figures of hours of other parts are not lost by it
                traceback.print_exc()
                bench_run.claims[f"{part} is measured to its end"] = False
    settings = {
        "seconds": bench_run.seconds,
        "photos": len(bench_run.photos),
        "seed": uploads.SEED,
        "load": load,
    }
    common.finish(name, {**settings, **bench_run.figures}, bench_run.claims)


def available(precisions: Sequence[str]) -> list[str]:
    """The number formats that this machine and installation support; prints why others are not."""
    missing = {}
    if not openvino.has_bf16():
        missing["bf16"] = "this processor has no bf16 arithmetic"
    if importlib.util.find_spec("nncf") is None:
        missing["int8"] = "nncf is not installed"
    for name in precisions:
        if name in missing:
            print(f"Left out: {name}, as {missing[name]}.")
    return [name for name in precisions if name not in missing]


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first left-aligned."""
    widths = [max(len(row[i]) for row in (heading, *rows)) for i in range(len(heading))]
    print()
    for row in (heading, *rows):
        first, *others = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join((f"{first.strip():<{widths[0]}}", *others)), flush=True)
