"""Which class and side each file belongs to, by the folders it lies in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from triptych import errors
from triptych.data.files import File
from triptych.data.files import Listing
from triptych.data.files import Tree
from triptych.data.records import Finding

Side = Literal["train", "val"]

# What people call the two sides, in order of preference.
SIDES: Mapping[Side, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "test"),
}

EXPECTED = (
    "Expected a folder of photos per class, such as cats/ and dogs/, at least two; or train/ and "
    "val/ with such folders in each."
)


@dataclass(frozen=True)
class Item:
    """A file with its class.

    Args:
        file: It may turn out to be no photo.
        label: Name of its class.
        side: ``"train"`` or ``"val"``.
    """

    file: File
    label: str
    side: Side


@dataclass(frozen=True)
class Layout:
    """What is to be read.

    Args:
        classes: Names of all classes, also of those without files.
        items: The files.
        findings: What was left out.
    """

    classes: tuple[str, ...]
    items: tuple[Item, ...]
    findings: tuple[Finding, ...]


def side_of(name: str) -> Side | None:
    """The side a word stands for, in upper or lower case.

    Example:
        >>> side_of("Validation"), side_of("cats")
        ('val', None)
    """
    return next((side for side, names in SIDES.items() if _word(name) in names), None)


def _word(name: str) -> str:
    return name.strip().casefold()


def of_folders(listing: Listing, *, least: int = 2) -> Layout:
    """Read the layout off the folders.

    Args:
        listing: A folder or an archive; one outer folder around all is looked through.
        least: How many classes have to have files to train with.

    Raises:
        errors.SourceError: There are fewer classes; the message says what there is.
    """
    root = _unwrapped(listing.tree)
    sides, findings = _sides(root)
    items = [
        Item(file, name, side)
        for side, tree in sides.items()
        for name, folder in sorted(tree.folders.items())
        for file in folder.walk()
    ]
    if len({item.label for item in items if item.side == "train"}) < least:
        raise errors.SourceError(f"{_what_is_there(listing, sides)} {EXPECTED}")
    return Layout(
        tuple(sorted({name for tree in sides.values() for name in tree.folders})),
        tuple(items),
        (*listing.findings(), *findings, *_loose(root, sides)),
    )


def _unwrapped(tree: Tree) -> Tree:
    while not tree.files and len(tree.folders) == 1:
        ((name, inner),) = tree.folders.items()
        if side_of(name) or not inner.folders:
            break
        tree = inner
    return tree


def _sides(root: Tree) -> tuple[dict[Side, Tree], list[Finding]]:
    """The sides by name, and what is left out; a folder without sides is all to train with."""
    named: dict[Side, list[str]] = {"train": [], "val": []}
    for name in root.folders:
        if side := side_of(name):
            named[side].append(name)
    if not _has_sides(root, named):
        return {"train": root}, []
    chosen: dict[Side, str] = {
        side: min(names, key=lambda name: SIDES[side].index(_word(name)))
        for side, names in named.items()
        if names
    }
    others = sorted(set(root.folders) - set(chosen.values()))
    message = f"Beside {' and '.join(f'{name}/' for name in chosen.values())}, and left out."
    findings = [Finding("ignored", message, tuple(others))] if others else []
    return {side: root.folders[name] for side, name in chosen.items()}, findings


def _has_sides(root: Tree, named: Mapping[Side, list[str]]) -> bool:
    # "train" may also be a class, beside "plane" and "car".
    count = sum(map(len, named.values()))
    return all(named.values()) or 0 < count == len(root.folders)


def _loose(root: Tree, sides: Mapping[Side, Tree]) -> list[Finding]:
    outside = {id(tree): tree.files for tree in (root, *sides.values())}
    sources = sorted(file.source for files in outside.values() for file in files)
    message = "Photos outside of any class's folder, and left out."
    return [Finding("ignored", message, tuple(sources))] if sources else []


def _what_is_there(listing: Listing, sides: Mapping[Side, Tree]) -> str:
    tree = sides.get("train")
    if tree is None:
        return "There are photos to measure with and none to train with: train/ is missing."
    where = "train/" if "val" in sides else repr(listing.name)
    full = [name for name, folder in tree.folders.items() if any(folder.walk())]
    if full:
        return f"In {where} only one class has photos, {full[0]!r}."
    if tree.files:
        return f"The photos lie directly in {where} ({len(tree.files)}), in no class's folder."
    if listing.ignored:
        return f"No image files are in {where}, only others, such as {min(listing.ignored)!r}."
    return f"No photos are in {where}."
