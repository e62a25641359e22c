"""The schemas of the API of projects; those of requests say what is expected of each field."""

from __future__ import annotations

from typing import Any

from flask_smorest.fields import Upload
from marshmallow import fields
from marshmallow import validate

from triptych.inference.answer_schemas import Answer
from triptych.inference.answer_schemas import Exact
from triptych.inference.answer_schemas import Problem
from triptych.inference.answer_schemas import about
from triptych.web.request_schemas import IntegralNumber
from triptych.web.request_schemas import Switch

LARGEST = 2**53 - 1  # the largest whole number that every reader of JSON knows exactly
MOST_PHOTOS = 5000
MOST_LISTED = 1000
MOST_DECISIONS = 10_000
MOVE, ADD, REMOVE = "move", "add", "remove"
EXCLUDE, INCLUDE, CONFIRM = "exclude", "include", "confirm"
ACTIONS = (MOVE, ADD, REMOVE, EXCLUDE, INCLUDE, CONFIRM)
ANY = "any"
HELD_OUT, ALL_PHOTOS = "held_out", "all"

DIGEST = "SHA-256 of the photo's file, in 64 hexadecimal digits"


def number_from(description: str, *, least: int = 1, **more: Any) -> fields.Integer:
    """A field for a whole number in JSON."""
    expected = f"a whole number from {least}"
    return IntegralNumber(
        strict=True,
        validate=validate.Range(least, LARGEST),
        metadata=about(description, expected=expected),
        **more,
    )


def numbers_between(description: str, *, least: int, most: int) -> fields.Integer:
    """A field for a whole number in a query string."""
    return fields.Integer(
        validate=validate.Range(least, most),
        metadata=about(description, expected=f"a whole number from {least} to {most}"),
    )


# ------------------------------------------------------------------ requests


class Title(Exact):
    """The title of a project."""

    title = fields.String(
        required=True,
        metadata=about(
            "At most 80 letters.", expected="a title such as 'My garden'", example="My garden"
        ),
    )


class NewProject(Title):
    """A project to be created."""

    multilabel = Switch(
        metadata=about(
            "Whether a photo can have any number of classes, instead of one. By default false.",
            expected="true or false",
        )
    )


class ProjectChange(Exact):
    """What to change of a project; the rest stays."""

    title = fields.String(
        metadata=about("At most 80 letters.", expected="a title such as 'My garden'")
    )
    multilabel = Switch(
        metadata=about(
            "Whether a photo can have any number of classes. Refused while photos have several "
            "and are to have one.",
            expected="true or false",
        )
    )


class ZippedProject(Exact):
    """A zip with a folder of photos for each class."""

    zip = Upload(required=True, metadata=about("The zip.", expected="a file"))
    title = fields.String(metadata=about("By default the name of the zip.", expected="a title"))


class ClassName(Exact):
    """The name of a class."""

    name = fields.String(
        required=True,
        metadata=about(
            "At most 60 letters; a valid name of a folder.",
            expected="a name such as 'bees'",
            example="bees",
        ),
    )


class PhotoForm(Exact):
    """Photos, or a zip of them, as the files of a form."""

    photo = fields.List(
        Upload(), metadata=about("One part for each photo, each with a file.", expected="files")
    )
    zip = Upload(
        metadata=about(
            "Instead of photos: a zip with a folder of photos for each class. Classes that the "
            "project lacks are added.",
            expected="a file",
        )
    )
    class_id = fields.List(
        fields.Integer(),
        metadata=about(
            "The number of the class of these photos; several in a multi-label project. By "
            "default none.",
            expected="the number of a class",
        ),
    )
    class_name = fields.List(
        fields.String(),
        metadata=about("The same by name.", expected="the name of a class", example="bees"),
    )


class PhotoFilter(Exact):
    """Which photos of a project to list."""

    class_id = fields.Integer(
        validate=validate.Range(-3, LARGEST),
        metadata=about(
            "Only those of a class, by its number; 0: those without a class; -3: those of a "
            "multi-label project to which no class applies.",
            expected="the number of a class, 0 or -3",
        ),
    )
    excluded = fields.String(
        validate=validate.OneOf(("false", "true", ANY)),
        metadata=about(
            "Whether to list excluded photos, the others, or both. By default the others.",
            expected="one of: false, true, any",
        ),
    )
    offset = numbers_between("How many to skip. By default 0.", least=0, most=LARGEST)
    limit = numbers_between("How many at most. By default 100.", least=1, most=MOST_LISTED)


