"""What answers look like, as data: the API's document is made from this, and tests hold every real
answer to it.

Answers are written by `triptych.results` and its like; nothing here writes one. What requests look
like is in `sent`.
"""

from __future__ import annotations

from typing import Any

import marshmallow
from marshmallow import fields

from triptych.ensemble import rules


class Exact(marshmallow.Schema):
    """It has no other fields than those it names."""

    class Meta:
        """What the library is to do with others."""

        unknown = marshmallow.RAISE


class Answer(Exact):
    """An answer always has all the fields it names, but for those that say so."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Called by the library for each field."""
        field_obj.required = not field_obj.metadata.get("sometimes")


def said(description: str, **more: Any) -> dict[str, Any]:
    """What a field says of itself in the document."""
    return {"description": description, **more}


class Problem(Answer):
    """What went wrong: a code for programs, and a sentence for people."""

    code = fields.String(metadata=said("Stable.", example="unknown_name"))
    message = fields.String(metadata=said("What came, what was expected, and how to mend it."))


class Error(Answer):
    """The one form of a request that failed."""

    error = fields.Nested(Problem)


class Guess(Answer):
    """A class with its probability."""

    label = fields.String(metadata=said("What people call it.", example="Egyptian cat"))
    id = fields.String(
        metadata=said("A WordNet id, or the folder's name of own classes.", example="n02124075")
    )
    index = fields.Integer(metadata=said("Position in the network's output, from 0.", minimum=0))
    prob = fields.Float(metadata=said("From 0 to 1.", minimum=0, maximum=1))


class Prediction(Answer):
    """What one member says of an image."""

    name = fields.String(metadata=said("The member."))
    top = fields.List(fields.Nested(Guess), metadata=said("Most probable first."))


class Set(Answer):
    """A set of classes that holds the true one as often as was asked for."""

    coverage = fields.Float(metadata=said("How often, from 0 to 1.", minimum=0, maximum=1))
    labels = fields.List(fields.Nested(Guess), metadata=said("Most probable first."))


class Similar(Answer):
    """A taught photo that looks like the one that was asked about."""

    digest = fields.String(metadata=said("SHA-256 of its file, in hex."))
    label = fields.String(metadata=said("The class it was taught as.", example="bees"))
    distance = fields.Float(
        metadata=said(
            "From 0 (alike) to 2: the cosine distance of what a network sees in them.", minimum=0
        )
    )


class Joined(Guess):
    """What the committee says of an image; its first guess stands at the top, too."""

    rule = fields.String(metadata=said("How the answers were joined.", enum=list(rules.RULES)))
    surest = fields.String(metadata=said("The member with the highest probability."))
    top = fields.List(fields.Nested(Guess), metadata=said("Most probable first."))
    status = fields.String(
        allow_none=True,
        metadata=said(
            "sure: answers this probable are rarely wrong; unsure; none: nothing like it was "
            "taught; null: the committee was not fitted, so nothing can be promised.",
            enum=["sure", "unsure", "none", None],
        ),
    )
    set = fields.Nested(Set, allow_none=True)
    novelty = fields.Float(
        allow_none=True,
        metadata=said(
            "The share of taught photos that look as little like the others as this one; null "
            "where no photos were taught.",
            minimum=0,
            maximum=1,
        ),
    )
    similar = fields.List(
        fields.Nested(Similar),
        metadata=said(
            "The nearest taught photos, as many as were asked for, the nearest first; none where "
            "it is not known which were taught."
        ),
    )


class Timing(Answer):
    """Where the time of one image went, in milliseconds."""

    decode_ms = fields.Float(metadata=said("From bytes to pixels."))
    recipe_ms = fields.Float(metadata=said("From pixels to the inputs of all networks."))
    members_ms = fields.Dict(
        keys=fields.String(), values=fields.Float(), metadata=said("In each network.")
    )
    total_ms = fields.Float(
        metadata=said("From bytes to the members' answers, which look beside each other.")
    )


class Verdict(Answer):
    """The answer to one image."""

    source = fields.String(metadata=said("The image's name.", example="cat.jpg"))
    verdict = fields.Nested(Joined)
    members = fields.List(
        fields.Nested(Prediction), metadata=said("Each member that was asked, in their order.")
    )
    skipped = fields.List(
        fields.String(), metadata=said("Members that the rule cascade did not need.")
    )
    slept = fields.List(fields.String(), metadata=said("The old name of skipped.", deprecated=True))
    reason = fields.String(allow_none=True, metadata=said("Why it did not need them."))
    timing = fields.Nested(Timing)
    warning = fields.String(
        metadata=said("There when the answer must not be believed.", sometimes=True)
    )


