"""How long work will still take, from its pace so far."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

# The pace is that of the last half of the time, or of this long: it follows changes, and a slow
# step among quick ones hardly moves it.
WINDOW_S = 10.0
# New estimates have replaced the old one by two thirds after this long; one alone does so at most
# by this share.
SMOOTHING_S = 5.0
MOST = 0.4
# Estimates from less time would be guesses.
LEAST_S = 0.3


class TimeLeft:
    """Estimates the time left by the steps done; it counts down between steps, and does not jump.

    Args:
        clock: Gives seconds.

    Example:
        >>> seconds = iter([0.0, 2.0, 3.0])
        >>> left = TimeLeft(lambda: next(seconds))
        >>> [left.update(done, 10) for done in (0, 1, 1)]
        [None, 18.0, 17.0]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: deque[tuple[float, int]] = deque()
        self._end: float | None = None

    def update(self, done: int, total: int) -> float | None:
        """Record progress.

        Args:
            done: Steps done, never falling.
            total: Of how many.

        Returns:
            Seconds left, at least 0; ``None`` where it is too early to say.
        """
        now = self._clock()
        if not self._steps:
            self._start = now
        if not self._steps or done > self._steps[-1][1]:
            before_s = now - self._steps[-1][0] if self._steps else 0.0
            self._steps.append((now, done))
            window_s = max(WINDOW_S, (now - self._start) / 2)
            while len(self._steps) > 2 and self._steps[1][0] <= now - window_s:
                self._steps.popleft()
            began, at_first = self._steps[0]
            if now - began >= LEAST_S:
                end = now + (total - done) * (now - began) / (done - at_first)
                share = min(1 - math.exp(-before_s / SMOOTHING_S), MOST)
                self._end = end if self._end is None else self._end + share * (end - self._end)
        return None if self._end is None else max(0.0, self._end - now)
