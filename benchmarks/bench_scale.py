"""On Ray: the gain from a second replica, and the overhead per request.

    .venv/bin/python benchmarks/bench_scale.py [--only replicas,cost,folders] [--seconds 30]

Real photos and real HTTP; the load comes from a separate process, and each server starts a Ray
cluster on this machine. `replicas` compares one replica of a large network with two, with one core
each; `cost` compares `triptych serve` with Ray on the same cores, with `lite`; `folders` classifies
2,000 photos into files, in one process and on Ray.
"""

from __future__ import annotations

from scaling import cost
from scaling import folders
from scaling import replicas
from serving import bench

PARTS = {"replicas": replicas.run, "cost": cost.run, "folders": folders.run}


def main() -> None:
    """Run the parts, check the claims."""
    options = bench.read(bench.options(__doc__.splitlines()[0], PARTS, seconds=30.0), PARTS)
    bench.run("scale", PARTS, options, precisions=["f32"])


if __name__ == "__main__":
    main()
