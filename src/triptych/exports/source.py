"""What an export is made of, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from triptych.bundles.reading import MULTILABEL
from triptych.engines.options import INT8
from triptych.ensemble import conformal
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE
from triptych.typing import Float32Array
from triptych.typing import Mask

# The output `status` is an index into these; the last says that nothing was promised.
STATUSES = (SURE, UNSURE, NONE, None)
# The key of the metadata in a file.
KEY = "triptych"


@dataclass(frozen=True)
class Source:
    """A committee to be exported.

    Args:
        committee: Whose members, rule and fitted parameters go into the file.
        networks: The ``.xml`` file of each member, at the precision of the export.
        precision: ``"f32"`` or ``"int8"``.
        coverage: How often prediction sets are to hold the true class, in (0, 1).
        home: Home folder, where a format keeps what it needs.
    """

    committee: Committee
    networks: tuple[Path, ...]
    precision: str = "f32"
    coverage: float = 0.9
    home: Path = Path()

    @property
    def quantile(self) -> float | None:
        """The quantile of prediction sets; ``None`` where this coverage cannot be promised."""
        fitted = self.committee.params.rule(self.committee.rule)
        if not fitted.is_fitted:
            return None
        quantile = conformal.quantile_for(fitted.quantiles, self.coverage)
        return quantile if quantile < float("inf") else None

    @property
    def metadata(self) -> dict[str, Any]:
        """What a program that reads the file needs to know, a JSON object.

        Of a multi-label committee it also has ``task`` and ``thresholds``, one for each class.
        """
        committee, params = self.committee, self.committee.params
        missing = params.missing_promise(committee.rule)
        return {
            "triptych": metadata.version("triptych"),
            "name": committee.name,
            "labels": [{"name": label.name, "id": label.id} for label in committee.labels],
            "statuses": list(STATUSES),
            "rule": committee.rule,
            "precision": self.precision,
            "coverage": self.coverage if self.quantile is not None else None,
            "members": [
                {"name": member.name, "recipe": member.recipe.to_dict()}
                for member in committee.members
            ],
            "features_of": committee.members[params.stages[0].member].name,
            # A JPEG may be decoded in a smaller size, as long as its shorter side keeps so much.
            "enough_px": recipe.enough(member.recipe for member in committee.members),
            "status_reason": missing.message if missing else None,
            "warning": committee.warning,
            **self._of_multilabel(),
        }

    def _of_multilabel(self) -> dict[str, Any]:
        params = self.committee.multilabel
        if params is None:
            return {}
        return {
            "task": MULTILABEL,
            "thresholds": [
                {
                    "value": each.value,
                    "chosen_for": each.chosen_for,
                    "target": each.target,
                    # The precision was tested on answers at f32.
                    "status": None if self.precision == INT8 else each.status,
                }
                for each in params.thresholds
            ],
            # It promises no share of right answers, and says which classes hold.
            "status_reason": None,
        }


@dataclass(frozen=True)
class Answer:
    """What an export says of a photo; ``None`` for what it does not say.

    A multi-label one says which classes hold, and has no prediction set.

    Args:
        probs: Probability of each class, shape (C,).
        status: One of `STATUSES`.
        prediction_set: Which classes are in the prediction set, bool, shape (C,); none is where
            there is no set.
        features: Shape (F,), of the member that runs first.
        novelty: As of `triptych.results.Verdict`.
        holds: Which classes hold, bool, shape (C,), of a multi-label committee.
    """

    probs: Float32Array
    status: str | None = None
    prediction_set: Mask | None = None
    features: Float32Array | None = None
    novelty: float | None = None
    holds: Mask | None = None
