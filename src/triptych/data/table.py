"""Photos listed in a CSV file: a path and a label in each row."""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Iterator
from pathlib import Path

from triptych import errors
from triptych import images
from triptych.data import files
from triptych.data import imagefolder
from triptych.data.documents import Description
from triptych.data.documents import Document
from triptych.data.documents import File
from triptych.data.documents import Row
from triptych.data.layout import SEPARATOR
from triptych.data.layout import side_of
from triptych.data.records import Finding
from triptych.utils import storage
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
DELIMITERS = ",;\t"
_LONGEST_FIRST_LINE = 10_000

_EXPECTED = text(
    "Expected a first line such as path,label or path,label,split, and a photo in each line "
    "below; paths start from the file's folder."
)


def is_one(document: Document) -> bool:
    """Whether a file is such a table by its name, and none of Hugging Face's."""
    return document.suffix in SUFFIXES and not imagefolder.matches(document)


def matches(document: Document) -> bool:
    """Whether a document begins with a line that names the columns ``path`` and ``label``."""
    start = document.data[:_LONGEST_FIRST_LINE].decode(document.encoding, "replace")
    first = start.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    columns = {name.strip().strip('"').casefold() for name in first.split(delimiter)}
    return {"path", "label"} <= columns


def describe(document: Document) -> Description:
    """Read paths, classes and sides from a CSV file.

    Args:
        document: UTF-8, separated by commas, semicolons or tabs, with columns ``path`` and
            ``label``, optionally ``split`` (train or val), and ``name``, which reports show instead
            of the path. If any label has `SEPARATOR` in it, all are sets of classes, and an empty
            one says that none holds.

    Raises:
        errors.SourceError: It has another format, or fewer than two classes.
    """
    lines = list(_rows(document))
    is_multilabel = any(SEPARATOR in line["label"] for _, line in lines)
    rows: list[Row] = []
    without: list[str] = []
    sources: set[str] = set()
    for number, line in lines:
        path, split = line["path"].strip(), (line.get("split") or "").strip()
        labels = line["label"].split(SEPARATOR) if is_multilabel else [line["label"]]
        if split and path and side_of(split) is None:
            raise errors.SourceError(
                text(
                    "{document}, line {number}: the split is {split!r}; expected train or val.",
                    document=document.name,
                    number=number,
                    split=plain_text(split),
                )
            )
        if path:
            names = tuple(dict.fromkeys(name.strip() for name in labels if name.strip()))
            rows.append(Row(path, names, split, _source(line, path, sources)))
        else:
            without.append(f"{plain_text(document.name)}, line {number}")
    training = [row for row in rows if side_of(row.split or "train") == "train"]
    trained = sorted({name for row in training for name in row.labels})
    if len(trained) < 2:
        what = text("no photos to train on")
        if trained:
            what = text("one label to train on, {name!r}", name=trained[0])
        raise errors.SourceError(
            text(
                "{document!r} has {what}; expected at least two. {expected}",
                document=document.name,
                what=what,
                expected=_EXPECTED,
            )
        )
    message = text("Lines without a path, and left out.")
    findings = (Finding("ignored", message, tuple(without)),) if without else ()
    classes = sorted({name for row in rows for name in row.labels})
    return Description(rows, tuple(classes), findings, is_multilabel)


def file_beside(path: Path, limits: images.Limits, row: Row) -> File:
    """The photo in a line of a file on this machine, anywhere on this machine.

    Args:
        path: Of the CSV file.
        limits: Bytes allowed in a photo.
        row: The line.
    """
    read = functools.partial(_read, _photo_path(path.parent, row.path), limits)
    return File(row.name, read)


def file_at_url(url: str, limits: images.Limits, row: Row) -> File:
    """The photo in a line of a file at a URL, in its folder or below.

    Args:
        url: Of the CSV file.
        limits: Bytes allowed in a photo.
        row: The line.

    Raises:
        errors.SourceError: The path leads out of the folder.
    """
    parts = row.path.replace("\\", "/").split("/")
    if storage.is_url(row.path) or {"", "..", "."} & set(parts) or set("?#*") & set(row.path):
        raise errors.SourceError(
            text(
                "{row!r} is no path below the folder of {redact}; expected one, such as "
                "photos/1.jpg, as the file is not on this machine.",
                row=row.name,
                redact=storage.redact(url),
            )
        )
    folder = url.partition("?")[0].rpartition("/")[0]
    return File(row.name, files.remote(storage.join(folder, *parts), None, limits))


def _photo_path(folder: Path, name: str) -> Path:
    """The path in a line, with backslashes of Windows as separators, too."""
    path = folder / name
    if "\\" in name and not os.path.lexists(path):
        return folder / name.replace("\\", "/")
    return path


def _read(path: Path, limits: images.Limits) -> bytes:
    # Reading from a pipe could wait for ever.
    if path.exists() and not path.is_file() and not path.is_dir():
        raise errors.SourceError(
            text("{path!r} is a pipe or a device; expected an image file.", path=str(path))
        )
    return images.read(path, limits=limits)


def _rows(document: Document) -> Iterator[tuple[int, dict[str, str]]]:
    content = document.text
    first = content.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, restval="")
    try:
        columns = [name.strip().casefold() for name in reader.fieldnames or ()]
        if not {"path", "label"} <= set(columns):
            raise errors.SourceError(
                text(
                    "{document!r} begins with {strip!r}. {expected}",
                    document=document.name,
                    strip=plain_text(first.strip()[:80]),
                    expected=_EXPECTED,
                )
            )
        reader.fieldnames = columns
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise errors.SourceError(
            text(
                "{document!r} cannot be read at line {line_num}: {error}. {expected}",
                document=document.name,
                line_num=reader.reader.line_num,
                error=error,
                expected=_EXPECTED,
            )
        ) from error


def _source(row: dict[str, str], path: str, used: set[str]) -> str:
    name = plain_text((row.get("name") or "").strip())
    if not name:
        return plain_text(path)
    if name in used:
        # Names in reports have to be unique.
        name = f"{name} ({plain_text(path)})"
    used.add(name)
    return name
