"""What runs in Ray Serve's replicas: one deployment per member, and the ingress that calls them.

The ingress is the web server without the pages for training: the same application and classifier,
with engines in other processes. Each call names its committee, so while a committee is replaced
every replica answers for the old and the new one, and the order of updates does not matter.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from typing import cast

import numpy as np
import ray
from a2wsgi import WSGIMiddleware
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp
from starlette.types import Receive
from starlette.types import Scope
from starlette.types import Send

from triptych import errors
from triptych import settings as table
from triptych.bundles import loading
from triptych.engines import Engine
from triptych.engines import Output
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Member
from triptych.preprocessing import recipe
from triptych.scale import metrics
from triptych.scale.arguments import Arguments
from triptych.scale.remote_engine import RemoteEngine
from triptych.typing import Float32Array
from triptych.typing import UInt8Array
from triptych.utils import storage
from triptych.web import access
from triptych.web import create_app
from triptych.web import logs
from triptych.web.registry import Offer
from triptych.web.registry import Registry

logger = logging.getLogger("triptych")

# The committee that is served, and the previous one, for requests in progress.
MAX_OPEN = 2
# Threads for requests that are read or refused while the queue is full.
SPARE_THREADS = 16


class MemberReplica:
    """Runs the networks of one member, on its share of a node's cores.

    Args:
        arguments: How a committee is served.
        member: Name of the member.
    """

    def __init__(self, arguments: Arguments, member: str) -> None:
        logs.configure(arguments.settings_in_force().log_format)
        self._arguments = arguments
        self._member = member
        self._opened: OrderedDict[str, Member] = OrderedDict()
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._meters = metrics.EngineMetrics(member)
        self._images = 0
        self._checked = 0

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Open the network of a committee before it is called.

        Args:
            config: ``{"committee": name}``.
        """
        try:
            self._load(config["committee"])
        except errors.TriptychError as error:
            if not self._opened:
                raise
            logger.error("%s cannot be opened: %s", config["committee"], error.message)

    def run(self, committee: str, batch: Float32Array) -> Output:
        """Run a batch; see `triptych.engines.Engine.run`.

        Args:
            committee: The committee whose network of this member to run.
            batch: Network inputs, shape (N, H, W, 3).
        """
        return self._run(self._get(committee), batch)

    def run_pixels(self, committee: str, pixels: UInt8Array) -> Output:
        """Scale pixels and run them; see `triptych.engines.PixelEngine.run_pixels`.

        Args:
            committee: The committee whose network of this member to run.
            pixels: Pixels before scaling, shape (N, H, W, 3).
        """
        member = self._get(committee)
        return self._run(member, recipe.scale(member.recipe, pixels))

    def _run(self, member: Member, batch: Float32Array) -> Output:
        start = time.perf_counter()
        output = member.engine.run(batch)
        self._meters.ran(len(batch), time.perf_counter() - start)
        with self._counting:
            self._images += len(batch)
        return output

    def facts(self) -> dict[str, Any]:
        """Process, node and counts of this replica."""
        return {**_whereabouts(), "committees": list(self._opened), "images": self._images}

    def check_health(self) -> None:
        """Run the network once, unless it ran since the last check.

        Raises:
            errors.EngineError: It fails.
        """
        if self._images == self._checked and self._opened:
            _run_zeros(next(reversed(self._opened.values())))
        self._checked = self._images

    def _get(self, committee: str) -> Member:
        # Without the lock, so that one network can run while another is opened.
        return self._opened.get(committee) or self._load(committee)

    def _load(self, committee: str) -> Member:
        """Open a network unless it is open, and drop the least recently loaded one."""
        with self._opening:
            if committee not in self._opened:
                self._opened[committee] = self._open(committee)
            self._opened.move_to_end(committee)
            if len(self._opened) > MAX_OPEN:
                self._opened.popitem(last=False)
            return self._opened[committee]

    def _open(self, committee: str) -> Member:
        options = _engine_options(self._arguments)

        def open_network(name: str, network: Path, of: recipe.Recipe) -> Engine:
            is_ours = name == self._member
            return open_engine(network, options) if is_ours else UnavailableEngine()

        members = (self._member,)
        committee_of_one = loading.load_committee(
            committee, options, members=members, open_network=open_network
        )
        (member,) = committee_of_one.members
        _run_zeros(member)
        return member


