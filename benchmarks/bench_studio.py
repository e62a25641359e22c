"""The studio: pages of a large project, first steps, and a killed server.

    .venv/bin/python benchmarks/bench_studio.py [--only pages,first,kills]

`pages` loads every page of a project with 2,000 drawings, alone and during training; `first`
measures the time from the click on the sample to a trained committee; `kills` kills the server with
SIGKILL during uploads, corrections of labels and training. bench_label_issues.py measures the
detection of wrong labels.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import common
from studio import first
from studio import kills
from studio import pages

HOME = Path(__file__).parent / ".cache" / "studio"
PARTS = {"pages": pages.run, "first": first.run, "kills": kills.run}


def main() -> None:
    """Run the parts, check the claims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--home", type=Path, default=HOME, help="keeps converted networks")
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 2)
    print(f"{common.machine()}\nother load on this machine at the start: {load}", flush=True)
    figures: dict[str, Any] = {"load": load}
    claims: dict[str, bool] = {}
    for name in options.only.split(","):
        _reset(options.home)
        figures[name], part_claims = PARTS[name](options.home)
        claims.update(part_claims)
    common.finish("studio", figures, claims)


def _reset(home: Path) -> None:
    """Empty a home folder, except for converted networks."""
    home.mkdir(parents=True, exist_ok=True)
    for path in home.iterdir():
        if path.name == "engines":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
