"""A dataset: photos with classes, and findings from reading them."""

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
        source: Its path, for people.
        label: Index of its class.
        digest: SHA-256 of the file's bytes.
        group: Number of its group of exact and near copies.
        read: Returns the file's bytes.
    """

    source: str
    label: int
    digest: bytes = field(repr=False)
    group: int
    read: Callable[[], bytes] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Finding:
    """Something to know about the photos; no error.

    Args:
        kind: A name from `KINDS`.
        message: The finding, and what was done about it.
        sources: The files or folders it concerns; none if it concerns a whole class.
    """

    kind: str
    message: str
    sources: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {"kind": self.kind, "message": self.message, "sources": list(self.sources)}


# In the order of the report: files left out, problems, notes.
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
        name: Name of the folder or file they came from.
        classes: Names, in the order of the labels.
        train: Training photos; every class has some.
        val: Validation photos, if the source has some; none is a copy of one in ``train``.
        findings: Findings about the photos.
        fingerprint: Hash of contents, classes and sides as hex digits, independent of file names.
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
