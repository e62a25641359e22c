"""Fitting a multi-label committee: calibration, weights and a threshold for each class.

Each class is a binary question. Where it has few photos, calibrations are kept near "no change" by
a prior, and thresholds count labels in part as the calibrated probabilities expect them: a handful
of photos says less about a class than the model does.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble.fit.calibration import clopper_pearson_lower
from triptych.ensemble.fit.weights import choose_weights
from triptych.ensemble.multilabel import F1
from triptych.ensemble.multilabel import NEVER
from triptych.ensemble.multilabel import PRECISION
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.multilabel import Threshold
from triptych.ensemble.multilabel import logit
from triptych.ensemble.multilabel import platt
from triptych.ensemble.multilabel import sigmoid
from triptych.ensemble.multilabel import unfitted
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.promise import TOO_FEW
from triptych.ensemble.promise import TOO_MANY_MISTAKES
from triptych.ensemble.promise import least_photos
from triptych.typing import Array
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import Mask
from triptych.typing import Probs

# Weight of the prior for slope 1 and offset 0, in photos; see `fit_platt`.
PRIOR_PHOTOS = 10.0
# Photos of a class for which labels and probabilities count alike; see `expected_labels`.
FEW_POSITIVES = 10.0
MIN_SLOPE, MAX_SLOPE = 0.05, 20.0
# By F1 alone, a class of which nothing was learned would be answered for every photo.
LEAST_FOR_F1 = 0.1
TINY = 1e-12
STEPS, HALVINGS = 50, 20
# The fit ends when a step lowers no class's loss by more than this share of it.
ENOUGH = 1e-7
# Photos times classes on which weights are fitted; more change little and take long.
MAX_PAIRS = 200_000


def log_loss(probs: Probs, targets: Mask) -> float:
    """The mean cross-entropy of all photo-class pairs, in nats.

    Args:
        probs: Shape (N, C).
        targets: Which classes hold, bool, shape (N, C).

    Example:
        >>> round(log_loss(np.array([[0.5, 0.5]]), np.array([[True, False]])), 3)
        0.693
    """
    logits = logit(probs)
    return float(np.logaddexp(0, np.where(targets, -logits, logits)).mean())


def fit_platt(probs: Probs, targets: Mask, *, prior_photos: float = PRIOR_PHOTOS) -> Float64Array:
    """Fit a slope and an offset of the logits for each class, by their likelihood and a prior.

    Args:
        probs: Out-of-fold probabilities, shape (N, C).
        targets: Which classes hold, bool, shape (N, C).
        prior_photos: Weight of a normal prior around slope 1 and offset 0, in photos. What a class
            says grows with its photos, so those with few stay near what they are.

    Returns:
        Shape (C, 2); slopes are from `MIN_SLOPE` to `MAX_SLOPE`.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999; Newton's method.

    Example:
        >>> probs = np.repeat([[0.6], [0.4]], 500, axis=0)
        >>> float(fit_platt(probs, probs > 0.5)[0, 0].round(1))
        5.3
    """
    logits = logit(probs).astype(np.float32)
    squares = logits**2
    slope, offset = np.ones(probs.shape[1]), np.zeros(probs.shape[1])

    def evaluate(slope: Array, offset: Array) -> tuple[Array, Array]:
        """The loss of each class (C,), and what the questions are answered with (N, C)."""
        scaled = slope.astype(np.float32) * logits + offset.astype(np.float32)
        small = np.exp(-np.abs(scaled))
        losses = np.maximum(np.where(targets, -scaled, scaled), 0) + np.log1p(small)
        prior = prior_photos * ((slope - 1) ** 2 + offset**2) / 2
        expected = np.where(scaled >= 0, 1, small) / (1 + small)
        return losses.sum(axis=0, dtype=np.float64) + prior, expected

    loss, expected = evaluate(slope, offset)
    for _ in range(STEPS):
        error, curve = expected - targets, expected * (1 - expected)
        by_slope = (error * logits).sum(axis=0, dtype=np.float64) + prior_photos * (slope - 1)
        by_offset = error.sum(axis=0, dtype=np.float64) + prior_photos * offset
        a = (curve * squares).sum(axis=0, dtype=np.float64) + prior_photos
        b = (curve * logits).sum(axis=0, dtype=np.float64)
        c = curve.sum(axis=0, dtype=np.float64) + prior_photos
        # A slope that would leave its bounds stays there, and only the offset moves.
        stuck = (slope <= MIN_SLOPE) & (by_slope > 0) | (slope >= MAX_SLOPE) & (by_slope < 0)
        by_slope, b = np.where(stuck, 0, by_slope), np.where(stuck, 0, b)
        scale = a * c - b**2
        moves = (b * by_offset - c * by_slope) / scale, (b * by_slope - a * by_offset) / scale
        length = np.ones(len(slope))
        for _ in range(HALVINGS):
            new_slope = np.clip(slope + length * moves[0], MIN_SLOPE, MAX_SLOPE)
            new_offset = offset + length * moves[1]
            after, new_expected = evaluate(new_slope, new_offset)
            if (lower := after <= loss).all():
                break
            length = np.where(lower, length, length / 2)
        slope, offset = np.where(lower, new_slope, slope), np.where(lower, new_offset, offset)
        gain, loss = np.where(lower, loss - after, 0), np.where(lower, after, loss)
        expected = np.where(lower, new_expected, expected)
        if (gain <= ENOUGH * (1 + loss)).all():
            break
    return np.stack([slope, offset], axis=1)


def expected_labels(probs: Probs, targets: Mask) -> Float64Array:
    """Labels for the choice of a threshold: where a class has few photos, in part its probability.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (N, C).
        targets: Which classes hold, bool, shape (N, C).

    Example:
        >>> expected_labels(np.full((10, 1), 0.4), np.full((10, 1), True))[0].tolist()
        [0.7]
    """
    positives = targets.sum(axis=0)
    share = positives / (positives + FEW_POSITIVES)
    return np.asarray(share * targets + (1 - share) * probs, np.float64)


def choose_thresholds(
    probs: Probs, targets: Mask, *, precision: float | None = None
) -> tuple[Threshold, ...]:
    """Choose from which probability on each class holds.

    Args:
        probs: Calibrated out-of-fold probabilities, shape (N, C).
        targets: Which classes hold, bool, shape (N, C).
        precision: The share of answers that is to be right, in (0, 1]: the lowest threshold of
            which an exact test says so, with a risk of `promise.RISK` for each class, so that as
            many photos as possible are found. That takes some photos: for 90 %, at least 29 of
            which none is wrong. Where it cannot be promised, a class is answered where its own
            probability is so high, unless too few of these answers are right. ``None`` goes
            halfway from one half to the threshold with the highest F1, see `LEAST_FOR_F1`.

    Returns:
        One per class, with its ``status``; `NEVER` where answers are wrong too often.

    Source: Lipton, Elkan and Naryanaswamy, "Optimal Thresholding of Classifiers to Maximize F1
    Measure", 2014; fixed sequence testing of Angelopoulos, Bates, Candès, Jordan and Lei, "Learn
    then Test", 2021.

    Example:
        >>> probs = np.repeat([[0.9], [0.6], [0.1]], 100, axis=0)
        >>> round(choose_thresholds(probs, probs > 0.5)[0].value, 3)
        0.423
        >>> choose_thresholds(probs, probs > 0.5, precision=0.9)[0].status
        'promised'
    """
    if precision is not None and not 0 < precision <= 1:
        raise errors.SettingError(
            f"Got a precision of {precision} for the classes of a photo; expected a share, such as "
            "0.95."
        )
    labels = expected_labels(probs, targets)
    thresholds = []
    for column, expected, holds in zip(probs.T, labels.T, targets.T, strict=True):
        order = np.argsort(-column, kind="stable")
        answers = _Answers(column[order].astype(np.float64), expected[order], holds[order])
        threshold = answers.by_f1() if precision is None else answers.by_precision(precision)
        thresholds.append(replace(threshold, positives=int(holds.sum())))
    return tuple(thresholds)


@dataclass(frozen=True)
class _Answers:
    """The photos of a choice for one class, by falling probability; all of shape (N,).

    Args:
        prob: The probabilities.
        expected: Their `expected_labels`.
        holds: Their labels.
    """

    prob: Array
    expected: Array
    holds: Array

    @property
    def counts(self) -> Array:
        """How many photos are answered with the class if each is the last one."""
        return np.arange(1, len(self.prob) + 1)

    @property
    def cuts(self) -> Array:
        """Whether each may be the last: equal probabilities are all answered or none."""
        return np.append(self.prob[1:] < self.prob[:-1], True)[: len(self.prob)]

    def by_f1(self) -> Threshold:
        """The threshold halfway, in logits, between the one with the highest F1 and one half.

        That with the highest F1 is half of that F1 (Lipton et al.), so below one half, and where
        photos are few it is far off. At one half most photos have all their classes right.
        """
        right, whole = np.cumsum(self.expected), self.expected.sum()
        score = np.where(self.cuts, 2 * right / (self.counts + whole + TINY), 0.0)
        score[self.prob < LEAST_FOR_F1] = 0.0
        best = int(score.argmax())
        value = max(self._behind(best), LEAST_FOR_F1) if score[best] else 0.5
        return Threshold(float(sigmoid(logit(np.array(value)) / 2)), F1)

    def by_precision(self, precision: float) -> Threshold:
        """The lowest threshold that promises the precision, else a careful one."""
        chosen = functools.partial(Threshold, chosen_for=PRECISION, target=precision)
        fewest = least_photos(precision) if precision < 1 else len(self.prob) + 1
        tested = np.flatnonzero(self.cuts & (self.counts >= fewest))
        lowest = clopper_pearson_lower(np.cumsum(self.holds)[tested], self.counts[tested])
        # One test after the other, up to the first that fails: so the risk of all is that of one.
        passed = tested[np.logical_and.accumulate(lowest >= precision)]
        if passed.size:
            return chosen(self._behind(int(passed[-1])), status=PROMISED)
        status = TOO_MANY_MISTAKES if self.holds.sum() >= fewest else TOO_FEW
        probable = self.prob >= precision
        if not probable.any():
            return chosen(precision, status=status)
        is_right = np.cumsum(self.expected) >= precision * self.counts
        careful = np.flatnonzero(self.cuts & is_right & probable)
        value = max(self._behind(int(careful[-1])), precision) if careful.size else NEVER
        return chosen(value, status=status)

    def _behind(self, last: int) -> float:
        """The middle between the last answer and the next, so that rounding changes neither."""
        return float(self.prob[last : last + 2].mean())


def fit(
    probs: Probs,
    targets: Mask,
    costs: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    precision: float | None = None,
) -> MultilabelParams:
    """Fit the calibrations, weights and thresholds of a multi-label committee.

    As for one class a photo, each member is calibrated, and what they combine to once more.

    Args:
        probs: The members' raw out-of-fold probabilities, shape (M, N, C).
        targets: Which classes hold, bool, shape (N, C).
        costs: Cost of running each member, in any unit; length M.
        weights: Weights of the members; chosen by out-of-fold loss for ``None``.
        precision: As for `choose_thresholds`.

    Raises:
        errors.SettingError: The arguments do not fit together.

    Example:
        >>> probs = np.tile([[0.9, 0.2]], (2, 100, 1))
        >>> params = fit(probs, np.tile([True, False], (100, 1)), [1, 3])
        >>> params.weights, [each.positives for each in params.thresholds]
        ((0.5, 0.5), [100, 0])
    """
    if probs.ndim != 3 or targets.shape != probs.shape[1:] or len(costs) != len(probs):
        raise errors.SettingError(
            f"Got probs of shape {probs.shape}, targets of shape {targets.shape} and {len(costs)} "
            "costs; expected (members, photos, classes), (photos, classes) and one cost per member."
        )
    calibration = np.stack([fit_platt(each, targets) for each in probs])
    calibrated = np.stack(
        [platt(each, pairs) for each, pairs in zip(probs, calibration, strict=True)]
    )
    if weights is None:
        weights = choose_weights(*_as_questions(calibrated, targets))
    params = replace(
        unfitted(weights, costs, classes=probs.shape[2]),
        calibration=tuple(tuple(map(_pair, member)) for member in calibration),
        provenance={"photos": len(targets), "precision": precision},
    )
    joined = params.join("weighted", calibrated)
    params = replace(params, joined=tuple(map(_pair, fit_platt(joined, targets))))
    joined = params.join("weighted", calibrated)
    return replace(params, thresholds=choose_thresholds(joined, targets, precision=precision))


def _pair(values: Array) -> tuple[float, float]:
    return (float(values[0]), float(values[1]))


def _as_questions(probs: Probs, targets: Mask) -> tuple[Probs, Indices]:
    """Each pair of a photo and a class as a photo with two classes, no and yes."""
    step = max(1, -(-targets.size // MAX_PAIRS))
    yes = probs.reshape(len(probs), -1)[:, ::step]  # (M, N * C)
    return np.stack([1 - yes, yes], axis=2), targets.reshape(-1)[::step].astype(np.intp)


def fit_and_prune(
    probs: Probs, targets: Mask, costs: Sequence[float], *, precision: float | None = None
) -> tuple[list[float], MultilabelParams]:
    """Choose weights for candidates, and fit the committee of those whose weight is not 0.

    Args:
        probs: The candidates' raw out-of-fold probabilities, shape (M, N, C).
        targets: Which classes hold, bool, shape (N, C); where N is 0 all candidates stay, and
            nothing is fitted.
        costs: Cost of running each; length M.
        precision: As for `choose_thresholds`.

    Returns:
        A weight per candidate, summing to 1, and the parameters of those above 0, in order.
    """
    if not len(targets):
        equal = [1 / len(probs)] * len(probs)
        return equal, unfitted(equal, costs, classes=probs.shape[2])
    params = fit(probs, targets, costs, precision=precision)
    weights = list(params.weights)
    nonzero = [member for member, weight in enumerate(weights) if weight]
    if len(nonzero) < len(weights):
        some_weights, some_costs = [weights[m] for m in nonzero], [costs[m] for m in nonzero]
        params = fit(probs[nonzero], targets, some_costs, weights=some_weights, precision=precision)
    return weights, params


@dataclass(frozen=True)
class MultilabelCrossFit:
    """Answers to N photos, each by parameters that were fitted on the other folds.

    Args:
        joined: The combined and calibrated probabilities, shape (N, C).
        holds: Which classes were answered, by thresholds that were chosen on the other folds,
            shape (N, C).
    """

    joined: Probs
    holds: Mask


def cross_fit(
    probs: Probs, targets: Mask, costs: Sequence[float], folds: Array, **settings: Any
) -> MultilabelCrossFit:
    """Cross-validate a fit: thresholds look too good on the photos that they were chosen on.

    Args:
        probs: The members' raw out-of-fold probabilities, shape (M, N, C).
        targets: Which classes hold, bool, shape (N, C).
        costs: As for `fit`.
        folds: Each photo's fold, from 0, at least 2 of them; shape (N,).
        settings: As for `fit`.
    """
    joined, holds = np.empty_like(probs[0]), np.empty(targets.shape, bool)
    for fold in np.unique(folds):
        test = folds == fold
        params = fit(probs[:, ~test], targets[~test], costs, **settings)
        members = [params.calibrate(n, each[test]) for n, each in enumerate(probs)]
        joined[test] = params.join("weighted", np.stack(members))
        holds[test] = params.holds(joined[test])
    return MultilabelCrossFit(joined, holds)


def with_reached(params: MultilabelParams, holds: Mask, targets: Mask) -> MultilabelParams:
    """The parameters, each threshold with the figures that it reached by cross-fitting.

    Args:
        params: Fitted on all photos.
        holds: The answers of `cross_fit`, shape (N, C).
        targets: Which classes hold, bool, shape (N, C).
    """
    right, answered = (holds & targets).sum(axis=0), holds.sum(axis=0)
    positives = targets.sum(axis=0)

    def share(part: int, whole: int) -> float | None:
        return int(part) / int(whole) if whole else None

    thresholds = tuple(
        replace(
            threshold,
            precision=share(right[label], answered[label]),
            recall=share(right[label], positives[label]),
            f1=share(2 * right[label], answered[label] + positives[label]),
        )
        for label, threshold in enumerate(params.thresholds)
    )
    return replace(params, thresholds=thresholds)
