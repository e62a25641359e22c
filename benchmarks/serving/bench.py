"""What every part of the benchmark needs to know, and the table they print."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from serving.uploads import Upload
from triptych.engine import openvino

CLIENTS = (1, 4, 16)


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
