"""One conversion process for a run of tests; each training would start one of its own.

It imports Keras once, and keeps the backbones that it built; it knows `tiny_backbone`, too. A file
that tests how that process starts and ends has no use for it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import pytest

from support import tiny_backbone
from triptych.engines.conversion import convert
from triptych.engines.conversion import requests
from triptych.utils.worker import Worker


class LentWorker:
    """A `Worker` that goes on after `close`, for the next conversion.

    One that still owes an answer is killed: whoever comes next would take it for theirs.
    """

    def __init__(self, workers: dict[str, Worker], environment: Mapping[str, str]) -> None:
        self._kept, self._backend, self._owed = workers, environment["KERAS_BACKEND"], 0
        # Not kept while it is lent, so two at a time have a process each.
        self._worker = workers.pop(self._backend, None) or Worker(
            tiny_backbone.__name__, environment=environment
        )

    def send(self, message: Mapping[str, Any]) -> None:
        """See `Worker.send`; messages that only request a build have no answer."""
        self._owed += "build" not in message
        self._worker.send(message)

    def messages(self, poll: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """See `Worker.messages`."""
        for message in self._worker.messages(poll):
            self._owed -= 1
            yield message

    @property
    def reason(self) -> str:
        """See `Worker.reason`."""
        return self._worker.reason

    def wait(self, grace_s: float | None = None) -> int:
        """See `Worker.wait`."""
        return self._worker.wait(grace_s)

    def close(self) -> None:
        """Give the process back."""
        if self._owed or self._worker.has_ended or self._backend in self._kept:
            self._worker.close()
        else:
            self._kept[self._backend] = self._worker


@pytest.fixture(scope="session")
def _kept_workers() -> Iterator[dict[str, Worker]]:
    workers: dict[str, Worker] = {}
    yield workers
    for worker in workers.values():
        worker.close()


@pytest.fixture(scope="module")
def one_converter(_kept_workers: dict[str, Worker]) -> Iterator[None]:
    """All conversions of this process, for the files of tests that ask, are done by one child."""

    def lent(_: str, **options: Any) -> requests.RequestWorker:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(
                requests,
                "Worker",
                lambda *_, environment: LentWorker(_kept_workers, environment),
            )
            return requests.RequestWorker(tiny_backbone.__name__, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "RequestWorker", lent)
        yield
