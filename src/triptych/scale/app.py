"""The application of Ray Serve: ``import_path: triptych.scale:build``."""

# Ray Serve reads the type of a builder's argument as it stands, so it must not become a text.

from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.config import BackpressureConfig

from triptych.bundles import loading
from triptych.scale.arguments import Arguments
from triptych.scale.replicas import Ingress
from triptych.scale.replicas import Seat

INGRESS = "Ingress"
# A wrong setting is wrong the twentieth time, too.
TRIES = 3
# Where replicas are replaced, new ones come before old ones go, at least one at a time.
SURGE_PERCENT = 25


def build(arguments: Arguments) -> serve.Application:
    """Build the application that serves a committee: a deployment of each member, and the ingress.

    Args:
        arguments: The committee, and the shares of its replicas. Where only the committee is
            another one, with members of the same names, replicas stay and load it.

    Raises:
        errors.UnknownName: No such committee, backbone or member.
    """
    committee, names = found(arguments)
    members = {name: _seat(arguments, name, committee, names) for name in names}
    return _ingress(arguments, committee, names).bind(arguments.fixed, members)


def found(arguments: Arguments) -> tuple[str, tuple[str, ...]]:
    """The committee under the name that stays, and the names of its members.

    Raises:
        errors.UnknownName: No such committee, backbone or member.
    """
    chosen = arguments.chosen()
    committee = loading.pinned(chosen.committee, chosen.home)
    return committee, loading.names(committee, chosen.home, members=arguments.members)


def _seat(
    arguments: Arguments, name: str, committee: str, names: tuple[str, ...]
) -> serve.Application:
    seats = serve.deployment(
        name=name,
        ray_actor_options={"num_cpus": arguments.cores},
        max_ongoing_requests=arguments.taken_at_once,
        max_queued_requests=arguments.max_queued_requests,
        **_count(arguments, arguments.min_replicas, arguments.max_replicas),
        **_common(arguments, committee),
    )(Seat)
    return _versioned(seats, arguments, names).bind(arguments.fixed, name)


def _ingress(arguments: Arguments, committee: str, names: tuple[str, ...]) -> serve.Deployment:
    # Far more than are worked on: the studio's own queue refuses in its own words.
    taken = 2 * arguments.chosen().max_waiting_images
    ingresses = serve.deployment(
        name=INGRESS,
        ray_actor_options={"num_cpus": arguments.ingress_cores},
        max_ongoing_requests=taken,
        max_queued_requests=taken,
        backpressure_config=BackpressureConfig(retry_after_s=1),
        **_count(arguments, arguments.ingress_min_replicas, arguments.ingress_max_replicas),
        **_common(arguments, committee),
    )(Ingress)
    return _versioned(ingresses, arguments, names)


def _common(arguments: Arguments, committee: str) -> dict[str, Any]:
    return {
        "user_config": {"committee": committee},
        "graceful_shutdown_timeout_s": arguments.graceful_shutdown_timeout_s,
        "health_check_period_s": arguments.health_check_period_s,
        "max_constructor_retry_count": TRIES,
        "max_surge_percent": SURGE_PERCENT,
    }


def _versioned(
    deployment: serve.Deployment, arguments: Arguments, names: tuple[str, ...]
) -> serve.Deployment:
    """The same, told when its replicas need not be replaced: else Ray Serve always does it."""
    return deployment.options(version=arguments.digest(*names), _internal=True)


def _count(arguments: Arguments, least: int, most: int) -> dict[str, Any]:
    if least == most:
        return {"num_replicas": least}
    scaling = AutoscalingConfig(
        min_replicas=least,
        max_replicas=most,
        target_ongoing_requests=arguments.target_ongoing_requests,
    )
    return {"autoscaling_config": scaling}
