"""The fitted parameters of a multi-label committee: each class has a calibration and a threshold.

A photo may show any number of classes, so each class is a question of its own, answered by a
probability that it holds; they do not sum to 1. `triptych.ensemble.fit.multilabel` fits them.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble import rules as ensemble_rules
from triptych.ensemble.cascade import NEVER
from triptych.ensemble.cascade import CascadeAnswers
from triptych.ensemble.cascade import Stage
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.promise import TOO_FEW
from triptych.ensemble.promise import TOO_MANY_MISTAKES
from triptych.ensemble.rules import FITTED_RULE
from triptych.typing import Indices
from triptych.typing import Mask
from triptych.typing import Probs
from triptych.utils import validation
from triptych.utils.text import text

F1, PRECISION = "f1", "precision"
# Below the rounding of float32 a probability says nothing about its logit.
CLIP = 1e-7

# Slope and offset of a logit.
Platt = tuple[float, float]
IDENTITY: Platt = (1.0, 0.0)


@dataclass(frozen=True)
class Threshold:
    """The probability from which on a class holds.

    Args:
        value: In [0, 1], or `cascade.NEVER`, above 1: the class is never answered, as no threshold
            reached the stated precision.
        chosen_for: `F1`, or `PRECISION` for a stated precision.
        target: The stated precision, in (0, 1]; ``None`` for F1.
        positives: How many photos of the class it was chosen on.
        precision: Reached with thresholds that were chosen on other photos (cross-fitting);
            ``None`` where the class was not answered.
        recall: Likewise; ``None`` without photos of the class.
        f1: Likewise; ``None`` if both are.
        status: Of a stated precision, `promise.PROMISED` if it holds for new photos with a
            confidence of 1 - `promise.RISK`; else why that cannot be said: `promise.TOO_FEW` photos
            of the class, or `promise.TOO_MANY_MISTAKES`. ``None`` for F1, and where it was not
            tested.
    """

    value: float = 0.5
    chosen_for: str = F1
    target: float | None = None
    positives: int = 0
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    status: str | None = None

    @property
    def is_missed(self) -> bool:
        """Whether the stated precision is not reached, on photos it was not chosen on."""
        return self.target is not None and (self.precision is None or self.precision < self.target)

    def to_dict(self) -> dict[str, Any]:
        """The threshold as a JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class MultilabelParams(EnsembleParams):
    """Everything that was fitted for a multi-label committee of M members and C classes.

    There is one way to combine: the weighted mean of calibrated probabilities, calibrated once
    more. A cascade, prediction sets and other rules choose one class, so they are refused.

    Args:
        calibration: Slope and offset of each member's logits, by class; shape (M, C, 2).
        joined: Those of the combined logits, shape (C, 2).
        thresholds: One per class.

    Example:
        >>> params = unfitted([1.0, 3.0], [1.0, 1.0], classes=2)
        >>> joined = params.join("weighted", np.array([[[0.5, 0.0]], [[0.9, 0.4]]]))
        >>> joined.round(2).tolist(), params.holds(joined).tolist()
        ([[0.8, 0.3]], [[True, False]])
    """

    calibration: tuple[tuple[Platt, ...], ...] = ()
    joined: tuple[Platt, ...] = ()
    thresholds: tuple[Threshold, ...] = ()

    def select(self, members: Sequence[int]) -> MultilabelParams:
        """The parameters for some of the members, with no calibration of what they combine to.

        The thresholds stay: they are probabilities, which each member's calibration aims at.
        """
        if len(members) == len(self.weights):
            return self
        some = super().select(members)
        weights = some.weights if any(some.weights) else (1.0,) * len(members)
        return replace(
            self,
            temperatures=some.temperatures,
            weights=weights,
            stages=some.stages or tuple(map(Stage, range(len(members)))),
            calibration=tuple(self.calibration[member] for member in members),
            joined=(IDENTITY,) * len(self.thresholds),
        )

    def calibrate(self, member: int, probs: Probs) -> Probs:
        """Calibrate a member's raw probabilities, shape (..., C)."""
        return platt(probs, self.calibration[member])

    def join(self, rule: str, calibrated: Probs) -> Probs:
        """Combine all members' probabilities, and calibrate the result.

        Args:
            rule: ``"weighted"``.
            calibrated: Shape (M, N, C), as `calibrate` gives them.

        Returns:
            Shape (N, C), each in [0, 1].

        Raises:
            errors.SettingError: It is another rule.
        """
        check_rule(rule)
        return platt(ensemble_rules.weighted(calibrated, self.weights), self.joined)

    def holds(self, joined: Probs) -> Mask:
        """Which classes hold, from combined probabilities; both of shape (..., C)."""
        return np.asarray(joined >= np.array([each.value for each in self.thresholds]))

    def run_cascade(self, predict: Callable[[int, Indices], Probs], count: int) -> CascadeAnswers:
        """Refused: a cascade stops when one class is probable enough.

        Raises:
            errors.SettingError: Always.
        """
        raise _refused(ensemble_rules.CASCADE)

    def to_dict(self) -> dict[str, Any]:
        """The parameters as JSON."""
        return {
            "weights": list(self.weights),
            "order": [stage.member for stage in self.stages],
            "calibration": [[list(pair) for pair in member] for member in self.calibration],
            "joined": [list(pair) for pair in self.joined],
            "thresholds": [threshold.to_dict() for threshold in self.thresholds],
            "told": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, data: object) -> MultilabelParams:
        """The parameters that `to_dict` wrote, checked.

        Raises:
            errors.SettingError: They are damaged; the message says where.
        """
        params: MultilabelParams = validation.load(
            MultilabelParamsRecord, data, "doubt", hint="It is damaged; train it once more."
        )
        return params


