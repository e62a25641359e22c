"""Write the next version of a bundle, atomically."""

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
from triptych.bundles.reading import MULTILABEL_SCHEMA
from triptych.bundles.reading import SCHEMA
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import is_multilabel
from triptych.bundles.reading import read
from triptych.engines.conversion import int8
from triptych.ensemble import rules
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.params import EnsembleParams
from triptych.utils import files
from triptych.utils.text import text


def write(
    home: Path, name: str, fill: Callable[[Path], dict[str, Any]], *, publish: bool = True
) -> Bundle:
    """Write the next version of a bundle, atomically.

    Args:
        home: Home folder.
        name: Of the bundle.
        fill: Called with an empty folder; writes the files and returns the content of
            ``bundle.json``.
        publish: Serve it from now on; otherwise the served version stays the same.

    Raises:
        errors.SettingError: The name cannot be used.
    """
    registry.check_name(name)
    bundle_folder = registry.folder(home, name)
    bundle_folder.mkdir(parents=True, exist_ok=True)
    try:
        with files.scratch_dir(bundle_folder) as scratch:
            folder = scratch / "bundle"
            folder.mkdir()
            content = fill(folder)
            schema = MULTILABEL_SCHEMA if is_multilabel(content) else SCHEMA
            about = {"schema": schema, "name": name, **content}
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
            bundle = read(_publish_folder(folder, home, name))
            if publish:
                registry.promote(home, name, bundle.version)
            card_text.keep_imported(home, name, words)
            return bundle
    finally:
        with contextlib.suppress(OSError):  # not empty, unless all writes failed
            bundle_folder.rmdir()


def describe(folder: Path, about: Mapping[str, Any]) -> None:
    """Write ``bundle.json``."""
    text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / ABOUT).write_text(text, encoding="utf-8")


def _publish_folder(folder: Path, home: Path, name: str) -> Path:
    bundle_folder = registry.folder(home, name)
    highest = max(registry.highest_removed(home, name), *registry.versions(home, name), 0)
    # If another process takes the number first, try the next one.
    for version in range(highest + 1, 1 << 31):
        target = bundle_folder / str(version)
        if not target.exists():
            try:
                return folder.rename(target)
            except OSError:
                continue
    raise errors.BundleError(
        text("{bundle_folder} has no free version number left.", bundle_folder=bundle_folder)
    )


def list_files(folder: Path) -> list[Path]:
    """All files in a folder and below it, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def with_params(bundle: Bundle, home: Path, params: EnsembleParams) -> Bundle:
    """Write the next version of a bundle, with other fitted parameters.

    Args:
        bundle: The version to copy.
        home: Home folder.
        params: The new fitted parameters.

    Raises:
        errors.BundleError: A file of it is damaged.
        errors.SettingError: The parameters are for a single-label bundle, and this one is
            multi-label, or the other way round.
    """
    if bundle.multilabel != isinstance(params, MultilabelParams):
        kind = "multi-label" if bundle.multilabel else "single-label"
        raise errors.SettingError(
            f"{bundle.name} is {kind}, and these fitted parameters are not. Fit parameters for it, "
            "or train it again."
        )
    check_files(bundle.folder, bundle.about)
    return copy(bundle, home, bundle.name, doubt=params.to_dict(), rule=rules.FITTED_RULE)


def with_int8(
    bundle: Bundle, home: Path, networks: Sequence[Path], report: Mapping[str, Any]
) -> Bundle:
    """Write the next version of a bundle, with an int8 network for each member.

    Args:
        bundle: The version to copy.
        home: Home folder.
        networks: The int8 networks, one per member.
        report: See `triptych.engines.conversion.int8.copy_into`.

    Raises:
        errors.BundleError: A file of it is damaged.
    """
    check_files(bundle.folder, bundle.about)

    def add(target: Path) -> None:
        for row, path in zip(bundle.about["members"], networks, strict=True):
            int8.copy_into(path, target / "members" / row["name"], report)

    return copy(bundle, home, bundle.name, add=add)


def copy(
    bundle: Bundle,
    home: Path,
    name: str,
    *,
    add: Callable[[Path], None] = lambda target: None,
    **changes: Any,
) -> Bundle:
    """Write the next version of a bundle as a copy with changes.

    Args:
        bundle: The version to copy.
        home: Home folder.
        name: Name of the new bundle.
        add: Called with the new folder, to add files.
        changes: Entries of ``bundle.json`` to replace.
    """

    def fill(target: Path) -> dict[str, Any]:
        for file in bundle.about["files"]:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.folder / file, target / file)
        add(target)
        return {key: value for key, value in {**bundle.about, **changes}.items() if key != "name"}

    return write(home, name, fill)
