"""Fitting everything that a committee's doubt is made of, in one go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.ensemble import cascade
from triptych.ensemble import conformal
from triptych.ensemble import rules as ensemble_rules
from triptych.ensemble.cascade import Stage
from triptych.ensemble.fit import cascade_thresholds
from triptych.ensemble.fit.confidence import sure_from
from triptych.ensemble.fit.temperature import fit_temperature
from triptych.ensemble.fit.weights import choose_weights
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.params import RuleParams
from triptych.ensemble.rules import RULES
from triptych.typing import Labels
from triptych.typing import Probs

# Photos; see `fit_temperature`. A photo or so says little, hundreds outvote it.
PRIOR_PHOTOS = 10.0
# Photos times classes: more would change little and take long.
ENOUGH = 4_000_000


def fit(
    probs: Probs,
    truth: Labels,
    costs: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    tolerance: float = 0.001,
    precision: float = 0.95,
) -> EnsembleParams:
    """Fit a committee's temperatures, weights, cascade, thresholds and sets.

    Each member is calibrated, and each rule's joined answers are once more: the mean of
    calibrated members is too modest. Any number of photos will do; with few, the temperatures
    stay near 1, the cascade never stops, nothing is sure and sets hold every class.

    Args:
        probs: The members' own out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        costs: What asking each member costs, in any unit, such as multiply-adds; length M.
        weights: Of the members under ``"weighted"`` and in the cascade, length M; chosen
            from the photos for ``None``.
        tolerance: The share of right answers that the cascade may lose, as far as one can
            tell: 0.001 is 0.1 points.
        precision: How often an answer must be right to be called sure; see `sure_from`.

    Raises:
        errors.SettingError: The arguments do not fit together.

    Source: Rahaman and Thiery, "Uncertainty Quantification and Deep Ensembles", 2021: pool, then
    calibrate.

    Example:
        >>> probs = np.tile([0.9, 0.1], (2, 100, 1))
        >>> doubt = fit(probs, np.zeros(100, int), costs=[1, 3])
        >>> doubt.weights, doubt.stages[0].threshold < 1
        ((0.5, 0.5), True)
    """
    _check(probs, truth, costs, tolerance=tolerance, precision=precision)
    step = max(1, -(-probs[0].size // ENOUGH))
    probs, truth = probs[:, ::step], truth[::step]
    temperatures = [fit_temperature(own, truth, prior_photos=PRIOR_PHOTOS) for own in probs]
    tempered = np.stack(
        [ensemble_rules.temper(*pair) for pair in zip(probs, temperatures, strict=True)]
    )
    weights = choose_weights(tempered, truth) if weights is None else weights
    stages = _stages(tempered, truth, costs, weights=weights, tolerance=tolerance)
    asked = cascade.run(
        lambda seat, still: tempered[seat, still], len(truth), stages=stages, weights=weights
    )
    rules = {
        name: _promise(asked.joined, truth, 1.0, precision)
        if rule.in_stages
        else _rule(rule.function(tempered, weights), truth, precision)
        for name, rule in RULES.items()
    }
    return EnsembleParams(
        temperatures=tuple(temperatures),
        weights=tuple(float(weight) for weight in weights),
        stages=tuple(stages),
        rules=rules,
        provenance={"photos": len(truth), "tolerance": tolerance, "precision": precision},
    )


def _rule(joined: Probs, truth: Labels, precision: float) -> RuleParams:
    temperature = fit_temperature(joined, truth, prior_photos=PRIOR_PHOTOS)
    return _promise(ensemble_rules.temper(joined, temperature), truth, temperature, precision)


def _promise(joined: Probs, truth: Labels, temperature: float, precision: float) -> RuleParams:
    return RuleParams(
        temperature=temperature,
        sure=sure_from(joined, truth, precision=precision),
        quantiles=conformal.quantiles(conformal.scores(joined, truth.astype(np.intp))),
    )


def _stages(
    tempered: Probs,
    truth: Labels,
    costs: Sequence[float],
    *,
    weights: Sequence[float],
    tolerance: float,
) -> list[Stage]:
    """The members that count, cheapest first, and when each may decide."""
    counting = [seat for seat, weight in enumerate(weights) if weight]
    seats = sorted(counting, key=lambda seat: (costs[seat], -weights[seat]))
    temperatures, prefixes = [], []
    for asked in range(1, len(seats) + 1):
        some = seats[:asked]
        joined = ensemble_rules.weighted(tempered[some], [weights[seat] for seat in some])
        temperatures.append(fit_temperature(joined, truth, prior_photos=PRIOR_PHOTOS))
        prefixes.append(ensemble_rules.temper(joined, temperatures[-1]))
    found = cascade_thresholds.thresholds(
        prefixes, truth, [costs[seat] for seat in seats], tolerance=tolerance
    )
    return [Stage(*stage) for stage in zip(seats, found, temperatures, strict=True)]


def _check(
    probs: Probs, truth: Labels, costs: Sequence[float], *, tolerance: float, precision: float
) -> None:
    if probs.ndim != 3 or truth.shape != probs.shape[1:2] or len(costs) != len(probs):
        raise errors.SettingError(
            f"Got probs of shape {probs.shape}, truth of shape {truth.shape} and {len(costs)} "
            "costs; expected (members, photos, classes), (photos,) and one cost per member."
        )
    if not len(truth):
        raise errors.SettingError("Got no photos to fit on; expected at least one.")
    if not (tolerance >= 0 and 0 < precision < 1):
        raise errors.SettingError(
            f"Got a tolerance of {tolerance} and a precision of {precision}; expected shares, "
            "such as 0.001 and 0.95."
        )
