"""How well thresholds of several classes a photo keep what they were chosen for, on fresh photos.

    .venv/bin/python benchmarks/bench_thresholds.py [--data FOLDER] [--home FOLDER] [--draws N]

Three kinds of photos with any number of classes: drawn tables with fruit, and mosaics of up to four
photos of flowers12 (12 classes) or imagenet-mini (10 groups of neighbouring WordNet ids), which lie
beside the checkout; what does not exist is left out. No photo is part of two mosaics that are
trained on together, or of one that is trained on and one that is fresh. Some classes are up to five
times as frequent as others. A head is trained on the features of `BACKBONE` for some photos, its
thresholds are chosen by F1 and for a precision of 90 %, and the others tell how often the promise
is kept, and how many photos get all of their classes and no other.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import stats

import common
from triptych import data
from triptych import features
from triptych.engines.options import EngineOptions
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.multilabel import logit
from triptych.ensemble.multilabel import sigmoid
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.promise import RISK
from triptych.evaluation import multilabel
from triptych.models import zoo
from triptych.training import committee
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FOLDS
from triptych.training.feature_set import FeatureSet
from triptych.typing import Array
from triptych.typing import Mask

TABLE_MAKER = Path(__file__).parent.parent / "tests" / "support" / "scenes.py"
DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data"
TABLES, DECKS = 800, 3
SIZES = (60, 120, 240, 480)  # as far as there are so many
PRECISION = 0.9
# Bounds of the photos of a class, for the table.
POSITIVES = (1, 15, 30, 60, 120, 1000)
GROUPS = 10
# One network is enough: thresholds are chosen on what a committee says, however it was joined.
BACKBONE = "lite0"
# How many photos a mosaic has, and how often.
TILES = {0: 0.08, 1: 0.27, 2: 0.3, 3: 0.25, 4: 0.1}
TILE_PX = 200


def main() -> None:
    """Measure each kind, print Markdown tables, write the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--home", type=Path, help="keeps photos and features for the next run")
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = arguments.home or Path(scratch)
        kinds = [tables(home / "tables")]
        for name, by_class in (("flowers12", flowers), ("imagenet-mini", groups)):
            if (arguments.data / name).is_dir():
                kinds.append(mosaics(name, by_class(arguments.data / name), home / name))
        runs = [
            run
            for kind in kinds
            for vectors in [all_features(kind, home)]
            for size in SIZES
            if size <= np.bincount(kind.decks[kind.trainable] + 1).max()
            for seed in range(arguments.draws)
            for run in [answer(kind, vectors, size, seed)]
        ]
    promises = table_of_promises(runs)
    wholes = table_of_wholes(runs)
    promised = [each for run in runs for each in run.classes if each.status == PROMISED]
    broken = sum(each.is_broken for each in promised)
    common.finish(
        "thresholds",
        {"precision": PRECISION, "promises": promises, "wholes": wholes},
        {
            f"{broken} of {len(promised)} promises are broken beyond doubt": broken
            <= RISK * len(promised)
        },
    )


@dataclass(frozen=True)
class ClassResult:
    """What became of the stated precision of a class, on fresh photos.

    Args:
        status: Of its threshold.
        positives: Photos of the class that it was chosen on.
        answered: How many fresh photos were answered with the class.
        right: How many of them rightly.
        holds: How many fresh photos have the class.
    """

    status: str | None
    positives: int
    answered: int
    right: int
    holds: int

    @property
    def is_below(self) -> bool:
        """Whether fewer of the answers are right."""
        return self.right < PRECISION * self.answered

    @property
    def is_broken(self) -> bool:
        """Whether that is hardly chance."""
        if not self.answered:
            return False
        test = stats.binomtest(self.right, self.answered, PRECISION, "less")
        return bool(test.pvalue < RISK)


@dataclass(frozen=True)
class Run:
    """A committee that was trained on a draw, and its answers to the fresh photos.

    Args:
        kind: Name of the kind of photos.
        size: How many photos it was trained on.
        classes: Results for the stated precision.
        wholes: By way to choose thresholds: the share of photos with all classes right and no
            other, micro F1 and macro F1.
    """

    kind: str
    size: int
    classes: tuple[ClassResult, ...]
    wholes: dict[str, tuple[float, float, float]]


