"""The schemas of requests, and their options checked by them: from texts or from JSON.

The OpenAPI document is made from the same schemas.
"""

from __future__ import annotations

import contextlib
import functools
import reprlib
from collections.abc import Mapping
from typing import Any

import flask
import marshmallow
from flask_smorest.fields import Upload
from marshmallow import fields
from marshmallow import validate
from werkzeug.datastructures import MultiDict

from triptych import errors
from triptych.ensemble import conformal
from triptych.ensemble import rules
from triptych.inference import answer_schemas
from triptych.inference.classifier import MOST_SIMILAR
from triptych.preprocessing import recipe
from triptych.utils.text import text

# Formats of a heat map.
FORMATS = ("json", "png")


class IntegralNumber(fields.Integer):
    """A whole number, even if JSON writes it as 3.0."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return super()._deserialize(value, attr, data, **kwargs)


class Switch(fields.Boolean):
    """True or false, and nothing that is merely truthy."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


# Options that several requests have.
COMMITTEE = fields.String(
    metadata=answer_schemas.about(
        "The committee to use: its name, a name with a version such as garden@2, or auto. "
        "By default the studio's.",
        expected=text("the name of one"),
        example="lite",
    )
)
RULE = fields.String(
    validate=validate.OneOf(rules.RULES),
    metadata=answer_schemas.about(
        "How the members' answers are combined. By default the committee's own rule.",
        expected=text("one of: {names}", names=", ".join(rules.RULES)),
    ),
)
FIT = fields.String(
    validate=validate.OneOf(recipe.FITS),
    metadata=answer_schemas.about(
        "How a photo is fitted into the networks' square: crop keeps its proportions, square "
        "squeezes the whole of it. By default as each network was trained.",
        expected=text("one of: {names}", names=", ".join(recipe.FITS)),
    ),
)


class Options(answer_schemas.Exact):
    """The committee and the options; omitted ones are the committee's defaults."""

    committee = COMMITTEE
    members = fields.List(
        fields.String(),
        metadata=answer_schemas.about(
            "Names of the members to use. By default all.", expected=text("a list of names")
        ),
    )
    rule = RULE
    top = IntegralNumber(
        strict=True,
        validate=validate.Range(min=1),
        metadata=answer_schemas.about(
            "How many guesses to return. By default 3.",
            expected=text("a whole number of at least 1, such as 3"),
        ),
    )
    fit = FIT
    coverage = fields.Float(
        validate=validate.Range(min=0, max=conformal.GRID[-1], min_inclusive=False),
        metadata=answer_schemas.about(
            "How often the prediction set should contain the true class. By default the studio's "
            "setting, mostly 0.9.",
            exclusiveMinimum=0,
            expected=text("a share above 0 and below 1, such as 0.9"),
        ),
    )
    similar = IntegralNumber(
        strict=True,
        validate=validate.Range(min=0, max=MOST_SIMILAR),
        metadata=answer_schemas.about(
            "How many of the nearest training photos to return, for a trained committee. "
            "By default 0.",
            expected=text("a whole number from 0 to {most}", most=MOST_SIMILAR),
        ),
    )
    keep = Switch(
        metadata=answer_schemas.about(
            "Whether the studio may keep an image for review if the committee is unsure of it or "
            "takes it for none of its classes. By default it keeps nothing; true is refused unless "
            "the owner has opened the inbox.",
            expected=text("true or false"),
        ),
    )


class Why(answer_schemas.Exact):
    """The member and class to explain, and the format."""

    committee = COMMITTEE
    member = fields.String(
        metadata=answer_schemas.about(
            "Name of the member to explain. By default all that the rule uses, together.",
            expected=text("the name of one"),
        )
    )
    label = fields.String(
        metadata=answer_schemas.about(
            "Id or name of the class. By default the most probable one.",
            expected=text("the id or name of a class"),
        )
    )
    rule = RULE
    fit = FIT
    format = fields.String(
        validate=validate.OneOf(FORMATS),
        metadata=answer_schemas.about(
            "json: the map in numbers, and drawn over the photo in base64; png: only the latter, "
            "as a file. By default what the header Accept asks for, else json.",
            expected=text("one of: {names}", names=", ".join(FORMATS)),
        ),
    )


class Form(Options):
    """Images as files of a form, and the options as its other fields."""

    image = fields.List(
        Upload(),
        required=True,
        validate=validate.Length(min=1),
        metadata=answer_schemas.about("One part for each image, each with a file."),
    )


