"""What a TensorFlow Lite file says of itself, read before any library opens it.

Such files are FlatBuffers; the numbers of the fields are those of TensorFlow's ``schema.fbs`` and
of ``metadata_schema.fbs``, with which labels and normalization are added.
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path

from triptych import errors
from triptych.imports import labels as label_files
from triptych.imports.facts import FileFacts
from triptych.imports.facts import Preprocessing
from triptych.preprocessing.recipe import Scaling
from triptych.utils import files
from triptych.utils.text import text

MAGIC = b"TFL3"
MODEL_CODES, MODEL_SUBGRAPHS, MODEL_DESCRIPTION, MODEL_BUFFERS, MODEL_METADATA = 1, 2, 3, 4, 6
CODE_BYTE, CODE_CUSTOM, CODE_INT = 0, 1, 3
CUSTOM = 32
GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS = 0, 1, 2
TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME, TENSOR_QUANTIZATION = 0, 1, 2, 3, 4
QUANTIZATION_SCALE, QUANTIZATION_ZERO = 2, 3
METADATA_NAME, METADATA_BUFFER = 0, 1
METADATA_GRAPHS, GRAPH_INPUT_METADATA, TENSOR_PROCESSES = 3, 2, 4
PROCESS_KIND, PROCESS_OPTIONS, NORMALIZATION = 0, 1, 1
# Bytes of an element by number of its type, at least; int4 has half a byte.
WIDTHS = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}
MAX_LABELS_BYTES = 1 << 20


class Table:
    """A table in a FlatBuffer, each access within its bounds.

    Args:
        data: The whole buffer.
        at: Where the table begins.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self._fields = at - self._unpack("<i", at)

    def _unpack(self, form: str, at: int) -> int:
        if at < 0:
            raise ValueError("it points to before its begin")
        (value,) = struct.unpack_from(form, self.data, at)
        return int(value)

    def _field(self, number: int) -> int:
        """Where a field is; 0 where the table does not have it."""
        size = self._unpack("<H", self._fields)
        if 4 + 2 * number >= size:
            return 0
        offset = self._unpack("<H", self._fields + 4 + 2 * number)
        return self.at + offset if offset else 0

    def number(self, field: int, form: str, default: int = 0) -> int:
        """A number, in the form that `struct` calls it by."""
        at = self._field(field)
        return self._unpack(form, at) if at else default

    def table(self, field: int) -> Table | None:
        """A table; ``None`` where there is none."""
        at = self._field(field)
        return Table(self.data, at + self._unpack("<I", at)) if at else None

    def numbers(self, field: int, form: str) -> list[float]:
        """A vector of numbers, in the form that `struct` calls one by."""
        at = self._field(field)
        if not at:
            return []
        at += self._unpack("<I", at)
        count, width = self._unpack("<I", at), struct.calcsize(form)
        if at + 4 + count * width > len(self.data):
            raise ValueError("it is cut short")
        return [
            value
            for (value,) in struct.iter_unpack(form, self.data[at + 4 : at + 4 + count * width])
        ]

    def bytes(self, field: int) -> bytes:
        """A vector of bytes, or a text."""
        at = self._field(field)
        if not at:
            return b""
        at += self._unpack("<I", at)
        count = self._unpack("<I", at)
        if at + 4 + count > len(self.data):
            raise ValueError("it is cut short")
        return self.data[at + 4 : at + 4 + count]

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        at = self._field(field)
        if not at:
            return []
        at += self._unpack("<I", at)
        count = self._unpack("<I", at)
        if at + 4 + 4 * count > len(self.data):
            raise ValueError("it is cut short")
        begins = range(at + 4, at + 4 + 4 * count, 4)
        return [Table(self.data, begin + self._unpack("<I", begin)) for begin in begins]


def read_facts(path: Path) -> FileFacts:
    """Check a TensorFlow Lite file, and read its quantization, normalization and labels.

    Args:
        path: Not trusted.

    Raises:
        errors.SourceError: It is no such file, or cut short.
        errors.WeightsDamaged: It has operations of somebody's own, or weights larger than it is.
    """
    try:
        data = path.read_bytes()
        if data[4:8] != MAGIC:
            raise ValueError("it does not begin as such files do")
        model = Table(data, struct.unpack_from("<I", data)[0])
        _check_operations(path, model)
        graphs = model.tables(MODEL_SUBGRAPHS)
        if not graphs:
            raise ValueError("it has no graph")
        _check_weights(path, model, graphs)
        tensors = graphs[0].tables(GRAPH_TENSORS)
        inputs, outputs = (
            [tensors[int(n)] for n in graphs[0].numbers(field, "<i")]
            for field in (GRAPH_INPUTS, GRAPH_OUTPUTS)
        )
        scaling = _normalization(model)
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise errors.SourceError(
            text(
                "{path} cannot be read as TensorFlow Lite: {error}. It may be cut short; "
                "export the model again.",
                path=path.name,
                error=error,
            )
        ) from None
    return FileFacts(
        model.bytes(MODEL_DESCRIPTION)[:100].decode("utf-8", "replace"),
        _labels(path),
        Preprocessing("the normalization in its metadata", scaling) if scaling else None,
        _quantization(inputs[0]) if inputs else None,
        tuple(_quantization(tensor) for tensor in outputs),
    )


