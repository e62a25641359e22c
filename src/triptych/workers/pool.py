"""Worker processes: started, given work, and replaced when they die."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any
from typing import cast

from triptych import errors
from triptych.results import Failure
from triptych.results import Verdict
from triptych.utils import concurrency
from triptych.utils.text import text
from triptych.utils.worker import Worker
from triptych.workers import process as worker_process
from triptych.workers.messages import Classify
from triptych.workers.messages import Drop
from triptych.workers.messages import Load
from triptych.workers.messages import Ping

logger = logging.getLogger("triptych")

# Photos that a worker holds at most: one is classified, and the next one is already there.
PREFETCH = 2
# More do not get their photos fast enough from one process that receives all requests.
MAX_WORKERS = 16
# How often a photo is sent to another worker because the one that had it died.
ATTEMPTS = 3
# Starts in a row that may fail before photos are refused.
MAX_FAILED_STARTS = 3
CHECK_S = 0.5


@contextlib.contextmanager
def start(wanted: int, *, threads: int = 0) -> Iterator[WorkerPool | None]:
    """Start worker processes, and end them with the ``with`` block.

    Args:
        wanted: How many; 0 takes one for each core, and 1 none: a single one is not faster than
            this process.
        threads: Processor threads that networks may use; 0 means every core.

    Yields:
        ``None`` without any, as on systems where a process cannot inherit connections.

    Raises:
        errors.EngineError: They cannot be started.

    Example:
        >>> with start(1) as pool:
        ...     print(pool)
        None
    """
    cores = min(threads or MAX_WORKERS, concurrency.cpu_count(), MAX_WORKERS)
    workers = wanted or cores
    if workers == 1 or sys.platform == "win32":
        yield None
        return
    with WorkerPool(workers) as pool:
        yield pool


class WorkerPool:
    """Worker processes that all have the same committees; thread-safe.

    Leaving the ``with`` block ends them.

    Args:
        workers: How many, at least 1.

    Raises:
        errors.EngineError: They cannot be started; the message says why.
    """

    def __init__(self, workers: int) -> None:
        self.size = workers
        self.restarts = 0  # workers that died and were replaced
        self._loads: dict[int, Load] = {}
        self._keys = itertools.count()
        self._changing = threading.Lock()  # held while committees or workers come and go
        self._idle = threading.Condition()  # guards the idle connections of workers
        self._waiting: deque[object] = deque()  # tickets of those who wait for a connection
        self._failed_starts = 0
        self._closed = False
        # Keys to unload. The garbage collector puts them, and `put` of other queues may deadlock.
        self._dropped: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._workers = [_Process() for _ in range(workers)]
        for process in self._workers:
            process.put_into_service()
        threading.Thread(target=self._maintain, name="triptych-workers", daemon=True).start()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    @property
    def process_ids(self) -> list[int]:
        """The ids of the workers that are running."""
        return [each.worker.pid for each in list(self._workers) if not each.worker.has_ended]

    def load(self, committee: str, options: dict[str, Any], settings: dict[str, Any]) -> int:
        """Load a committee in all workers.

        Args:
            committee: As `triptych.bundles.loading.load_committee` takes it.
            options: Fields of `EngineOptions`.
            settings: Keyword arguments of `triptych.bundles.loading.load_classifier`.

        Returns:
            Its key for `classify`.

        Raises:
            errors.TriptychError: It cannot be loaded.
        """
        request = Load(next(self._keys), committee, options, settings)
        with self._changing:
            self._replace_dead()
            self._loads[request.key] = request
            try:
                self._load_in_all(request)
            except errors.TriptychError:
                del self._loads[request.key]
                for process in self._workers:
                    process.call(Drop(request.key))
                raise
        return request.key

    def drop(self, key: int) -> None:
        """Unload a committee soon; may be called by the garbage collector."""
        self._dropped.put(key)

    def classify(self, request: Classify) -> Verdict | Failure:
        """Classify a photo in the worker that has the least to do; waits until one is free.

        If the worker dies, another one gets the photo.

        Args:
            request: The photo, and the key of a loaded committee.

        Raises:
            errors.TriptychError: As `Classifier.classify_many`.
            errors.EngineError: The workers cannot be started any more.
        """
        message = ForkingPickler.dumps(request)
        for attempt in range(ATTEMPTS):
            # What may have ended a worker has the next one to itself, and takes no other photo
            # with it if it was to blame.
            process, connections = self._take_connections(PREFETCH if attempt else 1)
            try:
                connections[0].send_bytes(message)
                answer = connections[0].recv()
            except (EOFError, OSError):
                self._retire(process)
                self._dropped.put(None)  # has it replaced at once
                continue
            except BaseException:
                self._retire(process)  # its answer would be taken for that to the next photo
                raise
            self._give_back(process, connections)
            if isinstance(answer, errors.TriptychError):
                raise answer
            return cast("Verdict | Failure", answer)
        return Failure(
            request.source,
            errors.EngineError.code,
            f"The process that classified this image ended before it was done, {ATTEMPTS} times. "
            "It may need more memory than there is; send a smaller image.",
        )

    def close(self) -> None:
        """End the workers; photos under way are not answered."""
        with self._idle:
            self._closed = True
            self._idle.notify_all()
        self._dropped.put(None)
        with self._changing:
            for process in self._workers:
                process.worker.close()

    def _take_connections(self, count: int) -> tuple[_Process, list[Connection]]:
        # First come, first served: else a photo might wait while many later ones are classified.
        ticket = object()
        with self._idle:
            self._waiting.append(ticket)
            try:
                while True:
                    in_service = any(each.in_service for each in self._workers)
                    if self._closed or (
                        self._failed_starts >= MAX_FAILED_STARTS and not in_service
                    ):
                        raise errors.EngineError(
                            text(
                                "The processes that classify images have ended and cannot be "
                                "started again; the log says why. Restart the server when that "
                                "is mended."
                            )
                        )
                    free = [each for each in self._workers if len(each.idle) >= count]
                    if free and self._waiting[0] is ticket:
                        process = max(free, key=lambda each: len(each.idle))
                        return process, [process.idle.pop() for _ in range(count)]
                    self._idle.wait()
            finally:
                self._waiting.remove(ticket)
                self._idle.notify_all()

    def _give_back(self, process: _Process, connections: list[Connection]) -> None:
        with self._idle:
            if process.in_service:
                process.idle += connections
                self._idle.notify_all()

    def _retire(self, process: _Process) -> None:
        with self._idle:
            process.in_service = False
            process.idle.clear()
        process.worker.kill()

    # ------------------------------------------------------------- while `_changing` is held

    def _load_in_all(self, request: Load) -> None:
        """Load a committee in all workers at the same time; raises the first error."""
        with ThreadPoolExecutor(self.size) as pool:
            problems = list(pool.map(lambda process: process.call(request), self._workers))
        for problem in filter(None, problems):
            raise problem

    def _replace_dead(self) -> None:
        for position, process in enumerate(self._workers):
            if self._closed or not process.worker.has_ended:
                continue
            self._retire(process)
            if not self._failed_starts:
                logger.error(
                    "A worker process ended with status %d (%s) and is replaced.",
                    process.worker.wait(),
                    process.worker.reason,
                )
            self._start_successor(position)

    def _start_successor(self, position: int) -> None:
        try:
            successor = _Process()
        except errors.EngineError as error:
            if not self._failed_starts:  # it is tried again and again
                logger.error("%s", error.message)
            self._count_start(failed=True)
            return
        self._workers[position].worker.close()
        self._workers[position] = successor
        requests: list[Ping | Load] = [Ping(), *self._loads.values()]
        for request in requests:
            # An error, such as that of a bundle that was removed, is the answer to its photos.
            successor.call(request)
        self.restarts += 1
        has_failed = successor.worker.has_ended
        if not has_failed:
            successor.put_into_service()
        self._count_start(failed=has_failed)

    def _count_start(self, *, failed: bool) -> None:
        with self._idle:
            self._failed_starts = self._failed_starts + 1 if failed else 0
            self._idle.notify_all()

    def _maintain(self) -> None:
        """Unload what was dropped and replace who died, until the pool is closed."""
        while True:
            key = None
            with contextlib.suppress(queue.Empty):
                key = self._dropped.get(timeout=CHECK_S)
            with self._changing:
                if self._closed:  # and the workers are gone
                    return
                if key is not None:
                    del self._loads[key]
                    for process in self._workers:
                        process.call(Drop(key))
                self._replace_dead()


class _Process:
    """A worker process, and the connections to it.

    Attributes:
        worker: The process.
        in_service: Whether it has all committees, and has not died.
        idle: Connections on which it can be sent a photo; none while it is not in service.
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as ends:
            try:
                pairs = [socket.socketpair() for _ in range(PREFETCH + 1)]
                for ours, theirs in pairs:
                    ends.enter_context(ours)
                    ends.enter_context(theirs)
                descriptors = [theirs.fileno() for _, theirs in pairs]
                self.worker = Worker(
                    worker_process.__name__, *map(str, descriptors), pass_fds=descriptors
                )
            except OSError as error:
                raise errors.EngineError(
                    f"A worker process cannot be started: {error}. Free memory or processes, or "
                    "start with --workers 1, which needs none."
                ) from error
            self._control, *self._connections = (Connection(ours.detach()) for ours, _ in pairs)
        self.in_service = False
        self.idle: list[Connection] = []

    def put_into_service(self) -> None:
        """Let it have photos from now on."""
        self.in_service = True
        self.idle = list(self._connections)

    def call(self, request: Ping | Load | Drop) -> errors.TriptychError | None:
        """Send a request, and wait for its response: the error that it ended with, if any."""
        try:
            self._control.send(request)
            return cast("errors.TriptychError | None", self._control.recv())
        except (EOFError, OSError):
            self.worker.wait()
            return errors.EngineError(
                f"A worker process ended while it loaded a committee ({self.worker.reason}). "
                "There may be too little memory; start with --workers 1, which needs less."
            )
