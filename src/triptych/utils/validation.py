"""Checking data from outside (JSON on disk or in a request): marshmallow, strict, in sentences.

A `Record` names the fields that an object has; `load` checks data against it and gives what the
fields, and the record's ``post_load``, make of it. Nothing is coerced: ``"1"`` and ``true`` are not
numbers. An error names the part by its dotted path, what came, and what was expected:

    doubt.rules.mean.levels[3] is 'x'; expected a number of at least 0.

How to use it: declare fields with the classes below, all with ``required=True`` unless the field
may be left out; ``data_key`` is the key in JSON where the attribute has another name. What fields
together must fulfil is checked in a ``post_load`` method, which raises `wrong`:

    class StageRecord(Record):
        member = Integer(least=0, required=True, data_key="seat")
        threshold = Number(least=0, required=True)

        @post_load
        def _make(self, parts, **_):
            return Stage(**parts)

    stage = load(StageRecord, json.loads(text), "stage", hint="Fit it once more.")

Callers that raise an error of their own (a damaged bundle, a bad request) pass ``error``.
"""

from __future__ import annotations

import functools
import json
import math
import reprlib
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import NoReturn

import marshmallow
from marshmallow import fields

from triptych import errors

post_load = marshmallow.post_load

LONGEST = 60
# It abbreviates while it goes through a value, which may be huge.
_REPR = reprlib.Repr()
_REPR.maxstring = 1000


def parse_json(
    text: str | bytes,
    *,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Parse strict JSON.

    Args:
        text: In UTF-8, where it is bytes.
        object_pairs_hook: Makes what an object becomes, as for `json.loads`.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or has NaN, infinity or a number in it that
            no float can hold, which only Python takes for JSON.

    Example:
        >>> parse_json('{"sizes": [2, 3]}')
        {'sizes': [2, 3]}
        >>> parse_json("[NaN]")
        Traceback (most recent call last):
        ValueError: NaN is no number of JSON
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=object_pairs_hook,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:LONGEST]} is too large a number")
    return number


def short_repr(value: object) -> str:
    """A value as an error shows it: cut where it is long.

    Example:
        >>> short_repr({"a": None})
        "{'a': None}"
    """
    text = _REPR.repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def wrong(value: object, expected: str, *path: str | int) -> marshmallow.ValidationError:
    """The error to raise in a record's ``post_load``.

    Args:
        value: What came.
        expected: What was expected, in words.
        path: Keys and positions that lead from the record to the part; none is the record.
    """
    message: Any = [f"is {short_repr(value)}; expected {expected}"]
    for key in reversed(path):
        message = {key: message}
    return marshmallow.ValidationError(message)


_built = functools.cache(lambda record: record())  # building a schema takes longer than its use


class _Strict(fields.Field[Any]):
    """Says what it expects; the other classes say when a value is that."""

    expected = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error_messages["required"] = f"is missing; expected {self.expected}"
        self.error_messages["null"] = f"is null; expected {self.expected}"

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        raise NotImplementedError


class Number(_Strict):
    """A finite number: an int or a float in JSON, given as a float.

    Args:
        above: It must be larger than this.
        least: It must not be smaller than this.
        most: It must not be larger than this.
    """

    kind = "a number"
    types: tuple[type, ...] = (float, int)

    def __init__(
        self,
        *,
        above: float = -math.inf,
        least: float = -math.inf,
        most: float = math.inf,
        **options: Any,
    ) -> None:
        bounds = {"above": above, "of at least": least, "of at most": most}
        self.expected = " and ".join(
            [
                self.kind,
                *(f"{name} {bound:g}" for name, bound in bounds.items() if math.isfinite(bound)),
            ]
        ).replace(" and ", " ", 1)
        self._above, self._least, self._most = above, least, most
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        # In Python, true is an int.
        is_kind = isinstance(value, self.types) and not isinstance(value, bool)
        # A comparison with NaN is false; larger whole numbers do not fit into a float.
        is_finite = is_kind and abs(value) <= sys.float_info.max
        if not (is_finite and self._above < value and self._least <= value <= self._most):
            raise wrong(value, self.expected)
        return self.types[0](value)


class Integer(Number):
    """A whole number: an int in JSON, not 3.0."""

    kind = "a whole number"
    types = (int,)


class Text(_Strict):
    """A text that can be written as UTF-8.

    Args:
        choices: The texts that are allowed; none: any.
        longest: The most characters.
    """

    def __init__(
        self, *, choices: tuple[str, ...] = (), longest: int | None = None, **options: Any
    ) -> None:
        self.expected = f"one of: {', '.join(choices)}" if choices else "a text"
        if longest:
            self.expected += f" of at most {longest} characters"
        self._choices, self._longest = choices, longest or sys.maxsize
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str:
        if (
            not isinstance(value, str)
            or (self._choices and value not in self._choices)
            or len(value) > self._longest
        ):
            raise wrong(value, self.expected)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise wrong(value, "a text without half characters (surrogates)") from None
        return value


