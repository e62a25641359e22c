"""The fitted parameters of a committee: temperatures, weights, cascade stages, prediction sets.

`triptych.ensemble.fit` fits them; serving and evaluation apply them through
`EnsembleParams.join` and `EnsembleParams.run_cascade`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from triptych.ensemble import cascade
from triptych.ensemble import conformal
from triptych.ensemble import rules as ensemble_rules
from triptych.ensemble.cascade import Stage
from triptych.ensemble.promise import MissingPromise
from triptych.typing import Indices
from triptych.typing import Probs
from triptych.utils import validation


@dataclass(frozen=True)
class RuleParams:
    """The fitted parameters of one rule; the defaults are those of a rule that was not fitted.

    Args:
        temperature: Temperature of the combined answer; 1 for the cascade, whose stages have
            their own.
        sure: The least top probability that is called sure; above 1 no answer is.
        quantiles: Score quantiles of the prediction sets, one for each coverage of
            `conformal.GRID`; none where nothing can be promised.
    """

    temperature: float = 1.0
    sure: float = cascade.NEVER
    quantiles: tuple[float, ...] = ()

    @property
    def is_fitted(self) -> bool:
        """Whether answers of this rule have a status and a prediction set."""
        return bool(self.quantiles)


@dataclass(frozen=True)
class EnsembleParams:
    """Everything that was fitted on labelled photos for a committee of M members.

    Args:
        temperatures: One per member, for its raw probabilities.
        weights: One per member, for the rules ``"weighted"`` and ``"cascade"``.
        stages: The stages of the cascade, in order.
        rules: Parameters by the name of the rule; a rule that is missing was not fitted.
        provenance: What they were fitted on and with which targets, for people: anything that
            JSON can hold.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    stages: tuple[Stage, ...]
    rules: Mapping[str, RuleParams] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_fitted(self) -> bool:
        """Whether any rule was fitted."""
        return bool(self.rules)

    def rule(self, name: str) -> RuleParams:
        """The parameters of a rule, which may have been added to the program after the fit."""
        return self.rules.get(name, UNFITTED)

    def missing_promise(self, name: str) -> MissingPromise | None:
        """Why no answer of a rule can be called sure.

        Args:
            name: Of the rule.

        Returns:
            ``None`` where some can be, where the rule was not fitted, and where the number of
            photos is not known.
        """
        photos, precision = (self.provenance.get(key) for key in ("photos", "precision"))
        fitted = self.rule(name)
        if not fitted.is_fitted or fitted.sure <= 1:
            return None
        if not isinstance(photos, int) or not isinstance(precision, float) or photos < 0:
            return None
        return MissingPromise(photos, precision) if 0 < precision < 1 else None

    def select(self, members: Sequence[int]) -> EnsembleParams:
        """The parameters for some of the members, with no rule fitted unless all of them stay.

        Args:
            members: Indices of the members that stay, at least one.
        """
        if len(members) == len(self.weights):
            return self
        new_index = {member: index for index, member in enumerate(members)}
        return EnsembleParams(
            temperatures=tuple(self.temperatures[member] for member in members),
            weights=tuple(self.weights[member] for member in members),
            stages=tuple(
                Stage(new_index[stage.member], stage.threshold)
                for stage in self.stages
                if stage.member in new_index
            ),
        )

    def calibrate(self, member: int, probs: Probs) -> Probs:
        """Calibrate a member's raw probabilities.

        Args:
            member: Its index.
            probs: Shape (..., C).
        """
        return ensemble_rules.temper(probs, self.temperatures[member])

    def join(self, rule: str, calibrated: Probs) -> Probs:
        """Combine all members' answers by a rule, and calibrate the result.

        Args:
            rule: A name from `rules.RULES`; for the cascade see `run_cascade`.
            calibrated: Shape (M, N, C), as `calibrate` gives them.

        Returns:
            Shape (N, C), rows summing to 1.

        Raises:
            errors.UnknownName: There is no such rule.
        """
        joined = ensemble_rules.join(rule, calibrated, self.weights)
        return ensemble_rules.temper(joined, self.rule(rule).temperature)

    def run_cascade(
        self, predict: Callable[[int, Indices], Probs], count: int
    ) -> cascade.CascadeAnswers:
        """Run the cascade; see `cascade.run`.

        Args:
            predict: ``predict(member, which)`` gives a member's raw probabilities for the images
                at the positions ``which``, shape (len(which), C).
            count: Number of images.
        """
        return cascade.run(
            lambda member, which: self.calibrate(member, predict(member, which)),
            count,
            stages=self.stages,
            weights=self.weights,
        )

    def to_dict(self) -> dict[str, Any]:
        """The parameters as JSON; an infinite quantile, which JSON has no number for, is null."""
        return {
            "temperatures": list(self.temperatures),
            "weights": list(self.weights),
            "stages": [
                {"seat": s.member, "threshold": s.threshold, "temperature": s.temperature}
                for s in self.stages
            ],
            "rules": {
                name: {
                    "temperature": rule.temperature,
                    "sure": rule.sure,
                    "levels": [q if math.isfinite(q) else None for q in rule.quantiles],
                }
                for name, rule in self.rules.items()
            },
            "told": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, data: object) -> EnsembleParams:
        """The parameters that `to_dict` wrote, checked.

        The file may be older or newer than this program: a rule that is not in `rules.RULES` is
        left out, and one that the file does not know counts as unfitted.

        Args:
            data: As ``json.loads`` gives it.

        Raises:
            errors.SettingError: It is damaged; the message says where.
        """
        params: EnsembleParams = validation.load(
            ParamsRecord, data, "doubt", hint="It is damaged; fit it once more."
        )
        return params


