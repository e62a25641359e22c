"""Rows to the bytes of a Parquet file and back."""

from __future__ import annotations

import io
from typing import Any

from triptych import errors

try:
    import pyarrow
    from pyarrow import parquet
except ImportError as error:
    raise errors.SettingError(
        "Answers are written as Parquet, which needs pyarrow, and this installation lacks it. "
        'Install it with: pip install "triptych[storage]"'
    ) from error

_TEXT, _NUMBER = pyarrow.string(), pyarrow.float64()

_GUESS = pyarrow.struct(
    {"label": _TEXT, "id": _TEXT, "index": pyarrow.int32(), "prob": _NUMBER},
)
_GUESSES = pyarrow.list_(_GUESS)
_SIMILAR = pyarrow.struct({"digest": _TEXT, "label": _TEXT, "distance": _NUMBER})
_VERDICT = pyarrow.struct(
    {
        "label": _TEXT,
        "id": _TEXT,
        "index": pyarrow.int32(),
        "prob": _NUMBER,
        "rule": _TEXT,
        "surest": _TEXT,
        "top": _GUESSES,
        "status": _TEXT,
        "set": pyarrow.struct({"coverage": _NUMBER, "labels": _GUESSES}),
        "novelty": _NUMBER,
        "similar": pyarrow.list_(_SIMILAR),
        "status_reason": pyarrow.struct({"code": _TEXT, "message": _TEXT, "promise": _NUMBER}),
    }
)
_TIMING = pyarrow.struct(
    {
        "decode_ms": _NUMBER,
        "recipe_ms": _NUMBER,
        "members_ms": pyarrow.map_(_TEXT, _NUMBER),
        "total_ms": _NUMBER,
    }
)

# The JSON form of `results`, field by field; a photo has either a verdict or an error.
ANSWERS = pyarrow.schema(
    [
        pyarrow.field("source", _TEXT, nullable=False),
        ("verdict", _VERDICT),
        ("members", pyarrow.list_(pyarrow.struct({"name": _TEXT, "top": _GUESSES}))),
        ("skipped", pyarrow.list_(_TEXT)),
        ("slept", pyarrow.list_(_TEXT)),
        ("reason", _TEXT),
        ("timing", _TIMING),
        ("warning", _TEXT),
        ("error", pyarrow.struct({"code": _TEXT, "message": _TEXT})),
    ]
)

# Of the plan. File names on disk may contain invalid text, so they are bytes.
CHUNKS = pyarrow.schema(
    [
        pyarrow.field("chunk", pyarrow.int64(), nullable=False),
        pyarrow.field("sources", pyarrow.list_(pyarrow.binary()), nullable=False),
    ]
)


def pack(rows: list[dict[str, Any]], schema: Any) -> bytes:
    """A Parquet file of some rows.

    Args:
        rows: With the fields of the schema; those that lack are null.
        schema: `ANSWERS` or `CHUNKS`.
    """
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def unpack(data: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file, a map as a dict.

    Raises:
        errors.StateError: It is damaged.
    """
    try:
        # A file of some hundred rows is read before threads would have started.
        table = parquet.ParquetFile(pyarrow.BufferReader(data)).read(use_threads=False)
    except pyarrow.ArrowException as error:
        raise errors.StateError(f"A Parquet file is damaged: {error}") from error
    rows: list[dict[str, Any]] = table.to_pylist(maps_as_pydicts="strict")
    return rows
