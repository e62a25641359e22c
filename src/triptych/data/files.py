"""Files below a folder or in an archive, as one tree; hidden ones are listed separately."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from pathlib import PurePath

from triptych import images
from triptych.data.records import Finding
from triptych.images import formats
from triptych.utils import storage
from triptych.utils.formatting import plain_text

# Deeper folders are a mistake or an attack.
_MAX_DEPTH = 50


def is_image(name: str) -> bool:
    """Whether a file is an image, by its extension."""
    return PurePath(name).suffix.lower() in formats.BY_SUFFIX


def walk(folder: Path) -> Iterator[Path]:
    """All image files below a folder, by their extensions, in order of name, without hidden ones.

    Example:
        >>> list(walk(Path("/nonexistent")))
        []
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not storage.is_hidden(name))
        for name in sorted(files):
            if is_image(name) and not storage.is_hidden(name):
                yield Path(parent, name)


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


@dataclass
class Tree:
    """Image files of a folder, and the folders in it.

    Args:
        files: The image files.
        folders: By the names that are shown.
        names: Original names of the folders.
    """

    files: list[File] = field(default_factory=list)
    folders: dict[str, Tree] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def folder(self, name: str) -> Tree:
        """The folder of that name, created if there is none."""
        self.names.add(name)
        return self.folders.setdefault(plain_text(name), Tree())

    def walk(self) -> Iterator[File]:
        """All files, in order of name; those of a folder before those of its folders."""
        yield from sorted(self.files, key=lambda file: file.source)
        for name in sorted(self.folders):
            yield from self.folders[name].walk()


@dataclass
class Listing:
    """What is in a folder or an archive.

    Args:
        name: Its name.
        tree: Image files, by their extensions.
        hidden: Files and folders that are hidden.
        ignored: Other files.
        reported: Findings about what could not be listed or was guessed.
    """

    name: str
    tree: Tree = field(default_factory=Tree)
    hidden: set[str] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)
    reported: list[Finding] = field(default_factory=list)

    def add(self, parts: Sequence[str], read: Callable[[], bytes] | None) -> None:
        """Add a file to the list it belongs to.

        Args:
            parts: Its path, from the top of the folder or archive.
            read: Returns its bytes; ``None`` for a folder.
        """
        source = plain_text("/".join(parts))
        for depth, part in enumerate(parts):
            if storage.is_hidden(part):
                self.hidden.add(plain_text("/".join(parts[: depth + 1])))
                return
        if len(parts) > _MAX_DEPTH:
            self.ignored.append(source)
        elif read is None:
            functools.reduce(Tree.folder, parts, self.tree)
        elif is_image(parts[-1]):
            functools.reduce(Tree.folder, parts[:-1], self.tree).files.append(File(source, read))
        else:
            self.ignored.append(source)

    def findings(self) -> list[Finding]:
        """Findings about what was left out or guessed."""
        findings = list(self.reported)
        if self.hidden:
            findings.append(Finding("hidden", "Hidden, and left out.", tuple(sorted(self.hidden))))
        if self.ignored:
            message = "No image files by their names, and left out."
            findings.append(Finding("ignored", message, tuple(sorted(self.ignored))))
        return findings


def in_folder(folder: Path, limits: images.Limits) -> Listing:
    """List a folder; links are followed, each folder once.

    Args:
        folder: On disk.
        limits: Bytes allowed in a file.
    """
    listing = Listing(plain_text(folder.resolve().name))
    visited: set[tuple[int, int]] = set()

    def lose(error: OSError) -> None:
        message = f"The folder cannot be opened: {error.strerror}."
        source = plain_text(str(Path(error.filename).relative_to(folder)))
        listing.reported.append(Finding("unreadable", message, (source,)))

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=lose):
        where = Path(parent)
        parts = where.relative_to(folder).parts
        status = where.stat()
        if (status.st_dev, status.st_ino) in visited or len(parts) > _MAX_DEPTH:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        for name in folders:
            listing.add((*parts, name), None)
        for name in files:
            # No devices, and no pipes, on which reading would wait for ever. Broken links are
            # included, to be reported.
            if (where / name).is_file() or not (where / name).exists():
                read = functools.partial(images.read, where / name, limits=limits)
                listing.add((*parts, name), read)
        folders[:] = sorted(name for name in folders if not storage.is_hidden(name))
    return listing
