"""A shadow: a version that is not published classifies some of the photos, and nobody gets its
answers; they are compared with those of the published version.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triptych import errors
from triptych.inference.classifier import ClassifyOptions
from triptych.results import SURE
from triptych.results import Failure
from triptych.results import Verdict
from triptych.utils import queueing
from triptych.web.metric_backends import Instruments
from triptych.web.registry import Registry

# Photos that may wait for the shadow; further ones are left out, so that it costs memory for these.
MOST_WAITING = 16


@dataclass(frozen=True)
class ShadowCounts:
    """How a shadow compares with the published version, on the same photos.

    Args:
        photos: Photos that both have classified.
        disagreements: Those to which their classes differ; of multi-label versions the sets.
        only_published_sure: Those of which only the published version was sure.
        only_shadow_sure: Those of which only the shadow was sure.
        failed: Photos that the shadow could not classify.
    """

    photos: int = 0
    disagreements: int = 0
    only_published_sure: int = 0
    only_shadow_sure: int = 0
    failed: int = 0


class Shadow:
    """Asks a version beside the published one; thread-safe, and never in the way of requests.

    One thread classifies, when the studio's queue is empty enough; nothing waits for it.

    Args:
        version: The bundle's name and a version, such as ``"garden@3"``.
        share: The share of requests whose photos it gets, in [0, 1].
        registry: Loads it.
        is_busy: Whether requests wait, which come first.

    Raises:
        errors.UnknownName: There is no such version.
        errors.SettingError: No version is named, or the share is impossible.
    """

    def __init__(
        self, version: str, share: float, registry: Registry, is_busy: Callable[[], bool]
    ) -> None:
        self.committee, at, number = version.partition("@")
        if not at or not number:
            raise errors.SettingError(
                f"The shadow is {version!r}; expected a bundle's name and a version, such as "
                "garden@3."
            )
        if not 0 <= share <= 1:
            raise errors.SettingError(
                f"The share of requests for the shadow is {share}; expected a number from 0 to 1."
            )
        registry.resolve(version)
        self.version = version
        self.counts = ShadowCounts()
        self._share = share
        self._registry = registry
        self._is_busy = is_busy
        self._queue = queueing.Queue(1, capacity=MOST_WAITING)
        self._lock = threading.Lock()

    def watch(self, make: Instruments) -> None:
        """Expose what was counted."""
        for name, help in (
            ("photos", "Photos that the shadow and the published version have classified."),
            ("disagreements", "Photos that they answer with different classes."),
            ("only_published_sure", "Photos of which only the published version is sure."),
            ("only_shadow_sure", "Photos of which only the shadow is sure."),
            ("failed", "Photos that the shadow could not classify."),
        ):
            make.watch(f"shadow_{name}", help, self._level(name), "model")

    def _level(self, name: str) -> Callable[[], dict[tuple[str, ...], float]]:
        return lambda: {(self.version,): getattr(self.counts, name)}

    def offer(
        self,
        committee: str,
        images: Sequence[tuple[str, Any]],
        options: ClassifyOptions,
        answers: Sequence[Verdict | Failure],
    ) -> None:
        """Give the shadow the photos of a request that was answered, or leave them out.

        Args:
            committee: The registry's name of the committee that answered.
            images: As it got them.
            options: Likewise; requests for some members or another rule are left out.
            answers: One for each image, or fewer if time ran out.
        """
        is_meant = committee == self.committee and not (options.members or options.rule)
        if not is_meant or self._is_busy() or random.random() >= self._share:
            return
        if self._registry.resolve(self.version) == committee:  # it was published since
            return
        # Files of a request are closed when it ends.
        copies = [
            (name, image.read() if hasattr(image, "read") else image) for name, image in images
        ]
        pairs = list(zip(copies, answers, strict=False))
        try:
            self._queue.submit(lambda: self._compare(pairs, options), images=len(pairs))
        except errors.Overloaded:
            return

    def _compare(
        self,
        pairs: Sequence[tuple[tuple[str, Any], Verdict | Failure]],
        options: ClassifyOptions,
    ) -> None:
        try:
            classifier = self._registry.get(self.version)
        except errors.TriptychError:  # it was removed since
            self._add(failed=len(pairs))
            return
        for named, published in pairs:
            if isinstance(published, Failure):
                continue  # of the photo, in most cases
            try:
                (answer,) = classifier.classify_many([named], options)
            except errors.SettingError:  # options that only one of the two versions has
                self._add(failed=1)
                continue
            if isinstance(answer, Failure):
                self._add(failed=1)
                continue
            is_sure, is_shadow_sure = published.status == SURE, answer.status == SURE
            self._add(
                photos=1,
                disagreements=int(_classes(answer) != _classes(published)),
                only_published_sure=int(is_sure and not is_shadow_sure),
                only_shadow_sure=int(is_shadow_sure and not is_sure),
            )

    def _add(self, **more: int) -> None:
        with self._lock:
            now = {name: getattr(self.counts, name) + count for name, count in more.items()}
            self.counts = dataclasses.replace(self.counts, **now)


def _classes(verdict: Verdict) -> set[str]:
    """The names of the classes that a verdict answers: one, or all that hold."""
    if verdict.labels is None:
        return {verdict.label.name}
    return {guess.label.name for guess in verdict.labels}
