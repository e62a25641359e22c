"""The options of a request: from texts of an address or a form, or from JSON, to a question."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import marshmallow
from werkzeug.datastructures import MultiDict

from triptych import errors
from triptych.inference.classifier import Question
from triptych.web import request_schemas

SCHEMA = request_schemas.Options()
WHY = request_schemas.Why()
SWITCH = {"true": True, "false": False}
# What is no part of the question: who is asked, and what becomes of the images.
BESIDE = ("committee", "keep")


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
        if name in given:
            given[name] = _whole(given[name])
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


def _whole(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text  # refused with the others that are no number


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
    wrong = schema.validate(given)
    for name in wrong:
        raise errors.SettingError(_complaint(str(name), given, schema))
    return dict(schema.load(given))


def _complaint(name: str, given: Mapping[str, Any], schema: marshmallow.Schema) -> str:
    if name not in schema.fields:
        return f"There is no option {name!r}; expected only: {', '.join(schema.fields)}."
    expected = schema.fields[name].metadata["expected"]
    return f"The option {name} is {reprlib.repr(given[name])}; expected {expected}."


def question(checked: Mapping[str, Any]) -> Question:
    """What is asked, by options that were checked; those `BESIDE` it are left alone."""
    asked = {name: value for name, value in checked.items() if name not in BESIDE}
    return Question(**{**asked, "members": tuple(asked.get("members", ())) or None})
