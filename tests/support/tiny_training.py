"""The worker of a studio's training jobs, which knows `tiny_backbone`.

Its fine-tuning waits after the first epoch until it is told to stop: an epoch of so small a network
is over before a person, or a browser, has seen the one before.

python -m support.tiny_training FOLDER
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from support import tiny_backbone
from triptych.engines.conversion import convert
from triptych.engines.conversion.requests import RequestWorker
from triptych.models import zoo
from triptych.studio.jobs import worker as job_worker
from triptych.training.finetune import process
from triptych.utils.worker import Worker


class WaitingWorker(Worker):
    """The process that a network is fine-tuned in, halted between its first epoch and `stop`."""

    def messages(self, poll: Callable[[], None] | None = None) -> Iterator[dict[str, Any]]:
        """See `Worker.messages`."""
        for message in super().messages(poll):
            if message.get("number") == 1:
                self._process.send_signal(signal.SIGSTOP)
            yield message

    def stop(self) -> None:
        """See `Worker.stop`."""
        super().stop()
        self._process.send_signal(signal.SIGCONT)


def main() -> None:
    """Train the project that the studio sends."""
    zoo.BACKBONES[tiny_backbone.TINY.name] = tiny_backbone.TINY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            convert,
            "RequestWorker",
            lambda _, **options: RequestWorker(tiny_backbone.__name__, **options),
        )
        patch.setattr(process, "Worker", WaitingWorker)
        job_worker.main()


if __name__ == "__main__":
    main()
