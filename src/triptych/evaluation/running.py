"""How often members and rules are right, counted photo by photo so that little need be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np

from triptych.ensemble import conformal
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import CASCADE
from triptych.ensemble.rules import RULES
from triptych.evaluation import metrics
from triptych.typing import Probs


class RunningMetrics:
    """Counts, image by image, how members and rules fare; holds a few numbers of each image.

    Args:
        members: Names of the members.
        doubt: How the committee joins and reads their answers.
        costs: What asking each member costs, in any unit.
        rule: The committee's own rule.
        coverage: How often sets shall hold the true class.

    Example:
        >>> from triptych.ensemble import params
        >>> evaluation = RunningMetrics(["A", "B"], params.unfitted([1, 1], [1, 1]), [1, 1], "mean")
        >>> evaluation.add(np.array([[0.9, 0.1], [0.4, 0.6]]), truth=0)
        >>> evaluation.to_dict()["committee"]["top1"]
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
        self._members = {name: _Tally() for name in members}
        self._rules = {name: _Tally() for name in RULES}

    def add(self, probs: Probs, truth: int) -> None:
        """Count one image.

        Args:
            probs: What the members say themselves, shape (M, C).
            truth: Index of the true class.
        """
        calibrated = np.stack([self._params.calibrate(seat, own) for seat, own in enumerate(probs)])
        for tally, own in zip(self._members.values(), calibrated, strict=True):
            tally.add(own, truth)
        for rule, tally in self._rules.items():
            joined, cost = self._join(rule, probs, calibrated)
            tally.add(joined, truth, cost=cost)
            if self._params.rule(rule).is_fitted:
                level = conformal.quantile_for(self._params.rule(rule).quantiles, self._coverage)
                tally.add_set(joined, truth, level)

    def _join(self, rule: str, probs: Probs, calibrated: Probs) -> tuple[Probs, float]:
        if rule != CASCADE:
            return self._params.join(rule, calibrated[:, None])[0], 1.0
        asked = self._params.run_cascade(lambda seat, still: probs[seat][None], 1)
        stages = self._params.stages[: int(asked.used[0])]
        return asked.joined[0], sum(self._costs[s.member] for s in stages) / sum(self._costs)

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON: ``members``, ``committee`` and ``rules``; shares in [0, 1].

        Each has ``top1`` with its 95 % ``interval``, ``top5`` and ``ece``; a rule has its
        ``cost``, as a share of asking all members, too, and ``coverage`` and ``set_size`` where
        the committee was fitted.
        """
        rules = {rule: tally.to_dict() for rule, tally in self._rules.items()}
        return {
            "images": len(self._rules[self._rule].ranks),
            "members": [{"name": name, **tally.to_dict()} for name, tally in self._members.items()],
            "committee": {"rule": self._rule, **rules[self._rule]},
            "rules": rules,
        }


@dataclass
class _Tally:
    ranks: list[int] = field(default_factory=list)
    tops: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, probs: Probs, truth: int, *, cost: float | None = None) -> None:
        self.ranks.append(metrics.truth_rank(probs, truth))
        self.tops.append(float(probs.max()))
        if cost is not None:
            self.costs.append(cost)

    def add_set(self, probs: Probs, truth: int, level: float) -> None:
        score = conformal.scores(probs[None], np.array([truth]))[0]
        self.covered.append(bool(score <= level))
        self.sizes.append(int(conformal.set_sizes(probs, level)))

    def to_dict(self) -> dict[str, Any]:
        ranks = np.array(self.ranks)
        right = int((ranks < 1).sum())
        answers = metrics.bins_of(np.array(self.tops), ranks < 1) if self.ranks else []
        return {
            "top1": _mean(ranks < 1),
            "top5": _mean(ranks < 5),
            "interval": [round(bound, 4) for bound in metrics.wilson(right, len(ranks))],
            "ece": metrics.gap(answers) if answers else 0.0,
            **({"cost": _mean(self.costs)} if self.costs else {}),
            **({"coverage": _mean(self.covered)} if self.covered else {}),
            **({"set_size": _mean(self.sizes)} if self.sizes else {}),
        }


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else 0.0
