"""Clusters of Ray on this machine: each node a set of processes of its own, limited in cores."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from unittest import mock

import ray
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
    # Metrics are passed on five times a second instead of every ten seconds.
    "metrics_report_interval_ms": 200,
    # No Python for each core beforehand, which takes seconds and waits for work in vain.
    "prestart_worker_first_driver": False,
    "enable_worker_prestart": False,
    # A killed node, whose port is closed, is missed after two seconds instead of fifteen. A node
    # that is slow, as on a busy machine, has longer to answer than by default.
    "health_check_period_ms": 400,
    "health_check_timeout_ms": 60_000,
    # A busy machine may take far longer to start a process than a minute.
    "worker_register_timeout_seconds": 300,
}


@contextlib.contextmanager
def running(*cores: int, dashboard: bool = False) -> Iterator[Cluster]:
    """A cluster with a node for each number of cores, to which this process is connected.

    The first node is the head, which must not be killed.
    """
    # Sockets have short names only, so not in pytest's folders.
    scratch = tempfile.mkdtemp(prefix="ray-")
    # Ray notes there which cluster was the last, and does not make the folder.
    os.makedirs("/tmp/ray", exist_ok=True)
    with mock.patch.dict(os.environ, door.NO_TELEMETRY):
        nodes = Cluster(shutdown_at_exit=False)
        try:
            config = {"_system_config": SETTINGS}  # of the head, and of all by it
            for count in cores:
                nodes.add_node(
                    num_cpus=count,
                    include_dashboard=dashboard,
                    temp_dir=scratch,
                    wait=True,
                    **config,
                )
                config = {}
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


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