class HistoryFilter(Exact):
    """Which decisions to list."""

    offset = numbers_between("How many to skip. By default 0.", least=0, most=LARGEST)
    limit = numbers_between("How many at most. By default 100.", least=1, most=MOST_DECISIONS)


DIGESTS = fields.List(
    fields.String(validate=validate.Regexp("^[0-9a-f]{64}$")),
    required=True,
    validate=validate.Length(1, MOST_PHOTOS),
    metadata=about(
        f"The photos: of each the {DIGEST}.",
        expected=f"a list of 1 to {MOST_PHOTOS} digests",
    ),
)


class Digests(Exact):
    """Photos of a project."""

    digests = DIGESTS


class Expected(Exact):
    """The state of a photo that a decision is based on."""

    class_id = number_from("Its class; null for none, or several.", allow_none=True)
    class_ids = fields.List(
        IntegralNumber(strict=True),
        allow_none=True,
        metadata=about("All its classes; null if it was not reviewed.", expected="a list"),
    )
    excluded = Switch(metadata=about("Whether it is excluded.", expected="true or false"))


class DecisionForm(Exact):
    """A decision about photos."""

    digests = DIGESTS
    action = fields.String(
        required=True,
        validate=validate.OneOf(ACTIONS),
        metadata=about(
            "move: to a class, or to none; add, remove: one class, in multi-label projects; "
            "exclude: from training; include: again; confirm: the label is right.",
            expected=f"one of: {', '.join(ACTIONS)}",
        ),
    )
    class_id = number_from(
        "For move, add and remove: the number of the class; null for none.", allow_none=True
    )
    class_ids = fields.List(
        IntegralNumber(strict=True, validate=validate.Range(1, LARGEST)),
        metadata=about(
            "For move in a multi-label project, instead of class_id: all classes that the photos "
            "are to have; none if no class applies.",
            expected="a list of numbers of classes",
        ),
    )
    expected = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(Expected),
        metadata=about(
            "By digest, the state that the decision is based on. If one is different, nothing is "
            "decided, and the error has those photos as they are now. Without it the decision is "
            "recorded on top of what others have decided.",
            expected="an object of digests, each with class_id, class_ids or excluded",
        ),
    )


class InboxFilter(Exact):
    """Which photos of the inbox to list."""

    before = numbers_between(
        "Only photos with a lower number: those on the next page. By default the newest.",
        least=1,
        most=LARGEST,
    )
    limit = numbers_between("How many at most. By default 100.", least=1, most=MOST_LISTED)


class InboxIds(Exact):
    """Photos of the inbox."""

    ids = fields.List(
        IntegralNumber(strict=True, validate=validate.Range(1, LARGEST)),
        required=True,
        validate=validate.Length(1, MOST_PHOTOS),
        metadata=about(
            "Their numbers in the inbox.", expected=f"a list of 1 to {MOST_PHOTOS} whole numbers"
        ),
    )


class InboxMove(InboxIds):
    """Photos of the inbox that are to be in a project."""

    project = fields.String(
        required=True,
        metadata=about("The project's key.", expected="a key such as 'garden'", example="garden"),
    )
    class_id = number_from(
        "The number of their class; by default none, so that they wait in the project.",
        allow_none=True,
    )
    class_ids = fields.List(
        IntegralNumber(strict=True, validate=validate.Range(1, LARGEST)),
        metadata=about(
            "In a multi-label project, instead of class_id: all their classes; none if no class "
            "applies.",
            expected="a list of numbers of classes",
        ),
    )


class InboxReturn(InboxIds):
    """Photos that are to be in the inbox again."""

    project = fields.String(
        metadata=about("The project that they were moved to.", expected="a key such as 'garden'")
    )
    batch = number_from("The batch that moved them, which is undone.")


