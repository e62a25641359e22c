"""Exports that people start in the studio: one at a time, each in a process of its own.

    home/studio/exports/garden/garden-3-litert.zip    the file, its classes, card and program

The comment of the zip says how far its answers are from those of the committee.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from triptych import bundles
from triptych import errors
from triptych.engines.options import INT8
from triptych.exports import formats
from triptych.utils import files
from triptych.utils.worker import Worker

FOLDER = "exports"
WORKER = "triptych.studio.export_worker"
RUNNING, DONE, STOPPED, FAILED = "running", "done", "stopped", "failed"


@dataclass(frozen=True)
class ExportJob:
    """An export that was started.

    Args:
        bundle: Name of the bundle.
        version: Its version.
        format: Name of the format.
        precision: ``"f32"`` or ``"int8"``.
        state: ``"running"``, ``"done"``, ``"stopped"`` or ``"failed"``.
        said: What it does, what it made, or why it failed.
        began_s: When it was started, in seconds since the epoch.
    """

    bundle: str
    version: int
    format: str
    precision: str
    state: str = RUNNING
    said: str = "Starting ..."
    began_s: float = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether it runs."""
        return self.state == RUNNING

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
        self._lock = threading.Lock()
        self._latest: dict[str, ExportJob] = {}  # by bundle
        self._running: ExportJob | None = None
        self._process: Worker | None = None
        self._thread: threading.Thread | None = None

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
            raise errors.SettingError(f"There is no precision {precision!r}; expected f32 or int8.")
        name = bundles.find(self._home, f"{bundle}@{version}").name
        job = ExportJob(name, version, form, precision, began_s=time.time())
        with self._lock:
            if self._running:
                raise errors.Busy(
                    f"An export of {self._running.bundle} is under way; one runs at a time. Wait "
                    "until it is done, or stop it."
                )
            self._running = self._latest[name] = job
            self._thread = threading.Thread(
                target=self._run, args=(job,), name="export", daemon=True
            )
            self._thread.start()
        return job

    def stop(self, bundle: str) -> None:
        """Stop the export of a bundle, if one is under way; nothing of it is kept."""
        with self._lock:
            if self._running and self._running.bundle == bundle:
                stopped = dataclasses.replace(self._running, state=STOPPED, said="Stopped.")
                self._latest[bundle] = stopped
                if self._process:
                    self._process.kill()

    def latest(self, bundle: str) -> ExportJob | None:
        """The latest export of a bundle since the studio was started, as it is now."""
        with self._lock:
            return self._latest.get(bundle)

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
            raise errors.UnknownName(f"There is no export {name[:80]!r} of {bundle}.")
        return self._folder / bundle / name

    def remove(self, bundle: str, name: str) -> None:
        """Remove a zip.

        Raises:
            errors.UnknownName: There is none of that name.
        """
        self.find(bundle, name).unlink(missing_ok=True)

    def close(self) -> None:
        """Stop what is under way, and wait for its end."""
        with self._lock:
            running, thread = self._running, self._thread
        if running and thread:
            self.stop(running.bundle)
            thread.join()

    # In the thread of an export

    def _run(self, job: ExportJob) -> None:
        try:
            comparison = self._export(job)
            self._end(job, DONE, comparison)
        except errors.TriptychError as error:
            self._end(job, FAILED, error.message)
        except Exception as error:  # whatever happens, the next export must run
            self._end(job, FAILED, f"The export could not be made: {error}")

    def _export(self, job: ExportJob) -> str:
        """Write the zip; returns the comparison, or an empty text where it was stopped."""
        folder = self._folder / job.bundle
        folder.mkdir(parents=True, exist_ok=True)
        with files.scratch_dir(folder) as scratch, Worker(WORKER) as process:
            written = scratch / "export"
            written.mkdir()
            with self._lock:
                self._process = process
            if self._is_stopped(job):
                return ""
            process.send(
                {
                    "home": str(self._home),
                    "name": f"{job.bundle}@{job.version}",
                    "format": job.format,
                    "precision": job.precision,
                    "path": str(written / f"{job.bundle}{formats.FORMATS[job.format].ending}"),
                }
            )
            comparison: str | None = None
            for message in process.messages():
                if "failed" in message:
                    raise errors.EngineError(message["failed"])
                comparison = message.get("done")
                if "said" in message:
                    self._say(job, message["said"])
            if comparison is None:
                raise errors.EngineError(
                    f"The process that was exporting ended without an answer: {process.reason}"
                )
            self._say(job, "Packing ...")
            if self._is_stopped(job):
                return ""
            with files.atomic_file(folder / job.file, scratch=scratch) as new:
                _pack(written, new, comparison)
        return comparison

    def _is_stopped(self, job: ExportJob) -> bool:
        with self._lock:
            return self._latest[job.bundle].state == STOPPED

    def _say(self, job: ExportJob, said: str) -> None:
        with self._lock:
            if self._latest[job.bundle].state == RUNNING:
                self._latest[job.bundle] = dataclasses.replace(job, said=said)

    def _end(self, job: ExportJob, state: str, said: str) -> None:
        with self._lock:
            if self._latest[job.bundle].state == RUNNING:
                # Paths are not for clients.
                said = said.replace(str(self._home), "HOME")
                self._latest[job.bundle] = dataclasses.replace(job, state=state, said=said)
            self._running = self._process = None


def _pack(folder: Path, path: Path, comment: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = comment.encode()
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
