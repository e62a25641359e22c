"""Whether fine-tuning would probably pay, judged from the predictions of the trained heads."""

from __future__ import annotations

from dataclasses import dataclass

from triptych.evaluation import wilson
from triptych.training.finetune import decisions
from triptych.typing import Array
from triptych.utils import formatting
from triptych.utils.text import text

# Below this share of mistakes there is little to gain, and that cannot be told apart from label
# errors: about 3 % of the labels of well-known test sets are wrong.
LEAST_WRONG = 0.05


@dataclass(frozen=True)
class FinetuneAdvice:
    """Whether fine-tuning would probably pay, and why.

    Args:
        pays: Whether it probably would.
        reason: Why, as a sentence without its full stop.
    """

    pays: bool
    reason: str


def advise(probs: Array, targets: Array, *, held_out: int) -> FinetuneAdvice:
    """Estimate whether fine-tuning would pay, from predictions that are there already.

    It pays if enough photos can be held out to tell a better network from a lucky one, and if the
    frozen networks are wrong on more than `LEAST_WRONG` of the photos, by the lower end of the 95 %
    interval. The number of classes and photos and their distance from ImageNet matter only in so
    far as they make frozen networks wrong.

    Args:
        probs: Out-of-fold probabilities of the committee with frozen backbones, shape (N, C).
        targets: Labels, shape (N,).
        held_out: How many photos would be held out.

    Example:
        >>> import numpy as np
        >>> targets = np.arange(200) % 2
        >>> advise(np.eye(2)[targets], targets, held_out=40).pays
        False
        >>> advise(np.eye(2)[np.zeros(200, int)], targets, held_out=40).reason[:43]
        'without it 100 of 200 photos (50.0 %) are p'

    Sources: Kornblith, Shlens, Le, "Do Better ImageNet Models Transfer Better?", 2019 (what tuning
    adds to frozen features is large where those are poor, and small where they are good);
    Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets Destabilize Machine Learning
    Benchmarks", 2021.
    """
    if held_out < decisions.FEWEST_HELD_OUT:
        return FinetuneAdvice(
            False,
            text(
                "{photos} could be held out to measure what it gains, and {fewest_held_out} "
                "or more are needed",
                photos=formatting.counted(held_out, "photo"),
                fewest_held_out=decisions.FEWEST_HELD_OUT,
            ),
        )
    photos, wrong = len(targets), int((probs.argmax(axis=1) != targets).sum())
    share = text(
        "{wrong:,} of {photos:,} photos ({wrong_2})",
        wrong=wrong,
        photos=photos,
        wrong_2=formatting.percent(wrong / photos),
    )
    if wilson(wrong, photos)[0] <= LEAST_WRONG:
        few = f"only {share} are predicted wrongly" if wrong else "no photo is predicted wrongly"
        return FinetuneAdvice(
            False, f"without it {few}, out of fold, so that there is hardly anything to gain"
        )
    return FinetuneAdvice(True, f"without it {share} are predicted wrongly, out of fold")


def held_out_photos(folds: Array) -> int:
    """How many photos fine-tuning would hold out, by the fold of each photo, shape (N,)."""
    return int(((folds == folds.max()) & (folds >= 0)).sum()) if len(folds) else 0
