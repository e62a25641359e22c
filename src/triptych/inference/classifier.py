"""The serving flow from top to bottom: bytes, pixels, forward passes, rule, verdicts."""

from __future__ import annotations

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
import numpy.typing as npt

from triptych import errors
from triptych import images
from triptych.engines import batching
from triptych.ensemble import conformal
from triptych.inference.committee import Committee
from triptych.inference.explain import explainer
from triptych.inference.member_batch import CroppedImage
from triptych.inference.member_batch import DecodedImage
from triptych.inference.member_batch import ImageSource
from triptych.inference.member_batch import MemberBatch
from triptych.preprocessing import recipe
from triptych.results import Failure
from triptych.results import Timing
from triptych.results import Verdict
from triptych.typing import ShouldStop
from triptych.utils import concurrency
from triptych.utils.text import text

T = TypeVar("T")

# Of a stream; larger batches do not keep the cores busier, and delay the first answer.
BATCH_SIZE = 8
MOST_SIMILAR = 12


@dataclass(frozen=True)
class ClassifyOptions:
    """How a committee is to answer; ``None`` takes the committee's own way.

    Args:
        members: Names of the members that are to predict; ``None`` means all.
        rule: The combination rule, a name from `rules.RULES`.
        top: How many guesses each member and the verdict name, at least 1.
        fit: ``"crop"`` or ``"square"``, see `triptych.preprocessing.recipe.Recipe`.
        coverage: How often the prediction set is to hold the true class, in (0, 1); ``None``
            takes the classifier's.
        similar: How many of the nearest training photos to name, 0 to `MOST_SIMILAR`.
    """

    members: tuple[str, ...] | None = None
    rule: str | None = None
    top: int = 3
    fit: str | None = None
    coverage: float | None = None
    similar: int = 0


@dataclass(frozen=True)
class Scores:
    """The members' raw probabilities for one image, neither calibrated nor combined.

    Args:
        source: Where the image came from.
        members: Names of the members, in committee order.
        probs: Shape (M, C), one row per member.
        timing: Where the time went.
    """

    source: str
    members: tuple[str, ...]
    probs: npt.NDArray[np.float32]
    timing: Timing


