"""Start a Ray cluster on this machine, or join one by its address."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from triptych import errors
from triptych.typing import Notify
from triptych.utils import concurrency
from triptych.utils import extras

CONNECT_TIMEOUT_S = 5.0
# Ray reports usage to its makers by default; nothing leaves the machine here.
NO_TELEMETRY = {"RAY_USAGE_STATS_ENABLED": "0"}
# The dashboard has the logs of the cluster's processes.
LOGGING: Mapping[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}


def require() -> None:
    """Check that Ray is installed.

    Raises:
        errors.SettingError: It is not; the message says how to install it.
    """
    extras.require("Using a cluster", "ray", extra="ray")


@contextlib.contextmanager
def connect(address: str | None, *, say: Notify, cores: int = 0) -> Iterator[None]:
    """Connect to a cluster; one that was started here is shut down on leaving.

    Args:
        address: Address of a running cluster, such as ``10.0.0.5:6379``; ``None`` starts one on
            this machine.
        say: Called with a line for people.
        cores: How many cores the replicas need. Where this machine has fewer, a cluster started
            here declares this many anyway; in a joined one some replicas wait.

    Raises:
        errors.SettingError: Ray is not installed, or there is no cluster at the address.
    """
    require()
    os.environ.update(NO_TELEMETRY)
    import ray

    if ray.is_initialized():  # the caller connected, and will disconnect
        yield
        return
    say("Starting Ray on this machine ..." if address is None else f"Joining Ray at {address} ...")
    try:
        if address is None:
            # "local": never the cluster that RAY_ADDRESS or a file of an earlier one names.
            context = ray.init(
                address="local",
                num_cpus=max(cores, concurrency.cpu_count()),
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                **LOGGING,
            )
        else:
            # Fails at once where nobody listens; Ray would try for more than a minute.
            host, _, port = address.rpartition(":")
            if host and port.isdecimal() and "/" not in host:
                socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
            context = ray.init(address=address, **LOGGING)
    except (OSError, ValueError, RuntimeError) as error:
        raise errors.SettingError(_reason(address, error)) from error
    try:
        if context.dashboard_url:
            say(f"Ray's dashboard is at http://{context.dashboard_url}/")
        available = int(ray.cluster_resources().get("CPU", 0))
        if cores > available:
            say(f"The cluster has {available} of the {cores} cores needed: some replicas wait.")
        yield
    finally:
        ray.shutdown()


def silence(data: Any) -> None:
    """Turn off Ray Data's own progress bars and logs; the caller reports progress."""
    data.context.enable_progress_bars = False
    data.context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)


def _reason(address: str | None, error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    cause = (text.strip().rstrip(".").splitlines() or [type(error).__name__])[0]
    if address is None:
        return f"Ray does not start on this machine: {cause}."
    return (
        f"There is no Ray cluster at {address} that this machine is part of: {cause}. Expected "
        "the address that `ray start --head` printed, such as 10.0.0.5:6379."
    )