class Explanation(Guess):
    """Which parts of a photo speak for a class."""

    source = fields.String(metadata=said("The image's name.", example="cat.jpg"))
    member = fields.String(
        allow_none=True, metadata=said("Whose map it is; null where it is the committee's.")
    )
    method = fields.String(
        metadata=said("How the map was made, in words.", example="class activation map")
    )
    methods = fields.Dict(
        keys=fields.String(), values=fields.String(), metadata=said("The same by member.")
    )
    heat = fields.List(
        fields.List(fields.Float(metadata={"minimum": 0, "maximum": 1})),
        metadata=said("The map, row by row: from 0, little, to 1, much."),
    )
    box = fields.List(
        fields.Float(),
        metadata=said(
            "The part of the upright photo that was seen, and that the map lies over: left, top, "
            "right and bottom, as shares of its width and height."
        ),
    )
    overlay = fields.String(
        metadata=said("The map drawn over the photo: a PNG file in base64.", format="byte")
    )
    warning = fields.String(
        metadata=said("There when the answer must not be believed.", sometimes=True)
    )


class Failure(Answer):
    """An image that could not be answered, in the place of its verdict."""

    source = fields.String(metadata=said("The image's name.", example="notes.txt"))
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
    members = fields.List(fields.String(), metadata=said("Empty where only loading it would tell."))
    rule = fields.String(metadata=said("Its own way.", enum=list(rules.RULES)))
    ready = fields.Boolean(metadata=said("Whether it is loaded, so that it answers at once."))
    versions = fields.List(fields.Integer(), metadata=said("Those on offer, the highest last."))
    active = fields.Integer(
        allow_none=True, metadata=said("The one that answers to the bare name.")
    )
    missing = fields.List(
        fields.String(), metadata=said("Members whose weights have to be fetched first.")
    )
    missing_mb = fields.Float(metadata=said("How much that is, in MB."))
    warning = fields.String(
        allow_none=True, metadata=said("Set when its answers must not be believed.")
    )


class Committees(Answer):
    """The committees on offer."""

    default = fields.String(metadata=said("The one that answers when none is named."))
    committees = fields.List(fields.Nested(Facts))


class Model(Answer):
    """A network of the zoo."""

    name = fields.String(metadata=said("As Keras spells it.", example="ResNet50"))
    committees = fields.List(
        fields.String(), metadata=said("Committees that it is a member of from the start.")
    )
    size = fields.List(
        fields.Integer(), metadata=said("Of its input: height and width, in pixels.")
    )
    top1 = fields.Float(metadata=said("Published accuracy on ImageNet, from 0 to 1."))
    multiply_adds = fields.Integer(metadata=said("What one image costs."))
    parameters = fields.Integer()
    feature_length = fields.Integer(metadata=said("What heads are taught on."))
    size_mb = fields.Float(metadata=said("Of the file of weights."))
    licence = fields.String(metadata=said("Of the weights.", example="Apache-2.0"))
    paper = fields.String(metadata=said("Title and year."))
    here = fields.Boolean(metadata=said("Whether the weights are on this machine."))


class Models(Answer):
    """The networks of the zoo."""

    models = fields.List(fields.Nested(Model))


class Bundle(Answer):
    """A committee that was taught."""

    name = fields.String(metadata=said("What to ask it by.", example="garden"))
    version = fields.Integer(metadata=said("The one that is described here."))
    versions = fields.List(fields.Integer(), metadata=said("Those there are, the highest last."))
    active = fields.Integer(
        allow_none=True,
        metadata=said("The one that is served under the bare name; null if none is published."),
    )
    classes = fields.List(fields.String(), metadata=said("In the order of the outputs."))
    members = fields.List(fields.String())
    top1 = fields.Float(
        allow_none=True,
        metadata=said("Share of right answers where it was evaluated, from 0 to 1."),
    )
    created = fields.String(metadata=said("When it was taught; empty where that is not known."))


class BundleWithMetrics(Bundle):
    """A committee that was taught, and how good it is."""

    metrics = fields.Dict(
        keys=fields.String(),
        metadata=said("Figures of its evaluation; empty where there was none."),
    )


class Bundles(Answer):
    """The committees that were taught, each in its active version, else in its highest."""

    bundles = fields.List(fields.Nested(Bundle))
