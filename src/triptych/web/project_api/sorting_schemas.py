"""The schemas of requests and responses about sorting a heap."""

from __future__ import annotations

from marshmallow import fields
from marshmallow import validate

from triptych.inference.answer_schemas import Answer
from triptych.inference.answer_schemas import Exact
from triptych.inference.answer_schemas import about
from triptych.studio.sorting.plan import SOURCES
from triptych.web.project_api.schemas import DIGEST
from triptych.web.project_api.schemas import DIGESTS
from triptych.web.project_api.schemas import LARGEST
from triptych.web.project_api.schemas import MOST_LISTED
from triptych.web.project_api.schemas import MOST_PHOTOS
from triptych.web.project_api.schemas import number_from
from triptych.web.project_api.schemas import numbers_between
from triptych.web.request_schemas import IntegralNumber

SOURCE = fields.String(
    validate=validate.OneOf(SOURCES),
    metadata=about(
        "project: the photos of the project without a class; inbox: those of the inbox, to be "
        "sorted into the project. By default project.",
        expected=f"one of: {', '.join(SOURCES)}",
    ),
)


# ------------------------------------------------------------------ requests


class HeapSource(Exact):
    """Which photos wait."""

    source = SOURCE


class HeapFilter(HeapSource):
    """Which photos wait, and what may be among them."""

    closed = fields.String(
        validate=validate.OneOf(("false", "true")),
        metadata=about(
            "true: there is a class for every photo, as you say; then all is offered that the "
            "committee is sure of. By default false: there may be kinds without a class.",
            expected="true or false",
        ),
    )


class HeapPhotoFilter(HeapFilter):
    """Which of the photos that wait to list."""

    class_id = numbers_between(
        "Only those offered as a class, by its number. By default those to be named by hand.",
        least=1,
        most=LARGEST,
    )
    offset = numbers_between("How many to skip. By default 0.", least=0, most=LARGEST)
    limit = numbers_between("How many at most. By default 100.", least=1, most=MOST_LISTED)


class OfferToAccept(HeapSource):
    """An offer to accept, or a part of it."""

    class_id = number_from("The number of the class.", required=True)
    digests = DIGESTS


class AcceptedToUndo(Exact):
    """What was accepted, and is to wait again."""

    batch = number_from("The batch that accepted it.", required=True)
    inbox_ids = fields.List(
        IntegralNumber(strict=True, validate=validate.Range(1, LARGEST)),
        validate=validate.Length(max=MOST_PHOTOS),
        metadata=about(
            "If the photos came from the inbox: their numbers there, as accepting gave them.",
            expected=f"a list of at most {MOST_PHOTOS} whole numbers",
        ),
    )


# ------------------------------------------------------------------ responses


class Offer(Answer):
    """Photos that can be accepted together as those of one class."""

    class_id = fields.Integer(metadata=about("The number of the class."))
    class_name = fields.String(metadata=about("Its name.", example="bees"))
    photos = fields.Integer(metadata=about("How many photos are offered."))
    digests = fields.List(
        fields.String(),
        metadata=about(
            f"The photos, the strangest first: of each the {DIGEST}. At most {MOST_PHOTOS}; the "
            "others are offered when these were accepted."
        ),
    )
    tested = fields.Integer(
        metadata=about(
            "With closed: how many labelled photos the committee called this class as surely, "
            "without having been trained on them; otherwise 0."
        )
    )
    right = fields.Integer(metadata=about("How many of those were of this class."))


class LabelsLeft(Answer):
    """How many more labels the committee needs to be good enough: 95 % right answers."""

    accuracy = fields.Float(metadata=about("Its share of right answers now, from 0 to 1."))
    photos = fields.Integer(metadata=about("On how many photos that was measured."))
    more = fields.Integer(
        allow_none=True, metadata=about("The estimate; null if labels alone will hardly do.")
    )
    low = fields.Integer(allow_none=True, metadata=about("The lower end of its interval."))
    high = fields.Integer(allow_none=True, metadata=about("Its upper end; null if it is open."))
    limit = fields.Float(metadata=about("The share with many times the labels."))


