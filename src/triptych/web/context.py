"""What pages and API share: the committees, the limits, the queues and the deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from typing import TypeVar
from typing import cast

import flask

from triptych.inference.classifier import Classifier
from triptych.inference.explain.explainer import Explanation
from triptych.settings import Settings
from triptych.studio.jobs import Jobs
from triptych.studio.projects import Projects
from triptych.utils.queueing import Deadline
from triptych.utils.queueing import Queue
from triptych.utils.queueing import Wait
from triptych.web import request_context
from triptych.web.registry import Registry

KEY = "triptych"

T = TypeVar("T")


@dataclass(frozen=True)
class Studio:
    """What a request needs to be answered.

    Args:
        settings: The limits.
        registry: The committees.
        queue: Bounded queue of the work on images.
        loading: Queue for loading committees, which takes seconds, so that those that are loaded
            go on answering.
        wait: Waits for a future, with a timeout in seconds; a server passes one that leaves its
            event loop free.
        teaching: Whether people train committees here; else there are no projects.
    """

    settings: Settings
    registry: Registry
    queue: Queue
    loading: Queue
    wait: Wait
    teaching: bool = True

    @cached_property
    def projects(self) -> Projects:
        """Projects of classes and photos; opened when first used.

        Raises:
            errors.StateError: They cannot be read, or nothing can be written.
        """
        return Projects(self.settings.home, limits=self.settings.image_limits)

    @cached_property
    def jobs(self) -> Jobs:
        """The training jobs; a server opens them before it serves, and no other process can.

        Raises:
            errors.StateError: As `projects`.
        """
        build = {"precision": self.settings.precision, "threads": self.settings.threads}
        return Jobs(self.projects, self.settings.home, build)

    def explain(
        self,
        committee: str | None,
        image: tuple[str, Any],
        render: Callable[[Explanation], T],
        **options: Any,
    ) -> T:
        """Find which parts of an image speak for a class.

        Args:
            committee: Its name; ``None`` means the default.
            image: A name for people and an image, as `Classifier.classify` takes.
            render: Makes the answer from the explanation; called in the queue's thread.
            **options: As `Classifier.explain` takes them.

        Raises:
            errors.ImageError: The image cannot be read.
            errors.UnknownName: No such committee, member, rule or class.
            errors.WeightsMissing: The committee's weights have to be fetched first.
            errors.Overloaded: Too many images are waiting.
            errors.DeadlinePassed: It took too long.
        """
        deadline = self._deadline()
        classifier = self.classifier(committee, deadline)
        noted = request_context.current()
        noted.committee, noted.images = classifier.committee.name, noted.images + 1
        source, data = image

        def work() -> T:
            explanation = classifier.explain(
                data, source=source, stop=lambda: not deadline.left_s, **options
            )
            return render(explanation)

        return deadline.result(self.queue.submit(work))

    def do(self, work: Callable[[], T]) -> T:
        """Run something that takes a while when its turn in the queue comes.

        Raises:
            errors.Overloaded: Too much is waiting.
            errors.DeadlinePassed: It took too long.
        """
        return self._deadline().result(self.queue.submit(work))

    def classifier(self, committee: str | None, deadline: Deadline) -> Classifier:
        """The classifier of a committee, which is loaded first if need be.

        Args:
            committee: Its name; ``None`` means the default.
            deadline: How long to wait for it.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
            errors.DeadlinePassed: It took too long; it goes on to load.
        """
        loaded = self.registry.loaded(committee)
        return loaded or deadline.result(self.loading.submit(lambda: self.registry.get(committee)))

    def load(self, committee: str) -> None:
        """Load a committee, and wait until it is ready.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
            errors.DeadlinePassed: It took too long; it goes on to load.
        """
        self.classifier(committee, self._deadline())

    def arrange(self, work: Callable[[], T]) -> T:
        """Run something that loads committees, beside those that answer.

        Raises:
            errors.DeadlinePassed: It took too long; it goes on all the same.
        """
        return self._deadline().result(self.loading.submit(work))

    def _deadline(self) -> Deadline:
        return Deadline(self.settings.deadline_s, wait=self.wait)


def current() -> Studio:
    """The studio of the request that is being answered."""
    return cast(Studio, flask.current_app.extensions[KEY])
