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
from triptych.data.files import File
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.data.layout import alike_names
from triptych.data.layout import side_of
from triptych.data.records import Finding
from triptych.utils.formatting import plain_text

SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
DELIMITERS = ",;\t"
MAX_BYTES = 256 * images.MB

_EXPECTED = (
    "Expected a first line such as path,label or path,label,split, and a photo in each line "
    "below; paths start from the file's folder."
)


def in_table(path: Path, limits: images.Limits) -> Layout:
    """Read paths, classes and sides from a CSV file.

    Args:
        path: UTF-8, separated by commas, semicolons or tabs, with columns ``path`` and ``label``,
            optionally ``split`` (train or val), and ``name``, which reports show instead of the
            path.
        limits: Bytes allowed in a photo.

    Raises:
        errors.SourceError: It has another format, or fewer than two classes.
    """
    items: list[Item] = []
    labels: set[str] = set()
    without: list[str] = []
    sources: set[str] = set()
    for number, row in _rows(path):
        name, label = row["path"].strip(), row["label"].strip()
        if name and label:
            labels.add(label)
            text = (row.get("split") or "").strip()
            side = side_of(text) if text else "train"
            if side is None:
                raise errors.SourceError(
                    f"{path.name}, line {number}: the split is {plain_text(text)!r}; expected "
                    "train or val."
                )
            read = functools.partial(_read, _photo_path(path.parent, name), limits)
            items.append(Item(File(_source(row, name, sources), read), plain_text(label), side))
        else:
            without.append(f"{plain_text(path.name)}, line {number}")
    classes = sorted({item.label for item in items})
    trained = sorted({item.label for item in items if item.side == "train"})
    if len(trained) < 2:
        what = f"one label to train on, {trained[0]!r}" if trained else "no photos to train on"
        raise errors.SourceError(f"{path.name!r} has {what}; expected at least two. {_EXPECTED}")
    message = "Lines without a path or label, and left out."
    findings = [Finding("ignored", message, tuple(without))] if without else []
    return Layout(tuple(classes), tuple(items), (*findings, *alike_names(labels)))


def _photo_path(folder: Path, name: str) -> Path:
    """The path in a line, with backslashes of Windows as separators, too."""
    path = folder / name
    if "\\" in name and not os.path.lexists(path):
        return folder / name.replace("\\", "/")
    return path


def _read(path: Path, limits: images.Limits) -> bytes:
    # Reading from a pipe could wait for ever.
    if path.exists() and not path.is_file() and not path.is_dir():
        raise errors.SourceError(f"{str(path)!r} is a pipe or a device; expected an image file.")
    return images.read(path, limits=limits)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    try:
        columns = [name.strip().casefold() for name in reader.fieldnames or ()]
        if not {"path", "label"} <= set(columns):
            raise errors.SourceError(
                f"{path.name!r} begins with {plain_text(first.strip()[:80])!r}. {_EXPECTED}"
            )
        reader.fieldnames = columns
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise errors.SourceError(
            f"{path.name!r} cannot be read at line {reader.reader.line_num}: {error}. {_EXPECTED}"
        ) from error


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise errors.SourceError(
            f"{path.name!r} has {size / images.MB:,.0f} MB; expected a list of photos, "
            f"{MAX_BYTES // images.MB} MB at most."
        )
    try:
        # Spreadsheet programs may write a byte order mark.
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise errors.SourceError(
            f"{path.name!r} is not in UTF-8. Save it again as CSV UTF-8."
        ) from None


def _source(row: dict[str, str], path: str, used: set[str]) -> str:
    name = plain_text((row.get("name") or "").strip())
    if not name:
        return plain_text(path)
    if name in used:
        # Names in reports have to be unique.
        name = f"{name} ({plain_text(path)})"
    used.add(name)
    return name
