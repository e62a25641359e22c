"""How many labels a committee needs in the order of the page *Sort*, against a random order.

    .venv/bin/python benchmarks/bench_sorting.py HOME [DATA]

HOME is a home folder, in which features are kept. DATA has folders of photos, see `SETS`; by
default shared/data beside the checkout. Each run begins with no label and labels as many photos as
there are classes at a time; after each, heads for the three networks of `lite` are trained, and
their mean answers the test photos. Nothing here was chosen by one of the sets.

The intervals are those of the labels that are left: a project with a few labels of each class says
how many an accuracy needs, and the other labels tell whether that is within its interval.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import common
from triptych import features
from triptych.engines.options import EngineOptions
from triptych.models import zoo
from triptych.training import active_learning
from triptych.training import heads
from triptych.training import learning_curve
from triptych.training import open_set
from triptych.training.learning_curve import CurvePoint
from triptych.typing import Array

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data"
# By name: the folders of the pool and of the test photos; of sets without test photos a quarter of
# each class is held out. And how many classes are used.
SETS = {
    "flowers12": ("flowers12/train", "flowers12/test", 12),
    "lego4": ("lego4", None, 4),
    "hymenoptera": ("hymenoptera/train", "hymenoptera/val", 2),
    "omniglot, 34 of 136": ("omniglot136", None, 34),
    "imagenet-mini, 60 of 150": ("imagenet-mini", None, 60),
}
SEEDS = range(5)
SHARE = 0.95
PENALTY, TOLERANCE = 1e-3, 1e-2
# A part of the pool, so that seeds differ also where the order has no chance in it.
POOL_SHARE = 0.9
LARGE = 10_000


@dataclass(frozen=True)
class Photos:
    """A data set: features by network (N, F), classes (N,), and which are test photos (N,)."""

    vectors: list[Array]
    targets: Array
    test: Array


@dataclass(frozen=True)
class File:
    """A photo on disk."""

    path: Path
    digest: bytes

    def read(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()


def main() -> None:
    """Measure, print Markdown tables, write the figures."""
    home = Path(sys.argv[1])
    data = Path(sys.argv[2]) if len(sys.argv) > 2 else DEFAULT_DATA
    options = EngineOptions(home)
    extractors = features.open_extractors(
        [zoo.find(name) for name in ("lite0", "lite1", "lite2")], options
    )
    store = features.FeatureStore(home / "features.sqlite")
    figures: dict[str, Any] = {}
    claims: dict[str, bool] = {}
    print("| photos | classes | all | accuracy | random | this order | mean accuracy | groups |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (pool, test, classes) in SETS.items():
        photos = read(data, pool, test, classes, extractors, store)
        runs = {
            order: [run(photos, order, seed) for seed in SEEDS] for order in ("random", "coverage")
        }
        needed = {order: [each["needed"] for each in rows] for order, rows in runs.items()}
        early = {order: np.mean([each["early"] for each in rows]) for order, rows in runs.items()}
        full = float(np.mean([each["full"] for each in runs["random"]]))
        grouped = group_purity(photos)
        row = figures[name] = {"full": full, "needed": needed, "early": early, "groups": grouped}
        row["interval"] = interval_coverage(photos)
        print(
            f"| {name} | {classes} | {runs['random'][0]['pool']} | {100 * full:.1f} % "
            f"| {spread(needed['random'])} | {spread(needed['coverage'])} "
            f"| {100 * early['random']:.1f} → {100 * early['coverage']:.1f} % "
            f"| {100 * grouped['pure']:.0f} % of {grouped['groups']} pure |",
            flush=True,
        )
        claims[f"{name}: no more labels than in random order"] = bool(
            np.mean(needed["coverage"]) <= np.mean(needed["random"])
        )
    hits = sum(each["interval"][0] for each in figures.values())
    trials = sum(each["interval"][1] for each in figures.values())
    print(f"\nIntervals: the truth lies within {hits} of {trials}.")
    claims["intervals of 80 % hold the truth at least so often"] = hits >= 0.8 * trials
    figures["large"] = large()
    print(figures["large"])
    common.finish("sorting", figures, claims)


def read(
    data: Path,
    pool: str,
    test: str | None,
    classes: int,
    extractors: list[features.Extractor],
    store: features.FeatureStore,
) -> Photos:
    """A data set with its features."""
    folders = [data / each for each in (pool, test) if each]
    names = sorted(path.name for path in folders[0].iterdir() if path.is_dir())[:classes]
    files, targets, tests = [], [], []
    for number, folder in enumerate(folders):
        for target, name in enumerate(names):
            for path in sorted((folder / name).iterdir()):
                files.append(File(path, hashlib.sha256(path.read_bytes()).digest()))
                targets.append(target)
                tests.append(number == 1)
    vectors = features.extract(files, extractors, store)
    return Photos(list(vectors), np.array(targets), np.array(tests))


def run(photos: Photos, order: str, seed: int) -> dict[str, Any]:
    """Label photos until 95 % of the accuracy with all labels is reached, and kept once more."""
    random = np.random.default_rng(seed)
    targets, classes = photos.targets, int(photos.targets.max()) + 1
    test = photos.test if photos.test.any() else held_out(targets, random)
    pool = random.permutation(np.flatnonzero(~test))[: int(POOL_SHARE * (~test).sum())]
    size = len(pool)
    full = accuracy(photos, pool, test)
    labelled = np.empty(0, np.intp)
    probs = None  # of all photos, by heads that were trained on the labelled ones
    reached, needed = 0, size
    accuracies: list[float] = []
    while len(pool) and reached < 2:
        chosen: Array = pool[:classes]
        if order == "coverage":
            weights = None if probs is None else active_learning.uncertainty(probs[pool])
            compared = photos.vectors[0]
            positions = active_learning.order(
                compared[pool], compared[labelled], weights=weights, count=min(classes, len(pool))
            )
            chosen = pool[positions]
        labelled, pool = np.append(labelled, chosen), np.setdiff1d(pool, chosen)
        pool = random.permutation(pool)
        probs = predict(photos, labelled, np.arange(len(targets)))
        accuracies.append(float((probs[test].argmax(axis=1) == targets[test]).mean()))
        reached = reached + 1 if accuracies[-1] >= SHARE * full else 0
        if reached == 1:
            needed = len(labelled)
    return {"needed": needed, "full": full, "early": float(np.mean(accuracies[:6])), "pool": size}


def held_out(targets: Array, random: np.random.Generator) -> Array:
    """A quarter of each class."""
    test = np.zeros(len(targets), bool)
    for target in np.unique(targets):
        (rows,) = np.nonzero(targets == target)
        test[random.choice(rows, max(1, len(rows) // 4), replace=False)] = True
    return test


def predict(photos: Photos, labelled: Array, rows: Array) -> Array:
    """Mean probabilities (M, C) of heads that were trained on labelled photos."""
    classes = int(photos.targets.max()) + 1
    probs = []
    for vectors in photos.vectors:
        fitter = heads.LinearFitter(vectors[labelled], photos.targets[labelled], classes)
        layers = fitter.fit(np.ones(len(labelled), bool), PENALTY, tolerance=TOLERANCE)
        probs.append(fitter.head(layers, PENALTY).probs(vectors[rows]))
    return np.asarray(np.mean(probs, axis=0))


def accuracy(photos: Photos, labelled: Array, test: Array) -> float:
    """The share of the test photos (a mask, or rows) that are answered correctly."""
    rows = np.flatnonzero(test) if test.dtype == bool else test
    return float((predict(photos, labelled, rows).argmax(axis=1) == photos.targets[rows]).mean())


def group_purity(photos: Photos) -> dict[str, float]:
    """The groups of a heap before the first teaching, and how many are of one class."""
    rows = np.flatnonzero(~photos.test)
    vectors, targets = photos.vectors[0][rows], photos.targets[rows]
    centres = active_learning.order(vectors, vectors[:0])
    groups = active_learning.groups(vectors, centres=centres)
    pure = sum(len(set(targets[group])) == 1 for group in groups)
    grouped = sum(map(len, groups))
    return {"groups": len(groups), "pure": pure / len(groups), "photos": grouped / len(rows)}


def interval_coverage(photos: Photos) -> tuple[int, int]:
    """How often the number of photos that an accuracy needs lies within the interval."""
    hits = trials = 0
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        test = held_out(photos.targets, random)
        pool = np.flatnonzero(~test)
        for count in (6, 12, 20):
            project = draw(photos.targets, pool, count, random)
            val = project[np.arange(len(project)) % count < max(1, count // 5)]
            train = np.setdiff1d(project, val)
            most = int(np.bincount(photos.targets[train]).max())
            points = [
                CurvePoint(
                    size,
                    tuple(
                        accuracy(photos, draw(photos.targets, train, size, each), val)
                        for each in map(np.random.default_rng, SEEDS)
                    ),
                )
                for size in learning_curve.SIZES
                if size < most
            ]
            points.append(CurvePoint(most, (accuracy(photos, train, val),)))
            for more in (10, 15, 25, 40):
                sample = draw(photos.targets, pool, more, random)
                if more <= most or len(sample) < 0.9 * more * (photos.targets.max() + 1):
                    continue
                target = accuracy(photos, sample, test)
                if target == 1:
                    continue
                needed = learning_curve.extrapolate(points, target, photos=len(val))
                if needed is not None:
                    low, high = (np.inf if n is None else n for n in (needed.low, needed.high))
                    hits += bool(low <= more <= high)
                    trials += 1
    return hits, trials


def draw(targets: Array, pool: Array, count: int, random: np.random.Generator) -> Array:
    """At most so many photos of each class, class by class."""
    rows = [random.permutation(pool[targets[pool] == each])[:count] for each in np.unique(targets)]
    return np.concatenate(rows)


def large() -> dict[str, float]:
    """The cost of what a plan does with a large heap: processor seconds, and memory."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(50, 1280))
    vectors = centres[random.integers(50, size=LARGE)] + random.normal(size=(LARGE, 1280))
    vectors = np.maximum(vectors, 0).astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun_s = time.process_time()
    order = active_learning.order(vectors, vectors[: LARGE // 10], weights=random.random(LARGE))
    ordered_s = time.process_time()
    groups = active_learning.groups(vectors, centres=order)
    grouped_s = time.process_time()
    labels = random.integers(50, size=LARGE // 10)
    predicted = random.integers(50, size=LARGE)
    strange, wrong = open_set.strangeness(vectors, predicted, vectors[: LARGE // 10], labels)
    open_set.select(open_set.p_values(strange, wrong), 0.1)
    offered_s = time.process_time()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "photos": LARGE,
        "order_s": round(ordered_s - begun_s, 2),
        "groups_s": round(grouped_s - ordered_s, 2),
        "offers_s": round(offered_s - grouped_s, 2),
        "groups": len(groups),
        "memory_mb": round((after - before) / 1000),
    }


def spread(numbers: list[int]) -> str:
    """The mean, the least and the most."""
    return f"{np.mean(numbers):.0f} ({min(numbers)} to {max(numbers)})"


if __name__ == "__main__":
    main()
