"""The model in what a person gives: a file, a folder, or a zip of one of them with labels."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych import errors
from triptych.bundles.reading import is_inside
from triptych.images import MB
from triptych.imports import formats
from triptych.imports.facts import Preprocessing
from triptych.imports.formats import Format
from triptych.preprocessing.recipe import SCALINGS
from triptych.utils import files
from triptych.utils.text import text

MAX_FILES = 2000
MAX_UNPACKED_BYTES = 8 << 30
# Weights hardly compress: what unpacks to far more than its size is a decompression bomb.
MAX_RATIO = 100
ALWAYS_ALLOWED_BYTES = 64 * MB
LABELS = ("labels.txt", "labels.json", "class_names.txt", "classes.txt", "class_indices.json")

# Files of Teachable Machine's downloads of image models: Keras, TensorFlow Lite in floating point
# and quantized, and for the Edge TPU.
TEACHABLE_MACHINE = (
    "keras_model.h5",
    "model_unquant.tflite",
    "model.tflite",
    "model_edgetpu.tflite",
)
# As its own Python examples prepare photos: ImageOps.fit(image, (224, 224), LANCZOS), and
# image / 127.5 - 1.
TEACHABLE_MACHINE_RECIPE = Preprocessing(
    "it is Teachable Machine's download",
    SCALINGS["tf"],
    (224, 224),
    "crop",
    1.0,
    "lanczos",
)


@dataclass(frozen=True)
class Source:
    """A model and what came with it.

    Args:
        path: Its file or folder.
        format: Its format.
        labels: A file with its classes beside it; ``None`` for none.
        preprocessing: How photos were prepared, where what came with it tells.
    """

    path: Path
    format: Format
    labels: Path | None = None
    preprocessing: Preprocessing | None = None


def open_source(path: Path, scratch: Path) -> Source:
    """Find the model in a file, folder or zip.

    Args:
        path: Not trusted.
        scratch: Folder that a zip is unpacked to.

    Raises:
        errors.SourceError: There is no model in it, more than one, or one of another format; or the
            zip is damaged, writes to other folders, or would fill the disk.
    """
    format_ = formats.recognize(path)
    if format_:
        return Source(path, format_)
    if path.is_file() and zipfile.is_zipfile(path):
        unpack(path, scratch)
        folder = scratch
    elif path.is_dir():
        folder = path
    else:
        raise errors.SourceError(
            text(
                "{path} is no model that is known. {expected}",
                path=path.name,
                expected=formats.EXPECTED,
            )
        )
    return _in_folder(path, folder)


def _in_folder(source: Path, folder: Path) -> Source:
    models: list[tuple[Path, Format]] = []
    left = [folder]
    while left:
        each = left.pop()
        if format_ := formats.recognize(each):
            models.append((each, format_))
        elif each.is_dir() and not each.is_symlink():
            left += [inner for inner in each.iterdir() if not inner.name.startswith(".")]
            if len(left) > MAX_FILES:
                raise errors.SourceError(
                    text(
                        "{source} has too many files. {expected}",
                        source=source.name,
                        expected=formats.EXPECTED,
                    )
                )
    if len(models) != 1:
        names = ", ".join(sorted(model.name for model, _ in models)) or "none"
        raise errors.SourceError(
            text(
                "Expected one model in {source}, and found {models}: {names}. {expected}",
                source=source.name,
                models=len(models),
                names=names[:200],
                expected=formats.EXPECTED if not models else text("Give the one to import."),
            )
        )
    ((model, format_),) = models
    labels = next(
        (
            file
            for name in LABELS
            for file in (model.parent / name, folder / name)
            if file.is_file()
        ),
        None,
    )
    known = TEACHABLE_MACHINE_RECIPE if _is_teachable_machine(model, labels) else None
    return Source(model, format_, labels, known)


def _is_teachable_machine(model: Path, labels: Path | None) -> bool:
    """Whether names and layout are those of Teachable Machine's downloads of image models."""
    if model.name not in TEACHABLE_MACHINE or labels is None or labels.name != "labels.txt":
        return False
    if labels.parent != model.parent:
        return False
    lines = labels.read_text("utf-8", "replace").splitlines()
    lines = [line for line in lines if line.strip()]
    return all(line.split(" ", 1)[0] == str(n) for n, line in enumerate(lines))


def unpack(source: Path, folder: Path) -> None:
    """Unpack a zip that is not trusted.

    Args:
        source: The zip.
        folder: Where its files go.

    Raises:
        errors.SourceError: It is damaged, writes to other folders, has links, or would fill the
            disk.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            _check(source, members)
            archive.extractall(folder)
    except files.ZIP_ERRORS as error:
        raise errors.SourceError(
            text(
                "{source} cannot be unpacked: {error}. It may be cut short; download it again.",
                source=source.name,
                error=error,
            )
        ) from error


def _check(source: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    total, size = sum(member.file_size for member in members), source.stat().st_size
    reason = ""
    if len(members) > MAX_FILES:
        reason = text(
            "it has {count:,} files, and no model has more than {most:,}",
            count=len(members),
            most=MAX_FILES,
        )
    elif total > min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * size)):
        reason = text(
            "of {size:,.1f} MB it would unpack to {total:,.0f} MB", size=size / MB, total=total / MB
        )
    for member in members:
        if not is_inside(member.filename):
            reason = text("it writes to {name!r}", name=member.filename)
        elif stat.S_ISLNK(member.external_attr >> 16):
            reason = text("{name!r} is a link", name=member.filename)
    if reason:
        raise errors.SourceError(
            text("{source} is refused: {reason}.", source=source.name, reason=reason)
        )
