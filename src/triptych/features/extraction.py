"""From photos to features: from the store and, where it has none, from the backbones."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from triptych import errors
from triptych import images
from triptych.engines import Engine
from triptych.engines import devices
from triptych.engines.conversion import convert
from triptych.engines.conversion import store as network_store
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.features.store import FeatureStore
from triptych.models import zoo
from triptych.preprocessing import augment
from triptych.preprocessing import recipe
from triptych.typing import Float32Array
from triptych.typing import Progress
from triptych.typing import ShouldStop
from triptych.utils import concurrency
from triptych.utils import storage
from triptych.utils.text import text

BATCH = 8


class ReadablePhoto(Protocol):
    """A photo that is identified by its content before it is read."""

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
        space: Names everything that its features depend on besides the photo.
        engine: Runs the backbone.
        recipe: Its preprocessing.
        view: How each photo is augmented, a name from `augment.VIEWS`.
        network: The file that the engine runs, so that other machines can open it.
        precision: At which it runs.
    """

    space: str
    engine: Engine
    recipe: recipe.Recipe
    view: str = augment.PLAIN
    network: Path | None = None
    precision: str = "f32"


# A photo, and for each backbone whether its features are to be computed.
Request = tuple[ReadablePhoto, Sequence[bool]]
# The digest of a photo, and its features by backbone; `None` where they were not requested.
PhotoFeatures = tuple[bytes, "list[Float32Array | None]"]
# Computes the features of photos, yielded in any order.
Compute = Callable[[Sequence[Request], Sequence[Extractor]], Generator[PhotoFeatures, None, None]]


def open_extractors(
    backbones: Sequence[zoo.Backbone],
    options: EngineOptions,
    *,
    weights_by_backbone: Mapping[str, Path] = {},
    converter: convert.Converter | None = None,
) -> list[Extractor]:
    """Open an extractor for each backbone; those without a converted network are converted first.

    Args:
        backbones: Rows of the zoo.
        options: Where things are kept and how networks run; each runs a photo a core.
        weights_by_backbone: Weights files that replace the published ones, by backbone.
        converter: Where to convert; by default in a new one.

    Raises:
        errors.WeightsMissing: A backbone's weights have to be fetched first.
    """
    networks = network_store.prepare(
        backbones,
        home=options.home,
        weights_by_backbone=weights_by_backbone,
        report=options.report,
        converter=converter,
    )
    device = devices.resolve(options.device, options.precision)
    precision = devices.resolve_precision(device, options.precision, options.home)
    options = dataclasses.replace(
        options, precision=precision, device=str(device), streams=concurrency.cpu_count()
    )
    # The same number format gives other bits on another device.
    computed = precision if device == devices.CPU else f"{precision} on {device}"
    return [
        Extractor(
            # The folder is named after backbone, weights and conversion.
            space=f"{network.parent.name} {row.recipe.to_dict()}, {recipe.SIGHT} {computed}",
            engine=open_engine(network, options),
            recipe=row.recipe,
            network=network,
            precision=precision,
        )
        for row, network in zip(backbones, networks, strict=True)
    ]


def extract_locally(
    requests: Sequence[Request], extractors: Sequence[Extractor]
) -> Generator[PhotoFeatures, None, None]:
    """Compute features in this process, on all its cores.

    Each core runs one photo at a time: small networks are faster so than in batches on all cores
    (measured: EfficientNet-Lite2, 2 cores: 75 photos/s against 57 in batches of 8).
    """
    pool = ThreadPoolExecutor(concurrency.cpu_count())
    readers = storage.read_ahead(photo.read for photo, _ in requests)
    try:
        yield from concurrency.map_ahead(
            pool,
            lambda pair: extract_photo(*pair[0], extractors, read=pair[1]),
            zip(requests, readers, strict=True),
            ahead=2 * BATCH,
        )
    finally:
        pool.shutdown(cancel_futures=True)


def extract_photo(
    photo: ReadablePhoto,
    lacking: Sequence[bool],
    extractors: Sequence[Extractor],
    *,
    read: Callable[[], bytes] | None = None,
) -> PhotoFeatures:
    """Decode a photo once, and run the backbones that lack its features.

    Args:
        photo: The photo.
        lacking: For each extractor, whether it is to run.
        extractors: The backbones.
        read: Returns the bytes of the photo, where they were read ahead.

    Raises:
        errors.ImageError: It cannot be read.
    """
    enough = recipe.enough(extractor.recipe for extractor in extractors)
    pixels = images.decode((read or photo.read)(), limits=images.CHECKED_BEFORE, enough=enough)
    vectors: list[Float32Array | None] = []
    for extractor, lacks in zip(extractors, lacking, strict=True):
        if not lacks:
            vectors.append(None)
            continue
        view = augment.VIEWS[extractor.view](pixels)
        batch = recipe.apply(extractor.recipe, view)[None]
        vectors.append(np.asarray(extractor.engine.run(batch).features[0]))
    return photo.digest, vectors


def extract(
    photos: Sequence[ReadablePhoto],
    extractors: Sequence[Extractor],
    store: FeatureStore,
    *,
    progress: Progress = lambda done, total: None,
    stop: ShouldStop = lambda: False,
    compute: Compute = extract_locally,
) -> list[Float32Array]:
    """Features of photos, from the store and, where it has none, from the backbones.

    A photo is decoded once for all backbones that lack it.

    Args:
        photos: Readable photos.
        extractors: The backbones.
        store: Read first; what is computed is added to it, batch by batch.
        progress: Called with the photos done and all that have to be computed.
        stop: Called between batches; true stops.
        compute: By default `extract_locally`.

    Returns:
        For each backbone an array (N, F).

    Raises:
        errors.Stopped: ``stop`` said so; what was computed is in the store.
        errors.ImageError: A photo cannot be read after all.
    """
    digests = [photo.digest for photo in photos]
    stored = [store.get(extractor.space, digests) for extractor in extractors]
    lacking = {
        photo.digest: (photo, [photo.digest not in vectors for vectors in stored])
        for photo in photos
    }
    requests = [request for request in lacking.values() if any(request[1])]
    done = 0
    progress(done, len(requests))
    with contextlib.closing(compute(requests, extractors)) as computed:
        while batch := list(itertools.islice(computed, BATCH)):
            if stop():
                raise errors.Stopped(text("Stopped; the features computed so far are kept."))
            for number, (extractor, vectors) in enumerate(zip(extractors, stored, strict=True)):
                computed_now = {
                    digest: vector
                    for digest, by_extractor in batch
                    if (vector := by_extractor[number]) is not None
                }
                store.put(extractor.space, computed_now)
                vectors.update(computed_now)
            done += len(batch)
            progress(done, len(requests))
    return [np.stack([vectors[digest] for digest in digests]) for vectors in stored]
