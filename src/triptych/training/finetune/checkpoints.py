"""Finished epochs on disk, from which killed training resumes.

An epoch is saved, with the optimizer's state, before it is reported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.utils import files

# Files in the folder of an epoch.
NETWORK = "network.keras"
RESULT = "result.json"


@dataclass(frozen=True)
class Epoch:
    """A finished epoch.

    Args:
        number: From 1; 0 is the frozen network.
        right: How many held-out photos are classified correctly.
        loss: Their mean negative log-likelihood in nats, at the best temperature, so that
            overconfidence alone does not make an epoch worse.
        seconds: How long all epochs so far took, without pauses.
        rate: Peak learning rate.
        share: How much of the cosine schedule is done, in [0, 1].
        full_size: Whether the network had the input size that it is served with.
    """

    number: int
    right: int
    loss: float
    seconds: float
    rate: float
    share: float = 0.0
    full_size: bool = False


def best_of(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch with the lowest loss of those at the size of the last one."""
    return min(
        (epoch for epoch in epochs if epoch.full_size == epochs[-1].full_size),
        key=lambda epoch: epoch.loss,
    )


class Checkpoints:
    """The finished epochs of a task, on disk; each is saved atomically.

    Args:
        folder: Of the task.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        results = (path / RESULT for path in folder.glob("epoch-*"))
        self.epochs = sorted(
            (Epoch(**json.loads(path.read_text("utf-8"))) for path in results),
            key=lambda epoch: epoch.number,
        )

    def network(self, epoch: Epoch) -> Path:
        """File of the network after an epoch; kept for the best and the last epoch."""
        return self._folder / f"epoch-{epoch.number:03}" / NETWORK

    def add(self, epoch: Epoch, model: Any) -> None:
        """Save an epoch, with the network and the state of its optimizer."""
        with files.atomic_dir(self.network(epoch).parent) as scratch:
            model.save(scratch / NETWORK)
            (scratch / RESULT).write_text(
                json.dumps(asdict(epoch), allow_nan=False), encoding="utf-8"
            )
        self.epochs.append(epoch)
        for other in self.epochs:
            if other not in (epoch, best_of(self.epochs)):
                self.network(other).unlink(missing_ok=True)
