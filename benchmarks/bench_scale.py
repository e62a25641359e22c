"""On Ray: what a second replica gives, and what the path through it costs.

    .venv/bin/python benchmarks/bench_scale.py [--only replicas,cost,folders] [--seconds 30]

Real photos and real HTTP, the load in a process of its own, each server with a cluster of Ray that
it starts on this machine. `replicas` are networks that take most of the time, once in one replica
and once in two, with one core each; `cost` is the committee that comes with the package, by
`triptych serve` and on Ray, on the same cores; `folders` classifies 2,000 photos into files, in one
process and on Ray.
"""

from __future__ import annotations

from scaling import cost
from scaling import folders
from scaling import replicas
from serving import bench

PARTS = {"replicas": replicas.run, "cost": cost.run, "folders": folders.run}


def main() -> None:
    """Run the parts, check the claims."""
    given = bench.read(bench.options(__doc__.splitlines()[0], PARTS, seconds=30.0), PARTS)
    bench.run("scale", PARTS, given, precisions=["f32"])


if __name__ == "__main__":
    main()
