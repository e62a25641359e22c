"""The formats of models that are imported, as one table.

A new format is a row: how its files are recognized, what checks them before a library opens them,
and which program's answers the result is compared with.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triptych import errors
from triptych.imports import onnx_file
from triptych.imports import saved_model_file
from triptych.imports import tflite_file
from triptych.imports.facts import FileFacts
from triptych.models import keras_file
from triptych.models import keras_h5
from triptych.utils import files
from triptych.utils.text import text


@dataclass(frozen=True)
class Format:
    """A format of models.

    Args:
        name: Its short name.
        title: Its name for people.
        endings: Of its files.
        is_format: Whether a file or folder is of this format, from its content.
        read_facts: Checks a file that is not trusted, and reads what it says of itself.
        runtime: Packages by whose answers an import is checked, the first that is installed; none
            where OpenVINO itself is the program that such files are made for.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    is_format: Callable[[Path, bytes], bool]
    read_facts: Callable[[Path], FileFacts]
    runtime: tuple[str, ...] = ()

    @property
    def is_keras(self) -> bool:
        """Whether Keras reads it, and OpenVINO's front ends do not."""
        return self.name.startswith("keras")


def _is_keras_zip(path: Path, start: bytes) -> bool:
    if path.suffix == ".keras" and path.is_file():
        return True
    if not start.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {"config.json", "model.weights.h5"} <= set(archive.namelist())
    except files.ZIP_ERRORS:
        return False


def _no_facts(path: Path) -> FileFacts:
    return FileFacts("keras")


def _of_openvino(path: Path) -> FileFacts:
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise errors.SourceError(
            text(
                "{path} is the graph of an OpenVINO network, and its weights {weights} are "
                "not beside it. Give both files: put them beside each other, or both into a "
                "zip.",
                path=path.name,
                weights=weights.name,
            )
        )
    if path.stat().st_size > MAX_XML_BYTES:
        raise errors.SourceError(
            text(
                "{path} has more than {max_xml_bytes:,} bytes; expected a graph.",
                path=path.name,
                max_xml_bytes=MAX_XML_BYTES,
            )
        )
    return FileFacts("openvino")


MAX_XML_BYTES = 64 << 20
FORMATS = (
    Format(
        "keras",
        "Keras 3",
        (".keras",),
        _is_keras_zip,
        _no_facts,
        ("tensorflow",),
    ),
    Format(
        "keras-h5",
        "Keras 2 (HDF5)",
        (".h5", ".hdf5"),
        lambda path, start: start.startswith(keras_h5.MAGIC),
        _no_facts,
        ("tensorflow",),
    ),
    Format(
        "tflite",
        "TensorFlow Lite",
        (".tflite", ".lite"),
        lambda path, start: start[4:8] == tflite_file.MAGIC,
        tflite_file.read_facts,
        ("ai_edge_litert", "tensorflow"),
    ),
    Format(
        "savedmodel",
        "TensorFlow SavedModel",
        (),
        lambda path, start: (path / saved_model_file.GRAPH_FILE).is_file(),
        saved_model_file.read_facts,
        ("tensorflow",),
    ),
    Format(
        "openvino",
        "OpenVINO",
        (".xml",),
        lambda path, start: path.suffix == ".xml" and start.lstrip()[:1] == b"<",
        _of_openvino,
    ),
    # Its files begin with no magic number, so the ending counts and the content is read after.
    Format(
        "onnx",
        "ONNX",
        (".onnx",),
        lambda path, start: path.suffix.lower() == ".onnx" and path.is_file(),
        onnx_file.read_facts,
        ("onnxruntime",),
    ),
)

EXPECTED = text(
    "Expected a model of Keras (.keras, .h5), ONNX (.onnx), TensorFlow Lite (.tflite), OpenVINO "
    "(.xml with its .bin), a TensorFlow SavedModel, or a zip of one, such as Teachable Machine's."
)
# What people take for such models, by the first bytes or the ending.
OTHERS = {
    b"\x80\x02": text(
        "a pickle, such as PyTorch saves, which runs code when it is opened; export the model to "
        "ONNX with torch.onnx.export"
    ),
    **dict.fromkeys(
        (b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        text("a pickle, which runs code when it is opened; save the model in its own format"),
    ),
}


def recognize(path: Path) -> Format | None:
    """The format of a file or folder; ``None`` where it is none of the table's.

    Args:
        path: Not trusted.

    Raises:
        errors.SourceError: There is no such file, or it is a pickle.
    """
    start = b""
    if path.is_file():
        try:
            with path.open("rb") as file:
                start = file.read(2048)
        except OSError as error:
            raise errors.SourceError(
                text("{path} cannot be opened: {strerror}.", path=path, strerror=error.strerror)
            ) from error
    elif not path.exists():
        raise errors.SourceError(text("There is no file or folder {path!r}.", path=str(path)))
    if start[:2] in OTHERS:
        raise errors.SourceError(text("{path} is {kind}.", path=path.name, kind=OTHERS[start[:2]]))
    if path.suffix == ".json" and b'"modelTopology"' in start:
        raise errors.SourceError(
            text(
                "{path} is a TensorFlow.js model, which is not read here. Convert it with "
                "`tensorflowjs_converter --input_format tfjs_layers_model --output_format "
                "keras`, and import the .h5; Teachable Machine also exports Keras itself.",
                path=path.name,
            )
        )
    return next((each for each in FORMATS if each.is_format(path, start)), None)


def check_keras(path: Path, format_: Format) -> dict[str, object]:
    """What a file of Keras's says of its layers, checked; see `keras_file.read_config`.

    Raises:
        errors.SourceError: It cannot be read.
        errors.WeightsDamaged: There is code in it.
    """
    if format_.name == "keras-h5":
        return keras_h5.read_config(path)
    return keras_file.read_config(path)
