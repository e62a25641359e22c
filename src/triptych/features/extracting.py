"""From photos to features: from the store and, where it has none, from the backbones."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from triptych import errors
from triptych import images
from triptych.engines import Engine
from triptych.features.store import FeatureStore
from triptych.preprocessing import augment
from triptych.preprocessing import recipe
from triptych.typing import Float32Array
from triptych.typing import Progress
from triptych.typing import ShouldStop
from triptych.typing import UInt8Array
from triptych.utils import concurrency

BATCH = 8


class Photo(Protocol):
    """What is needed of a photo: a content that can be named before it is read."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of its bytes."""
        ...

    def read(self) -> bytes:
        """Its bytes."""
        ...


@dataclass(frozen=True)
class Extractor:
    """A backbone that turns photos into features.

    Args:
        space: Names all that its features depend on besides the photo.
        engine: Runs the backbone.
        recipe: How it wants its photos.
        view: Which look at the photos, a name from `augment.VIEWS`.
        network: The file that the engine runs, by which it can be opened elsewhere.
        precision: At which it runs.
    """

    space: str
    engine: Engine
    recipe: recipe.Recipe
    view: str = augment.PLAIN
    network: Path | None = None
    precision: str = "f32"


# A photo, and for each backbone whether its features are wanted.
Wanted = tuple[Photo, Sequence[bool]]
# What a photo is known by, and its features where they were wanted.
Seen = tuple[bytes, "list[Float32Array | None]"]
# How features are computed: gives those of each photo as they come, in any order.
Compute = Callable[[Sequence[Wanted], Sequence[Extractor]], Generator[Seen, None, None]]


def here(wanted: Sequence[Wanted], extractors: Sequence[Extractor]) -> Generator[Seen, None, None]:
    """Compute features in this process, on all its cores.

    One photo at a time on each core: small networks run faster so than in batches on all cores
    (measured: EfficientNet-Lite2, 2 cores: 75 photos/s against 57 in batches of 8).
    """
    pool = ThreadPoolExecutor(concurrency.cpu_count())
    try:
        yield from concurrency.map_ahead(
            pool, lambda one: look(*one, extractors), wanted, ahead=2 * BATCH
        )
    finally:
        pool.shutdown(cancel_futures=True)


def look(photo: Photo, lacking: Sequence[bool], extractors: Sequence[Extractor]) -> Seen:
    """Decode a photo once, and let each backbone look at it that lacks its features.

    Raises:
        errors.ImageError: It cannot be read.
    """
    enough = recipe.enough(extractor.recipe for extractor in extractors)
    pixels = images.decode(photo.read(), enough=enough)
    return photo.digest, [
        _run(extractor, pixels) if lacks else None
        for extractor, lacks in zip(extractors, lacking, strict=True)
    ]


def _run(extractor: Extractor, pixels: UInt8Array) -> Float32Array:
    batch = recipe.apply(extractor.recipe, augment.VIEWS[extractor.view](pixels))[None]
    return np.asarray(extractor.engine.run(batch).features[0])


def extract(
    photos: Sequence[Photo],
    extractors: Sequence[Extractor],
    store: FeatureStore,
    *,
    progress: Progress = lambda done, total: None,
    stop: ShouldStop = lambda: False,
    compute: Compute = here,
) -> list[Float32Array]:
    """Features of photos, from the store and, where it has none, from the backbones.

    A photo is decoded once for all backbones that lack it.

    Args:
        photos: Readable photos.
        extractors: The backbones.
        store: Looked into first; gets what is computed, batch by batch.
        progress: Called with the photos done and all that had to be computed.
        stop: Asked between batches whether to stop.
        compute: How; by default in this process.

    Returns:
        For each backbone an array (N, F).

    Raises:
        errors.Stopped: ``stop`` said so; what was computed is in the store.
        errors.ImageError: A photo cannot be read after all.
    """
    digests = [photo.digest for photo in photos]
    known = [store.get(extractor.space, digests) for extractor in extractors]
    lacking = {
        photo.digest: (photo, [photo.digest not in have for have in known]) for photo in photos
    }
    wanted = [one for one in lacking.values() if any(one[1])]
    done = 0
    progress(done, len(wanted))
    with contextlib.closing(compute(wanted, extractors)) as computed:
        while batch := list(itertools.islice(computed, BATCH)):
            if stop():
                raise errors.Stopped("Stopped; the features computed so far are kept.")
            for number, (extractor, have) in enumerate(zip(extractors, known, strict=True)):
                own = ((digest, vectors[number]) for digest, vectors in batch)
                fresh = {digest: vector for digest, vector in own if vector is not None}
                store.put(extractor.space, fresh)
                have.update(fresh)
            done += len(batch)
            progress(done, len(wanted))
    return [np.stack([have[digest] for digest in digests]) for have in known]
