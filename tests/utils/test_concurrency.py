"""Threads for arrays: results in order, one BLAS thread each, and cancellation."""

from __future__ import annotations

import threading

import pytest
from threadpoolctl import threadpool_info

from triptych.utils.concurrency import ArrayThreads


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_results_are_in_order() -> None:
    second = threading.Event()

    def work(number: int) -> int:
        if number == 1:
            assert second.wait(300)
        else:
            second.set()
        return number

    with ArrayThreads() as threads:
        assert list(threads.lead(work, [1, 2], poll=lambda: None)) == [1, 2]


def test_blas_threads_are_restored() -> None:
    before = blas_threads()
    with ArrayThreads():
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


def test_an_error_of_poll_ends_the_work() -> None:
    """Without that, the thread and its map would run for ever."""
    ended = []

    def lead(item: int) -> None:
        def follow(item: int) -> None:
            while True:
                threads.raise_if_ended()

        try:
            list(threads.map(follow, [item]))
        finally:
            ended.append(item)

    def poll() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ArrayThreads() as threads:
        list(threads.lead(lead, [1, 2], poll=poll))
    assert sorted(ended) in ([1], [2], [1, 2])


def test_an_error_of_the_work_is_raised() -> None:
    with ArrayThreads() as threads, pytest.raises(ZeroDivisionError):
        list(threads.lead(lambda item: 1 // item, [0], poll=lambda: None))
