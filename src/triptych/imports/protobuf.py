"""Fields of a Protocol Buffers message, read without its schema compiled and without trust.

ONNX and SavedModel files are such messages. What is looked up in them here, before any library
opens them, are a few fields by number, for which the libraries of both formats are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

# The number of a field, and its value: a number, or the bytes of a text or of a message.
Field: TypeAlias = "tuple[int, int | memoryview]"

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
LONGEST_VARINT = 10


def fields(message: memoryview) -> Iterator[Field]:
    r"""The fields of a message, one after the other.

    Args:
        message: Its bytes.

    Raises:
        ValueError: It is no message, or cut short.

    Example:
        >>> [(field, bytes(value)) for field, value in fields(memoryview(b'\x0a\x02Hi'))]
        [(1, b'Hi')]
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == BYTES:
            length, at = _varint(message, at)
        elif kind in (FIXED_64, FIXED_32):
            length = 8 if kind == FIXED_64 else 4
        else:
            raise ValueError(f"it has a field of the kind {kind}, which there is not")
        if at + length > len(message):
            raise ValueError("it is cut short")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for n in range(LONGEST_VARINT):
        if at + n >= len(message):
            raise ValueError("it is cut short")
        byte = message[at + n]
        number |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return number, at + n + 1
    raise ValueError("it has a number of more than 64 bits")


def messages(message: memoryview, *numbers: int) -> Iterator[memoryview]:
    """The messages, or texts, in the fields of a number; with several numbers, deeper each time.

    Args:
        message: Its bytes.
        numbers: Numbers of fields, from the outermost message to the innermost.

    Raises:
        ValueError: It is no message, or cut short.
    """
    number, *deeper = numbers
    for each, value in fields(message):
        if each == number:
            if isinstance(value, int):
                raise ValueError(f"its field {number} is a number")
            if deeper:
                yield from messages(value, *deeper)
            else:
                yield value


def text(message: memoryview, *numbers: int) -> str:
    """The last text in the fields of a number; empty for none."""
    last = b""
    for value in messages(message, *numbers):
        last = bytes(value)
    return last.decode("utf-8", "replace")


def number(message: memoryview, field: int, default: int = 0) -> int:
    """The last number in the fields of a number."""
    for each, value in fields(message):
        if each == field and isinstance(value, int):
            default = value
    return default
