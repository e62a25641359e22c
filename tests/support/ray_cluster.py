"""Clusters of Ray on this machine: each node a set of processes of its own, limited in cores."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import shutil
import socket
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from unittest import mock

import ray
from ray._private import services
from ray.cluster_utils import Cluster

from triptych.scale import cluster as door

# What Ray does to Python's warnings is not ours to mend.
WARNINGS = (
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::PendingDeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::UserWarning:ray.*",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
SETTINGS = {
    # Metrics are passed on each second instead of every ten.
    "metrics_report_interval_ms": 1000,
    # No Python for each core beforehand, which takes seconds and waits for work in vain.
    "prestart_worker_first_driver": False,
    "enable_worker_prestart": False,
    # A killed node, whose port is closed, is missed after two seconds instead of fifteen. A node
    # that is slow, as on a busy machine, has longer to answer than by default.
    "health_check_period_ms": 400,
    "health_check_timeout_ms": 60_000,
    # A busy machine may take far longer to start a process than a minute.
    "worker_register_timeout_seconds": 300,
    "agent_register_timeout_ms": 300_000,
    # What other programs take of this machine's memory must not end our processes.
    "memory_monitor_refresh_ms": 0,
}
# How long a node may take to start, and how many may not do so.
START_S, MOST_FAILED = 120, 3
ENVIRONMENT = {
    **door.NO_TELEMETRY,
    # The agents of Ray's dashboard, which also pass on our metrics, look through all processes
    # every five seconds by default.
    "REPORTER_UPDATE_INTERVAL_MS": "3600000",
    # A busy machine may take long for these, too.
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A cluster that is a head without cores so far, to which this process is connected.

    `add_workers` adds nodes that work. They can be killed; the head cannot.
    """
    # Sockets have short names only, so not in pytest's folders.
    scratch = tempfile.mkdtemp(prefix="ray-")
    # Ray notes there which cluster was the last, and does not make the folder.
    os.makedirs(os.path.join(tempfile.gettempdir(), "ray"), exist_ok=True)
    with (
        mock.patch.dict(os.environ, ENVIRONMENT),
        mock.patch.object(services, "get_node", functools.partial(_get_node, services.get_node)),
    ):
        nodes = Cluster(shutdown_at_exit=False)
        try:
            nodes.add_node(
                num_cpus=0,
                include_dashboard=False,
                include_log_monitor=False,  # its driver does not print what others log
                no_monitor=True,  # nothing scales the cluster
                temp_dir=scratch,
                _system_config=SETTINGS,  # of all nodes, by the head
            )
            ray.init(address=nodes.address, logging_level=logging.ERROR, log_to_driver=False)
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()
            shutil.rmtree(scratch, ignore_errors=True)
            # Sockets that Ray leaves open would be found, as errors, when pytest ends.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gc.collect()


def _get_node(get_node: Callable[..., Any], *node: Any) -> Any:
    """Ray gives a node half a minute to start, for which it has no setting; a busy machine more."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with contextlib.suppress(RuntimeError):
            return get_node(*node)
        time.sleep(0.1)
    return get_node(*node)


def add_workers(nodes: Cluster, count: int) -> None:
    """Add nodes of one core each until there are so many."""
    failed = 0
    while len(nodes.worker_nodes) < count:
        try:
            nodes.add_node(num_cpus=1)
        except Exception as error:  # Ray raises no other kind
            # Once in a while a node never tells the head that it is there. Another one is started.
            failed += 1
            if failed == MOST_FAILED or "timed out during startup" not in str(error):
                raise
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            frame.f_locals["self"].kill_all_processes(check_alive=False, allow_graceful=False)


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
