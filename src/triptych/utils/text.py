"""Sentences for people that pages can show in their language.

Everywhere else a `Text` is the English sentence: on the command line, in JSON, in logs.
"""

from __future__ import annotations

import json
from typing import Any


class Text(str):
    """A sentence in English, and what it takes to write it in another language.

    Args:
        singular: The sentence, with ``{name}`` for each value.
        plural: The sentence where ``n`` is not 1, if that differs.
        values: The values, by name.
    """

    singular: str
    plural: str | None
    values: dict[str, Any]

    def __new__(cls, singular: str, plural: str | None, values: dict[str, Any]) -> Text:
        """The English sentence, as a string."""
        template = singular if plural is None or values["n"] == 1 else plural
        sentence = super().__new__(cls, template.format(**values))
        sentence.singular, sentence.plural, sentence.values = singular, plural, values
        return sentence

    def __reduce__(self) -> tuple[Any, ...]:
        return Text, (self.singular, self.plural, self.values)


class Quantity(str):
    """A number with its unit in English, and what it takes to write it as other languages do.

    Args:
        english: The number in words.
        kind: Which of the functions that know languages writes it.
        values: What that function takes.
    """

    kind: str
    values: tuple[Any, ...]

    def __new__(cls, english: str, kind: str, *values: Any) -> Quantity:
        """The English words, as a string."""
        quantity = super().__new__(cls, english)
        quantity.kind, quantity.values = kind, values
        return quantity

    def __reduce__(self) -> tuple[Any, ...]:
        return Quantity, (str(self), self.kind, *self.values)


def to_json(data: Any) -> str:
    """JSON in which sentences stay sentences that can be translated; see `from_json`.

    Args:
        data: What JSON can hold, with sentences and quantities anywhere in it.

    Example:
        >>> sentence = from_json(to_json({"said": text("{n} of 3", n=2)}))["said"]
        >>> sentence, sentence.values
        ('2 of 3', {'n': 2})
    """
    return json.dumps(_packed(data), allow_nan=False)


def from_json(packed: str | bytes) -> Any:
    """What `to_json` wrote, and any other JSON.

    Args:
        packed: JSON.

    Raises:
        ValueError: It is no JSON.
    """
    return json.loads(packed, object_hook=_unpacked)


def _packed(data: Any) -> Any:
    if isinstance(data, Text):
        # Values such as paths and errors are only there to be written.
        values = {
            name: _packed(value if isinstance(value, str | int | float | None) else str(value))
            for name, value in data.values.items()
        }
        return {"$text": [data.singular, data.plural, values]}
    if isinstance(data, Quantity):
        return {"$quantity": [str(data), data.kind, *data.values]}
    if isinstance(data, dict):
        return {key: _packed(value) for key, value in data.items()}
    return [_packed(value) for value in data] if isinstance(data, list | tuple) else data


def _unpacked(data: dict[str, Any]) -> Any:
    if len(data) == 1 and "$text" in data:
        return Text(*data["$text"])
    if len(data) == 1 and "$quantity" in data:
        return Quantity(*data["$quantity"])
    return data


def text(sentence: str, **values: Any) -> Text:
    """A sentence that pages show in the language of the person.

    Args:
        sentence: In English, with ``{name}`` for each value.
        values: The values, by name.

    Example:
        >>> text("There is no class {name}.", name="bees")
        'There is no class bees.'
    """
    return Text(sentence, None, values)


def ntext(singular: str, plural: str, n: int, **values: Any) -> Text:
    """A sentence that depends on a number, which is its value ``n``.

    Args:
        singular: In English, for the number 1.
        plural: In English, for all other numbers.
        n: The number.
        values: Other values, by name.

    Example:
        >>> ntext("{n} photo", "{n} photos", 2)
        '2 photos'
    """
    return Text(singular, plural, {"n": n, **values})
