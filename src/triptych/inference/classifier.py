"""The only place that joins the serving steps: bytes, recipe, engines, rule, verdict."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from typing import TypeVar

import numpy as np

from triptych import errors
from triptych import images
from triptych.ensemble import conformal
from triptych.inference import verdicts
from triptych.inference.committee import Committee
from triptych.inference.committee import with_recipe
from triptych.inference.explain import explainer
from triptych.inference.member_batch import Batch
from triptych.inference.member_batch import Cut
from triptych.inference.member_batch import Ready
from triptych.inference.member_batch import Seen
from triptych.preprocessing import recipe
from triptych.results import Failure
from triptych.results import Timing
from triptych.results import Verdict
from triptych.typing import Float32Array
from triptych.typing import ShouldStop
from triptych.utils import concurrency

T = TypeVar("T")

# Of a stream; more would not keep the cores busier, and make the first answer late.
BATCH_SIZE = 8
MOST_SIMILAR = 12


@dataclass(frozen=True)
class Question:
    """What is asked of a committee; ``None`` takes the committee's own way.

    Args:
        members: Names of the members to ask.
        rule: The combination rule, a name from `rules.RULES`.
        top: How many guesses each member and the verdict name, at least 1.
        fit: ``"crop"`` or ``"square"``, see `triptych.preprocessing.recipe.Recipe`.
        coverage: How often the verdict's set shall hold the true class, in (0, 1); ``None`` takes
            the classifier's.
        similar: How many of the nearest taught photos to name, 0 to `MOST_SIMILAR`.
    """

    members: tuple[str, ...] | None = None
    rule: str | None = None
    top: int = 3
    fit: str | None = None
    coverage: float | None = None
    similar: int = 0


@dataclass(frozen=True)
class Scores:
    """What the members say of one image themselves, neither calibrated nor joined.

    Args:
        source: Where the image came from.
        members: Names of the members that were asked, in committee order.
        probs: Shape (M, C), one row per member.
        timing: Where the time went.
    """

    source: str
    members: tuple[str, ...]
    probs: Float32Array
    timing: Timing


@dataclass(frozen=True)
class _Bad:
    """One image that could not be read."""

    source: str
    error: errors.TriptychError


class Classifier:
    """Asks a committee about images, one or many.

    Args:
        committee: Who answers.
        limits: Largest image that is accepted.
        coverage: How often a verdict's set shall hold the true class, where a question does not
            say, in (0, 1).
        threads: How many photos and networks it works on beside each other; by default one for
            each core.

    Raises:
        errors.SettingError: The coverage is impossible.

    Example:
        >>> from triptych.ensemble import params
        >>> from triptych.inference.committee import Member
        >>> from triptych.engines.fake import FakeEngine
        >>> from triptych.results import Label
        >>> member = Member("Fake", FakeEngine(2), recipe.Recipe((8, 8), "tf"))
        >>> pair = (Label("ant", "ant", 0), Label("bee", "bee", 1))
        >>> classifier = Classifier(Committee("demo", (member,), pair, params.unfitted([1], [1])))
        >>> verdict = classifier.classify(np.zeros((20, 30, 3), np.uint8))
        >>> len(verdict.top), verdict.rule
        (2, 'mean')
    """

    def __init__(
        self,
        committee: Committee,
        *,
        limits: images.Limits = images.DEFAULT_LIMITS,
        coverage: float = 0.9,
        threads: int | None = None,
    ) -> None:
        conformal.check_coverage(coverage)
        self.committee = committee
        self.coverage = coverage
        self._limits = limits
        self._pool = ThreadPoolExecutor(
            threads or concurrency.cores(), thread_name_prefix="triptych-decode"
        )
        self._explainer = explainer.Explainer(self._pool)

    def classify(
        self,
        image: Any,
        *,
        source: str | None = None,
        members: Sequence[str] | None = None,
        rule: str | None = None,
        top: int = 3,
        fit: str | None = None,
        coverage: float | None = None,
        similar: int = 0,
    ) -> Verdict:
        """Ask about one image.

        Args:
            image: A path, bytes, an RGB array (H, W, 3) uint8, or a PIL image.
            source: What to call it in the answer; by default its path.
            members: Names of the members to ask; by default all.
            rule: The combination rule; by default the committee's.
            top: How many guesses to name, at least 1.
            fit: ``"crop"`` or ``"square"``; by default each member's own recipe.
            coverage: How often the verdict's set shall hold the true class, in (0, 1); by default
                the classifier's.
            similar: How many of the nearest taught photos to name, 0 to 12; there are none where
                photos were not taught.

        Raises:
            errors.ImageError: The image cannot be read; the message says why.
            errors.UnknownName: No such member or rule.
        """
        asked = tuple(members) if members is not None else None
        question = Question(asked, rule, top, fit, coverage, similar)
        (answer,) = self._answers([(source or _name(image), image)], question)
        if isinstance(answer, _Bad):
            raise answer.error
        return answer

    def explain(
        self,
        image: Any,
        *,
        source: str | None = None,
        member: str | None = None,
        label: str | None = None,
        rule: str | None = None,
        fit: str | None = None,
        stop: ShouldStop = lambda: False,
    ) -> explainer.Explanation:
        """Say which parts of one image speak for a class.

        Args:
            image: As `classify` takes it.
            source: What to call it; by default its path.
            member: Name of the member to look into; by default all that the rule asks, together,
                each with its share in the verdict.
            label: Id or name of the class; by default the one that is answered.
            rule: As for `classify`.
            fit: As for `classify`.
            stop: Asked from time to time whether to give up.

        Raises:
            errors.ImageError: The image cannot be read; the message says why.
            errors.UnknownName: No such member, rule or class.
            errors.Stopped: ``stop`` said so.
        """
        alone = None if member is None else (member,)
        question = Question(alone, rule, len(self.committee.labels), fit)
        committee = self._chosen(question)
        ready = self._decode(source or _name(image), image, enough=self._enough)
        if isinstance(ready, _Bad):
            raise ready.error
        batch = Batch([ready], committee, self._pool)
        (verdict,) = verdicts.verdicts(batch, top=question.top, coverage=self.coverage)
        asked = explainer.Why(verdict, alone=member is not None, label=label)
        return self._explainer.explain(batch, ready.picture, asked, stop=stop)

    @property
    def size_bytes(self) -> int:
        """How large its networks are, with those that were opened to explain answers."""
        engines = sum(member.engine.size_bytes for member in self.committee.members)
        return engines + self._explainer.size_bytes

    def classify_many(
        self, named: Iterable[tuple[str, Any]], question: Question = Question()
    ) -> Iterator[Verdict | Failure]:
        """Ask about a stream of images; answers come in order, as they are ready.

        A bad image becomes a `Failure` in its place and does not disturb the others. Only a few
        images are held at a time, however long the stream.

        Args:
            named: Pairs of a source's name and an image, as `classify` takes, or one that was
                read and cut for these members before.
            question: Who is asked, and how.

        Raises:
            errors.UnknownName: No such member or rule.
        """
        return map(_public, self._answers(named, question))

    def score_many(
        self, named: Iterable[tuple[str, Any]], question: Question = Question()
    ) -> Iterator[Scores | Failure]:
        """Like `classify_many`, but gives what each member says itself, whatever the rule."""
        committee = self._chosen(question)
        seats = range(len(committee.members))
        names = tuple(member.name for member in committee.members)

        def score(ready: list[Seen]) -> list[Scores]:
            batch = Batch(ready, committee, self._pool)
            batch.ask(seats)
            return [
                Scores(item.source, names, own, batch.timing(number))
                for number, (item, own) in enumerate(zip(ready, batch.probs, strict=True))
            ]

        found: Iterator[Scores | _Bad] = self._each(named, score)
        return map(_public, found)

    def warm_up(self) -> None:
        """Run every network on all cores at once; the first runs beside each other are slow."""
        shape = (*self.committee.members[0].recipe.size, 3)
        photos = [("warm-up", np.zeros(shape, np.uint8))] * (2 * concurrency.cores())
        everyone = Question(rule="mean")
        for _ in self.classify_many(photos, everyone):
            pass

    def _answers(
        self, named: Iterable[tuple[str, Any]], question: Question
    ) -> Iterator[Verdict | _Bad]:
        committee = self._chosen(question)
        coverage = self._coverage(question)

        def judge(ready: list[Seen]) -> list[Verdict]:
            batch = Batch(ready, committee, self._pool)
            return verdicts.verdicts(
                batch, top=question.top, coverage=coverage, similar=question.similar
            )

        return self._each(named, judge)

    def _coverage(self, question: Question) -> float:
        return self.coverage if question.coverage is None else question.coverage

    def _chosen(self, question: Question) -> Committee:
        """The committee as it is asked here, after a look whether that is possible."""
        if question.top < 1:
            raise errors.SettingError(f"Asked for the top {question.top}; expected 1 or more.")
        if not 0 <= question.similar <= MOST_SIMILAR:
            raise errors.SettingError(
                f"Asked for {question.similar} similar photos; expected 0 to {MOST_SIMILAR}."
            )
        conformal.check_coverage(self._coverage(question))
        chosen = self.committee.only(question.members).under(question.rule)
        return dataclasses.replace(
            chosen, members=tuple(with_recipe(m, fit=question.fit) for m in chosen.members)
        )

    def _each(
        self, named: Iterable[tuple[str, Any]], work: Callable[[list[Seen]], Sequence[T]]
    ) -> Iterator[T | _Bad]:
        """Images decoded and worked on in batches; answers in order, bad images in theirs."""
        enough = self._enough
        decoded = concurrency.map_ahead(
            self._pool,
            lambda pair: self._seen(*pair, enough=enough),
            named,
            ahead=2 * BATCH_SIZE,
        )
        return _in_batches(decoded, work)

    @property
    def _enough(self) -> int:
        # Of all members, asked or not: what one of them sees depends on no option.
        return recipe.enough(member.recipe for member in self.committee.members)

    def _seen(self, source: str, image: Any, *, enough: int) -> Seen | _Bad:
        return image if isinstance(image, Cut) else self._decode(source, image, enough=enough)

    def _decode(self, source: str, image: Any, *, enough: int) -> Ready | _Bad:
        start = time.perf_counter()
        try:
            picture = images.picture(image, limits=self._limits, enough=enough)
        except errors.TriptychError as error:
            return _Bad(source, _light(error))
        return Ready(source, picture, _ms(start, time.perf_counter()))


def _light(error: errors.TriptychError) -> errors.TriptychError:
    """The error without the frames it passed, which hold the photo until Python looks for rings."""
    link: BaseException | None = error
    while link:
        link.__traceback__ = None
        link = link.__context__
    return error


def _in_batches(
    decoded: Iterator[Seen | _Bad], work: Callable[[list[Seen]], Sequence[T]]
) -> Iterator[T | _Bad]:
    while chunk := list(itertools.islice(decoded, BATCH_SIZE)):
        ready = [item for item in chunk if not isinstance(item, _Bad)]
        done = iter(work(ready) if ready else ())
        for item in chunk:
            yield item if isinstance(item, _Bad) else next(done)


def _public(answer: T | _Bad) -> T | Failure:
    if isinstance(answer, _Bad):
        return Failure(answer.source, answer.error.code, answer.error.message)
    return answer


def _name(image: Any) -> str:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else "image"


def _ms(start: float, end: float) -> float:
    return (end - start) * 1000
