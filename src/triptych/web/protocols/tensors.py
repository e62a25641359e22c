"""Tensors of the Open Inference Protocol to arrays and back, as JSON and as bytes.

In JSON the data of a tensor is a list, flat or nested. The binary extension leaves the bytes of
an array as they are, little-endian, row after row; elements of the type BYTES have their lengths
before them. Source: https://github.com/kserve/open-inference-protocol and Triton's
``extension_binary_data.md``.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from marshmallow.fields import Raw
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import RequestEntityTooLarge

from triptych.typing import Array
from triptych.typing import UInt8Array
from triptych.utils import validation

# Texts from JSON, bytes from binary data.
Elements = list[str] | list[memoryview]
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Tensor:
    """A tensor of a request.

    Args:
        name: What it is called.
        shape: As declared; the data has as many elements.
        data: Pixels of that shape, or the elements of a tensor of BYTES.
    """

    name: str
    shape: tuple[int, ...]
    data: UInt8Array | Elements


class _InputParametersRecord(validation.OpenRecord):
    binary_data_size = validation.Integer(allow_none=True)
    shared_memory_region = Raw(allow_none=True)


class _TensorRecord(validation.OpenRecord):
    name = validation.Text(required=True)
    datatype = validation.Text(choices=("BYTES", "UINT8"), required=True)
    shape = validation.Items(
        validation.Integer(least=1, most=2**31), least=1, most=4, required=True
    )
    data = validation.Items(allow_none=True)
    parameters = validation.Object(_InputParametersRecord, allow_none=True)


def read(tensor: dict[str, Any], rest: memoryview, *, most: int) -> Tensor:
    """A tensor of UINT8 or BYTES.

    Args:
        tensor: The JSON object that declares it.
        rest: The binary data of the request; all of it belongs to this tensor.
        most: Limit of elements of a tensor of BYTES.

    Returns:
        The tensor; pixels from binary data are a read-only view of it.

    Raises:
        BadRequest: It is inconsistent; the message says how.
        RequestEntityTooLarge: There are too many elements.

    Example:
        >>> tensor = {"name": "image", "datatype": "UINT8", "shape": [2], "data": [7, 8]}
        >>> read(tensor, memoryview(b""), most=1)
        Tensor(name='image', shape=(2,), data=array([7, 8], dtype=uint8))
    """
    declared = validation.load(_TensorRecord, tensor, "input", error=BadRequest)
    name, shape, datatype = declared["name"], declared["shape"], declared["datatype"]
    of, data = f"The input {name[:40]!r}", declared.get("data")
    if datatype == "BYTES" and math.prod(shape) > most:
        raise RequestEntityTooLarge(f"{of} has more than {most} elements; send fewer at a time.")
    if data is None:
        _check_size(declared.get("parameters") or {}, len(rest), of)
        if datatype == "BYTES":
            return Tensor(name, shape, _bytes_of_binary(rest, shape, of))
        _check_count(len(rest), shape, of)
        return Tensor(name, shape, np.frombuffer(rest, np.uint8).reshape(shape))
    if len(rest):
        raise BadRequest(f"{of} has data in its JSON, and {len(rest)} bytes follow it.")
    if datatype == "BYTES":
        return Tensor(name, shape, _texts(list(data), shape, of))
    return Tensor(name, shape, pixels(list(data), shape, of=of))


def _check_size(parameters: dict[str, Any], received: int, of: str) -> None:
    if "shared_memory_region" in parameters:
        raise BadRequest(f"{of} lies in shared memory, which is not read here; send it as data.")
    size = parameters.get("binary_data_size")
    if size is None:
        raise BadRequest(f"{of} has neither 'data' nor the parameter 'binary_data_size'.")
    if size != received:
        raise BadRequest(
            f"{of} declares {size} bytes of binary data, and {received} follow the JSON."
        )


def _bytes_of_binary(rest: memoryview, shape: tuple[int, ...], of: str) -> list[memoryview]:
    elements: list[memoryview] = []
    start = 0
    for _ in range(math.prod(shape)):
        begin = start + _LENGTH.size
        end = begin + _LENGTH.unpack(rest[start:begin])[0] if begin <= len(rest) else begin
        if end > len(rest):
            raise BadRequest(
                f"{of} has binary data that ends within its element {len(elements)}; each element "
                "has its length before it, in four bytes, little-endian."
            )
        elements.append(rest[begin:end])
        start = end
    if start != len(rest):
        raise BadRequest(f"{of} has {len(rest) - start} bytes after its last element.")
    return elements


def _texts(data: list[Any], shape: tuple[int, ...], of: str) -> list[str]:
    if len(shape) > 1 and all(type(row) is list for row in data):
        data = [element for row in data for element in row]
    if not all(type(element) is str for element in data):
        raise BadRequest(f"{of} is of type BYTES; expected a list of texts as its data.")
    _check_count(len(data), shape, of)
    return data


def pixels(data: list[Any], shape: tuple[int, ...] | None = None, *, of: str) -> UInt8Array:
    """Pixels from JSON.

    Args:
        data: Whole numbers from 0 to 255; nested, or flat where a shape is given.
        shape: The shape to reshape to; ``None`` takes it from the nesting.
        of: What to call them in messages.

    Raises:
        BadRequest: They are something else, or do not fill the shape.

    Example:
        >>> pixels([[1, 2], [3, 4]], of="It").shape
        (2, 2)
    """
    try:
        # With a dtype, as NumPy would otherwise allocate the longest text's length for each
        # element.
        numbers = np.array(data, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise BadRequest(f"{of} has no list of numbers as its data, or a ragged one.") from None
    # NaN is neither below nor above.
    if not ((numbers >= 0) & (numbers <= 255) & (numbers == np.floor(numbers))).all():
        raise BadRequest(f"{of} has values that are not whole numbers from 0 to 255.")
    if shape is None:
        shape = numbers.shape
    _check_count(numbers.size, shape, of)
    if numbers.ndim > 1 and numbers.shape != shape:
        raise BadRequest(f"{of} has data nested as {numbers.shape}, and the shape {shape}.")
    return numbers.astype(np.uint8).reshape(shape)


def _check_count(count: int, shape: tuple[int, ...], of: str) -> None:
    promised = math.prod(shape)
    if count != promised:
        raise BadRequest(
            f"{of} has {count} elements, and its shape {list(shape)} has room for {promised}."
        )


def write(name: str, data: Array, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """A tensor of a response.

    Args:
        name: What it is called.
        data: float32 for FP32, or objects of type str for BYTES; any shape.
        binary: Whether as binary data.

    Returns:
        The JSON object, and the binary data; empty if all is in the JSON.

    Example:
        >>> write("probs", np.array([[0.5, 0.5]], np.float32), binary=False)[0]["shape"]
        [1, 2]
    """
    is_text = data.dtype == object
    tensor = {"name": name, "datatype": "BYTES" if is_text else "FP32", "shape": list(data.shape)}
    flat = data.ravel()
    if not binary:
        return {**tensor, "data": flat.tolist()}, b""
    if is_text:
        texts = [text.encode() for text in flat]
        raw = b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    else:
        raw = flat.astype("<f4").tobytes()
    return {**tensor, "parameters": {"binary_data_size": len(raw)}}, raw