class Classifier:
    """Classifies images by a committee, one or many.

    Args:
        committee: Whose members answer.
        limits: Largest image that is accepted.
        coverage: How often prediction sets are to hold the true class where the options do not
            say, in (0, 1).
        threads: How many photos and networks it works on at the same time; by default one for
            each core.

    Raises:
        errors.SettingError: There is no such coverage.

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
        self.limits = limits
        # Of all members: what one of them is shown must not depend on who else predicts.
        self._enough = recipe.enough(member.recipe for member in committee.members)
        self._pool = ThreadPoolExecutor(
            threads or concurrency.cpu_count(), thread_name_prefix="triptych-decode"
        )
        self._explainer = explainer.Explainer(self._pool)
        self._process = os.getpid()

    @property
    def size_bytes(self) -> int:
        """Size of its networks, with those that were opened to explain answers."""
        engines = sum(member.engine.size_bytes for member in self.committee.members)
        return engines + self._explainer.size_bytes

    @property
    def capacity(self) -> int:
        """How many photos its networks work on at the same time, with all their batches."""
        return max(batching.capacity_of(member.engine) for member in self.committee.members)

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
        """Classify one image.

        Args:
            image: A path, bytes, an RGB array (H, W, 3) uint8, or a PIL image.
            source: What to call it in the answer; by default its path.
            members: Names of the members that are to predict; by default all.
            rule: The combination rule; by default the committee's.
            top: How many guesses to name, at least 1.
            fit: ``"crop"`` or ``"square"``; by default each member's own recipe.
            coverage: How often the prediction set is to hold the true class, in (0, 1); by
                default the classifier's.
            similar: How many of the nearest training photos to name, 0 to 12; there are none
                where those are not known.

        Raises:
            errors.ImageError: The image cannot be read; the message says why.
            errors.UnknownName: There is no such member or rule.
            errors.SettingError: The rule or coverage is not for a multi-label committee.
        """
        names = tuple(members) if members is not None else None
        options = ClassifyOptions(names, rule, top, fit, coverage, similar)
        committee, coverage = self._checked(options)
        batch = MemberBatch([self._decode(source, image)], committee, self._pool)
        (verdict,) = batch.verdicts(top=top, coverage=coverage, similar=similar)
        return verdict

    def classify_many(
        self, named: Iterable[tuple[str, Any]], options: ClassifyOptions = ClassifyOptions()
    ) -> Iterator[Verdict | Failure]:
        """Classify a stream of images; answers come in order, as they are ready.

        A bad image becomes a `Failure` in its place and does not disturb the others. Only a few
        images are held at a time, however long the stream.

        Args:
            named: Pairs of a source's name and an image, as `classify` takes, or a
                `CroppedImage` that was made for these members.
            options: How to answer.

        Raises:
            errors.UnknownName: There is no such member or rule.
        """
        committee, coverage = self._checked(options)

        def answer(sources: Sequence[ImageSource]) -> list[Verdict]:
            batch = MemberBatch(sources, committee, self._pool)
            return batch.verdicts(top=options.top, coverage=coverage, similar=options.similar)

        return self._stream(named, answer)

    def score_many(
        self, named: Iterable[tuple[str, Any]], options: ClassifyOptions = ClassifyOptions()
    ) -> Iterator[Scores | Failure]:
        """Like `classify_many`, but gives each member's raw probabilities, whatever the rule."""
        committee, _ = self._checked(options)
        names = tuple(member.name for member in committee.members)

        def score(sources: Sequence[ImageSource]) -> list[Scores]:
            batch = MemberBatch(sources, committee, self._pool)
            batch.predict(range(len(names)))
            return [
                Scores(image.source, names, probs, batch.timing(number))
                for number, (image, probs) in enumerate(zip(sources, batch.probs, strict=True))
            ]

        return self._stream(named, score)

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
        """Find which parts of one image speak for a class.

        Args:
            image: As `classify` takes it.
            source: What to call it; by default its path.
            member: Name of the member to explain; by default all that the rule uses, together,
                each with its share in the verdict.
            label: Id or name of the class; by default the most probable one.
            rule: As for `classify`.
            fit: As for `classify`.
            stop: Called from time to time: whether to give up.

        Raises:
            errors.ImageError: The image cannot be read; the message says why.
            errors.UnknownName: There is no such member, rule or class.
            errors.Stopped: ``stop`` said so.
        """
        names = None if member is None else (member,)
        committee, coverage = self._checked(ClassifyOptions(names, rule, fit=fit))
        decoded = self._decode(source, image)
        batch = MemberBatch([decoded], committee, self._pool)
        (verdict,) = batch.verdicts(top=len(committee.labels), coverage=coverage)
        request = explainer.ExplainRequest(verdict, alone=member is not None, label=label)
        return self._explainer.explain(batch, decoded.picture, request, stop=stop)

    def warm_up(self) -> None:
        """Run every network on all cores at once; the first runs beside each other are slow."""
        shape = (*self.committee.members[0].recipe.size, 3)
        photos = [("warm-up", np.zeros(shape, np.uint8))] * (2 * concurrency.cpu_count())
        # By a rule that runs all members; a multi-label committee has no other.
        rule = None if self.committee.multilabel else "mean"
        for _ in self.classify_many(photos, ClassifyOptions(rule=rule)):
            pass

    def _checked(self, options: ClassifyOptions) -> tuple[Committee, float]:
        """The committee as the options want it, and the coverage; refuses impossible options."""
        if os.getpid() != self._process:  # threads do not survive a fork: it would wait for ever
            raise errors.EngineError(
                text(
                    "This committee was loaded before the process was forked, and its threads "
                    "are not in this process. Load it in each worker, after the fork: with "
                    "Celery in the signal worker_process_init, with gunicorn without --preload "
                    "or in post_fork."
                )
            )
        if options.top < 1:
            raise errors.SettingError(
                text("Asked for the top {top}; expected 1 or more.", top=options.top)
            )
        if not 0 <= options.similar <= MOST_SIMILAR:
            raise errors.SettingError(
                text(
                    "Asked for {similar} similar photos; expected 0 to {most_similar}.",
                    similar=options.similar,
                    most_similar=MOST_SIMILAR,
                )
            )
        if options.coverage is not None and self.committee.multilabel:
            raise errors.SettingError(
                text(
                    "Asked for prediction sets with a coverage of {coverage}, which hold one "
                    "true class, and this committee is multi-label: it answers all classes that "
                    "hold. Leave the coverage out.",
                    coverage=options.coverage,
                )
            )
        coverage = self.coverage if options.coverage is None else options.coverage
        conformal.check_coverage(coverage)
        committee = self.committee.configured(options.members, rule=options.rule, fit=options.fit)
        return committee, coverage

    def _stream(
        self,
        named: Iterable[tuple[str, Any]],
        answer: Callable[[Sequence[ImageSource]], Sequence[T]],
    ) -> Iterator[T | Failure]:
        """Decode images ahead, and answer them in batches; answers and failures in order."""

        def decode(pair: tuple[str, Any]) -> ImageSource | Failure:
            source, image = pair
            if isinstance(image, CroppedImage):
                return image
            try:
                return self._decode(source, image)
            except errors.TriptychError as error:
                return Failure(source, error.code, error.message)

        if isinstance(named, Sequence) and len(named) == 1:
            decoded: Iterator[ImageSource | Failure] = map(decode, named)  # in this thread
        else:
            decoded = concurrency.map_ahead(self._pool, decode, named, ahead=2 * BATCH_SIZE)
        while batch := list(itertools.islice(decoded, BATCH_SIZE)):
            good = [image for image in batch if not isinstance(image, Failure)]
            answers = iter(answer(good) if good else ())
            for image in batch:
                yield image if isinstance(image, Failure) else next(answers)

    def _decode(self, source: str | None, image: Any) -> DecodedImage:
        start = time.perf_counter()
        picture = images.picture(image, limits=self.limits, enough=self._enough)
        path = os.fspath(image) if isinstance(image, str | os.PathLike) else "image"
        return DecodedImage(source or path, picture, 1000 * (time.perf_counter() - start))
