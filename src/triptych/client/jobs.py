"""A training of a project: its events, and its end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from triptych import errors
from triptych.client import records
from triptych.client.records import JobState
from triptych.client.transport import Transport

# A studio that restarts is back by then.
PATIENCE_S = 120.0
PAUSE_S = 2.0
LONGEST_READ = 1 << 16
LONGEST_EVENT = 8 << 20


class Job:
    """A training that was started.

    Args:
        transport: Of the studio.
        state: As it was when it was asked for.
    """

    def __init__(self, transport: Transport, state: JobState) -> None:
        self._transport = transport
        self._path = f"/api/v1/projects/{state.key}/jobs/{state.id}"
        self.id = state.id
        self.key = state.key

    def state(self) -> JobState:
        """The job as it is now.

        Raises:
            errors.UnknownName: Its project was removed.
        """
        return records.read(JobState, self._transport.get(self._path))

    def events(self) -> Iterator[JobState]:
        """The job each time it changes, at most twice a second; the last one is its end.

        A connection that is lost is made again, also while the studio restarts.

        Raises:
            errors.UnknownName: Its project was removed.
            errors.RemoteError: The studio is away for longer than two minutes.
        """
        last_id, last_s = "", time.monotonic()
        while True:
            try:
                for event in self._connected(last_id):
                    last_id, last_s = event.get("id", last_id), time.monotonic()
                    if "data" in event:
                        state = records.read(JobState, _parsed(event["data"]))
                        yield state
                        if not state.is_under_way:
                            return
            except (errors.RemoteError, errors.Overloaded) as error:
                if error.status < 500 or time.monotonic() - last_s > PATIENCE_S:
                    raise
            time.sleep(PAUSE_S)  # as the studio asks for

    def _connected(self, last_id: str) -> Iterator[dict[str, str]]:
        """The events of one connection."""
        from urllib3 import exceptions

        headers = {"Accept": "text/event-stream, application/json"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        with self._transport.stream(f"{self._path}/events", headers) as response:
            text = b""
            try:
                while piece := response.read1(LONGEST_READ):  # as soon as it comes
                    text += piece
                    while b"\n\n" in text:
                        block, _, text = text.partition(b"\n\n")
                        yield _fields(block.decode())
                    if len(text) > LONGEST_EVENT:
                        raise errors.RemoteError("The studio sent an event without an end.")
            except exceptions.HTTPError as error:
                raise self._transport.lost(error) from error

    def wait(self) -> JobState:
        """Wait for its end; gives its last state, with the version that it made.

        Raises:
            errors.Stopped: It was stopped.
            errors.RemoteError: It failed or was interrupted; the message says why.
        """
        *_, state = self.events()
        if state.state == "stopped":
            raise errors.Stopped(state.error or state.message)
        if state.state != "done":
            raise errors.RemoteError(state.error or state.message, code=state.state)
        return state

    def stop(self) -> JobState:
        """Stop it; what was computed so far is kept. Does not wait for its end."""
        return records.read(JobState, self._transport.change("POST", f"{self._path}/stop"))

    def resume(self) -> JobState:
        """Go on with it after it ended early.

        Raises:
            errors.Busy: It is under way, or done.
        """
        return records.read(JobState, self._transport.change("POST", f"{self._path}/resume"))


def _fields(block: str) -> dict[str, str]:
    """The fields of an event; lines without a name are comments.

    Example:
        >>> _fields("id: 7\\n: comment\\nevent: end\\ndata: {}")
        {'id': '7', 'event': 'end', 'data': '{}'}
    """
    lines = [line.partition(":") for line in block.splitlines()]
    return {name: value.removeprefix(" ") for name, _, value in lines if name}


def _parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise errors.RemoteError(f"The studio sent an event that is no JSON: {error}.") from error
