"""The only place that joins the serving steps: bytes, recipe, engines, rule, verdict."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from triptych import combine
from triptych import errors
from triptych import images
from triptych import recipe
from triptych.committee import Committee
from triptych.committee import Member
from triptych.committee import with_recipe
from triptych.results import Failure
from triptych.results import Prediction
from triptych.results import Timing
from triptych.results import Verdict
from triptych.results import top_guesses

# On a CPU a larger batch hardly runs faster (measured: ResNet50 98 images/s at 1, 107 at 8),
# and it makes the first answer late.
BATCH_SIZE = 8

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Question:
    """What is asked of a committee; ``None`` takes the committee's own way.

    Args:
        members: Names of the members to ask.
        rule: The combination rule, a name from `combine.RULES`.
        top: How many guesses each member and the verdict name, at least 1.
        fit: ``"crop"`` or ``"square"``, see `triptych.recipe.Recipe`.
    """

    members: tuple[str, ...] | None = None
    rule: str | None = None
    top: int = 3
    fit: str | None = None


@dataclass(frozen=True)
class Scores:
    """What the members say of one image, before any rule.

    Args:
        source: Where the image came from.
        members: Names of the members that were asked, in committee order.
        probs: Shape (M, C), one row per member.
        timing: Where the time went.
    """

    source: str
    members: tuple[str, ...]
    probs: npt.NDArray[np.float32]
    timing: Timing


@dataclass(frozen=True)
class _Ready:
    """One image, ready for the engines."""

    source: str
    inputs: tuple[npt.NDArray[np.float32], ...]  # one (H, W, 3) per member
    decode_ms: float
    recipe_ms: float


@dataclass(frozen=True)
class _Bad:
    """One image that could not be made ready."""

    source: str
    error: errors.TriptychError


class Classifier:
    """Asks a committee about images, one or many.

    Args:
        committee: Who answers.
        limits: Largest image that is accepted.

    Example:
        >>> from triptych.engine.fake import FakeEngine
        >>> from triptych.results import Label
        >>> member = Member("Fake", FakeEngine(2), recipe.Recipe((8, 8), "tf"))
        >>> pair = (Label("ant", "ant", 0), Label("bee", "bee", 1))
        >>> classifier = Classifier(Committee("demo", (member,), pair))
        >>> verdict = classifier.classify(np.zeros((20, 30, 3), np.uint8))
        >>> len(verdict.top), verdict.rule
        (2, 'mean')
    """

    def __init__(
        self, committee: Committee, *, limits: images.Limits = images.DEFAULT_LIMITS
    ) -> None:
        self.committee = committee
        self._limits = limits
        self._pool = ThreadPoolExecutor(_cores(), thread_name_prefix="triptych-decode")

    def classify(
        self,
        image: Any,
        *,
        source: str | None = None,
        members: Sequence[str] | None = None,
        rule: str | None = None,
        top: int = 3,
        fit: str | None = None,
    ) -> Verdict:
        """Ask about one image.

        Args:
            image: A path, bytes, an RGB array (H, W, 3) uint8, or a PIL image.
            source: What to call it in the answer; by default its path.
            members: Names of the members to ask; by default all.
            rule: The combination rule; by default the committee's.
            top: How many guesses to name, at least 1.
            fit: ``"crop"`` or ``"square"``; by default each member's own recipe.

        Raises:
            errors.ImageError: The image cannot be read; the message says why.
            errors.UnknownName: No such member or rule.
        """
        question = Question(tuple(members) if members is not None else None, rule, top, fit)
        self._check(question)
        scores = next(self._scores([(source or _name(image), image)], question))
        if isinstance(scores, _Bad):
            raise scores.error
        return self._verdict(scores, question)

    def classify_many(
        self, named: Iterable[tuple[str, Any]], question: Question = Question()
    ) -> Iterator[Verdict | Failure]:
        """Ask about a stream of images; answers come in order, as they are ready.

        A bad image becomes a `Failure` in its place and does not disturb the others. Only a few
        images are held at a time, however long the stream.

        Args:
            named: Pairs of a source's name and an image, as `classify` takes.
            question: Who is asked, and how.

        Raises:
            errors.UnknownName: No such member or rule.
        """
        self._check(question)
        return (
            scores if isinstance(scores, Failure) else self._verdict(scores, question)
            for scores in self.score_many(named, question)
        )

    def score_many(
        self, named: Iterable[tuple[str, Any]], question: Question = Question()
    ) -> Iterator[Scores | Failure]:
        """Like `classify_many`, but gives the members' own probabilities, not yet joined."""
        return map(_public, self._scores(named, question))

    def _check(self, question: Question) -> None:
        combine.check(question.rule or self.committee.rule)
        if question.top < 1:
            raise errors.SettingError(f"Asked for the top {question.top}; expected 1 or more.")

    def _scores(
        self, named: Iterable[tuple[str, Any]], question: Question
    ) -> Iterator[Scores | _Bad]:
        chosen = self.committee.select(question.members)
        members = tuple(with_recipe(member, fit=question.fit) for member in chosen)
        prepared = _map_ahead(
            self._pool, lambda pair: self._prepare(*pair, members), named, 2 * BATCH_SIZE
        )
        return _in_batches(prepared, members)

    def _prepare(self, source: str, image: Any, members: tuple[Member, ...]) -> _Ready | _Bad:
        start = time.perf_counter()
        try:
            pixels = images.load(image, limits=self._limits)
        except errors.TriptychError as error:
            return _Bad(source, error)
        decoded = time.perf_counter()
        inputs = tuple(recipe.apply(member.recipe, pixels) for member in members)
        return _Ready(source, inputs, _ms(start, decoded), _ms(decoded, time.perf_counter()))

    def _verdict(self, scores: Scores, question: Question) -> Verdict:
        rule, labels = question.rule or self.committee.rule, self.committee.labels
        weights = [member.weight for member in self.committee.select(scores.members)]
        joined = combine.join(rule, scores.probs[:, None], weights)[0]  # (C,)
        return Verdict(
            source=scores.source,
            rule=rule,
            top=top_guesses(joined, labels, question.top),
            members=tuple(
                Prediction(name, top_guesses(own, labels, question.top))
                for name, own in zip(scores.members, scores.probs, strict=True)
            ),
            timing=scores.timing,
            warning=self.committee.warning,
        )