def answer(kind: Scenes, vectors: Sequence[Array], size: int, seed: int) -> Run:
    """Train on a draw of photos, and answer the fresh ones."""
    drawn = draw(kind, vectors, size, seed)
    trained = committee.train(drawn, [zoo.find(BACKBONE)], TrainingConfig(seed=seed))
    probs = [member.fit.out_of_fold for member in trained.members]
    fresh, targets = trained.val_probs, drawn.val_targets
    careful = committee.fit_multilabel(trained.members, probs, drawn, precision=PRECISION)
    halfway = np.asarray(trained.thresholds, np.float64)
    of_f1 = sigmoid(2 * logit(halfway))
    wholes = {
        way: (
            multilabel.subset_accuracy(fresh >= values, targets),
            multilabel.micro(fresh >= values, targets).f1,
            multilabel.macro(fresh >= values, targets).f1,
        )
        for way, values in {"F1": of_f1, "halfway": halfway, "one half": 0.5}.items()
    }
    params = careful.params
    if not isinstance(params, MultilabelParams):
        raise TypeError("A committee for any number of classes a photo was expected.")
    answered = params.holds(fresh)
    results = tuple(
        ClassResult(
            threshold.status,
            threshold.positives,
            int(answered[:, label].sum()),
            int((answered & targets)[:, label].sum()),
            int(targets[:, label].sum()),
        )
        for label, threshold in enumerate(params.thresholds)
    )
    return Run(kind.name, size, results, wholes)


