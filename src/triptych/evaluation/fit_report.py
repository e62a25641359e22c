"""The effect of fitting: metrics of members and rules before and after, cross-validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from triptych.ensemble.fit import CrossFit
from triptych.ensemble.rules import CASCADE
from triptych.ensemble.rules import RULES
from triptych.evaluation import metrics
from triptych.evaluation import rule_metrics
from triptych.evaluation.rule_metrics import RuleScores
from triptych.typing import Probs


def unfitted(probs: Probs) -> dict[str, Probs]:
    """The combined answers of each rule when nothing is fitted.

    All members have the same weight, and the cascade runs all of them.

    Args:
        probs: Shape (M, N, C).

    Returns:
        By rule, shape (N, C).
    """
    equal = [1.0] * len(probs)
    return {name: rule.function(probs, equal) for name, rule in RULES.items()}


def gains(
    crossed: CrossFit,
    probs: Probs,
    names: Sequence[str],
    costs: Sequence[float],
    *,
    coverage: float = 0.9,
) -> dict[str, Any]:
    """Metrics before and after fitting, as a JSON object; shares are in [0, 1], ``nll`` in nats.

    Args:
        crossed: Answers by committees that were fitted on the other folds.
        probs: The members' raw probabilities, shape (M, N, C).
        names: Of the members, length M.
        costs: Cost of running each, length M, as in the fit.
        coverage: How often prediction sets should contain the true class, in (0, 1).

    Returns:
        ``photos`` and ``folds``; the lists ``members`` and ``rules``, each with ``before`` and
        ``after`` (top1, its 95 % interval, ece, nll, brier), a rule also with ``sure`` (share
        and precision) and ``sets`` (coverage asked for, covered, mean size); ``cascade`` with
        its ``cost``, as a share of running all members, and ``asked``: the share of photos that
        took 1, 2, ... members.
    """
    targets, before = crossed.targets, unfitted(probs)
    after = {rule: rule_scores(crossed, rule, costs, coverage).metrics() for rule in RULES}
    return {
        "photos": len(targets),
        "folds": len(crossed.fold_params),
        "members": [
            {
                "name": name,
                "before": metrics.figures(raw, targets),
                "after": metrics.figures(fitted, targets),
            }
            for name, raw, fitted in zip(names, probs, crossed.members, strict=True)
        ],
        "rules": [
            {
                "name": rule,
                "before": metrics.figures(before[rule], targets),
                "after": metrics.figures(crossed.joined[rule], targets),
                "sure": {"share": scores["sure"], "precision": scores["sure_right"]},
                "sets": {
                    "coverage": coverage,
                    "covered": scores["coverage"],
                    "mean_size": scores["set_size"],
                },
            }
            for rule, scores in after.items()
        ],
        "cascade": {
            "cost": after[CASCADE]["cost"],
            "asked": (np.bincount(crossed.used - 1, minlength=len(names)) / len(targets)).tolist(),
        },
    }


def rule_scores(
    crossed: CrossFit, rule: str, costs: Sequence[float], coverage: float = 0.9
) -> RuleScores:
    """The scores of a rule, each fold with parameters fitted on the other folds.

    Args:
        crossed: Answers by committees that were fitted on the other folds, to N photos.
        rule: A name from `rules.RULES`.
        costs: Cost of running each member, length M, as in the fit.
        coverage: How often prediction sets should contain the true class, in (0, 1).

    Returns:
        Of N photos, fold after fold.

    Example:
        >>> from triptych.ensemble import fit
        >>> probs = np.tile([0.9, 0.1], (2, 100, 1))
        >>> crossed = fit.cross_fit(probs, np.zeros(100, int), [1, 3], np.arange(100) % 5)
        >>> float(rule_scores(crossed, "cascade", [1, 3]).cost.mean())
        0.25
    """
    parts = []
    for fold, params in enumerate(crossed.fold_params):
        photos = crossed.folds == fold
        joined, used = crossed.joined[rule][photos], crossed.used[photos]
        answers = rule_metrics.of_joined(params, rule, joined, used, costs)
        quantiles = params.rule(rule).quantiles
        parts.append(rule_metrics.score(answers, crossed.targets[photos], quantiles, coverage))
    return RuleScores.join(parts)
