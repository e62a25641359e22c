"""What pages and API share: the committees, the limits, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from typing import TypeVar
from typing import cast

import flask

from triptych.images import Limits
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import Question
from triptych.inference.explain.explainer import Explanation
from triptych.results import Failure
from triptych.results import Verdict
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

Answer = Verdict | Failure


@dataclass(frozen=True)
class Studio:
    """What a request needs to be answered.

    Args:
        settings: The limits.
        registry: The committees.
        queue: Where work waits for its turn.
        loading: Where the loading of committees waits: it takes seconds, in which those that are
            ready shall go on to answer.
        wait: Waits for a future so many seconds; a server whose loop must stay free passes its
            own way.
        teaching: Whether people teach committees here; else there are no projects.
    """

    settings: Settings
    registry: Registry
    queue: Queue
    loading: Queue
    wait: Wait
    teaching: bool = True

    @cached_property
    def projects(self) -> Projects:
        """Projects of classes and photos; opened when first asked for.

        Raises:
            errors.StateError: They cannot be read, or nothing can be written.
        """
        limits = Limits(self.settings.max_image_bytes, self.settings.max_image_pixels)
        return Projects(self.settings.home, limits=limits)

    @cached_property
    def jobs(self) -> Jobs:
        """What teaches them; a server asks for it before it opens, as others may not meanwhile.

        Raises:
            errors.StateError: As `projects`.
        """
        build = {"precision": self.settings.precision, "threads": self.settings.threads}
        return Jobs(self.projects, self.settings.home, build)

    def ask(
        self, committee: str | None, images: Sequence[tuple[str, Any]], question: Question
    ) -> list[Answer]:
        """Ask a committee; one answer per image, in order.

        Args:
            committee: Its name; ``None`` means the default.
            images: Pairs of a name for people and an image, as `Classifier.classify` takes.
            question: Who is asked, and how.

        Raises:
            errors.UnknownName: No such committee, member or rule.
            errors.SettingError: An option has an impossible value.
            errors.WeightsMissing: The committee's weights have to be fetched first.
            errors.Overloaded: Too many images are waiting.
            errors.DeadlinePassed: It took too long.
        """
        deadline = self._deadline()
        classifier = self._asked(committee, len(images), deadline)

        def work() -> list[Answer]:
            return list(deadline.watch(classifier.classify_many(images, question)))

        answers = deadline.result(self.queue.submit(work, images=len(images)))
        request_context.current().answers += answers
        return answers

    def explain(
        self,
        committee: str | None,
        image: tuple[str, Any],
        form: Callable[[Explanation], T],
        **asked: Any,
    ) -> T:
        """Let a committee say which parts of an image speak for a class.

        Args:
            committee: Its name; ``None`` means the default.
            image: A name for people and an image, as `Classifier.classify` takes.
            form: Makes what is answered of the explanation; called where it does not hold up
                others.
            **asked: As `Classifier.explain` takes it.

        Raises:
            errors.ImageError: The image cannot be read.
            errors.UnknownName: No such committee, member, rule or class.
            errors.WeightsMissing: The committee's weights have to be fetched first.
            errors.Overloaded: Too many images are waiting.
            errors.DeadlinePassed: It took too long.
        """
        deadline = self._deadline()
        classifier = self._asked(committee, 1, deadline)
        source, data = image

        def work() -> T:
            told = classifier.explain(
                data, source=source, stop=lambda: not deadline.left_s, **asked
            )
            return form(told)

        return deadline.result(self.queue.submit(work))

    def do(self, work: Callable[[], T]) -> T:
        """Do something that takes a while when its turn comes.

        Raises:
            errors.Overloaded: Too much is waiting.
            errors.DeadlinePassed: It took too long.
        """
        return self._deadline().result(self.queue.submit(work))

    def load(self, committee: str) -> None:
        """Load a committee, and wait until it is ready.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
            errors.DeadlinePassed: It took too long; it goes on to load.
        """
        self._classifier(committee, self._deadline())

    def arrange(self, work: Callable[[], T]) -> T:
        """Do something that loads committees, beside those that answer.

        Raises:
            errors.DeadlinePassed: It took too long; it goes on all the same.
        """
        return self._deadline().result(self.loading.submit(work))

    def _deadline(self) -> Deadline:
        return Deadline(self.settings.deadline_s, wait=self.wait)

    def _asked(self, name: str | None, images: int, deadline: Deadline) -> Classifier:
        """A committee that is asked about so many images, which the log shall tell."""
        classifier = self._classifier(name, deadline)
        noted = request_context.current()
        noted.committee = classifier.committee.name
        noted.images += images
        return classifier

    def _classifier(self, name: str | None, deadline: Deadline) -> Classifier:
        loaded = self.registry.loaded(name)
        return loaded or deadline.result(self.loading.submit(lambda: self.registry.get(name)))


def current() -> Studio:
    """The studio of the request that is being answered."""
    return cast(Studio, flask.current_app.extensions[KEY])
