"""Measuring a fit on photos that it did not see."""

from __future__ import annotations

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
        folds: Index in ``fold_params`` of what answered each photo, shape (N,).
        fold_params: What was fitted without each fold.
        members: The members' calibrated answers, shape (M, N, C).
        joined: By rule, the calibrated answers, shape (N, C).
        used: How many stages of the cascade each photo took, shape (N,).
        cost: Cost of these stages, in the unit of the costs, shape (N,).
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
        """The size of each photo's prediction set, shape (N,).

        Args:
            rule: The rule that answers.
            coverage: How often sets are to hold the true class, in (0, 1).
        """
        sizes = np.zeros(len(self.truth), np.intp)
        for fold, quantile in enumerate(self._quantiles(rule, coverage)):
            held_out = self.folds == fold
            sizes[held_out] = conformal.set_sizes(self.joined[rule][held_out], quantile)
        return sizes

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
    """Cross-validate a fit: answer each fold's photos by what was fitted on the other folds.

    Args:
        probs: The members' raw out-of-fold probabilities, shape (M, N, C).
        truth: Shape (N,).
        costs: As for `fit`.
        folds: Each photo's fold, from 0, at least 2 of them; shape (N,).
        settings: As for `fit`: ``weights``, ``tolerance``, ``precision``.

    Raises:
        errors.SettingError: The arguments do not fit together.

    Example:
        >>> probs = np.tile([0.9, 0.1], (2, 100, 1))
        >>> crossed = cross_fit(probs, np.zeros(100, int), [1, 3], np.arange(100) % 5)
        >>> crossed.joined["mean"].shape, float(crossed.covered("mean", 0.9).mean())
        ((100, 2), 1.0)
    """
    names, fold_of = np.unique(folds, return_inverse=True)
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
        rest, held_out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        params = fit(probs[:, rest], truth[rest], costs, **settings)
        fold_params.append(params)
        raw = probs[:, held_out]
        members[:, held_out] = [params.calibrate(member, row) for member, row in enumerate(raw)]
        for rule in set(RULES) - {CASCADE}:
            joined[rule][held_out] = params.join(rule, members[:, held_out])
        answers = params.run_cascade(
            lambda member, which: raw[member, which],  # noqa: B023  # is called at once
            len(held_out),
        )
        joined[CASCADE][held_out], used[held_out] = answers.joined, answers.used
        stage_costs = np.cumsum([costs[stage.member] for stage in params.stages])
        cost[held_out] = stage_costs[answers.used - 1]
    return CrossFit(truth, fold_of, tuple(fold_params), members, joined, used, cost)
