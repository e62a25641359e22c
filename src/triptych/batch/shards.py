"""Answers to a chunk of photos: a Parquet file, written whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from triptych.batch import tables
from triptych.results import Failure
from triptych.results import Verdict
from triptych.utils import storage

NAME = re.compile(r"part-(\d{9,})\.parquet")


def place(out: str, number: int) -> str:
    """Where the answers to a chunk lie.

    Example:
        >>> place("out", 7)
        'out/part-000000007.parquet'
    """
    return storage.join(out, f"part-{number:09}.parquet")


def write(out: str, number: int, answers: Iterable[Verdict | Failure]) -> None:
    """Keep the answers to a chunk.

    Args:
        out: The folder of all answers.
        number: Of the chunk.
        answers: In the order of its photos.

    Raises:
        errors.SourceError: They cannot be written.
    """
    rows = [_as_text(answer.to_dict()) for answer in answers]
    storage.write(place(out, number), tables.pack(rows, tables.ANSWERS))


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    """The same, where a name on disk holds what is no text with question marks for that."""
    return {**row, "source": row["source"].encode("utf-8", "replace").decode()}


def numbers(out: str) -> Iterator[int]:
    """The chunks that are answered."""
    for name in storage.names(out):
        found = NAME.fullmatch(name)
        if found:
            yield int(found[1])


def read(out: str, number: int) -> list[dict[str, Any]]:
    """The answers to a chunk, in the JSON form.

    Raises:
        errors.SourceError: There are none.
        errors.StateError: The file is damaged.
    """
    return [_as_json(row) for row in tables.unpack(storage.read(place(out, number)))]


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what its kind of answer does not have."""
    if row["error"]:
        return {"source": row["source"], "error": row["error"]}
    lacking = ("error",) if row["warning"] else ("error", "warning")
    return {name: value for name, value in row.items() if name not in lacking}