def unfitted(weights: Sequence[float], costs: Sequence[float], *, classes: int) -> MultilabelParams:
    """Parameters that calibrate nothing, with a threshold of one half for each class.

    Args:
        weights: One per member, above zero.
        costs: Cost of running each member; photos are compared with the training photos of the
            cheapest.
        classes: C.
    """
    order = sorted(range(len(weights)), key=lambda member: costs[member])
    return MultilabelParams(
        temperatures=(1.0,) * len(weights),
        weights=tuple(float(weight) for weight in weights),
        stages=tuple(map(Stage, order)),
        calibration=((IDENTITY,) * classes,) * len(weights),
        joined=(IDENTITY,) * classes,
        thresholds=(Threshold(),) * classes,
    )


def platt(probs: Probs, calibration: Sequence[Platt]) -> Probs:
    """Calibrate probabilities class by class: a linear function of the logit (Platt scaling).

    Args:
        probs: Shape (..., C), each in [0, 1].
        calibration: Slope, above 0, and offset for each class.

    Returns:
        The same shape; the order of photos by the probability of a class stays.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999.

    Example:
        >>> platt(np.array([[0.5, 0.2]]), [(1.0, np.log(4)), (1.0, 0.0)]).round(3).tolist()
        [[0.8, 0.2]]
    """
    pairs = np.asarray(calibration, np.float64)
    if (pairs == IDENTITY).all():
        return probs
    scaled: Probs = sigmoid(pairs[:, 0] * logit(probs) + pairs[:, 1]).astype(probs.dtype)
    return scaled


def logit(probs: Probs) -> Probs:
    """The logits of probabilities of any shape, in double precision; those of 0 and 1 are finite.

    Example:
        >>> logit(np.array([0.5, 1.0])).round(1).tolist()
        [0.0, 16.1]
    """
    clipped = np.clip(probs.astype(np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def sigmoid(logits: Probs) -> Probs:
    """The probabilities of logits of any shape.

    Example:
        >>> sigmoid(np.array([0.0, -1000.0])).tolist()
        [0.5, 0.0]
    """
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def check_rule(rule: str) -> None:
    """Refuse a rule that combines to one class a photo.

    Raises:
        errors.SettingError: It is not the weighted mean.
    """
    if rule != FITTED_RULE:
        raise _refused(rule)


def _refused(rule: str) -> errors.SettingError:
    return errors.SettingError(
        text(
            "The rule {rule!r} chooses one class a photo, and this committee is multi-label: it "
            "answers all that hold, by the rule {weighted!r}. Leave the rule out.",
            rule=rule,
            weighted=FITTED_RULE,
        )
    )


class _PlattRecord(validation.Items):
    def __init__(self, **options: Any) -> None:
        super().__init__(validation.Number(), least=2, most=2, **options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> tuple[Any, ...]:
        slope, offset = super()._deserialize(value, attr, data, **options)
        if not slope > 0:
            raise validation.wrong(value, "a slope above 0 first")
        return (float(slope), float(offset))


class _ThresholdRecord(validation.Record):
    value = validation.Number(least=0, required=True)
    chosen_for = validation.Text(choices=(F1, PRECISION), required=True)
    target = validation.Number(above=0, most=1, allow_none=True)
    status = validation.Text(choices=(PROMISED, TOO_FEW, TOO_MANY_MISTAKES), allow_none=True)
    positives = validation.Integer(least=0, required=True)
    precision = validation.Number(least=0, most=1, allow_none=True)
    recall = validation.Number(least=0, most=1, allow_none=True)
    f1 = validation.Number(least=0, most=1, allow_none=True)

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> Threshold:
        return Threshold(**parts)


class MultilabelParamsRecord(validation.Record):
    """`MultilabelParams` in JSON."""

    weights = validation.Items(validation.Number(least=0), least=1, required=True)
    order = validation.Items(validation.Integer(least=0), least=1, required=True)
    calibration = validation.Items(validation.Items(_PlattRecord()), required=True)
    joined = validation.Items(_PlattRecord(), required=True)
    thresholds = validation.Items(validation.Object(_ThresholdRecord), least=1, required=True)
    provenance = validation.Table(required=True, data_key="told")

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> MultilabelParams:
        members, classes = len(parts["weights"]), len(parts["thresholds"])
        if not sum(parts["weights"]) > 0:
            raise validation.wrong(list(parts["weights"]), "one of them above 0", "weights")
        if sorted(parts["order"]) != list(range(members)):
            raise validation.wrong(list(parts["order"]), f"each of {members} members", "order")
        sizes = [len(parts["joined"]), *map(len, parts["calibration"])]
        if sizes != [classes] * (members + 1):
            expected = f"for each of {members} members one pair per class, {classes} of them"
            raise validation.wrong(sizes, expected, "calibration")
        return MultilabelParams(
            temperatures=(1.0,) * members,
            weights=tuple(parts["weights"]),
            stages=tuple(map(Stage, parts["order"])),
            calibration=tuple(map(tuple, parts["calibration"])),
            joined=tuple(parts["joined"]),
            thresholds=tuple(parts["thresholds"]),
            provenance=parts["provenance"],
        )


__all__ = [
    "F1",
    "IDENTITY",
    "NEVER",
    "PRECISION",
    "MultilabelParams",
    "MultilabelParamsRecord",
    "Platt",
    "Threshold",
    "check_rule",
    "logit",
    "platt",
    "sigmoid",
    "unfitted",
]
