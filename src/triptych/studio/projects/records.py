"""The records of a project: classes, photos, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import Any

# Used in place of a class's number; those start at 1.
ALL = -1
UNSORTED = 0
# Multi-label projects only: reviewed, and no class applies.
NO_CLASS = -3

# The classes of a photo, ascending; `None` if it was not reviewed. In single-label projects, there
# is exactly one; in multi-label projects, () means that no class applies.
Labels = tuple[int, ...] | None


@dataclass(frozen=True)
class Class:
    """A class of a project.

    Args:
        id: Its number, which does not change when it is renamed.
        name: Unique in its project; also the name of its folder when the project is exported.
        photos: How many photos it has, without excluded ones.
    """

    id: int
    name: str
    photos: int


@dataclass(frozen=True)
class Project:
    """A person's classes and photos.

    Args:
        key: Its name in addresses, and the name of the bundle that is trained from it.
        title: Its title.
        created_s: When it was created, in seconds since 1970.
        classes: In the order they were created.
        photos: How many photos it has.
        excluded: How many of them are excluded from training.
        unsorted: How many of the others have no class and, in a multi-label project, were not
            reviewed.
        multilabel: Whether a photo can have any number of classes, instead of one.
        without_class: How many photos of a multi-label project were reviewed and have no class.
    """

    key: str
    title: str
    created_s: float
    classes: tuple[Class, ...]
    photos: int
    excluded: int
    unsorted: int
    multilabel: bool = False
    without_class: int = 0


@dataclass(frozen=True)
class ProjectPhoto:
    """A photo of a project.

    Args:
        digest: SHA-256 of the file's bytes, 64 hexadecimal digits.
        name: What its file was called.
        class_id: Its class; ``None`` if it has none yet, or several.
        excluded: Whether it is excluded from training.
        width: In pixels, upright.
        height: In pixels.
        added_s: When it was added, in seconds since 1970.
        class_ids: All its classes, ascending; ``None`` if it was not reviewed. In a multi-label
            project, ``()`` means that no class applies.
    """

    digest: str
    name: str
    class_id: int | None
    excluded: bool
    width: int
    height: int
    added_s: float
    class_ids: Labels = None


@dataclass(frozen=True)
class Decision:
    """A decision about one photo: a change of its class, or to exclude or include it.

    Args:
        batch: Number of the batch that was decided at once; ascending in a project.
        digest: The photo.
        before: Its class before; ``None`` for none or several.
        after: Its class after.
        excluded_before: Whether it was excluded before.
        excluded_after: Whether it is excluded after.
        at_s: When, in seconds since 1970.
        undone: Whether it was undone.
        before_name: Name of the class before, even if it was removed since.
        after_name: Name of the class after.
        person: Who decided: the name of a key; empty where none was required.
        labels_before: All its classes before; ``None`` if it was not reviewed.
        labels_after: All its classes after.
        names_before: Their names.
        names_after: Their names.
    """

    batch: int
    digest: str
    before: int | None
    after: int | None
    excluded_before: bool
    excluded_after: bool
    at_s: float
    undone: bool
    before_name: str | None = None
    after_name: str | None = None
    person: str = ""
    labels_before: Labels = None
    labels_after: Labels = None
    names_before: tuple[str, ...] = ()
    names_after: tuple[str, ...] = ()


@dataclass(frozen=True)
class InboxPhoto:
    """A photo that was kept for review.

    Args:
        id: Its number in the inbox.
        digest: SHA-256 of the file's bytes, 64 hexadecimal digits.
        name: What its file was called.
        verdict: The committee's verdict.
        at_s: When it was kept, in seconds since 1970.
    """

    id: int
    digest: str
    name: str
    verdict: dict[str, Any] = field(repr=False)
    at_s: float


@dataclass(frozen=True)
class Sorted:
    """What became of photos that were to get a class.

    Args:
        batch: Number of the batch of decisions; 0 if there was none to take.
        digests: The photos that got their class.
        skipped: How many did not, as somebody had decided about them before.
        kept: Their numbers in the inbox, if they came from there.
    """

    batch: int
    digests: tuple[str, ...]
    skipped: int
    kept: tuple[int, ...] = ()