class UnavailableEngine:
    """Stands for the engine of a member whose network other replicas run."""

    size_bytes = 0

    def run(self, batch: Float32Array) -> Output:
        """Raise `errors.EngineError`."""
        raise errors.EngineError("This member's network is not opened in this process.")


class SwitchableApp:
    """Passes requests on to an application that can be replaced while requests are in progress.

    A request is finished by the application that it started with.
    """

    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if self.app and scope["type"] == "http":
            await self.app(scope, receive, send)


@serve.ingress()
class Ingress:
    """The web server, over members whose engines are in other processes.

    Args:
        arguments: How a committee is served.
        members: The deployment of each member, by its name.

    Raises:
        errors.SettingError: Other machines could send requests, and this process has no API key.
    """

    def __init__(self, arguments: Arguments, members: dict[str, DeploymentHandle[Any]]) -> None:
        self._arguments = arguments
        self._settings = arguments.settings_in_force()
        self._members = members
        self._app = SwitchableApp()
        self._committee = ""
        self._metrics = metrics.RayMetrics()
        logs.configure(self._settings.log_format)
        access.check(self._settings, insecure=arguments.insecure, say=logger.warning)
        if arguments.needs_key and not access.Gate(self._settings).is_required:
            raise errors.SettingError(
                "This node has no TRIPTYCH_API_KEY, so anybody could send requests. Set it, or "
                "TRIPTYCH_SSO_ISSUER, in the environment in which `ray start` runs, on each node."
            )

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application that Ray Serve passes requests to."""
        return self._app

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Switch to a committee as soon as it is loaded and warm.

        Args:
            config: ``{"committee": name}``.
        """
        await asyncio.to_thread(self._switch_to, config["committee"])

    def check_health(self) -> None:
        """Check that a committee is loaded, and refresh the gauges.

        Raises:
            errors.EngineError: None is.
        """
        if not self._app.app:
            raise errors.EngineError("No committee is loaded.")
        self._metrics.refresh()

    def facts(self) -> dict[str, Any]:
        """Process, node and committee of this replica."""
        return {**_whereabouts(), "committees": [self._committee]}

    def _switch_to(self, committee: str) -> None:
        try:
            self._app.app, self._committee = self._make_app(committee), committee
        except errors.TriptychError as error:
            if not self._app.app:
                raise
            logger.error("%s cannot be served: %s", committee, error.message)

    def _make_app(self, committee: str) -> ASGIApp:
        classifier = self._classifier(committee)
        name = classifier.committee.name
        _, numbered, number = committee.rpartition("@")
        version = int(number) if numbered and not storage.is_url(committee) else 1
        offers = {name: Offer((version,), version)}
        registry = Registry(lambda _: classifier, lambda: offers, name, missing=lambda _: [])
        registry.get()
        threads = self._arguments.ingress_threads
        app = create_app(
            self._settings, registry, threads=threads, teaching=False, make=self._metrics
        )
        workers = self._settings.max_waiting_images + SPARE_THREADS

        def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
            # Without this Werkzeug reads a chunked body, whose length is not known, as empty.
            environ["wsgi.input_terminated"] = True
            return app(environ, start_response)

        return cast(ASGIApp, WSGIMiddleware(answer, workers=workers))

    def _classifier(self, committee: str) -> Classifier:
        def remote(name: str, network: Path, of: recipe.Recipe) -> Engine:
            return RemoteEngine(self._members[name], committee, self._settings.deadline_s)

        classifier = loading.load_classifier(
            committee,
            _engine_options(self._arguments),
            rule=self._settings.rule,
            coverage=self._settings.coverage,
            limits=self._settings.image_limits,
            members=self._arguments.members,
            threads=self._arguments.ingress_threads,
            open_network=remote,
        )
        while True:  # as long as it takes: nodes may have to join first
            try:
                classifier.warm_up()
                return classifier
            except errors.DeadlinePassed as error:
                logger.warning("Not ready yet: %s", error.message)


def _engine_options(arguments: Arguments) -> EngineOptions:
    settings = arguments.settings_in_force()
    return EngineOptions(
        home=settings.home,
        precision=settings.precision,
        threads=arguments.threads,
        streams=arguments.threads,
        max_batch=settings.max_batch,
        random_weights=table.is_random(arguments.weights),
        report=logger.info,
    )


def _whereabouts() -> dict[str, Any]:
    return {"pid": os.getpid(), "node": ray.get_runtime_context().get_node_id()}


def _run_zeros(member: Member) -> None:
    member.engine.run(np.zeros((1, *member.recipe.size, 3), np.float32))
