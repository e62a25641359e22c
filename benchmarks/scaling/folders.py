"""Folders of millions: photos a second in one process, and on Ray with the same cores."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from serving.bench import Bench
from triptych.batch import shards
from triptych.data import walk

PHOTOS, ROWS_PER_FILE = 2000, 50
ASKED = ("--committee", "lite", "--precision", "f32", "--rows-per-file", str(ROWS_PER_FILE))
WAYS: dict[str, tuple[str, ...]] = {"one process": (), "ray": ("--ray",)}


def run(of: Bench) -> None:
    """Classify the same photos both ways; what is claimed is that the answers are the same."""
    scratch = of.scratch / "folders"
    photos = repeated(of.folder, scratch / "photos", PHOTOS)
    figures: dict[str, Any] = {
        name: measured(photos, scratch / name, of.home, way) for name, way in WAYS.items()
    }
    for name, own in figures.items():
        print(f"{name:<12}" + ", ".join(f"{key} {value:.1f}" for key, value in own.items()))
    one, ray = (scratch / name for name in WAYS)
    of.claims["folders: answers on Ray are those of one process, to the bit"] = all(
        answers(one, number) == answers(ray, number) for number in range(PHOTOS // ROWS_PER_FILE)
    )
    of.figures["folders"] = {"photos": PHOTOS, "rows_per_file": ROWS_PER_FILE, **figures}


def repeated(photos: Path, folder: Path, count: int) -> Path:
    """A folder with so many photos, the same ones under several names."""
    folder.mkdir(parents=True)
    for number, path in enumerate(itertools.islice(itertools.cycle(walk(photos)), count)):
        (folder / f"{number:06}{path.suffix}").symlink_to(path.resolve())
    return folder


def measured(photos: Path, out: Path, home: Path, way: tuple[str, ...]) -> dict[str, float]:
    """The command: its speed once it is under way, when its first answers came, and all of it."""
    start = time.time()
    words = ["classify", str(photos), "--out", str(out), "--home", str(home), *ASKED, *way]
    subprocess.run(
        [sys.executable, "-m", "triptych", *words],
        check=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    whole_s = time.time() - start
    written = sorted(path.stat().st_mtime for path in out.glob("part-*"))
    # The first ones come together, from all that were started at once.
    first = len(written) // 4
    under_way_s = written[-1] - written[first]
    return {
        "photos_per_s": ROWS_PER_FILE * (len(written) - 1 - first) / under_way_s,
        "first_answers_s": written[0] - start,
        "whole_s": whole_s,
    }


def answers(out: Path, number: int) -> list[dict[str, Any]]:
    """Of a chunk, but for what differs from time to time."""
    return [{**row, "timing": None} for row in shards.read(str(out), number)]
