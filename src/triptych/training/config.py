"""What the teaching steps hand to each other: the lesson, the photos, the pupils."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from triptych import data
from triptych import errors
from triptych import features
from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.ensemble.params import EnsembleParams
from triptych.models import zoo
from triptych.models.head import Head
from triptych.typing import Array
from triptych.typing import ShouldStop
from triptych.typing import StageProgress

# Under which name the committee itself is judged.
COMMITTEE = "committee"


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
        judged: Called with a member, or `COMMITTEE`, and the share of the photos held back that it
            answers rightly, as soon as that is known; again after fine-tuning.
        stop: Asked now and then whether to stop.
        compute: How features are computed; by default in this process.
    """

    backbones: tuple[str, ...] = zoo.COMMITTEES["lite"]
    head: str = "linear"
    weights: Mapping[str, Path] = field(default_factory=dict)
    augment: tuple[str, ...] = ()
    fine_tune: bool = False
    seed: int = 0
    progress: StageProgress = lambda stage, done, total: None
    judged: Callable[[str, float], None] = lambda member, accuracy: None
    stop: ShouldStop = lambda: False
    compute: features.Compute = features.here

    def pause(self) -> None:
        """Ask whether to stop.

        Raises:
            errors.Stopped: ``stop`` said so.
        """
        if self.stop():
            raise errors.Stopped("Stopped; the features computed so far are kept.")


@dataclass(frozen=True)
class Fit:
    """A fitted head with its answers to photos that it had not seen.

    Args:
        head: Trained on all photos given.
        out_of_fold: Shape (N, C): for each photo, what heads trained on the other folds say; of
            photos that are never held back, all classes alike, which says nothing.
    """

    head: Head
    out_of_fold: Array


@dataclass(frozen=True)
class Pupil:
    """A backbone with its trained head, and what it says of photos it did not learn.

    Args:
        backbone: Its row in the zoo.
        fit: The head, with its out-of-fold answers.
        answers: Its own probabilities of the validation photos, shape (N, C).
        weight: How much it counts in the committee; 0 for one that was dropped.
        temperature: Fitted on the out-of-fold answers.
    """

    backbone: zoo.Backbone
    fit: Fit
    answers: Array
    weight: float = 1.0
    temperature: float = 1.0

    @property
    def cost(self) -> float:
        """Of asking it, in billions of multiply-adds."""
        return self.backbone.multiply_adds / 1e9

    @property
    def validation(self) -> Array:
        """Calibrated probabilities of the validation photos, shape (N, C)."""
        return rules.temper(self.answers, self.temperature)


def seated(pupils: Sequence[Pupil]) -> list[Pupil]:
    """Those that count."""
    return [pupil for pupil in pupils if pupil.weight]


def weigh(
    pupils: Sequence[Pupil], answers: Sequence[Array], truth: Array
) -> tuple[list[Pupil], EnsembleParams]:
    """Decide who is seated, and fit the committee.

    Args:
        pupils: Candidates.
        answers: For each, its own probabilities of photos it did not learn, shape (N, C).
        truth: Shape (N,); N may be 0, then nothing is fitted.

    Returns:
        The same pupils with weights and temperatures, and what was fitted for those seated.
    """
    weights, params = fit.seat(np.stack(answers), truth, [pupil.cost for pupil in pupils])
    temperatures = iter(params.temperatures)
    weighed = [
        dataclasses.replace(pupil, weight=weight, temperature=next(temperatures) if weight else 1.0)
        for pupil, weight in zip(pupils, weights, strict=True)
    ]
    return weighed, params


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
    train_photos: Sequence[data.Photo]
    val: list[Array]
    val_truth: Array
    val_photos: Sequence[data.Photo]

    @property
    def judged(self) -> Array:
        """Which training photos are held out in some fold, shape (N,)."""
        return self.folds >= 0


@dataclass(frozen=True)
class Figures:
    """A member before tuning or after.

    Args:
        held_out: Share of held-out photos that are right, in [0, 1].
        loss: Mean negative log-likelihood of those in nats, at the temperature that suits best.
        validation: Share of validation photos that are right.
    """

    held_out: float
    loss: float
    validation: float


@dataclass(frozen=True)
class Record:
    """What tuning a member gave, and what it cost.

    Args:
        member: Its name.
        epochs: How many were run.
        best_epoch: The one that was best on the held-out photos; 0 for none.
        layers: How many layers learned, the head's among them.
        seconds: How long all of it took.
        photos: How many photos were held out.
        before: With the frozen backbone.
        after: With the tuned one; the same as before where no epoch was better.
        kept: Whether the tuned member is the one in the bundle.
    """

    member: str
    epochs: int
    best_epoch: int
    layers: int
    seconds: float
    photos: int
    before: Figures
    after: Figures
    kept: bool

    def to_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Outcome:
    """A committee after teaching.

    Args:
        pupils: All that were taught, with their weights.
        params: What was fitted for those seated.
        records: What fine-tuning gave, for each that was seated before it; empty without.
    """

    pupils: Sequence[Pupil]
    params: EnsembleParams
    records: Sequence[Record] = ()
