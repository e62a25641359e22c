"""Read every file once: hash it, decode it, sketch it to find copies, and measure its quality."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from triptych import errors
from triptych import images
from triptych.data import near
from triptych.data.documents import File
from triptych.images import formats
from triptych.images import quality
from triptych.images import signatures
from triptych.images.quality import Quality
from triptych.typing import Progress
from triptych.utils import concurrency
from triptych.utils import storage

# Each thread may have a picture of 50 million pixels in memory.
_MAX_THREADS = 8


@dataclass(frozen=True)
class ScannedPhoto:
    """What the scan found out about a photo.

    Args:
        digest: SHA-256 of the file's bytes.
        sketch: Used to find its copies.
        odd_format: The true format, if the file's extension belongs to another.
        size: (height, width) in pixels, upright.
        quality: Its exposure and sharpness; ``None`` if they were not measured.
        depth_guess: Why its pixels were scaled as they were, if the file does not say how.
    """

    digest: bytes
    sketch: near.Sketch
    odd_format: str | None
    size: tuple[int, int]
    quality: Quality | None
    depth_guess: str = ""


def scan(
    files: Sequence[File], limits: images.Limits, progress: Progress
) -> Iterator[ScannedPhoto | errors.TriptychError]:
    """Decode files in parallel; results come in order.

    Args:
        files: The files.
        limits: Bytes and pixels allowed.
        progress: Called after each file with the number done and the total.

    Raises:
        errors.SourceError: The storage with the files fails.
    """

    def scan_one(
        file_and_read: tuple[File, Callable[[], bytes]],
    ) -> ScannedPhoto | errors.TriptychError:
        file, read = file_and_read
        try:
            data = read()
            guesses: list[str] = []
            picture = images.decode(
                data, limits=limits, enough=images.SCANNED_PX, on_guess=guesses.append
            )
            size = images.size(data, limits=limits)
        except errors.TriptychError as error:
            if storage.is_outage(error):  # a data set without half of its photos is another one
                raise
            return error
        odd = odd_format(file.name, signatures.identify(data).name)
        return ScannedPhoto(
            digest=hashlib.sha256(data).digest(),
            sketch=near.sketch(picture),
            odd_format=odd,
            size=size,
            quality=quality.measure(picture),
            depth_guess="; ".join(guesses),
        )

    threads = min(concurrency.cpu_count(), _MAX_THREADS)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="triptych-scan")
    try:
        readers = zip(files, storage.read_ahead(file.read for file in files), strict=True)
        results = concurrency.map_ahead(pool, scan_one, readers, ahead=4 * threads)
        for done, result in enumerate(results, start=1):
            progress(done, len(files))
            yield result
    finally:
        # Also if `progress` raised, in order to stop.
        pool.shutdown(cancel_futures=True)


def odd_format(name: str, kind: str) -> str | None:
    """The true format of a file, if its extension belongs to another.

    Args:
        name: Its name.
        kind: Its format, named as in `formats`.

    Example:
        >>> odd_format("bee.jpg", "PNG"), odd_format("bee.jpeg", "JPEG"), odd_format("bee", "PNG")
        ('PNG', None, None)
    """
    promised = formats.BY_SUFFIX.get(os.path.splitext(name)[1].lower())
    return kind if promised and kind != promised.name else None
