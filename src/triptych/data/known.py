"""Labelled photos of a committee's classes, in folders or documents that name the classes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pathlib import PurePath
from typing import Any

from triptych import errors
from triptych import images
from triptych.data import formats
from triptych.data import opening
from triptych.data import table
from triptych.data.files import walk
from triptych.results import Failure
from triptych.results import Label


@dataclass(frozen=True)
class Labelled:
    """Photos with the index of their class.

    Args:
        photos: Pairs of a photo and its class index; a photo is the path of a file or, if the
            classes are not those of folders, a `File`.
        skipped: Files that were left out, with the reason.
    """

    photos: tuple[tuple[Any, int], ...]
    skipped: tuple[Failure, ...]


def labelled(
    source: Path | str,
    labels: Sequence[Label],
    *,
    format: str = formats.FOLDERS,
    limits: images.Limits = images.DEFAULT_LIMITS,
) -> Labelled:
    """List photos in a folder per class, for given classes.

    Args:
        source: Holds one folder per class, named by the class's id (WordNet id) or name;
            upper and lower case, spaces, ``_`` and ``-`` make no difference. With another format:
            as for `data.open`, and of what is divided into train and val only val.
        labels: The classes.
        format: ``"folders"``: right in a folder on this machine. Otherwise as for `data.open`.
        limits: Bytes allowed in a photo.

    Raises:
        errors.SourceError: There is no such folder, or no photo in a class's folder.
    """
    folder = Path(source)
    index_of = index_by_name(labels)
    is_plain = folder.is_dir() and any(index_of(path.name) is not None for path in folder.iterdir())
    if format != formats.FOLDERS and not (format == formats.AUTO and is_plain):
        return _described(source, labels, format, limits)
    if not folder.is_dir():
        raise errors.SourceError(
            f"{folder} is not a folder; expected one that holds a folder of photos per class."
        )
    photos: list[tuple[Path, int]] = []
    skipped: list[Failure] = []
    for path in sorted(folder.iterdir()):
        index = index_of(path.name)
        if index is not None:
            photos.extend((photo, index) for photo in walk(path))
        elif path.is_dir() and not path.name.startswith("."):
            message = f"The committee knows no class {path.name!r}."
            skipped.append(Failure(str(path), "unknown_class", message))
    if not photos:
        raise errors.SourceError(
            f"No photos of known classes in {folder}; expected a folder per class, named by "
            f"its id or name, such as {labels[0].id!r} or {labels[0].name!r}."
        )
    return Labelled(tuple(photos), tuple(skipped))


@dataclass(frozen=True)
class LabelledSets:
    """Photos with the indices of all classes that hold.

    Args:
        photos: Pairs of a photo, a `File`, and its class indices, ascending, perhaps none.
        skipped: Classes that were left out, with the reason.
    """

    photos: tuple[tuple[Any, tuple[int, ...]], ...]
    skipped: tuple[Failure, ...]


def labelled_sets(
    source: Path | str,
    labels: Sequence[Label],
    *,
    format: str = formats.AUTO,
    limits: images.Limits = images.DEFAULT_LIMITS,
) -> LabelledSets:
    """List photos with all of their classes, for a multi-label committee.

    Args:
        source: As for `data.open`, with a document that says which classes hold; of what is divided
            into train and val only val.
        labels: The classes.
        format: As for `data.open`.
        limits: Bytes allowed in a photo.

    Raises:
        errors.SourceError: It cannot be read, or only folders say what the photos show: those say
            of one class that it holds, and nothing of the others.
    """
    contents = opening.layout_of(source, limits, format=format, least=1)
    if not contents.multilabel:
        if PurePath(str(source)).suffix.lower() not in table.SUFFIXES | formats.SUFFIXES:
            raise errors.SourceError(
                f"{opening.title_of(source)!r} has one class for each photo, and the committee "
                "answers any number of them. Expected a CSV file with the columns path and label, "
                "and classes such as ant|bee, or another document that names all that hold."
            )
        contents = opening.layout_of(source, limits, format=format, least=1, multilabel=True)
    index_of = index_by_name(labels)
    sides = {item.side for item in contents.items}
    photos: list[tuple[Any, tuple[int, ...]]] = []
    unknown: set[str] = set()
    for item in contents.items:
        if item.side == "val" or "val" not in sides:
            indices = {name: index_of(name) for name in item.all_labels}
            unknown |= {name for name, index in indices.items() if index is None}
            known = {index for index in indices.values() if index is not None}
            photos.append((item.file, tuple(sorted(known))))
    if unknown and not any(known for _, known in photos):
        raise errors.SourceError(
            f"No photo in {opening.title_of(source)!r} has a class of the committee; theirs are "
            f"{', '.join(sorted(unknown)[:10])}, such as {labels[0].name!r} was expected."
        )
    message = "The committee knows no class {!r}."
    skipped = (
        Failure(opening.title_of(source), "unknown_class", message.format(name))
        for name in sorted(unknown)
    )
    return LabelledSets(tuple(photos), tuple(skipped))


def index_by_name(labels: Sequence[Label]) -> Callable[[str], int | None]:
    """A function that gives the index of a class by its id or name; ``None`` for any other.

    Args:
        labels: The classes; upper and lower case, spaces, ``_`` and ``-`` make no difference.

    Example:
        >>> index_by_name([Label("Egyptian cat", "n02124075", 285)])("egyptian_cat")
        285
    """
    indices = {_key(text): label.index for label in labels for text in (label.name, label.id)}
    return lambda name: indices.get(_key(name))


def _described(
    source: Path | str, labels: Sequence[Label], format: str, limits: images.Limits
) -> Labelled:
    index_of = index_by_name(labels)
    contents = opening.layout_of(source, limits, format=format, least=1)
    sides = {item.side for item in contents.items}
    items = [item for item in contents.items if item.side == "val" or "val" not in sides]
    indices = [index_of(item.label) for item in items]
    known = [
        (item.file, index) for item, index in zip(items, indices, strict=True) if index is not None
    ]
    unknown = sorted(
        {item.label for item, index in zip(items, indices, strict=True) if index is None}
    )
    name = opening.title_of(source)
    if not known:
        raise errors.SourceError(
            f"No photos of known classes in {name!r}; its classes are {', '.join(unknown[:10])}; "
            f"expected a folder per class, or a document, that names them by id or name, such as "
            f"{labels[0].id!r} or {labels[0].name!r}."
        )
    message = "The committee knows no class {!r}."
    skipped = (Failure(name, "unknown_class", message.format(label)) for label in unknown)
    return Labelled(tuple(known), tuple(skipped))


def _key(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())