class ResultFilter(Exact):
    """Which photos of a version's evaluation to list."""

    label = fields.String(
        metadata=about("Only those with a class, by its name then.", expected="a name")
    )
    answer = fields.String(
        metadata=about("Only those answered with a class.", expected="the name of a class")
    )
    wrong = fields.String(
        validate=validate.OneOf(("false", "true")),
        metadata=about(
            "Whether to list only wrong answers. By default false.", expected="true or false"
        ),
    )
    photos = fields.String(
        validate=validate.OneOf((HELD_OUT, ALL_PHOTOS)),
        metadata=about(
            "held_out: those that the figures were measured on; all: also those it was trained on, "
            "each answered by networks that were not trained on it. By default held_out.",
            expected=f"one of: {HELD_OUT}, {ALL_PHOTOS}",
        ),
    )
    offset = numbers_between("How many to skip. By default 0.", least=0, most=LARGEST)
    limit = numbers_between("How many at most. By default 100.", least=1, most=MOST_LISTED)


class IssueFilter(Exact):
    """Which label issues to list."""

    offset = numbers_between("How many to skip. By default 0.", least=0, most=LARGEST)
    limit = numbers_between("How many at most. By default 100.", least=1, most=MOST_LISTED)


class UndoForm(Exact):
    """Which batch of decisions to undo."""

    batch = number_from(
        "The batch that is meant; refused if its photos were decided about since. By default the "
        "latest."
    )


class Teaching(Exact):
    """The options of a training; omitted ones are those of the page."""

    backbones = fields.List(
        fields.String(),
        validate=validate.Length(min=1),
        metadata=about(
            "Networks, one member each. By default those of lite.",
            expected="a list of names, at least one",
            example=["EfficientNetLite0"],
        ),
    )
    head = fields.String(
        metadata=about("linear or mlp. By default linear.", expected="the name of a head")
    )
    augment = fields.List(
        fields.String(),
        metadata=about(
            "Augmented views: flips, crops. By default none.", expected="a list of names"
        ),
    )
    fine_tune = Switch(
        metadata=about(
            "Whether to train the networks themselves, too. By default false.",
            expected="true or false",
        )
    )
    budget_s = fields.Float(
        validate=validate.Range(min=1),
        metadata=about(
            "Most seconds for training with fine-tuning. By default any number.",
            expected="a number of seconds from 1",
        ),
    )
    seed = IntegralNumber(
        strict=True,
        validate=validate.Range(0, 2**31 - 1),
        metadata=about(
            "Seed of the splits. By default 0.", expected="a whole number from 0 to 2147483647"
        ),
    )
    label_precision = fields.Float(
        allow_none=True,
        validate=validate.Range(min=0, max=1, min_inclusive=False),
        metadata=about(
            "Of a multi-label project: the share of its answers of each class that is to be right. "
            "By default thresholds are near the highest F1.",
            exclusiveMinimum=0,
            expected="a share above 0, such as 0.95",
        ),
    )


class VersionToPublish(Exact):
    """The version that is to answer."""

    version = number_from(
        "Its number; null takes the committee offline.", required=True, allow_none=True
    )


class NewExport(Exact):
    """An export to be made."""

    version = number_from("The version to export.", required=True)
    format = fields.String(
        required=True,
        metadata=about("Such as onnx or litert.", expected="the name of a format", example="onnx"),
    )
    precision = fields.String(
        validate=validate.OneOf(("f32", "int8")),
        metadata=about("By default f32.", expected="one of: f32, int8"),
    )


class NewInt8(Exact):
    """Int8 networks to be made with the photos of the project."""

    version = number_from("The version that is to have them.", required=True)


class NewInt8Form(Exact):
    """Int8 networks to be made with more photos."""

    version = fields.Integer(
        required=True,
        validate=validate.Range(1, LARGEST),
        metadata=about("The version that is to have them.", expected="its number"),
    )
    photos = Upload(
        required=True,
        metadata=about(
            "A zip of photos like those to be classified, used beside those of the project; best "
            "with a folder for each class.",
            expected="a file",
        ),
    )


# ------------------------------------------------------------------ responses


