"""The schemas of answers: the OpenAPI document is made from them, and tests check answers by them.

`triptych.results` and its like write the answers; nothing here does. The schemas of requests are in
`triptych.web.request_schemas`.
"""

from __future__ import annotations

from typing import Any

import marshmallow
from marshmallow import fields

from triptych.ensemble import promise
from triptych.ensemble import rules


class Exact(marshmallow.Schema):
    """A schema that refuses unknown fields."""

    class Meta:
        """Options of the library."""

        unknown = marshmallow.RAISE


class Answer(Exact):
    """A schema of which an answer has all fields, except those marked as ``sometimes``."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Called by the library for each field."""
        field_obj.required = not field_obj.metadata.get("sometimes")


def about(description: str, **more: Any) -> dict[str, Any]:
    """The description of a field in the OpenAPI document."""
    return {"description": description, **more}


class Problem(Answer):
    """What went wrong: a code for programs, and a sentence for people."""

    code = fields.String(metadata=about("Stable.", example="unknown_name"))
    message = fields.String(metadata=about("What came, what was expected, and how to mend it."))


class Error(Answer):
    """A request that failed; all errors have this form."""

    error = fields.Nested(Problem)


class Guess(Answer):
    """A class with its probability."""

    label = fields.String(metadata=about("Its name for people.", example="Egyptian cat"))
    id = fields.String(
        metadata=about(
            "A WordNet id, or the name of the folder of training photos.", example="n02124075"
        )
    )
    index = fields.Integer(metadata=about("Position in the network's output, from 0.", minimum=0))
    prob = fields.Float(metadata=about("From 0 to 1.", minimum=0, maximum=1))


class Prediction(Answer):
    """The answer of one member to an image."""

    name = fields.String(metadata=about("The member."))
    top = fields.List(fields.Nested(Guess), metadata=about("Most probable first."))


class Set(Answer):
    """A prediction set: classes among which is the true one as often as was asked for."""

    coverage = fields.Float(metadata=about("How often, from 0 to 1.", minimum=0, maximum=1))
    labels = fields.List(fields.Nested(Guess), metadata=about("Most probable first."))


class Similar(Answer):
    """A training photo that is near to the image."""

    digest = fields.String(metadata=about("SHA-256 of its file, in hex."))
    label = fields.String(metadata=about("Its class.", example="bees"))
    distance = fields.Float(
        metadata=about("Cosine distance of a network's features, from 0 (alike) to 2.", minimum=0)
    )


class StatusReason(Answer):
    """Why no answer of a committee can be called sure."""

    code = fields.String(
        metadata=about(
            "too_few_to_promise: too few photos were answered while learning; "
            "too_many_mistakes_to_promise: enough were, and too many of them wrongly.",
            enum=[promise.TOO_FEW, promise.TOO_MANY_MISTAKES],
        )
    )
    message = fields.String(metadata=about("The same in words, and what to do about it."))
    promise = fields.Float(
        metadata=about("The share of sure answers that was to be right.", minimum=0, maximum=1)
    )


class Joined(Guess):
    """The combined answer of the committee; the first of its guesses is repeated at the top."""

    rule = fields.String(metadata=about("How the answers were combined.", enum=list(rules.RULES)))
    surest = fields.String(metadata=about("The member with the highest probability."))
    top = fields.List(fields.Nested(Guess), metadata=about("Most probable first."))
    status = fields.String(
        allow_none=True,
        metadata=about(
            "sure: answers this probable are rarely wrong; unsure; none: like none of the "
            "training photos; null: the rule was not fitted, so nothing can be promised.",
            enum=["sure", "unsure", "none", None],
        ),
    )
    status_reason = fields.Nested(
        StatusReason,
        allow_none=True,
        metadata=about(
            "There where the committee can call no answer sure, so that unsure says nothing of "
            "this image; else null."
        ),
    )
    set = fields.Nested(Set, allow_none=True)
    novelty = fields.Float(
        allow_none=True,
        metadata=about(
            "Share of training photos that are at least as far from the others as this image; "
            "null where they are not known.",
            minimum=0,
            maximum=1,
        ),
    )
    similar = fields.List(
        fields.Nested(Similar),
        metadata=about(
            "The nearest training photos, as many as were asked for, the nearest first; none "
            "where their files are not known."
        ),
    )


class Timing(Answer):
    """Where the time of one image went, in milliseconds."""

    decode_ms = fields.Float(metadata=about("From bytes to pixels."))
    recipe_ms = fields.Float(metadata=about("From pixels to the inputs of all networks."))
    members_ms = fields.Dict(
        keys=fields.String(), values=fields.Float(), metadata=about("In each network.")
    )
    total_ms = fields.Float(
        metadata=about("From bytes to the answers of all members, which run beside each other.")
    )


