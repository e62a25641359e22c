"""A memory budget that threads share."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import pytest
from hypothesis import strategies as st

from triptych.utils.concurrency import Budget


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(st.lists(st.integers(1, 150), min_size=1, max_size=30))
def test_the_sum_stays_within_the_budget_and_nobody_starves(counts: list[int]) -> None:
    budget, total, sums = Budget(), 100, []

    def work(count: int) -> int:
        with budget.take(count, total):
            sums.append((budget.in_use, count))
            return count

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, counts)) == counts
    # What is more than all by itself is held alone.
    assert all(in_use <= max(total, count) for in_use, count in sums)
    assert budget.in_use == 0


def test_large_requests_do_not_starve() -> None:
    budget, order = Budget(), []
    waits = threading.Event()

    def work(name: str, count: int) -> None:
        waits.set()
        with budget.take(count, 100):
            order.append(name)

    threads = []
    with budget.take(60, 100):
        for name, count in (("large", 90), ("small", 10)):
            waits.clear()
            threads.append(threading.Thread(target=work, args=(name, count)))
            threads[-1].start()
            waits.wait()
            while len(budget._waiting) < len(threads):
                pass
        assert order == []
    for thread in threads:
        thread.join()
    assert order == ["large", "small"]


def test_a_failure_releases_its_share() -> None:
    budget = Budget()
    with pytest.raises(ValueError, match="damaged"), budget.take(5, 10):
        raise ValueError("damaged")
    assert budget.in_use == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_the_whole_budget() -> None:
    budget = Budget()
    with budget.take(100, 100):
        child = os.fork()
        if not child:
            with budget.take(100, 100):
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
