"""What an ONNX file says of itself, read before any library opens it.

The numbers of the fields are those of onnx.proto: https://onnx.ai/onnx/repo-docs/IR.html
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

from triptych import errors
from triptych.imports import facts
from triptych.imports import protobuf
from triptych.imports.facts import FileFacts
from triptych.utils.text import text

MODEL_GRAPH, MODEL_PRODUCER, MODEL_METADATA, MODEL_FUNCTIONS = 7, 2, 14, 25
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
FUNCTION_NAME, FUNCTION_NODE, FUNCTION_DOMAIN = 1, 7, 10
NODE_TYPE, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW, TENSOR_EXTERNAL = 1, 2, 8, 9, 13
# Of operations that OpenVINO may have; com.microsoft is onnxruntime's, such as for quantization.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
# Bits of an element by number of its type; of types with none given, anything is possible.
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16}
DEEPEST = 16
MAX_TEXT = 1 << 20


def read_facts(path: Path) -> FileFacts:
    """Check an ONNX file, and read what it says of its preprocessing and classes.

    Args:
        path: Not trusted. Weights may be in files beside it.

    Raises:
        errors.SourceError: It is no ONNX file, or cut short, or its weights are outside of its
            folder.
        errors.WeightsDamaged: It has operations of somebody's own, or weights that are larger than
            the file that has them.
    """
    try:
        with path.open("rb") as file:
            # Unmapped with the last view of it, which the traceback of an error may have.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _read(path, memoryview(content))
    except (OSError, ValueError) as error:
        raise errors.SourceError(
            text(
                "{path} cannot be read as ONNX: {error}. Export the model again.",
                path=path.name,
                error=error,
            )
        ) from None


def _read(path: Path, model: memoryview) -> FileFacts:
    graphs = list(protobuf.messages(model, MODEL_GRAPH))
    if not graphs:
        raise ValueError("it has no graph")
    custom: set[str] = set()
    # Functions of the file itself are made of other operations; PyTorch's exporter writes some.
    functions = list(protobuf.messages(model, MODEL_FUNCTIONS))
    defined = {
        (protobuf.text(each, FUNCTION_DOMAIN), protobuf.text(each, FUNCTION_NAME))
        for each in functions
    }
    bodies = [*((graph, GRAPH_NODE) for graph in graphs), *((f, FUNCTION_NODE) for f in functions)]
    for graph, number_of_nodes in bodies:
        for node in _nodes(graph, number_of_nodes):
            domain, kind = protobuf.text(node, NODE_DOMAIN), protobuf.text(node, NODE_TYPE)
            if domain not in DOMAINS and (domain, kind) not in defined:
                custom.add(f"{domain}.{kind}")
            for attribute in protobuf.messages(node, NODE_ATTRIBUTE):
                for number in ATTRIBUTE_TENSORS:
                    for tensor in protobuf.messages(attribute, number):
                        _check_tensor(path, tensor)
    for tensor in (each for g in graphs for each in protobuf.messages(g, GRAPH_INITIALIZER)):
        _check_tensor(path, tensor)
    if custom:
        raise errors.WeightsDamaged(
            text(
                "{path} has operations of its own, which are not run: {custom}. Expected "
                "operations of ONNX only; export the model without them.",
                path=path.name,
                custom=", ".join(sorted(custom))[:300],
            )
        )
    metadata = {
        protobuf.text(entry, 1): protobuf.text(entry, 2)
        for entry in protobuf.messages(model, MODEL_METADATA)
    }
    preprocessing, labels = facts.of_metadata(metadata)
    return FileFacts(protobuf.text(model, MODEL_PRODUCER), labels, preprocessing)


def _nodes(graph: memoryview, number: int, depth: int = 0) -> Iterator[memoryview]:
    """The nodes of a graph and of those inside of them."""
    if depth > DEEPEST:
        raise ValueError(f"its graphs are nested more than {DEEPEST} deep")
    for node in protobuf.messages(graph, number):
        yield node
        for attribute in protobuf.messages(node, NODE_ATTRIBUTE):
            for field in ATTRIBUTE_GRAPHS:
                for inner in protobuf.messages(attribute, field):
                    yield from _nodes(inner, GRAPH_NODE, depth + 1)


def _check_tensor(path: Path, tensor: memoryview) -> None:
    """Refuse weights that are not where, or not as large as, they say."""
    name = protobuf.text(tensor, TENSOR_NAME)[:60]
    dims: list[int] = []
    raw: int | None = None
    for number, value in protobuf.fields(tensor):
        if number == TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif number == TENSOR_RAW and not isinstance(value, int):
            raw = len(value)
    bits = BITS.get(protobuf.number(tensor, TENSOR_TYPE))
    declared = math.prod(dims) * (bits or 1) // 8
    available = len(tensor) * 8 if raw is None else raw  # packed numbers take a byte at least
    external = {
        protobuf.text(entry, 1): protobuf.text(entry, 2)
        for entry in protobuf.messages(tensor, TENSOR_EXTERNAL)
    }
    if external:
        available = _external_bytes(path, external.get("location", ""))
    if any(side >= 1 << 40 for side in dims) or declared > available:
        raise errors.WeightsDamaged(
            text(
                "{path} says that its weights {name!r} have the shape {dims}, and has "
                "{available:,} bytes for them. The file is damaged; export the model again.",
                path=path.name,
                name=name,
                dims=tuple(dims),
                available=available,
            )
        )


def _packed(value: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(value):
        number, at = protobuf._varint(value, at)
        numbers.append(number)
    return numbers


def _external_bytes(path: Path, location: str) -> int:
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    if not location or not file.is_relative_to(folder):
        raise errors.SourceError(
            text(
                "{path} has its weights in {location!r}, which is outside of its folder, and "
                "no file there is opened. Put them beside it, and export it so.",
                path=path.name,
                location=location,
            )
        )
    if not file.is_file():
        raise errors.SourceError(
            text(
                "{path} has its weights in {location!r}, which is not there. Give both "
                "files: put it beside the model, or both into a zip.",
                path=path.name,
                location=location,
            )
        )
    return file.stat().st_size
