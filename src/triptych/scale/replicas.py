"""What runs in the replicas: engines, each of one member, and the ingress that asks them.

The ingress is the studio itself, without the pages where people teach: the same application over
the same classifier, whose members' engines are elsewhere. A call names the committee that is
meant, so during a change of committee each replica answers for the old one and the new one, and no
order of updates is needed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
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
from triptych.settings import Settings
from triptych.typing import Float32Array
from triptych.typing import UInt8Array
from triptych.utils import storage
from triptych.web import access
from triptych.web import create_app
from triptych.web import logs
from triptych.web.registry import Offer
from triptych.web.registry import Registry

logger = logging.getLogger("triptych")

# The committee that is served, and the one before, which may still be asked.
HELD = 2
# Requests that are read or refused while as many photos as may wait.
SPARE = 16


class Seat:
    """Runs the networks of one member, on its share of a node's cores.

    Args:
        arguments: How networks run.
        member: Whose networks.
    """

    def __init__(self, arguments: Arguments, member: str) -> None:
        logs.configure(arguments.chosen().log_format)
        self._arguments = arguments
        self._member = member
        self._opened: OrderedDict[str, Member] = OrderedDict()
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._meters = metrics.EngineMeters(member)
        self._images = 0
        self._checked = 0

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Open the network of a committee, before anybody asks for it.

        Args:
            config: Names the ``committee``.
        """
        try:
            self._brought(config["committee"])
        except errors.TriptychError as error:
            if not self._opened:
                raise
            logger.error("%s is not opened: %s", config["committee"], error.message)

    def run(self, committee: str, batch: Float32Array) -> Output:
        """Answer a batch; see `triptych.engines.Engine.run`.

        Args:
            committee: Whose network of this member is meant.
            batch: Network inputs.
        """
        return self._answered(self._held(committee), batch)

    def look(self, committee: str, pixels: UInt8Array) -> Output:
        """Answer a batch; see `triptych.engines.Far.look`.

        Args:
            committee: Whose network of this member is meant.
            pixels: Not yet scaled.
        """
        member = self._held(committee)
        return self._answered(member, recipe.scale(member.recipe, pixels))

    def _answered(self, member: Member, batch: Float32Array) -> Output:
        start = time.perf_counter()
        output = member.engine.run(batch)
        self._meters.ran(len(batch), time.perf_counter() - start)
        with self._counting:
            self._images += len(batch)
        return output

    def facts(self) -> dict[str, Any]:
        """What this replica can say of itself, for people and tests."""
        return {**_whereabouts(), "committees": list(self._opened), "images": self._images}

    def check_health(self) -> None:
        """Look whether the network answers; where it just did, nothing is asked of it.

        Raises:
            errors.EngineError: It does not.
        """
        if self._images == self._checked and self._opened:
            _try(next(reversed(self._opened.values())))
        self._checked = self._images

    def _held(self, committee: str) -> Member:
        # Not behind the lock: one is asked while another one opens.
        return self._opened.get(committee) or self._brought(committee)

    def _brought(self, committee: str) -> Member:
        """Open a network unless it is open; the one that was brought before last is dropped."""
        with self._opening:
            if committee not in self._opened:
                self._opened[committee] = self._open(committee)
            self._opened.move_to_end(committee)
            if len(self._opened) > HELD:
                self._opened.popitem(last=False)
            return self._opened[committee]

    def _open(self, committee: str) -> Member:
        options = _engine_options(self._arguments)

        def open_network(name: str, network: Path) -> Engine:
            return open_engine(network, options) if name == self._member else Elsewhere()

        seated = loading.seat(
            committee, options, members=(self._member,), open_network=open_network
        )
        (member,) = seated.members
        _try(member)
        return member


class Elsewhere:
    """The engine of a member whose network is not opened in this process."""

    size_bytes = 0

    def run(self, batch: Float32Array) -> Output:
        """Refuse to answer."""
        raise errors.EngineError("This member's network is not opened in this process.")


class Front:
    """Answers by whichever studio there is just now.

    Whoever got a studio keeps it: an answer that is under way is finished by the one that began.
    """

    studio: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if self.studio and scope["type"] == "http":
            await self.studio(scope, receive, send)