def _check_operations(path: Path, model: Table) -> None:
    custom = set()
    for code in model.tables(MODEL_CODES):
        if CUSTOM in (code.number(CODE_BYTE, "<b"), code.number(CODE_INT, "<i")):
            custom.add(code.bytes(CODE_CUSTOM).decode("utf-8", "replace") or "without a name")
    if custom:
        reason = text("which are not run")
        if "edgetpu-custom-op" in custom:
            reason = text("as it was compiled for Coral's Edge TPU, which runs nothing else")
        raise errors.WeightsDamaged(
            text(
                "{path} has operations of its own, {reason}: {custom}. Expected operations "
                "of TensorFlow Lite only; export the model without them.",
                path=path.name,
                reason=reason,
                custom=", ".join(sorted(custom))[:300],
            )
        )


def _check_weights(path: Path, model: Table, graphs: list[Table]) -> None:
    buffers = model.tables(MODEL_BUFFERS)
    for tensor in (tensor for graph in graphs for tensor in graph.tables(GRAPH_TENSORS)):
        shape = [int(side) for side in tensor.numbers(TENSOR_SHAPE, "<i")]
        declared = math.prod(shape) * WIDTHS.get(tensor.number(TENSOR_TYPE, "<b"), 0)
        number = tensor.number(TENSOR_BUFFER, "<I")
        available = len(buffers[number].bytes(0)) if number else 0
        if any(side < 0 for side in shape) or declared > 1 << 40 or 0 < available < declared:
            name = tensor.bytes(TENSOR_NAME)[:60].decode("utf-8", "replace")
            raise errors.WeightsDamaged(
                text(
                    "{path} says that {name!r} has the shape {shape}, and has {available:,} "
                    "bytes for it. The file is damaged; export the model again.",
                    path=path.name,
                    name=name,
                    shape=tuple(shape),
                    available=available,
                )
            )


def _quantization(tensor: Table) -> tuple[float, int] | None:
    parameters = tensor.table(TENSOR_QUANTIZATION)
    if parameters is None:
        return None
    scales = parameters.numbers(QUANTIZATION_SCALE, "<f")
    zeros = parameters.numbers(QUANTIZATION_ZERO, "<q") or [0]
    if len(scales) != 1 or not (math.isfinite(scales[0]) and scales[0] > 0):
        return None
    return scales[0], int(zeros[0])


def _normalization(model: Table) -> Scaling | None:
    """The normalization of the first input, which TensorFlow Lite's metadata may say."""
    for entry in model.tables(MODEL_METADATA):
        if entry.bytes(METADATA_NAME) != b"TFLITE_METADATA":
            continue
        data = model.tables(MODEL_BUFFERS)[entry.number(METADATA_BUFFER, "<I")].bytes(0)
        about = Table(data, struct.unpack_from("<I", data)[0])
        for graph in about.tables(METADATA_GRAPHS)[:1]:
            for tensor in graph.tables(GRAPH_INPUT_METADATA)[:1]:
                for process in tensor.tables(TENSOR_PROCESSES):
                    options = process.table(PROCESS_OPTIONS)
                    if process.number(PROCESS_KIND, "<B") == NORMALIZATION and options:
                        return _scaling(options.numbers(0, "<f"), options.numbers(1, "<f"))
    return None


def _scaling(mean: list[float], std: list[float]) -> Scaling | None:
    if len(mean) not in (1, 3) or len(std) not in (1, 3) or not all(value > 0 for value in std):
        return None
    means, stds = (values * 3 if len(values) == 1 else values for values in (mean, std))
    return Scaling("rgb", (means[0], means[1], means[2]), (stds[0], stds[1], stds[2]))


def _labels(path: Path) -> tuple[str, ...]:
    """The labels that are packed into the file as a zip at its end."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [
                each
                for each in archive.infolist()
                if each.filename.endswith(".txt") and each.file_size <= MAX_LABELS_BYTES
            ]
            if len(texts) == 1:
                return tuple(label_files.parse(archive.read(texts[0])))
    except (*files.ZIP_ERRORS, ValueError):
        pass
    return ()
