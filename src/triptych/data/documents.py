"""Documents beside photos that say what these show: read once, within limits, in UTF-8.

A document comes from elsewhere. What it describes is only ever searched for among the files of the
data set, so no path in it can lead out.
"""

from __future__ import annotations

import codecs
import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import PurePath
from typing import Any

from triptych import errors
from triptych import images
from triptych.data.records import Finding
from triptych.utils import storage
from triptych.utils import validation
from triptych.utils.text import text

# `instances_train2017.json` of COCO has 448 MB.
DOCUMENT_LIMITS = images.Limits(max_bytes=512 * images.MB)
# Each takes many times the bytes that it has in the file; that one has four million.
MOST_PARTS = 8_000_000
# Outlines of objects, which are most of such a file, and say nothing about classes.
_OUTLINES = frozenset({"segmentation", "keypoints", "points", "rle"})


@dataclass(frozen=True)
class File:
    """A file that may be a photo.

    Args:
        source: Its path, for people.
        read: Returns its bytes, or raises a `TriptychError`.
    """

    source: str
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePath(self.source).name


def read_ahead(photos: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Photos with their names; those of other machines are read while others are in use.

    Args:
        photos: Paths, and `File` records.
    """
    for_names, for_bytes = itertools.tee(photos)
    reads = storage.read_ahead(getattr(photo, "read", bytes) for photo in for_bytes)
    for photo, read in zip(for_names, reads, strict=True):
        is_file = isinstance(photo, File)
        yield (photo.source, File(photo.source, read)) if is_file else (str(photo), photo)


@dataclass(frozen=True)
class Document(File):
    """A file that may say what photos show."""

    @property
    def suffix(self) -> str:
        """The ending of its name, in lower case."""
        return PurePath(self.source).suffix.lower()

    @functools.cached_property
    def data(self) -> bytes:
        """Its bytes; none of an empty file.

        Raises:
            errors.SourceError: It cannot be read, or is too large.
        """
        try:
            return self.read()
        except errors.EmptyImage:
            return b""
        except errors.ImageTooLarge as error:
            size = error.message.partition(". ")[0].removeprefix("The file has ")
            raise errors.SourceError(
                text(
                    "{document!r} has {size}. If it describes the photos, divide it; in an archive "
                    "less is allowed than in a folder. If not, leave it out.",
                    document=self.source,
                    size=size,
                )
            ) from error

    @property
    def encoding(self) -> str:
        """UTF-8, or UTF-16 where it begins as spreadsheets write that."""
        is_utf16 = self.data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return "utf-16" if is_utf16 else "utf-8-sig"

    @functools.cached_property
    def text(self) -> str:
        """Its text, without a byte order mark.

        Raises:
            errors.SourceError: As `data`, or it is not UTF-8.
        """
        try:
            return self.data.decode(self.encoding)
        except UnicodeDecodeError:
            raise errors.SourceError(
                text("{document!r} is not in UTF-8. Save it again as UTF-8.", document=self.source)
            ) from None

    @functools.cached_property
    def json(self) -> Any:
        """Its content, without outlines of objects.

        Raises:
            errors.SourceError: As `text`, or it is not JSON, or has a key twice.
        """
        return parse(self.text, self.source)


def parse(content: str, source: str) -> Any:
    """Parse JSON strictly, without outlines of objects.

    Args:
        content: The JSON.
        source: What to call it.

    Raises:
        errors.SourceError: It is not JSON, or an object has a key twice.

    Example:
        >>> parse('{"id": 1, "segmentation": [[2.5, 3.5]]}', "coco.json")
        {'id': 1}
    """
    if content.count("[") + content.count("{") > MOST_PARTS:
        raise errors.SourceError(
            text(
                "{document!r} has more than {most:,} lists and objects. Divide it.",
                document=source,
                most=MOST_PARTS,
            )
        )
    try:
        return validation.parse_json(content, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise errors.SourceError(
            text(
                "{document!r} cannot be read as JSON, line {number}: {reason}. Export it once "
                "more.",
                document=source,
                number=error.lineno,
                reason=error.msg,
            )
        ) from error
    except ValueError as error:
        raise errors.SourceError(
            text(
                "{document!r} cannot be read as JSON: {reason}. Export it once more.",
                document=source,
                reason=str(error),
            )
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"an object has the key {validation.short_repr(twice)} twice")
    if not _OUTLINES.isdisjoint(made):  # dropped at once: together they may take gigabytes
        return {key: value for key, value in pairs if key not in _OUTLINES}
    return made


@dataclass(frozen=True)
class Row:
    """A photo that a document describes.

    Args:
        path: As the document writes it.
        labels: Names of all its classes, each once.
        split: The word for its side, such as ``"train"``; empty if there is none.
        name: What reports show instead of the path.
        other_path: Where the photo may be instead; empty if nowhere.
    """

    path: str
    labels: tuple[str, ...]
    split: str = ""
    name: str = ""
    other_path: str = ""


@dataclass(frozen=True)
class Description:
    """What a document says.

    Args:
        rows: Its photos.
        classes: All classes, also those without photos.
        findings: What it leaves open.
        multilabel: Whether its photos may have any number of classes.
    """

    rows: Sequence[Row] = field(repr=False)
    classes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    multilabel: bool = False