@serve.ingress()
class Ingress:
    """The studio, over members that are elsewhere.

    Args:
        arguments: How a committee is served.
        members: The replicas of each member, by its name.

    Raises:
        errors.SettingError: Other machines could ask, and this process has no key.
    """

    def __init__(self, arguments: Arguments, members: dict[str, DeploymentHandle[Any]]) -> None:
        self._arguments = arguments
        self._settings = arguments.chosen()
        self._members = members
        self._front = Front()
        self._committee = ""
        self._instruments = metrics.RayInstruments()
        logs.configure(self._settings.log_format)
        _check(arguments, self._settings)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Ray Serve: what answers requests."""
        return self._front

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Serve a committee in place of the one before, as soon as it is loaded and warm.

        Args:
            config: Names the ``committee``.
        """
        await asyncio.to_thread(self._turn_to, config["committee"])

    def check_health(self) -> None:
        """Look whether questions can be answered.

        Raises:
            errors.EngineError: No committee is loaded.
        """
        if not self._front.studio:
            raise errors.EngineError("No committee is loaded.")
        self._instruments.look()

    def facts(self) -> dict[str, Any]:
        """What this replica can say of itself, for people and tests."""
        return {**_whereabouts(), "committees": [self._committee]}

    def _turn_to(self, committee: str) -> None:
        try:
            self._front.studio, self._committee = self._opened(committee), committee
        except errors.TriptychError as error:
            if not self._front.studio:
                raise
            logger.error("%s does not take over: %s", committee, error.message)

    def _opened(self, committee: str) -> ASGIApp:
        registry = _only(self._classifier(committee), committee)
        threads = self._arguments.ingress_threads
        app = create_app(
            self._settings, registry, threads=threads, teaching=False, make=self._instruments
        )
        workers = self._settings.max_waiting_images + SPARE
        return cast(ASGIApp, WSGIMiddleware(_ended(app), workers=workers))

    def _classifier(self, committee: str) -> Classifier:
        def remote(name: str, network: Path) -> Engine:
            return RemoteEngine(self._members[name], committee, self._settings.deadline_s)

        classifier = loading.classifier(
            dataclasses.replace(self._settings, committee=committee),
            _engine_options(self._arguments),
            members=self._arguments.members,
            threads=self._arguments.ingress_threads,
            open_network=remote,
        )
        _warm_up(classifier)
        return classifier


def _warm_up(classifier: Classifier) -> None:
    """Ask every member, however long it takes: nodes may have to join first."""
    while True:
        try:
            return classifier.warm_up()
        except errors.DeadlinePassed as error:
            logger.warning("Not ready yet: %s", error.message)


def _only(classifier: Classifier, committee: str) -> Registry:
    """The one committee on offer, loaded."""
    name = classifier.committee.name
    _, numbered, number = committee.rpartition("@")
    version = int(number) if numbered and not storage.is_url(committee) else 1
    offer = Offer((version,), version)
    registry = Registry(lambda _: classifier, lambda: {name: offer}, name, missing=lambda _: [])
    registry.get()
    return registry


def _engine_options(arguments: Arguments) -> EngineOptions:
    chosen = arguments.chosen()
    return EngineOptions(
        home=chosen.home,
        precision=chosen.precision,
        threads=arguments.threads,
        streams=arguments.threads,
        random_weights=table.is_random(arguments.weights),
        report=logger.info,
    )


def _whereabouts() -> dict[str, Any]:
    return {"pid": os.getpid(), "node": ray.get_runtime_context().get_node_id()}


def _try(member: Member) -> None:
    member.engine.run(np.zeros((1, *member.recipe.size, 3), np.float32))


def _check(arguments: Arguments, chosen: Settings) -> None:
    access.check(chosen, insecure=arguments.insecure, say=logger.warning)
    if arguments.needs_key and not chosen.api_key:
        raise errors.SettingError(
            "This node has no TRIPTYCH_API_KEY, so anybody could ask it. Set it in the environment "
            "in which `ray start` runs, on each node."
        )


def _ended(app: Callable[..., Any]) -> Callable[..., Any]:
    """The application, told that bodies end: chunked ones, of which nobody says how long they are,
    would count as empty."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input_terminated"] = True
        return app(environ, start_response)

    return answer
