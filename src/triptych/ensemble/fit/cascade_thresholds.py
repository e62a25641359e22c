"""Fitting the thresholds of a cascade: the cheapest that lose next to no accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import numpy as np

from triptych.ensemble.cascade import NEVER
from triptych.typing import Indices
from triptych.typing import Labels
from triptych.typing import Probs

# With fewer photos the cascade never stops: where no members of 50 disagree, 6 % still may.
FEWEST = 50
# Combinations tried, and at most so many thresholds for one stage.
COMBINATIONS, FINEST = 4096, 64


@dataclass(frozen=True)
class Case:
    """The effects of stopping N photos at each of the K stages before the last.

    Args:
        tops: Top probability of the answer after each stage, shape (K, N).
        losses: Right answers lost by it, expected and counted, shape (2, K, N).
        costs: Of each stage, shape (K + 1,).
        limit: Right answers that may be lost, over all photos.
    """

    tops: Probs
    losses: Probs
    costs: Sequence[float]
    limit: float


@dataclass(frozen=True)
class Plan:
    """Thresholds for the first stages, and what they come to over all photos.

    Args:
        thresholds: One for each stage decided on so far.
        cost: Of the stages so far.
        loss: Right answers lost so far, expected and counted, shape (2,).
        variance: Of these two numbers.
    """

    thresholds: tuple[float, ...]
    cost: float
    loss: Probs
    variance: Probs

    @property
    def bounds(self) -> Probs:
        """The losses, and one standard deviation to be on the safe side; shape (2,)."""
        return np.asarray(self.loss + np.sqrt(self.variance))


def thresholds(
    prefixes: Sequence[Probs], targets: Labels, costs: Sequence[float], *, tolerance: float
) -> list[float]:
    """The cheapest thresholds that lose at most ``tolerance`` against the whole committee.

    Args:
        prefixes: For each stage, the calibrated combined answers after it, each of shape (N, C);
            the last are the whole committee's.
        targets: Shape (N,).
        costs: Of each stage, in any unit.
        tolerance: The share of right answers that may be lost, such as 0.001.

    Returns:
        One per stage, `cascade.NEVER` where it must not stop, as for the last.
    """
    committee, count = prefixes[-1], len(targets)
    if count < FEWEST:
        return [NEVER] * len(prefixes)
    losses = [_losses(probs, committee, targets) for probs in prefixes[:-1]]
    case = Case(
        tops=np.array([probs.max(axis=1) for probs in prefixes[:-1]]),
        losses=np.array(losses).reshape(-1, 2, count).swapaxes(0, 1),
        costs=costs,
        limit=tolerance * count,
    )
    plans = _plans(case, np.arange(count), Plan((), 0.0, np.zeros(2), np.zeros(2)))
    # Of equally cheap ones the first: it stops later.
    return [*min(plans, key=lambda plan: plan.cost).thresholds, NEVER]


def _losses(probs: Probs, committee: Probs, targets: Labels) -> list[Probs]:
    """The right answers lost against the whole committee, expected and counted, each shape (N,).

    Counts of few photos vary too much, and expectations are too small where the committee is
    overconfident, so both have to stay below the limit; docs/doubt.md has the measurements.
    """
    answers, committee_answers = probs.argmax(axis=1), committee.argmax(axis=1)
    rows = np.arange(len(targets))
    expected = committee[rows, committee_answers] - committee[rows, answers]
    return [expected, (committee_answers == targets).astype(float) - (answers == targets)]


def _plans(case: Case, still: Indices, plan: Plan) -> Iterator[Plan]:
    """Every admissible way to go on with the photos that are still open, latest stops first."""
    stage = len(plan.thresholds)
    plan = replace(plan, cost=plan.cost + case.costs[stage] * len(still))
    if stage == len(case.tops):
        if (plan.bounds <= case.limit).all():
            yield plan
        return
    order = still[np.argsort(-case.tops[stage, still], kind="stable")]
    # Of the surest 0, 1, 2 ... photos: their losses, and the squares of these.
    lost = np.pad(case.losses[:, stage, order], ((0, 0), (1, 0)))
    losses, squares = lost.cumsum(axis=1), (lost**2).cumsum(axis=1)
    finest = min(FINEST, max(3, round(COMBINATIONS ** (1 / len(case.tops)))))
    quantiles = np.quantile(case.tops[stage], np.linspace(1, 0, finest)).tolist()
    for threshold in [NEVER, *quantiles]:
        stops = int(np.searchsorted(-case.tops[stage, order], -threshold, side="right"))
        # One more photo, imagined at the threshold itself. It loses no more than one
        # minus the threshold, as its answer is wrong no more often: with few photos, only high
        # thresholds are safe, even where no loss was counted.
        unseen = max(0.0, 1 - threshold)
        tried = replace(
            plan,
            thresholds=(*plan.thresholds, threshold),
            loss=plan.loss + losses[:, stops],
            variance=plan.variance + squares[:, stops] + unseen**2,
        )
        # Expected losses only grow from here on; counted ones may also fall.
        if tried.bounds[0] > case.limit:
            break
        yield from _plans(case, order[stops:], tried)
