"""What takes disk space in a home folder, and what of it can be freed without losing anything."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
FEATURE_FILES = ("", "-wal", "-shm", ".damaged")


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
    sizes = {kind: kind.size(home) for kind in _KINDS}
    sizes[_REST] = size(home) - sum(sizes.values())
    sizes[_WEIGHTS] = size(weights.cache_folder())
    return [
        Part(kind.key, kind.title, kind.about, size_bytes, kind.free is not None)
        for kind, size_bytes in sorted(sizes.items(), key=lambda item: -item[1])
        if size_bytes
    ]


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
    remove = next((kind.free for kind in _KINDS if kind.key == key), None)
    if remove is None:
        raise errors.UnknownName(
            text("There is nothing to free by the name of {name}.", name=repr(key[:40]))
        )
    before = size(home)
    remove(home)
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


def free_space(home: Path) -> int:
    """How many bytes are free on the disk of a home folder; 0 if there is no such folder."""
    try:
        return shutil.disk_usage(home).free
    except OSError:
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


def _outdated_size(home: Path) -> int:
    return sum(map(size, store.outdated(home)))


def _free_outdated(home: Path) -> None:
    for folder in store.outdated(home):
        _free_folder(folder)


class _Kind(NamedTuple):
    """A part of a home: see `Part`.

    Args:
        key: Its name in addresses.
        title: Its name for people.
        about: What it is.
        size: What it takes in a home folder, in bytes.
        free: Removes it; ``None`` for what a person made.
    """

    key: str
    title: Text
    about: Text
    size: Callable[[Path], int] = lambda home: 0
    free: Callable[[Path], None] | None = None


_KINDS = (
    _Kind(
        "bundles",
        text("Committees"),
        text("All versions of what was taught or imported. They are listed below."),
        lambda home: size(home / "bundles"),
    ),
    _Kind(
        "photos",
        text("Photos of projects and of the inbox"),
        text(
            "Each photo once, however many projects have it. To free space, remove a project; "
            "photos that no other project has go with it."
        ),
        lambda home: size(home / "studio") - size(home / "studio" / exports.FOLDER),
    ),
    _Kind(
        "features",
        text("Features of photos"),
        text(
            "What networks made of each photo, so that teaching again takes seconds. If freed, "
            "the next teaching computes them again."
        ),
        lambda home: sum(size(home / f"{FEATURES}{end}") for end in FEATURE_FILES),
        _free_features,
    ),
    _Kind(
        "exports",
        text("Exported files"),
        text("If freed, a committee that is needed elsewhere has to be exported again."),
        lambda home: sum(map(size, _exported(home))),
        _free_exports,
    ),
    _Kind(
        "fetched",
        text("Committees fetched from addresses"),
        text("If freed, they are fetched again when their address is used."),
        lambda home: size(home / "fetched"),
        lambda home: _free_folder(home / "fetched"),
    ),
    _Kind(
        "compiled",
        text("Networks compiled for this machine"),
        text("If freed, the next start takes some seconds longer."),
        lambda home: size(store.compiled_cache(home)),
        lambda home: _free_folder(store.compiled_cache(home)),
    ),
    _Kind(
        "outdated",
        text("Networks that are not used any more"),
        text("They were converted by earlier versions, or from weights that have changed."),
        _outdated_size,
        _free_outdated,
    ),
    _Kind(
        "networks",
        text("Networks of the zoo"),
        text("Converted from the published weights, with their int8 forms."),
        lambda home: (
            size(home / "engines") - size(store.compiled_cache(home)) - _outdated_size(home)
        ),
    ),
    _Kind(
        "backbones",
        text("Added backbones"),
        text("The command `triptych backbones remove` removes one."),
        lambda home: size(home / added.FOLDER),
    ),
    _Kind(
        "tuning",
        text("Fine-tuning that was stopped"),
        text("It goes on from there if it is started again; after some days it is removed."),
        lambda home: size(home / pace.FOLDER),
    ),
)
_REST = _Kind(
    "rest",
    text("Everything else"),
    text("Fitted parameters, keys, the runtime of exported pages."),
)
_WEIGHTS = _Kind(
    "weights",
    text("Published weights"),
    text("They are in the cache of Keras, which other programs use, too."),
)
