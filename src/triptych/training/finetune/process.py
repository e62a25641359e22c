"""The process that a network is fine-tuned in."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from triptych import errors
from triptych.training.finetune import worker
from triptych.training.finetune.task import FinetuneTask
from triptych.training.finetune.training_loop import OnMessage
from triptych.training.finetune.training_loop import PlanEpochs
from triptych.typing import ShouldStop
from triptych.utils.text import text
from triptych.utils.worker import Worker

# Every step allocates the same activations, so glibc should keep the memory for the next one. By
# default it returns large blocks to the system, which clears each page when it hands it out again.
# Measured with lite0: 15 % less processor time a step, and 5 % more memory. Source: mallopt(3).
KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


def run(
    task: FinetuneTask,
    on_message: OnMessage,
    *,
    stop: ShouldStop = lambda: False,
    plan: PlanEpochs | None = None,
    threads: int = 0,
) -> None:
    """Fine-tune in a worker process, which ends with this call whatever happens.

    Args:
        task: What to fine-tune, and how.
        on_message: Called with each message of the worker.
        stop: Polled several times a second; when it returns true, the best epoch so far is written.
        plan: See `training_loop.finetune`; called in this process.
        threads: Processor threads; 0 takes every core.

    Raises:
        errors.EngineError: The worker failed.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_DETERMINISTIC_OPS": "1",
        # Leave memory on the GPU to other processes.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        **KEEP_MEMORY,
        **({"TF_NUM_INTRAOP_THREADS": str(threads)} if threads else {}),
    }
    with Worker(worker.__name__, environment=environment) as child:
        child.send({**dataclasses.asdict(task), "is_planned": plan is not None})
        for message in child.messages(lambda: child.stop() if stop() else None):
            if plan and "epochs_s" in message:
                epochs, seconds = plan(message["epochs_s"])
                child.send({"epochs": epochs, "seconds": seconds})
            else:
                on_message(message)
        if code := child.wait():
            raise errors.EngineError(
                text(
                    "Fine-tuning {parent} failed with exit code {code}: {reason}",
                    parent=Path(task.model).parent.name,
                    code=code,
                    reason=child.reason,
                )
            )
