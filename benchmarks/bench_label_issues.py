"""Detection of label issues: how many of 20 flipped labels are among the first 30 issues.

    .venv/bin/python benchmarks/bench_label_issues.py [DATA]

DATA has train/ and val/ folders of a folder per class; by default the ants and bees beside the
checkout. For each seed 20 of all photos get the label of another class, `triptych.train` trains a
committee with its defaults, and `label_issues.rank` ranks the photos. The baseline ranks photos by
the probability of their label alone.
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

import common
import triptych
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.evaluation import label_issues

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "hymenoptera"
FLIPPED = 20
LISTED = 30
SEEDS = range(3)


def main() -> None:
    """Flip, train, print a Markdown table, write the figures."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DATA
    figures = []
    print(f"| seed | wrong labels among the first {LISTED} | likely | baseline |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for seed in SEEDS:
            flipped, predictions = train_flipped(data, seed, Path(scratch))
            row = detected(predictions, flipped)
            figures.append(row)
            print(f"| {seed} | {row['listed']} | {row['likely']} | {row['baseline']} |", flush=True)
    common.finish(
        "label-issues",
        {"flipped": FLIPPED, "listed": LISTED, "seeds": figures},
        {f"15 of {FLIPPED} are among the first": min(row["listed"] for row in figures) >= 15},
    )


def train_flipped(data: Path, seed: int, scratch: Path) -> tuple[set[str], OOFPredictions]:
    """The photos whose label was flipped, and predictions of a committee trained with them."""
    photos = sorted(path for path in data.glob("*/*/*") if path.is_file())
    labels = [path.parent.name for path in photos]
    rng = random.Random(seed)
    flipped = set(rng.sample(range(len(photos)), FLIPPED))
    for index in flipped:
        labels[index] = rng.choice(sorted(set(labels) - {labels[index]}))
    table = scratch / "flipped.csv"
    with table.open("w", newline="") as file:
        rows = zip((str(photo.resolve()) for photo in photos), labels, strict=True)
        csv.writer(file).writerows([("path", "label"), *rows])
    predictions = triptych.train(table, name="flipped", home=scratch, seed=seed).predictions()
    if predictions is None:
        sys.exit("The bundle has no out-of-fold predictions.")
    return {str(photos[index].resolve()) for index in flipped}, predictions


def detected(predictions: OOFPredictions, flipped: set[str]) -> dict[str, int]:
    """How many flipped labels are among the first issues, the likely ones, and the baseline's."""
    sources = predictions.sources.tolist()
    ranked = label_issues.rank(predictions.probs, predictions.targets)
    listed = [sources[issue.photo] for issue in ranked[:LISTED]]
    likely = [sources[issue.photo] for issue in ranked if issue.likely]
    label_probs = predictions.probs[np.arange(len(predictions.targets)), predictions.targets]
    baseline = [sources[photo] for photo in np.argsort(label_probs)[:LISTED]]
    return {
        "listed": len(flipped.intersection(listed)),
        "called_likely": len(likely),
        "likely": len(flipped.intersection(likely)),
        "baseline": len(flipped.intersection(baseline)),
    }


if __name__ == "__main__":
    main()
