"""What a studio answers, as frozen records.

Fields that a newer studio adds are left out; one that is missing is an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

from triptych import errors

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def read(kind: type[T], fields: Any) -> T:
    """A record from a JSON object.

    Raises:
        errors.RemoteError: It is something else.

    Example:
        >>> read(Class, {"id": 1, "name": "bees", "photos": 3, "colour": "yellow"})
        Class(id=1, name='bees', photos=3)
    """
    names = {each.name for each in dataclasses.fields(kind)}
    try:
        known = {name: _frozen(value) for name, value in fields.items() if name in names}
        return kind(**known)
    except (AttributeError, TypeError) as error:
        raise errors.RemoteError(
            f"The studio answered with something that is no {kind.__name__}: {error}. Its version "
            "may be older than that of this client."
        ) from error


def read_all(kind: type[T], rows: Any) -> tuple[T, ...]:
    """Records from a list of JSON objects.

    Raises:
        errors.RemoteError: It is something else.
    """
    if not isinstance(rows, Sequence):
        raise errors.RemoteError(f"The studio answered without a list of {kind.__name__}.")
    return tuple([read(kind, row) for row in rows])


def _frozen(value: Any) -> Any:
    return tuple([_frozen(each) for each in value]) if isinstance(value, list) else value


@dataclass(frozen=True)
class Class:
    """A class of a project.

    Args:
        id: Its number, which does not change when it is renamed.
        name: Unique in its project.
        photos: How many photos it has, without excluded ones.
    """

    id: int
    name: str
    photos: int


@dataclass(frozen=True)
class ProjectFacts:
    """A project as it was when it was asked for.

    Args:
        key: Its name in addresses, and that of its committee.
        title: Its title.
        created_s: When it was created, in seconds since 1970.
        classes: In the order they were created.
        photos: How many photos it has.
        excluded: How many of them are excluded from training.
        unsorted: How many of the others have no class yet.
        multilabel: Whether a photo can have any number of classes.
    """

    key: str
    title: str
    created_s: float
    classes: tuple[Class, ...]
    photos: int
    excluded: int
    unsorted: int
    multilabel: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", read_all(Class, self.classes))


@dataclass(frozen=True)
class Photo:
    """A photo of a project.

    Args:
        digest: SHA-256 of its file, in 64 hexadecimal digits.
        name: What its file was called.
        class_id: Its class; ``None`` if it has none, or several.
        class_ids: All its classes; ``None`` if it was not reviewed.
        excluded: Whether it is excluded from training.
        width: In pixels, upright.
        height: In pixels.
        added_s: When it was added, in seconds since 1970.
    """

    digest: str
    name: str
    class_id: int | None
    class_ids: tuple[int, ...] | None
    excluded: bool
    width: int
    height: int
    added_s: float


@dataclass(frozen=True)
class Refused:
    """A file that a studio did not take.

    Args:
        name: What it is called.
        code: A stable code, from `triptych.errors`.
        message: Why, for people.
    """

    name: str
    code: str
    message: str


@dataclass(frozen=True)
class Uploaded:
    """What became of files that were sent.

    Args:
        photos: Those that the project has now.
        refused: Files that are not photos, or too large.
    """

    photos: tuple[Photo, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something to know about photos.

    Args:
        kind: Stable, such as ``"near_duplicate"``.
        message: A sentence for people.
        sources: Digests of the photos.
    """

    kind: str
    message: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Decided:
    """Photos after a decision, or after undoing one.

    Args:
        batch: Its number, to undo it; 0 if nothing changed.
        photos: As they are now.
    """

    batch: int
    photos: tuple[Photo, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "photos", read_all(Photo, self.photos))


@dataclass(frozen=True)
class Decision:
    """A decision about one photo.

    Args:
        batch: What was decided at once has the same number.
        digest: The photo.
        names_before: Names of its classes before.
        names_after: Names of its classes after.
        labels_before: Numbers of its classes before; ``None`` if it was not reviewed.
        labels_after: Numbers of its classes after.
        excluded_before: Whether it was excluded before.
        excluded_after: Whether it is excluded after.
        at_s: When, in seconds since 1970.
        undone: Whether it was undone.
        person: Who decided; empty where no key was required.
    """

    batch: int
    digest: str
    names_before: tuple[str, ...]
    names_after: tuple[str, ...]
    labels_before: tuple[int, ...] | None
    labels_after: tuple[int, ...] | None
    excluded_before: bool
    excluded_after: bool
    at_s: float
    undone: bool
    person: str


