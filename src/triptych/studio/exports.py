"""Exports that people start in the studio: one at a time, each in a process of its own.

    home/studio/exports/garden/garden-3-litert.zip    the file, its classes, card and program

The comment of the zip says how far its answers are from those of the committee.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from triptych import bundles
from triptych import errors
from triptych.engines.options import INT8
from triptych.exports import formats
from triptych.studio.bundle_jobs import BundleJob
from triptych.studio.bundle_jobs import BundleJobs
from triptych.studio.bundle_jobs import Run
from triptych.utils import files
from triptych.utils.text import text

FOLDER = "exports"
WORKER = "triptych.studio.export_worker"


@dataclass(frozen=True)
class ExportJob(BundleJob):
    """An export that was started.

    Args:
        format: Name of the format.
        precision: ``"f32"`` or ``"int8"``.
    """

    format: str
    precision: str

    @property
    def file(self) -> str:
        """Name of the zip that it makes."""
        int8 = f"-{INT8}" if self.precision == INT8 else ""
        return f"{self.bundle}-{self.version}-{self.format}{int8}.zip"


@dataclass(frozen=True)
class ExportFile:
    """An export to be downloaded.

    Args:
        name: Of the zip.
        size_bytes: Its size.
        modified_s: When it was written, in seconds since the epoch.
        comparison: How far its answers are from those of the committee.
    """

    name: str
    size_bytes: int
    modified_s: float
    comparison: str


class Exports:
    """The exports of a studio.

    Args:
        home: Home folder.

    Example:
        >>> exports = Exports(Path("home"))
        >>> exports.latest("garden"), exports.files("garden")
        (None, [])
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "studio" / FOLDER
        self._jobs: BundleJobs[ExportJob] = BundleJobs(home)

    def start(self, bundle: str, version: int, form: str, precision: str = "f32") -> ExportJob:
        """Start an export; it goes on when the page that started it is closed.

        Args:
            bundle: Name of the bundle.
            version: Its version.
            form: Name of a format, from `triptych.exports.formats.FORMATS`.
            precision: ``"f32"``, or ``"int8"`` for its int8 networks.

        Raises:
            errors.UnknownName: There is no such version or format.
            errors.SettingError: A package is missing, or there is no such precision.
            errors.Busy: Another export is under way.
        """
        formats.find("", form).require()
        if precision not in ("f32", INT8):
            raise errors.SettingError(
                text(
                    "There is no precision {precision!r}; expected f32 or int8.",
                    precision=precision,
                )
            )
        name = bundles.find(self._home, f"{bundle}@{version}").name
        return self._jobs.start(ExportJob(name, version, form, precision), self._export)

    def stop(self, bundle: str) -> None:
        """Stop the export of a bundle, if one is under way; nothing of it is kept."""
        self._jobs.stop(bundle)

    def latest(self, bundle: str) -> ExportJob | None:
        """The latest export of a bundle since the studio was started, as it is now."""
        return self._jobs.latest(bundle)

    def close(self) -> None:
        """Stop what is under way, and wait for its end."""
        self._jobs.close()

    def files(self, bundle: str) -> list[ExportFile]:
        """What can be downloaded, the newest first."""
        exported = []
        for path in (self._folder / bundle).glob("*.zip"):
            try:
                with zipfile.ZipFile(path) as archive:
                    comparison = archive.comment.decode("utf-8", "replace")
                about = path.stat()
            except (OSError, zipfile.BadZipFile):
                continue  # removed just now, or damaged
            exported.append(ExportFile(path.name, about.st_size, about.st_mtime, comparison))
        return sorted(exported, key=lambda file: -file.modified_s)

    def find(self, bundle: str, name: str) -> Path:
        """The zip of that name.

        Raises:
            errors.UnknownName: There is none.
        """
        if name not in [file.name for file in self.files(bundle)]:
            raise errors.UnknownName(
                text("There is no export {name!r} of {bundle}.", name=name[:80], bundle=bundle)
            )
        return self._folder / bundle / name

    def remove(self, bundle: str, name: str) -> None:
        """Remove a zip.

        Raises:
            errors.UnknownName: There is none of that name.
        """
        self.find(bundle, name).unlink(missing_ok=True)

    def _export(self, run: Run[ExportJob]) -> str:
        """Write the zip; returns the comparison."""
        job, folder = run.job, self._folder / run.job.bundle
        folder.mkdir(parents=True, exist_ok=True)
        with files.scratch_dir(folder) as scratch:
            written = scratch / "export"
            written.mkdir()
            task = {
                "home": str(self._home),
                "name": f"{job.bundle}@{job.version}",
                "format": job.format,
                "precision": job.precision,
                "path": str(written / f"{job.bundle}{formats.FORMATS[job.format].ending}"),
            }
            comparison: str = run.in_child(WORKER, task)
            run.say(text("Packing ..."))
            with files.atomic_file(folder / job.file, scratch=scratch) as new:
                _pack(written, new, comparison)
                run.raise_if_stopped()
        return comparison


def _pack(folder: Path, path: Path, comment: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = comment.encode()
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
