"""One cluster of Ray for all tests of a run that need one."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import pytest

# Ends the cluster. Not the end of a session's fixture: all later tests of this worker would run
# beside an idle cluster, and as the driver of one.
_open = contextlib.ExitStack()


@functools.cache
def _running() -> Any:
    from support import ray_cluster

    _open.callback(_running.cache_clear)
    return _open.enter_context(ray_cluster.running())


@pytest.fixture(scope="module")
def cluster() -> Any:
    """A head without cores, and at least one node that works; `ray_cluster.add_workers` adds more.

    A test may kill one of those.
    """
    from support import ray_cluster

    nodes = _running()
    ray_cluster.add_workers(nodes, 1)
    return nodes


@pytest.hookimpl(trylast=True)  # after the fixtures of the last file
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    if nextitem is None or not nextitem.get_closest_marker("ray"):
        _open.close()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    _open.close()
