"""What pages and API share: committees, limits, queues and the deadline; and the context of a
request."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from typing import Any
from typing import TypeVar
from typing import cast

import flask

from triptych.inference.classifier import Classifier
from triptych.results import Failure
from triptych.results import Verdict
from triptych.settings import Settings
from triptych.studio import keys
from triptych.studio.exports import Exports
from triptych.studio.jobs import Jobs
from triptych.studio.keys import Key
from triptych.studio.model_imports import ModelImports
from triptych.studio.projects import Projects
from triptych.studio.quantizing import Quantizing
from triptych.studio.sorting import Sorting
from triptych.utils.queueing import Deadline
from triptych.utils.queueing import Queue
from triptych.utils.queueing import Wait
from triptych.web import permissions
from triptych.web.fetches import Fetches
from triptych.web.registry import Registry
from triptych.web.shadow import Shadow

KEY = "triptych"
# Limits of changes that run, or wait for the lock of the database, and of all that are waiting.
CHANGES, MOST_CHANGES = 4, 64
DOWNLOADS = 8  # at once, as each has a temporary file of its size
ID_HEADER = "X-Request-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")

T = TypeVar("T")


@dataclass(frozen=True)
class Studio:
    """Everything that requests need: settings, committees, queues, projects.

    Args:
        settings: The limits.
        registry: The committees.
        queue: Bounded queue of the work on images.
        loading: Queue for loading committees, which takes seconds; loaded ones go on answering
            meanwhile.
        wait: Waits for a future, with a timeout in seconds; a server passes one that does not block
            its event loop.
        teaching: Whether people train committees here; else there are no projects.
        changes: Queue of writes, which may have to wait for another writing process.
        downloads: Semaphore for downloads of bundles.
        fetches: The downloads of weights.
        shadow: The version that is compared with the published one, if there is one.
    """

    settings: Settings
    registry: Registry
    queue: Queue
    loading: Queue
    wait: Wait
    teaching: bool = True
    changes: Queue = field(default_factory=lambda: Queue(CHANGES, capacity=MOST_CHANGES))
    downloads: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(DOWNLOADS)
    )
    fetches: Fetches = field(default_factory=lambda: Fetches(None))
    shadow: Shadow | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def projects(self) -> Projects:
        """Projects of classes and photos; opened when first used.

        Raises:
            errors.StateError: They cannot be read or written.
        """
        return Projects(self.settings.home, limits=self.settings.image_limits)

    @property
    def imports(self) -> ModelImports:
        """Models that are uploaded to be imported."""
        with self._opening:
            return self._imports

    @cached_property
    def _imports(self) -> ModelImports:
        return ModelImports(self.settings.home)

    def close_imports(self) -> None:
        """Stop imports that are under way, if there are any."""
        if "_imports" in vars(self):
            self._imports.close()

    @property
    def jobs(self) -> Jobs:
        """The training jobs; only one server process can open them. May wait.

        Raises:
            errors.StateError: As `projects`.
            errors.Overloaded: Another process has been writing for too long.
        """
        with self._opening:
            return self._jobs

    @cached_property
    def exports(self) -> Exports:
        """The exports that people start here."""
        return Exports(self.settings.home)

    @cached_property
    def quantizing(self) -> Quantizing:
        """The int8 networks that people make here."""
        return Quantizing(self.settings.home)

    @cached_property
    def sorting(self) -> Sorting:
        """The heaps that people sort here."""
        return Sorting(self.settings.home, self._engine_options)

    @property
    def has_jobs(self) -> bool:
        """Whether the jobs were opened."""
        return "_jobs" in vars(self)

    @cached_property
    def _jobs(self) -> Jobs:
        return Jobs(self.projects, self.settings.home, self._engine_options)

    @property
    def _engine_options(self) -> dict[str, Any]:
        return {name: getattr(self.settings, name) for name in ("precision", "device", "threads")}

    def do(self, work: Callable[[], T]) -> T:
        """Run a slow function in the queue.

        Raises:
            errors.Overloaded: Too much is waiting.
            errors.DeadlinePassed: It took too long.
        """
        return self.deadline().result(self.queue.submit(work))

    def change(self, work: Callable[[], T]) -> T:
        """Run a function that writes, in a separate queue.

        Raises:
            errors.Overloaded: Too much is waiting, or another process has been writing for too
                long.
            errors.DeadlinePassed: It took too long.
        """
        return self.deadline().result(self.changes.submit(work))

    def deadline(self) -> Deadline:
        """The deadline of a request that starts now."""
        return Deadline(self.settings.deadline_s, wait=self.wait)

    def classifier(self, committee: str | None, deadline: Deadline) -> Classifier:
        """The classifier of a committee, loaded first if necessary.

        Args:
            committee: Its name; ``None`` means the default.
            deadline: How long to wait for it.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
            errors.DeadlinePassed: It took too long; it goes on to load.
            Forbidden: The key of the request is for another committee.
        """
        committee = permitted(committee)
        loaded = self.registry.loaded(committee)
        classifier = loaded or deadline.result(
            self.loading.submit(lambda: self.registry.get(committee))
        )
        # As many photos at a time as fill the batches of its networks, and the next one.
        self.queue.grow(classifier.capacity + 1)
        return classifier

    def load(self, committee: str) -> None:
        """Load a committee, and wait until it is ready.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
            errors.DeadlinePassed: It took too long; it goes on to load.
        """
        self.classifier(committee, self.deadline())

    def arrange(self, work: Callable[[], T]) -> T:
        """Run a function that loads committees, in a separate queue.

        Raises:
            errors.DeadlinePassed: It took too long; it continues in the background.
        """
        return self.deadline().result(self.loading.submit(work))


def current() -> Studio:
    """The studio of the request that is being answered."""
    return cast(Studio, flask.current_app.extensions[KEY])


@dataclass
class RequestContext:
    """What the log and the metrics record of a request while it is answered.

    Args:
        id: The client's id for the request, or a new one.
        begun_s: When it started, by `time.perf_counter`.
        committee: The committee that answers; empty if none does.
        images: How many images it has.
        answers: The answers to them; none if it failed.
        error: The code of the error; empty without one.
        key: The key that came with it, or that a person signed in with; the owner's, where no key
            is required.
        is_watching: Whether it is from a probe or a metrics scraper; those are neither counted nor
            logged.
    """

    id: str
    begun_s: float = field(default_factory=time.perf_counter)
    committee: str = ""
    images: int = 0
    answers: list[Verdict | Failure] = field(default_factory=list)
    error: str = ""
    key: Key = keys.OWNER
    is_watching: bool = False

    @property
    def spent_s(self) -> float:
        """Seconds since it started."""
        return time.perf_counter() - self.begun_s


def of_request() -> RequestContext:
    """The context of the current request, created at the first call."""
    environ = flask.request.environ
    request_context = environ.get(KEY)
    if request_context is None:
        # A client's id is written to the log, so it must not contain line breaks.
        sent = flask.request.headers.get(ID_HEADER, "")
        request_context = RequestContext(sent if SANE_ID.fullmatch(sent) else uuid.uuid4().hex)
        environ[KEY] = request_context
    return cast(RequestContext, request_context)


def permitted(committee: str | None) -> str | None:
    """The committee that the current request asks; see `permissions.allowed`.

    Args:
        committee: The name in the request; ``None`` where it leaves that open.

    Raises:
        Forbidden: Its key is for another one.
    """
    key = of_request().key
    if key.committee and committee:
        # The published version, by its number.
        active = current().registry.facts(key.committee).active
        if committee == f"{key.committee}@{active}":
            return key.committee
    return permissions.allowed(key, committee)


def committees() -> list[str]:
    """The names of the committees that the current request may ask."""
    return permissions.visible(of_request().key, current().registry.names)
