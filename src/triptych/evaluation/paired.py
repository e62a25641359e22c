"""The loss of accuracy from one precision to another, on the same photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import CASCADE
from triptych.evaluation import metrics
from triptych.evaluation import rule_metrics
from triptych.typing import Labels
from triptych.typing import Probs

NAMES = ("f32", "int8")


class Loss(NamedTuple):
    """The loss of accuracy as a share of the photos, with its 95 % interval; negative for a gain.

    Args:
        share: In [-1, 1].
        low: Lower bound.
        high: Upper bound.
    """

    share: float
    low: float
    high: float


def paired(worse: int, better: int, total: int) -> Loss:
    """The difference in accuracy of two ways to classify the same photos.

    Args:
        worse: Photos that only the first way classifies correctly.
        better: Photos that only the second way classifies correctly.
        total: All photos, at least 1.

    Source: Agresti and Min, "Simple improved confidence intervals for comparing matched
    proportions", 2005: half a photo is added to each of the four cells.

    Example:
        >>> [round(bound, 3) for bound in paired(5, 3, 500)]
        [0.004, -0.008, 0.016]
    """
    more, cells = total + 2, worse + better + 1
    centre = (worse - better) / more
    spread = metrics.Z * math.sqrt(cells - (worse - better) ** 2 / more) / more
    return Loss((worse - better) / total, centre - spread, centre + spread)


def compare(
    pair: tuple[Probs, Probs],
    targets: Labels | None,
    *,
    names: Sequence[str],
    costs: Sequence[float],
    params: EnsembleParams,
    rule: str,
) -> dict[str, Any]:
    """Figures of a committee at f32 and at int8, as a JSON object; shares are in [0, 1].

    Args:
        pair: The raw probabilities of its members at either, each of shape (M, N, C).
        targets: Shape (N,); ``None`` where classes are not known.
        names: Of the members, length M.
        costs: Of running each, length M.
        params: How their predictions are calibrated and combined; fitted at f32, and used for both.
        rule: The committee's rule.

    Returns:
        ``photos``, ``judged_by`` (``"accuracy"``, or ``"agreement"``: then each photo that is
        answered otherwise is counted as lost) and the lists ``members`` and ``rules``, the
        committee's own first. Each has ``agreement`` on the top class, ``loss`` with its 95 %
        ``interval``, and ``f32`` and ``int8``: with known classes top1, its interval, ece, nll
        and brier; of a rule the share called ``sure``, and how often those are right; of the
        cascade its ``cost`` as a share of running all.
    """
    rules = dict.fromkeys([rule, CASCADE])
    tempered = [
        np.stack([params.calibrate(member, raw) for member, raw in enumerate(probs)])
        for probs in pair
    ]
    members = [
        {"name": name, **_against((tempered[0][member], tempered[1][member]), targets)}
        for member, name in enumerate(names)
    ]
    return {
        "photos": pair[0].shape[1],
        "judged_by": "agreement" if targets is None else "accuracy",
        "members": members,
        "rules": [{"name": name, **_rule(name, pair, targets, costs, params)} for name in rules],
    }


def _against(pair: tuple[Probs, Probs], targets: Labels | None) -> dict[str, Any]:
    before, after = (probs.argmax(axis=1) for probs in pair)
    reference = before if targets is None else targets
    was_correct, still = before == reference, after == reference
    loss = paired(
        int((was_correct & ~still).sum()), int((still & ~was_correct).sum()), len(reference)
    )
    return {
        "agreement": float((before == after).mean()),
        "loss": loss.share,
        "interval": [round(loss.low, 4), round(loss.high, 4)],
        **{
            name: {} if targets is None else metrics.figures(probs, targets)
            for name, probs in zip(NAMES, pair, strict=True)
        },
    }


def _rule(
    rule: str,
    pair: tuple[Probs, Probs],
    targets: Labels | None,
    costs: Sequence[float],
    params: EnsembleParams,
) -> dict[str, Any]:
    before, after = (rule_metrics.answer(params, rule, probs, costs) for probs in pair)
    compared = _against((before.probs, after.probs), targets)
    for name, answers in zip(NAMES, (before, after), strict=True):
        # Without known classes, the metrics that need them are left out.
        classes = answers.probs.argmax(axis=1) if targets is None else targets
        scores = rule_metrics.score(answers, classes).metrics()
        wanted = ["cost"] * (rule == CASCADE) + ["sure"] + ["sure_right"] * (targets is not None)
        compared[name] |= {key: scores[key] for key in wanted if scores[key] is not None}
    return compared