def table_of_promises(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """How often the stated precision is reached, by photos of a class and status."""
    rows = []
    for least, most in itertools.pairwise(POSITIVES):
        for is_promised in (True, False):
            some = [
                each
                for run in runs
                for each in run.classes
                if least <= each.positives < most and (each.status == PROMISED) == is_promised
            ]
            used = [each for each in some if each.answered]
            if used:
                rows.append(
                    {
                        "positives": f"{least} to {most - 1}",
                        "promised": is_promised,
                        "classes": len(some),
                        "answered": len(used),
                        "below": sum(each.is_below for each in used),
                        "broken": sum(each.is_broken for each in used),
                        "precision": sum(each.right for each in used)
                        / sum(each.answered for each in used),
                        "recall": sum(each.right for each in some)
                        / sum(each.holds for each in some),
                    }
                )
    show(rows)
    return rows


def table_of_wholes(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Photos with all classes right, by kind and photos that were trained on."""
    rows = []
    for kind, size in dict.fromkeys((run.kind, run.size) for run in runs):
        some = [run.wholes for run in runs if (run.kind, run.size) == (kind, size)]
        row: dict[str, Any] = {"kind": kind, "trained on": size}
        for way in some[0]:
            whole, micro, macro = np.mean([each[way] for each in some], axis=0).tolist()
            row |= {f"{way}: all right": whole, "micro F1 " + way: micro, "macro F1 " + way: macro}
        rows.append(row)
    show(rows)
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        cells = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row.values())
        print("| " + " | ".join(cells) + " |", flush=True)


@dataclass(frozen=True)
class Scenes:
    """Labelled photos of one kind: their files, classes, and for each draw those to train on.

    Args:
        name: Of the kind.
        classes: Names of the classes.
        photos: Paths of all photos.
        targets: Which classes hold, bool, shape (N, C).
        decks: For each photo the draw that it belongs to; -1 for all draws.
        trainable: Whether it may be trained on; the others are fresh.
    """

    name: str
    classes: tuple[str, ...]
    photos: Sequence[Path]
    targets: Mask
    decks: Array
    trainable: Mask


def tables(folder: Path) -> Scenes:
    """Drawn tables with up to four of six kinds of fruit."""
    if not (folder / "scenes.csv").exists():
        subprocess.run([sys.executable, TABLE_MAKER, folder, str(TABLES)], check=True)
    with (folder / "scenes.csv").open(newline="") as file:
        labels = {row["path"]: row["label"].split("|") for row in csv.DictReader(file)}
    kinds = tuple(sorted({kind for some in labels.values() for kind in some if kind}))
    return Scenes(
        "tables",
        kinds,
        [folder / name for name in labels],
        np.array([[kind in some for kind in kinds] for some in labels.values()]),
        np.full(len(labels), -1),
        np.full(len(labels), True),
    )


def mosaics(name: str, by_class: dict[str, list[Path]], folder: Path) -> Scenes:
    """Mosaics of photos, two thirds of which are trained on; a photo is once in each deck."""
    folder.mkdir(parents=True, exist_ok=True)
    photos: list[Path] = []
    targets, decks, trainable = [], [], []
    shares = np.linspace(1, 0.2, len(by_class))
    for deck in range(DECKS):
        rng = np.random.default_rng([deck, 5])
        parts: tuple[list[tuple[int, Path]], ...] = ([], [])
        for label, (share, files) in enumerate(zip(shares, by_class.values(), strict=True)):
            order = rng.permutation(len(files))
            cut = len(files) * 2 // 3
            for part, rows in zip(parts, (order[:cut], order[cut:]), strict=True):
                part += [(label, files[row]) for row in rows if rng.random() < share]
        fresh_of = (1, 3)  # fresh mosaics three times, in other company: more of them to measure on
        for is_fresh, (part, times) in enumerate(zip(parts, fresh_of, strict=True)):
            for _ in range(times):
                for tiles in deal(part, rng):
                    photo = folder / f"{len(photos):05}.jpg"
                    content = mosaic([file for _, file in tiles], rng)
                    if not photo.exists():
                        photo.write_bytes(content)
                    photos.append(photo)
                    targets.append(
                        [label in [one for one, _ in tiles] for label in range(len(by_class))]
                    )
                    decks.append(deck)
                    trainable.append(not is_fresh)
    return Scenes(
        name, tuple(by_class), photos, np.array(targets), np.array(decks), np.array(trainable)
    )


def deal(
    part: list[tuple[int, Path]], rng: np.random.Generator
) -> Iterator[list[tuple[int, Path]]]:
    """Photos in random order, none to four at a time."""
    rest = [part[index] for index in rng.permutation(len(part))]
    while rest:
        count = int(rng.choice(list(TILES), p=list(TILES.values())))
        yield rest[:count]
        rest = rest[count:]


def mosaic(files: Sequence[Path], rng: np.random.Generator) -> bytes:
    """A JPEG with photos in some of its four quarters."""
    picture = Image.new(
        "RGB", (2 * TILE_PX, 2 * TILE_PX), tuple(map(int, rng.integers(30, 220, 3)))
    )
    for file, place in zip(files, rng.permutation(4), strict=False):
        tile = Image.open(file).convert("RGB").resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
        picture.paste(tile, (int(place) % 2 * TILE_PX, int(place) // 2 * TILE_PX))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=90)
    return content.getvalue()


def flowers(source: Path) -> dict[str, list[Path]]:
    """The photos of flowers12 by class."""
    names = sorted(path.name for path in (source / "train").iterdir())
    return {name: sorted(source.glob(f"*/{name}/*")) for name in names}


def groups(source: Path) -> dict[str, list[Path]]:
    """The photos of imagenet-mini in groups of neighbouring WordNet ids: similar things."""
    folders = np.array_split(sorted(path for path in source.iterdir() if path.is_dir()), GROUPS)
    return {
        f"{some[0].name}-{some[-1].name}": [file for one in some for file in sorted(one.iterdir())]
        for some in folders
    }


def all_features(kind: Scenes, home: Path) -> list[Array]:
    """Features of all photos of the network; kept in the home folder."""
    extractors = features.open_extractors(
        [zoo.find(BACKBONE)], EngineOptions(home, precision="f32")
    )
    store = features.FeatureStore(home / "features.sqlite")
    return features.extract(labelled(kind, range(len(kind.photos))), extractors, store)


def labelled(kind: Scenes, rows: Iterable[int]) -> list[data.LabelledPhoto]:
    """Some of the photos, as data sets have them."""
    return [
        data.LabelledPhoto(
            source=kind.photos[row].name,
            label=-1,
            digest=hashlib.sha256(kind.photos[row].read_bytes()).digest(),
            group=row,
            read=kind.photos[row].read_bytes,
            labels=tuple(np.flatnonzero(kind.targets[row]).tolist()),
        )
        for row in rows
    ]


def draw(kind: Scenes, vectors: Sequence[Array], size: int, seed: int) -> FeatureSet:
    """A training set of some photos; its validation photos are the fresh ones."""
    mine = (kind.decks < 0) | (kind.decks == seed % DECKS)
    rng = np.random.default_rng([seed, size])
    train = rng.permutation(np.flatnonzero(mine & kind.trainable))[:size]
    fresh = np.setdiff1d(np.flatnonzero(mine & ((kind.decks < 0) | ~kind.trainable)), train)
    photos = labelled(kind, train)
    return FeatureSet(
        classes=kind.classes,
        train=[each[train] for each in vectors],
        augmented=[each[:0] for each in vectors],
        train_targets=kind.targets[train],
        folds=data.folds(photos, FOLDS, seed=seed),
        train_photos=photos,
        val=[each[fresh] for each in vectors],
        val_targets=kind.targets[fresh],
        val_photos=labelled(kind, fresh[:0]),
    )


if __name__ == "__main__":
    main()
