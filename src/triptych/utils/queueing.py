"""A bounded queue of work for a few threads, and deadlines for its results."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from typing import TypeVar

from triptych import errors
from triptych.utils.text import text

T = TypeVar("T")
# Waits for a future so many seconds, and says whether it is done.
Wait = Callable[[Future[Any], float], bool]

# Weight of the newest work in the moving average of the time that an image takes.
NEWEST = 0.1


class Queue:
    """A bounded queue in front of a few threads, counted in images; thread-safe.

    Args:
        threads: Number of threads.
        capacity: Most images that wait or are worked on. Work that is larger than this is
            accepted when the queue is empty.
        waited: Called when work begins, with the seconds that it had waited.

    Example:
        >>> queue = Queue(1, capacity=4)
        >>> queue.submit(lambda: "done", images=2).result()
        'done'
    """

    def __init__(
        self, threads: int, *, capacity: int, waited: Callable[[float], None] = lambda _: None
    ) -> None:
        self._capacity = capacity
        self._waited = waited
        self._pool = _threads(threads)
        self._lock = threading.Lock()
        self._images = 0
        self._spent_s = 0.0  # moving average of the time of an image, over all threads
        self._threads = threads
        self._closed = False

    @property
    def images(self) -> int:
        """How many images wait or are worked on."""
        return self._images

    def grow(self, threads: int) -> None:
        """Work with at least so many threads from now on."""
        with self._lock:
            if threads <= self._threads:
                return
            # The threads so far finish what was submitted to them, and end.
            self._pool.shutdown(wait=False)
            self._pool = _threads(threads)
            self._threads = threads

    def submit(self, work: Callable[[], T], *, images: int = 1) -> Future[T]:
        """Add work to the queue; cancelling the future makes room.

        Args:
            work: Called in one of the threads.
            images: Number of its images.

        Raises:
            errors.Overloaded: Too many are waiting.
        """
        with self._lock:
            self._check_room(images)
            self._images += images
            future = self._pool.submit(self._timed, work, images, time.monotonic())
        future.add_done_callback(lambda _: self._leave(images))
        return future

    def close(self) -> None:
        """Let `check` refuse new work from now on; work that has begun may still finish."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether new work is refused for good."""
        return self._closed

    def check(self) -> None:
        """Check that there is room for one image.

        Raises:
            errors.Overloaded: Too many are waiting, or the queue is closed.
        """
        if self._closed:
            raise errors.Stopping(text("The server is stopping and takes no more. Try again soon."))
        self._check_room(1)

    def _check_room(self, images: int) -> None:
        if self._images and self._images + images > self._capacity:
            raise errors.Overloaded(
                text(
                    "{images} images are waiting already, and at most {capacity} may. Try again "
                    "a little later.",
                    images=self._images,
                    capacity=self._capacity,
                ),
                retry_after_s=max(1, math.ceil(self._images * self._spent_s)),
            )

    def _leave(self, images: int) -> None:
        with self._lock:
            self._images -= images

    def _timed(self, work: Callable[[], T], images: int, taken: float) -> T:
        start = time.monotonic()
        self._waited(start - taken)
        try:
            return work()
        finally:
            spent_s = (time.monotonic() - start) / max(images, 1) / self._threads
            self._spent_s += NEWEST * (spent_s - self._spent_s)


def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="triptych-queue")


def wait(future: Future[Any], timeout_s: float) -> bool:
    """Wait for a future in this thread.

    Args:
        future: As `Queue.submit` gives it.
        timeout_s: Longest wait, in seconds.

    Returns:
        Whether it is done.

    Example:
        >>> wait(Queue(1, capacity=1).submit(lambda: 5), 1.0)
        True
    """
    return bool(futures.wait([future], timeout_s).done)


class Deadline:
    """The moment after which nobody waits for the answer to a request.

    Args:
        limit_s: Seconds from now.
        wait: Waits for a future so many seconds, and says whether it is done.

    Example:
        >>> Deadline(1.0).result(Queue(1, capacity=1).submit(lambda: 5))
        5
    """

    def __init__(
        self, limit_s: float, *, wait: Callable[[Future[Any], float], bool] = wait
    ) -> None:
        self._limit_s = limit_s
        self._end = time.monotonic() + limit_s
        self._wait = wait

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 when it has passed."""
        return max(0.0, self._end - time.monotonic())

    def result(self, future: Future[T], *, stops: bool = False) -> T:
        """Wait for the result of a future.

        Args:
            future: Is cancelled when the deadline has passed before it begins.
            stops: Whether it stops by itself when the deadline has passed.

        Raises:
            errors.DeadlinePassed: It was not done in time.
        """
        if not self._wait(future, self.left_s):
            late = text("There was no answer within {limit:g} seconds", limit=self._limit_s)
            if future.cancel() or stops:
                raise errors.DeadlinePassed(
                    text(
                        "{late}, so it was given up. Send fewer images at a time, or try again "
                        "when less is going on.",
                        late=late,
                    )
                )
            raise errors.DeadlinePassed(
                text(
                    "{late}. What was begun goes on: see whether it is done before you send it "
                    "again.",
                    late=late,
                )
            )
        return future.result()
