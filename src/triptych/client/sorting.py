"""Sorting a heap in a studio elsewhere: photos that wait for a class, many accepted at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triptych.client import records
from triptych.client.records import Accepted
from triptych.client.records import HeapFacts
from triptych.client.records import HeapPhoto
from triptych.client.records import Offer
from triptych.client.tasks import Comparison
from triptych.client.transport import Transport

PAGE = 1000


class Heap:
    """Photos that wait for a class of a project; see `Project.heap`.

    Args:
        transport: Of the studio.
        project: Address of the project.
        source: ``"project"`` or ``"inbox"``.
        closed: Whether there is a class for every photo.
    """

    def __init__(self, transport: Transport, project: str, source: str, closed: bool) -> None:
        self._transport = transport
        self._project = project
        self._source = {"source": source}
        self._query = {"source": source, "closed": "true" if closed else "false"}

    @property
    def facts(self) -> HeapFacts:
        """How many photos wait, and what is offered, as it is now.

        Raises:
            errors.UnknownName: The project was removed.
            errors.RemoteError: Its photos can have any number of classes.
        """
        return records.read(HeapFacts, self._transport.get(f"{self._project}/sort", self._query))

    def compare(self) -> Comparison:
        """Start to compare the photos and to ask the newest version about them.

        Offers come from the latest comparison; `facts.needs_comparison` says when to make it anew.

        Raises:
            errors.Busy: The studio compares others.
        """
        path = f"{self._project}/sort/job"
        started = self._transport.change("POST", path, self._source)
        return Comparison(self._transport, self._project, started["job"])

    def photos(self, offer: Offer | None = None) -> Iterator[HeapPhoto]:
        """Photos that wait, asked for page by page.

        Args:
            offer: Those of an offer, the strangest first; by default those to be named by hand, the
                ones first whose label is worth most.
        """
        query: dict[str, Any] = {**self._query, "limit": PAGE}
        if offer is not None:
            query["class_id"] = offer.class_id
        offset: int | None = 0
        while offset is not None:
            where = {**query, "offset": offset}
            page = self._transport.get(f"{self._project}/sort/photos", where)
            yield from records.read_all(HeapPhoto, page["photos"])
            offset = page["next"]

    def accept(self, offer: Offer) -> Accepted:
        """Give the photos of an offer its class, as one batch.

        Photos that somebody else decided about meanwhile stay as they are.

        Raises:
            errors.UnknownName: The class was removed.
        """
        body = {"class_id": offer.class_id, "digests": offer.digests, **self._source}
        answer = self._transport.change("POST", f"{self._project}/sort/accept", body)
        return records.read(Accepted, answer)

    def undo(self, accepted: Accepted) -> None:
        """Undo what was accepted, whole: its photos wait again.

        Raises:
            errors.Conflict: It was undone, or others have decided about one of its photos since.
        """
        if accepted.batch:
            body = {"batch": accepted.batch, "inbox_ids": accepted.inbox_ids}
            self._transport.change("POST", f"{self._project}/sort/undo", body)
