"""On Ray: what a second replica gives, and what the path through it costs.

    .venv/bin/python benchmarks/bench_scale.py [--only replicas,cost,folders] [--seconds 30]

Real photos and real HTTP, the load in a process of its own, each server with a cluster of Ray that
it starts on this machine. `replicas` is a network that takes most of the time, once in one replica
and once in two, with one core each; `cost` is the committee that comes with the package, by
`triptych serve` and on Ray, on the same cores; `folders` classifies 2,000 photos into files, in one
process and on Ray.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

import common
from scaling import cost
from scaling import folders
from scaling import replicas
from serving import uploads
from serving.bench import Bench

HERE = Path(__file__).parent
BESIDE = HERE.parent.parent / "shared" / "data" / "imagenet-mini"
PARTS = {"replicas": replicas.run, "cost": cost.run, "folders": folders.run}


def main() -> None:
    """Run the parts, check the claims."""
    # Else a server would outlive a benchmark that is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = _options()
    load = os.getloadavg()[0]
    print(f"{common.machine()}\nother load on this machine at the start: {load:.2f}")
    with tempfile.TemporaryDirectory() as scratch:
        of = Bench(
            folder=options.photos,
            photos=uploads.photos(options.photos),
            home=options.home,
            scratch=Path(scratch),
            precisions=["f32"],
            seconds=options.seconds,
            litserve=None,
            soak_minutes=0.0,
        )
        for name in options.only.split(","):
            PARTS[name](of)
    how = {"seconds": of.seconds, "photos": len(of.photos), "seed": uploads.SEED, "load": load}
    common.finish("scale", {**how, **of.figures}, of.claims)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--photos", type=Path, default=BESIDE, help="folder of JPEG photos")
    parser.add_argument("--home", type=Path, default=HERE / ".cache" / "home")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long a load is counted")
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; expected: {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