class EncodedImage(answer_schemas.Exact):
    """An image in JSON."""

    b64 = fields.String(
        required=True,
        metadata=answer_schemas.about("The bytes of the image's file in base64.", format="byte"),
    )
    name = fields.String(
        metadata=answer_schemas.about("Its name in the answer.", example="cat.jpg"),
    )


class Request(Options):
    """Images in JSON, and the options beside them."""

    images = fields.List(
        fields.Nested(EncodedImage),
        required=True,
        validate=validate.Length(min=1),
        metadata=answer_schemas.about("The images, answered in this order."),
    )


class WhyForm(Why):
    """An image as the file of a form, and the options as its other fields."""

    image = fields.List(
        Upload(),
        required=True,
        validate=validate.Length(equal=1),
        metadata=answer_schemas.about("One part with a file, and no other."),
    )


class WhyRequest(Why):
    """An image in JSON, and the options beside it."""

    images = fields.List(
        fields.Nested(EncodedImage),
        required=True,
        validate=validate.Length(equal=1),
        metadata=answer_schemas.about("The image, and no other."),
    )


OPTIONS = Options()
WHY = Why()
_SWITCH = {"true": True, "false": False}


def read_options(
    request: flask.Request, in_json: Mapping[str, Any], schema: marshmallow.Schema
) -> dict[str, Any]:
    """The options of a request: from its query string, overridden by its form or JSON.

    Args:
        request: The request.
        in_json: Options that came in JSON.
        schema: The schema of the known options.

    Raises:
        errors.SettingError: An option is unknown, or has an impossible value.
    """
    # Checked separately, so that an error in one is not hidden by the other.
    options = dict(_options_of_query(tuple(request.args.items(multi=True)), schema))
    if request.form or in_json:
        options |= check_options(options_from_form(request.form) | dict(in_json), schema)
    return options


# Most clients send the same few options with every photo.
@functools.lru_cache(64)
def _options_of_query(
    pairs: tuple[tuple[str, str], ...], schema: marshmallow.Schema
) -> dict[str, Any]:
    return check_options(options_from_text(MultiDict(pairs)), schema)


def options_from_text(values: MultiDict[str, str]) -> dict[str, Any]:
    """The options of a query string, as JSON values.

    Example:
        >>> options_from_text(MultiDict({"members": "A, B", "top": "2"}))
        {'members': ['A', 'B'], 'top': 2}
    """
    options: dict[str, Any] = dict(values.items())
    if "members" in options:
        names = [name.strip() for name in ",".join(values.getlist("members")).split(",")]
        options["members"] = [name for name in names if name]
    for name in ("top", "similar"):
        with contextlib.suppress(ValueError):  # not a number: refused with other wrong types
            options[name] = int(options.get(name, ""))
    if "keep" in options:
        options["keep"] = _SWITCH.get(options["keep"], options["keep"])
    return options


def options_from_form(values: MultiDict[str, str]) -> dict[str, Any]:
    """The options of a form; its empty fields count as omitted.

    Example:
        >>> options_from_form(MultiDict({"rule": "", "members": "", "top": "2"}))
        {'top': 2}
    """
    return {
        name: value for name, value in options_from_text(values).items() if value not in ("", [])
    }


def check_options(
    values: Mapping[str, Any], schema: marshmallow.Schema = OPTIONS
) -> dict[str, Any]:
    """The options, each of its type.

    Args:
        values: JSON values.
        schema: The schema of the known options.

    Raises:
        errors.SettingError: An option is unknown, or has an impossible value.

    Example:
        >>> check_options({"coverage": "0.95"})
        {'coverage': 0.95}
    """
    try:
        return dict(schema.load(values))
    except marshmallow.ValidationError as problem:
        name = str(next(iter(problem.messages_dict)))
    if name not in schema.fields:
        raise errors.SettingError(
            text(
                "There is no option {name!r}; expected only: {names}.",
                name=name,
                names=", ".join(schema.fields),
            )
        )
    expected = schema.fields[name].metadata["expected"]
    if name not in values:
        raise errors.SettingError(
            text("The option {name} is missing; expected {expected}.", name=name, expected=expected)
        )
    raise errors.SettingError(
        text(
            "The option {name} is {value}; expected {expected}.",
            name=name,
            value=reprlib.repr(values[name]),
            expected=expected,
        )
    )
