"""What to train and how, and the stages that training reports."""

from __future__ import annotations

import enum
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from triptych import errors
from triptych import features
from triptych import images
from triptych.evaluation import wilson
from triptych.models import zoo
from triptych.typing import ShouldStop
from triptych.typing import StageProgress
from triptych.utils import formatting

# The name under which the score of the whole committee is reported.
COMMITTEE = "committee"
STOPPED = "Stopped; the features computed so far are kept."
# Fine-tune only where that pays.
AUTO = "auto"


class TrainingStage(str, enum.Enum):
    """The stages of training, in order, by the names that people see.

    Jobs, pages and the command line take the names from here.

    Example:
        >>> print(TrainingStage.HEADS)
        Training heads
    """

    SCAN = "Reading photos"
    FEATURES = "Computing features"
    AUGMENTED_FEATURES = "Computing features of augmented views"  # only with `augment`
    HEADS = "Training heads"
    LEARNING_CURVE = "Learning curve"
    FINE_TUNING = "Fine-tuning"  # only with `fine_tune`; a member's name follows
    BUNDLE = "Writing the bundle"

    __str__ = str.__str__

    @classmethod
    def of(cls, text: str) -> TrainingStage | None:
        """The stage that a progress report names, if it is one of these.

        Example:
            >>> TrainingStage.of("Fine-tuning EfficientNetLite0").name
            'FINE_TUNING'
        """
        # In reverse order, as "Computing features" is a prefix of the next stage's name.
        return next((stage for stage in reversed(cls) if text.startswith(stage)), None)


class Score(float):
    """An accuracy in [0, 1] that knows on how many photos it was measured.

    Args:
        correct: How many photos were classified correctly.
        photos: How many were classified, at least 1.
        multilabel: Whether a photo counts as correct if it got all its classes, and no other.

    Example:
        >>> print(Score(9, 10)), Score(9, 10) == 0.9
        59 to 99 % (9 of 10 photos)
        (None, True)
    """

    photos: int
    multilabel: bool

    def __new__(cls, correct: int, photos: int, *, multilabel: bool = False) -> Score:
        """A float, since callbacks have received one since version 0.1."""
        score = super().__new__(cls, correct / photos)
        score.photos = photos
        score.multilabel = multilabel
        return score

    def __str__(self) -> str:
        interval = wilson(round(self * self.photos), self.photos)
        return formatting.accuracy(self, interval, self.photos)


@dataclass(frozen=True)
class TrainingConfig:
    """What to train, and how.

    Args:
        backbones: Names in the zoo, or of backbones that were added to the home, one member each.
        head: ``"linear"`` or ``"mlp"``.
        weights: Files to load instead of the published weights, by backbone: ``.keras`` or ``.h5``.
        augment: Names from `augment.AUGMENTATIONS`: each adds augmented views of the training
            photos, and costs one more feature pass per view.
        fine_tune: Whether to train the backbones themselves, too; needs TensorFlow. ``"auto"``
            measures first whether it pays.
        budget_s: Time limit for training with fine-tuning, in seconds; fine-tuning is shortened to
            fit. ``None`` for no limit.
        seed: Seed of the splits and of everything else random.
        multilabel: Whether a photo may have any number of classes; a CSV file that has ``|``
            between classes says so itself.
        label_precision: Of a multi-label committee: choose each class's threshold so that this
            share of its answers is right, in (0, 1), instead of near the highest F1.
        progress: Called with the stage, the steps done and the total number of steps.
        on_score: Called with a member, or `COMMITTEE`, and its `Score` on the held-out photos, as
            soon as that is known; once more after fine-tuning.
        on_epoch: Called with each epoch of fine-tuning, once it is evaluated: its ``member``, its
            ``number``, from 0 for the frozen network, how many of the held-out ``photos`` are
            ``right``, and their ``loss``.
        stop: Polled regularly; training ends when it returns true. During fine-tuning the best
            epoch so far is kept, and the bundle is written.
        compute: How features are computed; by default in this process.
        limits: Bytes and pixels allowed in a photo.
        format: What the photos come with, a name from `data.formats.NAMES`; recognised by default.
    """

    backbones: tuple[str, ...] = zoo.COMMITTEES["lite"]
    head: str = "linear"
    weights: Mapping[str, Path] = field(default_factory=dict)
    augment: tuple[str, ...] = ()
    fine_tune: bool | str = False
    budget_s: float | None = None
    seed: int = 0
    multilabel: bool = False
    label_precision: float | None = None
    progress: StageProgress = lambda stage, done, total: None
    on_score: Callable[[str, Score], None] = lambda member, score: None
    on_epoch: Callable[[Mapping[str, Any]], None] = lambda epoch: None
    stop: ShouldStop = lambda: False
    compute: features.Compute = features.extract_locally
    limits: images.Limits = images.DEFAULT_LIMITS
    format: str = "auto"

    def raise_if_stopped(self) -> None:
        """End training if ``stop`` returns true.

        Raises:
            errors.Stopped: ``stop`` returned true.
        """
        if self.stop():
            raise errors.Stopped(STOPPED)

    @property
    def weights_by_backbone(self) -> dict[str, Path]:
        """``weights`` by the full names of the backbones.

        Raises:
            errors.UnknownName: There is no such backbone.
        """
        return {zoo.find(key).name: path for key, path in self.weights.items()}
