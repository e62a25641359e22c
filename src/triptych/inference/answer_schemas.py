"""The JSON form of answers, as schemas: the one place that names and describes their fields.

`triptych.results` writes the answers. The OpenAPI document and the columns of Parquet files are
made from these schemas, and tests check answers by them.
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


class MultilabelGuess(Guess):
    """A class that holds, beside others."""

    threshold = fields.Float(
        metadata=about("The probability from which on it holds.", minimum=0, maximum=1)
    )


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
    label = fields.String(
        metadata=about("Its class; of a multi-label committee all, joined by |.", example="bees")
    )
    labels = fields.List(
        fields.String(),
        metadata=about("All its classes, of a multi-label committee.", sometimes=True),
    )
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
    labels = fields.List(
        fields.Nested(MultilabelGuess),
        metadata=about(
            "Of a multi-label committee, whose probabilities do not sum to 1: the classes that "
            "hold, each more probable than its threshold, most probable first; perhaps none. "
            "Absent where a photo has one class.",
            sometimes=True,
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
    warning = fields.String(metadata=about("Present if the answer is meaningless.", sometimes=True))


class Failure(Answer):
    """An image that could not be classified, in the place of its verdict."""

    source = fields.String(metadata=about("The image's name.", example="notes.txt"))
    error = fields.Nested(Problem)