class Class(Answer):
    """A class of a project."""

    id = fields.Integer(metadata=about("Its number, which renaming does not change."))
    name = fields.String(metadata=about("Unique in its project.", example="bees"))
    photos = fields.Integer(metadata=about("How many photos it has, without excluded ones."))


class Project(Answer):
    """People's classes and photos."""

    key = fields.String(
        metadata=about("Its name in addresses, and that of its committee.", example="garden")
    )
    title = fields.String(metadata=about("Its title.", example="My garden"))
    created_s = fields.Float(metadata=about("When it was created, in seconds since 1970."))
    classes = fields.List(fields.Nested(Class), metadata=about("In the order of creation."))
    photos = fields.Integer(metadata=about("How many photos it has."))
    excluded = fields.Integer(metadata=about("How many of them are excluded from training."))
    unsorted = fields.Integer(
        metadata=about("How many of the others have no class yet, or were not reviewed.")
    )
    multilabel = fields.Boolean(
        metadata=about("Whether a photo can have any number of classes, instead of one.")
    )
    without_class = fields.Integer(
        metadata=about("How many photos of a multi-label project were reviewed and have no class.")
    )


class MadeProject(Project):
    """A project that was created."""

    findings = fields.List(
        fields.Nested(lambda: Finding()),
        metadata=about("Of a zip: what was left out, and what is odd.", sometimes=True),
    )


class Projects(Answer):
    """All projects, the newest first."""

    projects = fields.List(fields.Nested(Project))


class Removed(Answer):
    """What was removed."""

    removed = fields.Integer(metadata=about("How many."))


class ProjectPhoto(Answer):
    """A photo of a project."""

    digest = fields.String(metadata=about(f"{DIGEST}; its name in addresses."))
    name = fields.String(metadata=about("What its file was called.", example="bee.jpg"))
    class_id = fields.Integer(
        allow_none=True, metadata=about("Its class; null if it has none, or several.")
    )
    class_ids = fields.List(
        fields.Integer(),
        allow_none=True,
        metadata=about("All its classes; null if it was not reviewed, none if no class applies."),
    )
    excluded = fields.Boolean(metadata=about("Whether it is excluded from training."))
    width = fields.Integer(metadata=about("In pixels, upright."))
    height = fields.Integer(metadata=about("In pixels."))
    added_s = fields.Float(metadata=about("When it was added, in seconds since 1970."))


class Photos(Answer):
    """Photos of a project, in the order they were added."""

    photos = fields.List(fields.Nested(ProjectPhoto))
    next = fields.Integer(
        allow_none=True, metadata=about("The offset of the next page; null if this is the last.")
    )


class RefusedFile(Problem):
    """A file that was not added."""

    name = fields.String(metadata=about("What it was called."))


class Finding(Answer):
    """Something to know about photos."""

    kind = fields.String(metadata=about("Stable.", example="near_duplicate"))
    message = fields.String(metadata=about("A sentence for people."))
    sources = fields.List(
        fields.String(), metadata=about("Digests of the photos, or paths in a zip.")
    )


class Added(Answer):
    """Photos that were added, and files that were not."""

    photos = fields.List(
        fields.Nested(ProjectPhoto),
        metadata=about("Those that the project had already, too."),
    )
    refused = fields.List(fields.Nested(RefusedFile))
    findings = fields.List(
        fields.Nested(Finding),
        metadata=about("Of a zip: what was left out, and what is odd.", sometimes=True),
    )


class AddedNothing(Added):
    """An error; if the only file was refused, that is its error."""

    error = fields.Nested(Problem)
    photos = fields.List(fields.Nested(ProjectPhoto), metadata={"sometimes": True})
    refused = fields.List(fields.Nested(RefusedFile), metadata={"sometimes": True})


class Findings(Answer):
    """Findings about the photos that have a class and are not excluded."""

    findings = fields.List(fields.Nested(Finding))