@dataclass(frozen=True)
class InboxPhoto:
    """A photo that waits for a person's decision.

    Args:
        id: Its number in the inbox.
        digest: SHA-256 of its file.
        name: What its file was called.
        verdict: What was answered when it came: ``committee``, ``label``, ``prob``, ``status``.
        at_s: When it was kept, in seconds since 1970.
    """

    id: int
    digest: str
    name: str
    verdict: Mapping[str, Any] = field(repr=False)
    at_s: float


@dataclass(frozen=True)
class Moved:
    """Photos of the inbox that were moved to a project.

    Args:
        ids: Their numbers in the inbox.
        skipped: Numbers of those that somebody else dealt with before.
        photos: As the project has them.
        project: Its key.
        batch: The batch of decisions; 0 if none got a class.
    """

    ids: tuple[int, ...]
    skipped: tuple[int, ...]
    photos: tuple[Photo, ...]
    project: str
    batch: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "photos", read_all(Photo, self.photos))


@dataclass(frozen=True)
class ClassAnswer:
    """A class that was answered for a photo.

    Args:
        label: Its name.
        prob: Its probability, in [0, 1].
    """

    label: str
    prob: float


@dataclass(frozen=True)
class PhotoResult:
    """What a version answers for a photo that it was not trained on.

    Args:
        digest: SHA-256 of its file.
        name: What its file was called.
        held_out: Whether the figures were measured on it.
        labels: Its classes when the version was trained.
        answers: The answer; of a multi-label version, all classes that are to hold.
        photo: As it is in the project now; ``None`` if it was removed.
    """

    digest: str
    name: str
    held_out: bool
    labels: tuple[str, ...]
    answers: tuple[ClassAnswer, ...]
    photo: Photo | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", read_all(ClassAnswer, self.answers))
        if self.photo is not None:
            object.__setattr__(self, "photo", read(Photo, self.photo))


@dataclass(frozen=True)
class LabelIssue:
    """A photo whose label may be wrong.

    Args:
        result: The photo.
        class_id: The class that it probably belongs to; of a multi-label version, the doubted one.
        class_name: The name of that class now.
        given: Of a multi-label version: whether the photo has that class, which is probably wrong;
            otherwise it probably lacks it.
        likely: Whether the probability reaches what is usual for that class.
    """

    result: PhotoResult
    class_id: int
    class_name: str
    given: bool
    likely: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", read(PhotoResult, self.result))


@dataclass(frozen=True)
class Result:
    """The evaluation of a version, beside the project as it is now.

    Args:
        version: Its number.
        classes: In the order of the outputs.
        multilabel: Whether it answers any number of classes for a photo.
        metrics: As the training measured them on held-out photos: ``images``, ``committee``,
            ``members``, ``per_class``, ``confusion`` ...; empty if there were none.
        label_issues: How many labels may be wrong; ``None`` if its answers were not kept.
        changes: How many photos were labelled anew, added or removed since.
        advice: Which class more photos would help most, if known.
    """

    version: int
    classes: tuple[str, ...]
    multilabel: bool
    metrics: Mapping[str, Any] = field(repr=False)
    label_issues: int | None
    changes: int
    advice: str | None


@dataclass(frozen=True)
class JobState:
    """A training as it was when it was asked for.

    Args:
        id: Its number.
        key: The project.
        state: ``"waiting"``, ``"running"``, ``"done"``, ``"stopped"``, ``"failed"`` or
            ``"interrupted"``.
        is_under_way: Whether it waits or runs.
        message: What it does or how it ended, for people.
        stage: The stage, for people.
        done: Steps done of the stage.
        total: Steps of the stage; 0 if unknown.
        rate: Photos a second, if it reads photos.
        left_s: Estimated seconds until the stage ends, if known.
        news: Accuracies as they come: ``member``, ``accuracy``, and on how many ``photos``.
        error: Why it ended without a version; ``None`` otherwise.
        version: The version that it made.
        began_s: When it began to run, in seconds since 1970.
        ended_s: When it ended.
        options: As it was started.
    """

    id: int
    key: str
    state: str
    is_under_way: bool
    message: str
    stage: str
    done: int
    total: int
    rate: float | None
    left_s: float | None
    news: tuple[Mapping[str, Any], ...]
    error: str | None
    version: int | None
    began_s: float | None
    ended_s: float | None
    options: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class TaskState:
    """Work on a version, or on photos, as it was when it was asked for.

    Args:
        state: ``"running"``, ``"done"``, ``"stopped"`` or ``"failed"``.
        under_way: Whether it runs.
        said: What it does, what it made, or why it failed.
        began_s: When it was started, in seconds since 1970.
        title: What it is, for people; empty for a comparison of photos.
        version: The version, if it is about one.
        file: The zip that an export made.
        progress: Of a comparison of photos: the share of its stage that is done, in [0, 1].
    """

    state: str
    under_way: bool
    said: str
    began_s: float
    title: str = ""
    version: int | None = None
    file: str | None = None
    progress: float | None = None


