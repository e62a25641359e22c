"""How many photos are enough: accuracy when trained on 5, 10, 20 and 50 photos a class.

    .venv/bin/python benchmarks/bench_few.py [DATA]

DATA has train/ and val/ folders of a folder per class; by default the ants and bees beside the
checkout. For each size `triptych.train` trains with its defaults on five random draws of training
photos; accuracy is measured on all of val/.
"""

from __future__ import annotations

import csv
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import triptych

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "hymenoptera"
SIZES = (5, 10, 20, 50)
SEEDS = range(5)


def main() -> None:
    """Train, print a Markdown table, write the figures."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DATA
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in SIZES:
            for seed in SEEDS:
                metrics = train(data, size, seed, Path(scratch))
                scores = {member["name"]: member["top1"] for member in metrics["members"]}
                scores["committee"] = metrics["committee"]["top1"]
                for name, score in scores.items():
                    figures.setdefault(name, {}).setdefault(str(size), []).append(score)
            print(f"{size} photos a class done", file=sys.stderr, flush=True)
    print("| trained on | " + " | ".join(figures) + " |")
    print("|---|" + "---|" * len(figures))
    for size in SIZES:
        cells = [spread(scores[str(size)]) for scores in figures.values()]
        print(f"| {size} photos a class | " + " | ".join(cells) + " |")
    best = statistics.mean(figures["committee"][str(SIZES[-1])])
    common.finish(
        "few",
        {"top1": figures, "seeds": len(SEEDS)},
        {"the committee is right on 94 % or more with 50 photos a class": best >= 0.94},
    )


def train(data: Path, size: int, seed: int, scratch: Path) -> dict[str, Any]:
    """Metrics of a committee that was trained on ``size`` photos of each class."""
    rows = [("path", "label", "split")]
    for part in ("train", "val"):
        for folder in sorted(path for path in (data / part).iterdir() if path.is_dir()):
            photos = sorted(folder.iterdir())
            if part == "train":
                photos = random.Random(seed).sample(photos, min(size, len(photos)))
            rows += [(str(photo.resolve()), folder.name, part) for photo in photos]
    table = scratch / "some.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return triptych.train(table, name="few", home=scratch, seed=seed).metrics


def spread(scores: list[float]) -> str:
    """Mean and standard deviation, in percent."""
    return f"{100 * statistics.mean(scores):.1f} ± {100 * statistics.stdev(scores):.1f} %"


if __name__ == "__main__":
    main()
