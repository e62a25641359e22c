"""The queue: bounded, fair, and explicit about what it refuses."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from triptych import errors
from triptych.utils.queueing import Deadline
from triptych.utils.queueing import Queue


@pytest.fixture
def gate():
    """An event that work waits for until a test sets it."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_work_runs_in_order():
    done = []
    queue = Queue(1, capacity=100)
    futures = [queue.submit(lambda n=n: done.append(n)) for n in range(50)]
    for future in futures:
        future.result()
    assert done == list(range(50))


def test_a_full_queue_refuses_until_there_is_room(gate):
    queue = Queue(1, capacity=3)
    first, second = queue.submit(gate.wait, images=2), queue.submit(gate.wait)
    assert queue.images == 3
    with pytest.raises(errors.Overloaded, match="3 images are waiting already, and at most 3 may"):
        queue.submit(gate.wait)
    with pytest.raises(errors.Overloaded) as refused:
        queue.check()
    assert refused.value.retry_after_s >= 1
    gate.set()
    first.result()
    second.result()
    assert queue.submit(lambda: "again", images=3).result() == "again"


def test_work_larger_than_the_queue_is_accepted_alone(gate):
    queue = Queue(1, capacity=3)
    assert queue.submit(lambda: "large", images=9).result() == "large"
    queue.submit(gate.wait)
    with pytest.raises(errors.Overloaded):
        queue.submit(gate.wait, images=9)


def test_cancelled_work_makes_room(gate):
    queue = Queue(1, capacity=2)
    queue.submit(gate.wait)
    waiting = queue.submit(gate.wait)
    assert waiting.cancel()
    assert queue.images == 1
    with pytest.raises(CancelledError):
        waiting.result()


def test_a_queue_that_grows_finishes_its_work_and_does_more_at_once(gate):
    queue, together = Queue(1, capacity=100), threading.Barrier(4)
    before = [queue.submit(gate.wait) for _ in range(3)]
    for threads in (4, 2):  # it never shrinks
        queue.grow(threads)
        begun = [queue.submit(together.wait) for _ in range(4)]
        assert sorted(future.result(60) for future in begun) == [0, 1, 2, 3]
    gate.set()
    assert all(future.result(60) for future in before)


def test_failed_work_makes_room_and_raises():
    queue = Queue(1, capacity=1)
    with pytest.raises(ZeroDivisionError):
        queue.submit(lambda: 1 / 0).result()
    assert queue.submit(lambda: 1).result() == 1


def test_a_closed_queue_finishes_accepted_work(gate):
    queue = Queue(1, capacity=2)
    taken = queue.submit(gate.wait)
    queue.close()
    with pytest.raises(errors.Overloaded, match="is stopping"):
        queue.check()
    gate.set()
    assert taken.result()


def test_the_waiting_time_is_reported(gate):
    waits = []
    queue = Queue(1, capacity=9, waited=waits.append)
    queue.submit(lambda: gate.wait(0.05)).result()
    queue.submit(gate.wait)
    last = queue.submit(lambda: None)
    threading.Event().wait(0.05)
    gate.set()
    last.result()
    assert len(waits) == 3
    assert waits[2] > 0.04


def test_a_deadline_gives_up_and_cancels(gate):
    queue = Queue(1, capacity=2)
    queue.submit(gate.wait)
    late = queue.submit(gate.wait)
    with pytest.raises(errors.DeadlinePassed, match="no answer within 0"):
        Deadline(0.01).result(late)
    assert late.cancelled()


def test_what_has_begun_is_not_called_given_up(gate):
    done, begun = [], threading.Event()

    def work():
        begun.set()
        gate.wait()
        done.append("begun")

    queue = Queue(1, capacity=9)
    running = queue.submit(work)
    assert begun.wait(300)
    waiting = queue.submit(lambda: done.append("waiting"))
    with pytest.raises(errors.DeadlinePassed, match="What was begun goes on"):
        Deadline(0.01).result(running)
    with pytest.raises(errors.DeadlinePassed, match="it was given up"):
        Deadline(0.01).result(waiting)
    gate.set()
    running.result()
    queue.submit(lambda: done.append("last")).result()
    assert done == ["begun", "last"]
