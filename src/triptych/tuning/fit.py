"""Fit a committee on labelled photos with cross-validation, and store the fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import bundles
from triptych.ensemble import fit as ensemble_fit
from triptych.ensemble.fit import CrossFit
from triptych.ensemble.params import EnsembleParams
from triptych.inference import committee as committees
from triptych.inference import params_store
from triptych.inference.committee import Committee
from triptych.tuning import predictions
from triptych.tuning.predictions import LabelledPredictions


@dataclass(frozen=True)
class FitConfig:
    """Configuration of a fit.

    Args:
        folds: Number of cross-validation folds, at least 2.
        tolerance: The accuracy that the cascade may lose, as a share.
        precision: Target precision of answers that are called sure, in (0, 1).
        weights: Weights of the members; ``None`` fits them.
        seed: Seed of the folds.
    """

    folds: int = 5
    tolerance: float = 0.001
    precision: float = 0.95
    weights: tuple[float, ...] | None = None
    seed: int = 0


@dataclass(frozen=True)
class FitResult:
    """Parameters fitted on all photos, and the cross-validation of such a fit.

    Args:
        params: Fitted on all photos.
        crossed: Predictions for each photo by a committee fitted on the other folds.
    """

    params: EnsembleParams
    crossed: CrossFit


def fit(
    scored: LabelledPredictions, costs: Sequence[float], config: FitConfig, *, data: str
) -> FitResult:
    """Fit a committee on labelled photos, and measure the fit across folds.

    Args:
        scored: The predictions of its members for the photos.
        costs: Cost of running each member, in any unit.
        config: Folds and targets.
        data: Description of the photos for the record.

    Raises:
        errors.FitError: There are too few different photos for the folds.
        errors.SettingError: The config is impossible.
    """
    folds = predictions.folds(scored.paths, config.folds, seed=config.seed)
    how: dict[str, Any] = {
        "tolerance": config.tolerance,
        "precision": config.precision,
        "weights": config.weights,
    }
    crossed = ensemble_fit.cross_fit(scored.probs, scored.targets, costs, folds, **how)
    params = ensemble_fit.fit(scored.probs, scored.targets, costs, **how)
    provenance = {"data": data, **params.provenance, "folds": config.folds}
    return FitResult(dataclasses.replace(params, provenance=provenance), crossed)


def keep(home: Path, name: str, committee: Committee, params: EnsembleParams) -> Path:
    """Save fitted parameters, so that the committee is loaded with them from now on.

    Args:
        home: Home folder.
        name: Name the committee was loaded by, from the zoo or of a bundle.
        committee: The committee that it was fitted for.
        params: The fitted parameters.

    Returns:
        The file of a committee from the zoo, or the folder of a bundle's next version.
    """
    if committees.is_from_zoo(name):
        members = [member.name for member in committee.members]
        return params_store.save(home, committee.name, members, params)
    return bundles.with_params(bundles.find(home, name), home, params).folder
