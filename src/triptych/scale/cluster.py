"""A Ray cluster: started on this machine, or joined by its address."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from triptych import errors
from triptych.typing import Notify
from triptych.utils import concurrency

EXTRA = "pip install 'triptych[ray]'"
# How long a node may take to be reached, in seconds.
LOOK_S = 5.0
# Ray tells its makers of each cluster, unless it is told not to. Nothing shall leave the machine.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# What processes of the cluster log is to be read in the dashboard.
SILENT: Mapping[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}


def require() -> None:
    """Look whether Ray is here.

    Raises:
        errors.SettingError: It is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise errors.SettingError(
            f"This runs on Ray, which is not installed here. Install it with: {EXTRA}"
        )


@contextlib.contextmanager
def connect(address: str | None, *, say: Notify, cores: int = 0) -> Iterator[None]:
    """Be connected to a cluster for a while; one that was started here ends afterwards.

    Args:
        address: Of a cluster that runs already, such as ``10.0.0.5:6379``; ``None`` starts one on
            this machine.
        say: Called with a line for people.
        cores: How many cores are wanted. Where this machine has fewer, one that is started here
            shares them out as if it had so many; one that was joined lets some wait.

    Raises:
        errors.SettingError: Ray is not installed, or there is no cluster at the address.
    """
    require()
    os.environ.update(QUIET)
    import ray

    if ray.is_initialized():  # whoever did it also ends it
        yield
        return
    say("Starting Ray on this machine ..." if address is None else f"Joining Ray at {address} ...")
    try:
        context = _joined(address) if address else _started(cores)
    except (OSError, ValueError, RuntimeError) as error:
        raise errors.SettingError(_reason(address, error)) from error
    try:
        if context.dashboard_url:
            say(f"Ray's dashboard is at http://{context.dashboard_url}/")
        _compare(cores, say)
        yield
    finally:
        ray.shutdown()


def hush(data: Any) -> None:
    """Let a Ray dataset say nothing by itself: progress is told by whoever takes its rows."""
    data.context.enable_progress_bars = False
    data.context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)


def _started(cores: int) -> Any:
    import ray

    # Not whatever cluster RAY_ADDRESS or a file of an earlier one names.
    return ray.init(
        address="local",
        num_cpus=max(cores, concurrency.cores()),
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        **SILENT,
    )


def _compare(cores: int, say: Notify) -> None:
    import ray

    there = int(ray.cluster_resources().get("CPU", 0))
    if cores > there:
        say(f"The cluster has {there} cores and {cores} are wanted: some wait until it grows.")


def _joined(address: str) -> Any:
    import ray

    _look(address)
    return ray.init(address=address, **SILENT)


def _look(address: str) -> None:
    """Fail at once where nobody listens: Ray would try it for more than a minute."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), LOOK_S).close()


def _reason(address: str | None, error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    told = words.strip().rstrip(".").splitlines() or [type(error).__name__]
    if address is None:
        return f"Ray does not start on this machine: {told[0]}."
    return (
        f"There is no Ray cluster at {address} that this machine is part of: {told[0]}. Expected "
        "the address that `ray start --head` named, such as 10.0.0.5:6379."
    )
