"""Export a committee: write it, compare it with the committee, and hand it over with its papers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from triptych import bundles
from triptych import errors
from triptych import images
from triptych.bundles import loading
from triptych.engines.conversion import int8
from triptych.engines.options import INT8
from triptych.engines.options import EngineOptions
from triptych.exports import checking
from triptych.exports import formats
from triptych.exports import papers
from triptych.exports.formats import Format
from triptych.exports.source import Source
from triptych.inference import committee as committees
from triptych.inference.classifier import Classifier
from triptych.typing import UInt8Image
from triptych.utils import files
from triptych.utils import storage
from triptych.utils.text import text


@dataclass(frozen=True)
class ExportOptions:
    """What of a committee is exported, and how.

    Args:
        format: A name from `formats.FORMATS`; by default the file's ending decides.
        members: Names of the members that are to predict; by default all.
        rule: The combination rule; by default the committee's.
        coverage: How often prediction sets are to hold the true class, in (0, 1).
        photos: Photos for the comparison, beside drawn ones: what `Classifier.classify` takes.
        overwrite: Whether files that are there may be replaced.
    """

    format: str | None = None
    members: Sequence[str] | None = None
    rule: str | None = None
    coverage: float = 0.9
    photos: Iterable[Any] = ()
    overwrite: bool = False


@dataclass(frozen=True)
class Export:
    """An export that was compared with its committee, and handed over.

    Args:
        format: Its format.
        files: What was written: the export itself, then what lies beside it.
        comparison: How far its answers are from those of the committee.
    """

    format: Format
    files: tuple[Path, ...]
    comparison: checking.Comparison


def export(
    name: str, path: Path, engine_options: EngineOptions, options: ExportOptions = ExportOptions()
) -> Export:
    """Export a committee as a file for another runtime.

    Args:
        name: As for `triptych.bundles.loading.load_committee`.
        path: The file; its folder is made if it is not there.
        engine_options: Home folder, and precision ``"int8"`` for the quantized networks; any other
            precision exports those at f32, but ``"auto"`` those that the format prefers.
        options: What of it, and how.

    Raises:
        errors.UnknownName: There is no such committee, member, rule or format.
        errors.SettingError: The format cannot be known, a package is missing, or a file is there.
        errors.EngineError: The networks cannot be written in this format, or the export does not
            answer as the committee does.
    """
    row = formats.find(path, options.format)
    row.require()
    loaded, precision = _load(name, row, engine_options, options.members)
    source = replace(
        source_of(loaded.configured(rule=options.rule), precision, options.coverage),
        home=engine_options.home,
    )
    classifier = Classifier(source.committee, coverage=options.coverage)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.scratch_dir(path.parent) as scratch:
        folder = scratch / "export"
        folder.mkdir()
        written = folder / path.name
        engine_options.report(text("Writing {name} ...", name=path.name))
        row.write(source, written)
        engine_options.report(text("Comparing it with the committee ..."))
        photos = _photos(options.photos)
        tolerance = row.int8_tolerance if precision == INT8 else checking.TOLERANCE
        run = row.open(written)
        comparison = checking.compare(classifier, run, source, photos, tolerance=tolerance)
        del run  # ends the process that some runtimes run in
        papers.write(folder, row, source, written, comparison, _card_of(name, engine_options.home))
        targets = _hand_over(folder, path, overwrite=options.overwrite)
    return Export(row, targets, comparison)


def _load(
    name: str, row: Format, engine_options: EngineOptions, members: Sequence[str] | None
) -> tuple[committees.Committee, str]:
    """A committee, and the precision of its networks: the first of those to try that is there."""
    wanted = engine_options.precision
    precision = INT8 if wanted == INT8 or (wanted == "auto" and row.prefers_int8) else "f32"
    try:
        how = replace(engine_options, precision=precision, device="cpu")
        return loading.load_committee(name, how, members=members), precision
    except errors.SettingError:
        if precision == wanted or precision == "f32":
            raise
    how = replace(engine_options, precision="f32", device="cpu")
    return loading.load_committee(name, how, members=members), "f32"


def source_of(committee: committees.Committee, precision: str, coverage: float) -> Source:
    """What is exported of a committee: its networks on disk, at the precision it was loaded with.

    Raises:
        errors.SettingError: A member has no network on disk.
    """
    paths = [member.network for member in committee.members]
    if None in paths:
        raise errors.SettingError(f"The networks of {committee.name} are not on this machine.")
    found = [path for path in paths if path]
    networks = map(int8.int8_path, found) if precision == INT8 else found
    return Source(committee, tuple(networks), precision, coverage)


def _photos(others: Iterable[Any]) -> Iterator[UInt8Image]:
    yield from checking.draw_photos()
    for photo in others:
        yield images.load(photo)


def _card_of(name: str, home: Path) -> str | None:
    """The model card of a bundle; ``None`` for committees of the zoo, and those at a URL."""
    if committees.is_from_zoo(name) or storage.is_url(name):
        return None
    card = bundles.get(home, name).folder / "README.md"
    return card.read_text(encoding="utf-8") if card.exists() else None


def _hand_over(folder: Path, path: Path, *, overwrite: bool) -> tuple[Path, ...]:
    """Move all files of a folder to that of `path`, which comes first of them."""
    written = sorted(folder.iterdir(), key=lambda each: (each.name != path.name, each.name))
    targets = tuple(path.parent / each.name for each in written)
    there = [
        target.name
        for each, target in zip(written, targets, strict=True)
        if target.exists() and not (each.is_file() and _same(each, target))
    ]
    if there and not overwrite:
        raise errors.SettingError(
            f"{path.parent} has {', '.join(there)} already. Export to another folder, or replace "
            "them with --overwrite."
        )
    for each, target in zip(written, targets, strict=True):
        if target.is_dir():
            shutil.rmtree(target)
        each.replace(target)
    return targets


def _same(file: Path, other: Path) -> bool:
    return other.is_file() and file.read_bytes() == other.read_bytes()
