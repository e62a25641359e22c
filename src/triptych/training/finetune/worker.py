"""The worker process of fine-tuning: Keras with TensorFlow, a task in, messages out.

A process cannot change its Keras backend, and the one that trains heads may have another.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from triptych.engines.conversion import convert
from triptych.training.finetune.task import FinetuneConfig
from triptych.training.finetune.task import FinetuneTask
from triptych.training.finetune.training_loop import finetune
from triptych.utils import worker

# How long a worker may take to end the step under way and to write the best epoch.
GRACE_S = 120.0


def main() -> None:
    """Fine-tune the member that the parent sends."""
    # Ctrl-C goes to all processes of a terminal; the parent decides whether to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = worker.connect(grace_s=GRACE_S)
    sys.meta_path.insert(0, convert.Hidden(*convert.NEEDLESS))
    fields = next(parent.messages())
    is_planned = fields.pop("is_planned")
    fields["config"] = FinetuneConfig(**fields["config"])
    fields["size"] = tuple(fields["size"])

    def plan(epochs_s: Sequence[float]) -> tuple[int, float]:
        parent.send({"epochs_s": epochs_s})
        reply = next(parent.messages(), {"epochs": 0, "seconds": 0.0})  # none: stop
        return int(reply["epochs"]), float(reply["seconds"])

    finetune(
        FinetuneTask(**fields),
        parent.send,
        stop=parent.stopping.is_set,
        plan=plan if is_planned else None,
    )


if __name__ == "__main__":
    main()
