"""``triptych scale serve``: deploy the application to a cluster, and stop it with the command."""

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
from triptych.scale.app import committee_and_members
from triptych.scale.arguments import Arguments
from triptych.typing import Notify
from triptych.web import access

APPLICATION = "triptych"
FAILED = ("UNHEALTHY", "DEPLOY_FAILED")
# No access log: the ingresses log requests in the server's own format.
LOGGING = LoggingConfig(log_level="WARNING", enable_access_log=False)


def run(
    arguments: Arguments,
    *,
    address: str | None,
    port: int,
    detach: bool,
    say: Notify,
) -> None:
    """Serve a committee until the process is stopped (SIGINT or SIGTERM).

    On a cluster that already serves one, it is updated in place.

    Args:
        arguments: The committee and the resources of its replicas.
        address: Address of a cluster; ``None`` starts one on this machine.
        port: Port of Ray Serve's proxies.
        detach: Return when it is deployed, and leave it running; needs an address.
        say: Called with a line for people.

    Raises:
        errors.SettingError: Ray does not start, or a setting has an impossible value.
        errors.EngineError: The replicas do not start.
    """
    if detach and address is None:
        raise errors.SettingError(
            "--detach needs --address: a cluster that this command starts ends with it. Start one "
            "with `ray start --head`, and give its address."
        )
    if not port:
        raise errors.SettingError(
            "Got --port 0, and all nodes have to listen on the same port. Give --port a number "
            "above 0, such as 5000."
        )
    access.check(arguments.settings_in_force(), insecure=arguments.insecure, say=say)
    committee, members = committee_and_members(arguments)
    cores = math.ceil(arguments.least_cores(len(members)))
    with cluster.connect(address, say=say, cores=cores):
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
            say("Finishing the requests in progress ...")
            serve.delete(APPLICATION)
    say("Stopped.")


def deploy(
    arguments: Arguments,
    *,
    port: int,
    say: Notify,
    proxies: ProxyLocation = ProxyLocation.EveryNode,
) -> None:
    """Deploy a committee to the cluster that this process is connected to.

    Args:
        arguments: The committee and the resources of its replicas.
        port: Port of Ray Serve's proxies.
        say: Called with a line for people.
        proxies: Which nodes have a proxy, unless Ray Serve is running already.

    Raises:
        errors.SettingError: A setting has an impossible value.
        errors.EngineError: The replicas do not start.
    """
    # `say` reports what this process does.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    application = build(arguments)
    settings = arguments.settings_in_force()
    timeout_s = settings.deadline_s + error_middleware.EXTRA_TIMEOUT_S
    serve.start(
        proxy_location=proxies,
        http_options=HTTPOptions(host=settings.host, port=port, request_timeout_s=timeout_s),
        logging_config=LOGGING,
        controller_options={"runtime_env": {"env_vars": error_middleware.VARIABLES}},
    )
    try:
        serve.run(application, name=APPLICATION, route_prefix="/", logging_config=LOGGING)
    except RuntimeError as error:
        raise errors.EngineError(f"The replicas do not start: {_reason(error)}") from error
    say(f"The studio is open at http://{settings.host}:{port}/")


def _reason(error: RuntimeError) -> str:
    """The last line of the failed replica's message, which is the cause."""
    deployments = serve.status().applications[APPLICATION].deployments.values()
    messages = [deployment.message for deployment in deployments if deployment.status in FAILED]
    lines = [line for line in "\n".join(messages or [str(error)]).splitlines() if line.strip()]
    return lines[-1].strip()
