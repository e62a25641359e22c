"""A version of a bundle as one zip file."""

from __future__ import annotations

import contextlib
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from triptych import errors
from triptych.bundles import card_text
from triptych.bundles import proof
from triptych.bundles import registry
from triptych.bundles import writing
from triptych.bundles.reading import ABOUT
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import is_inside
from triptych.bundles.reading import read
from triptych.utils import files
from triptych.utils.formatting import MB
from triptych.utils.text import text

# Limit of an unpacked file: more than the largest backbone, less than a disk.
MAX_FILE_BYTES = 4 << 30
# Networks hardly compress, and each member has about ten files.
MAX_RATIO = 10
ALWAYS_ALLOWED_BYTES = 64 * MB
MAX_FILES = 1000


def pack(bundle: Bundle, target: Path) -> None:
    """Write a bundle as one zip file, atomically.

    Raises:
        errors.BundleError: A file of it is damaged, or the zip file cannot be written.
    """
    try:
        with files.atomic_file(target) as new, new.open("wb") as file:
            pack_into(bundle, file)
    except OSError as error:
        raise errors.BundleError(
            text(
                "{target} cannot be written: {strerror}. Name a file in a folder that exists.",
                target=target,
                strerror=error.strerror,
            )
        ) from error


def pack_into(bundle: Bundle, file: IO[bytes]) -> None:
    """Write a bundle as one zip file, with its current card texts.

    Args:
        bundle: The version.
        file: A seekable file to write to.

    Raises:
        errors.BundleError: A file of it is damaged.
        OSError: The file cannot be written.
    """
    with contents(bundle) as packed, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(packed.items()):
            archive.write(path, name)


@contextlib.contextmanager
def contents(bundle: Bundle, *, address: str = "") -> Iterator[dict[str, Path]]:
    """The files of a bundle to hand on, by their names in it, with its current card texts.

    Args:
        bundle: The version.
        address: Where it is published, for its card; by default its card names its name.

    Raises:
        errors.BundleError: A file of it is damaged.
    """
    check_files(bundle.folder, bundle.about)
    paths = {name: bundle.folder / name for name in (ABOUT, *bundle.about["files"])}
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        if address or bundle.card_texts != bundle.about.get("card", {}):
            new = Path(scratch)
            about = card_text.write_card(
                new, bundle.about, bundle.card_texts, figures=bundle.folder, address=address
            )
            hashes = {**about["files"], card_text.README: files.digest(new / card_text.README)}
            writing.describe(new, {**about, "files": hashes})
            paths |= {path.name: path for path in writing.list_files(new)}
        yield paths


def unpack(home: Path, source: Path, *, name: str | None = None) -> Bundle:
    """Import a bundle from the zip file that `pack` wrote, as a new version.

    Args:
        home: Home folder.
        source: The file; not trusted.
        name: Name to use instead of the bundle's.

    Raises:
        errors.BundleError: It is no bundle, damaged, or cannot classify a photo; nothing was kept.
        errors.SettingError: Its name cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        # One level deeper: files beside the folder, such as card.json, would be taken for the
        # bundle's.
        bundle = extract(source, Path(scratch) / "bundle")
        registry.check_name(name or bundle.name)
        proof.prove(bundle.folder)
        return writing.copy(bundle, home, name or bundle.name)


def extract(source: Path, folder: Path) -> Bundle:
    """Unpack the zip file that `pack` wrote, and check its content.

    Args:
        source: The file; not trusted.
        folder: Folder for its files, which is created.

    Raises:
        errors.BundleError: It is no bundle, or damaged.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            _check_sizes(source, archive.infolist())
            for member in archive.infolist():
                reason = ""
                if not is_inside(member.filename):
                    reason = text("it writes to {name!r}", name=member.filename)
                elif stat.S_ISLNK(member.external_attr >> 16):
                    reason = text("{name!r} is a link", name=member.filename)
                elif member.file_size > MAX_FILE_BYTES:
                    reason = text("{name!r} is too large", name=member.filename)
                if reason:
                    raise errors.BundleError(
                        text("{source} is refused: {reason}.", source=source, reason=reason)
                    )
            archive.extractall(folder)
    except files.ZIP_ERRORS as error:
        raise errors.BundleError(
            text(
                "{source} cannot be read as a bundle: {error}. Expected the file that "
                "`triptych bundles export` writes.",
                source=source,
                error=error,
            )
        ) from error
    bundle = read(folder)
    check_files(folder, bundle.about)
    return bundle


def _check_sizes(source: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse archives that would fill the disk, before anything is written."""
    total, size = sum(member.file_size for member in members), source.stat().st_size
    free = shutil.disk_usage(tempfile.gettempdir()).free
    reason = ""
    if len(members) > MAX_FILES:
        reason = text(
            "it has {count:,} files, and no bundle has more than {most:,}",
            count=len(members),
            most=MAX_FILES,
        )
    elif total > max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * size):
        reason = text(
            "of {size:,.1f} MB it would unpack to {total:,.0f} MB", size=size / MB, total=total / MB
        )
    elif total > free:
        reason = text(
            "it unpacks to {total:,.0f} MB, and {free:,.0f} MB are free",
            total=total / MB,
            free=free / MB,
        )
    if reason:
        raise errors.BundleError(
            text("{source} is refused: {reason}.", source=source, reason=reason)
        )
