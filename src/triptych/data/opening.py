"""The one way from a path to a dataset: list, look, group, tell."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path

from triptych import errors
from triptych import images
from triptych.data import archive
from triptych.data import files
from triptych.data import findings
from triptych.data import layout
from triptych.data import scan
from triptych.data import table
from triptych.data.findings import Seen
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.data.records import Dataset
from triptych.data.records import Finding
from triptych.data.records import Photo
from triptych.images import signatures
from triptych.typing import Progress


def _silent(done: int, total: int) -> None:
    pass


def open(
    path: Path | str,
    *,
    progress: Progress = _silent,
    limits: images.Limits = images.DEFAULT_LIMITS,
) -> Dataset:
    """Read and check labelled photos; none is changed, moved or deleted.

    Files that are no photos are left out and listed, and so is all that looks odd.

    Args:
        path: A folder with a folder of photos per class; or with ``train/`` and ``val/`` (also
            ``valid/``, ``validation/``, ``test/``) with such folders in each; or a zip of
            either; or a CSV file with columns ``path``, ``label`` and perhaps ``split``.
        progress: Called after each photo with the number done and of all.
        limits: Bytes and pixels allowed in a photo.

    Raises:
        errors.SourceError: It cannot be opened, or has fewer than two classes with photos.

    Example:
        >>> flowers = open("flowers/")  # doctest: +SKIP
        >>> flowers.classes, len(flowers.train)  # doctest: +SKIP
        (('daisy', 'rose'), 83)
    """
    path = Path(path)
    found = layout_of(path, limits)
    photos, told = _look(found, limits, progress)
    return _dataset(files.shown(_name(path)), found, photos, told)


def looked_at(name: str, pairs: Sequence[tuple[Item, scan.Look]]) -> Dataset:
    """The dataset of photos that were looked at before.

    Args:
        name: For people.
        pairs: Photos and what was seen.

    Raises:
        errors.SourceError: Fewer than two classes have photos to learn from.
    """
    items = tuple(item for item, _ in pairs)
    found = Layout(tuple(sorted({item.label for item in items})), items, ())
    photos = findings.grouped(pairs)
    return _dataset(name, found, photos, [*findings.odd_formats(photos), *findings.copies(photos)])


def _name(path: Path) -> str:
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def layout_of(path: Path, limits: images.Limits, *, least: int = 2) -> Layout:
    """Which files belong to which class; none is read yet.

    Args:
        path: As for `open`.
        limits: Bytes allowed in a photo.
        least: How many classes have to have files, where folders are classes.

    Raises:
        errors.SourceError: It cannot be opened, or has fewer classes.
    """
    if path.is_dir():
        return layout.of_folders(files.in_folder(path, limits), least=least)
    try:
        is_zip = zipfile.is_zipfile(path)
        with path.open("rb") as file:
            start = file.read(1024)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise errors.SourceError(f"{str(path)!r} cannot be opened: {reason}.") from error
    kind = signatures.identify(start)
    if is_zip or "ZIP" in kind.name:
        return layout.of_folders(archive.in_archive(path, limits), least=least)
    if path.suffix.lower() in table.SUFFIXES:
        return table.in_table(path, limits)
    what = f"is {kind.name}" if kind.sort == "other" and kind.name else "is a single file"
    raise errors.SourceError(
        f"{path.name!r} {what}; expected a folder, a zip archive or a CSV file of photos."
    )


def _look(
    found: Layout, limits: images.Limits, progress: Progress
) -> tuple[list[Seen], list[Finding]]:
    """All readable photos with their groups, and what is told of the files."""
    pairs: list[tuple[Item, scan.Look]] = []
    failures: list[tuple[Item, errors.TriptychError]] = []
    looks = scan.scan([item.file for item in found.items], limits, progress)
    for item, look in zip(found.items, looks, strict=True):
        if isinstance(look, scan.Look):
            pairs.append((item, look))
        else:
            failures.append((item, look))
    photos = findings.grouped(pairs)
    told = [*found.findings, *findings.unreadable(failures), *findings.odd_formats(photos)]
    return photos, [*told, *findings.copies(photos)]


def _dataset(name: str, found: Layout, photos: list[Seen], told: list[Finding]) -> Dataset:
    val = [seen for seen in photos if seen.item.side == "val"]
    held = {seen.group for seen in val}
    train = [seen for seen in photos if seen.item.side == "train" and seen.group not in held]
    full = {seen.item.label for seen in train}
    classes = tuple(name for name in found.classes if name in full)
    told += findings.empty([name for name in found.classes if name not in full], val)
    if len(classes) < 2:
        raise _too_few_classes(classes, found, told)
    return Dataset(
        name=name,
        classes=classes,
        train=_photos(train, classes),
        val=_photos(val, classes),
        findings=findings.in_order([*told, *findings.sizes(train, classes)]),
        fingerprint=_fingerprint(seen for seen in [*train, *val] if seen.item.label in full),
    )


def _photos(photos: Iterable[Seen], classes: Sequence[str]) -> tuple[Photo, ...]:
    labels = {name: label for label, name in enumerate(classes)}
    return tuple(
        Photo(
            source=seen.item.file.source,
            label=labels[seen.item.label],
            digest=seen.look.digest,
            group=seen.group,
            read=seen.item.file.read,
        )
        for seen in photos
        if seen.item.label in labels
    )


def _fingerprint(photos: Iterable[Seen]) -> str:
    lines = sorted(
        f"{seen.look.digest.hex()} {seen.item.side} {seen.item.label}\n" for seen in photos
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _too_few_classes(
    classes: Sequence[str], found: Layout, told: Sequence[Finding]
) -> errors.SourceError:
    what = f"only {classes[0]!r} has photos" if classes else "no class has photos"
    reasons = [
        f"{'/'.join(finding.sources[:1])}: {finding.message}"
        for finding in findings.in_order(told)
        if finding.kind in ("unreadable", "leak")
    ]
    first = f" The first of {len(reasons)} reasons: {reasons[0]}" if reasons else ""
    return errors.SourceError(
        f"Of {len(found.classes)} classes {what} to learn from; expected at least two.{first}"
    )
