"""The options of a request, checked: from the texts of an address or a form, or from JSON."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Mapping
from typing import Any

import flask
import marshmallow
from werkzeug.datastructures import MultiDict

from triptych import errors
from triptych.web import request_schemas

SCHEMA = request_schemas.Options()
WHY = request_schemas.Why()
SWITCH = {"true": True, "false": False}


def read(
    request: flask.Request, beside: Mapping[str, Any], schema: marshmallow.Schema
) -> dict[str, Any]:
    """The options of a request: of its address, and of its form or JSON, which win.

    Args:
        request: The request.
        beside: Options that came in JSON.
        schema: Names those that there are.

    Raises:
        errors.SettingError: One that does not exist, or with an impossible value.
    """
    # Checked by themselves, so that an error in one is not hidden by the other.
    given = check(from_text(request.args), schema)
    return given | check(from_form(request.form) | dict(beside), schema)


def from_text(values: MultiDict[str, str]) -> dict[str, Any]:
    """The options of an address, as JSON would carry them.

    Example:
        >>> from_text(MultiDict({"members": "A, B", "top": "2"}))
        {'members': ['A', 'B'], 'top': 2}
    """
    given: dict[str, Any] = dict(values.items())
    if "members" in given:
        names = [name.strip() for name in ",".join(values.getlist("members")).split(",")]
        given["members"] = [name for name in names if name]
    for name in ("top", "similar"):
        with contextlib.suppress(ValueError):  # no number: refused with the others that are none
            given[name] = int(given.get(name, ""))
    if "keep" in given:
        given["keep"] = SWITCH.get(given["keep"], given["keep"])
    return given


def from_form(values: MultiDict[str, str]) -> dict[str, Any]:
    """The options of a form, which sends empty fields, too: they count as left out.

    Example:
        >>> from_form(MultiDict({"rule": "", "members": "", "top": "2"}))
        {'top': 2}
    """
    return {name: value for name, value in from_text(values).items() if value not in ("", [])}


def check(given: Mapping[str, Any], schema: marshmallow.Schema = SCHEMA) -> dict[str, Any]:
    """The options, each of its type.

    Args:
        given: As JSON carries them.
        schema: Names those that there are.

    Raises:
        errors.SettingError: One that does not exist, or with an impossible value.

    Example:
        >>> check({"coverage": "0.95"})
        {'coverage': 0.95}
    """
    try:
        return dict(schema.load(given))
    except marshmallow.ValidationError as problem:
        name = str(next(iter(problem.messages_dict)))
    if name not in schema.fields:
        raise errors.SettingError(
            f"There is no option {name!r}; expected only: {', '.join(schema.fields)}."
        )
    expected = schema.fields[name].metadata["expected"]
    raise errors.SettingError(
        f"The option {name} is {reprlib.repr(given[name])}; expected {expected}."
    )
