"""Rows to the bytes of a Parquet file and back."""

from __future__ import annotations

import io
from typing import Any

from marshmallow import fields

from triptych import errors
from triptych.inference import answer_schemas

try:
    import pyarrow
    from pyarrow import parquet
except ImportError as error:
    raise errors.SettingError(
        "Answers are written as Parquet, which needs pyarrow, and this installation lacks it. "
        'Install it with: pip install "triptych[storage]"'
    ) from error

_TEXT, _NUMBER = pyarrow.string(), pyarrow.float64()

_TYPES: dict[type, Any] = {
    fields.String: _TEXT,
    fields.Float: _NUMBER,
    fields.Integer: pyarrow.int32(),
}


def _column(field: Any) -> Any:
    """The type of a column that holds a field of the JSON form."""
    if isinstance(field, fields.Nested):
        return pyarrow.struct(_columns(field.schema))
    if isinstance(field, fields.List):
        return pyarrow.list_(_column(field.inner))
    if isinstance(field, fields.Dict):
        return pyarrow.map_(_TEXT, _column(field.value_field))
    return _TYPES[type(field)]


def _columns(schema: Any) -> dict[str, Any]:
    return {name: _column(field) for name, field in schema.fields.items()}


# The JSON form of answers, field by field; a photo has either a verdict or an error.
ANSWERS = pyarrow.schema(
    [
        pyarrow.field(name, column, nullable=name != "source")
        for name, column in {
            **_columns(answer_schemas.Verdict()),
            **_columns(answer_schemas.Failure()),
        }.items()
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
