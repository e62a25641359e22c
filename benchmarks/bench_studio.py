"""The studio at work: a large project, first steps, and the server killed.

    .venv/bin/python benchmarks/bench_studio.py [--only pages,first,kills]

`pages` asks for every page of a project with 2,000 drawn photos, alone and while a teaching runs;
`first` goes from the click on the sample to a taught committee; `kills` ends the server with
SIGKILL while photos come, labels are mended and a project is taught. Wrong labels are looked for by
bench_label_issues.py.
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
    parser.add_argument("--home", type=Path, default=HOME, help="keeps the networks")
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 2)
    print(f"{common.machine()}\nother load on this machine at the start: {load}", flush=True)
    figures: dict[str, Any] = {"load": load}
    claims: dict[str, bool] = {}
    for name in options.only.split(","):
        _empty(options.home)
        figures[name], own = PARTS[name](options.home)
        claims.update(own)
    common.finish("studio", figures, claims)


def _empty(home: Path) -> None:
    """A studio in which nobody was before; networks that were converted stay."""
    home.mkdir(parents=True, exist_ok=True)
    for path in home.iterdir():
        if path.name == "engines":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
