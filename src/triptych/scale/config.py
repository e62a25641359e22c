"""Files that put a committee on a cluster: Ray Serve's own, and one for Kubernetes (KubeRay)."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import ray

from triptych import errors
from triptych.scale import error_middleware
from triptych.scale import run
from triptych.scale.arguments import Arguments
from triptych.web import access

HERE = Path(__file__).parent
# Beyond what replicas may take to finish, after which a pod is killed.
SPARE_S = 10
# How much of a node's memory Ray takes for what travels between replicas, by default.
SHARED = 0.3
SECRET = """\
#   the key that whoever asks has to know:
#     kubectl create secret generic triptych --from-literal=api-key=$(openssl rand -hex 32)
"""
KEY = """\
- name: TRIPTYCH_API_KEY
  valueFrom: {secretKeyRef: {name: triptych, key: api-key}}
"""


@dataclass(frozen=True)
class Pods:
    """The machines of a Kubernetes cluster that replicas run on.

    Args:
        image: What they run: Ray and ``triptych[ray]``.
        cores: Of each.
        memory_gib: Of each, in GiB.
        min_workers: So many are always there.
        max_workers: So many are there when the load asks for it.
    """

    image: str
    cores: int = 8
    memory_gib: int = 16
    min_workers: int = 2
    max_workers: int = 10


def serve(arguments: Arguments, *, port: int) -> str:
    """A configuration as ``serve deploy`` takes it.

    Args:
        arguments: What differs from its default is written.
        port: Every node listens on it.

    Returns:
        YAML, with comments.

    Raises:
        errors.SettingError: A setting has an impossible value.

    Example:
        >>> print(serve(Arguments(committee="lite"), port=8000)[:36])
        # The committee lite on Ray Serve. F
    """
    chosen = arguments.chosen()
    given = {"committee": arguments.committee, **arguments.model_dump(exclude_defaults=True)}
    # Whoever deploys the file cannot be told to set a key; the ingresses can.
    if not (access.is_loopback(chosen.host) or arguments.insecure):
        given["needs_key"] = True
    return _fill(
        "serve.yaml",
        committee=arguments.committee,
        host=_flow(chosen.host),
        port=port,
        timeout_s=chosen.deadline_s + error_middleware.LONGER_S,
        variables=_flow(dict(error_middleware.VARIABLES)),
        logging=_flow(run.LOGGING.model_dump(include={"log_level", "enable_access_log"})),
        name=run.APPLICATION,
        args=_indented("\n".join(f"{name}: {_flow(value)}" for name, value in given.items()), 6),
    )


def kuberay(arguments: Arguments, pods: Pods) -> str:
    """A RayService, as ``kubectl apply`` takes it.

    Args:
        arguments: What differs from its default is written.
        pods: The machines.

    Returns:
        YAML, with comments.

    Raises:
        errors.SettingError: A replica does not fit on any of the machines.
    """
    _check(arguments, pods)
    grace_s = math.ceil(arguments.graceful_shutdown_timeout_s)
    return _fill(
        "kuberay.yaml",
        committee=arguments.committee,
        name=run.APPLICATION,
        serve=_indented(serve(_in_pods(arguments), port=8000).rstrip(), 4),
        ray=ray.__version__,
        image=json.dumps(pods.image),
        secret="" if arguments.insecure else SECRET,
        head_key="" if arguments.insecure else _indented(KEY, 16),
        worker_key="" if arguments.insecure else _indented(KEY, 18),
        cores=pods.cores,
        memory_gib=pods.memory_gib,
        shm_gib=max(1, round(SHARED * pods.memory_gib)),
        min_workers=pods.min_workers,
        max_workers=pods.max_workers,
        grace_s=grace_s,
        termination_s=2 * grace_s + SPARE_S,
    )


def _check(arguments: Arguments, pods: Pods) -> None:
    if arguments.cores > pods.cores:
        raise errors.SettingError(
            f"A replica of a member asks for {arguments.cores:g} cores, and a worker has "
            f"{pods.cores}: none would ever start. Give a member fewer cores, or a worker more."
        )
    if pods.min_workers > pods.max_workers:
        raise errors.SettingError(
            f"Got at least {pods.min_workers} workers and at most {pods.max_workers}; expected "
            "no more at least than at most."
        )


def _in_pods(arguments: Arguments) -> Arguments:
    """The same, reached from other pods, and at home where the pods keep things."""
    settings = {**arguments.settings, "host": "0.0.0.0"}
    return arguments.model_copy(update={"settings": settings, "home": None})


def _fill(template: str, **values: Any) -> str:
    return Template((HERE / template).read_text("utf-8")).substitute(values)


def _flow(value: Any) -> str:
    """A value in YAML: JSON is that, too."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _indented(text: str, columns: int) -> str:
    return textwrap.indent(text, " " * columns)
