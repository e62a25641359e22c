"""Cross-validating a fit: each photo is answered by parameters that were fitted without it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import errors
from triptych.ensemble.fit.fitting import fit
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import CASCADE
from triptych.ensemble.rules import RULES
from triptych.typing import Indices
from triptych.typing import Labels
from triptych.typing import Probs


@dataclass(frozen=True)
class CrossFit:
    """Answers to N photos, each by a committee that was fitted on the other folds.

    Args:
        targets: Shape (N,).
        folds: Index in ``fold_params`` of what answered each photo, shape (N,).
        fold_params: What was fitted without each fold.
        members: The members' calibrated answers, shape (M, N, C).
        joined: By rule, the calibrated answers, shape (N, C).
        used: How many stages of the cascade each photo took, shape (N,).
    """

    targets: Labels
    folds: Indices
    fold_params: tuple[EnsembleParams, ...]
    members: Probs
    joined: Mapping[str, Probs]
    used: Indices


def cross_fit(
    probs: Probs,
    targets: Labels,
    costs: Sequence[float],
    folds: npt.NDArray[np.integer[Any]],
    **settings: Any,
) -> CrossFit:
    """Cross-validate a fit: answer each fold's photos by what was fitted on the other folds.

    Args:
        probs: The members' raw out-of-fold probabilities, shape (M, N, C).
        targets: Shape (N,).
        costs: As for `fit`.
        folds: Each photo's fold, from 0, at least 2 of them; shape (N,).
        settings: As for `fit`: ``weights``, ``tolerance``, ``precision``.

    Raises:
        errors.SettingError: The arguments do not fit together.

    Example:
        >>> probs = np.tile([0.9, 0.1], (2, 100, 1))
        >>> crossed = cross_fit(probs, np.zeros(100, int), [1, 3], np.arange(100) % 5)
        >>> crossed.joined["mean"].shape, len(crossed.fold_params)
        ((100, 2), 5)
    """
    names, fold_of = np.unique(folds, return_inverse=True)
    if folds.shape != targets.shape or len(names) < 2 or names[0] < 0:
        raise errors.SettingError(
            f"Got folds {names.tolist()} for {len(folds)} of {len(targets)} photos; expected a "
            "fold from 0 for each photo, and at least 2 of them."
        )
    members = np.empty_like(probs)
    joined = {rule: np.empty_like(probs[0]) for rule in RULES}
    used, fold_params = np.zeros(len(targets), np.intp), []
    for fold in range(len(names)):
        rest, held_out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        params = fit(probs[:, rest], targets[rest], costs, **settings)
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
    return CrossFit(targets, fold_of, tuple(fold_params), members, joined, used)
