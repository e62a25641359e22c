"""Imports of classifiers that are uploaded to the studio: one process each, followed by its lines.

An upload is kept while the question of its recipe is open, so that it is sent once only. What is
open or under way is forgotten when the studio ends; bundles are written whole or not at all.

Run as a module, this is the process that imports one.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from triptych import bundles
from triptych import errors
from triptych import imports
from triptych.imports.recipe import RecipeUnknown
from triptych.imports.recipe import describe
from triptych.utils import worker
from triptych.utils.text import text
from triptych.utils.worker import Worker

UNDER_WAY = 1  # at a time, as each takes the memory of its model several times
MOST_KEPT = 8
KEPT_S = 3600.0

RUNNING, ASKING, DONE, FAILED, STOPPED = "running", "asking", "done", "failed", "stopped"


@dataclass(frozen=True)
class ImportOptions:
    """What a person says about an upload.

    Args:
        model: Name of the uploaded file.
        name: Name of the bundle.
        labels: Name of the file with the classes; ``None`` where they are in the model's.
        recipe: As `triptych.imports.ExternalModel` takes it.
        photos: Name of a zip with labelled photos; ``None`` for none.
        logits: As `triptych.imports.ExternalModel` takes it.
    """

    model: str
    name: str
    labels: str | None = None
    recipe: str | None = None
    photos: str | None = None
    logits: bool | None = None


@dataclass
class ModelImport:
    """One upload, and how far its import is.

    Args:
        id: Its number, which nobody guesses.
        folder: Where its files are.
        options: What is known about it.
        state: One of ``running``, ``asking``, ``done``, ``failed`` and ``stopped``.
        lines: What was found out, for people.
        message: The question or the error.
        likely: Recipes to choose from, the likeliest first: the word and what it does.
        version: Of the bundle, when it is done.
        changed_s: When something was last done with it.
    """

    id: str
    folder: Path
    options: ImportOptions
    state: str = RUNNING
    lines: list[str] = field(default_factory=list)
    message: str = ""
    likely: list[tuple[str, str]] = field(default_factory=list)
    version: int = 0
    changed_s: float = field(default_factory=time.monotonic)


class ModelImports:
    """The uploads of a studio; safe to call from several threads.

    Args:
        home: Home folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._scratch = tempfile.TemporaryDirectory(prefix="triptych-import-")
        self._lock = threading.Lock()
        self._imports: dict[str, ModelImport] = {}
        self._workers: dict[str, Worker] = {}

    def new_folder(self) -> Path:
        """A new folder for the files of an upload, which belongs to whoever requests it."""
        folder = Path(self._scratch.name) / uuid.uuid4().hex
        folder.mkdir()
        return folder

    def start(self, folder: Path, options: ImportOptions) -> ModelImport:
        """Start to import an upload, or to try it again with other options.

        Args:
            folder: From `new_folder`, with the files in it.
            options: What is known about it.

        Raises:
            errors.Busy: Another one is under way.
            errors.SettingError: The name cannot be used.
        """
        bundles.check_name(options.name)
        with self._lock:
            if len(self._workers) >= UNDER_WAY:
                raise errors.Busy(
                    text("Another model is being imported. Try again when it is done.")
                )
            self._forget()
            job = ModelImport(folder.name, folder, options)
            self._imports[job.id] = job
            self._workers[job.id] = Worker(__name__)
        threading.Thread(target=self._follow, args=(job,), daemon=True).start()
        return job

    def _forget(self) -> None:
        """Remove the files of uploads that nobody came back to."""
        idle = sorted(
            (job for job in self._imports.values() if job.id not in self._workers),
            key=lambda job: job.changed_s,
        )
        for n, job in enumerate(idle):
            if n < len(idle) - MOST_KEPT or time.monotonic() - job.changed_s > KEPT_S:
                shutil.rmtree(job.folder, ignore_errors=True)
                del self._imports[job.id]

    def _follow(self, job: ModelImport) -> None:
        child = self._workers[job.id]
        options = job.options
        child.send(
            {
                "model": str(job.folder / options.model),
                "labels": str(job.folder / options.labels) if options.labels else None,
                "photos": str(job.folder / options.photos) if options.photos else None,
                "recipe": options.recipe,
                "logits": options.logits,
                "name": options.name,
                "home": str(self._home),
            }
        )
        state, ended = FAILED, None
        for message in child.messages():
            if "line" in message:
                job.lines.append(message["line"])
                continue
            ended = message
            break
        if job.state == STOPPED:
            state = STOPPED
        elif ended is None:
            job.message = text(
                "The process that imported it ended: {reason}.", reason=child.reason[:300]
            )
        elif "version" in ended:
            state, job.version = DONE, ended["version"]
            shutil.rmtree(job.folder, ignore_errors=True)
        else:
            job.message = ended["message"]
            job.likely = [(word, describe(word)) for word in ended["likely"]]
            state = ASKING if job.likely else FAILED
        with self._lock:
            child.close()
            del self._workers[job.id]
            job.changed_s = time.monotonic()
            job.state = state

    def find(self, number: str) -> ModelImport:
        """An upload by its id.

        Raises:
            errors.UnknownName: There is none, or it is forgotten.
        """
        with self._lock:
            job = self._imports.get(number)
        if job is None:
            raise errors.UnknownName(
                text(
                    "This import is not known any more: it was long ago, or the studio was "
                    "started anew since. Upload the file again."
                )
            )
        return job

    def stop(self, number: str) -> None:
        """Stop an import that is under way; nothing of it is kept.

        Raises:
            errors.UnknownName: There is none.
        """
        job = self.find(number)
        with self._lock:
            if job.id in self._workers:
                job.state = STOPPED
                self._workers[job.id].kill()

    def close(self) -> None:
        """Stop all imports, and remove the uploads."""
        with self._lock:
            for child in self._workers.values():
                child.kill()
        with contextlib.suppress(OSError):
            self._scratch.cleanup()


def suggested_name(file: str) -> str:
    """A name for a bundle, from that of a file.

    Example:
        >>> suggested_name("My Model (2).keras")
        'my-model-2'
    """
    stem = re.sub(r"\.[A-Za-z0-9]+$", "", file)
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40] or "imported"


def _import(request: dict[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
    def path(key: str) -> Path | None:
        return Path(request[key]) if request[key] else None

    model = imports.ExternalModel(
        Path(request["model"]), path("labels"), request["recipe"], request["logits"], path("photos")
    )
    try:
        bundle = imports.import_model(
            model, name=request["name"], home=Path(request["home"]), report=report
        )
    except RecipeUnknown as error:
        return {"message": error.message, "likely": list(error.likely)}
    except errors.TriptychError as error:
        return {"message": error.message, "likely": []}
    return {"version": bundle.version}


def _main() -> None:
    parent = worker.connect()
    request = next(parent.messages())
    parent.send(_import(request, lambda line: parent.send({"line": line})))


if __name__ == "__main__":
    _main()
    sys.exit()