def _in_batches(
    prepared: Iterator[_Ready | _Bad], members: tuple[Member, ...]
) -> Iterator[Scores | _Bad]:
    while chunk := list(itertools.islice(prepared, BATCH_SIZE)):
        ready = [item for item in chunk if isinstance(item, _Ready)]
        scores = iter(_run(ready, members) if ready else ())
        for item in chunk:
            yield item if isinstance(item, _Bad) else next(scores)


def _run(ready: list[_Ready], members: tuple[Member, ...]) -> list[Scores]:
    probs, spent_ms = [], {}
    for seat, member in enumerate(members):
        start = time.perf_counter()
        batch = np.stack([item.inputs[seat] for item in ready])
        probs.append(member.engine.run(batch).probs)
        spent_ms[member.name] = _ms(start, time.perf_counter()) / len(ready)
    by_image = np.stack(probs, axis=1)  # (N, M, C)
    names = tuple(spent_ms)
    return [
        Scores(item.source, names, own, _timing(item, spent_ms))
        for item, own in zip(ready, by_image, strict=True)
    ]


def _public(scores: Scores | _Bad) -> Scores | Failure:
    if isinstance(scores, _Bad):
        return Failure(scores.source, scores.error.code, scores.error.message)
    return scores


def _timing(item: _Ready, members_ms: dict[str, float]) -> Timing:
    total = item.decode_ms + item.recipe_ms + sum(members_ms.values())
    return Timing(item.decode_ms, item.recipe_ms, members_ms, total)


def _name(image: Any) -> str:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else "image"


def _ms(start: float, end: float) -> float:
    return (end - start) * 1000


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _map_ahead(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """Like ``pool.map``, but takes at most ``ahead`` items before their results are wanted."""
    pending: deque[Future[R]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
