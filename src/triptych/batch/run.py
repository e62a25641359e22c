"""Classify the chunks that have no verdicts yet, one after the other, in this process."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from triptych.batch import shards
from triptych.batch.manifest import Manifest
from triptych.batch.plan import BatchPlan
from triptych.batch.plan import Chunk
from triptych.batch.shards import Shard
from triptych.inference.classifier import Classifier
from triptych.utils import storage


@dataclass(frozen=True)
class RemotePhoto:
    """A photo at a URL, read when it is decoded.

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
    """A photo as `triptych.inference.classifier.Classifier` takes it, not read yet.

    Args:
        source: A path or URL.
    """
    return RemotePhoto(source) if storage.is_url(source) else source


def classify(classifier: Classifier, plan: BatchPlan, manifest: Manifest) -> Iterator[Shard]:
    """Classify the chunks that have no verdicts yet; a caller may stop between two shards.

    Photos of the next chunk are read while the networks run on the last ones of a chunk.

    Args:
        classifier: Gives the verdicts.
        plan: Which photos.
        manifest: With which options.

    Yields:
        Each shard once it is written.

    Raises:
        errors.SourceError: A shard cannot be written.
    """
    under_way: deque[Chunk] = deque()

    def photos() -> Iterator[tuple[str, Any]]:
        for chunk in plan.remaining():
            under_way.append(chunk)
            for source in chunk.sources:
                yield source, photo(source)

    results = classifier.classify_many(photos(), manifest.options)
    for first in results:
        chunk = under_way.popleft()
        rows = [first, *itertools.islice(results, len(chunk.sources) - 1)]
        yield shards.write(plan.out, chunk.number, rows)
