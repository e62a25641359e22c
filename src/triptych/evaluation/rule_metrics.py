"""The metrics of a combination rule on photos with known classes.

`triptych evaluate` adds photo by photo, `triptych fit` fold by fold, `triptych optimize` a
committee at two precisions; each reports some of `RuleScores.metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

from triptych.ensemble import conformal
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import CASCADE
from triptych.evaluation import metrics
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import Labels
from triptych.typing import Mask
from triptych.typing import Probs


class RuleAnswers(NamedTuple):
    """A rule's answers to N photos.

    Args:
        probs: Calibrated, shape (N, C).
        cost: Cost of each, as a share of running all members, shape (N,).
        sure: Which are called sure, shape (N,).
    """

    probs: Probs
    cost: Float64Array
    sure: Mask


def answer(params: EnsembleParams, rule: str, probs: Probs, costs: Sequence[float]) -> RuleAnswers:
    """Combine the members' probabilities by a rule, as serving does.

    Args:
        params: Of the committee.
        rule: A name from `rules.RULES`.
        probs: The members' raw probabilities, shape (M, N, C).
        costs: Of running each member, length M, in any unit.
    """
    if rule == CASCADE:
        cascade = params.run_cascade(lambda member, which: probs[member, which], probs.shape[1])
        return of_joined(params, rule, cascade.joined, cascade.used, costs)
    calibrated = [params.calibrate(member, raw) for member, raw in enumerate(probs)]
    all_stages = np.full(probs.shape[1], len(params.stages))
    return of_joined(params, rule, params.join(rule, np.stack(calibrated)), all_stages, costs)


def of_joined(
    params: EnsembleParams, rule: str, joined: Probs, used: Indices, costs: Sequence[float]
) -> RuleAnswers:
    """A rule's answers from combined probabilities.

    Args:
        params: Of the committee.
        rule: A name from `rules.RULES`.
        joined: The combined and calibrated probabilities, shape (N, C).
        used: How many stages of the cascade each photo took, shape (N,); other rules run all
            members.
        costs: Of running each member, length M, in any unit.
    """
    cost = np.ones(len(joined))
    if rule == CASCADE:
        spent = np.cumsum([costs[stage.member] for stage in params.stages]) / sum(costs)
        cost = spent[used - 1]
    return RuleAnswers(joined, cost, joined.max(axis=1) >= params.rule(rule).sure)


class RuleScores(NamedTuple):
    """A few numbers for each of N photos, from which all metrics follow; all of shape (N,).

    Args:
        rank: Rank of the true class by probability, from 0.
        top: Probability of the answer, in [0, 1].
        cost: As in `RuleAnswers`.
        sure: As in `RuleAnswers`.
        covered: Whether the prediction set contains the true class; empty if there are no sets.
        size: How many classes the prediction set contains; empty if there are no sets.
    """

    rank: Indices
    top: Float64Array
    cost: Float64Array
    sure: Mask
    covered: Mask
    size: Indices

    @classmethod
    def join(cls, parts: Sequence[RuleScores]) -> RuleScores:
        """The scores of several groups of photos as one, at least one group."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def metrics(self) -> dict[str, Any]:
        """All metrics: shares in [0, 1].

        Returns:
            ``top1`` with its 95 % ``interval``, ``top5``, ``ece``, ``cost``, ``sure``,
            ``sure_right`` (of those the share that is right, ``None`` without any), and where
            there are prediction sets ``coverage`` and ``set_size``.
        """
        correct = self.rank < 1
        return {
            "top1": float(correct.mean()),
            "top5": float((self.rank < 5).mean()),
            "interval": [round(end, 4) for end in metrics.wilson(int(correct.sum()), len(correct))],
            "ece": metrics.gap(metrics.bins_of(self.top, correct)),
            "cost": float(self.cost.mean()),
            "sure": float(self.sure.mean()),
            "sure_right": float(correct[self.sure].mean()) if self.sure.any() else None,
            **({"coverage": float(self.covered.mean())} if len(self.covered) else {}),
            **({"set_size": float(self.size.mean())} if len(self.size) else {}),
        }


def score(
    answers: RuleAnswers, targets: Labels, quantiles: Sequence[float] = (), coverage: float = 0.9
) -> RuleScores:
    """Score a rule's answers.

    Args:
        answers: To N photos.
        targets: Their classes, shape (N,).
        quantiles: Of the rule's prediction sets, as fitted; without any there are no sets.
        coverage: How often sets should contain the true class, in (0, 1).

    Example:
        >>> answers = RuleAnswers(np.array([[0.9, 0.1], [0.6, 0.4]]), np.ones(2), np.ones(2, bool))
        >>> score(answers, np.array([0, 1])).metrics()["sure_right"]
        0.5
    """
    probs = answers.probs
    covered, size = np.zeros(0, bool), np.zeros(0, np.intp)
    if quantiles:
        quantile = conformal.quantile_for(quantiles, coverage)
        covered = conformal.scores(probs, targets.astype(np.intp)) <= quantile
        size = conformal.set_sizes(probs, quantile)
    ranks = [
        metrics.true_class_rank(row, int(index)) for row, index in zip(probs, targets, strict=True)
    ]
    return RuleScores(
        np.array(ranks, np.intp), probs.max(axis=1), answers.cost, answers.sure, covered, size
    )