UNFITTED = RuleParams()


def unfitted(weights: Sequence[float], costs: Sequence[float]) -> EnsembleParams:
    """Parameters of a committee that was not fitted: nothing is calibrated, nothing promised.

    Args:
        weights: One per member, above zero.
        costs: Cost of running each member; the cascade begins with the cheapest and never stops
            early.

    Example:
        >>> unfitted([1, 1], [2.0, 0.5]).stages[0].member
        1
    """
    order = sorted(range(len(weights)), key=lambda member: costs[member])
    return EnsembleParams((1.0,) * len(weights), tuple(weights), tuple(map(Stage, order)))


class _StageRecord(validation.Record):
    member = validation.Integer(required=True, data_key="seat")
    threshold = validation.Number(least=0, required=True)
    temperature = validation.Number(above=0, required=True)

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> Stage:
        return Stage(**parts)


class _RuleRecord(validation.Record):
    temperature = validation.Number(above=0, required=True)
    sure = validation.Number(least=0, required=True)
    quantiles = validation.Items(
        validation.Number(least=0, allow_none=True), required=True, data_key="levels"
    )

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> RuleParams:
        quantiles = [math.inf if q is None else q for q in parts["quantiles"]]
        if len(quantiles) != len(conformal.GRID) or quantiles != sorted(quantiles):
            expected = f"{len(conformal.GRID)} numbers that never fall"
            raise validation.wrong(quantiles, expected, "levels")
        return RuleParams(**{**parts, "quantiles": tuple(quantiles)})


class ParamsRecord(validation.Record):
    """`EnsembleParams` in JSON."""

    temperatures = validation.Items(validation.Number(above=0), least=1, required=True)
    weights = validation.Items(validation.Number(least=0), required=True)
    stages = validation.Items(validation.Object(_StageRecord), required=True)
    rules = validation.Table(
        validation.Object(_RuleRecord), keys=ensemble_rules.RULES.__contains__, required=True
    )
    provenance = validation.Table(required=True, data_key="told")

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> EnsembleParams:
        params = EnsembleParams(**parts)
        weights = params.weights
        if len(weights) != len(params.temperatures) or not sum(weights) > 0:
            expected = "one per temperature, one of them above 0"
            raise validation.wrong(list(weights), expected, "weights")
        # Each member with a weight predicts once, else the last stage is not the whole committee.
        members = [index for index, weight in enumerate(weights) if weight]
        if sorted(stage.member for stage in params.stages) != members:
            members_of_stages = [stage.member for stage in params.stages]
            raise validation.wrong(
                members_of_stages, f"one stage for each of the members {members}", "stages"
            )
        return params
