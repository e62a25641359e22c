"""Heads, calibration and learning curve of three networks, by the number of photos and classes.

    .venv/bin/python benchmarks/bench_heads.py [PHOTOSxCLASSES ...]

Synthetic features of length 1,280 are scattered around a centre per class; a fifth is held out, as
in `triptych train`. Each size runs in a separate process, which measures its peak memory. By
default the sizes in `LIMITS` run whose limit is at most two minutes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

import common
from triptych import data
from triptych.models import zoo
from triptych.training import committee as committees
from triptych.training import learning_curve
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FOLDS
from triptych.training.feature_set import VALIDATION_SHARE
from triptych.training.feature_set import FeatureSet
from triptych.typing import Array

# Seconds and GB allowed on two cores.
LIMITS = {
    "3000x10": (12, 2),
    "6000x10": (24, 2),
    "2640x81": (30, 2),
    "5280x81": (60, 2),
    "12500x1000": (225, 6),
    "50000x1000": (900, 6),
}
LENGTH = 1280
BACKBONES = zoo.COMMITTEES["lite"]
# Photos generated at a time.
CHUNK = 4096


def main() -> None:
    """Measure each size, print a table, check the limits."""
    if "--one" in sys.argv:
        print(json.dumps(measure(*map(int, sys.argv[-1].split("x")))))
        return
    sizes = sys.argv[1:] or [size for size, (seconds, _) in LIMITS.items() if seconds <= 120]
    figures, claims = {}, {}
    for size in sizes:
        command = [sys.executable, __file__, "--one", size]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        figures[size] = figure = json.loads(output)
        print(size, figure, flush=True)
        if size in LIMITS:
            seconds, gigabytes = LIMITS[size]
            claims[f"{size}: at most {seconds} s"] = figure["s"] <= seconds
            claims[f"{size}: at most {gigabytes} GB"] = figure["peak_gb"] <= gigabytes
    for size in figures:
        photos, classes = size.split("x")
        twice = f"{2 * int(photos)}x{classes}"
        if twice in figures:
            ratio = figures[twice]["s"] / figures[size]["s"]
            claims[f"{twice}: at most 2.3 times as long as half of it"] = ratio <= 2.3
    common.finish("heads", figures, claims)


def measure(photos: int, classes: int) -> dict[str, float]:
    """Train on synthetic features; seconds, accuracies and memory."""
    features = draw(photos, classes)
    backbones = [zoo.find(name) for name in BACKBONES]
    config = TrainingConfig()
    start, used = time.perf_counter(), time.process_time()
    committee = committees.train(features, backbones, config)
    heads_s = time.perf_counter() - start
    learning_curve.compute(features, committee.members, config)
    committees.oof_predictions(features, committee, committee)
    spent, cpu = time.perf_counter() - start, time.process_time() - used
    return {
        "s": round(spent, 1),
        "heads_s": round(heads_s, 1),
        "curve_s": round(spent - heads_s, 1),
        "cpu_s": round(cpu, 1),
        "load": round(os.getloadavg()[0], 1),
        "top1": round(float((committee.val_probs.argmax(1) == features.val_truth).mean()), 4),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def draw(photos: int, classes: int) -> FeatureSet:
    """Features of three networks, at least 0 as after a ReLU."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.arange(photos) % classes)
    held_out = np.zeros(photos, bool)
    for label in range(classes):
        members = np.flatnonzero(truth == label)
        held_out[members[: round(len(members) * VALIDATION_SHARE)]] = True
    folds = np.empty(photos, int)
    for label in range(classes):
        members = np.flatnonzero((truth == label) & ~held_out)
        folds[members] = np.arange(len(members)) % FOLDS
    arrays = [_draw_one(truth, classes, seed) for seed in range(len(BACKBONES))]
    known = [
        data.LabelledPhoto("", int(label), bytes(32), n, bytes) for n, label in enumerate(truth)
    ]
    split = {
        side: [known[n] for n in np.flatnonzero(rows)]
        for side, rows in (("train", ~held_out), ("val", held_out))
    }
    return FeatureSet(
        classes=tuple(map(str, range(classes))),
        train=[array[~held_out] for array in arrays],
        augmented=[array[:0] for array in arrays],
        train_truth=truth[~held_out],
        folds=folds[~held_out],
        train_photos=split["train"],
        val=[array[held_out] for array in arrays],
        val_truth=truth[held_out],
        val_photos=split["val"],
    )


def _draw_one(truth: Array, classes: int, seed: int) -> Array:
    rng = np.random.default_rng(seed + 1)
    centres = rng.normal(scale=0.25, size=(classes, LENGTH)).astype(np.float32)
    mix = rng.normal(size=(LENGTH, LENGTH)) * np.arange(1, LENGTH + 1)[:, None] ** -0.5
    mix = mix.astype(np.float32)
    features = np.empty((len(truth), LENGTH), np.float32)
    for first in range(0, len(truth), CHUNK):
        rows = slice(first, first + CHUNK)
        noise = rng.normal(size=(len(truth[rows]), LENGTH)).astype(np.float32)
        features[rows] = np.maximum((centres[truth[rows]] + noise) @ mix, 0)
    return features


if __name__ == "__main__":
    main()
