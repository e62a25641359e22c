"""Metadata of Hugging Face's `imagefolder`: a table beside the photos, in each split.

``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` with the columns ``file_name``, a path
from its own folder, and ``label`` (or ``labels``): a name, a number, or a list of names.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from triptych import errors
from triptych.data import documents
from triptych.data.documents import Description
from triptych.data.documents import Document
from triptych.data.documents import Row
from triptych.data.layout import SEPARATOR
from triptych.utils import extras
from triptych.utils import validation
from triptych.utils.text import text

_NAME = re.compile(r"metadata\.(csv|jsonl|parquet)", re.IGNORECASE)
_LABELS = ("label", "labels")
_MAX_ROWS = 5_000_000
_ROWS_AT_ONCE = 256


def matches(document: Document) -> bool:
    """Whether a document has one of the names that Hugging Face reads."""
    return _NAME.fullmatch(document.name) is not None


def describe(document: Document) -> Description:
    """Read the label of each photo.

    Args:
        document: The table.

    Raises:
        errors.SourceError: It cannot be read, or lacks a column.
        errors.SettingError: It is Parquet, and pyarrow is not installed.
    """
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    rows: list[Row] = []
    is_multilabel = False
    is_csv = document.suffix == ".csv"
    for number, row in enumerate(readers[document.suffix](document), start=1):
        path = row.get("file_name")
        column = next((each for each in _LABELS if each in row), None)
        if not isinstance(path, str) or not path.strip() or column is None:
            raise errors.SourceError(
                text(
                    "{document!r}, row {number}, has the columns {columns}; expected file_name and "
                    "label. If the folders of the photos are their classes, leave the file out, or "
                    "give --format folders.",
                    document=document.source,
                    number=number,
                    columns=", ".join(validation.short_repr(key) for key in row) or "-",
                )
            )
        value = row[column]
        if is_csv and SEPARATOR in value:
            value = [name for name in value.split(SEPARATOR) if name.strip()]
        is_multilabel |= isinstance(value, list)
        rows.append(Row(path, _names(document, number, value)))
    classes = sorted({name for row in rows for name in row.labels})
    return Description(rows, tuple(classes), (), is_multilabel)


def _names(document: Document, number: int, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [] if value in (None, "") else [value]
    for each in values:
        if isinstance(each, bool) or not isinstance(each, str | int) or not str(each).strip():
            raise errors.SourceError(
                text(
                    "{document!r}, row {number}: the label is {label}; expected a name, a whole "
                    "number, or a list of those.",
                    document=document.source,
                    number=number,
                    label=validation.short_repr(value),
                )
            )
    return tuple(dict.fromkeys(str(each).strip() for each in values))


def _csv_rows(document: Document) -> Iterator[Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(document.text, newline=""), restval="")
    try:
        names = reader.fieldnames or ()
        if len(set(names)) != len(names):
            raise errors.SourceError(
                text(
                    "{document!r} names a column twice; expected each once.",
                    document=document.source,
                )
            )
        for row in reader:
            yield {key: value for key, value in row.items() if isinstance(key, str)}
    except csv.Error as error:
        raise errors.SourceError(
            text(
                "{document!r} cannot be read at line {number}: {reason}.",
                document=document.source,
                number=reader.reader.line_num,
                reason=str(error),
            )
        ) from error


def _jsonl_rows(document: Document) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(document.text.splitlines(), start=1):
        if line.strip():
            row = documents.parse(line, f"{document.source}, line {number}")
            if not isinstance(row, dict):
                raise errors.SourceError(
                    text(
                        "{document!r}, line {number}, is {row}; expected an object.",
                        document=document.source,
                        number=number,
                        row=validation.short_repr(row),
                    )
                )
            yield row


def _parquet_rows(document: Document) -> Iterator[Mapping[str, Any]]:
    extras.require(f"{document.source!r}", "pyarrow", extra="storage")
    import pyarrow
    from pyarrow import parquet

    most_bytes = documents.DOCUMENT_LIMITS.max_bytes
    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(document.data))
        columns = [name for name in ("file_name", *_LABELS) if name in file.schema_arrow.names]
        if file.metadata.num_rows > _MAX_ROWS:
            raise errors.SourceError(
                text(
                    "{document!r} has more than {most:,} rows.",
                    document=document.source,
                    most=_MAX_ROWS,
                )
            )
        names = _class_names(document, file.schema_arrow.metadata)
        read_bytes = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
            read_bytes += batch.nbytes
            if read_bytes > most_bytes:
                raise errors.SourceError(
                    text("{document!r} unpacks to more than 512 MB.", document=document.source)
                )
            for row in batch.to_pylist():
                yield {key: _named(row[key], names) for key in row}
    except (pyarrow.ArrowException, OSError, OverflowError, ValueError) as error:
        raise errors.SourceError(
            text(
                "{document!r} cannot be read as Parquet: {reason}. Write it once more.",
                document=document.source,
                reason=str(error),
            )
        ) from error


def _class_names(document: Document, metadata: Mapping[bytes, bytes] | None) -> Sequence[str]:
    """The names of the numbers in ``label``, where Hugging Face wrote the file."""
    written = (metadata or {}).get(b"huggingface")
    if written is None:
        return ()
    try:
        features = documents.parse(written.decode(), document.source)["info"]["features"]
        feature = next(features[key] for key in _LABELS if key in features)
        names = feature.get("feature", feature)["names"]
    except (AttributeError, KeyError, TypeError, StopIteration, UnicodeDecodeError):
        return ()
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else ()


def _named(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return names[value] if is_number and 0 <= value < len(names) else value
