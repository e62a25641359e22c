"""Batch inference: photos a second in one process, and on Ray with the same cores."""

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
OPTIONS = ("--committee", "lite", "--precision", "f32", "--rows-per-file", str(ROWS_PER_FILE))
WAYS: dict[str, tuple[str, ...]] = {"one process": (), "ray": ("--ray",)}


def run(bench_run: Bench) -> None:
    """Classify the same photos both ways, and check that the answers are the same."""
    scratch = bench_run.scratch / "folders"
    photos = link_repeatedly(bench_run.folder, scratch / "photos", PHOTOS)
    figures: dict[str, Any] = {
        name: measure(photos, scratch / name, bench_run.home, way) for name, way in WAYS.items()
    }
    for name, row in figures.items():
        print(f"{name:<12}" + ", ".join(f"{key} {value:.1f}" for key, value in row.items()))
    one, ray = (scratch / name for name in WAYS)
    bench_run.claims["folders: answers on Ray are those of one process, to the bit"] = all(
        answers(one, number) == answers(ray, number) for number in range(PHOTOS // ROWS_PER_FILE)
    )
    bench_run.figures["folders"] = {"photos": PHOTOS, "rows_per_file": ROWS_PER_FILE, **figures}


def link_repeatedly(photos: Path, folder: Path, count: int) -> Path:
    """A folder of ``count`` links to photos, each under several names."""
    folder.mkdir(parents=True)
    for number, path in enumerate(itertools.islice(itertools.cycle(walk(photos)), count)):
        (folder / f"{number:06}{path.suffix}").symlink_to(path.resolve())
    return folder


def measure(photos: Path, out: Path, home: Path, way: tuple[str, ...]) -> dict[str, float]:
    """The command's speed when it is running, the time to its first answers, and in all."""
    start = time.time()
    arguments = ["classify", str(photos), "--out", str(out), "--home", str(home), *OPTIONS, *way]
    subprocess.run(
        [sys.executable, "-m", "triptych", *arguments],
        check=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    whole_s = time.time() - start
    written = sorted(path.stat().st_mtime for path in out.glob("part-*"))
    # The first files appear together, as their chunks were started at the same time.
    first = len(written) // 4
    running_s = written[-1] - written[first]
    return {
        "photos_per_s": ROWS_PER_FILE * (len(written) - 1 - first) / running_s,
        "first_answers_s": written[0] - start,
        "whole_s": whole_s,
    }


def answers(out: Path, number: int) -> list[dict[str, Any]]:
    """The answers of a chunk, without their timing."""
    return [{**row, "timing": None} for row in shards.read(str(out), number)]
