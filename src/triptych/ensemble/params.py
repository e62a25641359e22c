"""What was fitted so that a committee knows how sure it is: one frozen record, and its JSON form.

Fitting is in `calibration`. Whoever answers, in serving and in measuring, applies the record
through `Doubt.join` and `Doubt.ask`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from triptych import errors
from triptych.ensemble import cascade
from triptych.ensemble import conformal
from triptych.ensemble import rules as ensemble_rules
from triptych.ensemble.cascade import Stage
from triptych.typing import Indices
from triptych.typing import Probs


@dataclass(frozen=True)
class RuleDoubt:
    """How to read the answers of one rule; by default of a rule that was not fitted.

    Args:
        temperature: Of the joined answer; 1 for the cascade, whose stages have their own.
        sure: The least top probability that is called sure; above 1 none is.
        levels: Of the prediction sets, one for each coverage of `conformal.GRID`; none where
            nothing can be promised.
    """

    temperature: float = 1.0
    sure: float = cascade.NEVER
    levels: tuple[float, ...] = ()

    @property
    def is_fitted(self) -> bool:
        """Whether a status and a prediction set can be given."""
        return bool(self.levels)


@dataclass(frozen=True)
class Doubt:
    """Everything fitted on photos with known classes, for a committee of M members.

    Args:
        temperatures: One per member, for its own probabilities.
        weights: One per member, for the rule ``"weighted"`` and the cascade.
        stages: Of the cascade, in the order of asking.
        rules: By name, what was fitted for a rule; one that is not there is read as unfitted.
        told: What it was fitted on and asked for, for people: anything that JSON can say.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    stages: tuple[Stage, ...]
    rules: Mapping[str, RuleDoubt] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_fitted(self) -> bool:
        """Whether anything was fitted."""
        return bool(self.rules)

    def rule(self, name: str) -> RuleDoubt:
        """How to read the answers of a rule, which may have been added after the fit."""
        return self.rules.get(name, UNFITTED)

    def only(self, seats: Sequence[int]) -> Doubt:
        """What is left of it when some members alone are asked; nothing can be promised of those.

        Args:
            seats: Positions of the members that stay, at least one.
        """
        if len(seats) == len(self.weights):
            return self
        staying = {seat: place for place, seat in enumerate(seats)}
        return Doubt(
            temperatures=tuple(self.temperatures[seat] for seat in seats),
            weights=tuple(self.weights[seat] for seat in seats),
            stages=tuple(
                Stage(staying[stage.seat], stage.threshold)
                for stage in self.stages
                if stage.seat in staying
            ),
        )

    def temper(self, seat: int, probs: Probs) -> Probs:
        """A member's own probabilities, shape (..., C), calibrated."""
        return ensemble_rules.temper(probs, self.temperatures[seat])

    def join(self, rule: str, calibrated: Probs) -> Probs:
        """The calibrated answer of a rule to images that every member was asked about.

        Args:
            rule: A name from `rules.RULES`; the answer of the cascade is that of all stages
                without their temperatures, so `ask` is for that.
            calibrated: Shape (M, N, C): what `temper` made of the members' probabilities.

        Returns:
            Shape (N, C), rows summing to 1.

        Raises:
            errors.UnknownName: No such rule.
        """
        joined = ensemble_rules.join(rule, calibrated, self.weights)
        return ensemble_rules.temper(joined, self.rule(rule).temperature)

    def ask(self, answer: Callable[[int, Indices], Probs], count: int) -> cascade.Asked:
        """The answers of the cascade; see `cascade.ask`.

        Args:
            answer: ``answer(seat, still)`` gives a member's own probabilities, not yet
                calibrated, for the images at the positions ``still``.
            count: How many images.
        """
        return cascade.ask(
            lambda seat, still: self.temper(seat, answer(seat, still)),
            count,
            stages=self.stages,
            weights=self.weights,
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON; a level that is infinite, which JSON cannot say, is ``null``."""
        return {
            "temperatures": list(self.temperatures),
            "weights": list(self.weights),
            "stages": [asdict(stage) for stage in self.stages],
            "rules": {name: _told_of(rule) for name, rule in self.rules.items()},
            "told": dict(self.told),
        }

    @classmethod
    def from_dict(cls, data: object) -> Doubt:
        """The record that `to_dict` wrote, checked.

        The file may be older or newer than this program: a rule that is not in `rules.RULES` is
        left out, and one that the file does not know counts as unfitted.

        Args:
            data: What JSON gave.

        Raises:
            errors.SettingError: It is damaged; the message says where.
        """
        parts = _fields("doubt", data, ("temperatures", "weights", "stages", "rules", "told"))
        temperatures = _numbers("doubt.temperatures", parts["temperatures"], above=0)
        weights = _numbers("doubt.weights", parts["weights"], least=0)
        if not len(temperatures) == len(weights) > 0 or not sum(weights) > 0:
            raise _damaged("doubt.weights", weights, "one per temperature, one of them above 0")
        rules = parts["rules"]
        if not isinstance(rules, dict):
            raise _damaged("doubt.rules", rules, "an object")
        if not isinstance(parts["told"], dict):
            raise _damaged("doubt.told", parts["told"], "an object")
        return cls(
            temperatures=temperatures,
            weights=weights,
            stages=_stages(parts["stages"], weights),
            rules={
                name: _rule(f"doubt.rules.{name}", rule)
                for name, rule in rules.items()
                if name in ensemble_rules.RULES
            },
            told=parts["told"],
        )


UNFITTED = RuleDoubt()


def unfitted(weights: Sequence[float], costs: Sequence[float]) -> Doubt:
    """Where nothing was fitted: probabilities stay as they are, and nothing can be promised.

    Args:
        weights: One per member, above zero.
        costs: What asking each member costs; the cascade begins with the cheapest, and never
            stops early.

    Example:
        >>> unfitted([1, 1], [2.0, 0.5]).stages[0].seat
        1
    """
    order = sorted(range(len(weights)), key=lambda seat: costs[seat])
    return Doubt((1.0,) * len(weights), tuple(weights), tuple(map(Stage, order)))


def _told_of(rule: RuleDoubt) -> dict[str, Any]:
    levels = [level if math.isfinite(level) else None for level in rule.levels]
    return {**asdict(rule), "levels": levels}


def _stages(data: object, weights: tuple[float, ...]) -> tuple[Stage, ...]:
    name = "doubt.stages"
    stages = tuple(
        _stage(f"{name}[{place}]", stage) for place, stage in enumerate(_items(name, data))
    )
    # Each member that counts is asked once, or the last stage would not be the committee.
    counting = [seat for seat, weight in enumerate(weights) if weight]
    if sorted(stage.seat for stage in stages) != counting:
        raise _damaged(name, data, f"one stage for each of the seats {counting}")
    return stages


def _stage(name: str, data: object) -> Stage:
    parts = _fields(name, data, ("seat", "threshold", "temperature"))
    if type(parts["seat"]) is not int:
        raise _damaged(f"{name}.seat", parts["seat"], "a whole number")
    return Stage(
        seat=parts["seat"],
        threshold=_number(f"{name}.threshold", parts["threshold"], least=0),
        temperature=_number(f"{name}.temperature", parts["temperature"], above=0),
    )


def _rule(name: str, data: object) -> RuleDoubt:
    parts = _fields(name, data, ("temperature", "sure", "levels"))
    return RuleDoubt(
        temperature=_number(f"{name}.temperature", parts["temperature"], above=0),
        sure=_number(f"{name}.sure", parts["sure"], least=0),
        levels=_levels(f"{name}.levels", parts["levels"]),
    )


def _levels(name: str, data: object) -> tuple[float, ...]:
    levels = tuple(
        math.inf if level is None else _number(f"{name}[{place}]", level, least=0)
        for place, level in enumerate(_items(name, data))
    )
    if len(levels) != len(conformal.GRID) or list(levels) != sorted(levels):
        raise _damaged(name, data, f"{len(conformal.GRID)} numbers that never fall")
    return levels


def _fields(name: str, data: object, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(data, dict) or set(data) != set(keys):
        raise _damaged(name, data, f"an object with exactly: {', '.join(keys)}")
    return data


def _items(name: str, data: object) -> list[Any]:
    if not isinstance(data, list):
        raise _damaged(name, data, "a list")
    return data


def _numbers(name: str, data: object, **limits: float) -> tuple[float, ...]:
    return tuple(
        _number(f"{name}[{place}]", number, **limits)
        for place, number in enumerate(_items(name, data))
    )


def _number(name: str, data: object, *, above: float = -1, least: float = 0) -> float:
    # To Python, true is a number.
    number = data if isinstance(data, (int, float)) and not isinstance(data, bool) else math.nan
    if not (above < number < math.inf and number >= least):
        limit = f"above {above}" if above >= 0 else f"of at least {least}"
        raise _damaged(name, data, f"a number {limit}")
    return float(number)


def _damaged(name: str, data: object, expected: str) -> errors.SettingError:
    text = repr(data)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return errors.SettingError(
        f"The part {name} of what was fitted is damaged: it is {shown}; expected {expected}. "
        "Fit it once more."
    )
