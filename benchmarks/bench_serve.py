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

import subprocess
import venv
from importlib import metadata
from pathlib import Path

from serving import bench
from serving import endurance
from serving import lite
from serving import photo
from serving import trio

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
    parser = bench.options(__doc__.splitlines()[0], PARTS, seconds=20.0)
    parser.add_argument("--precisions", default="f32,bf16,int8", help="number formats of ours")
    parser.add_argument("--soak", type=float, default=30.0, metavar="MINUTES")
    parser.add_argument(
        "--litserve-python", type=Path, help=f"of an environment with {' and '.join(LITSERVE)}"
    )
    given = bench.read(parser, PARTS)

    def litserve() -> Path | None:
        return given.litserve_python or (_litserve() if "trio" in given.only.split(",") else None)

    bench.run(
        "serve",
        PARTS,
        given,
        precisions=given.precisions.split(","),
        litserve=litserve,
        soak_minutes=given.soak,
    )


def _litserve() -> Path | None:
    """Python of an environment with LitServe, made the first time; ``None`` if it can't be."""
    folder = bench.CACHE / "litserve"
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
