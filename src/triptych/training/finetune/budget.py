"""Which members are fine-tuned, and for how many epochs, within a time budget."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from triptych.typing import Notify
from triptych.utils import formatting

# Another member is fine-tuned only if each then gets this share of the epochs: one member that is
# tuned well gains more than several that are hardly tuned.
ENOUGH_EPOCHS = 0.5
# The share of the remaining time that is reserved for what cannot be measured beforehand.
SPARE = 0.05


@dataclass(frozen=True)
class MemberCost:
    """What fine-tuning a member costs, in seconds.

    Args:
        name: Of the member.
        start_s: Until its first epoch.
        epochs_s: How long 1, 2, ... epochs take, evaluation included.
        finish_s: After the last epoch: features of all photos, a head, conversion.
    """

    name: str
    start_s: float
    epochs_s: Sequence[float]
    finish_s: float

    def total_s(self, epochs: int) -> float:
        """The total for a number of epochs; 0 for none."""
        return self.start_s + self.epochs_s[epochs - 1] + self.finish_s if epochs else 0.0


@dataclass(frozen=True)
class MemberPlan:
    """What is planned for a member.

    Args:
        name: Of the member.
        epochs: How many; 0 leaves the member unchanged.
        seconds: How long that takes.
    """

    name: str
    epochs: int
    seconds: float


def plan(costs: Sequence[MemberCost], left_s: float) -> list[MemberPlan]:
    """Plan as many members as can be tuned well in the time left, in their order.

    Args:
        costs: Of the members, those first whose fine-tuning gains most for its time.
        left_s: The time left, in seconds.

    Returns:
        A plan for each member, with the same number of epochs or none.

    Example:
        >>> costs = [MemberCost(name, 10.0, [50.0, 100.0, 150.0], 30.0) for name in "AB"]
        >>> for left_s in (100.0, 300.0, 500.0):
        ...     print([each.epochs for each in plan(costs, left_s)])
        [1, 0]
        [2, 2]
        [3, 3]
    """
    most_epochs = len(costs[0].epochs_s)
    enough = max(1, round(ENOUGH_EPOCHS * most_epochs))
    for count in range(len(costs), 0, -1):
        fewest = 1 if count == 1 else enough
        for epochs in range(most_epochs, fewest - 1, -1):
            if sum(cost.total_s(epochs) for cost in costs[:count]) <= left_s:
                return [
                    MemberPlan(cost.name, epochs, cost.total_s(epochs))
                    if number < count
                    else MemberPlan(cost.name, 0, 0.0)
                    for number, cost in enumerate(costs)
                ]
    return [MemberPlan(cost.name, 0, 0.0) for cost in costs]


def describe(plans: Sequence[MemberPlan]) -> str:
    """A plan as a sentence.

    Example:
        >>> describe([MemberPlan("lite0", 6, 420.0), MemberPlan("lite2", 0, 0.0)])
        'lite0: 6 epochs, about 7 minutes; lite2 is left as it is.'
    """
    parts = [
        f"{each.name}: {formatting.counted(each.epochs, 'epoch')}, "
        f"about {formatting.about(each.seconds)}"
        if each.epochs
        else f"{each.name} is left as it is"
        for each in plans
    ]
    none = "There is no time for an epoch: " if not any(each.epochs for each in plans) else ""
    return f"{none}{'; '.join(parts)}."


@dataclass(frozen=True)
class MeasuredCosts:
    """What was measured before fine-tuning began.

    Args:
        heads_s: How long it took to train the heads of a member, in seconds.
        conversion_s: How long it took to convert a network.
        features_s: How long the features of all photos take in the first of the members.
    """

    heads_s: float = 0.0
    conversion_s: float = 0.0
    features_s: float = 0.0


class Planner:
    """Plans fine-tuning to meet a deadline, from the speed of each member's first steps.

    Args:
        members: Multiply-adds of a forward pass of each member, by name, the cheapest first.
        deadline: When the bundle must be finished, by the clock.
        measured: What was measured before.
        say: Called with the plan, as soon as the speed is known.
        clock: Gives seconds.
    """

    def __init__(
        self,
        members: Mapping[str, float],
        deadline: float,
        measured: MeasuredCosts,
        say: Notify,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._members, self._deadline, self._measured = members, deadline, measured
        self._say, self._clock = say, clock
        self._planned: dict[str, int] = {}
        self._began_s = clock()

    def begin(self, member: str) -> bool:
        """Begin with a member; false if there is no time for it."""
        self._began_s = self._clock()
        finish_s = self._cost(member, member, (), 0.0).finish_s
        if not self._planned and self._began_s + finish_s >= self._deadline:
            self._planned = dict.fromkeys(self._members, 0)
            self._say(describe([MemberPlan(name, 0, 0.0) for name in self._members]))
        return self._planned.get(member, 1) > 0

    def plan(self, member: str, epochs_s: Sequence[float]) -> tuple[int, float]:
        """How many epochs a member gets, and how long they may take, in seconds.

        Args:
            member: The one that `begin` was called with last.
            epochs_s: How long 1, 2, ... epochs take, estimated from its first steps.
        """
        now = self._clock()
        names = list(self._members)
        waiting = names[names.index(member) :]
        costs = [self._cost(name, member, epochs_s, now - self._began_s) for name in waiting]
        costs[0] = dataclasses.replace(costs[0], start_s=0.0)  # the member has started
        left_s = (1 - SPARE) * (self._deadline - now)
        if not self._planned:
            plans = plan(costs, left_s)
            self._planned = {each.name: each.epochs for each in plans}
            self._say(describe(plans))
        later_s = sum(cost.total_s(self._planned[cost.name]) for cost in costs[1:])
        return self._planned[member], max(1.0, left_s - later_s - costs[0].finish_s)

    def _cost(
        self, name: str, member: str, epochs_s: Sequence[float], start_s: float
    ) -> MemberCost:
        """Estimate a member's cost from another one's, in proportion to their multiply-adds."""
        ratio = self._members[name] / self._members[member]
        to_first = self._members[name] / next(iter(self._members.values()))
        measured = self._measured
        return MemberCost(
            name,
            ratio * start_s,
            [ratio * seconds for seconds in epochs_s],
            to_first * (measured.features_s + 2 * measured.conversion_s) + measured.heads_s,
        )
