"""What requests and answers look like, as data: the API's document is made from this, the options
and JSON requests are checked with it, and tests hold every real answer to it.

Answers are written by `triptych.results` and its like; nothing here writes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow
from flask_smorest.fields import Upload
from marshmallow import fields
from marshmallow import validate

from triptych import conformal
from triptych import doubt
from triptych import recipe


class _Exact(marshmallow.Schema):
    """It has no other fields than those it names."""

    class Meta:
        unknown = marshmallow.RAISE


class Answer(_Exact):
    """An answer always has all the fields it names, but for those that say so."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Called by the library for each field."""
        field_obj.required = not field_obj.metadata.get("sometimes")


class Whole(fields.Integer):
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


def _said(description: str, **more: Any) -> dict[str, Any]:
    return {"description": description, **more}


# ------------------------------------------------------------------ requests


class Options(_Exact):
    """Who is asked, and how; what is left out is as the committee has it."""

    committee = fields.String(
        metadata=_said(
            "The committee to ask: its name, a name with a version such as garden@2, or auto. "
            "By default the studio's.",
            expected="the name of one",
            example="lite",
        )
    )
    members = fields.List(
        fields.String(),
        metadata=_said("Names of the members to ask. By default all.", expected="a list of names"),
    )
    rule = fields.String(
        validate=validate.OneOf(doubt.RULES),
        metadata=_said(
            "How the members' answers are joined. By default the committee's own way.",
            expected=f"one of: {', '.join(doubt.RULES)}",
        ),
    )
    top = Whole(
        strict=True,
        validate=validate.Range(min=1),
        metadata=_said(
            "How many guesses to name. By default 3.",
            expected="a whole number of at least 1, such as 3",
        ),
    )
    fit = fields.String(
        validate=validate.OneOf(recipe.FITS),
        metadata=_said(
            "How a photo is fitted into the networks' square: crop keeps its proportions, square "
            "squeezes the whole of it. By default as each network was trained.",
            expected=f"one of: {', '.join(recipe.FITS)}",
        ),
    )
    coverage = fields.Float(
        validate=validate.Range(min=0, max=conformal.GRID[-1], min_inclusive=False),
        metadata=_said(
            "How often the set of classes shall hold the true one. By default as the studio is "
            "set, mostly 0.9.",
            exclusiveMinimum=0,
            expected="a share above 0 and below 1, such as 0.9",
        ),
    )
    keep = Switch(
        metadata=_said(
            "Whether the studio may keep an image for review if the committee is unsure of it or "
            "takes it for none of its classes. By default it keeps nothing; only where its owner "
            "has opened the inbox can it be asked to.",
            expected="true or false",
        ),
    )


class Form(Options):
    """Images as files of a form, and the options as its other fields."""

    image = fields.List(
        Upload(),
        required=True,
        validate=validate.Length(min=1),
        metadata=_said("One part for each image, each with a file."),
    )


class EncodedImage(_Exact):
    """An image in JSON."""

    b64 = fields.String(
        required=True,
        metadata=_said("The bytes of the image's file in base64.", format="byte"),
    )
    name = fields.String(
        metadata=_said("What to call it in the answer.", example="cat.jpg"),
    )


class Request(Options):
    """Images in JSON, and the options beside them."""

    images = fields.List(
        fields.Nested(EncodedImage),
        required=True,
        validate=validate.Length(min=1),
        metadata=_said("The images, answered in this order."),
    )


def complaint(wrong: Any) -> tuple[str, str]:
    """The first of the things that a schema found wrong: where, and what.

    Args:
        wrong: As `marshmallow.Schema.validate` gives it, with at least one complaint.

    Example:
        >>> complaint(EncodedImage(many=True).validate([{"b64": 1}]))
        ('[0].b64', 'Not a valid string.')
    """
    place = ""
    while isinstance(wrong, Mapping):
        key, wrong = next(iter(wrong.items()))
        if key != marshmallow.exceptions.SCHEMA:  # the whole, not a field of it
            place += f"[{key}]" if isinstance(key, int) else f".{key}"
    return place, wrong[0]


# ------------------------------------------------------------------ answers


class Problem(Answer):
    """What went wrong: a code for programs, and a sentence for people."""

    code = fields.String(metadata=_said("Stable.", example="unknown_name"))
    message = fields.String(metadata=_said("What came, what was expected, and how to mend it."))


class Error(Answer):
    """The one form of a request that failed."""

    error = fields.Nested(Problem)


class Guess(Answer):
    """A class with its probability."""

    label = fields.String(metadata=_said("What people call it.", example="Egyptian cat"))
    id = fields.String(
        metadata=_said("A WordNet id, or the folder's name of own classes.", example="n02124075")
    )
    index = fields.Integer(metadata=_said("Position in the network's output, from 0.", minimum=0))
    prob = fields.Float(metadata=_said("From 0 to 1.", minimum=0, maximum=1))


class Prediction(Answer):
    """What one member says of an image."""

    name = fields.String(metadata=_said("The member."))
    top = fields.List(fields.Nested(Guess), metadata=_said("Most probable first."))


class Set(Answer):
    """A set of classes that holds the true one as often as was asked for."""

    coverage = fields.Float(metadata=_said("How often, from 0 to 1.", minimum=0, maximum=1))
    labels = fields.List(fields.Nested(Guess), metadata=_said("Most probable first."))


