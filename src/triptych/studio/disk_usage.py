"""What takes disk space in a home folder, and what of it can be freed without losing anything."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triptych import bundles
from triptych import errors
from triptych.engines.conversion import store
from triptych.features import FeatureStore
from triptych.models import weights
from triptych.models.zoo import added
from triptych.studio import exports
from triptych.training.finetune import pace
from triptych.utils import files
from triptych.utils.text import Text
from triptych.utils.text import text

FEATURES = "features.sqlite"


@dataclass(frozen=True)
class Part:
    """Files of one purpose.

    Args:
        key: Its name in addresses.
        title: Its name for people.
        about: What it is, and what happens when it is freed.
        size_bytes: What it takes.
        can_be_freed: Whether all of it can be removed without losing what a person made.
    """

    key: str
    title: Text
    about: Text
    size_bytes: int
    can_be_freed: bool = False


@dataclass(frozen=True)
class VersionSize:
    """A version of a bundle.

    Args:
        bundle: Name of the bundle.
        version: Its number.
        size_bytes: What it takes.
        is_active: Whether it is served under the bare name; such a version cannot be removed.
    """

    bundle: str
    version: int
    size_bytes: int
    is_active: bool


def parts(home: Path) -> list[Part]:
    """What takes space, the largest part first; empty parts are left out.

    Args:
        home: Home folder.

    Example:
        >>> parts(Path("no-such-home"))
        []
    """
    studio = home / "studio"
    exported = sum(size(path) for path in _exported(home))
    outdated = sum(size(path) for path in store.outdated(home))
    compiled = size(store.compiled_cache(home))
    everything = [
        Part(
            "bundles",
            text("Committees"),
            text("All versions of what was taught or imported. They are listed below."),
            size(home / "bundles"),
        ),
        Part(
            "photos",
            text("Photos of projects and of the inbox"),
            text(
                "Each photo once, however many projects have it. To free space, remove a project; "
                "photos that no other project has go with it."
            ),
            size(studio) - size(studio / exports.FOLDER),
        ),
        Part(
            "features",
            text("Features of photos"),
            text(
                "What networks made of each photo, so that teaching again takes seconds. If freed, "
                "the next teaching computes them again."
            ),
            sum(size(home / f"{FEATURES}{end}") for end in ("", "-wal", "-shm", ".damaged")),
            can_be_freed=True,
        ),
        Part(
            "exports",
            text("Exported files"),
            text("If freed, a committee that is needed elsewhere has to be exported again."),
            exported,
            can_be_freed=True,
        ),
        Part(
            "fetched",
            text("Committees fetched from addresses"),
            text("If freed, they are fetched again when their address is used."),
            size(home / "fetched"),
            can_be_freed=True,
        ),
        Part(
            "compiled",
            text("Networks compiled for this machine"),
            text("If freed, the next start takes some seconds longer."),
            compiled,
            can_be_freed=True,
        ),
        Part(
            "outdated",
            text("Networks that are not used any more"),
            text("They were converted by earlier versions, or from weights that have changed."),
            outdated,
            can_be_freed=True,
        ),
        Part(
            "networks",
            text("Networks of the zoo"),
            text("Converted from the published weights, with their int8 forms."),
            size(home / "engines") - compiled - outdated,
        ),
        Part(
            "backbones",
            text("Added backbones"),
            text("The command `triptych backbones remove` removes one."),
            size(home / added.FOLDER),
        ),
        Part(
            "tuning",
            text("Fine-tuning that was stopped"),
            text("It goes on from there if it is started again; after some days it is removed."),
            size(home / pace.FOLDER),
        ),
    ]
    rest = size(home) - sum(part.size_bytes for part in everything)
    everything += [
        Part(
            "rest",
            text("Everything else"),
            text("Fitted parameters, keys, the runtime of exported pages."),
            rest,
        ),
        Part(
            "weights",
            text("Published weights"),
            text("They are in the cache of Keras, which other programs use, too."),
            size(weights.cache_folder()),
        ),
    ]
    return sorted((part for part in everything if part.size_bytes), key=lambda p: -p.size_bytes)


def versions(home: Path) -> list[VersionSize]:
    """All versions of all bundles, the largest first.

    Args:
        home: Home folder.
    """
    sizes = [
        VersionSize(
            name,
            version,
            size(bundles.registry.folder(home, name) / str(version)),
            version == bundles.active(home, name),
        )
        for name in bundles.names(home)
        for version in bundles.versions(home, name)
    ]
    return sorted(sizes, key=lambda each: -each.size_bytes)


def free(home: Path, key: str) -> int:
    """Remove what a part has on disk.

    Args:
        home: Home folder.
        key: Of a part that can be freed.

    Returns:
        How many bytes were freed.

    Raises:
        errors.UnknownName: There is no such part, or it cannot be freed.
    """
    if key not in _FREE:
        raise errors.UnknownName(
            text("There is nothing to free by the name of {name}.", name=repr(key[:40]))
        )
    before = size(home)
    _FREE[key](home)
    return max(0, before - size(home))


def size(path: Path) -> int:
    """What a file, or a folder with all that is in it, takes on disk, in bytes.

    Args:
        path: Need not exist; links are not followed.
    """
    try:
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        with os.scandir(path) as entries:
            return sum(
                size(Path(entry.path))
                if entry.is_dir(follow_symlinks=False)
                else entry.stat(follow_symlinks=False).st_size
                for entry in entries
            )
    except OSError:  # not there, or removed just now
        return 0


def _exported(home: Path) -> Iterator[Path]:
    return (home / "studio" / exports.FOLDER).glob("*/*.zip")


def _free_features(home: Path) -> None:
    FeatureStore(home / FEATURES).prune()
    with contextlib.suppress(OSError):
        (home / f"{FEATURES}.damaged").unlink()


def _free_exports(home: Path) -> None:
    for path in _exported(home):
        path.unlink(missing_ok=True)


def _free_folder(folder: Path) -> None:
    """Remove a folder; renamed first, so that nobody finds a half of it."""
    with contextlib.suppress(FileNotFoundError), files.scratch_dir(folder.parent) as scratch:
        folder.rename(scratch / folder.name)


def _free_outdated(home: Path) -> None:
    for folder in store.outdated(home):
        _free_folder(folder)


_FREE: dict[str, Callable[[Path], None]] = {
    "features": _free_features,
    "exports": _free_exports,
    "fetched": lambda home: _free_folder(home / "fetched"),
    "compiled": lambda home: _free_folder(store.compiled_cache(home)),
    "outdated": _free_outdated,
}


def free_space(home: Path) -> int:
    """How many bytes are free on the disk of a home folder; 0 if there is no such folder."""
    try:
        return shutil.disk_usage(home).free
    except OSError:
        return 0
