"""A dataset: photos with classes, and findings from reading them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np

from triptych.typing import Array

# The label of a photo that may have any number of them. No class has this index, so that code for
# single-label photos cannot take it for one.
MULTILABEL = -1


@dataclass(frozen=True)
class LabelledPhoto:
    """One readable photo.

    Args:
        source: Its path, for people.
        label: Index of its class, where it has exactly one.
        digest: SHA-256 of the file's bytes.
        group: Number of its group of exact and near copies.
        read: Returns the file's bytes.
        labels: Indices of all its classes in a multi-label data set, ascending, perhaps none;
            ``label`` is then `MULTILABEL`. ``None`` in a single-label one.
    """

    source: str
    label: int
    digest: bytes = field(repr=False)
    group: int
    read: Callable[[], bytes] = field(repr=False, compare=False)
    labels: tuple[int, ...] | None = None

    @property
    def all_labels(self) -> tuple[int, ...]:
        """The indices of its classes: one in a single-label data set, else any number."""
        return (self.label,) if self.labels is None else self.labels


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
    "universal_class",
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
    "unlabelled",
    "odd_format",
    "guessed_depth",
    "ignored",
    "hidden",
    "recognised",
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
        multilabel: Whether a photo may have any number of classes instead of exactly one.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[LabelledPhoto, ...] = field(repr=False)
    val: tuple[LabelledPhoto, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    fingerprint: str
    multilabel: bool = False

    def targets(self, photos: Sequence[LabelledPhoto]) -> Array:
        """The classes of some of its photos, as an array.

        Args:
            photos: N of them.

        Returns:
            Single-label: the index of each photo's class, shape (N,). Multi-label: whether each of
            the C classes holds, bool, shape (N, C).
        """
        if not self.multilabel:
            return np.array([photo.label for photo in photos])
        holds = np.zeros((len(photos), len(self.classes)), bool)
        for row, photo in zip(holds, photos, strict=True):
            row[list(photo.all_labels)] = True
        return holds

    def to_dict(self) -> dict[str, Any]:
        """Classes, counts and findings as a JSON object, without the photos."""
        train, val = (
            Counter(label for photo in side for label in photo.all_labels)
            for side in (self.train, self.val)
        )
        return {
            "name": self.name,
            "classes": [
                {"name": name, "train": train[label], "val": val[label]}
                for label, name in enumerate(self.classes)
            ],
            "findings": [finding.to_dict() for finding in self.findings],
            "fingerprint": self.fingerprint,
            **({"multilabel": True} if self.multilabel else {}),
        }
