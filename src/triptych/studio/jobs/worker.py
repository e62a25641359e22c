"""The worker process of a training job: reports progress to its parent, and ends with it.

It gets one message: ``{"home": ..., "key": ..., "config": {...}, "options": {...}}``, the project
and fields of a `TrainingConfig` and of `EngineOptions`. It sends:

    {"stage": ..., "done": ..., "total": ...}    progress
    {"member": ..., "accuracy": ...}             accuracy of a member, or of the committee, on
                                                 so many "photos"
    {"epoch": {"member": ..., ...}}              an epoch of fine-tuning; see `TrainingConfig`
    {"version": ...}                             done: the version of the bundle
    {"failed": ...}                              the reason for a failure; a worker that was told
                                                 to stop sends nothing

When its parent sends ``{"stop": true}``, it stops: during fine-tuning it still saves the best so
far and writes the bundle, however long that takes; before that, features computed so far are kept.
When its parent closes its input, or dies, it has a few seconds to do so.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import os
import threading
import traceback
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.engines.options import EngineOptions
from triptych.studio.jobs import config as job_config
from triptych.studio.projects import Projects
from triptych.training import pipeline
from triptych.utils import worker
from triptych.utils.text import text

# Requests to the studio have priority.
NICENESS = 10


def main() -> None:
    """Train the project that the parent sends."""
    parent = worker.connect(grace_s=job_config.GRACE_S)
    faulthandler.enable()
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    try:
        messages = parent.messages()
        task, stopping = next(messages), threading.Event()

        def hear() -> None:
            for message in messages:
                if message.get("stop"):
                    stopping.set()

        threading.Thread(target=hear, name="stop", daemon=True).start()
        parent.send({"version": _train(parent, stopping, **task)})
    except errors.Stopped:
        pass  # the parent stopped it, and needs no message
    except errors.TriptychError as error:
        parent.send({"failed": error.message})
    except Exception as error:
        traceback.print_exc()
        last = traceback.format_exception_only(error)[-1].strip()
        parent.send(
            {
                "failed": text(
                    "Teaching failed through a mistake of Triptych or of a library: {last}",
                    last=last,
                )
            }
        )


def _train(
    parent: worker.Parent,
    stopping: threading.Event,
    *,
    home: str,
    key: str,
    config: dict[str, Any],
    options: dict[str, Any],
) -> int:
    def progress(stage: str, done: int, total: int) -> None:
        parent.send({"stage": stage, "done": done, "total": total})

    bundle = pipeline.train(
        Projects(Path(home)).dataset(key),
        name=key,
        options=EngineOptions(home=Path(home), report=print, **options),
        config=dataclasses.replace(
            job_config.training_config(config),
            progress=progress,
            on_score=lambda member, score: parent.send(
                {"member": member, "accuracy": float(score), "photos": score.photos}
                | ({"multilabel": True} if score.multilabel else {})
            ),
            on_epoch=lambda epoch: parent.send({"epoch": epoch}),
            stop=lambda: stopping.is_set() or parent.stopping.is_set(),
        ),
        publish=False,
    )
    return bundle.version


if __name__ == "__main__":
    main()
