"""A version of a multi-label committee, joined with the current state of its project."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych.evaluation import label_issues
from triptych.evaluation import multilabel
from triptych.studio import projects
from triptych.studio.review.review import MISTAKES
from triptych.studio.review.review import PhotoIssue
from triptych.studio.review.review import Review
from triptych.studio.review.review import ReviewedPhoto
from triptych.typing import Mask
from triptych.utils.text import text

MOST_TOGETHER = 12


@dataclass(frozen=True)
class ClassPair:
    """How often two classes come together.

    Args:
        names: Of the classes.
        labelled: How many photos have both.
        answered: For how many both were answered, by networks that were not trained on them.
    """

    names: tuple[str, str]
    labelled: int
    answered: int


@dataclass(frozen=True)
class ClassCount:
    """How often a class was answered wrongly.

    Args:
        name: Its name.
        photos: How many photos of the evaluation have it.
        missed: For how many of those it was not answered.
        extra: For how many others it was answered.
    """

    name: str
    photos: int
    missed: int
    extra: int

    @property
    def wrong(self) -> int:
        """How many wrong answers that makes."""
        return self.missed + self.extra


@dataclass(frozen=True)
class MultilabelReview(Review):
    """A version of a multi-label committee, joined with the current state of its project."""

    @functools.cached_property
    def targets(self) -> Mask:
        """Which classes each photo had when it was trained, bool, shape (N, C)."""
        if self.predictions is None:
            return np.zeros((0, len(self.labels)), bool)
        return np.asarray(self.predictions.targets, bool)

    @functools.cached_property
    def holds(self) -> Mask:
        """Which classes were answered for each photo, bool, shape (N, C)."""
        if self.predictions is None:
            return np.zeros((0, len(self.labels)), bool)
        values = [row["value"] for row in self.bundle.about["doubt"]["thresholds"]]
        return np.asarray(self.predictions.probs >= np.array(values))

    @functools.cached_property
    def current_classes(self) -> tuple[projects.Class | None, ...]:
        """What each of its classes is in the project today.

        A renamed class is recognised by its photos.
        """
        named = {each.name: each for each in self.project.classes}
        free = {each.id: each for each in self.project.classes if each.name not in self.labels}
        classes = []
        for index, name in enumerate(self.labels):
            held: Counter[int] = Counter()
            for row in np.flatnonzero(self.targets[:, index]):
                if photo := self.photos.get(self.digests[row]):
                    held.update(set(photo.class_ids or ()) & free.keys())
            most = held.most_common(1)[0][0] if held else 0
            classes.append(named.get(name) or free.get(most))
        return tuple(classes)

    @functools.cached_property
    def _current(self) -> tuple[Mask, Mask]:
        """Which classes each photo has today, and which photos count, shapes (N, C) and (N,)."""
        ids = [each.id if each else 0 for each in self.current_classes]
        today, counts = np.zeros_like(self.targets), np.zeros(len(self.digests), bool)
        for row, digest in enumerate(self.digests):
            photo = self.photos.get(digest)
            if photo and not photo.excluded and photo.class_ids is not None:
                today[row], counts[row] = [each in photo.class_ids for each in ids], True
        return today, counts

    def answers(self, positions: Sequence[int]) -> list[frozenset[int]]:
        """The classes answered for photos, as current ones; -1 for those that were removed."""
        ids = [each.id if each else -1 for each in self.current_classes]
        return [
            frozenset(ids[index] for index in np.flatnonzero(self.holds[position]))
            for position in positions
        ]

    def cell(
        self,
        label: str | None,
        answer: str | None,
        *,
        held_out_only: bool = True,
        wrong_only: bool = False,
    ) -> list[ReviewedPhoto]:
        """Photos with a class, those answered with a class, or both; the surest answers first."""
        if self.predictions is None:
            return []
        mask = self.predictions.held_out | (not held_out_only)
        mask = mask & ((self.targets != self.holds).any(axis=1) | (not wrong_only))
        column = None
        for name, of_photos in ((label, self.targets), (answer, self.holds)):
            if name is not None:
                column = self._index(name)
                mask = mask & of_photos[:, column]
        return self._surest(mask, column)

    def wrong(self, label: str, *, missed: bool, held_out_only: bool = True) -> list[ReviewedPhoto]:
        """Photos for which a class was answered wrongly, the surest answers first.

        Args:
            label: The class.
            missed: Whether it was missed where it holds, or answered where it does not.
            held_out_only: As for `cell`.

        Raises:
            errors.UnknownName: The version has no such class.
        """
        if self.predictions is None:
            return []
        column = self._index(label)
        mask = (self.targets[:, column] == missed) & (self.holds[:, column] != missed)
        return self._surest(mask & (self.predictions.held_out | (not held_out_only)), column)

    def _surest(self, mask: Mask, column: int | None) -> list[ReviewedPhoto]:
        (rows,) = np.nonzero(mask)
        if self.predictions is None or not len(rows):
            return []
        probs = self.predictions.probs[rows]
        distance = np.abs(probs - 0.5).min(axis=1) if column is None else probs[:, column]
        return self.photos_at(rows[np.argsort(-distance, kind="stable")])

    def mistakes(self, most: int = MISTAKES) -> list[ReviewedPhoto]:
        """Photos of the evaluation with wrong answers, the most confident first."""
        if self.predictions is None:
            return []
        (rows,) = np.nonzero(self.predictions.held_out)
        pairs = multilabel.most_confident_mistakes(
            self.predictions.probs[rows], self.holds[rows], self.targets[rows], len(rows) * 4
        )
        photos = list(dict.fromkeys(int(rows[photo]) for photo, _ in pairs))
        return self.photos_at(photos[:most])

    def label_issues(self) -> list[PhotoIssue]:
        """Classes that a photo may lack or have wrongly, the likeliest first.

        Labels are today's. Left out are photos whose labels a person confirmed, excluded ones,
        those to be reviewed, and classes that are labelled as the committee answers.
        """
        if self.predictions is None:
            return []
        today, counts = self._current
        (rows,) = np.nonzero(counts)
        issues = []
        for issue in label_issues.rank_pairs(self.predictions.probs[rows], today[rows]):
            row = int(rows[issue.photo])
            suggested, digest = self.current_classes[issue.label], self.digests[row]
            is_doubted = self.holds[row, issue.label] != issue.given
            if suggested and is_doubted and digest not in self.confirmed:
                (reviewed,) = self.photos_at([row])
                prob = float(self.predictions.probs[row, issue.label])
                issues.append(PhotoIssue(reviewed, suggested, issue.likely, issue.given, prob))
        return issues

    def photos_at(self, positions: Iterable[int]) -> list[ReviewedPhoto]:
        """The photos at positions among its predictions, in that order."""
        photos: list[ReviewedPhoto] = []
        if self.predictions is None:
            return photos
        for position in positions:
            row, digest = self.predictions.probs[position], self.digests[position]
            photo = self.photos.get(digest)
            order = [index for index in np.argsort(-row) if self.holds[position, index]]
            labels = tuple(self.labels[n] for n in np.flatnonzero(self.targets[position]))
            photos.append(
                ReviewedPhoto(
                    digest=digest,
                    name=photo.name if photo else str(self.predictions.sources[position]),
                    label=", ".join(labels) or text("none of the classes"),
                    answer=", ".join(self.labels[n] for n in order) or text("none of the classes"),
                    prob=float(row.max()),
                    photo=photo,
                    answers=tuple((self.labels[n], float(row[n])) for n in order),
                    labels=labels,
                    held_out=bool(self.predictions.held_out[position]),
                )
            )
        return photos

    def counts(self) -> list[ClassCount]:
        """How often each class was missed and answered wrongly in the evaluation."""
        if self.predictions is None:
            return []
        out = self.predictions.held_out
        targets, holds = self.targets[out], self.holds[out]
        missed, extra = (targets & ~holds).sum(axis=0), (holds & ~targets).sum(axis=0)
        rows = zip(self.labels, targets.sum(axis=0), missed, extra, strict=True)
        return [ClassCount(name, *map(int, numbers)) for name, *numbers in rows]

    def together(self, most: int = MOST_TOGETHER) -> list[ClassPair]:
        """Pairs of classes, those first that come together far more or less often in answers."""
        labelled, answered = (
            each.astype(np.int64).T @ each.astype(np.int64) for each in (self.targets, self.holds)
        )
        first, second = np.triu_indices(len(self.labels), 1)
        pairs = [
            ClassPair((self.labels[a], self.labels[b]), int(labelled[a, b]), int(answered[a, b]))
            for a, b in zip(first, second, strict=True)
            if labelled[a, b] or answered[a, b]
        ]
        ordered = sorted(pairs, key=lambda pair: (-abs(pair.labelled - pair.answered), pair.names))
        return ordered[:most]

    def advice(self) -> str | None:
        """Nothing: the learning curve is one of single-label committees."""
        return None

    @functools.cached_property
    def changes(self) -> int:
        """How many photos got other classes, were excluded, added or removed since."""
        ids = [each.id if each else -1 for each in self.current_classes]
        trained = {
            digest: frozenset(ids[index] for index in np.flatnonzero(row))
            for digest, row in zip(self.digests, self.targets, strict=True)
        }
        now = {
            digest: frozenset(photo.class_ids)
            for digest, photo in self.photos.items()
            if photo.class_ids is not None and not photo.excluded
        }
        return sum(trained.get(digest) != now.get(digest) for digest in {*trained, *now})
