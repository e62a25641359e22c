"""The same committees on many machines, by Ray: serving, folders of photos, features for training.

    cluster           start a Ray cluster, or join one
    arguments         how a committee is served: the ``args`` of Ray Serve's configuration
    app               the Ray Serve application, ``triptych.scale:build``
    replicas          what runs in it: a deployment per member, and the ingress
    remote_engine     the engine that the ingress calls: a member's replicas in other processes
    error_middleware  turns the errors of Ray Serve's proxies into ours
    metrics           the server's metrics, exported by Ray
    run, config       ``triptych scale serve`` and ``triptych scale config``
    folders           ``triptych classify --out --ray``
    features          ``triptych train --ray``

Importing this package imports neither Ray nor what comes with it.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "build":
        from triptych.scale.app import build

        return build
    if name == "Arguments":
        from triptych.scale.arguments import Arguments

        return Arguments
    raise AttributeError(f"module 'triptych.scale' has no attribute {name!r}")
