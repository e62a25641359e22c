"""What the teaching steps hand to each other: the lesson, the photos, the pupils."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from triptych import combine
from triptych import dataset
from triptych import head
from triptych import zoo

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class Lesson:
    """What to teach, and how.

    Args:
        backbones: Names in the zoo, one member each.
        head: ``"linear"`` or ``"mlp"``.
        weights: Files of one's own for backbones, by name: ``.keras`` or ``.h5``.
        augment: Names from `views.AUGMENTATIONS`: more looks at each photo to learn from, each at
            the cost of one more feature pass.
        fine_tune: Whether the last blocks of the backbones learn, too; needs TensorFlow.
        seed: Of splits and everything else random.
        progress: Called with the stage, what is done and what there is to do.
        stop: Asked now and then whether to stop.
    """

    backbones: tuple[str, ...] = zoo.COMMITTEES["lite"]
    head: str = "linear"
    weights: Mapping[str, Path] = field(default_factory=dict)
    augment: tuple[str, ...] = ()
    fine_tune: bool = False
    seed: int = 0
    progress: Progress = lambda stage, done, total: None
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Pupil:
    """A backbone with its trained head, and what it says of photos it did not learn.

    Args:
        backbone: Its row in the zoo.
        fit: The head, with its out-of-fold answers.
        temperature: Fitted on those.
        validation: Calibrated probabilities of the validation photos, shape (N, C).
    """

    backbone: zoo.Backbone
    fit: head.Fit
    temperature: float
    validation: Array

    @property
    def out_of_fold(self) -> Array:
        """Calibrated out-of-fold probabilities of the training photos, shape (N, C)."""
        return combine.temper(self.fit.out_of_fold, self.temperature)


@dataclass(frozen=True)
class Material:
    """Photos as arrays.

    Args:
        classes: Names of the classes.
        train: Features of the training photos by backbone, each (N, F).
        views: Features of other looks at them by backbone, each (V * N, F), look after look.
        train_truth: Their classes, shape (N,).
        folds: Their folds, shape (N,).
        train_photos: The training photos themselves.
        val: Features of the validation photos by backbone.
        val_truth: Their classes.
        val_photos: The validation photos themselves.
    """

    classes: tuple[str, ...]
    train: list[Array]
    views: list[Array]
    train_truth: Array
    folds: Array
    train_photos: Sequence[dataset.Photo]
    val: list[Array]
    val_truth: Array
    val_photos: Sequence[dataset.Photo]

    @property
    def judged(self) -> Array:
        """Which training photos are held out in some fold, shape (N,)."""
        return self.folds >= 0
