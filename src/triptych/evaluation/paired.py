"""The loss of accuracy from one precision to another, on the same photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

from triptych.ensemble.fit.calibration import clopper_pearson_lower
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.multilabel import Threshold
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.rules import CASCADE
from triptych.ensemble.rules import FITTED_RULE
from triptych.evaluation import metrics
from triptych.evaluation import multilabel
from triptych.evaluation import rule_metrics
from triptych.typing import Array
from triptych.typing import Labels
from triptych.typing import Mask
from triptych.typing import Probs

NAMES = ("f32", "int8")
# Draws of the bootstrap behind an interval of F1.
DRAWS = 1000


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


def compare_multilabel(
    pair: tuple[Probs, Probs],
    targets: Mask | None,
    *,
    names: Sequence[str],
    params: MultilabelParams,
) -> dict[str, Any]:
    """`compare` for a multi-label committee, whose loss is one of micro-averaged F1.

    Args:
        pair: The raw probabilities of its members at either precision, each of shape (M, N, C).
        targets: Which classes hold, bool, shape (N, C); ``None`` where that is not known: the
            answers at f32 take their place.
        names: Of the members, length M.
        params: How their predictions are calibrated, combined and compared with thresholds.

    Returns:
        ``photos``, ``judged_by`` (``"f1"`` or ``"agreement"``) and the lists ``members`` and
        ``rules``. Each has ``agreement``, the share of photos with the same classes, ``loss`` with
        its 95 % ``interval``, and ``f32`` and ``int8``: with known classes the figures of
        `multilabel.scores`. Where a precision was stated and classes are known, ``per_class`` tells
        for each class its ``target``, its ``status`` (see `Threshold`), how many photos are
        ``answered`` with it at ``f32`` and ``int8``, how many of them are ``right``, and whether
        int8 breaks a promise: beyond chance (5 %) too few are right, and at f32 they are not.

    Source: Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979.
    """
    calibrated = [
        np.stack([params.calibrate(member, raw) for member, raw in enumerate(probs)])
        for probs in pair
    ]
    joined = [params.join(FITTED_RULE, probs) for probs in calibrated]
    return {
        "task": multilabel.TASK,
        "photos": pair[0].shape[1],
        "judged_by": "agreement" if targets is None else "f1",
        "members": [
            {"name": name, **_sets_against([each[member] for each in calibrated], targets, params)}
            for member, name in enumerate(names)
        ],
        "rules": [{"name": FITTED_RULE, **_sets_against(joined, targets, params)}],
        "per_class": [] if targets is None else _precisions(joined, targets, params),
    }


def _precisions(
    pair: Sequence[Probs], targets: Mask, params: MultilabelParams
) -> list[dict[str, Any]]:
    if all(threshold.target is None for threshold in params.thresholds):
        return []
    counted = [multilabel.counts(params.holds(probs), targets) for probs in pair]
    rows = []
    for label, threshold in enumerate(params.thresholds):
        counts = [(int(right[label]), int(answered[label])) for right, answered, _ in counted]
        is_below = [_is_below(*each, threshold) for each in counts]
        rows.append(
            {
                "target": threshold.target,
                "status": threshold.status,
                **{
                    name: {"answered": answered, "right": right}
                    for name, (right, answered) in zip(NAMES, counts, strict=True)
                },
                "breaks_promise": threshold.status == PROMISED and is_below == [False, True],
            }
        )
    return rows


def _is_below(right: int, answered: int, threshold: Threshold) -> bool:
    """Whether the upper confidence bound (95 %) of the share that is right is below the target."""
    if not answered or threshold.target is None:
        return False
    wrong = clopper_pearson_lower(np.array(answered - right), np.array(answered))
    return bool(1 - wrong < threshold.target)


def _sets_against(
    pair: Sequence[Probs], targets: Mask | None, params: MultilabelParams
) -> dict[str, Any]:
    before, after = (params.holds(probs) for probs in pair)
    reference = before if targets is None else targets
    weights = np.random.default_rng(0).multinomial(
        len(reference), np.full(len(reference), 1 / len(reference)), size=DRAWS
    )
    drawn = [_micro_f1(weights, holds, reference) for holds in (before, after)]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    once = np.ones((1, len(reference)))
    f32, int8 = (_micro_f1(once, holds, reference)[0] for holds in (before, after))
    return {
        "agreement": float((before == after).all(axis=1).mean()),
        "loss": float(f32 - int8),
        "interval": [round(float(low), 4), round(float(high), 4)],
        **{
            name: {} if targets is None else multilabel.scores(probs, holds, targets)
            for name, probs, holds in zip(NAMES, pair, (before, after), strict=True)
        },
    }


def _micro_f1(weights: Array, holds: Mask, targets: Mask) -> Array:
    """Micro-averaged F1 with each photo counted some times, shape (draws, N); 1 without classes."""
    right, answered, positives = (
        weights @ part for part in multilabel.counts(holds, targets, axis=1)
    )
    total = answered + positives
    return np.where(total > 0, 2 * right / np.maximum(total, 1), 1.0)
