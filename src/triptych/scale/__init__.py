"""The same committees across many machines, on Ray: the only room that knows it.

    arguments  how a committee is served on a cluster
    cluster    a cluster, started or joined
    serving    what runs in the replicas: one deployment of ingresses, one of each member
    remote     an engine that is in another process
    proxy      what Ray Serve's proxies answer in our words
    building   the application of Ray Serve, ``triptych.scale:build``
    running    ``triptych scale serve``

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
