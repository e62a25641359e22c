"""From a path to a dataset: list files, scan them, group copies, report findings."""

from __future__ import annotations

import functools
import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePath

from triptych import errors
from triptych import images
from triptych.data import archive
from triptych.data import files
from triptych.data import findings
from triptych.data import formats
from triptych.data import layout
from triptych.data import scan
from triptych.data import table
from triptych.data.documents import DOCUMENT_LIMITS
from triptych.data.documents import Document
from triptych.data.documents import File
from triptych.data.documents import Row
from triptych.data.findings import GroupedPhoto
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.data.records import MULTILABEL
from triptych.data.records import Dataset
from triptych.data.records import Finding
from triptych.data.records import LabelledPhoto
from triptych.images import signatures
from triptych.typing import Progress
from triptych.utils import storage
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

_LOCAL = ("file://", "local://")
# Folders that hold documents beside the folders of the photos.
_OF_DOCUMENTS = ("annotations", "labels")


def open(
    path: Path | str,
    *,
    format: str = formats.AUTO,
    multilabel: bool = False,
    progress: Progress = lambda done, total: None,
    limits: images.Limits = images.DEFAULT_LIMITS,
) -> Dataset:
    """Read and check labelled photos; none is changed, moved or deleted.

    Files that are not photos are left out. They and everything odd are listed as findings.

    Args:
        path: A folder with a folder of photos per class; or with ``train/`` and ``val/`` (also
            ``valid/``, ``validation/``, ``test/``) with such folders in each; or with a document
            of one of the `formats` that says what its photos show; or a zip of these; or such a
            document; or the URL of any of these, on a file system that fsspec knows.
        format: A name from `formats.NAMES`; ``"auto"`` recognises it.
        multilabel: Whether photos may have any number of classes even if none has several.
        progress: Called after each photo with the number done and the total.
        limits: Bytes and pixels allowed in a photo.

    Raises:
        errors.SourceError: It cannot be opened, or has fewer than two classes with photos.

    Example:
        >>> flowers = open("flowers/")  # doctest: +SKIP
        >>> flowers.classes, len(flowers.train)  # doctest: +SKIP
        (('daisy', 'rose'), 83)
    """
    contents = layout_of(path, limits, format=format, multilabel=multilabel)
    pairs: list[tuple[Item, scan.ScannedPhoto]] = []
    failures: list[tuple[Item, errors.TriptychError]] = []
    results = scan.scan([item.file for item in contents.items], limits, progress)
    for item, result in zip(contents.items, results, strict=True):
        if isinstance(result, scan.ScannedPhoto):
            pairs.append((item, result))
        else:
            failures.append((item, result))
    reported = [*contents.findings, *findings.unreadable(failures)]
    return _dataset(title_of(path), contents, pairs, reported)


def from_scanned(
    name: str, pairs: Sequence[tuple[Item, scan.ScannedPhoto]], *, multilabel: bool = False
) -> Dataset:
    """The dataset of photos that were scanned before.

    Args:
        name: For people.
        pairs: Photos, each with the result of its scan.
        multilabel: Whether they may have any number of classes; the items then have ``labels``.

    Raises:
        errors.SourceError: Fewer than two classes have photos for training.
    """
    items = tuple(item for item, _ in pairs)
    classes = sorted({name for item in items for name in item.all_labels})
    contents = Layout(tuple(classes), items, (), multilabel)
    return _dataset(name, contents, pairs, [])


def title_of(path: Path | str) -> str:
    """The name of a folder, or of a file without its ending, safe to show.

    Args:
        path: A path, or a URL.

    Example:
        >>> title_of("s3://bucket/bees.zip"), title_of("/photos/flowers.v2/..")
        ('bees', 'photos')
    """
    if storage.is_url(str(path)):
        return PurePath(files.name_of(str(path))).stem
    path = Path(path).resolve()
    return plain_text(path.name if path.is_dir() else path.stem)


def layout_of(
    source: Path | str,
    limits: images.Limits,
    *,
    format: str = formats.AUTO,
    least: int = 2,
    multilabel: bool = False,
) -> Layout:
    """List the files of each class, without reading them.

    Args:
        source: As for `open`.
        limits: Bytes allowed in a photo.
        format: As for `open`.
        least: How many classes must have files, if folders are classes.
        multilabel: As for `open`.

    Raises:
        errors.SettingError: There is no such format.
        errors.SourceError: It cannot be opened, or has fewer classes.
    """
    location = str(source)
    if location.startswith(_LOCAL):
        location = storage.local_path(location)
    of_location = _at_url if storage.is_url(location) else _on_disk
    contents = of_location(location, limits, format, least, multilabel)
    is_lacking = multilabel and not contents.multilabel
    return layout.as_multilabel(contents) if is_lacking else contents


