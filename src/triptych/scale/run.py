"""``triptych scale serve``: an application on a cluster, for as long as the command runs."""

from __future__ import annotations

import logging
import math
import signal
import threading

from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.config import ProxyLocation
from ray.serve.schema import LoggingConfig

from triptych import errors
from triptych.scale import cluster
from triptych.scale import error_middleware
from triptych.scale.app import build
from triptych.scale.app import found
from triptych.scale.arguments import Arguments
from triptych.typing import Notify
from triptych.web import access

APPLICATION = "triptych"
# Requests are logged by the ingresses, in the studio's own form.
FAILED = ("UNHEALTHY", "DEPLOY_FAILED")
LOGGING = LoggingConfig(log_level="WARNING", enable_access_log=False)


def run(
    arguments: Arguments,
    *,
    address: str | None,
    port: int,
    detach: bool,
    say: Notify,
) -> None:
    """Serve a committee until the process is told to stop (SIGINT or SIGTERM).

    On a cluster where it is served already, it is changed in place.

    Args:
        arguments: What is served, and how.
        address: Of a cluster; ``None`` starts one on this machine.
        port: Ray Serve's proxies listen on it.
        detach: Return at once, and leave it running; only on a cluster that was joined.
        say: Called with a line for people.

    Raises:
        errors.SettingError: Ray does not start, or a setting has an impossible value.
        errors.EngineError: The replicas do not start.
    """
    if detach and address is None:
        raise errors.SettingError(
            "Ray would end with this command, and what it serves, too: --detach needs the "
            "--address of a cluster that stays."
        )
    if not port:
        raise errors.SettingError(
            "Each node listens on the same port, so it has to be said which: give --port a number "
            "above 0."
        )
    access.check(arguments.chosen(), insecure=arguments.insecure, say=say)
    committee, members = found(arguments)
    wanted = math.ceil(arguments.wanted_cores(len(members)))
    with cluster.connect(address, say=say, cores=wanted):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            say(f"Starting replicas of {', '.join(members)} for {committee} ...")
            deploy(arguments, port=port, say=say)
            if detach:
                return
            say("(stop it with Ctrl-C)")
            threading.Event().wait()
        except KeyboardInterrupt:
            say("Finishing what was begun ...")
            serve.delete(APPLICATION)
    say("Nothing is served any more.")


def deploy(
    arguments: Arguments,
    *,
    port: int,
    say: Notify,
    proxies: ProxyLocation = ProxyLocation.EveryNode,
) -> None:
    """Serve a committee on the cluster that this process is connected to.

    Args:
        arguments: What is served, and how.
        port: Ray Serve's proxies listen on it.
        say: Called with a line for people.
        proxies: On which nodes they are, unless Ray Serve runs already.

    Raises:
        errors.SettingError: A setting has an impossible value.
        errors.EngineError: The replicas do not start.
    """
    # What this process does is said here.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    application = build(arguments)
    chosen = arguments.chosen()
    host = chosen.host
    serve.start(
        proxy_location=proxies,
        http_options=HTTPOptions(
            host=host, port=port, request_timeout_s=chosen.deadline_s + error_middleware.LONGER_S
        ),
        logging_config=LOGGING,
        controller_options={"runtime_env": {"env_vars": error_middleware.VARIABLES}},
    )
    try:
        serve.run(application, name=APPLICATION, route_prefix="/", logging_config=LOGGING)
    except RuntimeError as error:
        raise errors.EngineError(f"The replicas do not start: {_reason(error)}") from error
    say(f"The studio is open at http://{host}:{port}/")


def _reason(error: RuntimeError) -> str:
    """The last line of what a replica that failed says, of several lines of Ray Serve."""
    application = serve.status().applications[APPLICATION]
    told = [own.message for own in application.deployments.values() if own.status in FAILED]
    lines = [line for line in "\n".join(told or [str(error)]).splitlines() if line.strip()]
    return lines[-1].strip()
