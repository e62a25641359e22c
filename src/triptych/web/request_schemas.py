"""The schemas of requests: options and JSON are checked by them, and the OpenAPI document is made
from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_smorest.fields import Upload
from marshmallow import fields
from marshmallow import validate

from triptych.ensemble import conformal
from triptych.ensemble import rules
from triptych.inference.classifier import MOST_SIMILAR
from triptych.preprocessing import recipe
from triptych.web import response_schemas

# Formats of a heat map.
FORMATS = ("json", "png")


class IntegralNumber(fields.Integer):
    """A whole number, also where JSON writes it as 3.0."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return super()._deserialize(value, attr, data, **kwargs)


class Switch(fields.Boolean):
    """True or false, and nothing that might mean it."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


# Options that several requests have.
COMMITTEE = fields.String(
    metadata=response_schemas.about(
        "The committee to ask: its name, a name with a version such as garden@2, or auto. "
        "By default the studio's.",
        expected="the name of one",
        example="lite",
    )
)
RULE = fields.String(
    validate=validate.OneOf(rules.RULES),
    metadata=response_schemas.about(
        "How the members' answers are combined. By default the committee's own rule.",
        expected=f"one of: {', '.join(rules.RULES)}",
    ),
)
FIT = fields.String(
    validate=validate.OneOf(recipe.FITS),
    metadata=response_schemas.about(
        "How a photo is fitted into the networks' square: crop keeps its proportions, square "
        "squeezes the whole of it. By default as each network was trained.",
        expected=f"one of: {', '.join(recipe.FITS)}",
    ),
)


class Options(response_schemas.Exact):
    """Which committee answers, and how; the committee's defaults fill in the rest."""

    committee = COMMITTEE
    members = fields.List(
        fields.String(),
        metadata=response_schemas.about(
            "Names of the members that are to predict. By default all.", expected="a list of names"
        ),
    )
    rule = RULE
    top = IntegralNumber(
        strict=True,
        validate=validate.Range(min=1),
        metadata=response_schemas.about(
            "How many guesses to name. By default 3.",
            expected="a whole number of at least 1, such as 3",
        ),
    )
    fit = FIT
    coverage = fields.Float(
        validate=validate.Range(min=0, max=conformal.GRID[-1], min_inclusive=False),
        metadata=response_schemas.about(
            "How often the prediction set is to hold the true class. By default as the studio is "
            "set, mostly 0.9.",
            exclusiveMinimum=0,
            expected="a share above 0 and below 1, such as 0.9",
        ),
    )
    similar = IntegralNumber(
        strict=True,
        validate=validate.Range(min=0, max=MOST_SIMILAR),
        metadata=response_schemas.about(
            "How many of the nearest training photos to name, for a trained committee. "
            "By default 0.",
            expected=f"a whole number from 0 to {MOST_SIMILAR}",
        ),
    )
    keep = Switch(
        metadata=response_schemas.about(
            "Whether the studio may keep an image for review if the committee is unsure of it or "
            "takes it for none of its classes. By default it keeps nothing; true is refused unless "
            "the owner has opened the inbox.",
            expected="true or false",
        ),
    )


class Why(response_schemas.Exact):
    """Which member's map of which class is wanted, and in which format."""

    committee = COMMITTEE
    member = fields.String(
        metadata=response_schemas.about(
            "Name of the member to explain. By default all that the rule uses, together.",
            expected="the name of one",
        )
    )
    label = fields.String(
        metadata=response_schemas.about(
            "Id or name of the class. By default the most probable one.",
            expected="the id or name of a class",
        )
    )
    rule = RULE
    fit = FIT
    format = fields.String(
        validate=validate.OneOf(FORMATS),
        metadata=response_schemas.about(
            "json: the map in numbers, and drawn over the photo in base64; png: only the latter, "
            "as a file. By default what the header Accept asks for, else json.",
            expected=f"one of: {', '.join(FORMATS)}",
        ),
    )


class Form(Options):
    """Images as files of a form, and the options as its other fields."""

    image = fields.List(
        Upload(),
        required=True,
        validate=validate.Length(min=1),
        metadata=response_schemas.about("One part for each image, each with a file."),
    )


class EncodedImage(response_schemas.Exact):
    """An image in JSON."""

    b64 = fields.String(
        required=True,
        metadata=response_schemas.about("The bytes of the image's file in base64.", format="byte"),
    )
    name = fields.String(
        metadata=response_schemas.about("What to call it in the answer.", example="cat.jpg"),
    )


class Request(Options):
    """Images in JSON, and the options beside them."""

    images = fields.List(
        fields.Nested(EncodedImage),
        required=True,
        validate=validate.Length(min=1),
        metadata=response_schemas.about("The images, answered in this order."),
    )


class WhyForm(Why):
    """An image as the file of a form, and the options as its other fields."""

    image = fields.List(
        Upload(),
        required=True,
        validate=validate.Length(equal=1),
        metadata=response_schemas.about("One part with a file, and no other."),
    )


class WhyRequest(Why):
    """An image in JSON, and the options beside it."""

    images = fields.List(
        fields.Nested(EncodedImage),
        required=True,
        validate=validate.Length(equal=1),
        metadata=response_schemas.about("The image, and no other."),
    )