class Decision(Answer):
    """A decision about one photo."""

    batch = fields.Integer(metadata=about("What was decided at once has the same number."))
    digest = fields.String(metadata=about("The photo."))
    before = fields.Integer(allow_none=True, metadata=about("Its class before, if it had one."))
    after = fields.Integer(allow_none=True, metadata=about("Its class after."))
    labels_before = fields.List(
        fields.Integer(), allow_none=True, metadata=about("All its classes before.")
    )
    labels_after = fields.List(
        fields.Integer(), allow_none=True, metadata=about("All its classes after.")
    )
    before_name = fields.String(allow_none=True, metadata=about("Name of the class before."))
    after_name = fields.String(allow_none=True, metadata=about("Name of the class after."))
    names_before = fields.List(fields.String(), metadata=about("Names of all classes before."))
    names_after = fields.List(fields.String(), metadata=about("Names of all classes after."))
    excluded_before = fields.Boolean(metadata=about("Whether it was excluded before."))
    excluded_after = fields.Boolean(metadata=about("Whether it is excluded after."))
    at_s = fields.Float(metadata=about("When, in seconds since 1970."))
    undone = fields.Boolean(metadata=about("Whether it was undone."))
    person = fields.String(
        metadata=about("Who decided: the name of a key; empty where none was required.")
    )


class Decisions(Answer):
    """The decisions about a project's photos, the latest first."""

    decisions = fields.List(fields.Nested(Decision))


class Decided(Answer):
    """Photos after a decision, or after undoing one."""

    batch = fields.Integer(
        metadata=about("The batch that was recorded or undone; 0 if nothing changed.")
    )
    photos = fields.List(fields.Nested(ProjectPhoto), metadata=about("As they are now."))


class Conflict(Answer):
    """An error; if others have changed the photos meanwhile, those are included."""

    error = fields.Nested(Problem)
    photos = fields.List(
        fields.Nested(ProjectPhoto), metadata={"sometimes": True, **about("As they are now.")}
    )


class InboxPhoto(Answer):
    """A photo that waits for a person's decision."""

    id = fields.Integer(metadata=about("Its number in the inbox."))
    digest = fields.String(metadata=about(f"{DIGEST}."))
    name = fields.String(metadata=about("What its file was called.", example="bee.jpg"))
    verdict = fields.Dict(
        keys=fields.String(),
        metadata=about("What was answered when it came: committee, label, prob, status, top."),
    )
    at_s = fields.Float(metadata=about("When it was kept, in seconds since 1970."))


class InboxPhotos(Answer):
    """Photos of the inbox, the newest first."""

    photos = fields.List(fields.Nested(InboxPhoto))
    waiting = fields.Integer(metadata=about("How many wait in all."))
    next = fields.Integer(
        allow_none=True, metadata=about("Give it as `before` for the next page; null: no more.")
    )


class Moved(Answer):
    """Photos of the inbox that were moved to a project."""

    batch = fields.Integer(
        metadata=about("The batch of decisions that was recorded; 0 if none got a class.")
    )
    ids = fields.List(fields.Integer(), metadata=about("Those that were moved."))
    skipped = fields.List(
        fields.Integer(),
        metadata=about("Those that do not wait: somebody else dealt with them before."),
    )
    photos = fields.List(fields.Nested(ProjectPhoto), metadata=about("As the project has them."))


class Waiting(Answer):
    """The inbox after a change."""

    waiting = fields.Integer(metadata=about("How many photos wait."))


class ClassAnswer(Answer):
    """A class that was answered for a photo."""

    label = fields.String(metadata=about("Its name in that version."))
    prob = fields.Float(metadata=about("From 0 to 1."))


class PhotoResult(Answer):
    """What a version answers for a photo that it was not trained on."""

    digest = fields.String(metadata=about(f"{DIGEST}."))
    name = fields.String(metadata=about("What its file was called."))
    held_out = fields.Boolean(
        metadata=about("Whether the figures were measured on it; else it is of the training.")
    )
    labels = fields.List(
        fields.String(), metadata=about("Its classes when the version was trained.")
    )
    answers = fields.List(
        fields.Nested(ClassAnswer),
        metadata=about("The answer; in a multi-label version, all classes that are to hold."),
    )
    photo = fields.Nested(
        ProjectPhoto,
        allow_none=True,
        metadata=about("As it is in the project now; null if it was removed."),
    )


