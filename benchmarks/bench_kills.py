"""Kill training with SIGKILL at random moments: nothing may break, and no figure may change.

    .venv/bin/python benchmarks/bench_kills.py [DATA] [--fine-tune]

One run is undisturbed, for its figures and its time. Ten runs in another home folder are killed,
with all their processes, at random moments within that time; with ``--fine-tune`` every other one
is killed within the time of an epoch after it has reported a new one. After each kill every bundle
must open, and every epoch that was reported must be on disk. A last run must complete, go on at the
last epoch, give the figures and the networks of the undisturbed one, and leave no scratch folders.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
from triptych import bundles
from triptych import errors
from triptych.training.finetune.checkpoints import Checkpoints
from triptych.utils import files

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "hymenoptera"
KILLS = 10
SEED = 0
REPORTED_EPOCH = re.compile(r"epoch (\d+):")


def main() -> None:
    """Kill, check, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?", default=DEFAULT_DATA)
    parser.add_argument("--fine-tune", action="store_true")
    arguments = parser.parse_args()
    rng = random.Random(SEED)
    broken, lost, kills = 0, 0, []
    with tempfile.TemporaryDirectory() as calm, tempfile.TemporaryDirectory() as rough:
        start = time.perf_counter()
        calm_run = Run(arguments.data, Path(calm), fine_tune=arguments.fine_tune)
        calm_run.process.wait()
        whole_s = time.perf_counter() - start
        for number in range(KILLS):
            run = Run(arguments.data, Path(rough), fine_tune=arguments.fine_tune)
            start = time.perf_counter()
            if arguments.fine_tune and number % 2:
                run.wait_for_epoch()
            run.kill_after(rng.uniform(0.02, 1) * whole_s / (1 + len(run.epochs)))
            kills.append({"after_s": round(time.perf_counter() - start, 1), "epochs": run.epochs})
            broken += not all_open(rough)
            lost += not run.epochs_are_kept()
            print(kills[-1], flush=True)
        last = Run(arguments.data, Path(rough), fine_tune=arguments.fine_tune)
        last.process.wait()
        print(f"undisturbed: {whole_s:.1f} s, epochs {calm_run.epochs}; last run: {last.epochs}")
        claims = {
            "no kill breaks a bundle": broken == 0,
            "no reported epoch is lost": lost == 0,
            "the next run's figures equal those of an undisturbed one": metrics(calm)
            == metrics(rough),
            "so do its networks": networks(calm) == networks(rough),
            "nothing is left over": not list(Path(rough).rglob(f"{files.SCRATCH}*")),
        }
    name = "kills_fine_tuning" if arguments.fine_tune else "kills"
    common.finish(name, {"undisturbed_s": round(whole_s, 1), "kills": kills, "seed": SEED}, claims)


@dataclass
class Run:
    """A training run in its own process group, so that its children die with it."""

    data: Path
    home: Path
    fine_tune: bool

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "triptych", "train", str(self.data), "--name", "kills"]
        command += ["--backbones", "lite0", "--home", str(self.home)]
        command += ["--fine-tune", "always"] if self.fine_tune else []
        self._log = self.home / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def epochs(self) -> list[int]:
        """The epochs that it has reported, those of earlier runs included."""
        return [int(number) for number in REPORTED_EPOCH.findall(self._log.read_text("utf-8"))]

    def wait_for_epoch(self) -> None:
        """Wait until it has reported an epoch that was not on disk before, or has ended."""
        before = self._kept()
        while self.process.poll() is None and set(self.epochs) <= before:
            time.sleep(0.1)

    def kill_after(self, delay_s: float) -> None:
        """Let it run, then kill it and its children."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(delay_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def epochs_are_kept(self) -> bool:
        """Whether every epoch that was reported is on disk, unless the bundle is written."""
        return set(self.epochs) <= self._kept() or self.process.returncode == 0

    def _kept(self) -> set[int]:
        states = [path for path in (self.home / "tuning").glob("*") if path.is_dir()]
        return {epoch.number for state in states for epoch in Checkpoints(state).epochs}


def all_open(home: str) -> bool:
    """Whether every version of the bundle opens, all hashes right."""
    try:
        for folder in Path(home, "bundles").glob("kills/[0-9]*"):
            bundles.check_files(folder, bundles.read(folder).about)
    except errors.TriptychError as error:
        print(error.message)
        return False
    return True


def metrics(home: str) -> dict[str, Any]:
    """Figures of the newest version, without how long they took."""
    text = (bundles.find(Path(home), "kills").folder / "metrics.json").read_text()
    return dict(json.loads(text, object_hook=_without_seconds))


def _without_seconds(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "seconds"}


def networks(home: str) -> list[str]:
    """Hashes of the weights of the newest version's networks."""
    folder = bundles.find(Path(home), "kills").folder
    return [files.digest(path) for path in sorted(folder.glob("members/*/network.bin"))]


if __name__ == "__main__":
    main()
