"""Exports that Keras and TensorFlow write: Keras, SavedModel and LiteRT files.

They take the crops of a photo, uint8, as each member's recipe resizes it; everything from there on
is inside of the file.
"""

from __future__ import annotations

import json
import os
import tempfile
import weakref
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines.options import INT8
from triptych.exports import formats
from triptych.exports.keras_committee import input_names
from triptych.exports.keras_worker import EXTRA
from triptych.exports.keras_worker import METADATA
from triptych.exports.source import Answer
from triptych.exports.source import Source
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.typing import UInt8Image
from triptych.utils.text import text
from triptych.utils.worker import Worker

# Those that have int8 arithmetic.
WITH_INT8 = ("litert",)


def write(source: Source, path: Path, kind: str) -> None:
    """Write a committee to a file.

    Args:
        source: The committee.
        path: Of the file or folder, which is not there yet.
        kind: ``"keras"``, ``"savedmodel"`` or ``"litert"``.

    Raises:
        errors.SettingError: The format has no int8 arithmetic, and int8 is wanted.
        errors.EngineError: A network has an operation that the format does not have.
    """
    committee = source.committee
    is_int8 = source.precision == INT8
    if is_int8 and kind not in WITH_INT8:
        raise errors.SettingError(
            text(
                "A file of the format {kind} computes at float32 only: TensorFlow and Keras have "
                "no int8 convolutions. Export it at f32, or to litert, onnx or openvino.",
                kind=kind,
            )
        )
    reference = committee.members[committee.params.stages[0].member].ood
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch, _worker() as child:
        saved = None
        if reference is not None:
            saved = str(Path(scratch) / "ood.npz")
            reference.save(Path(saved))
        request = {
            "write": kind,
            "path": str(path),
            "names": [member.name for member in committee.members],
            "networks": [str(network) for network in source.networks],
            "recipes": [member.recipe.to_dict() for member in committee.members],
            "params": committee.params.to_dict(),
            "rule": committee.rule,
            "quantile": source.quantile,
            "reference": saved,
            "is_int8": is_int8,
            "metadata": metadata(source),
        }
        _request(child, request, f"Writing {path.name}")


def metadata(source: Source) -> dict[str, Any]:
    """The metadata of an export, with the name of the input that each member takes."""
    facts = dict(source.metadata)
    names = input_names([member.recipe for member in source.committee.members])
    rows = zip(facts["members"], names, strict=True)
    return {**facts, "members": [{**member, "input": name} for member, name in rows]}


class KerasRun:
    """Runs an export in its own runtime, in a process of its own.

    Args:
        path: As `write` wrote it.
        kind: Its format.

    Raises:
        errors.EngineError: The runtime cannot open it.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self._recipes = {
            member["input"]: Recipe.from_dict(member["recipe"])
            for member in read_metadata(path)["members"]
        }
        self._scratch = tempfile.TemporaryDirectory(prefix="triptych-")
        self._child = _worker()
        weakref.finalize(self, _close, self._child, self._scratch)
        _request(self._child, {"open": kind, "path": str(path)}, f"Opening {path.name}")

    def __call__(self, photo: UInt8Image) -> Answer:
        """Answer a photo, RGB, shape (H, W, 3)."""
        inputs, outputs = (Path(self._scratch.name) / name for name in ("in.npz", "out.npz"))
        crops = {name: recipe.resize(each, photo)[None] for name, each in self._recipes.items()}
        np.savez(inputs, allow_pickle=False, **crops)
        request = {"inputs": str(inputs), "outputs": str(outputs)}
        _request(self._child, request, "Running the export")
        with np.load(outputs) as file:
            return formats.answer(dict(file))


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata in an exported file or folder."""
    if path.is_dir():
        text = (path / EXTRA / METADATA).read_text(encoding="utf-8")
    else:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(METADATA).decode()
    facts: dict[str, Any] = json.loads(text)
    return facts


def _close(child: Worker, scratch: tempfile.TemporaryDirectory[str]) -> None:
    child.close()
    scratch.cleanup()


def _worker() -> Worker:
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return Worker("triptych.exports.keras_worker", environment=environment)


def _request(child: Worker, message: dict[str, Any], what: str) -> None:
    child.send(message)
    answer = next(child.messages(), None)
    reason = child.reason if answer is None else answer["failed"]
    if reason:
        raise errors.EngineError(f"{what} failed: {reason}")
