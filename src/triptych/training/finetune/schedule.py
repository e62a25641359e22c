"""The learning rate of fine-tuning by step, and how many steps there is time for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence

# The share of the first epoch in which the learning rate rises from 0.
WARMUP_EPOCHS = 0.5
# Steps over which the pace is averaged.
PACE_STEPS = 32


class Schedule:
    """The learning rate by step: linear warm-up for half an epoch, then cosine decay to 0.

    If, at the speed of the last steps, the remaining steps do not fit before the deadline, all
    epochs to come are shortened by the same share, and the rest of the cosine is spread over the
    steps that are left.

    A step advances the cosine in proportion to its cost, so that the last epochs, at a larger
    input size, still have a rate at which the network adapts to it. (With equal steps, a
    network that recognised 98 % of held-out handwritten digits at 128 pixels recognised 56 % at 224
    after the last of eight epochs.)

    Args:
        rate: The highest learning rate.
        steps: Steps an epoch.
        costs: For each epoch, what a step costs, in any unit: those at a larger size cost more.
        deadline: When to be done, by the clock; infinity for no deadline.
        clock: Gives seconds.

    Attributes:
        share: How much of the cosine is done, in [0, 1].
        evaluation_s: How long it takes to evaluate and save an epoch, in seconds; 0 until that was
            measured.

    Example:
        >>> schedule = Schedule(1.0, 2, [1.0, 1.0], deadline=math.inf)
        >>> [(round(schedule.next_rate(), 2), schedule.steps_left) for _ in range(2)]
        [(0.0, 3), (1.0, 2)]
        >>> schedule.begin_epoch(2, schedule.share)
        >>> [(round(schedule.next_rate(), 2), schedule.steps_left) for _ in range(2)]
        [(0.75, 1), (0.25, 0)]

    Source: Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017 (the
    cosine).
    """

    def __init__(
        self,
        rate: float,
        steps: int,
        costs: Sequence[float],
        *,
        deadline: float,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.rate, self.share = rate, 0.0
        self._steps, self._costs = steps, costs
        self._warmup = max(1, round(WARMUP_EPOCHS * steps))
        self._deadline, self._clock = deadline, clock
        self._epoch, self._done = 1, 0
        self._unit_s = self.evaluation_s = 0.0
        self._ends: deque[float] = deque(maxlen=PACE_STEPS + 1)

    @property
    def done(self) -> int:
        """How many steps are done, counting those by which earlier epochs were shortened."""
        return (self._epoch - 1) * self._steps + self._done

    @property
    def steps_left(self) -> int:
        """How many steps are left in total."""
        later = len(self._costs) - self._epoch
        return max(0, self._epoch_steps - self._done) + later * self._epoch_steps

    @property
    def epoch_is_over(self) -> bool:
        """Whether the steps of this epoch are done."""
        return self._done >= self._epoch_steps

    @property
    def _epoch_steps(self) -> int:
        """How many steps this epoch and each later one has."""
        if self._deadline == math.inf or not self._unit_s:
            return self._steps
        cost, *later = self._costs[self._epoch - 1 :]
        left_s = self._deadline - self._clock() - self.evaluation_s * (1 + len(later))
        fits = (left_s / self._unit_s + self._done * cost) / (self._steps * (cost + sum(later)))
        return int(self._steps * min(1.0, max(0.0, fits)))

    def begin_epoch(self, number: int, share: float) -> None:
        """Begin an epoch.

        Args:
            number: From 1.
            share: How much of the cosine is done, in [0, 1].
        """
        self._epoch, self._done, self.share = number, 0, share
        self._ends.clear()

    def next_rate(self) -> float:
        """The learning rate of the next step."""
        (cost, *later), steps = self._costs[self._epoch - 1 :], self._epoch_steps
        left = cost * (steps - self._done) + steps * sum(later)
        self._done += 1
        if self.done <= self._warmup:
            return self.rate * (self.done - 1) / self._warmup
        rate = self.rate * (1 + math.cos(math.pi * self.share)) / 2
        self.share += (1 - self.share) * cost / max(cost, left)
        return rate

    def end_step(self) -> None:
        """Record that a step is over."""
        self._ends.append(self._clock())
        if len(self._ends) > 1:  # not the first, in which the network is compiled
            step_s = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
            self._unit_s = step_s / self._costs[self._epoch - 1]
