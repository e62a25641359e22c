"""The application of Ray Serve: ``import_path: triptych.scale:build``."""

# Ray Serve reads the type of a builder's argument as it stands, so it must not become a text.

from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.config import BackpressureConfig

from triptych.bundles import loading
from triptych.scale.arguments import Arguments
from triptych.scale.replicas import Ingress
from triptych.scale.replicas import MemberReplica

INGRESS = "Ingress"
# Ray Serve retries 20 times by default, which does not help against a wrong setting.
CONSTRUCTOR_TRIES = 3
# In a rolling update new replicas start before old ones stop, at least one at a time.
SURGE_PERCENT = 25


def build(arguments: Arguments) -> serve.Application:
    """Build the application that serves a committee: a deployment per member, and the ingress.

    Args:
        arguments: The committee and the resources of its replicas. Where only the committee
            changes, and its members have the same names, replicas keep running and load it.

    Raises:
        errors.UnknownName: No such committee, backbone or member.
    """
    committee, names = committee_and_members(arguments)
    version, config = arguments.digest(*names), {"committee": committee}
    members = {
        name: _deployment(
            MemberReplica,
            name,
            arguments,
            (arguments.min_replicas, arguments.max_replicas),
            version=version,
            user_config=config,
            ray_actor_options={"num_cpus": arguments.cores},
            max_ongoing_requests=arguments.ongoing_limit,
            max_queued_requests=arguments.max_queued_requests,
        ).bind(arguments.of_replicas, name)
        for name in names
    }
    # More than the server's own queue holds, so that the queue refuses, with its own message.
    requests = 2 * arguments.settings_in_force().max_waiting_images
    ingress = _deployment(
        Ingress,
        INGRESS,
        arguments,
        (arguments.ingress_min_replicas, arguments.ingress_max_replicas),
        version=version,
        user_config=config,
        ray_actor_options={"num_cpus": arguments.ingress_cores},
        max_ongoing_requests=requests,
        max_queued_requests=requests,
        backpressure_config=BackpressureConfig(retry_after_s=1),
    )
    application: serve.Application = ingress.bind(arguments.of_replicas, members)
    return application


def _deployment(
    replica: type,
    name: str,
    arguments: Arguments,
    count: tuple[int, int],
    *,
    version: str,
    **options: Any,
) -> Any:
    """Deploy a class under a name, with the fewest and the most replicas of ``count``."""
    least, most = count
    scaling: dict[str, Any] = {"num_replicas": least}
    if least < most:
        config = AutoscalingConfig(
            min_replicas=least,
            max_replicas=most,
            target_ongoing_requests=arguments.target_ongoing_requests,
        )
        scaling = {"autoscaling_config": config}
    deployment = serve.deployment(
        name=name,
        graceful_shutdown_timeout_s=arguments.graceful_shutdown_timeout_s,
        health_check_period_s=arguments.health_check_period_s,
        max_constructor_retry_count=CONSTRUCTOR_TRIES,
        max_surge_percent=SURGE_PERCENT,
        **scaling,
        **options,
    )(replica)
    # Ray Serve keeps replicas whose version has not changed. `_internal`: the public `options`
    # has no version, and replaces replicas at each deployment.
    return deployment.options(version=version, _internal=True)


def committee_and_members(arguments: Arguments) -> tuple[str, tuple[str, ...]]:
    """The committee, named so that every node loads the same version, and its members' names.

    Raises:
        errors.UnknownName: No such committee, backbone or member.
    """
    settings = arguments.settings_in_force()
    committee = loading.pin(settings.committee, settings.home)
    return committee, loading.member_names(committee, settings.home, members=arguments.members)
