"""The versions of all bundles: their names, finding and removing them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from triptych import errors
from triptych import zoo
from triptych.bundle.reading import Bundle
from triptych.bundle.reading import read

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED_COMMITTEES = ("auto", *zoo.COMMITTEES)
RESERVED = (*RESERVED_COMMITTEES, "custom")


def check_name(name: str) -> None:
    """Refuse a name that cannot be a folder everywhere, or that means something else.

    Raises:
        errors.SettingError: The name cannot be used.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise errors.SettingError(
            f"A bundle cannot be called {name!r}; expected up to 64 letters, digits, dots, dashes "
            f"and underscores, beginning with a letter or digit, and not {', '.join(RESERVED)}."
        )


def find(home: Path, name: str) -> Bundle:
    """A bundle by name.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle; with a version, as ``garden@2``, else the highest is meant.

    Raises:
        errors.UnknownName: There is none.
        errors.BundleError: It is damaged.
    """
    bare, _, version = name.partition("@")
    kept = versions(home, bare)
    if not kept or version not in ("", *map(str, kept)):
        known = ", ".join([*RESERVED_COMMITTEES, *(bundle.name for bundle in listed(home))])
        raise errors.UnknownName(
            f"There is no committee {name!r}; expected one of: {known}. "
            "`triptych train` makes a new one."
        )
    return read(home / "bundles" / bare / (version or str(kept[-1])))


def versions(home: Path, name: str) -> list[int]:
    """The versions of a bundle that there are, the highest last; none if there is no such bundle.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.
    """
    return _versions(home / "bundles" / name) if NAME.fullmatch(name) else []


def listed(home: Path) -> list[Bundle]:
    """The bundles there are, each in its highest version, by name; damaged ones are left out."""
    return list(_listed(home))


def _listed(home: Path) -> Iterator[Bundle]:
    shelves = sorted((home / "bundles").iterdir()) if (home / "bundles").is_dir() else []
    for shelf in shelves:
        versions = _versions(shelf)
        if versions:
            try:
                yield read(shelf / str(max(versions)))
            except errors.BundleError:
                continue


def _versions(shelf: Path) -> list[int]:
    names = [path.name for path in shelf.iterdir()] if shelf.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal() and name.isascii())


def remove(home: Path, name: str) -> None:
    """Remove all versions of a bundle.

    Raises:
        errors.UnknownName: There is none.
    """
    shelf = home / "bundles" / name
    if not NAME.fullmatch(name) or not shelf.is_dir():
        find(home, name)
    with tempfile.TemporaryDirectory(dir=home / "bundles", prefix=".removing-") as scratch:
        # First out of sight in one step, so that nobody meets half of it.
        shelf.rename(Path(scratch) / name)
