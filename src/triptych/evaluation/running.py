"""Metrics of members and rules, updated photo by photo in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import RULES
from triptych.evaluation import rule_metrics
from triptych.evaluation.rule_metrics import RuleAnswers
from triptych.evaluation.rule_metrics import RuleScores
from triptych.typing import Probs

MEMBER_METRICS = ("top1", "top5", "interval", "ece")
# Scores of so many photos are joined into one array: an array of one number is mostly overhead.
BLOCK = 256
RULE_METRICS = (*MEMBER_METRICS, "cost", "coverage", "set_size")


class RunningMetrics:
    """Collects a few numbers of each photo, from which the metrics of members and rules follow.

    Args:
        members: Names of the members.
        params: How the committee calibrates and combines their probabilities.
        costs: What running each member costs, in any unit.
        rule: The committee's rule.
        coverage: How often prediction sets should contain the true class, in (0, 1).

    Example:
        >>> from triptych.ensemble import params
        >>> running = RunningMetrics(["A", "B"], params.unfitted([1, 1], [1, 1]), [1, 1], "mean")
        >>> running.add(np.array([[0.9, 0.1], [0.4, 0.6]]), target=0)
        >>> running.to_dict()["committee"]["top1"]
        1.0
    """

    def __init__(
        self,
        members: Sequence[str],
        params: EnsembleParams,
        costs: Sequence[float],
        rule: str,
        *,
        coverage: float = 0.9,
    ) -> None:
        self._params, self._costs, self._rule, self._coverage = params, costs, rule, coverage
        self._images = 0
        self._members: dict[str, list[RuleScores]] = {name: [] for name in members}
        self._rules: dict[str, list[RuleScores]] = {name: [] for name in RULES}

    def add(self, probs: Probs, target: int) -> None:
        """Add one photo.

        Args:
            probs: The members' raw probabilities, shape (M, C).
            target: Index of the true class.
        """
        targets, none = np.array([target]), np.zeros(1)
        for member, scores in enumerate(self._members.values()):
            calibrated = self._params.calibrate(member, probs[member][None])
            answers = RuleAnswers(calibrated, none, none.astype(bool))
            scores.append(rule_metrics.score(answers, targets))
        for rule, scores in self._rules.items():
            answers = rule_metrics.answer(self._params, rule, probs[:, None], self._costs)
            quantiles = self._params.rule(rule).quantiles
            scores.append(rule_metrics.score(answers, targets, quantiles, self._coverage))
        self._images += 1
        for scores in (*self._members.values(), *self._rules.values()):
            if len(scores) > BLOCK:
                scores[:] = [RuleScores.join(scores)]

    def to_dict(self) -> dict[str, Any]:
        """The metrics as JSON: ``members``, ``committee`` and ``rules``; shares in [0, 1].

        Each has ``top1`` with its 95 % ``interval``, ``top5`` and ``ece``; a rule has its
        ``cost``, as a share of running all members, too, and ``coverage`` and ``set_size`` where
        the committee was fitted.
        """
        rules = {name: _metrics(scores, RULE_METRICS) for name, scores in self._rules.items()}
        return {
            "images": self._images,
            "members": [
                {"name": name, **_metrics(scores, MEMBER_METRICS)}
                for name, scores in self._members.items()
            ],
            "committee": {"rule": self._rule, **rules[self._rule]},
            "rules": rules,
        }


def _metrics(scores: Sequence[RuleScores], names: Sequence[str]) -> dict[str, Any]:
    if not scores:
        return {"top1": 0.0, "top5": 0.0, "interval": [0.0, 1.0], "ece": 0.0}
    whole = RuleScores.join(scores).metrics()
    return {name: whole[name] for name in names if name in whole}
