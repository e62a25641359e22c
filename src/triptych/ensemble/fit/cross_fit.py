"""Measuring a fit on photos that it did not see."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import errors
from triptych.ensemble import conformal
from triptych.ensemble.fit.fitting import fit
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import CASCADE
from triptych.ensemble.rules import RULES
from triptych.typing import Indices
from triptych.typing import Labels
from triptych.typing import Mask
from triptych.typing import Probs


@dataclass(frozen=True)
class CrossFit:
    """Answers to N photos, each by a committee that was fitted on the other folds.

    Args:
        truth: Shape (N,).
        folds: Shape (N,): which of ``doubts`` answered each photo.
        doubts: What was fitted without each fold.
        members: The members' calibrated answers, shape (M, N, C).
        joined: By rule, the calibrated answers, shape (N, C).
        used: Shape (N,): how many stages of the cascade each photo took.
        cost: Shape (N,): what these stages came to, in the unit of the costs.
    """

    truth: Labels
    folds: Indices
    fold_params: tuple[EnsembleParams, ...]
    members: Probs
    joined: Mapping[str, Probs]
    used: Indices
    cost: Probs

    def sure(self, rule: str) -> Mask:
        """Which answers are called sure, shape (N,)."""
        least = np.array([params.rule(rule).sure for params in self.fold_params])
        return np.asarray(self.joined[rule].max(axis=1) >= least[self.folds])

    def sizes(self, rule: str, coverage: float) -> Indices:
        """How many classes each photo's set holds, shape (N,).

        Args:
            rule: Whose sets.
            coverage: How often they were asked to hold the true class, in (0, 1).
        """
        found = np.zeros(len(self.truth), np.intp)
        for fold, quantile in enumerate(self._quantiles(rule, coverage)):
            own = self.folds == fold
            found[own] = conformal.set_sizes(self.joined[rule][own], quantile)
        return found

    def covered(self, rule: str, coverage: float) -> Mask:
        """Whether each photo's set holds the true class, shape (N,); as `sizes`."""
        scores = conformal.scores(self.joined[rule], self.truth.astype(np.intp))
        return np.asarray(scores <= np.array(self._quantiles(rule, coverage))[self.folds])

    def _quantiles(self, rule: str, coverage: float) -> list[float]:
        return [
            conformal.quantile_for(params.rule(rule).quantiles, coverage)
            for params in self.fold_params
        ]


def cross_fit(
    probs: Probs,
    truth: Labels,
    costs: Sequence[float],
    folds: npt.NDArray[np.integer[Any]],
    **settings: Any,
) -> CrossFit:
    """Fit without each fold in turn and answer its photos, so that no report flatters.

    Args:
        probs: The members' own out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        costs: As for `fit`.
        folds: Shape (N,): each photo's fold, from 0; at least 2 of them.
        settings: As for `fit`: ``weights``, ``tolerance``, ``precision``.

    Raises:
        errors.SettingError: The arguments do not fit together.

    Example:
        >>> probs = np.tile([0.9, 0.1], (2, 100, 1))
        >>> crossed = cross_fit(probs, np.zeros(100, int), [1, 3], np.arange(100) % 5)
        >>> crossed.joined["mean"].shape, float(crossed.covered("mean", 0.9).mean())
        ((100, 2), 1.0)
    """
    names, places = np.unique(folds, return_inverse=True)
    if folds.shape != truth.shape or len(names) < 2 or names[0] < 0:
        raise errors.SettingError(
            f"Got folds {names.tolist()} for {len(folds)} of {len(truth)} photos; expected a "
            "fold from 0 for each photo, and at least 2 of them."
        )
    members = np.empty_like(probs)
    joined = {rule: np.empty_like(probs[0]) for rule in RULES}
    used, cost = np.zeros(len(truth), np.intp), np.zeros(len(truth))
    fold_params = []
    for fold in range(len(names)):
        rest, own = np.flatnonzero(places != fold), np.flatnonzero(places == fold)
        params = fit(probs[:, rest], truth[rest], costs, **settings)
        fold_params.append(params)
        held = probs[:, own]
        members[:, own] = [params.calibrate(seat, answers) for seat, answers in enumerate(held)]
        for rule in set(RULES) - {CASCADE}:
            joined[rule][own] = params.join(rule, members[:, own])
        asked = params.run_cascade(_answers(held), len(own))
        joined[CASCADE][own], used[own] = asked.joined, asked.used
        cost[own] = np.cumsum([costs[stage.member] for stage in params.stages])[asked.used - 1]
    return CrossFit(truth, places, tuple(fold_params), members, joined, used, cost)


def _answers(probs: Probs) -> Callable[[int, Indices], Probs]:
    return lambda seat, still: probs[seat, still]
