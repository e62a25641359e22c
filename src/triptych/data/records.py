"""What a dataset is: photos with classes, and what was found while reading them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import Any


@dataclass(frozen=True)
class LabelledPhoto:
    """One readable photo.

    Args:
        source: Where it is, for people.
        label: Index of its class.
        digest: SHA-256 of the file's bytes.
        group: The same number for exact and near copies of one photo.
        read: Gives the file's bytes.
    """

    source: str
    label: int
    digest: bytes = field(repr=False)
    group: int
    read: Callable[[], bytes] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Finding:
    """Something a person should know about their photos; never a reason to stop.

    Args:
        kind: A name from `KINDS`.
        message: What was found, and what was done about it.
        sources: The files or folders it is about; none where it is about a whole class.
    """

    kind: str
    message: str
    sources: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {"kind": self.kind, "message": self.message, "sources": list(self.sources)}


# In the order of the report: what was left out, what harms, what to know.
KINDS = (
    "unreadable",
    "empty_class",
    "faulty_class",
    "leak",
    "label_conflict",
    "blank",
    "dark",
    "bright",
    "blurred",
    "tiny",
    "exact_duplicate",
    "near_duplicate",
    "burst",
    "alike_names",
    "guessed_names",
    "small_class",
    "imbalance",
    "odd_format",
    "guessed_depth",
    "ignored",
    "hidden",
)


@dataclass(frozen=True)
class Dataset:
    """Checked photos of two or more classes.

    Args:
        name: Of the folder or file they came from.
        classes: Names, in the order of the labels.
        train: Photos to learn from; every class has some.
        val: Photos to evaluate with, where the source has some; none is a copy of one in ``train``.
        findings: What was left out and what looks odd.
        fingerprint: Hex digits that stand for content, classes and sides, whatever the files
            are called.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[LabelledPhoto, ...] = field(repr=False)
    val: tuple[LabelledPhoto, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Classes, counts and findings as a JSON object, without the photos."""
        train, val = (Counter(photo.label for photo in side) for side in (self.train, self.val))
        return {
            "name": self.name,
            "classes": [
                {"name": name, "train": train[label], "val": val[label]}
                for label, name in enumerate(self.classes)
            ],
            "findings": [finding.to_dict() for finding in self.findings],
            "fingerprint": self.fingerprint,
        }
