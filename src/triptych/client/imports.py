"""Classifiers from elsewhere that a studio imports: the upload, its question, and its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.client import records
from triptych.client.multipart import File
from triptych.client.multipart import Form
from triptych.client.records import ImportState
from triptych.client.tasks import PAUSE_S
from triptych.client.transport import Transport
from triptych.typing import Notify

PATH = "/api/v1/imports"
UPLOADS = ("model", "labels", "photos")


def start(transport: Transport, fields: Mapping[str, Any]) -> ModelImport:
    """Upload a model, and start to import it; see `Studio.import_model`."""
    answer = transport.upload(PATH, _form(fields), repeats=False)
    return ModelImport(transport, records.read(ImportState, answer).id)


def _form(fields: Mapping[str, Any]) -> Form:
    given = {name: value for name, value in fields.items() if value is not None}
    files = {name: Path(given.pop(name)) for name in UPLOADS if name in given}
    return Form(
        [(name, str(value)) for name, value in given.items()],
        [(name, File(path.name, path)) for name, path in files.items()],
    )


class ModelImport:
    """A model that a studio imports; that goes on when the program that started it ends.

    Args:
        transport: Of the studio.
        number: Its id.
    """

    def __init__(self, transport: Transport, number: str) -> None:
        self._transport = transport
        self._path = f"{PATH}/{number}"

    def state(self) -> ImportState:
        """How it stands.

        Raises:
            errors.UnknownName: It was more than an hour ago, or the studio was started anew.
        """
        return records.read(ImportState, self._transport.get(self._path))

    def wait(self, say: Notify = lambda line: None) -> ImportState:
        """Wait for its end.

        Args:
            say: Called with each line that is found out, for people.

        Returns:
            Its state, with the version that was made.

        Raises:
            errors.SettingError: It asks for something, mostly its recipe: `answer` it. The likely
                recipes are in the message, and in `state`.
            errors.Stopped: It was stopped.
            errors.RemoteError: It failed, and the message says why.
        """
        said = 0
        while True:
            state = self.state()
            for line in state.lines[said:]:
                say(line)
            said = len(state.lines)
            if state.state != "running":
                break
            time.sleep(PAUSE_S)
        if state.state == "asking":
            raise errors.SettingError(state.message)
        if state.state == "stopped":
            raise errors.Stopped("The import was stopped.")
        if state.state != "done":
            raise errors.RemoteError(state.message, code=state.state)
        return state

    def answer(
        self,
        *,
        recipe: str | None = None,
        outputs: str | None = None,
        labels: str | Path | None = None,
        photos: str | Path | None = None,
    ) -> None:
        """Answer its question, or try one that failed again, without a new upload.

        Args:
            recipe: See `Studio.import_model`, as the others.
            outputs: The same.
            labels: The same.
            photos: The same.

        Raises:
            errors.Busy: The studio imports another one.
            errors.RemoteError: It is imported already.
        """
        fields = {"recipe": recipe, "outputs": outputs, "labels": labels, "photos": photos}
        self._transport.upload(self._path, _form(fields), repeats=False)

    def stop(self) -> None:
        """Stop it if it is under way; nothing of it is kept but the upload, for an hour."""
        self._transport.change("POST", f"{self._path}/stop")
