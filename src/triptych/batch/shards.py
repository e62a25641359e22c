"""The verdicts of a chunk of photos: a Parquet file, written atomically."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triptych.batch import tables
from triptych.results import Failure
from triptych.results import Verdict
from triptych.utils import storage

NAME = re.compile(r"part-(\d{9,})\.parquet")


@dataclass(frozen=True)
class Shard:
    """A chunk whose verdicts are written.

    Args:
        number: Of the chunk.
        photos: How many it has.
        failed: How many of them could not be read.
    """

    number: int
    photos: int
    failed: int


def location(out: str, number: int) -> str:
    """The path or URL of the shard of a chunk.

    Example:
        >>> location("out", 7)
        'out/part-000000007.parquet'
    """
    return storage.join(out, f"part-{number:09}.parquet")


def write(out: str, number: int, results: Sequence[Verdict | Failure]) -> Shard:
    """Write the verdicts of a chunk.

    Args:
        out: The folder of all shards.
        number: Of the chunk.
        results: In the order of its photos.

    Raises:
        errors.SourceError: They cannot be written.
    """
    rows = [result.to_dict() for result in results]
    for row in rows:  # names on disk may hold bytes that are not text: they become "?"
        row["source"] = row["source"].encode("utf-8", "replace").decode()
    storage.write(location(out, number), tables.pack(rows, tables.ANSWERS))
    return Shard(number, len(rows), sum(isinstance(result, Failure) for result in results))


def numbers(out: str) -> Iterator[int]:
    """The numbers of the chunks whose shards are written."""
    for name in storage.names(out):
        if match := NAME.fullmatch(name):
            yield int(match[1])


def read(out: str, number: int) -> list[dict[str, Any]]:
    """The verdicts of a chunk, in the JSON form.

    Raises:
        errors.SourceError: There is no such shard.
        errors.StateError: The file is damaged.
    """
    results = []
    for row in tables.unpack(storage.read(location(out, number))):
        # Without the columns that this kind of result does not have.
        if row["error"]:
            results.append({"source": row["source"], "error": row["error"]})
        else:
            lacking = ("error",) if row["warning"] else ("error", "warning")
            verdict = _without_null(row["verdict"], "labels")
            verdict["similar"] = [_without_null(each, "labels") for each in verdict["similar"]]
            row["verdict"] = verdict
            results.append({name: row[name] for name in row if name not in lacking})
    return results


def _without_null(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name or value is not None}
