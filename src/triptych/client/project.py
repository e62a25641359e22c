"""A project of a studio elsewhere: photos, classes, decisions, training, versions."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.client import records
from triptych.client.jobs import Job
from triptych.client.multipart import File
from triptych.client.multipart import Form
from triptych.client.records import Class
from triptych.client.records import Decided
from triptych.client.records import Decision
from triptych.client.records import ExportFile
from triptych.client.records import Finding
from triptych.client.records import JobState
from triptych.client.records import LabelIssue
from triptych.client.records import Photo
from triptych.client.records import PhotoResult
from triptych.client.records import ProjectFacts
from triptych.client.records import Refused
from triptych.client.records import Result
from triptych.client.records import Uploaded
from triptych.client.records import Version
from triptych.client.sorting import Heap
from triptych.client.tasks import Export
from triptych.client.tasks import Int8
from triptych.client.transport import TOO_LARGE
from triptych.client.transport import Transport
from triptych.client.transport import in_parts
from triptych.typing import Progress

# Photos of one request: few enough to see progress, and to send again.
PHOTOS_AT_ONCE = 16
BYTES_AT_ONCE = 16 << 20
PAGE = 1000

# A path, or a name with the bytes of a file.
Source = str | os.PathLike[str] | tuple[str, bytes]


class Project:
    """A project of a studio; it holds no photos itself.

    Args:
        transport: Of the studio.
        key: Of the project.
    """

    def __init__(self, transport: Transport, key: str) -> None:
        self._transport = transport
        self._path = f"/api/v1/projects/{key}"
        self.key = key

    def __repr__(self) -> str:
        return f"Project({self.key!r})"

    @property
    def facts(self) -> ProjectFacts:
        """Its title, classes and counts, as they are now.

        Raises:
            errors.UnknownName: It was removed.
        """
        return records.read(ProjectFacts, self._transport.get(self._path))

    def rename(self, title: str) -> None:
        """Change its title; its key stays the same."""
        self._transport.change("PATCH", self._path, {"title": title})

    # ------------------------------------------------------------------ classes

    def add_class(self, name: str) -> Class:
        """Add a class.

        Raises:
            errors.SettingError: The name is invalid or taken.
        """
        body = {"name": name}
        return records.read(Class, self._transport.change("POST", f"{self._path}/classes", body))

    def rename_class(self, class_id: int, name: str) -> Class:
        """Rename a class; its number stays the same."""
        path = f"{self._path}/classes/{class_id}"
        return records.read(Class, self._transport.change("PATCH", path, {"name": name}))

    def remove_class(self, class_id: int) -> None:
        """Remove a class; its photos stay, without it."""
        self._transport.change("DELETE", f"{self._path}/classes/{class_id}")

    # ------------------------------------------------------------------ photos

    def add_photos(
        self,
        source: Source | Iterable[Source],
        class_name: str | None = None,
        *,
        progress: Progress = lambda done, total: None,
    ) -> Uploaded:
        """Bring photos, some at a time; it may be repeated, as the same photo stays the same.

        Args:
            source: A folder, a file, a name with bytes, or several of the two latter.
            class_name: The class of all of them, which is added if it is missing. By default the
                folders in a folder name the classes, and other photos have none.
            progress: Called now and then with how many were sent, and how many there are.

        Returns:
            The photos that the project has now, and files that it refused.

        Raises:
            errors.SourceError: A file cannot be read.
        """
        files = list(_files(source, class_name))
        known = {each.name.casefold() for each in self.facts.classes}
        photos: list[Photo] = []
        refused: list[Refused] = []
        done = 0
        progress(done, len(files))
        for name, batch in _batches(files):
            if name is not None and name.casefold() not in known:
                with contextlib.suppress(errors.SettingError):  # another person just added it
                    self.add_class(name)
                known.add(name.casefold())
            for uploaded in in_parts(batch, functools.partial(self._upload, class_name=name)):
                photos += uploaded.photos
                refused += uploaded.refused
            done += len(batch)
            progress(done, len(files))
        return Uploaded(tuple(photos), tuple(refused))

    def _upload(self, batch: Sequence[File], class_name: str | None) -> Uploaded:
        """Send some photos of a class."""
        fields = [("class_name", class_name)] if class_name is not None else []
        form = Form(fields, [("photo", file) for file in batch])
        try:
            answer = self._transport.upload(f"{self._path}/photos", form)
        except (errors.ImageError, errors.RemoteError) as error:
            if len(batch) > 1 or error.status not in (400, TOO_LARGE, 415):
                raise
            return Uploaded((), (Refused(batch[0].name, error.code, error.message),))
        return Uploaded(
            records.read_all(Photo, answer["photos"]), records.read_all(Refused, answer["refused"])
        )

    def photos(
        self, *, class_id: int | None = None, excluded: bool | None = False
    ) -> Iterator[Photo]:
        """Its photos, in the order they were added, asked for page by page.

        Args:
            class_id: Only those of a class; 0: those without a class.
            excluded: Whether those that are excluded, or the others; ``None`` for both.
        """
        kinds = {False: "false", True: "true", None: "any"}
        query: dict[str, Any] = {"excluded": kinds[excluded]}
        if class_id is not None:
            query["class_id"] = class_id
        for page in self._pages("/photos", query):
            yield from records.read_all(Photo, page["photos"])

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        """The pages of a list."""
        offset: int | None = 0
        while offset is not None:
            where = {**query, "offset": offset, "limit": PAGE}
            page = self._transport.get(f"{self._path}{path}", where)
            yield page
            offset = page["next"]

    def read(self, photo: Photo) -> bytes:
        """The file of a photo, byte for byte."""
        return self._transport.read(f"{self._path}/photos/{photo.digest}/file")

    def preview(self, photo: Photo) -> bytes:
        """A small copy of a photo, as a JPEG file."""
        return self._transport.read(f"{self._path}/photos/{photo.digest}/preview")

    def erase(self, photos: Iterable[Photo]) -> int:
        """Remove photos for good; returns how many."""
        body = {"digests": [photo.digest for photo in photos]}
        answer = self._transport.change("POST", f"{self._path}/erase", body)
        return int(answer["removed"])

    def findings(self) -> tuple[Finding, ...]:
        """What is known of its photos: copies, blank or blurred ones, small classes."""
        return records.read_all(Finding, self._transport.get(f"{self._path}/findings")["findings"])

    # ------------------------------------------------------------------ decisions

    def move(
        self, photos: Iterable[Photo], class_ids: int | Sequence[int] | None, **how: Any
    ) -> Decided:
        """Give photos a class, or none.

        Args:
            photos: As they were when they were looked at.
            class_ids: The number of the class; ``None`` for none; several in a multi-label project.
            **how: ``check=False`` records the decision on top of what others have decided
                meanwhile.

        Raises:
            errors.Conflict: Others have changed a photo meanwhile; nothing is changed. It has those
                photos as they are now.
        """
        several = not isinstance(class_ids, int | None)
        fields = {"class_ids" if several else "class_id": class_ids}
        return self._decide("move", photos, fields, **how)

    def add_label(self, photos: Iterable[Photo], class_id: int, **how: Any) -> Decided:
        """Add a class to photos of a multi-label project; their others stay.

        Args:
            photos: The photos.
            class_id: The number of the class.
            **how: ``check=True`` refuses it if others have changed a photo meanwhile, which `move`
                does by default.
        """
        return self._decide("add", photos, {"class_id": class_id}, **{"check": False, **how})

    def remove_label(self, photos: Iterable[Photo], class_id: int, **how: Any) -> Decided:
        """Remove a class from photos of a multi-label project; see `add_label`."""
        return self._decide("remove", photos, {"class_id": class_id}, **{"check": False, **how})

    def exclude(self, photos: Iterable[Photo], **how: Any) -> Decided:
        """Exclude photos from training; see `move`."""
        return self._decide("exclude", photos, {}, **how)

    def include(self, photos: Iterable[Photo], **how: Any) -> Decided:
        """Include photos again; see `move`."""
        return self._decide("include", photos, {}, **how)

    def confirm(self, photos: Iterable[Photo], **how: Any) -> Decided:
        """Record that the classes of photos are right; see `move`."""
        return self._decide("confirm", photos, {}, **how)

    def _decide(
        self,
        action: str,
        photos: Iterable[Photo],
        fields: Mapping[str, Any],
        *,
        check: bool = True,
    ) -> Decided:
        photos = list(photos)
        body = {"action": action, "digests": [photo.digest for photo in photos], **fields}
        if check:
            body["expected"] = {
                photo.digest: {"class_ids": photo.class_ids, "excluded": photo.excluded}
                for photo in photos
            }
        answer = self._transport.change("POST", f"{self._path}/decisions", body)
        return records.read(Decided, answer)

    def undo(self, batch: int | None = None) -> Decided:
        """Undo a batch of decisions; by default the latest.

        Raises:
            errors.Conflict: It is not in effect, or its photos were decided about since.
        """
        body = {} if batch is None else {"batch": batch}
        answer = self._transport.change("POST", f"{self._path}/decisions/undo", body)
        return records.read(Decided, answer)

    def history(self) -> Iterator[Decision]:
        """Who decided what, the latest first, asked for page by page."""
        for offset in itertools.count(0, PAGE):
            query = {"limit": PAGE, "offset": offset}
            rows = self._transport.get(f"{self._path}/decisions", query)["decisions"]
            yield from records.read_all(Decision, rows)
            if len(rows) < PAGE:
                return

    def heap(self, source: str = "project", *, closed: bool = False) -> Heap:
        """The photos that wait for a class, to be sorted with the committee.

        Args:
            source: ``"project"`` for its photos without a class; ``"inbox"`` for those of the
                inbox, which are sorted into this project.
            closed: Whether there is a class for every photo, as you say: then all is offered that
                the committee is sure of, else what it may be sure of although some photos may be of
                kinds without a class.
        """
        return Heap(self._transport, self._path, source, closed)

    # ------------------------------------------------------------------ training

    def teach(
        self,
        *,
        backbones: Sequence[str] | None = None,
        head: str | None = None,
        augment: Sequence[str] | None = None,
        fine_tune: bool | None = None,
        budget_s: float | None = None,
        seed: int | None = None,
        label_precision: float | None = None,
    ) -> Job:
        """Start training a committee on its photos; what is not given is as on the studio's page.

        Args:
            backbones: Names of networks, one member each.
            head: ``"linear"`` or ``"mlp"``.
            augment: Augmented views: ``"flips"``, ``"crops"``.
            fine_tune: Whether to train the networks themselves, too.
            budget_s: Most seconds for training with fine-tuning.
            seed: Seed of the splits.
            label_precision: Of a multi-label project: the share of its answers of each class that
                is to be right, in (0, 1]; by default thresholds are near the highest F1.

        Raises:
            errors.Busy: It is being trained already.
            errors.SourceError: It has too few classes or photos.
            errors.WeightsMissing: A network's weights have to be fetched first.
        """
        options = {
            "backbones": backbones and list(backbones),
            "head": head,
            "augment": None if augment is None else list(augment),
            "fine_tune": fine_tune,
            "budget_s": budget_s,
            "seed": seed,
            "label_precision": label_precision,
        }
        body = {name: value for name, value in options.items() if value is not None}
        return self._job(self._transport.change("POST", f"{self._path}/jobs", body))

    def jobs(self) -> list[Job]:
        """Its trainings, the latest first."""
        return [self._job(row) for row in self._transport.get(f"{self._path}/jobs")["jobs"]]

    def job(self, number: int) -> Job:
        """A training by its number.

        Raises:
            errors.UnknownName: There is none.
        """
        return self._job(self._transport.get(f"{self._path}/jobs/{number}"))

    def _job(self, fields: Any) -> Job:
        return Job(self._transport, records.read(JobState, fields))

    # ------------------------------------------------------------------ versions

    def versions(self) -> tuple[Version, ...]:
        """The versions of its committee, the newest first."""
        return _versions(self._transport.get(f"{self._path}/versions"))

    def result(self, version: int) -> Result:
        """How good a version is: its figures, and how many labels may be wrong.

        Raises:
            errors.UnknownName: There is no such version.
        """
        return records.read(Result, self._transport.get(f"{self._path}/versions/{version}/result"))

    def results(
        self,
        version: int,
        *,
        label: str | None = None,
        answer: str | None = None,
        wrong_only: bool = False,
        held_out_only: bool = True,
    ) -> Iterator[PhotoResult]:
        """A version's answers photo by photo, the surest first, asked for page by page.

        Each is of networks that were not trained on the photo.

        Args:
            version: Its number.
            label: Only photos of a class, by its name then.
            answer: Only those answered with a class.
            wrong_only: Only wrong answers.
            held_out_only: Only photos that the figures were measured on.

        Raises:
            errors.UnknownName: There is no such version or class.
        """
        query = {"photos": "held_out" if held_out_only else "all"}
        query |= {"wrong": "true"} if wrong_only else {}
        query |= {"label": label} if label is not None else {}
        query |= {"answer": answer} if answer is not None else {}
        for page in self._pages(f"/versions/{version}/photos", query):
            yield from records.read_all(PhotoResult, page["photos"])

    def label_issues(self, version: int) -> Iterator[LabelIssue]:
        """Photos whose label of today may be wrong, the likeliest first, asked for page by page.

        Raises:
            errors.UnknownName: There is no such version.
        """
        for page in self._pages(f"/versions/{version}/label-issues", {}):
            yield from records.read_all(LabelIssue, page["issues"])

    def publish(self, version: int | None) -> tuple[Version, ...]:
        """Publish a version: from now on it answers under the project's key.

        Args:
            version: Its number; ``None`` takes the committee offline.

        Raises:
            errors.UnknownName: There is no such version.
            errors.BundleError: It cannot be loaded; what was published stays published.
        """
        body = {"version": version}
        return _versions(self._transport.change("POST", f"{self._path}/publish", body))

    def remove_version(self, version: int) -> None:
        """Remove a version that is not published.

        Raises:
            errors.UnknownName: There is no such version.
            errors.SettingError: It is published.
        """
        self._transport.change("DELETE", f"{self._path}/versions/{version}")

    def download(
        self,
        version: int,
        target: str | Path,
        *,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """Save a version as one file, for ``triptych bundles import``: whole or not at all.

        Args:
            version: Its number.
            target: The file, which is replaced if it is there.
            progress: Called with the bytes that came, and those that are to come; 0 if unknown.

        Raises:
            errors.UnknownName: There is no such version.
            errors.RemoteError: The connection was lost.
            errors.SourceError: The file cannot be written.
        """
        path = f"{self._path}/versions/{version}/bundle.zip"
        self._transport.download(path, Path(target), progress)

    # ------------------------------------------------------------------ exports, int8

    def export(self, version: int, format: str, *, precision: str = "f32") -> Export:
        """Start to export a version, as one file with its classes, card and program.

        Args:
            version: Its number.
            format: Such as ``"onnx"`` or ``"litert"``.
            precision: ``"f32"``, or ``"int8"`` for its int8 networks.

        Raises:
            errors.UnknownName: There is no such version or format.
            errors.SettingError: The studio lacks a package for it.
            errors.Busy: The studio makes another export.
        """
        body = {"version": version, "format": format, "precision": precision}
        started = self._transport.change("POST", f"{self._path}/exports", body)
        return Export(self._transport, self._path, started["job"])

    def exports(self) -> tuple[ExportFile, ...]:
        """What was exported, the newest first."""
        return records.read_all(ExportFile, self._transport.get(f"{self._path}/exports")["files"])

    def download_export(
        self, name: str, target: str | Path, *, progress: Progress = lambda done, total: None
    ) -> None:
        """Save an export, whole or not at all; see `download`.

        Args:
            name: Of the zip.
            target: The file, which is replaced if it is there.
            progress: See `download`.
        """
        path = f"{self._path}/exports/files/{name}"
        self._transport.download(path, Path(target), progress)

    def remove_export(self, name: str) -> None:
        """Remove an export.

        Raises:
            errors.UnknownName: There is none of that name.
        """
        self._transport.change("DELETE", f"{self._path}/exports/files/{name}")

    def make_int8(self, version: int, photos: str | Path | None = None) -> Int8:
        """Start to make int8 networks for a version, with the photos of the project.

        They are kept only if they answer nearly as before.

        Args:
            version: Its number.
            photos: A zip of more photos like those to be classified.

        Raises:
            errors.UnknownName: There is no such version.
            errors.SettingError: The studio lacks a package for it.
            errors.Busy: The studio makes others.
        """
        path = f"{self._path}/int8"
        if photos is None:
            started = self._transport.change("POST", path, {"version": version})
        else:
            zipped = File(Path(photos).name, Path(photos))
            form = Form([("version", str(version))], [("photos", zipped)])
            started = self._transport.upload(path, form, repeats=False)
        return Int8(self._transport, self._path, started["job"])

    def int8_versions(self) -> tuple[int, ...]:
        """Those versions that have int8 networks."""
        return tuple(self._transport.get(f"{self._path}/int8")["versions"])


def _versions(answer: Any) -> tuple[Version, ...]:
    rows = [{**row, "active": row["version"] == answer["active"]} for row in answer["versions"]]
    return records.read_all(Version, rows)


def _files(
    source: Source | Iterable[Source], class_name: str | None
) -> Iterator[tuple[str | None, File]]:
    """The photos of a source, each with the name of its class."""
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], bytes):
        yield class_name, File(str(source[0]), source[1])
    elif isinstance(source, str | os.PathLike):
        yield from _below(Path(source), class_name)
    else:
        for each in source:
            yield from _files(each, class_name)


def _below(path: Path, class_name: str | None) -> Iterator[tuple[str | None, File]]:
    from triptych.data import files

    if not path.is_dir():
        if not path.is_file():
            raise errors.SourceError(f"There is no file or folder {str(path)!r}.")
        yield class_name, File(path.name, path)
        return
    for photo in files.walk(path):
        folders = photo.relative_to(path).parts[:-1]
        yield class_name or (folders[0] if folders else None), File(photo.name, photo)


def _batches(
    files: Iterable[tuple[str | None, File]],
) -> Iterator[tuple[str | None, list[File]]]:
    """Files that are sent together: of one class, and not too many."""
    for name, group in itertools.groupby(files, lambda pair: pair[0]):
        batch: list[File] = []
        for _, file in group:
            size = sum(each.size_bytes for each in batch) + file.size_bytes
            if batch and (len(batch) >= PHOTOS_AT_ONCE or size > BYTES_AT_ONCE):
                yield name, batch
                batch = []
            batch.append(file)
        if batch:
            yield name, batch
