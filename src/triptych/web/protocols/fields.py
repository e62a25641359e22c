"""A value out of JSON that came from anywhere: it is what it shall be, or the sender is told."""

from __future__ import annotations

import reprlib
from typing import Any
from typing import TypeVar

from werkzeug.exceptions import BadRequest

T = TypeVar("T")

_KINDS: dict[type, str] = {
    bool: "true or false",
    dict: "an object",
    int: "a whole number",
    list: "a list",
    str: "a text",
}


def need(holder: dict[str, Any], key: str, kind: type[T], *, of: str) -> T:
    """The value of a key that must be there.

    Args:
        holder: A JSON object.
        key: Its key.
        kind: What the value must be; a truth value is no whole number.
        of: What to call the object in words.

    Raises:
        BadRequest: It is missing, or something else.

    Example:
        >>> need({"name": "image"}, "name", str, of="The input")
        'image'
    """
    value = may(holder, key, kind, of=of)
    if value is None:
        raise BadRequest(f"{of} has no {key!r}; expected {_KINDS[kind]}.")
    return value


def may(holder: dict[str, Any], key: str, kind: type[T], *, of: str) -> T | None:
    """The value of a key that may be left out, or be null; see `need`.

    Raises:
        BadRequest: It is something else.
    """
    value = holder.get(key)
    # A lone surrogate is half a character, which no answer could quote.
    broken = isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value)
    if value is not None and (type(value) is not kind or broken):
        raise BadRequest(f"{of} has the {key!r} {reprlib.repr(value)}; expected {_KINDS[kind]}.")
    return value


def only(holder: dict[str, Any], known: tuple[str, ...], *, of: str) -> None:
    """Refuse keys that mean nothing here: they would be believed to be heard.

    Raises:
        BadRequest: There is another key than the known ones.
    """
    unknown = [key for key in holder if key not in known]
    if unknown:
        raise BadRequest(
            f"{of} has {reprlib.repr(unknown[0])}, which means nothing here; "
            f"expected only: {', '.join(known) or 'nothing'}."
        )
