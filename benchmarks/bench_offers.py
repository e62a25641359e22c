"""What the page *Sort* offers to accept together, in heaps with kinds that nobody has named.

    .venv/bin/python benchmarks/bench_offers.py HOME [DATA [SET ...]]

HOME is a home folder, in which features are kept. DATA has folders of photos, see `SETS`; by
default shared/data beside the checkout. Of each set some classes are named, and the others make up
no, a tenth, three tenths or six tenths of the heap. A person names photos in the order of the page,
passing over those of no named kind, until there are so many labels for each class; a committee of
one network is trained as the studio does it, and answers the heap. An offer is wrong if its photo
is of another class, named or not.

The method and its settings were chosen by the sets whose names have no star. With two classes, as
of ants and bees, nothing is offered.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bench_sorting
import common
from triptych import data
from triptych import features
from triptych.engines.options import EngineOptions
from triptych.ensemble.rules import FITTED_RULE
from triptych.models import zoo
from triptych.studio.sorting import plan
from triptych.training import active_learning
from triptych.training import committee as committees
from triptych.training import open_set
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FOLDS
from triptych.training.feature_set import VALIDATION_SHARE
from triptych.training.feature_set import FeatureSet
from triptych.typing import Array

BACKBONE = plan.BACKBONE
SHARES = (0.0, 0.1, 0.3, 0.6)
SEEDS = range(3)
LEAST_LABELS = 2  # of each class


@dataclass(frozen=True)
class Source:
    """A data set.

    Args:
        folders: Of its photos, with a folder for each class.
        classes: Which of the classes are used.
        named: How many of them are named, drawn anew for each seed.
        labels: Numbers of labels a class.
    """

    folders: tuple[str, ...]
    classes: slice
    named: int
    labels: tuple[int, ...]


SETS = {
    "flowers12": Source(("flowers12/train", "flowers12/test"), slice(12), 6, (10, 20)),
    "imagenet-mini": Source(("imagenet-mini",), slice(150), 60, (3,)),
    "omniglot, 34": Source(("omniglot136",), slice(34), 17, (5, 10)),
    "omniglot, other 34*": Source(("omniglot136",), slice(34, 68), 17, (10,)),
    "lego4*": Source(("lego4",), slice(4), 3, (10, 20)),
}


def main() -> None:
    """Measure, print Markdown tables, write the figures."""
    home = Path(sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else bench_sorting.DEFAULT_DATA
    extractors = features.open_extractors([zoo.find(BACKBONE)], EngineOptions(home))
    store = features.FeatureStore(home / "features.sqlite")
    figures: dict[str, Any] = {}
    claims: dict[str, bool] = {}
    print("| photos | labels a class | of no named kind | wrong | found | sure: wrong | found |")
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[3:] or SETS:
        source = SETS[name]
        vectors, kinds = read(folder, source, extractors, store)
        rows = figures[name] = {}
        for share in SHARES:
            for labels in source.labels:
                runs = [run(vectors, kinds, source, share, labels, seed) for seed in SEEDS]
                rows[f"{labels} labels, {share:g} unnamed"] = runs
                means = {key: np.mean([each[key] for each in runs]) for key in runs[0]}
                print(
                    f"| {name} | {labels} | {100 * share:.0f} % "
                    + "".join(f"| {100 * means[key]:.0f} % " for key in runs[0])
                    + "|",
                    flush=True,
                )
            wrong = [
                each["wrong"]
                for key, runs in rows.items()
                if f" {share:g} " in key
                for each in runs
            ]
            claim = f"{name}, {share:g} unnamed: of the offered, at most {plan.WRONG_SHARE:g} wrong"
            claims[claim] = bool(np.mean(wrong or [0]) <= plan.WRONG_SHARE)
    common.finish("offers", figures, claims)


def read(
    folder: Path, source: Source, extractors: list[features.Extractor], store: features.FeatureStore
) -> tuple[Array, Array]:
    """Features (N, F) and the kind of each photo, shape (N,)."""
    names = sorted(each.name for each in (folder / source.folders[0]).iterdir() if each.is_dir())
    found = [
        (bench_sorting.File(path, hashlib.sha256(path.read_bytes()).digest()), kind)
        for kind, name in enumerate(names[source.classes])
        for part in source.folders
        for path in sorted((folder / part / name).iterdir())
    ]
    (vectors,) = features.extract([file for file, _ in found], extractors, store)
    return vectors, np.array([kind for _, kind in found])


def run(
    vectors: Array, kinds: Array, source: Source, share: float, labels: int, seed: int
) -> dict[str, float]:
    """One heap: the shares of wrong offers, and of the photos of named kinds that are offered."""
    random = np.random.default_rng(seed)
    named = random.permutation(kinds.max() + 1)[: source.named]
    classes = np.full(kinds.max() + 1, -1)
    classes[named] = np.arange(len(named))
    targets = classes[kinds]  # -1 for kinds without a name
    photos = draw(targets, share, labels * source.named, random)
    labelled = name_photos(vectors, targets, photos, labels)
    heap = np.setdiff1d(photos, labelled)
    probs, sure = answers(vectors, targets, labelled, heap, seed)
    predicted = probs.argmax(axis=1)
    strange, wrong = open_set.strangeness(
        vectors[heap], predicted, vectors[labelled], targets[labelled]
    )
    offered = open_set.select(open_set.p_values(strange, wrong), plan.WRONG_SHARE)
    right = predicted == targets[heap]
    figures = {}
    for name, some in (("", offered), ("sure_", probs.max(axis=1) >= sure)):
        figures[f"{name}wrong"] = float(1 - right[some].mean()) if some.any() else 0.0
        figures[f"{name}found"] = float((some & right).sum() / (targets[heap] >= 0).sum())
    return figures


def draw(targets: Array, share: float, count: int, random: np.random.Generator) -> Array:
    """Photos of which, when so many of named kinds have a label, a share is of no named kind."""
    named, others = (random.permutation(np.flatnonzero(of)) for of in (targets >= 0, targets < 0))
    size = len(named) - count
    wanted = round(share / (1 - share) * size)
    if wanted > len(others):
        wanted = len(others)
        size = round(wanted * (1 - share) / share)
    return np.sort(np.concatenate([named[: size + count], others[:wanted]]))


def name_photos(vectors: Array, targets: Array, photos: Array, labels: int) -> Array:
    """The photos that a person names who goes through them in the order of the page."""
    order = active_learning.order(vectors[photos], vectors[:0], count=len(photos))
    known = [photo for photo in photos[order] if targets[photo] >= 0]
    classes = targets.max() + 1
    chosen = known[: labels * classes]
    for each in range(classes):
        more = LEAST_LABELS - sum(targets[photo] == each for photo in chosen)
        others = (n for n in known[labels * classes :] if targets[n] == each)
        chosen += itertools.islice(others, max(0, more))
    return np.array(chosen)


def answers(
    vectors: Array, targets: Array, labelled: Array, heap: Array, seed: int
) -> tuple[Array, float]:
    """What a committee says of the heap, (N, C), and the least probability that is called sure."""
    photos = [
        data.LabelledPhoto("", int(targets[n]), hashlib.sha256(b"%d" % n).digest(), int(n), bytes)
        for n in labelled
    ]
    train, val = data.split(photos, share=VALIDATION_SHARE, seed=seed)
    rows = [np.array([photo.group for photo in side], int) for side in (train, val)]
    feature_set = FeatureSet(
        classes=tuple(map(str, range(targets.max() + 1))),
        train=[vectors[rows[0]]],
        augmented=[vectors[:0]],
        train_targets=targets[rows[0]],
        folds=data.folds(train, FOLDS, seed=seed),
        train_photos=train,
        val=[vectors[rows[1]]],
        val_targets=targets[rows[1]],
        val_photos=val,
    )
    committee = committees.train(feature_set, [zoo.find(BACKBONE)], TrainingConfig(seed=seed))
    probs = committee.combine(
        [member.fit.head.probs(vectors[heap]) for member in committee.members]
    )
    return probs, committee.params.rule(FITTED_RULE).sure


if __name__ == "__main__":
    main()
