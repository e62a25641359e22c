"""Over HTTP: Triptych compared with a plain Keras app and LitServe; overload, and a long run.

    .venv/bin/python benchmarks/bench_serve.py [--only trio,lite] [--seconds 20] [--soak 30]

Five parts with real photos and 1, 4, 16 and 64 clients; servers and load run in separate
processes. `trio` serves the networks of `classic` with random weights (speed does not depend on the
values), `lite` the default committee: each on a plain app, on LitServe with its defaults and at its
best, and on Triptych, beside the networks alone and a stream in one process. `photo` sends one
photo in two sizes; `overload` sends four times the capacity; `soak` sends good, bad and huge
uploads for half an hour; in both, worker processes are killed. LitServe is installed into a
separate environment at the first run, and left out if that fails. With `--seconds 5` all parts
take about 25 minutes on two cores.
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
FULL_S = 20.0
LONG_SOAK, SHORT_SOAK = 30.0, 1.5
PARTS = {
    "trio": trio.run,
    "lite": lite.run,
    "photo": photo.run,
    "overload": endurance.overload,
    "soak": endurance.soak,
}


def main() -> None:
    """Run the parts, check the claims."""
    parser = bench.options(__doc__.splitlines()[0], PARTS, seconds=FULL_S)
    parser.add_argument("--precisions", default="f32,bf16,int8", help="Triptych's number formats")
    parser.add_argument(
        "--soak",
        type=float,
        metavar="MINUTES",
        help=f"by default {LONG_SOAK}, or {SHORT_SOAK} with less than {FULL_S:.0f} --seconds",
    )
    parser.add_argument(
        "--litserve-python", type=Path, help=f"of an environment with {' and '.join(LITSERVE)}"
    )
    options = bench.read(parser, PARTS)

    def litserve() -> Path | None:
        given: Path | None = options.litserve_python
        is_needed = {"trio", "lite"} & set(options.only.split(","))
        return given or (_install_litserve() if is_needed else None)

    default_soak = LONG_SOAK if options.seconds >= FULL_S else SHORT_SOAK

    bench.run(
        "serve",
        PARTS,
        options,
        precisions=options.precisions.split(","),
        litserve=litserve,
        soak_minutes=options.soak or default_soak,
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
    if subprocess.run(command, check=False).returncode:
        print("Left out: LitServe, as pip could not install it (see above, and --litserve-python).")
        return None
    return python


if __name__ == "__main__":
    main()
