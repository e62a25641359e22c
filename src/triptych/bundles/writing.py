"""Write the next version of a bundle; it appears complete or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.bundles import card_text
from triptych.bundles import registry
from triptych.bundles.reading import ABOUT
from triptych.bundles.reading import SCHEMA
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import read
from triptych.engines.conversion import int8
from triptych.ensemble import rules
from triptych.ensemble.params import EnsembleParams
from triptych.utils import files


def write(
    home: Path, name: str, fill: Callable[[Path], dict[str, Any]], *, publish: bool = True
) -> Bundle:
    """Write the next version of a bundle, atomically.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.
        fill: Called with an empty folder; puts the files there and gives what ``bundle.json``
            should say of them.
        publish: Serve it from now on; else what is served stays as it is.

    Raises:
        errors.SettingError: The name cannot be used.
    """
    registry.check_name(name)
    shelf = registry.folder(home, name)
    shelf.mkdir(parents=True, exist_ok=True)
    try:
        with files.scratch_dir(shelf) as scratch:
            folder = scratch / "bundle"
            folder.mkdir()
            about = {"schema": SCHEMA, "name": name, **fill(folder)}
            words = card_text.card_texts(home, name, about.get("card", {}))
            if words or "card" in about:
                about = card_text.write_card(folder, about, words, figures=folder)
            about["files"] = {
                path.relative_to(folder).as_posix(): files.digest(path)
                for path in list_files(folder)
            }
            describe(folder, about)
            if not publish:
                registry.keep_active(home, name)
            made = read(_place(folder, home, name))
            if publish:
                registry.promote(home, name, made.version)
            card_text.keep_imported(home, name, words)
            return made
    finally:
        with contextlib.suppress(OSError):  # it is not empty, unless all failed
            shelf.rmdir()


def describe(folder: Path, about: Mapping[str, Any]) -> None:
    """Write ``bundle.json``."""
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / ABOUT).write_text(text, encoding="utf-8")


def _place(folder: Path, home: Path, name: str) -> Path:
    shelf = registry.folder(home, name)
    # Another process may take a number first; then the next is free.
    for version in range(max(registry.versions(home, name), default=0) + 1, 1 << 31):
        target = shelf / str(version)
        if not target.exists():
            try:
                return folder.rename(target)
            except OSError:
                continue
    raise errors.BundleError(f"{shelf} has no free version number left.")


def list_files(folder: Path) -> list[Path]:
    """All files in a folder and in those below it, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def with_params(bundle: Bundle, home: Path, fitted: EnsembleParams) -> Bundle:
    """Write the next version of a bundle, the same but for what was fitted.

    Args:
        bundle: Whose members and pages are taken over.
        home: Folder for everything that is kept.
        fitted: Takes the place of what it had.

    Raises:
        errors.BundleError: A file of it is damaged.
    """
    check_files(bundle.folder, bundle.about)
    return copy(bundle, home, bundle.name, doubt=fitted.to_dict(), rule=rules.FITTED_RULE)


def with_int8(bundle: Bundle, home: Path, made: Sequence[Path], told: Mapping[str, Any]) -> Bundle:
    """Write the next version of a bundle, the same with an int8 network for each member.

    Args:
        bundle: Whose members and pages are taken over.
        home: Folder for everything that is kept.
        made: The int8 networks, one per member.
        told: See `triptych.engines.conversion.int8.copy_into`.

    Raises:
        errors.BundleError: A file of it is damaged.
    """
    check_files(bundle.folder, bundle.about)

    def add(target: Path) -> None:
        for row, path in zip(bundle.about["members"], made, strict=True):
            int8.copy_into(path, target / "members" / row["name"], told)

    return copy(bundle, home, bundle.name, add=add)


def copy(
    bundle: Bundle,
    home: Path,
    name: str,
    *,
    add: Callable[[Path], None] = lambda target: None,
    **changes: Any,
) -> Bundle:
    """Write the next version of a bundle, the same but for some changes.

    Args:
        bundle: Whose files are taken over.
        home: Folder for everything that is kept.
        name: Of the bundle that comes out.
        add: Puts more files into the new folder.
        changes: What ``bundle.json`` says otherwise.
    """

    def fill(target: Path) -> dict[str, Any]:
        for file in bundle.about["files"]:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.folder / file, target / file)
        add(target)
        return {key: value for key, value in {**bundle.about, **changes}.items() if key != "name"}

    return write(home, name, fill)