class Joined(Guess):
    """What the committee says of an image; its first guess stands at the top, too."""

    rule = fields.String(metadata=_said("How the answers were joined.", enum=list(doubt.RULES)))
    surest = fields.String(metadata=_said("The member with the highest probability."))
    top = fields.List(fields.Nested(Guess), metadata=_said("Most probable first."))
    status = fields.String(
        allow_none=True,
        metadata=_said(
            "sure: answers this probable are rarely wrong; unsure; none: nothing like it was "
            "taught; null: the committee was not fitted, so nothing can be promised.",
            enum=["sure", "unsure", "none", None],
        ),
    )
    set = fields.Nested(Set, allow_none=True)
    novelty = fields.Float(
        allow_none=True,
        metadata=_said(
            "The share of taught photos that look as little like the others as this one; null "
            "where no photos were taught.",
            minimum=0,
            maximum=1,
        ),
    )


class Timing(Answer):
    """Where the time of one image went, in milliseconds."""

    decode_ms = fields.Float(metadata=_said("From bytes to pixels."))
    recipe_ms = fields.Float(metadata=_said("From pixels to the inputs of all networks."))
    members_ms = fields.Dict(
        keys=fields.String(), values=fields.Float(), metadata=_said("In each network.")
    )
    total_ms = fields.Float(
        metadata=_said("From bytes to the members' answers, which look beside each other.")
    )


class Verdict(Answer):
    """The answer to one image."""

    source = fields.String(metadata=_said("The image's name.", example="cat.jpg"))
    verdict = fields.Nested(Joined)
    members = fields.List(
        fields.Nested(Prediction), metadata=_said("Each member that was asked, in their order.")
    )
    slept = fields.List(
        fields.String(), metadata=_said("Members that the rule cascade did not need.")
    )
    reason = fields.String(allow_none=True, metadata=_said("Why it did not need them."))
    timing = fields.Nested(Timing)
    warning = fields.String(
        metadata=_said("There when the answer must not be believed.", sometimes=True)
    )


class Failure(Answer):
    """An image that could not be answered, in the place of its verdict."""

    source = fields.String(metadata=_said("The image's name.", example="notes.txt"))
    error = fields.Nested(Problem)


# What no class of marshmallow says: one or the other.
RESULTS = {
    "type": "array",
    "description": "One for each image, in the order they came.",
    "items": {"anyOf": [Verdict, Failure]},
}
ANSWERS = {"type": "object", "properties": {"results": RESULTS}, "required": ["results"]}


class Refusal(Error):
    """The form of an error; when the only image of a request failed, its result is there, too."""

    results = fields.List(fields.Nested(Failure), metadata={"sometimes": True})


class Facts(Answer):
    """What can be said of a committee without loading it."""

    name = fields.String()
    members = fields.List(
        fields.String(), metadata=_said("Empty where only loading it would tell.")
    )
    rule = fields.String(metadata=_said("Its own way.", enum=list(doubt.RULES)))
    ready = fields.Boolean(metadata=_said("Whether it is loaded, so that it answers at once."))
    versions = fields.List(fields.Integer(), metadata=_said("Those on offer, the highest last."))
    active = fields.Integer(
        allow_none=True, metadata=_said("The one that answers to the bare name.")
    )
    missing = fields.List(
        fields.String(), metadata=_said("Members whose weights have to be fetched first.")
    )
    missing_mb = fields.Float(metadata=_said("How much that is, in MB."))
    warning = fields.String(
        allow_none=True, metadata=_said("Set when its answers must not be believed.")
    )


class Committees(Answer):
    """The committees on offer."""

    default = fields.String(metadata=_said("The one that answers when none is named."))
    committees = fields.List(fields.Nested(Facts))


class Model(Answer):
    """A network of the zoo."""

    name = fields.String(metadata=_said("As Keras spells it.", example="ResNet50"))
    committees = fields.List(
        fields.String(), metadata=_said("Committees that it is a member of from the start.")
    )
    size = fields.List(
        fields.Integer(), metadata=_said("Of its input: height and width, in pixels.")
    )
    top1 = fields.Float(metadata=_said("Published accuracy on ImageNet, from 0 to 1."))
    multiply_adds = fields.Integer(metadata=_said("What one image costs."))
    parameters = fields.Integer()
    feature_length = fields.Integer(metadata=_said("What heads are taught on."))
    size_mb = fields.Float(metadata=_said("Of the file of weights."))
    licence = fields.String(metadata=_said("Of the weights.", example="Apache-2.0"))
    paper = fields.String(metadata=_said("Title and year."))
    here = fields.Boolean(metadata=_said("Whether the weights are on this machine."))


class Models(Answer):
    """The networks of the zoo."""

    models = fields.List(fields.Nested(Model))


class Bundle(Answer):
    """A committee that was taught."""

    name = fields.String(metadata=_said("What to ask it by.", example="garden"))
    version = fields.Integer(metadata=_said("The one that is described here."))
    versions = fields.List(fields.Integer(), metadata=_said("Those there are, the highest last."))
    active = fields.Integer(
        allow_none=True,
        metadata=_said("The one that is served under the bare name; null if none is published."),
    )
    classes = fields.List(fields.String(), metadata=_said("In the order of the outputs."))
    members = fields.List(fields.String())
    top1 = fields.Float(
        allow_none=True,
        metadata=_said("Share of right answers where it was evaluated, from 0 to 1."),
    )
    created = fields.String(metadata=_said("When it was taught; empty where that is not known."))


class BundleWithMetrics(Bundle):
    """A committee that was taught, and how good it is."""

    metrics = fields.Dict(
        keys=fields.String(),
        metadata=_said("Figures of its evaluation; empty where there was none."),
    )


class Bundles(Answer):
    """The committees that were taught, each in its active version, else in its highest."""

    bundles = fields.List(fields.Nested(Bundle))
