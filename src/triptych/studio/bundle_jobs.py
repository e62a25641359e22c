"""Work on bundles that people start in the studio: one job at a time, in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Generic
from typing import TypeVar

from triptych import errors
from triptych.typing import Notify
from triptych.utils import worker
from triptych.utils.text import text
from triptych.utils.worker import Worker

RUNNING, DONE, STOPPED, FAILED = "running", "done", "stopped", "failed"
# Requests to the studio have priority.
NICENESS = 10


@dataclass(frozen=True)
class BundleJob:
    """A job that was started.

    Args:
        bundle: Name of the bundle.
        version: Its version.
        state: ``"running"``, ``"done"``, ``"stopped"`` or ``"failed"``.
        said: What it does, what it made, or why it failed.
        began_s: When it was started, in seconds since the epoch.
    """

    bundle: str
    version: int
    state: str = field(default=RUNNING, kw_only=True)
    said: str = field(default="", kw_only=True)
    began_s: float = field(default_factory=time.time, kw_only=True)

    @property
    def is_under_way(self) -> bool:
        """Whether it runs."""
        return self.state == RUNNING


Job = TypeVar("Job", bound=BundleJob)


class BundleJobs(Generic[Job]):
    """Jobs of one kind; the latest of each bundle is remembered until the studio ends.

    Args:
        home: Home folder; its path is not shown to clients.

    Example:
        >>> jobs = BundleJobs(Path("home"))
        >>> jobs.latest("garden") is None
        True
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._latest: dict[str, Job] = {}  # by bundle
        self._running: Run[Job] | None = None

    def start(self, job: Job, work: Callable[[Run[Job]], str]) -> Job:
        """Start a job; it goes on when the page that started it is closed.

        Args:
            job: What is done.
            work: Does it, in a thread; returns what was made, for people.

        Raises:
            errors.Busy: Another one is under way.
        """
        with self._lock:
            if self._running:
                raise errors.Busy(
                    text(
                        "The same is under way for {bundle}; one runs at a time. Wait until it is "
                        "done, or stop it.",
                        bundle=self._running.job.bundle,
                    )
                )
            self._running = Run(job, self._say)
            self._latest[job.bundle] = job
            self._running.thread = threading.Thread(
                target=self._run, args=(self._running, work), name="bundle-job", daemon=True
            )
            self._running.thread.start()
        return job

    def stop(self, bundle: str) -> None:
        """Stop the job of a bundle, if one is under way; nothing of it is kept."""
        with self._lock:
            if self._running and self._running.job.bundle == bundle:
                self._latest[bundle] = dataclasses.replace(
                    self._running.job, state=STOPPED, said=text("Stopped.")
                )
                self._running.stop()

    def latest(self, bundle: str) -> Job | None:
        """The latest job of a bundle since the studio was started, as it is now."""
        with self._lock:
            return self._latest.get(bundle)

    def close(self) -> None:
        """Stop what is under way, and wait for its end."""
        with self._lock:
            running = self._running
        if running and running.thread:
            self.stop(running.job.bundle)
            running.thread.join()

    # In the thread of a job

    def _run(self, run: Run[Job], work: Callable[[Run[Job]], str]) -> None:
        state = FAILED
        try:
            state, said = DONE, work(run)
        except errors.TriptychError as error:
            state, said = FAILED, error.message
        except Exception as error:  # whatever happens, the next job must run
            state, said = FAILED, text("It did not work: {reason}", reason=str(error))
        with self._lock:
            self._running = None
            self._change(run.job, state=state, said=said)

    def _say(self, job: Job, said: str) -> None:
        with self._lock:
            self._change(job, said=said)

    def _change(self, job: Job, **changes: Any) -> None:
        if self._latest[job.bundle].state == RUNNING:
            if str(self._home) in changes["said"]:  # paths are not for clients
                changes["said"] = changes["said"].replace(str(self._home), "HOME")
            self._latest[job.bundle] = dataclasses.replace(job, **changes)


class Run(Generic[Job]):
    """A job under way, as its work sees it.

    Args:
        job: What is done.
        say: Called with the job and what it does.

    Attributes:
        thread: In which it is done.
    """

    def __init__(self, job: Job, say: Callable[[Job, str], None]) -> None:
        self.job = job
        self.thread: threading.Thread | None = None
        self._say = say
        self._stopped = threading.Event()
        self._process: Worker | None = None

    def say(self, said: str) -> None:
        """Tell people what is done."""
        self._say(self.job, said)

    def stop(self) -> None:
        """End the job's process, or the job as soon as it looks."""
        self._stopped.set()
        if self._process:
            self._process.kill()

    def raise_if_stopped(self) -> None:
        """Raise `errors.Stopped` if the job was stopped."""
        if self._stopped.is_set():
            raise errors.Stopped(text("Stopped."))

    def in_child(self, module: str, task: Mapping[str, Any]) -> Any:
        """Let a child process work that calls `work_for_parent`.

        Args:
            module: What to run.
            task: What to do, as JSON.

        Returns:
            The child's result.

        Raises:
            errors.Stopped: The job was stopped.
            errors.EngineError: The child failed; the message says why.
        """
        with Worker(module) as process:
            self._process = process
            self.raise_if_stopped()
            process.send(task)
            for message in process.messages():
                if "failed" in message:
                    raise errors.EngineError(message["failed"])
                if "done" in message:
                    self.raise_if_stopped()
                    return message["done"]
                self.say(message["said"])
            self.raise_if_stopped()
            raise errors.EngineError(
                text("The process ended without an answer: {reason}", reason=process.reason)
            )


def work_for_parent(work: Callable[[dict[str, Any], Notify], Any]) -> None:
    """The whole life of the child process of a job: one task, lines for people, one result.

    Args:
        work: Called with the task, and a function that is called with a line for people; returns
            the result, as JSON.
    """
    parent = worker.connect()
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    task = next(parent.messages())
    try:
        parent.send({"done": work(task, lambda line: parent.send({"said": line}))})
    except errors.TriptychError as error:
        parent.send({"failed": error.message})
    except Exception as error:
        traceback.print_exc()
        last = traceback.format_exception_only(error)[-1].strip()
        parent.send(
            {
                "failed": text(
                    "It failed through a mistake of Triptych or of a library: {last}", last=last
                )
            }
        )
