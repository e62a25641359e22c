"""The class and side (train or val) of each file, derived from its folders."""

from __future__ import annotations

import functools
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Literal

from triptych import errors
from triptych.data.documents import File
from triptych.data.files import Listing
from triptych.data.files import Tree
from triptych.data.records import Finding
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

Side = Literal["train", "val"]

# Between the classes of a photo, in multi-label CSV files.
SEPARATOR = "|"

# Folder names of the two sides, in order of preference.
SIDES: Mapping[Side, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "test"),
}

EXPECTED = text(
    "Expected a folder of photos per class, such as cats/ and dogs/, at least two; or train/ and "
    "val/ with such folders in each."
)


@dataclass(frozen=True)
class Item:
    """A file with its class.

    Args:
        file: The file, not read yet: it may not be a photo.
        label: Name of its class; in a multi-label data set all of them in a line, for people.
        side: ``"train"`` or ``"val"``.
        labels: Names of all its classes in a multi-label data set, perhaps none; ``None`` in a
            single-label one.
    """

    file: File
    label: str
    side: Side
    labels: tuple[str, ...] | None = None

    @classmethod
    def of_many(cls, file: File, labels: Iterable[str], side: Side) -> Item:
        """A file of a multi-label data set.

        Args:
            file: The file.
            labels: Names of its classes, in any order.
            side: ``"train"`` or ``"val"``.

        Example:
            >>> Item.of_many(File("1.jpg", bytes), ["pear", "apple"], "train").label
            'apple|pear'
        """
        names = tuple(sorted(set(labels)))
        return cls(file, SEPARATOR.join(names), side, names)

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Names of its classes: one in a single-label data set, else any number."""
        return (self.label,) if self.labels is None else self.labels


@dataclass(frozen=True)
class Layout:
    """The files of a dataset with their classes, before any is read.

    Args:
        classes: Names of all classes, including those without files.
        items: The files.
        findings: What was left out.
        multilabel: Whether its files may have any number of classes.
    """

    classes: tuple[str, ...]
    items: tuple[Item, ...]
    findings: tuple[Finding, ...]
    multilabel: bool = False


@functools.lru_cache(1024)
def side_of(name: str) -> Side | None:
    """The side a word stands for, in upper or lower case.

    Example:
        >>> side_of("Validation"), side_of("cats")
        ('val', None)
    """
    return next((side for side, names in SIDES.items() if _word(name) in names), None)


def _word(name: str) -> str:
    return name.strip().casefold()


def alike_names(names: Iterable[str]) -> list[Finding]:
    """Find names of classes that a person could confuse.

    Args:
        names: The names.

    Example:
        >>> alike_names(["ant", "Ant ", "bee"])[0].message.partition(". ")[0]
        "Different classes with names that differ in case or spaces only: 'Ant ', 'ant'"
    """
    by_appearance: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        by_appearance[_appearance(name)].add(name)
    findings = []
    for alike in by_appearance.values():
        classes = sorted({plain_text(name) for name in alike})
        listed = ", ".join(map(repr, classes))
        if len(classes) > 1:
            message = text(
                "Different classes with names that differ in case or spaces only: {listed}. "
                "Rename those that are the same.",
                listed=listed,
            )
            findings.append(Finding("alike_names", message))
        elif len(alike) > 1:
            message = text(
                "Written in {count} Unicode forms, and taken for one class: {listed}.",
                count=len(alike),
                listed=listed,
            )
            findings.append(Finding("alike_names", message))
    return findings


def _appearance(name: str) -> str:
    """A name without what people overlook: compatible letters unified, no case, single spaces."""
    letters = unicodedata.normalize("NFKC", name).casefold()
    visible = "".join(letter for letter in letters if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", " ".join(visible.split()))


def of_folders(listing: Listing, *, least: int = 2) -> Layout:
    """Derive classes and sides from the names of folders.

    Args:
        listing: A folder or an archive; a single outer folder around everything is skipped.
        least: How many classes must have files to train on.

    Raises:
        errors.SourceError: There are fewer classes; the message says how many.
    """
    root = listing.tree
    while not root.files and len(root.folders) == 1:
        ((name, inner),) = root.folders.items()
        if side_of(name) or not inner.folders:
            break
        root = inner
    sides, findings = _sides(root)
    items = [
        Item(file, name, side)
        for side, tree in sides.items()
        for name, folder in sorted(tree.folders.items())
        for file in folder.walk()
    ]
    if len({item.label for item in items if item.side == "train"}) < least:
        what = _what_is_there(listing, sides)
        raise errors.SourceError(text("{first} {second}", first=what, second=EXPECTED))
    outside = {id(tree): tree.files for tree in (root, *sides.values())}
    loose = sorted(file.source for files in outside.values() for file in files)
    if loose:
        message = text("Photos outside of any class's folder, and left out.")
        findings.append(Finding("ignored", message, tuple(loose)))
    findings += alike_names(name for tree in sides.values() for name in tree.names)
    return Layout(
        tuple(sorted({name for tree in sides.values() for name in tree.folders})),
        tuple(items),
        (*listing.findings(), *findings),
    )


def as_multilabel(layout: Layout) -> Layout:
    """The same files, as photos that may have any number of classes."""
    items = (Item.of_many(item.file, item.all_labels, item.side) for item in layout.items)
    return replace(layout, items=tuple(items), multilabel=True)


def _sides(root: Tree) -> tuple[dict[Side, Tree], list[Finding]]:
    """The folder of each side, and findings; without sides, all photos are for training."""
    named: dict[Side, list[str]] = {"train": [], "val": []}
    for name in root.folders:
        if side := side_of(name):
            named[side].append(name)
    # "train" may also be a class, beside "plane" and "car".
    count = sum(map(len, named.values()))
    if not (all(named.values()) or 0 < count == len(root.folders)):
        return {"train": root}, []
    preferred: dict[Side, str] = {
        side: min(names, key=lambda name: SIDES[side].index(_word(name)))
        for side, names in named.items()
        if names
    }
    others = sorted(set(root.folders) - set(preferred.values()))
    names = [f"{name}/" for name in preferred.values()]
    if len(names) == 1:
        message = text("Beside {name}, and left out.", name=names[0])
    else:
        message = text("Beside {train} and {val}, and left out.", train=names[0], val=names[-1])
    findings = [Finding("ignored", message, tuple(others))] if others else []
    return {side: root.folders[name] for side, name in preferred.items()}, findings


def _what_is_there(listing: Listing, sides: Mapping[Side, Tree]) -> str:
    tree = sides.get("train")
    if tree is None:
        return text("There are photos to evaluate on and none to train on: train/ is missing.")
    where = "train/" if "val" in sides else repr(listing.name)
    full = [name for name, folder in tree.folders.items() if any(folder.walk())]
    if full:
        return text("In {where} only one class has photos, {name!r}.", where=where, name=full[0])
    if tree.files:
        return text(
            "The photos lie directly in {where} ({count}), in no class's folder.",
            where=where,
            count=len(tree.files),
        )
    others = [*listing.ignored, *(document.source for document in listing.documents)]
    if others:
        return text(
            "No image files are in {where}, only others, such as {name!r}.",
            where=where,
            name=min(others),
        )
    return text("No photos are in {where}.", where=where)
