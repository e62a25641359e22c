"""Fitting all parameters of a committee in one go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.ensemble import cascade
from triptych.ensemble import conformal
from triptych.ensemble import params as ensemble_params
from triptych.ensemble import rules as ensemble_rules
from triptych.ensemble.cascade import Stage
from triptych.ensemble.fit import cascade_thresholds
from triptych.ensemble.fit.calibration import fit_temperature
from triptych.ensemble.fit.calibration import sure_threshold
from triptych.ensemble.fit.weights import choose_weights
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.params import RuleParams
from triptych.ensemble.rules import RULES
from triptych.typing import Labels
from triptych.typing import Probs

# Weight of the prior for the temperature 1; see `fit_temperature`. Hundreds of photos outvote it.
PRIOR_PHOTOS = 10.0
# Photos times classes; more photos would change little and take long.
MAX_PROBS = 4_000_000


def fit(
    probs: Probs,
    targets: Labels,
    costs: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    tolerance: float = 0.001,
    precision: float = 0.95,
) -> EnsembleParams:
    """Fit a committee's temperatures, weights, cascade stages and prediction sets.

    Each member is calibrated, and each rule's combined answers are once more: the mean of
    calibrated members is underconfident. Any number of photos will do; with few, the temperatures
    stay near 1, the cascade never stops, nothing is sure and sets hold every class.

    Args:
        probs: The members' raw out-of-fold probabilities, shape (M, N, C).
        targets: Shape (N,).
        costs: Cost of running each member, in any unit, such as multiply-adds; length M.
        weights: Weights of the members for ``"weighted"`` and the cascade, length M; chosen from
            the photos for ``None``.
        tolerance: The share of right answers that the cascade may lose, as far as one can
            tell: 0.001 is 0.1 points.
        precision: How often an answer must be right to be called sure; see `sure_threshold`.

    Raises:
        errors.SettingError: The arguments do not fit together.

    Source: Rahaman and Thiery, "Uncertainty Quantification and Deep Ensembles", 2021: pool, then
    calibrate.

    Example:
        >>> probs = np.tile([0.9, 0.1], (2, 100, 1))
        >>> params = fit(probs, np.zeros(100, int), costs=[1, 3])
        >>> params.weights, params.stages[0].threshold < 1
        ((0.5, 0.5), True)
    """
    _check(probs, targets, costs, tolerance=tolerance, precision=precision)
    step = max(1, -(-probs[0].size // MAX_PROBS))
    probs, targets = probs[:, ::step], targets[::step]
    temperatures = [fit_temperature(raw, targets, prior_photos=PRIOR_PHOTOS) for raw in probs]
    pairs = zip(probs, temperatures, strict=True)
    calibrated = np.stack([ensemble_rules.temper(*pair) for pair in pairs])
    weights = choose_weights(calibrated, targets) if weights is None else weights
    stages = _stages(calibrated, targets, costs, weights=weights, tolerance=tolerance)
    rules: dict[str, RuleParams] = {}
    for name, rule in RULES.items():
        if rule.in_stages:
            temperature = 1.0  # its stages have their own
            joined = cascade.run(
                lambda member, which: calibrated[member, which],
                len(targets),
                stages=stages,
                weights=weights,
            ).joined
        else:
            joined = rule.function(calibrated, weights)
            temperature = fit_temperature(joined, targets, prior_photos=PRIOR_PHOTOS)
            joined = ensemble_rules.temper(joined, temperature)
        rules[name] = RuleParams(
            temperature=temperature,
            sure=sure_threshold(joined, targets, precision=precision),
            quantiles=conformal.quantiles(conformal.scores(joined, targets.astype(np.intp))),
        )
    return EnsembleParams(
        temperatures=tuple(temperatures),
        weights=tuple(float(weight) for weight in weights),
        stages=tuple(stages),
        rules=rules,
        provenance={"photos": len(targets), "tolerance": tolerance, "precision": precision},
    )


def fit_and_prune(
    probs: Probs, targets: Labels, costs: Sequence[float]
) -> tuple[list[float], EnsembleParams]:
    """Choose weights for candidates, and fit the committee of those whose weight is not 0.

    Args:
        probs: The candidates' raw out-of-fold probabilities, shape (M, N, C).
        targets: Shape (N,); where N is 0 all candidates stay, and nothing is fitted.
        costs: Cost of running each; length M.

    Returns:
        A weight per candidate, summing to 1, and the parameters of those above 0, in order.

    Example:
        >>> probs = np.stack([np.tile([0.9, 0.1], (200, 1)), np.tile([0.0, 1.0], (200, 1))])
        >>> weights, params = fit_and_prune(probs, np.zeros(200, int), [1, 1])
        >>> weights, params.weights
        ([1.0, 0.0], (1.0,))
    """
    if not len(targets):
        equal = [1 / len(probs)] * len(probs)
        return equal, ensemble_params.unfitted(equal, costs)
    params = fit(probs, targets, costs)
    weights = list(params.weights)
    nonzero = [member for member, weight in enumerate(weights) if weight]
    if len(nonzero) < len(weights):
        kept_weights, kept_costs = [weights[m] for m in nonzero], [costs[m] for m in nonzero]
        params = fit(probs[nonzero], targets, kept_costs, weights=kept_weights)
    return weights, params


def _stages(
    calibrated: Probs,
    targets: Labels,
    costs: Sequence[float],
    *,
    weights: Sequence[float],
    tolerance: float,
) -> list[Stage]:
    """The members that have a weight, cheapest first, and when each may decide."""
    weighted = [member for member, weight in enumerate(weights) if weight]
    order = sorted(weighted, key=lambda member: (costs[member], -weights[member]))
    temperatures, prefixes = [], []
    for count in range(1, len(order) + 1):
        first = order[:count]
        joined = ensemble_rules.weighted(calibrated[first], [weights[m] for m in first])
        temperatures.append(fit_temperature(joined, targets, prior_photos=PRIOR_PHOTOS))
        prefixes.append(ensemble_rules.temper(joined, temperatures[-1]))
    thresholds = cascade_thresholds.thresholds(
        prefixes, targets, [costs[member] for member in order], tolerance=tolerance
    )
    return [Stage(*stage) for stage in zip(order, thresholds, temperatures, strict=True)]


def _check(
    probs: Probs, targets: Labels, costs: Sequence[float], *, tolerance: float, precision: float
) -> None:
    if probs.ndim != 3 or targets.shape != probs.shape[1:2] or len(costs) != len(probs):
        raise errors.SettingError(
            f"Got probs of shape {probs.shape}, targets of shape {targets.shape} and {len(costs)} "
            "costs; expected (members, photos, classes), (photos,) and one cost per member."
        )
    if not len(targets):
        raise errors.SettingError("Got no photos to fit on; expected at least one.")
    if not (tolerance >= 0 and 0 < precision < 1):
        raise errors.SettingError(
            f"Got a tolerance of {tolerance} and a precision of {precision}; expected shares, "
            "such as 0.001 and 0.95."
        )
