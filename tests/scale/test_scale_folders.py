"""Folders of millions on a cluster: a driver killed, then a node, and each photo has one row."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support import ray_cluster
from support.bundles import write_runnable
from support.images import squares
from triptych.batch import shards
from triptych.cli import main
from triptych.scale.folders import WorkerPlan

pytestmark = [
    pytest.mark.ray,
    *(pytest.mark.filterwarnings(line) for line in ray_cluster.WARNINGS),
]

PHOTOS, ROWS = 2500, 25


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Words that classify photos by tiny networks."""
    write_runnable(tmp_path / "home")
    named = ["--committee", "tiny", "--home", str(tmp_path / "home"), "--precision", "f32"]
    return ["classify", *named, "--threads", "1", "--rows-per-file", str(ROWS)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """2,500 files in ten folders; two of them are no photos."""
    drawn = [squares(seed) for seed in range(100)]
    for number in range(PHOTOS):
        path = tmp_path / "photos" / str(number % 10) / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn[number % len(drawn)] if number % 1500 else b"just text")
    return tmp_path / "photos"


def written(out: Path) -> list[Path]:
    return sorted(out.glob("part-*.parquet"))


def rows(out: Path) -> list[dict[str, Any]]:
    """All of them, but for what differs from time to time."""
    all_rows = [row for number in shards.numbers(str(out)) for row in shards.read(str(out), number)]
    return [{key: value for key, value in row.items() if key != "timing"} for row in all_rows]


def wait(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_a_driver_and_a_node_are_killed_and_each_photo_has_one_row(
    cluster: Any, command: list[str], photos: Path, tmp_path: Path
) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    words = [sys.executable, "-m", "triptych", *command, str(photos), "--out", str(out)]
    words += ["--ray-address", cluster.address]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    with begin() as driver:
        wait(driver, lambda: len(written(out)) >= 3)
        driver.kill()
    before = len(written(out))
    assert before < PHOTOS // ROWS

    ray_cluster.add_workers(cluster, 2)
    with begin() as driver:
        wait(driver, lambda: len(written(out)) >= before + 20)
        killed_s = time.time()
        lost, *_ = cluster.worker_nodes
        cluster.remove_node(lost, allow_graceful=False)
        before_the_end = len(written(out))
        output, _ = driver.communicate()
    assert driver.returncode == 0, output
    assert before_the_end < PHOTOS // ROWS
    later = sorted(path.stat().st_mtime for path in written(out) if path.stat().st_mtime > killed_s)
    waited_s = max(after - before for before, after in itertools.pairwise([killed_s, *later]))
    print(f"longest wait for a part after a node died: {waited_s:.1f} s")

    by_source = {row["source"]: row for row in rows(out)}
    assert len(by_source) == len(rows(out)) == PHOTOS
    assert sum("error" in row for row in by_source.values()) == 2
    some = [str(photos / name) for name in ("0", "7")]
    ran = CliRunner().invoke(main, [*command, *some, "--out", str(alone)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert len(rows(alone)) == PHOTOS // 5
    assert rows(alone) == [by_source[row["source"]] for row in rows(alone)]


@pytest.mark.parametrize(
    ("nodes", "claimed"),
    [
        ([4, 2, 2], 4),
        ([8], 8),
        ([0, 8], 8),  # a head that does not work
        ([64, 4], 34),
    ],
)
def test_a_cluster_has_room_for_all_when_its_largest_node_is_gone(
    nodes: list[float], claimed: float
) -> None:
    workers = WorkerPlan.of(nodes, cores=2, most=99)
    assert workers.engines == workers.preprocessors == sum(nodes) // 2
    per_preprocessor, per_engine = workers.preprocessor_cpus, workers.engine_cpus
    assert workers.engines * (per_preprocessor + per_engine) == pytest.approx(claimed, abs=0.01)


@pytest.mark.parametrize(
    "arguments", [["--ray"], ["--ray-address", "127.0.0.1:1"]], ids=["ray", "address"]
)
def test_ray_needs_a_folder_for_the_answers(arguments: list[str]) -> None:
    ran = CliRunner().invoke(main, ["classify", "a.jpg", *arguments])
    assert ran.exit_code == 2
    assert "--ray needs --out" in ran.stderr
