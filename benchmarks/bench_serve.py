"""Over HTTP: Triptych compared with a plain Keras app and LitServe; overload, and a long run.

    .venv/bin/python benchmarks/bench_serve.py [--only trio,lite] [--seconds 20] [--soak 30]

Five parts with real photos and 1, 4 and 16 clients; servers and load run in separate processes.
`trio` serves the networks of `classic` with random weights (speed does not depend on the values) on
all servers, and runs them in a bare loop; `lite` serves the default committee; `photo` sends one
photo in two sizes; `overload` sends four times the capacity; `soak` sends good, bad and huge
uploads for half an hour. LitServe is installed into a separate environment at the first run, and
left out if that fails.
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
    parser.add_argument("--precisions", default="f32,bf16,int8", help="Triptych's number formats")
    parser.add_argument("--soak", type=float, default=30.0, metavar="MINUTES")
    parser.add_argument(
        "--litserve-python", type=Path, help=f"of an environment with {' and '.join(LITSERVE)}"
    )
    options = bench.read(parser, PARTS)

    def litserve() -> Path | None:
        needed = "trio" in options.only.split(",")
        return options.litserve_python or (_install_litserve() if needed else None)

    bench.run(
        "serve",
        PARTS,
        options,
        precisions=options.precisions.split(","),
        litserve=litserve,
        soak_minutes=options.soak,
    )


def _install_litserve() -> Path | None:
    """Python of an environment with LitServe, created at the first run; ``None`` if that fails."""
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