class Heap(Answer):
    """Photos that wait for a class."""

    source = fields.String(metadata=about("project or inbox.", enum=list(SOURCES)))
    closed = fields.Boolean(metadata=about("Whether there is a class for every photo."))
    waiting = fields.Integer(metadata=about("How many photos wait."))
    by_hand = fields.Integer(metadata=about("How many of them are not offered."))
    offers = fields.List(
        fields.Nested(Offer), metadata=about("By class, the one with the most photos first.")
    )
    wrong_share = fields.Float(
        allow_none=True,
        metadata=about(
            "The share of the offered photos that are expected to be wrong at most, from 0 to 1; "
            "null with closed."
        ),
    )
    promise = fields.Float(
        allow_none=True,
        metadata=about(
            "The share of sure answers that the committee promises to be right, from 0 to 1; null "
            "for none."
        ),
    )
    missing_promise = fields.String(
        allow_none=True, metadata=about("Why no answer is called sure, for people.")
    )
    version = fields.Integer(
        allow_none=True, metadata=about("The version that was asked; null for none.")
    )
    newest = fields.Integer(
        allow_none=True, metadata=about("The newest version; null if there is none yet.")
    )
    needs_comparison = fields.Boolean(
        metadata=about("Whether photos came, or a version was trained, since the last comparison.")
    )
    new = fields.Integer(metadata=about("How many photos came since the last comparison."))
    changes = fields.Integer(metadata=about("How many labels the newest version does not know of."))
    left = fields.Nested(
        LabelsLeft, allow_none=True, metadata=about("Null where it cannot be known.")
    )


class HeapPhoto(Answer):
    """A photo that waits for a class."""

    digest = fields.String(metadata=about(f"{DIGEST}."))
    name = fields.String(metadata=about("What its file was called.", example="bee.jpg"))
    status = fields.String(
        allow_none=True,
        metadata=about(
            "sure, unsure or none, as the committee says; null where it was not asked, or can "
            "promise nothing."
        ),
    )
    class_id = fields.Integer(
        allow_none=True, metadata=about("The most probable class; null if it was not asked.")
    )
    class_name = fields.String(allow_none=True, metadata=about("Its name."))
    prob = fields.Float(metadata=about("Its probability, from 0 to 1."))
    strangeness = fields.Float(
        metadata=about("How strange the photo is among those of that class, from 0.")
    )


class HeapPhotos(Answer):
    """Photos that wait for a class."""

    photos = fields.List(fields.Nested(HeapPhoto))
    total = fields.Integer(metadata=about("How many there are."))
    next = fields.Integer(
        allow_none=True, metadata=about("The offset of the next page; null if this is the last.")
    )


class Accepted(Answer):
    """What was accepted."""

    batch = fields.Integer(metadata=about("The batch, to undo it; 0 if nothing was accepted."))
    digests = fields.List(fields.String(), metadata=about("The photos that got the class."))
    skipped = fields.Integer(
        metadata=about("How many did not, as somebody else had decided about them.")
    )
    inbox_ids = fields.List(
        fields.Integer(), metadata=about("Their numbers in the inbox, if they came from there.")
    )


class Undone(Answer):
    """What waits after a batch was undone."""

    waiting = fields.Integer(metadata=about("How many photos wait."))


class ComparisonState(Answer):
    """A comparison of the photos that wait."""

    state = fields.String(
        metadata=about("How it stands.", enum=["running", "done", "stopped", "failed"])
    )
    said = fields.String(metadata=about("What it does, or why it failed."))
    under_way = fields.Boolean(metadata=about("Whether it runs."))
    progress = fields.Float(
        allow_none=True, metadata=about("The share of its stage that is done, from 0 to 1.")
    )
    source = fields.String(metadata=about("project or inbox.", enum=list(SOURCES)))
    began_s = fields.Float(metadata=about("When it was started, in seconds since 1970."))


class Comparison(Answer):
    """The latest comparison of a project's photos."""

    job = fields.Nested(
        ComparisonState,
        allow_none=True,
        metadata=about("The latest since the studio was started; null if there was none."),
    )
