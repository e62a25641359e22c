"""The state of a running job: stage, speed, time left, accuracies, and how it ended."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from triptych.studio.projects import job_table
from triptych.studio.projects.job_table import Job
from triptych.training.config import TrainingStage
from triptych.utils.pace import TimeLeft

# Speed is averaged over this window: shorter ones make it jump, longer ones lag.
WINDOW_S = 10.0
# No speed is measured over shorter times.
LEAST_S = 0.3
# Stages that process photos, whose speed is shown.
PHOTO_STAGES = (TrainingStage.SCAN, TrainingStage.FEATURES, TrainingStage.AUGMENTED_FEATURES)


class Speedometer:
    """Measures the speed of a stage.

    Args:
        clock: Gives seconds.

    Example:
        >>> seconds = iter([0.0, 1.0, 2.0])
        >>> speed = Speedometer(lambda: next(seconds))
        >>> [speed.step(done) for done in (0, 8, 24)]
        [None, 8.0, 12.0]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: deque[tuple[float, int]] = deque()

    def step(self, done: int) -> float | None:
        """Record progress; returns steps per second, or ``None`` if too little time has passed."""
        now = self._clock()
        self._steps.append((now, done))
        while len(self._steps) > 2 and self._steps[1][0] <= now - WINDOW_S:
            self._steps.popleft()
        began, before = self._steps[0]
        return (done - before) / (now - began) if now - began >= LEAST_S else None


class JobProgress:
    """Updates a running job from the messages of its worker.

    Args:
        job: The job at its start.
        clock: Gives seconds.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self.job = job
        self._clock = clock
        self._speed = Speedometer(clock)
        self._left = TimeLeft(clock)

    def update(self, message: dict[str, Any]) -> None:
        """Process a message; `triptych.studio.jobs.worker` lists them."""
        if "stage" in message:
            stage, done, total = message["stage"], message["done"], message["total"]
            if stage != self.job.stage:
                self._speed = Speedometer(self._clock)
                self._left = TimeLeft(self._clock)
            speed = self._speed.step(done)
            self._change(
                stage=stage,
                done=done,
                total=total,
                rate=speed if stage in PHOTO_STAGES else None,
                left_s=self._left.update(done, total),
            )
        elif "member" in message:
            others = [score for score in self.job.news if score["member"] != message["member"]]
            self._change(news=(*others, message))
        elif "epoch" in message:
            epoch = message["epoch"]
            others = [
                each
                for each in self.job.epochs
                if (each["member"], each["number"]) != (epoch["member"], epoch["number"])
            ]
            self._change(epochs=(*others, epoch))
        elif "version" in message:
            self.end(job_table.DONE, version=message["version"])
        elif "failed" in message:
            self.end(job_table.FAILED, message["failed"])

    def end(self, state: str, error: str | None = None, *, version: int | None = None) -> None:
        """Record how it ended, unless that is recorded already.

        Args:
            state: One of the states of a job.
            error: Reason why there is no result, for people.
            version: Version of the resulting bundle.
        """
        if self.job.is_under_way:
            self._change(
                state=state,
                error=error,
                version=version,
                rate=None,
                left_s=None,
                is_stopping=False,
                ended_s=time.time(),
            )

    def stop(self) -> None:
        """Record that it was asked to stop, and goes on only to save the best so far."""
        self._change(is_stopping=True)

    def _change(self, **fields: Any) -> None:
        self.job = dataclasses.replace(self.job, **fields)