class PhotoResults(Answer):
    """Photos with a version's answers, those with the highest probability first."""

    photos = fields.List(fields.Nested(PhotoResult))
    total = fields.Integer(metadata=about("How many there are in all."))
    next = fields.Integer(
        allow_none=True, metadata=about("The offset of the next page; null if this is the last.")
    )


class LabelIssue(Answer):
    """A photo whose label may be wrong."""

    result = fields.Nested(PhotoResult)
    class_id = fields.Integer(
        metadata=about("The class that it probably belongs to; multi-label: the doubted class.")
    )
    class_name = fields.String(metadata=about("The name of that class now."))
    given = fields.Boolean(
        metadata=about(
            "In a multi-label version: whether the photo has that class, which is probably wrong; "
            "otherwise it probably lacks it."
        )
    )
    likely = fields.Boolean(
        metadata=about("Whether the probability reaches what is usual for that class.")
    )


class LabelIssues(Answer):
    """Photos whose label of today may be wrong, the likeliest first."""

    issues = fields.List(fields.Nested(LabelIssue))
    total = fields.Integer(metadata=about("How many there are in all."))
    next = fields.Integer(
        allow_none=True, metadata=about("The offset of the next page; null if this is the last.")
    )


class Result(Answer):
    """The evaluation of a version, beside the project as it is now."""

    version = fields.Integer(metadata=about("Its number."))
    classes = fields.List(fields.String(), metadata=about("In the order of the outputs."))
    multilabel = fields.Boolean(
        metadata=about("Whether it answers any number of classes for a photo.")
    )
    metrics = fields.Dict(
        keys=fields.String(),
        metadata=about(
            "As the training measured them on held-out photos: images, committee, members, "
            "per_class, confusion, reliability, learning_curve; empty if there were none."
        ),
    )
    label_issues = fields.Integer(
        allow_none=True,
        metadata=about("How many labels may be wrong; null if its answers were not kept."),
    )
    changes = fields.Integer(
        metadata=about("How many photos were labelled anew, added or removed since.")
    )
    advice = fields.String(
        allow_none=True, metadata=about("Which class more photos would help most, if known.")
    )


class Score(Answer):
    """An accuracy on held-out photos."""

    member = fields.String(metadata=about("A network, or committee for all together."))
    accuracy = fields.Float(metadata=about("From 0 to 1."))
    photos = fields.Integer(metadata=about("On how many photos.", sometimes=True))
    multilabel = fields.Boolean(
        metadata=about(
            "Present, and true, where a photo counts if it got all its classes, and no other.",
            sometimes=True,
        )
    )


class Epoch(Answer):
    """An epoch of fine-tuning."""

    member = fields.String()
    number = fields.Integer(metadata=about("From 0, for the network before."))
    right = fields.Integer(metadata=about("Right answers to held-out photos."))
    photos = fields.Integer(metadata=about("How many held-out photos there are."))
    loss = fields.Float()


class Job(Answer):
    """A training of a project."""

    id = fields.Integer(metadata=about("Its number."))
    key = fields.String(metadata=about("The project.", example="garden"))
    state = fields.String(
        metadata=about(
            "waiting and running: under way; done: it made a version; the others: it made none.",
            enum=["waiting", "running", "done", "stopped", "failed", "interrupted"],
        )
    )
    is_under_way = fields.Boolean(metadata=about("Whether it waits or runs."))
    message = fields.String(metadata=about("What it does or how it ended, for people."))
    stage = fields.String(metadata=about("The stage.", example="Computing features"))
    done = fields.Integer(metadata=about("Steps done of the stage."))
    total = fields.Integer(metadata=about("Steps of the stage; 0 if unknown."))
    rate = fields.Float(allow_none=True, metadata=about("Photos a second, if it reads photos."))
    left_s = fields.Float(
        allow_none=True, metadata=about("Estimated seconds until the stage ends, if known.")
    )
    is_stopping = fields.Boolean(
        metadata=about("Whether it was told to stop, and saves the best so far.")
    )
    news = fields.List(fields.Nested(Score), metadata=about("Accuracies as they come."))
    epochs = fields.List(fields.Nested(Epoch), metadata=about("Of fine-tuning while it runs."))
    error = fields.String(
        allow_none=True, metadata=about("Why it ended without a version; else null.")
    )
    version = fields.Integer(allow_none=True, metadata=about("The version that it made."))
    options = fields.Dict(
        keys=fields.String(),
        metadata=about("As it was started; classes has the numbers of the classes by name."),
    )
    created_s = fields.Float(metadata=about("When it was started, in seconds since 1970."))
    began_s = fields.Float(allow_none=True, metadata=about("When it began to run."))
    ended_s = fields.Float(allow_none=True, metadata=about("When it ended."))


