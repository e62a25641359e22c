"""Map over a stream with threads, a bounded number of items ahead; count processor cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


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


def cpu_count() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
