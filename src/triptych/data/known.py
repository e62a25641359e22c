"""Labelled photos of a committee's classes, in folders named after the classes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych import errors
from triptych.data.files import walk
from triptych.results import Failure
from triptych.results import Label


@dataclass(frozen=True)
class Labelled:
    """Photos with the index of their class.

    Args:
        photos: Pairs of a file and its class index.
        skipped: Files that were left out, with the reason.
    """

    photos: tuple[tuple[Path, int], ...]
    skipped: tuple[Failure, ...]


def labelled(folder: Path, labels: Sequence[Label]) -> Labelled:
    """List photos in a folder per class, for given classes.

    Args:
        folder: Holds one folder per class, named by the class's id (WordNet id) or name;
            upper and lower case, spaces, ``_`` and ``-`` make no difference.
        labels: The classes.

    Raises:
        errors.SourceError: There is no such folder, or no photo in a class's folder.
    """
    if not folder.is_dir():
        raise errors.SourceError(
            f"{folder} is not a folder; expected one that holds a folder of photos per class."
        )
    index_of = index_by_name(labels)
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


def _key(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())
