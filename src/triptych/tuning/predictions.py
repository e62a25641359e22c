"""Predictions of a committee's members for labelled photos: the input of a fit."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych import data
from triptych import errors
from triptych.inference.classifier import Classifier
from triptych.results import Failure
from triptych.typing import Array
from triptych.typing import Progress
from triptych.utils import files

# With fewer photos, noise outweighs what a fit learns, and a cascade never stops early.
FEWEST = 50
# Limit of photos times classes in memory: 5000 photos of ImageNet's 1000 classes.
MOST = 5_000_000


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions of M members for N labelled photos.

    Args:
        probs: Uncalibrated probabilities, shape (M, N, C).
        targets: Shape (N,).
        paths: Of the photos, length N.
        skipped: Photos and folders that were left out, with the reason.
    """

    probs: Array
    targets: Array
    paths: tuple[Path, ...]
    skipped: tuple[Failure, ...]


def score(
    classifier: Classifier,
    photos: data.Labelled,
    *,
    trained_on: Collection[str] = (),
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> LabelledPredictions:
    """Predict labelled photos with every member.

    Args:
        classifier: Its members predict.
        photos: The labelled photos; if there are too many, a random sample of them, see `MOST`.
        trained_on: SHA-256 of photos to leave out, since members were trained on them and would
            seem perfect.
        seed: Seed of the sample.
        progress: Called with the number of photos done and of all photos.

    Raises:
        errors.FitError: Too few of them can be read.
    """
    committee = classifier.committee
    trained = {path for path, _ in photos.photos if trained_on and files.digest(path) in trained_on}
    fresh = [pair for pair in photos.photos if pair[0] not in trained]
    most = max(MOST // len(committee.labels), FEWEST)
    drawn = np.random.default_rng(seed).permutation(len(fresh))[:most]
    selected = [fresh[number] for number in sorted(drawn)]
    probs = np.empty((len(committee.members), len(selected), len(committee.labels)), np.float32)
    answered_photos: list[tuple[Path, int]] = []
    learned = [
        Failure(str(path), "learned", "The committee was trained on this photo.")
        for path, _ in photos.photos
        if path in trained
    ]
    skipped = [*photos.skipped, *learned]
    answers = classifier.score_many((str(path), path) for path, _ in selected)
    for number, answer in enumerate(answers):
        if isinstance(answer, Failure):
            skipped.append(answer)
        else:
            probs[:, len(answered_photos)] = answer.probs
            answered_photos.append(selected[number])
        progress(number + 1, len(selected))
    check_enough(len(answered_photos), left_out=len(learned))
    targets = np.array([index for _, index in answered_photos])
    paths = tuple(path for path, _ in answered_photos)
    return LabelledPredictions(probs[:, : len(answered_photos)], targets, paths, tuple(skipped))


def check_enough(photos: int, *, left_out: int = 0) -> None:
    """Refuse to fit on too few photos.

    Args:
        photos: How many there are.
        left_out: How many were left out because members were trained on them.

    Raises:
        errors.FitError: They are too few.
    """
    if photos < FEWEST:
        reason = f" {left_out} more were left out, as the members were trained on them."
        more = reason if left_out else ""
        raise errors.FitError(
            f"Got {photos} photos of known classes that can be read; expected {FEWEST} or more, "
            f"a few hundred better. With fewer, chance decides what is fitted.{more}"
        )


def folds(paths: Sequence[Path], k: int, *, seed: int) -> Array:
    """Divide photos into folds; identical files stay together.

    Args:
        paths: Of the photos, N of them.
        k: How many folds, at least 2.
        seed: Seed of the division.

    Returns:
        Shape (N,): each photo's fold, 0 to k - 1.

    Raises:
        errors.FitError: There are not that many different photos.
    """
    digests = [bytes.fromhex(files.digest(path)) for path in paths]
    groups = {digest: number for number, digest in enumerate(dict.fromkeys(digests))}
    if len(groups) < k:
        raise errors.FitError(
            f"Got {k} folds, and among the {len(paths)} photos there are only "
            f"{len(groups)} different ones. Add photos, or use fewer folds."
        )
    # All with one label: folds need no stratification, as members were trained before.
    photos = [
        data.LabelledPhoto(str(path), 0, digest, groups[digest], path.read_bytes)
        for path, digest in zip(paths, digests, strict=True)
    ]
    return data.folds(photos, k, seed=seed)
