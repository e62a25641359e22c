"""Candidates for a committee answer a person's photos, and are timed on this machine."""

from __future__ import annotations

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
from triptych.engines.options import EngineOptions
from triptych.inference import committee as committees
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.models import imagenet
from triptych.models import weights
from triptych.models import zoo
from triptych.training import heads
from triptych.training.config import Stage
from triptych.tuning import predictions
from triptych.tuning import select
from triptych.tuning.select import Candidate
from triptych.typing import Array
from triptych.typing import StageProgress

# 8 are 176 committees, which takes a minute where there are 1000 classes; 16 would take ten.
MAX_CANDIDATES = 8
WARM_UPS, RUNS = 3, 15


@dataclass(frozen=True)
class CandidateScores:
    """What M candidates say of N photos with known classes.

    Args:
        candidates: With what they take, M of them.
        probs: Out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        folds: Shape (N,), from 0.
        is_imagenet: Whether the classes are ImageNet's; else heads were taught a person's own.
    """

    candidates: tuple[Candidate, ...]
    probs: Array
    truth: Array
    folds: Array
    is_imagenet: bool


def resolve_backbones(names: Sequence[str] | None) -> list[zoo.Backbone]:
    """The backbones that are meant; for ``None`` all whose weights are on this machine.

    Raises:
        errors.UnknownName: There is no such backbone.
        errors.SettingError: They are none, or too many to try all their committees.
    """
    here = (row for row in zoo.BACKBONES.values() if weights.locate(row))
    rows = list(here if names is None else {zoo.find(name): None for name in names})
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
    """Let candidates answer labelled photos: with their own classes, or with heads for others.

    Where every folder is named like a class of ImageNet, the published networks answer. Else a
    linear head is taught on each one's features, and answers the photos that it did not see.

    Args:
        source: As `triptych_data.open` takes it.
        rows: Backbones of the zoo.
        options: Where things are kept and how networks run.
        budget_ms: What one of them at least has to keep for a photo.
        folds: In how many parts photos are divided, at least 2.
        seed: Of the folds.
        progress: Called with the stage, what is done and what there is to do.

    Raises:
        errors.SourceError: There are no classes of photos in the source.
        errors.FitError: There are too few photos.
        errors.SettingError: None of them keeps the budget.
        errors.WeightsMissing: A backbone's weights have to be fetched first.
    """
    committee = committees.from_zoo("lite", options, members=[row.name for row in rows])
    progress("Timing networks", 0, 0)
    candidates = _timed(committee)
    select.check_budget({own.name: own.ms for own in candidates}, budget_ms)
    known = _imagenet(source)
    if known:
        answers = _published(known, committee, folds, seed, progress)
    else:
        answers = _taught(source, rows, options, folds, seed, progress)
    return CandidateScores(candidates, *answers, is_imagenet=known is not None)


def _imagenet(source: Path) -> triptych_data.Labelled | None:
    try:
        known = triptych_data.labelled(source, imagenet.imagenet())
    except errors.SourceError:
        return None
    return None if known.skipped else known


def _published(
    photos: triptych_data.Labelled,
    committee: Committee,
    folds: int,
    seed: int,
    progress: StageProgress,
) -> tuple[Array, Array, Array]:
    scored = predictions.score(
        Classifier(committee),
        photos,
        seed=seed,
        progress=lambda done, total: progress("Asking networks", done, total),
    )
    return scored.probs, scored.truth, predictions.folds(scored.paths, folds, seed=seed)


def _taught(
    source: Path,
    rows: Sequence[zoo.Backbone],
    options: EngineOptions,
    folds: int,
    seed: int,
    progress: StageProgress,
) -> tuple[Array, Array, Array]:
    data = triptych_data.open(source, progress=lambda *done: progress(Stage.SCAN, *done))
    photos = [*data.train, *data.val]
    predictions.check_enough(len(photos))
    vectors = features.extract(
        photos,
        features.open_extractors(rows, options),
        features.FeatureStore(options.home / "features.sqlite"),
        progress=lambda *done: progress(Stage.FEATURES, *done),
    )
    truth = np.array([photo.label for photo in photos])
    places = triptych_data.folds(photos, folds, seed=seed)
    answers = []
    for number, own in enumerate(vectors):
        progress(Stage.HEADS, number, len(rows))
        fitted = heads.fit("linear", own, truth, folds=places, classes=len(data.classes), seed=seed)
        answers.append(fitted.out_of_fold)
    judged = places >= 0
    return np.stack(answers)[:, judged], truth[judged], places[judged]


def _timed(committee: Committee) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(member.name, time_ms(member), member.cost) for member in committee.members
    )


def time_ms(member: Member) -> float:
    """What a member takes for one photo: the median of some runs, after a few to warm up."""
    photo = np.random.default_rng(0).uniform(-1, 1, (1, *member.recipe.size, 3))
    batch = photo.astype(np.float32)
    spent = []
    for _ in range(WARM_UPS + RUNS):
        start = time.perf_counter()
        member.engine.run(batch)
        spent.append((time.perf_counter() - start) * 1000)
    return statistics.median(spent[WARM_UPS:])
