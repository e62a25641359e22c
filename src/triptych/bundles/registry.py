"""The registry of bundles: names and versions, which version is active, finding and removing."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from triptych import errors
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import read
from triptych.models import zoo
from triptych.utils import files
from triptych.utils import storage
from triptych.utils.text import text

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED_COMMITTEES = ("auto", *zoo.COMMITTEES)
RESERVED = (*RESERVED_COMMITTEES, "custom")
# Contains the version that is served; without this file it is the highest.
POINTER = "active"
NONE = 0
# Contains the highest version that was removed, so that no other content gets its number.
REMOVED = "removed"


def check_name(name: str) -> None:
    """Refuse a name that is not a valid folder name everywhere, or that is reserved.

    Raises:
        errors.SettingError: The name cannot be used.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise errors.SettingError(
            text(
                "A bundle cannot be called {name!r}; expected up to 64 letters, digits, "
                "dots, dashes and underscores, beginning with a letter or digit, and not "
                "{reserved}.",
                name=name,
                reserved=", ".join(RESERVED),
            )
        )


def folder(home: Path, name: str) -> Path:
    """The folder with the versions of a bundle."""
    return home / "bundles" / name


def names(home: Path) -> list[str]:
    """Names of all bundles, sorted, published or not."""
    folders = sorted((home / "bundles").iterdir()) if (home / "bundles").is_dir() else []
    return [each.name for each in folders if versions(home, each.name)]


def versions(home: Path, name: str) -> list[int]:
    """Versions of a bundle, ascending; empty if there is no such bundle.

    Args:
        home: Home folder.
        name: Name of the bundle.
    """
    bundle_folder = folder(home, name)
    is_there = NAME.fullmatch(name) and bundle_folder.is_dir()
    entries = [path.name for path in bundle_folder.iterdir()] if is_there else []
    return sorted(int(each) for each in entries if each.isdecimal() and each.isascii())


def listed(
    home: Path,
    *,
    unpublished: bool = False,
    damaged: Callable[[str, errors.BundleError], None] = lambda name, error: None,
) -> list[Bundle]:
    """All bundles by name, each in its active version; damaged ones are left out.

    Args:
        home: Home folder.
        unpublished: Include bundles without an active version, in their highest one.
        damaged: Called with the name of each bundle that is left out, and the reason.
    """
    active_bundles = []
    for name in names(home):
        version = active(home, name)
        if version is None and unpublished:
            version = max(versions(home, name), default=None)
        if version is not None:
            try:
                active_bundles.append(read(folder(home, name) / str(version)))
            except errors.BundleError as error:
                damaged(name, error)
    return active_bundles


def find(home: Path, name: str) -> Bundle:
    """A bundle by name.

    Args:
        home: Home folder.
        name: Of the bundle, with a version, as ``garden@2``, or without one for the active version.

    Raises:
        errors.UnknownName: There is none, or none of its versions is active.
        errors.BundleError: It is damaged.
    """
    bare, at, version = name.partition("@")
    stored = [str(each) for each in versions(home, bare)]
    if not stored or (at and version not in stored):
        raise unknown(home, name)
    number = version or active(home, bare)
    if number is None:
        latest = f"{bare}@{stored[-1]}"
        raise errors.UnknownName(
            text(
                "No version of {bare} is published; there are: {stored}. Name one, as "
                "{latest}, or publish one with `triptych bundles activate {latest}`.",
                bare=bare,
                stored=", ".join(stored),
                latest=latest,
            )
        )
    return read(folder(home, bare) / str(number))


def unknown(home: Path, name: str) -> errors.UnknownName:
    """The error for an unknown name, which lists the known ones."""
    if storage.is_url(name):
        return errors.UnknownName(
            f"{storage.redact(name)} is a URL; expected a committee in this home. "
            "Import it first with `triptych bundles import URL`."
        )
    available = ", ".join([*RESERVED_COMMITTEES, *names(home)])
    return errors.UnknownName(
        f"There is no committee {name!r}; expected one of: {available}. "
        "`triptych train` makes a new one."
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
        # Renamed first, which is atomic, so that nobody sees a half-removed bundle.
        bundle_folder.rename(Path(scratch) / name)


def remove_version(home: Path, name: str, version: int) -> None:
    """Remove a version that is not active; no later version gets its number.

    Args:
        home: Home folder.
        name: Name of the bundle.
        version: The version to remove.

    Raises:
        errors.UnknownName: There is no such version.
        errors.SettingError: It is active.
    """
    if version not in versions(home, name):
        raise unknown(home, f"{name}@{version}")
    if version == active(home, name):
        raise errors.SettingError(
            text(
                "Version {version} of {name} is active, so it cannot be removed. Publish another "
                "version first, or take {name} offline.",
                version=version,
                name=name,
            )
        )
    bundle_folder = folder(home, name)
    keep_active(home, name)  # the next highest must not become active by this
    with files.atomic_file(bundle_folder / REMOVED) as new:
        new.write_bytes(f"{max(version, highest_removed(home, name))}\n".encode())
    with tempfile.TemporaryDirectory(dir=bundle_folder, prefix=".removing-") as scratch:
        (bundle_folder / str(version)).rename(Path(scratch) / str(version))


def highest_removed(home: Path, name: str) -> int:
    """The highest version of a bundle that was removed; 0 for none."""
    try:
        return int((folder(home, name) / REMOVED).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def active(home: Path, name: str) -> int | None:
    """The version that is served under the bare name; ``None`` if none is published.

    Args:
        home: Home folder.
        name: Name of the bundle.
    """
    while True:
        pointer, stored = _pointer(home, name), versions(home, name)
        # Consistent only if nothing was published between both reads.
        if pointer == _pointer(home, name):
            break
    if pointer is None:
        return max(stored, default=None)
    return next((version for version in stored if pointer == str(version)), None)


def activate(home: Path, name: str, version: int | None) -> None:
    """Serve another version under the bare name.

    Args:
        home: Home folder.
        name: Name of the bundle.
        version: The version to serve; an older one is a rollback. 0 or ``None`` takes the bundle
            offline: its versions can then be used by their numbers only.

    Raises:
        errors.UnknownName: There is no such version.
        errors.BundleError: It is damaged; the served version stays the same.
    """
    if version:
        bundle = find(home, f"{name}@{version}")
        check_files(bundle.folder, bundle.about)
    elif not versions(home, name):
        raise unknown(home, name)
    _point(home, name, version or NONE)


def keep_active(home: Path, name: str) -> None:
    """Pin the version that is served now, so that no new version replaces it."""
    if _pointer(home, name) is None:
        _point(home, name, active(home, name) or NONE)


def promote(home: Path, name: str, version: int) -> None:
    """Serve a version that was just written."""
    # Without a pointer it is served already, as the highest.
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
