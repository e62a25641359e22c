"""The messages of a fine-tuning worker, passed on to callbacks and collected for the report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from triptych.engines.options import EngineOptions
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage


@dataclass
class WorkerProgress:
    """Passes the worker's messages on to callbacks, and collects them for the report.

    Args:
        member: Name of the member.
        config: Its callbacks.
        options: Reports lines of text.
        layers: How many layers are trained.
        device: What trains them.
        rate: The highest learning rate.
        best_epoch: Number of the best epoch so far; 0 for the frozen network.
        first_epoch_s: When the first epoch ended, by `time.perf_counter`; 0 before that.
        curve: The epochs so far, from 0 for the frozen network.
    """

    member: str
    config: TrainingConfig
    options: EngineOptions
    layers: int = 0
    device: str = ""
    rate: float = 0.0
    best_epoch: int = 0
    first_epoch_s: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, message: dict[str, Any]) -> None:
        """Take a message: the device, a step of an epoch, or a finished epoch."""
        if "device" in message:
            self.device, self.layers = message["device"], message["layers"]
            self.options.report(f"Fine-tuning {self.member} on {self.device}")
        elif "step" in message:
            stage = f"{TrainingStage.FINE_TUNING} {self.member}"
            self.config.progress(stage, message["step"], message["of"])
        else:
            self.rate, self.best_epoch = message["rate"], message["best"]
            fields = ("number", "right", "loss", "seconds", "photos", "full_size")
            epoch = {name: message[name] for name in fields}
            self.curve.append(epoch)
            self.first_epoch_s = self.first_epoch_s or time.perf_counter()
            self.config.on_epoch({"member": self.member, **epoch})
            self.options.report(
                f"{self.member}, epoch {message['number']}: {message['right']} of "
                f"{message['photos']} held-out photos right, loss {message['loss']:.4f}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields of a `FinetuneReport` that come from the worker."""
        return {
            "epochs": len(self.curve) - 1,
            "best_epoch": self.best_epoch,
            "layers": self.layers,
            "device": self.device,
            "rate": self.rate,
            "curve": self.curve,
        }
