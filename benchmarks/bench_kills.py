"""Kill training with SIGKILL at random moments: nothing may break, and no figure may change.

    .venv/bin/python benchmarks/bench_kills.py [DATA]

One run is undisturbed, for its figures and its time. Ten runs in another home folder are killed at
random moments within that time; after each kill every bundle must open. A last run must complete
and give the figures of the undisturbed one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
from triptych import bundles
from triptych import errors

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "hymenoptera"
KILLS = 10
SEED = 0


def main() -> None:
    """Kill, check, compare."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DATA
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as calm, tempfile.TemporaryDirectory() as rough:
        start = time.perf_counter()
        train(data, calm).wait()
        whole_s = time.perf_counter() - start
        broken, moments = 0, []
        for _ in range(KILLS):
            moments.append(round(rng.uniform(0.02, 1) * whole_s, 2))
            kill_after(train(data, rough), moments[-1])
            broken += not all_open(rough)
        train(data, rough).wait()
        equal = metrics(calm) == metrics(rough)
    print(f"undisturbed: {whole_s:.1f} s; killed after {moments} s")
    common.finish(
        "kills",
        {"undisturbed_s": round(whole_s, 1), "killed_after_s": moments, "seed": SEED},
        {"no kill breaks a bundle": broken == 0, "the next run equals an undisturbed one": equal},
    )


def train(data: Path, home: str) -> subprocess.Popen[bytes]:
    """A training run in its own process group, so that its children die with it."""
    command = [sys.executable, "-m", "triptych", "train", str(data), "--name", "kills"]
    command += ["--backbones", "lite0", "--home", home]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def kill_after(process: subprocess.Popen[bytes], delay_s: float) -> None:
    """Let it run, then kill it and its children."""
    try:
        process.wait(delay_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
    """Figures of the newest version."""
    text = (bundles.find(Path(home), "kills").folder / "metrics.json").read_text()
    return dict(json.loads(text))


if __name__ == "__main__":
    main()