class Event(Answer):
    """An event of a job."""

    id = fields.String(metadata=about("To be sent as Last-Event-ID after a lost connection."))
    event = fields.String(metadata=about("The last event is called end.", enum=["progress", "end"]))
    data = fields.String(metadata=about("The job as it is then, in JSON."))


class Jobs(Answer):
    """The trainings of a project, the latest first."""

    jobs = fields.List(fields.Nested(Job))


class Version(Answer):
    """A version of a project's committee."""

    version = fields.Integer(metadata=about("Its number, from 1."))
    created = fields.String(metadata=about("The day it was trained; empty if unknown."))
    classes = fields.List(fields.String(), metadata=about("In the order of the outputs."))
    members = fields.List(fields.String())
    photos = fields.Integer(
        allow_none=True, metadata=about("How many photos it was trained on, if known.")
    )
    top1 = fields.Float(
        allow_none=True,
        metadata=about("Share of right answers to held-out photos, from 0 to 1, if known."),
    )
    interval = fields.List(
        fields.Float(), allow_none=True, metadata=about("95 % interval of that share.")
    )
    images = fields.Integer(
        allow_none=True, metadata=about("How many photos that share was measured on.")
    )
    multilabel = fields.Boolean(
        metadata=about("Whether it answers any number of classes for a photo.")
    )
    macro_f1 = fields.Float(
        allow_none=True,
        metadata=about(
            "Of a multi-label version, instead of that share: the mean F1 of its classes on "
            "held-out photos, if known."
        ),
    )
    damage = fields.String(metadata=about("What is wrong with it; empty if nothing is."))


class Versions(Answer):
    """The versions of a project's committee, the newest first."""

    active = fields.Integer(
        allow_none=True, metadata=about("The version that is published; null if none is.")
    )
    versions = fields.List(fields.Nested(Version))


class Task(Answer):
    """Work on a version of a committee."""

    state = fields.String(
        metadata=about("How it stands.", enum=["running", "done", "stopped", "failed"])
    )
    title = fields.String(metadata=about("What it is, for people."))
    said = fields.String(metadata=about("What it does, what it made, or why it failed."))
    under_way = fields.Boolean(metadata=about("Whether it runs."))
    version = fields.Integer(metadata=about("The version."))
    began_s = fields.Float(metadata=about("When it was started, in seconds since 1970."))


class Int8(Answer):
    """The int8 networks of a project's committee."""

    job = fields.Nested(
        Task,
        allow_none=True,
        metadata=about("The latest since the studio was started; null if there was none."),
    )
    versions = fields.List(
        fields.Integer(), metadata=about("Those versions that have int8 networks.")
    )


class ExportState(Task):
    """The latest export of a committee."""

    format = fields.String(metadata=about("The format.", example="onnx"))
    precision = fields.String(metadata=about("f32 or int8."))
    file = fields.String(allow_none=True, metadata=about("The zip that it made."))


class ExportFile(Answer):
    """An export that can be downloaded."""

    name = fields.String(metadata=about("Of the zip.", example="garden-1-onnx.zip"))
    size_bytes = fields.Integer()
    modified_s = fields.Float(metadata=about("When it was made, in seconds since 1970."))
    comparison = fields.String(
        metadata=about("How far its answers are from those of the committee.")
    )


class Exports(Answer):
    """The exports of a project's committee."""

    job = fields.Nested(
        ExportState,
        allow_none=True,
        metadata=about("The latest since the studio was started; null if there was none."),
    )
    files = fields.List(fields.Nested(ExportFile), metadata=about("The newest first."))
