"""The record of fine-tuning a member."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FinetuneMetrics:
    """How good a member is, before fine-tuning or after.

    Args:
        held_out: Accuracy on the held-out photos, in [0, 1].
        loss: Their mean negative log-likelihood in nats, at the best temperature.
        validation: Accuracy on the validation photos, in [0, 1].
    """

    held_out: float
    loss: float
    validation: float


@dataclass(frozen=True)
class FinetuneReport:
    """The result of fine-tuning a member, and its cost.

    Args:
        member: Name of the member.
        epochs: How many epochs were run.
        best_epoch: The epoch that was best on the held-out photos; 0 for none.
        layers: How many layers were trained, the head's included.
        seconds: How long all of it took.
        photos: How many photos were held out.
        before: With the frozen backbone.
        after: With the fine-tuned one; equal to ``before`` if no epoch was better.
        kept: Whether the fine-tuned member is the one in the bundle.
        device: The device that trained it, the number format and the input size.
        rate: The peak learning rate.
        augment: The random changes of photos, besides shifts and scale.
        curve: For each epoch, from 0 for the frozen network, how many of the held-out photos were
            classified correctly and their loss, at the input size of that epoch.
    """

    member: str
    epochs: int
    best_epoch: int
    layers: int
    seconds: float
    photos: int
    before: FinetuneMetrics
    after: FinetuneMetrics
    kept: bool
    device: str
    rate: float
    augment: list[str]
    curve: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            **dataclasses.asdict(self),
            "augment": list(self.augment),
            "curve": list(self.curve),
        }
