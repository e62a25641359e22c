"""Score candidate networks on labelled photos, and time them on this machine."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych import data as triptych_data
from triptych import errors
from triptych import features
from triptych.engines.conversion import store
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.inference import committee as committees
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Member
from triptych.models import imagenet
from triptych.models import weights
from triptych.models import zoo
from triptych.training import heads
from triptych.training.config import TrainingStage
from triptych.tuning import predictions
from triptych.tuning import select
from triptych.tuning.select import Candidate
from triptych.typing import Array
from triptych.typing import StageProgress
from triptych.utils import concurrency

# 8 candidates give 176 committees, which take a minute with 1000 classes; 16 would take ten.
MAX_CANDIDATES = 8
WARM_UPS, RUNS = 3, 15


@dataclass(frozen=True)
class CandidateScores:
    """Predictions of M candidates for N labelled photos.

    Args:
        candidates: The candidates with their costs, M of them.
        probs: Out-of-fold probabilities, shape (M, N, C).
        targets: Shape (N,).
        folds: Shape (N,), from 0.
        is_imagenet: Whether the classes are ImageNet's; otherwise heads were trained.
    """

    candidates: tuple[Candidate, ...]
    probs: Array
    targets: Array
    folds: Array
    is_imagenet: bool


def resolve_backbones(names: Sequence[str] | None, home: Path) -> list[zoo.Backbone]:
    """Resolve names of backbones; ``None`` means all whose weights are on this machine.

    Args:
        names: In the zoo, or of backbones that were added to the home.
        home: Home folder.

    Raises:
        errors.UnknownName: There is no such backbone.
        errors.SettingError: There are none, or too many to evaluate all their committees.
    """
    here = (row for row in zoo.rows(home) if weights.locate(row))
    rows = list(here if names is None else {zoo.find(name, home): None for name in names})
    if not 0 < len(rows) <= MAX_CANDIDATES:
        raise errors.SettingError(
            f"Got {len(rows)} networks to choose from: {', '.join(row.name for row in rows)}. "
            f"Name 1 to {MAX_CANDIDATES} with --backbones; see `triptych models`."
        )
    return rows


def evaluate_candidates(
    source: Path,
    rows: Sequence[zoo.Backbone],
    options: EngineOptions,
    *,
    budget_ms: float = math.inf,
    folds: int = 5,
    seed: int = 0,
    progress: StageProgress = lambda stage, done, total: None,
) -> CandidateScores:
    """Predict labelled photos with each candidate, out of fold.

    Where every folder is named like a class of ImageNet, and every candidate is a published
    classifier, these predict. Otherwise a linear head is trained on the features of each
    backbone, and its out-of-fold predictions are used.

    Args:
        source: As `triptych_data.open` takes it.
        rows: Backbones of the zoo.
        options: Where things are kept and how networks run.
        budget_ms: Latency budget per photo, in milliseconds, which at least one must meet.
        folds: Number of cross-validation folds, at least 2.
        seed: Of the folds.
        progress: Called with the stage, the steps done and the total number of steps.

    Raises:
        errors.SourceError: There are no classes of photos in the source.
        errors.FitError: There are too few photos.
        errors.SettingError: None of them meets the budget, or the photos are multi-label.
        errors.WeightsMissing: A backbone's weights have to be fetched first.
    """
    committee = None
    if all(row.top1 is not None for row in rows):
        committee = committees.from_zoo("lite", options, members=[row.name for row in rows])
    progress("Timing networks", 0, 0)
    candidates = tuple(
        Candidate(member.name, time_ms(member), member.cost)
        for member in (committee.members if committee else _members(rows, options))
    )
    select.check_budget({candidate.name: candidate.ms for candidate in candidates}, budget_ms)
    photos = None
    with contextlib.suppress(errors.SourceError):
        photos = triptych_data.labelled(source, imagenet.imagenet())
    if committee is None or photos is None or photos.skipped:
        answers = _train_heads(source, rows, options, folds, seed, progress)
        return CandidateScores(candidates, *answers, is_imagenet=False)
    scored = predictions.score(
        Classifier(committee),
        photos,
        seed=seed,
        progress=lambda done, total: progress("Predicting", done, total),
    )
    photo_folds = predictions.folds(scored.paths, folds, seed=seed)
    return CandidateScores(candidates, scored.probs, scored.targets, photo_folds, is_imagenet=True)


def _members(rows: Sequence[zoo.Backbone], options: EngineOptions) -> list[Member]:
    """The backbones as members, of which some have features only."""
    networks = store.prepare(rows, home=options.home, report=options.report)
    return [
        Member(row.name, open_engine(network, options), row.recipe, row.multiply_adds / 1e9)
        for row, network in zip(rows, networks, strict=True)
    ]


def _train_heads(
    source: Path,
    rows: Sequence[zoo.Backbone],
    options: EngineOptions,
    folds: int,
    seed: int,
    progress: StageProgress,
) -> tuple[Array, Array, Array]:
    data = triptych_data.open(source, progress=lambda *done: progress(TrainingStage.SCAN, *done))
    if data.multilabel:
        raise errors.SettingError(
            f"The photos of {data.name} may have any number of classes (multi-label), and networks "
            "are chosen by how often their one class is right. Train with several, and those that "
            "do not help are dropped."
        )
    photos = [*data.train, *data.val]
    predictions.check_enough(len(photos))
    vectors = features.extract(
        photos,
        features.open_extractors(rows, options),
        features.FeatureStore(options.home / "features.sqlite"),
        progress=lambda *done: progress(TrainingStage.FEATURES, *done),
    )
    labels = np.array([photo.label for photo in photos])
    photo_folds = triptych_data.folds(photos, folds, seed=seed)
    probs = []
    for number, array in enumerate(vectors):
        progress(TrainingStage.HEADS, number, len(rows))
        with concurrency.ArrayThreads() as threads:
            fitted = heads.fit(
                "linear",
                array,
                labels,
                folds=photo_folds,
                classes=len(data.classes),
                seed=seed,
                each=threads.map,
                raise_if_stopped=threads.raise_if_ended,
            )
        probs.append(fitted.out_of_fold)
    in_folds = photo_folds >= 0
    return np.stack(probs)[:, in_folds], labels[in_folds], photo_folds[in_folds]


def time_ms(member: Member) -> float:
    """Latency of a member for one photo, in milliseconds: the median after some warm-up runs."""
    photo = np.random.default_rng(0).uniform(-1, 1, (1, *member.recipe.size, 3))
    batch = photo.astype(np.float32)
    times_ms = []
    for _ in range(WARM_UPS + RUNS):
        start = time.perf_counter()
        member.engine.run(batch)
        times_ms.append((time.perf_counter() - start) * 1000)
    return statistics.median(times_ms[WARM_UPS:])
