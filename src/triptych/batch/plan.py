"""The first pass over the photos: a list of them in chunks, kept so that all runs take the same.

A list of a million photos need never be in memory: it is written in pages as it is found, and
read page by page.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from triptych import errors
from triptych.batch import shards
from triptych.batch import tables
from triptych.data.files import is_image
from triptych.utils import storage
from triptych.utils import validation

# Not read as a part by what reads folders of Parquet files, as a name that begins with "_".
FOLDER = "_plan"
ABOUT = "about.json"
SCHEMA = 1

ROWS_PER_FILE = 256
CHUNKS_PER_PAGE = 256


@dataclass(frozen=True)
class Chunk:
    """Photos whose verdicts are written into one shard.

    Args:
        number: Counts from 0.
        sources: Their paths or URLs, at least one.
    """

    number: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class BatchPlan:
    """Which photos are classified, in chunks.

    Args:
        out: The folder of the answers, a path or URL; the plan lies in it.
        photos: How many there are.
        rows_per_file: How many of them are a chunk; the last one may have fewer.
        answered: A byte for each chunk: 1 where its answers are written.
    """

    out: str
    photos: int
    rows_per_file: int
    answered: bytearray = field(repr=False)

    @property
    def pages(self) -> range:
        """The numbers of its pages that have chunks without answers."""
        count = -(-len(self.answered) // CHUNKS_PER_PAGE)
        lacking = (page for page in range(count) if not all(self.answered_on(page)))
        return range(next(lacking, count), count)

    @property
    def remaining_photos(self) -> int:
        """How many photos have no answer yet."""
        lacking = self.answered.count(0) * self.rows_per_file
        return lacking - (0 if self.answered[-1] else -self.photos % self.rows_per_file)

    def answered_on(self, page: int) -> bytes:
        """The part of `answered` that is on a page."""
        return bytes(self.answered[page * CHUNKS_PER_PAGE : (page + 1) * CHUNKS_PER_PAGE])

    def remaining(self) -> Iterator[Chunk]:
        """The chunks that have no answers yet, in order.

        Raises:
            errors.SourceError: A page cannot be read.
        """
        for page in self.pages:
            yield from read_page(self.out, page, self.answered_on(page))


def read_page(out: str, page: int, done_flags: bytes) -> Iterator[Chunk]:
    """The chunks of a page that have no answers yet.

    Args:
        out: The folder of the answers.
        page: Counts from 0.
        done_flags: A byte for each chunk of the page: 1 where its answers are written.
    """
    if all(done_flags):
        return
    rows = tables.unpack(storage.read(_page(out, page)))
    for row, done in zip(rows, done_flags, strict=True):
        if not done:
            yield Chunk(row["chunk"], tuple(map(decode, row["sources"])))


def encode(source: str) -> bytes:
    """A path or URL as bytes; names on disk may contain invalid text."""
    return source.encode("utf-8", "surrogatepass")


def decode(source: bytes) -> str:
    """The path or URL that `encode` was given."""
    return source.decode("utf-8", "surrogatepass")


def prepare(
    out: str,
    sources: Sequence[str],
    manifest: dict[str, Any],
    *,
    rows_per_file: int | None = None,
    on_listed: Callable[[int], None] = lambda photos: None,
) -> BatchPlan:
    """Take the plan that is in a folder, or make one.

    Args:
        out: The folder of the answers, a path or URL.
        sources: Folders and photos, paths or URLs.
        manifest: As JSON: `triptych.batch.manifest.Manifest.to_dict`.
        rows_per_file: How many photos are answered in one file; by default as the plan there has
            it, else 256.
        on_listed: Called now and then with the number of photos listed so far.

    Raises:
        errors.SourceError: There are no photos, or the folder cannot be written.
        errors.SettingError: The folder has answers of another run.
    """
    locations = list(map(_absolute, sources))
    out = _absolute(out)
    manifest = json.loads(
        json.dumps(manifest, allow_nan=False)
    )  # as it is read back: a tuple is a list
    about = _read(out)
    if about is None:
        about = _make(out, locations, manifest, rows_per_file or ROWS_PER_FILE, on_listed)
    else:
        _check(out, about, {"sources": locations, "rows_per_file": rows_per_file, **manifest})
    written = bytearray(-(-about["photos"] // about["rows_per_file"]))
    for number in shards.numbers(out):
        if number < len(written):
            written[number] = 1
    return BatchPlan(out, about["photos"], about["rows_per_file"], written)


class _PlanRecord(validation.OpenRecord):
    schema = validation.Integer(least=SCHEMA, most=SCHEMA, required=True)
    photos = validation.Integer(least=1, required=True)
    rows_per_file = validation.Integer(least=1, required=True)
    asked = validation.Table(required=True)


def find(sources: Sequence[str]) -> Iterator[str]:
    """The photos in folders, and files that are named, whatever their suffix.

    Args:
        sources: Paths or URLs.

    Yields:
        Absolute paths or URLs, in the order of a plan.

    Raises:
        errors.SourceError: One of them does not exist, or cannot be read.
    """
    for source in map(_absolute, sources):
        for photo in storage.walk(source):
            if photo == source or is_image(photo):
                yield photo


def _absolute(location: str) -> str:
    return location if storage.is_url(location) else os.path.abspath(location)


def _read(out: str) -> dict[str, Any] | None:
    """The description of a plan; ``None`` if there is none, or it was not finished."""
    location = storage.join(out, FOLDER, ABOUT)
    if not storage.exists(location):
        if next(shards.numbers(out), None) is not None:
            raise errors.SettingError(
                f"{storage.redact(out)} holds answers, but no plan that says to which photos. "
                "Use an empty folder."
            )
        return None
    redacted = storage.redact(location)
    hint = "It is damaged, or of another Triptych. Take another folder."
    try:
        about: dict[str, Any] = validation.parse_json(storage.read(location))
    except ValueError as error:
        raise errors.StateError(f"{redacted} is not JSON: {error}. {hint}") from error
    validation.load(_PlanRecord, about, f"{redacted}: plan", error=errors.StateError, hint=hint)
    return about


def _check(out: str, about: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to resume a plan that was made with other photos or options."""
    there = {**about, **about["asked"]}
    if wanted["rows_per_file"] is None:
        wanted["rows_per_file"] = there["rows_per_file"]
    other = [name for name in wanted if there.get(name) != wanted[name]]
    if not other:
        return
    differences = [f"{name}: {there.get(name)!r} there, {wanted[name]!r} now" for name in other]
    raise errors.SettingError(
        f"{storage.redact(out)} has answers of another run ({'; '.join(differences)}). "
        "Use the same photos and options, or another folder."
    )


