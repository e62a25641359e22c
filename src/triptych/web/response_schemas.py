"""The schemas of responses: the OpenAPI document is made from them, tests check responses by them.

Those of answers to images are in `triptych.inference.answer_schemas`, those of requests in
`triptych.web.request_schemas`.
"""

from __future__ import annotations

from marshmallow import fields

from triptych.ensemble import rules
from triptych.inference.answer_schemas import Answer
from triptych.inference.answer_schemas import Failure
from triptych.inference.answer_schemas import Guess
from triptych.inference.answer_schemas import Problem
from triptych.inference.answer_schemas import Verdict
from triptych.inference.answer_schemas import about


class Error(Answer):
    """A request that failed; all errors have this form."""

    error = fields.Nested(Problem)


class Explanation(Guess):
    """Which parts of a photo are evidence for a class."""

    source = fields.String(metadata=about("The image's name.", example="cat.jpg"))
    member = fields.String(
        allow_none=True, metadata=about("The member that was explained; null for the committee.")
    )
    method = fields.String(
        metadata=about("The method of the map, in words.", example="class activation map")
    )
    methods = fields.Dict(
        keys=fields.String(), values=fields.String(), metadata=about("The method for each member.")
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
    warning = fields.String(metadata=about("Present if the answer is meaningless.", sometimes=True))


# Marshmallow has no schema for "one or the other".
RESULTS = {
    "type": "array",
    "description": "One for each image, in the order they were sent.",
    "items": {"anyOf": [Verdict, Failure]},
}
ANSWERS = {"type": "object", "properties": {"results": RESULTS}, "required": ["results"]}


class Refusal(Error):
    """An error; if the only image of a request failed, its result is included."""

    results = fields.List(fields.Nested(Failure), metadata={"sometimes": True})


class Facts(Answer):
    """Facts about a committee that are known without loading it."""

    name = fields.String()
    members = fields.List(fields.String(), metadata=about("Empty if unknown until it is loaded."))
    rule = fields.String(metadata=about("Its default rule.", enum=list(rules.RULES)))
    ready = fields.Boolean(metadata=about("Whether it is loaded, so that it answers at once."))
    versions = fields.List(fields.Integer(), metadata=about("Versions on offer, the highest last."))
    active = fields.Integer(
        allow_none=True, metadata=about("The version that the bare name means.")
    )
    missing = fields.List(
        fields.String(), metadata=about("Members whose weights have to be fetched first.")
    )
    missing_mb = fields.Float(metadata=about("Size of these weights, in MB."))
    warning = fields.String(
        allow_none=True, metadata=about("Present if its answers are meaningless.")
    )
    multilabel = fields.Boolean(
        metadata=about(
            "Present, and true, if it answers any number of classes for a photo.", sometimes=True
        )
    )


class Committees(Answer):
    """The committees on offer."""

    default = fields.String(metadata=about("The committee for requests that name none."))
    committees = fields.List(fields.Nested(Facts))


class Model(Answer):
    """A network of the zoo, or one that was added."""

    name = fields.String(metadata=about("Its name in Keras.", example="ResNet50"))
    committees = fields.List(
        fields.String(), metadata=about("Built-in committees that it is a member of.")
    )
    size = fields.List(
        fields.Integer(), metadata=about("Of its input: height and width, in pixels.")
    )
    top1 = fields.Float(
        allow_none=True,
        metadata=about(
            "Published accuracy on ImageNet, from 0 to 1; null for a network that was added."
        ),
    )
    multiply_adds = fields.Integer(metadata=about("Multiply-adds for one image."))
    parameters = fields.Integer()
    feature_length = fields.Integer(
        metadata=about("Length of the features that heads are trained on.")
    )
    size_mb = fields.Float(metadata=about("Size of the file of weights."))
    licence = fields.String(metadata=about("Of the weights.", example="Apache-2.0"))
    paper = fields.String(metadata=about("Title and year; empty for one that was added."))
    here = fields.Boolean(metadata=about("Whether the weights are on this machine."))


class Models(Answer):
    """The networks of the zoo, and those that were added."""

    models = fields.List(fields.Nested(Model))


class Bundle(Answer):
    """A trained committee."""

    name = fields.String(metadata=about("Its name in requests.", example="garden"))
    version = fields.Integer(metadata=about("The version described here."))
    versions = fields.List(fields.Integer(), metadata=about("All versions, the highest last."))
    active = fields.Integer(
        allow_none=True,
        metadata=about("The version served under the bare name; null if none is published."),
    )
    classes = fields.List(fields.String(), metadata=about("In the order of the outputs."))
    members = fields.List(fields.String())
    top1 = fields.Float(
        allow_none=True,
        metadata=about("Share of right answers, from 0 to 1, if it was evaluated."),
    )
    interval = fields.List(
        fields.Float(),
        allow_none=True,
        metadata=about("95 % interval of that share; wide if there were few images."),
    )
    images = fields.Integer(
        allow_none=True, metadata=about("How many images that share was measured on.")
    )
    damage = fields.String(
        metadata=about(
            "What is wrong with its metrics; only present if something is.", sometimes=True
        )
    )
    created = fields.String(metadata=about("When it was trained; empty if unknown."))
    task = fields.String(
        metadata=about(
            "Present if it answers all classes that hold, not one: its share of right answers is "
            "then null.",
            enum=["multi-label"],
            sometimes=True,
        )
    )
    micro_f1 = fields.Float(
        metadata=about("F1 over all pairs of a photo and a class, if multi-label.", sometimes=True)
    )
    macro_f1 = fields.Float(
        metadata=about("Mean F1 of the classes, if multi-label.", sometimes=True)
    )


class BundleWithMetrics(Bundle):
    """A trained committee, with the metrics of its evaluation."""

    metrics = fields.Dict(
        keys=fields.String(),
        metadata=about("Metrics of its evaluation; empty if there was none."),
    )


class Bundles(Answer):
    """The trained committees, each in its active version, else in its highest."""

    bundles = fields.List(fields.Nested(Bundle))