class Verdict(Answer):
    """The answer to one image."""

    source = fields.String(metadata=about("The image's name.", example="cat.jpg"))
    verdict = fields.Nested(Joined)
    members = fields.List(
        fields.Nested(Prediction), metadata=about("Each member that predicted, in committee order.")
    )
    skipped = fields.List(
        fields.String(), metadata=about("Members that the rule cascade did not need.")
    )
    slept = fields.List(
        fields.String(), metadata=about("The old name of skipped.", deprecated=True)
    )
    reason = fields.String(allow_none=True, metadata=about("Why it did not need them."))
    timing = fields.Nested(Timing)
    warning = fields.String(
        metadata=about("There when the answer must not be believed.", sometimes=True)
    )


class Explanation(Guess):
    """Which parts of a photo speak for a class."""

    source = fields.String(metadata=about("The image's name.", example="cat.jpg"))
    member = fields.String(
        allow_none=True, metadata=about("Whose map it is; null where it is the committee's.")
    )
    method = fields.String(
        metadata=about("How the map was made, in words.", example="class activation map")
    )
    methods = fields.Dict(
        keys=fields.String(), values=fields.String(), metadata=about("The same by member.")
    )
    heat = fields.List(
        fields.List(fields.Float(metadata={"minimum": 0, "maximum": 1})),
        metadata=about("The map, row by row: from 0, little, to 1, much."),
    )
    box = fields.List(
        fields.Float(),
        metadata=about(
            "The part of the upright photo that the networks are shown: left, top, "
            "right and bottom, as shares of its width and height."
        ),
    )
    overlay = fields.String(
        metadata=about("The map drawn over the photo: a PNG file in base64.", format="byte")
    )
    warning = fields.String(
        metadata=about("There when the answer must not be believed.", sometimes=True)
    )


class Failure(Answer):
    """An image that could not be classified, in the place of its verdict."""

    source = fields.String(metadata=about("The image's name.", example="notes.txt"))
    error = fields.Nested(Problem)


# Marshmallow has no schema for "one or the other".
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
        fields.String(), metadata=about("Empty where only loading it would tell.")
    )
    rule = fields.String(metadata=about("Its default rule.", enum=list(rules.RULES)))
    ready = fields.Boolean(metadata=about("Whether it is loaded, so that it answers at once."))
    versions = fields.List(fields.Integer(), metadata=about("Those on offer, the highest last."))
    active = fields.Integer(
        allow_none=True, metadata=about("The one that answers to the bare name.")
    )
    missing = fields.List(
        fields.String(), metadata=about("Members whose weights have to be fetched first.")
    )
    missing_mb = fields.Float(metadata=about("How much that is, in MB."))
    warning = fields.String(
        allow_none=True, metadata=about("Set when its answers must not be believed.")
    )


class Committees(Answer):
    """The committees on offer."""

    default = fields.String(metadata=about("The one that answers when none is named."))
    committees = fields.List(fields.Nested(Facts))


class Model(Answer):
    """A network of the zoo."""

    name = fields.String(metadata=about("As Keras spells it.", example="ResNet50"))
    committees = fields.List(
        fields.String(), metadata=about("Committees that it is a member of from the start.")
    )
    size = fields.List(
        fields.Integer(), metadata=about("Of its input: height and width, in pixels.")
    )
    top1 = fields.Float(metadata=about("Published accuracy on ImageNet, from 0 to 1."))
    multiply_adds = fields.Integer(metadata=about("What one image costs."))
    parameters = fields.Integer()
    feature_length = fields.Integer(
        metadata=about("Length of the features that heads are trained on.")
    )
    size_mb = fields.Float(metadata=about("Of the file of weights."))
    licence = fields.String(metadata=about("Of the weights.", example="Apache-2.0"))
    paper = fields.String(metadata=about("Title and year."))
    here = fields.Boolean(metadata=about("Whether the weights are on this machine."))


class Models(Answer):
    """The networks of the zoo."""

    models = fields.List(fields.Nested(Model))


class Bundle(Answer):
    """A trained committee."""

    name = fields.String(metadata=about("Its name in requests.", example="garden"))
    version = fields.Integer(metadata=about("The one that is described here."))
    versions = fields.List(fields.Integer(), metadata=about("All versions, the highest last."))
    active = fields.Integer(
        allow_none=True,
        metadata=about("The one that is served under the bare name; null if none is published."),
    )
    classes = fields.List(fields.String(), metadata=about("In the order of the outputs."))
    members = fields.List(fields.String())
    top1 = fields.Float(
        allow_none=True,
        metadata=about("Share of right answers where it was evaluated, from 0 to 1."),
    )
    interval = fields.List(
        fields.Float(),
        allow_none=True,
        metadata=about("95 % interval of that share; wide where few images were answered."),
    )
    images = fields.Integer(
        allow_none=True, metadata=about("How many images were answered for that share.")
    )
    damage = fields.String(
        metadata=about("What is wrong with its metrics; only where something is.", sometimes=True)
    )
    created = fields.String(metadata=about("When it was trained; empty where that is not known."))


class BundleWithMetrics(Bundle):
    """A trained committee, with the metrics of its evaluation."""

    metrics = fields.Dict(
        keys=fields.String(),
        metadata=about("Metrics of its evaluation; empty where there was none."),
    )


class Bundles(Answer):
    """The trained committees, each in its active version, else in its highest."""

    bundles = fields.List(fields.Nested(Bundle))
