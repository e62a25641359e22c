"""Files below a folder, at a URL or in an archive, as one tree; hidden ones are listed apart."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import os
from collections.abc import Callable
from collections.abc import Container
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from pathlib import PurePath

from triptych import errors
from triptych import images
from triptych.data.documents import DOCUMENT_LIMITS
from triptych.data.documents import Document
from triptych.data.documents import File
from triptych.data.records import Finding
from triptych.images import formats
from triptych.utils import storage
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

# Deeper folders are a mistake or an attack.
MAX_DEPTH = 50
# Listing is quick, but each file is held in memory.
MAX_REMOTE_FILES = 2_000_000


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


# Given the limits, a function that returns the bytes of a file, or raises a `TriptychError`.
Reader = Callable[[images.Limits], Callable[[], bytes]]


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
        limits: Bytes allowed in a photo.
        document_limits: Bytes allowed in a document.
        tree: Image files, by their extensions.
        documents: Other files, some of which may say what the photos show.
        hidden: Files and folders that are hidden.
        ignored: Files that are left out whatever they are.
        reported: Findings about what could not be listed or was guessed.
        is_chosen: Whether a person named the document that describes the photos.
    """

    name: str
    limits: images.Limits
    document_limits: images.Limits = DOCUMENT_LIMITS
    tree: Tree = field(default_factory=Tree)
    documents: list[Document] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)
    reported: list[Finding] = field(default_factory=list)
    is_chosen: bool = False

    def add(self, parts: Sequence[str], reader: Reader | None) -> None:
        """Add a file to the list it belongs to.

        Args:
            parts: Its path, from the top of the folder or archive.
            reader: For its bytes; ``None`` for a folder.
        """
        source = plain_text("/".join(parts))
        for depth, part in enumerate(parts):
            if storage.is_hidden(part):
                self.hidden.add(plain_text("/".join(parts[: depth + 1])))
                return
        if len(parts) > MAX_DEPTH:
            self.ignored.append(source)
        elif reader is None:
            functools.reduce(Tree.folder, parts, self.tree)
        elif is_image(parts[-1]):
            file = File(source, reader(self.limits))
            functools.reduce(Tree.folder, parts[:-1], self.tree).files.append(file)
        else:
            self.documents.append(Document(source, reader(self.document_limits)))

    def only(self, source: str) -> Listing:
        """The listing with one document, which was chosen.

        Args:
            source: Its path.

        Raises:
            errors.SourceError: There is no such document.
        """
        chosen = [document for document in self.documents if document.source == source]
        if not chosen:
            raise errors.SourceError(
                f"{source!r} is not in {self.name!r}, or hidden; expected a file beside its photos."
            )
        return dataclasses.replace(self, documents=chosen, is_chosen=True)

    @functools.cached_property
    def by_path(self) -> dict[str, File]:
        """The image files by their paths."""
        return {file.source: file for file in self.tree.walk()}

    @functools.cached_property
    def _backwards(self) -> tuple[list[str], list[File]]:
        """The paths of the image files, each read from its end, in order; and those files."""
        by_end = {file.source[::-1]: file for file in self.tree.walk()}
        ends = sorted(by_end)
        return ends, [by_end[end] for end in ends]

    def below_folders(self, path: str) -> list[File]:
        """The image files that have a path from some folder on, not from the top.

        Args:
            path: As a document writes it, without the folders before.
        """
        ends, of_ends = self._backwards
        start = f"/{path}"[::-1]
        first = end = bisect.bisect_left(ends, start)
        while end < len(ends) and ends[end].startswith(start):
            end += 1
        return of_ends[first:end]

    def findings(self, used: Container[str] = ()) -> list[Finding]:
        """Findings about what was left out or guessed.

        Args:
            used: The documents that were read.
        """
        findings = list(self.reported)
        ignored = [each.source for each in self.documents if each.source not in used]
        if self.hidden:
            findings.append(
                Finding("hidden", text("Hidden, and left out."), tuple(sorted(self.hidden)))
            )
        if ignored := sorted([*self.ignored, *ignored]):
            message = text("No image files by their names, and left out.")
            findings.append(Finding("ignored", message, tuple(ignored)))
        return findings


def in_folder(folder: Path, limits: images.Limits) -> Listing:
    """List a folder; links are followed, each folder once.

    Args:
        folder: On disk.
        limits: Bytes allowed in a file.
    """
    listing = Listing(plain_text(folder.resolve().name), limits)
    visited: set[tuple[int, int]] = set()

    def lose(error: OSError) -> None:
        message = text("The folder cannot be opened: {strerror}.", strerror=error.strerror)
        source = plain_text(str(Path(error.filename).relative_to(folder)))
        listing.reported.append(Finding("unreadable", message, (source,)))

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=lose):
        where = Path(parent)
        parts = where.relative_to(folder).parts
        status = where.stat()
        if (status.st_dev, status.st_ino) in visited or len(parts) > MAX_DEPTH:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        for name in folders:
            listing.add((*parts, name), None)
        for name in files:
            # No devices, and no pipes, on which reading would wait for ever. Broken links are
            # included, to be reported.
            if (where / name).is_file() or not (where / name).exists():
                listing.add((*parts, name), functools.partial(_reader, where / name))
        folders[:] = sorted(name for name in folders if not storage.is_hidden(name))
    return listing


def _reader(path: Path, limits: images.Limits) -> Callable[[], bytes]:
    return functools.partial(images.read, path, limits=limits)


def at_url(url: str, limits: images.Limits) -> Listing:
    """List a folder at a URL; photos are read when they are needed.

    Args:
        url: Of any file system that fsspec knows.
        limits: Bytes allowed in a file.

    Raises:
        errors.SourceError: It is not there, cannot be listed, or has too many files.
    """
    listing = Listing(name_of(url), limits)
    for number, entry in enumerate(storage.entries(url)):
        if number == MAX_REMOTE_FILES:
            raise errors.SourceError(
                f"{storage.redact(url)!r} has more than {MAX_REMOTE_FILES:,} files. Name a folder "
                "below it."
            )
        listing.add(entry.parts, functools.partial(remote, entry.location, entry.size_bytes))
    return listing


def remote(location: str, size_bytes: int | None, limits: images.Limits) -> storage.RemoteFile:
    """A file at a URL, read when it is called.

    Args:
        location: Its URL.
        size_bytes: Its size, if it is known.
        limits: Bytes allowed.
    """
    check = functools.partial(images.check_bytes, limits=limits)
    return storage.RemoteFile(location, check, limits.max_bytes, size_bytes)


def name_of(location: str) -> str:
    """The last part of a path or URL, safe to show.

    Example:
        >>> name_of("s3://bucket/flowers/"), name_of("https://me:secret@host/bees.zip?signature=1")
        ('flowers', 'bees.zip')
    """
    return plain_text(storage.redact(location).rstrip("/").rpartition("/")[2])
