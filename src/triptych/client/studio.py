"""A studio elsewhere, and its projects."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from triptych import errors
from triptych.client import imports
from triptych.client import records
from triptych.client.imports import ModelImport
from triptych.client.inbox import Inbox
from triptych.client.multipart import File
from triptych.client.multipart import Form
from triptych.client.project import PHOTOS_AT_ONCE
from triptych.client.project import Project
from triptych.client.project import Source
from triptych.client.records import ProjectFacts
from triptych.client.transport import TOO_LARGE
from triptych.client.transport import Transport
from triptych.client.transport import in_parts
from triptych.results import Failure
from triptych.results import Verdict


class Studio:
    """A studio that is served elsewhere; thread-safe.

    Args:
        url: Its address, such as ``"https://studio.example"``, with its path prefix if it has one.
        key: A key of it, if it has any. Sent with each request, so use https outside of this
            machine.
        timeout_s: Longest wait for a studio that sends nothing, in seconds.
        retries: How often a request is sent again when the studio is busy or cannot be reached.
        ca_file: Certificates that the studio's own is signed by, in PEM; by default those of the
            system. The certificate is always verified.

    Raises:
        errors.SettingError: The address is none; or urllib3 is missing, which comes with
            ``triptych[client]``.

    Example:
        >>> studio = Studio("http://127.0.0.1:5000")
        >>> studio.classify("photo.jpg")[0].label.name  # doctest: +SKIP
        'Egyptian cat'
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        timeout_s: float = 120.0,
        retries: int = 5,
        ca_file: str | Path | None = None,
    ) -> None:
        self._transport = Transport(
            url,
            key=key,
            timeout_s=timeout_s,
            retries=retries,
            ca_file=Path(ca_file) if ca_file else None,
        )
        self.projects = Projects(self._transport)
        self.inbox = Inbox(self._transport)

    def __enter__(self) -> Studio:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def import_model(
        self,
        model: str | Path,
        name: str | None = None,
        *,
        recipe: str | None = None,
        outputs: str | None = None,
        labels: str | Path | None = None,
        photos: str | Path | None = None,
    ) -> ModelImport:
        """Upload a classifier from elsewhere, and start to import it as a committee.

        Args:
            model: A file of Keras, ONNX or TensorFlow Lite, or a zip of one, of a SavedModel or of
                OpenVINO.
            name: The name of the committee; by default from the name of the file.
            recipe: How photos are prepared outside of the model, such as
                ``"torch:224:crop:bilinear"``; by default it is found out, or asked for.
            outputs: ``"logits"`` or ``"probabilities"``; by default it is found out.
            labels: A file with its classes, one a line or as JSON; by default those in its file or
                zip.
            photos: A zip with a folder of photos for each class, which decide the recipe.

        Raises:
            errors.Busy: The studio imports another one.
            errors.SettingError: The name cannot be used.
            errors.SourceError: A file cannot be read.
        """
        fields = {"model": model, "name": name, "recipe": recipe, "outputs": outputs}
        return imports.start(self._transport, {**fields, "labels": labels, "photos": photos})

    def classify(
        self,
        photos: Source | Iterable[Source],
        *,
        committee: str | None = None,
        members: Sequence[str] | None = None,
        rule: str | None = None,
        top: int | None = None,
        fit: str | None = None,
        coverage: float | None = None,
        similar: int | None = None,
    ) -> list[Verdict | Failure]:
        """Classify photos.

        Args:
            photos: A file, a name with bytes, or several of them.
            committee: Its name, such as a project's key; with a version as ``"garden@2"``. By
                default the studio's.
            members: Names of the members to use.
            rule: How their answers are combined.
            top: How many guesses to give.
            fit: ``"crop"`` or ``"square"``.
            coverage: How often the prediction set is to contain the true class, in (0, 1).
            similar: How many similar training photos to give.

        Returns:
            An answer for each photo, in order; a `Failure` for what is no photo.

        Raises:
            errors.UnknownName: There is no such committee or member.
            errors.SourceError: A file cannot be read.
        """
        options = {
            "committee": committee,
            "members": ",".join(members) if members else None,
            "rule": rule,
            "top": top,
            "fit": fit,
            "coverage": coverage,
            "similar": similar,
        }
        query = {name: value for name, value in options.items() if value is not None}
        # One photo may be a tuple, which is iterable, too: no type tells it from several.
        if isinstance(photos, str | os.PathLike) or _is_named_bytes(photos):
            photos = [photos]  # type: ignore[list-item]
        files = [_file(photo) for photo in photos]  # type: ignore[arg-type]
        answers: list[Verdict | Failure] = []
        for start in range(0, len(files), PHOTOS_AT_ONCE):
            batch = files[start : start + PHOTOS_AT_ONCE]
            for part in in_parts(batch, lambda files: self._classify(files, query)):
                answers += part
        return answers

    def _classify(self, files: Sequence[File], query: dict[str, Any]) -> list[Verdict | Failure]:
        form = Form([], [("image", file) for file in files])
        try:
            # The only photo of a request may fail, with the status of its error.
            body = self._transport.upload("/api/v1/classify", form, query=query, wanted="results")
        except errors.RemoteError as error:
            if len(files) > 1 or error.status != TOO_LARGE:
                raise
            return [Failure(files[0].name, error.code, error.message)]
        return [
            Verdict.from_dict(row) if "verdict" in row else Failure.from_dict(row)
            for row in body["results"]
        ]


def _is_named_bytes(photo: Any) -> bool:
    return isinstance(photo, tuple) and len(photo) == 2 and isinstance(photo[1], bytes)


def _file(photo: Source) -> File:
    if isinstance(photo, tuple):
        return File(*photo)
    path = Path(photo)
    return File(path.name, path)


class Projects:
    """The projects of a studio.

    Args:
        transport: Of the studio.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> tuple[ProjectFacts, ...]:
        """All projects, the newest first."""
        rows = self._transport.get("/api/v1/projects")["projects"]
        return records.read_all(ProjectFacts, rows)

    def find(self, key: str) -> Project:
        """A project by its key.

        Raises:
            errors.UnknownName: There is none.
        """
        project = Project(self._transport, key)
        _ = project.facts
        return project

    def make(self, title: str, *, classes: Iterable[str] = (), multilabel: bool = False) -> Project:
        """Create a project.

        Args:
            title: Its title; its key is made from that.
            classes: Names of classes to add.
            multilabel: Whether a photo can have any number of classes.

        Raises:
            errors.SettingError: The title or a name is impossible.
        """
        body = {"title": title, "multilabel": multilabel}
        made = self._transport.change("POST", "/api/v1/projects", body)
        project = Project(self._transport, records.read(ProjectFacts, made).key)
        for name in classes:
            project.add_class(name)
        return project

    def import_zip(self, path: str | Path, title: str | None = None) -> Project:
        """Create a project from a zip with a folder of photos for each class.

        Args:
            path: The zip.
            title: Its title; by default the name of the zip.

        Raises:
            errors.SourceError: It cannot be read, or has no photos in folders.
        """
        fields = [("title", title)] if title else []
        form = Form(fields, [("zip", File(Path(path).name, Path(path)))])
        made = self._transport.upload("/api/v1/projects", form, repeats=False)
        return Project(self._transport, records.read(ProjectFacts, made).key)

    def remove(self, key: str) -> None:
        """Remove a project with its photos for good; committees trained from it stay.

        Raises:
            errors.UnknownName: There is none.
        """
        self._transport.change("DELETE", f"/api/v1/projects/{key}")
