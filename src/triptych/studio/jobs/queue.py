"""The queue of training jobs: one runs at a time, the others wait."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.engines.options import INT8
from triptych.studio.jobs import config as job_config
from triptych.studio.jobs.progress import JobProgress
from triptych.studio.projects import Projects
from triptych.studio.projects import job_table
from triptych.studio.projects.job_table import Job
from triptych.training.config import TrainingStage
from triptych.utils import concurrency
from triptych.utils import files
from triptych.utils.text import text
from triptych.utils.worker import Worker

FOLDER = "jobs"
LOG = "log.txt"
WORKER = "triptych.studio.jobs.worker"
# Pages poll about once a second, so not every photo needs a write to disk.
SAVE_S = 0.5
# How long closing the studio waits for a job to stop.
CLOSING_S = 5.0
KEPT = text("Features computed so far are kept, and it can go on.")
DIED = text("The studio ended while this was under way. {kept}", kept=KEPT)
CLOSED = text("The studio was closed while this was under way. {kept}", kept=KEPT)
STOPPED = text("Stopped; the features computed so far are kept.")


class Jobs:
    """The queue of training jobs: one runs at a time, each in a process of its own.

    Jobs that were running when a server died are marked as interrupted. ``changes`` notifies when
    the state of a job has changed.

    Args:
        projects: The projects.
        home: Home folder.
        options: Fields of an `EngineOptions` by which networks run: ``precision``,
            ``device`` and ``threads``.

    Raises:
        errors.StateError: What the studio keeps cannot be read or written.

    Example:
        >>> jobs = Jobs(projects, home)  # doctest: +SKIP
        >>> job = jobs.start("garden", {"backbones": ["lite0"]})  # doctest: +SKIP
        >>> jobs.state(job.id).stage  # doctest: +SKIP
        'Computing features'
    """

    def __init__(self, projects: Projects, home: Path, options: Mapping[str, Any] = {}) -> None:
        self._projects = projects
        self._home = home
        self._options = {
            name: options[name] for name in ("precision", "device", "threads") if name in options
        }
        if self._options.get("precision") == INT8:  # for serving only; training runs unquantized
            self._options["precision"] = "auto"
        self._folder = projects.database.path.parent / FOLDER
        self._jobs = job_table.JobTable(projects.database)
        self._server_lock = files.file_lock(self._folder / "claim", timeout_s=0)
        # Never held during a write, as pages need it to read. Jobs start one by one.
        self._lock = threading.RLock()
        self._starting = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._running: JobProgress | None = None
        self._process: Worker | None = None
        self._worker: threading.Thread | None = None
        # State and error of the running job if its process ends without a last message.
        self._ending: tuple[str, str] | None = None
        self.changes = concurrency.Signal()
        with contextlib.suppress(errors.Busy):
            self._acquire()
            self._server_lock.release(force=True)

    def _acquire(self) -> None:
        """Take the lock for running jobs; mark jobs of a dead server as interrupted."""
        if self._worker:
            return
        try:
            self._server_lock.acquire()
        except files.LockTimeout:
            raise errors.Busy(
                text(
                    "Another Triptych is teaching in this folder just now; one does at a time. "
                    "Try again when it is done, or start with another --home."
                )
            ) from None
        self._jobs.interrupt(DIED)
        # Remove files of jobs whose projects were removed.
        numbers = self._jobs.numbers()
        for path in self._folder.iterdir():
            if path.name.isdecimal() and int(path.name) not in numbers:
                shutil.rmtree(path, ignore_errors=True)

    def start(self, key: str, config: Mapping[str, Any]) -> Job:
        """Queue a training of a project.

        Args:
            key: Of the project.
            config: Fields of a `TrainingConfig`, those of `config.FIELDS`; the others keep their
                defaults.

        Raises:
            errors.UnknownName: There is no such project, backbone, head or augmentation.
            errors.SourceError: It has too few classes or photos.
            errors.SettingError: The configuration is impossible.
            errors.WeightsMissing: A backbone's weights have to be fetched first.
            errors.Busy: It is being taught already, or another server is teaching.
        """
        project = self._projects.find(key)
        job_config.check(project, config, self._home)
        classes = {each.name: each.id for each in project.classes}
        with self._starting:
            self._refuse_second(key)
            self._acquire()
            job = self._jobs.add(key, {**config, "classes": classes})
            self._enqueue(job)
            return job

    def again(self, key: str) -> Job:
        """Train a project again, with the configuration of its latest job.

        Raises:
            As `start`.
        """
        last = self.latest(key)
        config = _config_of(last) if last else {}
        return self.start(key, job_config.for_kind(self._projects.find(key), config))

    def resume(self, number: int) -> Job:
        """Queue a job that ended without a result again; stored features are reused.

        It trains on the photos and classes as they are now.

        Raises:
            errors.Busy: It is under way, or done already; or its project is being taught.
            Others: As `start`.
        """
        job = self.state(number)
        if job.is_under_way or job.state == job_table.DONE:
            raise errors.Busy(
                text("This job is under way; only one that ended early can go on.")
                if job.is_under_way
                else text("This job is done; only one that ended early can go on.")
            )
        project = self._projects.find(job.key)
        job_config.check(project, _config_of(job), self._home)
        classes = {each.name: each.id for each in project.classes}
        with self._starting:
            self._refuse_second(job.key)
            self._acquire()
            again = Job(job.id, job.key, job.created_s, {**job.options, "classes": classes})
            self._jobs.put(again)
            self._enqueue(again)
            return again

    def _refuse_second(self, key: str) -> None:
        with self._lock:
            under_way = [job.key for job in self._under_way() if job.is_under_way]
        if key in under_way:
            raise errors.Busy(
                text("This project is being taught already; wait for that, or stop it.")
            )

    def _under_way(self) -> list[Job]:
        return [*([self._running.job] if self._running else []), *self._waiting]

    def _enqueue(self, job: Job) -> None:
        with self._lock:
            self._waiting.append(job)
            if not self._worker:
                self._server_lock.acquire()  # the last worker may have released it just now
                self._worker = threading.Thread(target=self._work, name="jobs", daemon=True)
                self._worker.start()

    def stop(self, number: int) -> None:
        """Stop a job; what was computed so far is kept. Does not wait for its end.

        During fine-tuning, the job first saves the best so far and ends as done; stopped again, it
        ends soon, without a result.

        Raises:
            errors.UnknownName: There is no such job.
        """
        self._jobs.find(number)
        with self._lock:
            dropped = [job for job in self._waiting if job.id == number]
            for job in dropped:
                self._waiting.remove(job)
            if self._running and self._running.job.id == number:
                stage, is_stopping = self._running.job.stage, self._running.job.is_stopping
                if (
                    self._process
                    and not is_stopping
                    and TrainingStage.of(stage) is TrainingStage.FINE_TUNING
                ):
                    self._running.stop()
                    self._process.send({"stop": True})
                    self.changes.notify()
                else:
                    self._stop_running(job_table.STOPPED, STOPPED, job_config.GRACE_S)
        self._note_end(dropped, job_table.STOPPED, STOPPED)

    def _note_end(self, jobs: list[Job], state: str, error: str) -> None:
        for job in jobs:
            self._jobs.put(dataclasses.replace(job, state=state, error=error, ended_s=time.time()))
            self.changes.notify()

    def _stop_running(self, state: str, error: str, patience_s: float) -> None:
        self._ending = (state, error)
        if self._process:
            self._process.stop()
            killer = threading.Timer(patience_s, self._process.kill)
            killer.daemon = True
            killer.start()

    def state(self, number: int) -> Job:
        """A job as it is now.

        Raises:
            errors.UnknownName: There is no such job.
        """
        with self._lock:
            for job in self._under_way():
                if job.id == number:
                    return job
            return self._jobs.find(number)

    def of(self, key: str) -> list[Job]:
        """The jobs of a project as they are now, the latest first.

        Raises:
            errors.UnknownName: There is no such project.
        """
        with self._lock:
            now = {job.id: job for job in self._under_way()}
            return [now.get(job.id, job) for job in self._jobs.of(key)]

    def latest(self, key: str) -> Job | None:
        """The latest job of a project as it is now, if it has any.

        Raises:
            errors.UnknownName: There is no such project.
        """
        return next(iter(self.of(key)), None)

    def close(self) -> None:
        """Interrupt running jobs; they can be resumed after the next start."""
        with self._lock:
            dropped = list(self._waiting)
            self._waiting.clear()
            worker = self._worker
            if self._running:
                self._stop_running(job_table.INTERRUPTED, CLOSED, CLOSING_S)
        with contextlib.suppress(errors.TriptychError):  # the next start marks them
            self._note_end(dropped, job_table.INTERRUPTED, CLOSED)
        if worker:
            worker.join(job_config.GRACE_S)

    # In the queue's thread

    def _work(self) -> None:
        while running := self._next():
            try:
                self._run(running)
            except Exception as error:  # whatever happens, the next job must run
                running.end(
                    job_table.FAILED, text("The job could not be run: {error}", error=error)
                )
            with contextlib.suppress(errors.TriptychError):  # a full disk; it is marked later
                self._jobs.put(running.job)
            with self._lock:
                self._running = self._process = None
            self.changes.notify()

    def _next(self) -> JobProgress | None:
        with self._lock:
            self._ending = None
            if not self._waiting:
                self._worker = None
                self._server_lock.release(force=True)
                return None
            job = self._waiting.popleft()
            self._running = JobProgress(
                dataclasses.replace(
                    job, state=job_table.RUNNING, stage="Starting", began_s=time.time()
                )
            )
            return self._running

    def _run(self, running: JobProgress) -> None:
        job = running.job
        folder = self._folder / str(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        self._jobs.put(job)
        self.changes.notify()
        with self._lock:
            # The folder on its command line shows people what the process belongs to.
            process = self._process = Worker(WORKER, str(folder), log=folder / LOG)
            process.send(
                {
                    "home": str(self._home),
                    "key": job.key,
                    "config": _config_of(job),
                    "options": self._options,
                }
            )
            if self._ending:  # stopped before it began
                process.stop()
        with process:
            saved, stage = time.monotonic(), job.stage
            for message in process.messages():
                with self._lock:
                    running.update(message)
                self.changes.notify()
                now = time.monotonic()
                if running.job.stage != stage or "stage" not in message or now - saved >= SAVE_S:
                    self._jobs.put(running.job)
                    saved, stage = now, running.job.stage
            code = process.wait(job_config.GRACE_S)
        why = _explained(code) if code else text("It ended without saying why.")
        running.end(*(self._ending or (job_table.FAILED, why)))


def _config_of(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.options.items() if name in job_config.FIELDS}


def _explained(code: int) -> str:
    if code == -signal.SIGKILL:
        return text(
            "The process that was teaching was killed (SIGKILL); the machine may have "
            "run out of memory. Features computed so far are kept: go on, with fewer or "
            "smaller backbones if it happens again."
        )
    how = text("with exit code {code}", code=code)
    if code < 0:
        how = text("by {name}", name=signal.Signals(-code).name)
    return text(
        "The process that was teaching ended {how}. Features computed so far are kept.", how=how
    )
