"""The inbox of a studio elsewhere: photos that wait for a person's decision."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from triptych.client import records
from triptych.client.project import Project
from triptych.client.records import InboxPhoto
from triptych.client.records import Moved
from triptych.client.transport import Transport

PATH = "/api/v1/inbox"
PAGE = 500


class Inbox:
    """Photos that were asked about in production, of all projects.

    Args:
        transport: Of the studio.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def waiting(self) -> int:
        """How many photos wait."""
        return int(self._transport.get(PATH, {"limit": 1})["waiting"])

    def photos(self) -> Iterator[InboxPhoto]:
        """The photos that wait, the newest first, asked for page by page.

        None is left out if photos are added or decided about meanwhile.
        """
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            page = self._transport.get(PATH, query)
            yield from records.read_all(InboxPhoto, page["photos"])
            if page["next"] is None:
                return
            query["before"] = page["next"]

    def read(self, photo: InboxPhoto) -> bytes:
        """The file of a photo, byte for byte."""
        return self._transport.read(f"{PATH}/{photo.id}/file")

    def preview(self, photo: InboxPhoto) -> bytes:
        """A small copy of a photo, as a JPEG file."""
        return self._transport.read(f"{PATH}/{photo.id}/preview")

    def move(
        self,
        photos: Iterable[InboxPhoto],
        project: Project | str,
        class_ids: int | Sequence[int] | None = None,
    ) -> Moved:
        """Move photos to a project, as one decision; what others dealt with before is skipped.

        Args:
            photos: The photos.
            project: The project, or its key.
            class_ids: The number of their class; ``None`` for none; several in a multi-label
                project.

        Raises:
            errors.UnknownName: There is no such project or class.
            errors.SettingError: Several classes are for a project in which a photo has one.
        """
        key = project.key if isinstance(project, Project) else project
        name = "class_id" if isinstance(class_ids, int | None) else "class_ids"
        body = {"ids": [photo.id for photo in photos], "project": key, name: class_ids}
        answer = self._transport.change("POST", f"{PATH}/move", body)
        return records.read(Moved, {**answer, "project": key})

    def dismiss(self, photos: Iterable[InboxPhoto]) -> None:
        """Dismiss photos, all or none.

        Raises:
            errors.UnknownName: One of them does not wait any more.
        """
        body = {"ids": [photo.id for photo in photos]}
        self._transport.change("POST", f"{PATH}/dismiss", body)

    def put_back(self, what: Moved | Iterable[InboxPhoto]) -> None:
        """Put photos back that were moved or dismissed within the last hour, all or none.

        Args:
            what: What `move` gave; or the photos that were dismissed.

        Raises:
            errors.UnknownName: One of them is gone for good.
            errors.Conflict: Others have decided about one since.
        """
        if isinstance(what, Moved):
            body: dict[str, Any] = {"ids": what.ids}
            if what.batch:
                body |= {"project": what.project, "batch": what.batch}
        else:
            body = {"ids": [photo.id for photo in what]}
        self._transport.change("POST", f"{PATH}/return", body)
