"""Behind HTTP: ours beside a plain Keras app and LitServe, and what ours stands.

    .venv/bin/python benchmarks/bench_serve.py [--only trio,lite] [--seconds 20] [--soak 30]

Five parts, each server in a process of its own and the load in another, real photos, 1, 4 and 16
clients: `trio` is the article's three networks with random weights (speed does not depend on the
values) in all servers and in a bare loop; `lite` is the committee that comes with the package;
`photo` is one photo in two sizes; `overload` sends four times what the server can do; `soak` sends
good, bad and huge uploads for half an hour. LitServe is installed into a folder of its own the
first time; where that can't be had, it is left out.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import venv
from importlib import metadata
from pathlib import Path

import common
from serving import bench
from serving import endurance
from serving import lite
from serving import photo
from serving import trio
from serving import uploads
from serving.bench import Bench

HERE = Path(__file__).parent
BESIDE = HERE.parent.parent / "shared" / "data" / "imagenet-mini"
CACHE = HERE / ".cache"
LITSERVE = ("litserve==0.2.19", "python-multipart==0.0.34")
PARTS = {
    "trio": trio.run,
    "lite": lite.run,
    "photo": photo.run,
    "overload": endurance.overload,
    "soak": endurance.soak,
}


def main() -> None:
    """Run the parts, check the claims."""
    # Else a server would outlive a benchmark that is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = _options()
    chosen = options.only.split(",")
    load = os.getloadavg()[0]
    print(f"{common.machine()}\nother load on this machine at the start: {load:.2f}")
    with tempfile.TemporaryDirectory() as scratch:
        of = Bench(
            folder=options.photos,
            photos=uploads.photos(options.photos),
            home=options.home,
            scratch=Path(scratch),
            precisions=bench.available(options.precisions.split(",")),
            seconds=options.seconds,
            litserve=options.litserve_python or (_litserve() if "trio" in chosen else None),
            soak_minutes=options.soak,
        )
        for name in chosen:
            PARTS[name](of)
    how = {"seconds": of.seconds, "photos": len(of.photos), "seed": uploads.SEED, "load": load}
    common.finish("serve", {**how, **of.figures}, of.claims)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--precisions", default="f32,bf16,int8", help="number formats of ours")
    parser.add_argument("--photos", type=Path, default=BESIDE, help="folder of JPEG photos")
    parser.add_argument("--home", type=Path, default=CACHE / "home", help="keeps the networks")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a load is counted")
    parser.add_argument("--soak", type=float, default=30.0, metavar="MINUTES")
    parser.add_argument(
        "--litserve-python", type=Path, help=f"of an environment with {' and '.join(LITSERVE)}"
    )
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; expected: {', '.join(PARTS)}")
    return options


def _litserve() -> Path | None:
    """Python of an environment with LitServe, made the first time; ``None`` if it can't be."""
    folder = CACHE / "litserve"
    python = folder / "bin" / "python"
    wanted = [*LITSERVE, *(f"{name}=={metadata.version(name)}" for name in ("openvino", "pillow"))]
    print(f"Preparing an environment with {', '.join(wanted)} ...", flush=True)
    if not python.exists():
        venv.create(folder, with_pip=True)
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *wanted,
    ]
    return None if subprocess.run(command, check=False).returncode else python


if __name__ == "__main__":
    main()