def _on_disk(
    location: str, limits: images.Limits, format: str, least: int, multilabel: bool
) -> Layout:
    path = Path(location)
    if path.is_dir():
        return formats.layout_of(
            files.in_folder(path, limits), format=format, least=least, multilabel=multilabel
        )
    try:
        is_zip = zipfile.is_zipfile(path)
        with path.open("rb") as file:
            start = file.read(1024)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise errors.SourceError(
            text("{path!r} cannot be opened: {reason}.", path=str(path), reason=reason)
        ) from error
    kind = signatures.identify(start)
    if is_zip or "ZIP" in kind.name:
        return formats.layout_of(
            archive.in_archive(path, limits), format=format, least=least, multilabel=multilabel
        )
    document = Document(
        plain_text(path.name), functools.partial(images.read, path, limits=DOCUMENT_LIMITS)
    )
    if table.is_one(document) and format in (formats.AUTO, "csv"):
        return _layout_of_table(
            document, functools.partial(table.file_beside, path, limits), multilabel
        )
    if document.suffix in formats.SUFFIXES:
        folder, name = path.parent.resolve(), path.name
        if folder.name.casefold() in _OF_DOCUMENTS:
            folder, name = folder.parent, f"{folder.name}/{name}"
        listing = files.in_folder(folder, limits).only(plain_text(name))
        return formats.layout_of(listing, format=format, least=least, multilabel=multilabel)
    what = text("is a single file")
    if kind.sort == "other" and kind.name:
        what = text("is {kind}", kind=kind.name)
    raise errors.SourceError(
        text(
            "{path!r} {what}; expected a folder, a zip archive or a CSV file of photos, "
            "or a document that says what they show ({suffixes}).",
            path=path.name,
            what=what,
            suffixes=", ".join(sorted(formats.SUFFIXES)),
        )
    )


def _at_url(url: str, limits: images.Limits, format: str, least: int, multilabel: bool) -> Layout:
    document = Document(files.name_of(url), files.remote(url, None, DOCUMENT_LIMITS))
    if table.is_one(document) and format in (formats.AUTO, "csv"):
        return _layout_of_table(
            document, functools.partial(table.file_at_url, url, limits), multilabel
        )
    if document.suffix in formats.SUFFIXES:
        folder, _, name = url.partition("?")[0].rpartition("/")
        listing = files.at_url(folder, limits).only(plain_text(name))
    elif document.suffix == ".zip" or storage.is_file(url):
        listing = archive.in_archive(archive.fetched(url), limits)
    else:
        listing = files.at_url(url, limits)
    return formats.layout_of(listing, format=format, least=least, multilabel=multilabel)


def _layout_of_table(document: Document, find: Callable[[Row], File], multilabel: bool) -> Layout:
    described = [(document, table.describe(document))]
    return formats.assemble(described, lambda row, _: find(row), multilabel=multilabel)


def _dataset(
    name: str,
    contents: Layout,
    pairs: Sequence[tuple[Item, scan.ScannedPhoto]],
    reported: Sequence[Finding],
) -> Dataset:
    """Group the copies, leave out training photos that leak into val, and report all findings."""
    photos, of_photos = findings.of_photos(pairs)
    val = [photo for photo in photos if photo.item.side == "val"]
    val_groups = {photo.group for photo in val}
    train = [
        photo for photo in photos if photo.item.side == "train" and photo.group not in val_groups
    ]
    counts = Counter(name for photo in train for name in photo.item.all_labels)
    # Of a class that all photos have, nothing can be learned; a single class has no others.
    universal = [
        name for name, count in counts.items() if contents.multilabel and count == len(train)
    ]
    full = set(counts) - set(universal)
    classes = tuple(name for name in contents.classes if name in full)
    empty = [name for name in contents.classes if name not in counts]
    reported = [
        *reported,
        *of_photos,
        *findings.empty(empty, val),
        *findings.universal(universal),
        *(findings.unlabelled(photos) if contents.multilabel else ()),
    ]
    if len(classes) < 2:
        raise _too_few_classes(contents, classes, reported)
    lines = sorted(
        f"{photo.scanned.digest.hex()} {photo.item.side} {photo.item.label}\n"
        for photo in [*train, *val]
        if contents.multilabel or photo.item.label in full
    )
    return Dataset(
        name=name,
        classes=classes,
        train=_photos(train, classes, contents.multilabel),
        val=_photos(val, classes, contents.multilabel),
        findings=findings.in_order(
            [*reported, *findings.sizes(train, classes, multilabel=contents.multilabel)]
        ),
        fingerprint=hashlib.sha256("".join(lines).encode()).hexdigest(),
        multilabel=contents.multilabel,
    )


def _too_few_classes(
    contents: Layout, classes: Sequence[str], reported: Sequence[Finding]
) -> errors.SourceError:
    """The error of a data set with fewer than two classes to train on, with a reason if known."""
    if contents.multilabel:
        what = (
            text("only {name!r} has photos with it and photos without it", name=classes[0])
            if classes
            else text("no class has photos with it and photos without it")
        )
    else:
        what = (
            text("only {name!r} has photos", name=classes[0])
            if classes
            else text("no class has photos")
        )
    reasons = [
        finding for finding in findings.in_order(reported) if finding.kind in ("unreadable", "leak")
    ]
    first = ""
    if reasons:
        first = text(
            " The first of {count} reasons: {source}: {reason}",
            count=len(reasons),
            source="/".join(reasons[0].sources[:1]),
            reason=reasons[0].message,
        )
    return errors.SourceError(
        text(
            "Of {classes} classes {what} for training; expected at least two.{first}",
            classes=len(contents.classes),
            what=what,
            first=first,
        )
    )


def _photos(
    photos: Iterable[GroupedPhoto], classes: Sequence[str], multilabel: bool
) -> tuple[LabelledPhoto, ...]:
    index_of = {name: label for label, name in enumerate(classes)}
    return tuple(
        LabelledPhoto(
            source=photo.item.file.source,
            label=MULTILABEL if multilabel else index_of[photo.item.label],
            digest=photo.scanned.digest,
            group=photo.group,
            read=photo.item.file.read,
            labels=tuple(index_of[name] for name in photo.item.all_labels if name in index_of)
            if multilabel
            else None,
        )
        for photo in photos
        if multilabel or photo.item.label in index_of
    )
