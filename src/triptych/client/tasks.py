"""Work that a studio does: exports, int8 networks, and comparisons of photos."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.client import records
from triptych.client.records import TaskState
from triptych.client.transport import Transport
from triptych.typing import Notify
from triptych.typing import Progress

# Between two looks at work that takes seconds to minutes.
PAUSE_S = 1.0


class _Task:
    """Work that was started; it goes on in the studio when the program that started it ends.

    Args:
        transport: Of the studio.
        project: Address of the project.
        started: The task as the studio answered when it was started.
    """

    kind: str

    def __init__(self, transport: Transport, project: str, started: Any) -> None:
        self._transport = transport
        self._project = project
        self._path = f"{project}/{self.kind}"
        self._began_s = records.read(TaskState, started).began_s

    def state(self) -> TaskState:
        """How it stands.

        Raises:
            errors.RemoteError: The studio knows it no more: it was started again, or made the next
                one since.
        """
        latest = self._transport.get(self._path)["job"]
        state = records.read(TaskState, latest) if latest else None
        if state is None or state.began_s != self._began_s:
            raise errors.RemoteError(
                "The studio does not know of this work any more: it was started again meanwhile, "
                "or did the same for another version. Look what is there, or start it once more."
            )
        return state

    def wait(self, say: Notify = lambda line: None) -> TaskState:
        """Wait for its end.

        Args:
            say: Called with what it does, for people, each time that changes.

        Raises:
            errors.Stopped: It was stopped.
            errors.RemoteError: It failed, and the message says why; or as `state`.
        """
        said = ""
        while (state := self.state()).under_way:
            if state.said and state.said != said:
                said = state.said
                say(said)
            time.sleep(PAUSE_S)
        if state.state == "stopped":
            raise errors.Stopped(state.said)
        if state.state != "done":
            raise errors.RemoteError(state.said, code=state.state)
        return state

    def stop(self) -> None:
        """Stop it if it is under way; nothing of it is kept, except what networks have computed."""
        if self.state().under_way:
            self._transport.change("POST", f"{self._path}/stop")


class Export(_Task):
    """An export that was started; see `Project.export`."""

    kind = "exports"

    def save(
        self,
        target: str | Path,
        *,
        say: Notify = lambda line: None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """Wait for its end, then download it: whole or not at all.

        Args:
            target: The zip, which is replaced if it is there.
            say: See `wait`.
            progress: Called with the bytes that came, and those that are to come.

        Raises:
            errors.Stopped: It was stopped.
            errors.RemoteError: It failed, or the connection was lost.
            errors.SourceError: The file cannot be written.
        """
        file = self.wait(say).file
        self._transport.download(f"{self._path}/files/{file}", Path(target), progress)


class Int8(_Task):
    """Int8 networks that are made; see `Project.make_int8`."""

    kind = "int8"


class Comparison(_Task):
    """Photos that are compared to be sorted; see `Heap.compare`."""

    kind = "sort/job"
