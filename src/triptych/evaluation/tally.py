"""How often members and rules are right, counted photo by photo so that nothing need be kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import combine
from triptych.evaluation import metrics


class Evaluation:
    """Counts, image by image, how members and rules fare; holds ranks only, so it stays small.

    Args:
        members: Names of the members.
        weights: Their weights, for the rule ``"weighted"``.
        rule: The committee's own rule.

    Example:
        >>> evaluation = Evaluation(["A", "B"], [1, 1], "mean")
        >>> evaluation.add(np.array([[0.9, 0.1], [0.4, 0.6]]), truth=0)
        >>> evaluation.to_dict()["committee"]
        {'rule': 'mean', 'top1': 1.0, 'top5': 1.0, 'interval': [0.2065, 1.0]}
    """

    def __init__(self, members: Sequence[str], weights: Sequence[float], rule: str) -> None:
        self._weights = weights
        self._rule = rule
        self._member_ranks: dict[str, list[int]] = {name: [] for name in members}
        self._rule_ranks: dict[str, list[int]] = {name: [] for name in combine.RULES}

    def add(self, probs: npt.NDArray[np.floating], truth: int) -> None:
        """Count one image.

        Args:
            probs: Shape (M, C), one row per member.
            truth: Index of the true class.
        """
        for ranks, own in zip(self._member_ranks.values(), probs, strict=True):
            ranks.append(metrics.truth_rank(own, truth))
        for rule, ranks in self._rule_ranks.items():
            joined = combine.join(rule, probs[:, None], self._weights)[0]
            ranks.append(metrics.truth_rank(joined, truth))

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON: ``members``, ``committee`` and ``rules``, accuracies in [0, 1]."""
        rules = {rule: _accuracy(ranks) for rule, ranks in self._rule_ranks.items()}
        return {
            "images": len(self._rule_ranks[self._rule]),
            "members": [
                {"name": name, **_accuracy(ranks)} for name, ranks in self._member_ranks.items()
            ],
            "committee": {"rule": self._rule, **rules[self._rule]},
            "rules": rules,
        }


def _accuracy(ranks: list[int]) -> dict[str, Any]:
    total = len(ranks)
    first = sum(rank < 1 for rank in ranks)
    return {
        "top1": first / total if total else 0.0,
        "top5": sum(rank < 5 for rank in ranks) / total if total else 0.0,
        "interval": [round(bound, 4) for bound in metrics.wilson(first, total)],
    }