class Flag(_Strict):
    """True or false, and nothing that might mean it."""

    expected = "true or false"

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong(value, self.expected)
        return value


class Items(_Strict):
    """A list; gives a tuple.

    Args:
        inner: What each item is; by default anything.
        least: The fewest items.
        most: The most items; ``None`` for any number.
    """

    def __init__(
        self,
        inner: fields.Field[Any] | None = None,
        *,
        least: int = 0,
        most: int | None = None,
        **options: Any,
    ) -> None:
        self.expected = f"a list of at least {least}" if least else "a list"
        if most is not None:
            counts = f"{least} to {most}" if least else f"at most {most}"
            self.expected = f"a list of {most if most == least else counts}"
        self._inner, self._least, self._most = inner, least, math.inf if most is None else most
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not self._least <= len(value) <= self._most:
            raise wrong(value, self.expected)
        return tuple(
            value if self._inner is None else _each(self._inner, enumerate(value)).values()
        )


class Object(_Strict):
    """An object that is a record of its own.

    Args:
        record: Its class.
    """

    expected = "an object"

    def __init__(self, record: type[Record], **options: Any) -> None:
        self._record = _built(record)
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        return self._record.load(value)


class Table(_Strict):
    """An object whose keys are data.

    Args:
        inner: What each value is; by default anything.
        keys: Which keys to read; others are left out. By default all.
    """

    expected = "an object"

    def __init__(
        self,
        inner: fields.Field[Any] | None = None,
        *,
        keys: Callable[[str], bool] = lambda key: True,
        **options: Any,
    ) -> None:
        self._inner, self._reads = inner, keys
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(value, self.expected)
        items = [(key, each) for key, each in value.items() if self._reads(key)]
        return dict(items) if self._inner is None else _each(self._inner, items)


def _each(field: fields.Field[Any], items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    checked, problems = {}, {}
    for key, value in items:
        try:
            checked[key] = field.deserialize(value)
        except marshmallow.ValidationError as problem:
            problems[key] = problem.messages
    if problems:
        raise marshmallow.ValidationError(problems)
    return checked


class Record(marshmallow.Schema):
    """An object with the fields it names and no others."""

    class Meta:
        """Options of the library."""

        unknown = marshmallow.RAISE

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        keys = [field.data_key or name for name, field in self.load_fields.items()]
        self.error_messages["unknown"] = (
            f"is unknown; expected only: {', '.join(keys) or 'nothing'}"
        )
        self.error_messages["type"] = f"is no object; expected one with: {', '.join(keys)}"


class OpenRecord(Record):
    """An object with the fields it names; others are left out."""

    class Meta:
        """Options of the library."""

        unknown = marshmallow.EXCLUDE


def load(
    record: type[Record] | fields.Field[Any],
    data: object,
    name: str,
    *,
    error: Callable[[str], Exception] = errors.SettingError,
    hint: str = "",
) -> Any:
    """Check data, and give what the record makes of it.

    Args:
        record: What is expected: the class of a record, or a single field.
        data: What came, as ``json.loads`` gives it.
        name: What to call it; errors begin with it.
        error: Makes the exception to raise, of a message.
        hint: A sentence for the end of the message: how to mend it.

    Raises:
        errors.SettingError: A part is not what was expected; the message names the first one.

    Example:
        >>> load(Items(Integer(least=1)), [2, 3], "sizes")
        (2, 3)
        >>> load(Items(Integer(least=1)), [2, 0], "sizes")
        Traceback (most recent call last):
        triptych.errors.SettingError: sizes[1] is 0; expected a whole number of at least 1.
    """
    try:
        if isinstance(record, fields.Field):
            return record.deserialize(data)
        return _built(record).load(data)
    except marshmallow.ValidationError as problem:
        path, message = first_problem(problem.messages)
    raise error(f"{name}{path} {message}. {hint}".rstrip())


def first_problem(messages: Any) -> tuple[str, str]:
    """The first of the problems that marshmallow found: the path to it, and what it says.

    Args:
        messages: As a ``ValidationError`` has them, at least one.

    Example:
        >>> first_problem({"images": {0: {"b64": ["is 1; expected a text"]}}})
        ('.images[0].b64', 'is 1; expected a text')
    """
    path = ""
    while isinstance(messages, Mapping):
        key, messages = next(iter(messages.items()))
        if key != marshmallow.exceptions.SCHEMA:  # the object as a whole
            is_plain = isinstance(key, str) and key.isidentifier() and len(key) <= LONGEST
            path += f".{key}" if is_plain else f"[{short_repr(key)}]"
    return path, messages[0]
