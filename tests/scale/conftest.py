"""One cluster for all tests of a run that need Ray."""

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
    """Two nodes that work, with a core each, and a head, where the driver is.

    A test may kill one of the two; the next file has two again.
    """
    nodes = _running()
    while len(nodes.worker_nodes) < 2:
        nodes.add_node(num_cpus=1)
    return nodes


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or not nextitem.get_closest_marker("ray"):
        _open.close()


def pytest_sessionfinish() -> None:
    _open.close()
