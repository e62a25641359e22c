"""The versions of all bundles: their names, which of them is served, finding and removing them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from triptych import errors
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import read
from triptych.models import zoo
from triptych.utils import files
from triptych.utils import storage

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED_COMMITTEES = ("auto", *zoo.COMMITTEES)
RESERVED = (*RESERVED_COMMITTEES, "custom")
# Names the version that is served; without this file it is the highest.
POINTER = "active"
NONE = 0


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


def folder(home: Path, name: str) -> Path:
    """Where the versions of a bundle lie, and what is kept of all of them."""
    return home / "bundles" / name


# ------------------------------------------------------------------ which there are


def names(home: Path) -> list[str]:
    """The bundles there are, in order, published or not."""
    shelves = sorted((home / "bundles").iterdir()) if (home / "bundles").is_dir() else []
    return [bundle_folder.name for bundle_folder in shelves if versions(home, bundle_folder.name)]


def versions(home: Path, name: str) -> list[int]:
    """The versions of a bundle that there are, the highest last; none if there is no such bundle.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.
    """
    bundle_folder = folder(home, name)
    is_there = NAME.fullmatch(name) and bundle_folder.is_dir()
    found = [path.name for path in bundle_folder.iterdir()] if is_there else []
    return sorted(int(each) for each in found if each.isdecimal() and each.isascii())


def listed(home: Path, *, unpublished: bool = False) -> list[Bundle]:
    """The bundles there are, each in its active version, by name; damaged ones are left out.

    Args:
        home: Folder for everything that is kept.
        unpublished: Name those, too, of which no version is active, in their highest.
    """
    return list(_listed(home, unpublished))


def _listed(home: Path, unpublished: bool) -> Iterator[Bundle]:
    for name in names(home):
        version = active(home, name)
        if version is None and unpublished:
            version = max(versions(home, name), default=None)
        if version is not None:
            try:
                yield read(folder(home, name) / str(version))
            except errors.BundleError:
                continue


def find(home: Path, name: str) -> Bundle:
    """A bundle by name.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle; with a version, as ``garden@2``, else the active one is meant.

    Raises:
        errors.UnknownName: There is none, or none of its versions is active.
        errors.BundleError: It is damaged.
    """
    bare, at, version = name.partition("@")
    kept = [str(each) for each in versions(home, bare)]
    if not kept or (at and version not in kept):
        raise unknown(home, name)
    chosen = version or active(home, bare)
    if chosen is None:
        raise _unpublished(bare, kept)
    return read(folder(home, bare) / str(chosen))


def unknown(home: Path, name: str) -> errors.UnknownName:
    """The error for a name that there is not; it says which there are."""
    if storage.is_url(name):
        return errors.UnknownName(
            f"{storage.shown(name)} lies elsewhere, and here a committee of this home is wanted. "
            "Bring it here first, with `triptych bundles import URL`."
        )
    known = ", ".join([*RESERVED_COMMITTEES, *names(home)])
    return errors.UnknownName(
        f"There is no committee {name!r}; expected one of: {known}. "
        "`triptych train` makes a new one."
    )


def _unpublished(name: str, kept: list[str]) -> errors.UnknownName:
    return errors.UnknownName(
        f"No version of {name} is published; there are: {', '.join(kept)}. Name one, as "
        f"{name}@{kept[-1]}, or publish one with `triptych bundles activate {name}@{kept[-1]}`."
    )


def remove(home: Path, name: str) -> None:
    """Remove all versions of a bundle.

    Raises:
        errors.UnknownName: There is none.
    """
    bundle_folder = folder(home, name)
    if not NAME.fullmatch(name) or not bundle_folder.is_dir():
        raise unknown(home, name)
    with tempfile.TemporaryDirectory(dir=home / "bundles", prefix=".removing-") as scratch:
        # First out of sight in one step, so that nobody meets half of it.
        bundle_folder.rename(Path(scratch) / name)


# ------------------------------------------------------------------ which is served


def active(home: Path, name: str) -> int | None:
    """The version that the bare name means; ``None`` if none is published.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.
    """
    while True:
        pointer, kept = _pointer(home, name), versions(home, name)
        # Both are of the same moment only if nothing was published meanwhile.
        if pointer == _pointer(home, name):
            break
    if pointer is None:
        return max(kept, default=None)
    return next((version for version in kept if pointer == str(version)), None)


def activate(home: Path, name: str, version: int | None) -> None:
    """Let the bare name mean another version from now on.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.
        version: An older one takes a newer one back; 0 or ``None`` takes the bundle offline,
            and its versions can only be asked by their numbers.

    Raises:
        errors.UnknownName: There is no such version.
        errors.BundleError: It is damaged; what is served stays.
    """
    if version:
        made = find(home, f"{name}@{version}")
        check_files(made.folder, made.about)
    elif not versions(home, name):
        raise unknown(home, name)
    _point(home, name, version or NONE)


def keep_active(home: Path, name: str) -> None:
    """Let the bare name go on to mean what it means now, whatever versions come."""
    if _pointer(home, name) is None:
        _point(home, name, active(home, name) or NONE)


def promote(home: Path, name: str, version: int) -> None:
    """Let the bare name mean a version that was just written."""
    # Without a pointer it does already, as the highest.
    if _pointer(home, name) is not None:
        _point(home, name, version)


def _pointer(home: Path, name: str) -> str | None:
    try:
        return (folder(home, name) / POINTER).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _point(home: Path, name: str, version: int) -> None:
    with files.atomic_file(folder(home, name) / POINTER) as new:
        new.write_bytes(f"{version}\n".encode())
