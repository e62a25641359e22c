"""Are label issues found? Labels are flipped on purpose, and looked for among the first issues.

    .venv/bin/python benchmarks/bench_label_issues.py [DATA]

DATA has train/ and val/ folders of a folder per class; by default the ants and bees beside the
checkout. For each seed 20 of all photos get the label of another class, a committee is taught as a
person would, and `label_issues.rank` lists the photos. Beside it, as a baseline, the plainest list
there is: photos ranked by how improbable the committee finds their label.
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import common
import triptych
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.evaluation import label_issues

BESIDE = Path(__file__).parent.parent.parent / "shared" / "data" / "hymenoptera"
FLIPPED = 20
LISTED = 30
SEEDS = range(3)


def main() -> None:
    """Flip, teach, print a Markdown table, write the figures."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else BESIDE
    figures = []
    print(f"| seed | wrong labels among the first {LISTED} | likely | plain list |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for seed in SEEDS:
            flipped, answers = taught(data, seed, Path(scratch))
            figures.append(found(answers, flipped))
            own = figures[-1]
            print(f"| {seed} | {own['found']} | {own['likely']} | {own['plain']} |", flush=True)
    common.finish(
        "label-issues",
        {"flipped": FLIPPED, "listed": LISTED, "seeds": figures},
        {f"15 of {FLIPPED} are among the first": min(own["found"] for own in figures) >= 15},
    )


def taught(data: Path, seed: int, scratch: Path) -> tuple[set[str], OOFPredictions]:
    """Sources of the photos whose label was flipped, and the answers of who was taught so."""
    photos = sorted(path for path in data.glob("*/*/*") if path.is_file())
    labels = [path.parent.name for path in photos]
    draw = random.Random(seed)
    wrong = set(draw.sample(range(len(photos)), FLIPPED))
    for index in wrong:
        labels[index] = draw.choice(sorted(set(labels) - {labels[index]}))
    table = scratch / "flipped.csv"
    with table.open("w", newline="") as file:
        rows = zip((str(photo.resolve()) for photo in photos), labels, strict=True)
        csv.writer(file).writerows([("path", "label"), *rows])
    made = triptych.train(table, name="flipped", home=scratch, seed=seed)
    answers = made.predictions()
    if answers is None:
        sys.exit("The bundle has no answers.")
    return {str(photos[index].resolve()) for index in wrong}, answers


def found(answers: OOFPredictions, flipped: set[str]) -> dict[str, int]:
    """How many wrong labels stand among the first label issues, and among those called likely."""
    sources = answers.sources.tolist()
    ranked = label_issues.rank(answers.probs, answers.truth)
    own = answers.probs[np.arange(len(answers.truth)), answers.truth]
    plain = [str(answers.sources[place]) for place in np.argsort(own)]
    likely = [sources[issue.photo] for issue in ranked if issue.likely]
    return {
        "found": among(flipped, [sources[issue.photo] for issue in ranked[:LISTED]]),
        "called_likely": len(likely),
        "likely": among(flipped, likely),
        "plain": among(flipped, plain[:LISTED]),
    }


def among(flipped: set[str], listed: Sequence[str]) -> int:
    """How many of the flipped ones are listed."""
    return len(flipped & set(listed))


if __name__ == "__main__":
    main()
