"""The chunks that have no answers yet, one after the other, in this process."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triptych.batch import shards
from triptych.batch.manifest import Asked
from triptych.batch.plan import Chunk
from triptych.batch.plan import Plan
from triptych.inference.classifier import Classifier
from triptych.results import Failure
from triptych.results import Verdict
from triptych.utils import storage


@dataclass(frozen=True)
class Part:
    """A chunk whose answers are written.

    Args:
        number: Of the chunk.
        photos: How many it has.
        failed: How many of them could not be answered.
    """

    number: int
    photos: int
    failed: int


@dataclass(frozen=True)
class Stored:
    """A photo at a URL, read when it is its turn.

    Args:
        url: Where it is.
    """

    url: str

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            errors.SourceError: It cannot be read.
        """
        return storage.read(self.url)


def photo(source: str) -> Any:
    """An image as `triptych.inference.classifier.Classifier` takes it, that is not read yet.

    Args:
        source: A path or URL.
    """
    return Stored(source) if storage.is_url(source) else source


def classify(classifier: Classifier, plan: Plan, asked: Asked) -> Iterator[Part]:
    """Answer the chunks that have no answers yet; ends early where nobody asks for the next.

    Photos of the next chunk are read while the last of one are looked at.

    Args:
        classifier: Who answers.
        plan: Which photos.
        asked: How.

    Yields:
        Each chunk when its answers are written.

    Raises:
        errors.SourceError: Answers cannot be written.
    """
    under_way: deque[Chunk] = deque()
    answers = classifier.classify_many(_photos(plan, under_way), asked.question)
    for first in answers:
        chunk = under_way.popleft()
        rows = [first, *itertools.islice(answers, len(chunk.sources) - 1)]
        yield keep(plan.out, chunk.number, rows)


def keep(out: str, number: int, rows: Sequence[Verdict | Failure]) -> Part:
    """Write the answers to a chunk.

    Args:
        out: The folder of all answers.
        number: Of the chunk.
        rows: In the order of its photos.

    Raises:
        errors.SourceError: They cannot be written.
    """
    shards.write(out, number, rows)
    return Part(number, len(rows), sum(isinstance(row, Failure) for row in rows))


def _photos(plan: Plan, under_way: deque[Chunk]) -> Iterator[tuple[str, Any]]:
    for chunk in plan.remaining():
        under_way.append(chunk)
        for source in chunk.sources:
            yield source, photo(source)
