"""``triptych scale config``: configuration files for Ray Serve, and for Kubernetes (KubeRay)."""

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
# Added to the time that replicas have to finish before a pod is killed.
SPARE_S = 10
# Share of a node's memory that Ray reserves for its object store, by default.
OBJECT_STORE_SHARE = 0.3
SECRET = """\
#   the API key that clients send:
#     kubectl create secret generic triptych --from-literal=api-key=$(openssl rand -hex 32)
"""
KEY = """\
- name: TRIPTYCH_API_KEY
  valueFrom: {secretKeyRef: {name: triptych, key: api-key}}
"""


@dataclass(frozen=True)
class Pods:
    """The pods of a Kubernetes cluster that replicas run in.

    Args:
        image: Container image with Ray and ``triptych[ray]``.
        cores: Cores of each pod.
        memory_gib: Memory of each pod, in GiB.
        min_workers: Fewest pods.
        max_workers: Most pods.
    """

    image: str
    cores: int = 8
    memory_gib: int = 16
    min_workers: int = 2
    max_workers: int = 10


def serve(arguments: Arguments, *, port: int) -> str:
    """Write a configuration for ``serve deploy``.

    Args:
        arguments: Only those that differ from their defaults are written.
        port: Port that every node listens on.

    Returns:
        YAML with comments.

    Raises:
        errors.SettingError: A setting has an impossible value.

    Example:
        >>> print(serve(Arguments(committee="lite"), port=8000)[:36])
        # The committee lite on Ray Serve. F
    """
    settings = arguments.settings_in_force()
    args = {"committee": arguments.committee, **arguments.model_dump(exclude_defaults=True)}
    # `serve deploy` cannot check that there is a key; the ingresses do when they start.
    if not (access.is_loopback(settings.host) or arguments.insecure):
        args["needs_key"] = True
    return _fill(
        "serve.yaml",
        committee=arguments.committee,
        host=_flow(settings.host),
        port=port,
        timeout_s=settings.deadline_s + error_middleware.EXTRA_TIMEOUT_S,
        variables=_flow(dict(error_middleware.VARIABLES)),
        logging=_flow(run.LOGGING.model_dump(include={"log_level", "enable_access_log"})),
        name=run.APPLICATION,
        args=_indented("\n".join(f"{name}: {_flow(value)}" for name, value in args.items()), 6),
    )


def kuberay(arguments: Arguments, pods: Pods) -> str:
    """Write a RayService for ``kubectl apply``.

    Args:
        arguments: Only those that differ from their defaults are written.
        pods: Where replicas run.

    Returns:
        YAML with comments.

    Raises:
        errors.SettingError: A replica does not fit into a pod.
    """
    if arguments.cores > pods.cores:
        raise errors.SettingError(
            f"A member's replica needs {arguments.cores:g} cores, and a worker has {pods.cores}: "
            "it would never start. Lower --cores or raise --worker-cores."
        )
    if pods.min_workers > pods.max_workers:
        raise errors.SettingError(
            f"The fewest workers, {pods.min_workers}, are more than the most, {pods.max_workers}. "
            "Lower --min-workers or raise --max-workers."
        )
    # Other pods reach it at any address; the home folder is the pods' own.
    settings = {**arguments.settings, "host": "0.0.0.0"}
    in_pods = arguments.model_copy(update={"settings": settings, "home": None})
    grace_s = math.ceil(arguments.graceful_shutdown_timeout_s)
    return _fill(
        "kuberay.yaml",
        committee=arguments.committee,
        name=run.APPLICATION,
        serve=_indented(serve(in_pods, port=8000).rstrip(), 4),
        ray=ray.__version__,
        image=json.dumps(pods.image, allow_nan=False),
        secret="" if arguments.insecure else SECRET,
        head_key="" if arguments.insecure else _indented(KEY, 16),
        worker_key="" if arguments.insecure else _indented(KEY, 18),
        cores=pods.cores,
        memory_gib=pods.memory_gib,
        shm_gib=max(1, round(OBJECT_STORE_SHARE * pods.memory_gib)),
        min_workers=pods.min_workers,
        max_workers=pods.max_workers,
        grace_s=grace_s,
        termination_s=2 * grace_s + SPARE_S,
    )


def _fill(template: str, **values: Any) -> str:
    return Template((HERE / template).read_text("utf-8")).substitute(values)


def _flow(value: Any) -> str:
    """A value as JSON, which is valid YAML."""
    return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)


def _indented(text: str, columns: int) -> str:
    return textwrap.indent(text, " " * columns)