@dataclass(frozen=True)
class ImportState:
    """A model that is imported, as it was when it was asked for.

    Args:
        id: Its id.
        state: ``"running"``, ``"asking"``, ``"done"``, ``"failed"`` or ``"stopped"``.
        name: The name of its committee.
        lines: What was found out, for people.
        message: The question, or why it failed.
        likely: Recipes to choose from, the likeliest first.
        version: The version that was made; ``None`` before.
    """

    id: str
    state: str
    name: str
    lines: tuple[str, ...]
    message: str
    likely: tuple[str, ...]
    version: int | None


@dataclass(frozen=True)
class Offer:
    """Photos that can be accepted together as those of one class.

    Args:
        class_id: The class.
        class_name: Its name.
        photos: How many photos are offered.
        digests: SHA-256 of the file of each, the strangest first; at most 5000, and the others are
            offered when these were accepted.
        tested: Of a closed heap: how many labelled photos were called this class as surely, without
            having been trained on.
        right: How many of those were of this class.
    """

    class_id: int
    class_name: str
    photos: int
    digests: tuple[str, ...] = field(repr=False)
    tested: int
    right: int


@dataclass(frozen=True)
class HeapFacts:
    """Photos that wait for a class.

    Args:
        waiting: How many photos wait.
        by_hand: How many of them are not offered.
        offers: By class, the one with the most photos first.
        wrong_share: The share of the offered photos that are expected to be wrong at most, in
            (0, 1); ``None`` for a closed heap.
        promise: The share of sure answers that the committee promises to be right, in (0, 1).
        missing_promise: Why no answer is called sure.
        version: The version that was asked; ``None`` for none.
        newest: The newest version; ``None`` if there is none yet.
        needs_comparison: Whether photos came, or a version was trained, since the last comparison.
        new: How many photos came since.
        changes: How many labels the newest version does not know of.
        left: How many labels are left to be good enough: ``accuracy``, ``photos``, ``more``,
            ``low``, ``high``, ``limit``; ``None`` where it cannot be known.
    """

    waiting: int
    by_hand: int
    offers: tuple[Offer, ...]
    wrong_share: float | None
    promise: float | None
    missing_promise: str | None
    version: int | None
    newest: int | None
    needs_comparison: bool
    new: int
    changes: int
    left: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "offers", read_all(Offer, self.offers))


@dataclass(frozen=True)
class HeapPhoto:
    """A photo that waits for a class.

    Args:
        digest: SHA-256 of its file.
        name: What its file was called.
        status: ``"sure"``, ``"unsure"`` or ``"none"``, as the committee says; ``None`` where it was
            not asked, or can promise nothing.
        class_id: The most probable class; ``None`` if it was not asked.
        class_name: Its name.
        prob: Its probability, in [0, 1].
        strangeness: How strange the photo is among those of that class, from 0.
    """

    digest: str
    name: str
    status: str | None
    class_id: int | None
    class_name: str | None
    prob: float
    strangeness: float


@dataclass(frozen=True)
class Accepted:
    """What was accepted of an offer.

    Args:
        batch: Its number, to undo it; 0 if nothing was accepted.
        digests: The photos that got the class.
        skipped: How many did not, as somebody else had decided about them.
        inbox_ids: Their numbers in the inbox, if they came from there.
    """

    batch: int
    digests: tuple[str, ...] = field(repr=False)
    skipped: int
    inbox_ids: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True)
class ExportFile:
    """An export that can be downloaded.

    Args:
        name: Of the zip.
        size_bytes: Its size.
        modified_s: When it was made, in seconds since 1970.
        comparison: How far its answers are from those of the committee.
    """

    name: str
    size_bytes: int
    modified_s: float
    comparison: str


@dataclass(frozen=True)
class Version:
    """A version of a project's committee.

    Args:
        version: Its number, from 1.
        active: Whether it is the one that is published.
        created: The day it was trained; empty if unknown.
        classes: In the order of the outputs.
        members: Names of its networks.
        photos: How many photos it was trained on, if known.
        top1: Share of right answers to held-out photos, in [0, 1], if known.
        interval: 95 % interval of that share.
        images: How many photos that share was measured on.
        multilabel: Whether it answers any number of classes for a photo.
        macro_f1: Of a multi-label version, the mean F1 of its classes on held-out photos, if known.
        damage: What is wrong with it; empty if nothing is.
    """

    version: int
    active: bool
    created: str
    classes: tuple[str, ...]
    members: tuple[str, ...]
    photos: int | None
    top1: float | None
    interval: tuple[float, float] | None
    images: int | None
    damage: str
    multilabel: bool = False
    macro_f1: float | None = None
