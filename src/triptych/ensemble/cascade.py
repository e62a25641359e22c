"""Asking members one after another, and no further for an image that is decided.

Serving and measuring both call `ask`, so that what was measured is what is served.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych import errors
from triptych.ensemble import rules
from triptych.typing import Indices
from triptych.typing import Probs

# No probability reaches it. Not infinity, which JSON cannot say.
NEVER = 2.0


@dataclass(frozen=True)
class Stage:
    """One step of a cascade: a member is asked, and those asked so far may decide.

    Args:
        seat: Position of the member in the committee, from 0.
        threshold: An image is decided when the top probability of the joined answer is at least
            this; above 1 none ever is. The last stage decides whatever its threshold says.
        temperature: Of the joined answer after this stage; above 0.
    """

    seat: int
    threshold: float = NEVER
    temperature: float = 1.0


@dataclass(frozen=True)
class Asked:
    """The answers of a cascade to N images.

    Args:
        joined: Shape (N, C), rows summing to 1.
        used: Shape (N,): how many stages each image took, at least 1.
    """

    joined: Probs
    used: Indices


def ask(
    answer: Callable[[int, Indices], Probs],
    count: int,
    *,
    stages: Sequence[Stage],
    weights: Sequence[float],
) -> Asked:
    """Ask the members stage by stage, each only about the images that are still open.

    After each stage the answer is the weighted mean of the members asked so far, tempered. Where
    no threshold decides early, that is the answer of the rule ``"weighted"``.

    Args:
        answer: ``answer(seat, still)`` gives that member's calibrated probabilities for the
            images at the positions ``still``, shape (len(still), C). Never called with none.
        count: How many images, N.
        stages: In the order of asking, at least one.
        weights: One per seat of the committee, above zero where a stage asks.

    Raises:
        errors.SettingError: There is no stage, or one asks a member that counts for nothing.

    Source: Wang et al., "Wisdom of Committees: An Overlooked Approach To Faster and More
    Accurate Models", 2022.

    Example:
        >>> probs = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.5, 0.5], [0.0, 1.0]]])
        >>> stages = [Stage(seat=0, threshold=0.8), Stage(seat=1)]
        >>> asked = ask(lambda seat, still: probs[seat, still], 2, stages=stages, weights=[1, 1])
        >>> asked.used
        array([1, 2])
        >>> asked.joined
        array([[0.9, 0.1],
               [0.3, 0.7]])
    """
    _check(stages, weights)
    still, used = np.arange(count), np.zeros(count, np.intp)
    total: Probs = np.zeros((count, 1))  # of the images still open, as wide as the first answer
    joined, share = np.zeros((count, 0)), 0.0
    for number, stage in enumerate(stages, start=1):
        if not len(still):
            break
        weight = weights[stage.seat]
        total, share = total + weight * answer(stage.seat, still), share + weight
        tempered = rules.temper(total / share, stage.temperature)
        if number == 1:
            joined = np.empty_like(tempered)
        joined[still], used[still] = tempered, number
        is_open = tempered.max(axis=1) < stage.threshold
        still, total = still[is_open], total[is_open]
    return Asked(joined, used)


def _check(stages: Sequence[Stage], weights: Sequence[float]) -> None:
    if not stages:
        raise errors.SettingError("Got a cascade without stages; expected at least one.")
    for stage in stages:
        if not (0 <= stage.seat < len(weights) and weights[stage.seat] > 0):
            raise errors.SettingError(
                f"A stage asks the member at seat {stage.seat}, and the weights are "
                f"{[float(weight) for weight in weights]}; expected a seat whose weight is above 0."
            )