def _make(
    out: str,
    locations: list[str],
    manifest: dict[str, Any],
    rows: int,
    on_listed: Callable[[int], None],
) -> dict[str, Any]:
    photos = 0
    for page, chunks in enumerate(_pages(find(locations), rows)):
        storage.write(_page(out, page), tables.pack(chunks, tables.CHUNKS))
        photos += sum(len(chunk["sources"]) for chunk in chunks)
        on_listed(photos)
    if not photos:
        raise errors.SourceError(
            f"There are no image files in {', '.join(map(storage.redact, locations))}; expected a "
            "folder with photos in it or in folders below it."
        )
    about = {
        "schema": SCHEMA,
        "sources": locations,
        "photos": photos,
        "rows_per_file": rows,
        "asked": manifest,
    }
    storage.write(
        storage.join(out, FOLDER, ABOUT),
        json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False).encode(),
    )
    return about


def _pages(photos: Iterator[str], rows: int) -> Iterator[list[dict[str, Any]]]:
    for page in itertools.count():
        first = page * CHUNKS_PER_PAGE
        chunks = [
            {"chunk": number, "sources": sources}
            for number in range(first, first + CHUNKS_PER_PAGE)
            if (sources := list(map(encode, itertools.islice(photos, rows))))
        ]
        if not chunks:
            return
        yield chunks


def _page(out: str, page: int) -> str:
    return storage.join(out, FOLDER, f"page-{page:06}.parquet")
