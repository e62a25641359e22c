"""Threads: over a stream, for array maths, within a budget of memory; processor cores."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait
from typing import Any
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

POLL_S = 0.2
MAX_LEADERS = 32


def map_ahead(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], *, ahead: int
) -> Iterator[R]:
    """Like ``pool.map``, but takes at most ``ahead`` items before their results are wanted.

    Args:
        pool: Does the work.
        work: Called with each item, in the pool's threads.
        items: May be endless.
        ahead: Most items in progress, at least 1.

    Example:
        >>> with ThreadPoolExecutor() as pool:
        ...     list(map_ahead(pool, abs, [-1, -2], ahead=1))
        [1, 2]
    """
    pending: deque[Future[R]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class Signal:
    """Wakes any number of waiters at each notification; thread-safe.

    Example:
        >>> signal = Signal()
        >>> waited_for = signal.next()
        >>> signal.notify()
        >>> waited_for.done(), signal.next().done()
        (True, False)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: Future[None] = Future()

    def next(self) -> Future[None]:
        """A future that is done at the next notification; all waiters share it."""
        with self._lock:
            return self._next

    def notify(self) -> None:
        """Wake all who wait."""
        with self._lock:
            waited_for, self._next = self._next, Future()
        waited_for.set_result(None)


class ArrayThreads:
    """Threads for NumPy: many small problems side by side, each on a single core.

    BLAS libraries use a single thread meanwhile, in the whole process. Their own threads wait for
    each other busily at every product, which takes longer than a product of a few megaflops, and
    several times as long where other programs run.

    A ``with`` block that is left by an exception ends the work: see `raise_if_ended`.

    Example:
        >>> with ArrayThreads() as threads:
        ...     list(threads.map(pow, [1, 2, 3], [2, 2, 2]))
        [1, 4, 9]
    """

    def __enter__(self) -> ArrayThreads:
        from threadpoolctl import threadpool_limits

        self._ended = threading.Event()
        self._limits = threadpool_limits(1, user_api="blas")
        self._pool = ThreadPoolExecutor(cpu_count(), thread_name_prefix="triptych-arrays")
        self._leaders = ThreadPoolExecutor(MAX_LEADERS, thread_name_prefix="triptych-leader")
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is not None:
            self._ended.set()
        for pool in (self._leaders, self._pool):
            pool.shutdown(cancel_futures=kind is not None)
        self._limits.restore_original_limits()

    def map(self, function: Callable[..., R], *items: Iterable[Any]) -> Iterator[R]:
        """As the builtin `map`, on as many items at a time as there are cores."""
        return self._pool.map(function, *items)

    def lead(
        self, function: Callable[..., R], *items: Iterable[Any], poll: Callable[[], None]
    ) -> Iterator[R]:
        """Results in order, of functions that run all at once and mostly wait for a `map`.

        Args:
            function: Called with each of the items.
            items: One or several iterables, as for `map`.
            poll: Called by the thread that waits for the results, several times a second.
        """
        for future in [self._leaders.submit(function, *item) for item in zip(*items, strict=True)]:
            while not wait([future], timeout=POLL_S).done:
                poll()
            yield future.result()

    def raise_if_ended(self) -> None:
        """End work that nobody waits for any more; to be called by it now and then.

        Raises:
            CancelledError: The block was left by an exception.
        """
        if self._ended.is_set():
            raise CancelledError


def cpu_count() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Budget:
    """Bounds what all threads hold together, of memory for example: a weighted semaphore.

    First come, first served, so that what is large gets its turn, too.

    Example:
        >>> memory = Budget()
        >>> with memory.take(700, 1000), memory.take(300, 1000):
        ...     memory.in_use
        1000
    """

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            # The threads that hold something are not in the child.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self.in_use = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, count: int, total: int) -> Iterator[None]:
        """Hold a share until the end of the block; waits until there is room for it.

        Args:
            count: How much.
            total: Most that may be held together; what is more by itself is held alone.
        """
        changed, ticket = self._changed, object()
        with changed:
            self._waiting.append(ticket)
            try:
                changed.wait_for(
                    lambda: (
                        self._waiting[0] is ticket
                        and (not self.in_use or self.in_use + count <= total)
                    )
                )
                self.in_use += count
            finally:
                self._waiting.remove(ticket)
                changed.notify_all()
        try:
            yield
        finally:
            with changed:
                self.in_use -= count
                changed.notify_all()
