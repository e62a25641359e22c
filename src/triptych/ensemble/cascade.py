"""The cascade: members answer one after another, and stop once an image is decided.

The thresholds that decide come from `triptych.ensemble.fit.cascade_thresholds`. Serving and
evaluation both call `run`, so that what was measured is what is served.
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

# A threshold that no probability reaches. Not infinity, which JSON has no number for.
NEVER = 2.0


@dataclass(frozen=True)
class Stage:
    """One stage of a cascade: one more member predicts, and the answer so far may decide.

    Args:
        member: Index of the member in the committee, from 0.
        threshold: An image is decided when the top probability of the combined answer is at
            least this; above 1 none ever is. The last stage decides whatever its threshold is.
        temperature: Temperature of the combined answer after this stage; above 0.
    """

    member: int
    threshold: float = NEVER
    temperature: float = 1.0


@dataclass(frozen=True)
class CascadeAnswers:
    """The answers of a cascade to N images.

    Args:
        joined: Combined probabilities, shape (N, C), rows summing to 1.
        used: How many stages each image took, shape (N,), at least 1.
    """

    joined: Probs
    used: Indices


def run(
    predict: Callable[[int, Indices], Probs],
    count: int,
    *,
    stages: Sequence[Stage],
    weights: Sequence[float],
) -> CascadeAnswers:
    """Let members predict stage by stage, each only the images that are still undecided.

    After each stage the answer is the weighted mean of the members so far, tempered. Where no
    threshold decides early, that is the answer of the rule ``"weighted"``.

    Args:
        predict: ``predict(member, which)`` gives the calibrated probabilities of a member, by its
            index, for the images at the positions ``which``, shape (len(which), C). Never called
            with no images.
        count: Number of images, N.
        stages: In the order of running, at least one.
        weights: One per member of the committee, above zero where a stage uses it.

    Raises:
        errors.SettingError: There is no stage, or a stage uses a member without weight.

    Source: Wang et al., "Wisdom of Committees: An Overlooked Approach To Faster and More
    Accurate Models", 2022.

    Example:
        >>> probs = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.5, 0.5], [0.0, 1.0]]])
        >>> stages = [Stage(member=0, threshold=0.8), Stage(member=1)]
        >>> answers = run(lambda m, which: probs[m, which], 2, stages=stages, weights=[1, 1])
        >>> answers.used
        array([1, 2])
        >>> answers.joined
        array([[0.9, 0.1],
               [0.3, 0.7]])
    """
    if not stages:
        raise errors.SettingError("Got a cascade without stages; expected at least one.")
    for stage in stages:
        if not (0 <= stage.member < len(weights) and weights[stage.member] > 0):
            raise errors.SettingError(
                f"A stage uses the member with index {stage.member}, and the weights are "
                f"{[float(weight) for weight in weights]}; expected a member whose weight is "
                "above 0."
            )
    undecided, used = np.arange(count), np.zeros(count, np.intp)
    total: Probs = np.zeros((count, 1))  # of undecided images; as wide as the first answer
    joined, share = np.zeros((count, 0)), 0.0
    for number, stage in enumerate(stages, start=1):
        if not len(undecided):
            break
        weight = weights[stage.member]
        total, share = total + weight * predict(stage.member, undecided), share + weight
        tempered = rules.temper(total / share, stage.temperature)
        if number == 1:
            joined = np.empty_like(tempered)
        joined[undecided], used[undecided] = tempered, number
        is_open = tempered.max(axis=1) < stage.threshold
        undecided, total = undecided[is_open], total[is_open]
    return CascadeAnswers(joined, used)
