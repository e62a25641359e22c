"""The decisions of fine-tuning, made on held-out photos: arrays in, decisions out."""

from __future__ import annotations

import math

import numpy as np

from triptych import errors
from triptych.ensemble import fit
from triptych.models.head import Head
from triptych.training.finetune import losses
from triptych.training.heads import CrossFittedHead
from triptych.typing import Array
from triptych.utils.text import text

# With fewer held-out photos, a better network cannot be told from a lucky one.
FEWEST_HELD_OUT = 10
# So many are enough to calibrate probabilities and to call answers sure even if some are wrong. Any
# more are of greater use as training photos.
ENOUGH_HELD_OUT = 300
# By how many standard errors the loss of a tuned member must be lower, and the level of the test
# that rejects it if its accuracy is significantly lower.
STANDARD_ERRORS = 1.0
SIGNIFICANCE = 0.05
# A change keeps the class if at most this share of the correctly classified photos, or one photo,
# is wrong after it. Photos that it corrects do not count: by chance, a mirrored letter is
# classified correctly about as often as wrongly. And by how much the loss may rise.
LOST_SHARE = 0.03
LOSS_FACTOR = 1.1
LOSS_MARGIN = 0.01
# Input sizes while training are multiples of this: networks halve them five times.
SIZE_STEP_PX = 32


def held_out_fold(folds: Array, targets: Array) -> Array:
    """Which training photos fine-tuning holds out, bool, shape (N,).

    They are those of the last fold, or some of each class if it has more than are needed: the
    network is trained on all others.

    Args:
        folds: Fold of each photo, shape (N,); negative for one that is never held out.
        targets: Labels, shape (N,).

    Raises:
        errors.SettingError: There are too few of them.

    Example:
        >>> folds = np.arange(40) % 4
        >>> held_out_fold(folds, np.zeros(40, int))[:4]
        array([False, False, False,  True])
        >>> held_out_fold(np.tile(folds, 50), np.arange(2000) % 5).sum()
        np.int64(300)
    """
    fold = np.flatnonzero((folds == folds.max()) & (folds >= 0))
    if len(fold) < FEWEST_HELD_OUT:
        raise errors.SettingError(
            text(
                "Fine-tuning holds out one of {max} parts of the training photos, here "
                "{count}, and needs {fewest_held_out} or more to measure what helps. Train "
                "with more photos, or without fine-tuning.",
                max=folds.max() + 1,
                count=len(fold),
                fewest_held_out=FEWEST_HELD_OUT,
            )
        )
    share = min(1.0, ENOUGH_HELD_OUT / len(fold))
    held_out = np.zeros(len(folds), bool)
    for label in np.unique(targets[fold]):
        of_class = fold[targets[fold] == label]
        held_out[of_class[: max(1, round(share * len(of_class)))]] = True
    return held_out


def better_head(
    fitted: CrossFittedHead, trained: Head, features: Array, targets: Array, held_out: Array
) -> CrossFittedHead:
    """The fitted head of a tuned network, unless the other one is better by paired tests.

    Args:
        fitted: Fitted to the features of all photos, with out-of-fold predictions.
        trained: Trained together with the network.
        features: Of the training photos, shape (N, F).
        targets: Labels, shape (N,).
        held_out: Which of the photos neither was trained on, bool, shape (N,).
    """
    probs = trained.probs(features[held_out])
    if not is_better(probs, fitted.out_of_fold[held_out], targets[held_out]):
        return fitted
    out_of_fold = np.full_like(fitted.out_of_fold, 1 / fitted.out_of_fold.shape[1])
    out_of_fold[held_out] = probs
    return CrossFittedHead(trained, out_of_fold)


def is_better(tuned: Array, frozen: Array, targets: Array) -> bool:
    """Whether a fine-tuned member is better than the frozen one, by paired tests.

    Its loss must be lower by more than a standard error of the difference, and its accuracy must
    not be significantly lower by McNemar's exact test.

    Args:
        tuned: Its probabilities for the held-out photos, shape (N, C).
        frozen: Those of the frozen member, shape (N, C).
        targets: Labels, shape (N,).

    Source: Dietterich, "Approximate Statistical Tests for Comparing Supervised Classification
    Learning Algorithms", 1998.
    """
    gains = losses.nll(frozen, targets) - losses.nll(tuned, targets)
    standard_error = gains.std(ddof=1) / np.sqrt(len(targets))
    correct, correct_before = (probs.argmax(axis=1) == targets for probs in (tuned, frozen))
    won, lost = int((correct & ~correct_before).sum()), int((correct_before & ~correct).sum())
    # The probability that a fair coin decides at least as many of the photos on which they differ
    # against it.
    chance = sum(math.comb(won + lost, count) for count in range(won + 1)) / 2 ** (won + lost)
    return bool(gains.mean() > STANDARD_ERRORS * standard_error and chance > SIGNIFICANCE)


def keeps_class(changed: Array, plain: Array, targets: Array) -> bool:
    """Whether photos still show their class after a change, judged by predictions.

    Hardly any correctly classified photo may become wrong, and the loss may hardly rise.

    Args:
        changed: Probabilities for the changed photos, shape (N, C), out of fold.
        plain: Those for the photos as they are, shape (N, C).
        targets: Labels, shape (N,).

    Example:
        >>> plain, targets = np.full((50, 2), [0.9, 0.1]), np.zeros(50, int)
        >>> keeps_class(plain, plain, targets), keeps_class(1 - plain, plain, targets)
        (True, False)
    """
    correct, correct_before = (probs.argmax(axis=1) == targets for probs in (changed, plain))
    loss, loss_before = (fit.negative_log_likelihood(probs, targets) for probs in (changed, plain))
    may_be_lost = max(1, int(LOST_SHARE * correct_before.sum()))
    lost = int((correct_before & ~correct).sum())
    return bool(lost <= may_be_lost and loss <= LOSS_FACTOR * loss_before + LOSS_MARGIN)


def tuning_size(size: tuple[int, int], share: float) -> tuple[int, int]:
    """The input size while a network is trained, smaller than the one it is served with.

    Args:
        size: (height, width) that it is served with, in pixels.
        share: Of each side, in (0, 1].

    Example:
        >>> tuning_size((224, 224), 0.6)
        (128, 128)
    """
    height, width = (
        min(side, max(SIZE_STEP_PX, round(side * share / SIZE_STEP_PX) * SIZE_STEP_PX))
        for side in size
    )
    return height, width
