"""A classifier whose photos are classified by worker processes."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.bundles import loading
from triptych.engines import Engine
from triptych.engines import Output
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.images.decoding import OpenFile
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.committee import Committee
from triptych.preprocessing.recipe import Recipe
from triptych.results import Failure
from triptych.results import Verdict
from triptych.typing import Float32Array
from triptych.utils import concurrency
from triptych.workers.messages import Classify
from triptych.workers.pool import PREFETCH
from triptych.workers.pool import WorkerPool

# Networks of a committee that each worker may have in its memory, all together.
LIGHT_BYTES = 80 * 2**20
DEFAULT_OPTIONS = ClassifyOptions()


class WorkerClassifier(Classifier):
    """Classifies images by a committee in worker processes, with the same answers.

    What is rare, such as explanations, is computed in this process, whose networks are opened when
    that happens first.

    Args:
        committee: Whose members answer; its engines are used for what is rare.
        pool: The workers, which have loaded the same committee.
        key: That of the committee in the pool; it is dropped there with this object.
        **settings: As for `Classifier`.
    """

    def __init__(self, committee: Committee, pool: WorkerPool, key: int, **settings: Any) -> None:
        super().__init__(committee, **settings)
        self._workers = pool
        self._key = key
        # The same number for all requests together: the photos of one do not delay those of others.
        self._senders = ThreadPoolExecutor(
            PREFETCH * pool.size, thread_name_prefix="triptych-to-workers"
        )
        weakref.finalize(self, pool.drop, key)

    @property
    def size_bytes(self) -> int:
        """Size of its networks in all workers, with those that were opened here."""
        in_workers = sum(member.engine.size_bytes for member in self.committee.members)
        return super().size_bytes + in_workers * (self._workers.size - 1)

    @property
    def capacity(self) -> int:
        """How many photos the workers hold at the same time."""
        return PREFETCH * self._workers.size

    def classify_many(
        self, named: Iterable[tuple[str, Any]], options: ClassifyOptions = DEFAULT_OPTIONS
    ) -> Iterator[Verdict | Failure]:
        """Classify a stream of images; see `Classifier.classify_many`."""
        self._checked(options)

        def classify(pair: tuple[str, Any]) -> Verdict | Failure:
            source, image = pair
            try:
                image = image.read() if isinstance(image, OpenFile) else image
            except errors.TriptychError as error:
                return Failure(source, error.code, error.message)
            return self._workers.classify(Classify(self._key, source, image, options))

        if isinstance(named, Sequence) and len(named) == 1:
            return map(classify, named)  # in this thread
        ahead = 2 * PREFETCH * self._workers.size
        return concurrency.map_ahead(self._senders, classify, named, ahead=ahead)

    def warm_up(self) -> None:
        """Nothing to do: the workers run each network when they load it."""


def load(
    pool: WorkerPool,
    name: str,
    options: EngineOptions,
    *,
    rule: str = "auto",
    members: Sequence[str] | None = None,
    **settings: Any,
) -> WorkerClassifier | None:
    """Load a committee in worker processes, if its networks are small.

    Each worker has the networks in its memory, which pays where they are so quick that reading,
    scaling and judging photos take long beside them. Committees of large networks are faster in
    one process, in which photos join each other's batches.

    Args:
        pool: The workers.
        name: As for `loading.load_classifier`, as all further arguments.
        options: How the networks run; each worker runs them by one thread.
        rule: As there.
        members: As there.
        **settings: ``coverage`` and ``limits``.

    Returns:
        ``None`` where its networks are larger than `LIGHT_BYTES` together.

    Raises:
        errors.TriptychError: As `loading.load_classifier`.
    """
    # What runs here is rare, so batches of it would not form.
    alone = dataclasses.replace(options, max_batch=1)
    pinned = loading.pin(name, options.home)  # the same version in all processes

    def open_lazily(member: str, network: Path, recipe: Recipe) -> Engine:
        size = network.with_suffix(".bin").stat().st_size
        return _LazyEngine(lambda: open_engine(network, alone), size)

    committee = loading.load_committee(pinned, options, members=members, open_network=open_lazily)
    if sum(member.engine.size_bytes for member in committee.members) > LIGHT_BYTES:
        return None
    fields = {each.name: getattr(options, each.name) for each in dataclasses.fields(options)}
    del fields["report"]
    key = pool.load(pinned, fields, {"rule": rule, "members": members, **settings})
    configured = committee.configured(rule=None if rule == "auto" else rule)
    return WorkerClassifier(configured, pool, key, **settings)


class _LazyEngine:
    """An engine that is opened when it is run first.

    Args:
        open: Opens it.
        size_bytes: The size of its weights.
    """

    def __init__(self, open: Callable[[], Engine], size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._open = open
        self._engine: Engine | None = None

    def run(self, batch: Float32Array) -> Output:
        """Compute probabilities and features; see `triptych.engines.Engine.run`."""
        if self._engine is None:
            self._engine = self._open()  # twice at worst, where two threads are first
        return self._engine.run(batch)
