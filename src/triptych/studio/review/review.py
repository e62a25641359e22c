"""A version of a committee, joined with the current state of its project."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych import bundles
from triptych import errors
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.evaluation import advice
from triptych.evaluation import label_issues
from triptych.evaluation import metrics
from triptych.studio import projects
from triptych.utils.text import text

MISTAKES = 12


@dataclass(frozen=True)
class ReviewedPhoto:
    """A photo, and the prediction of a committee that was not trained on it.

    Args:
        digest: SHA-256 of its bytes, in hex.
        name: Name of its file.
        label: Its class when the committee was trained.
        answer: The predicted class.
        prob: Its probability, in [0, 1].
        photo: The photo in the project today; ``None`` if it is no longer there.
        answers: Of a multi-label version, all answered classes with their probabilities; ``None``
            of others.
        labels: All its classes when the committee was trained.
        held_out: Whether it was held out to measure with.
    """

    digest: str
    name: str
    label: str
    answer: str
    prob: float
    photo: projects.ProjectPhoto | None
    answers: tuple[tuple[str, float], ...] | None = None
    labels: tuple[str, ...] = ()
    held_out: bool = False

    @property
    def several(self) -> bool:
        """Whether any number of classes was answered."""
        return self.answers is not None


@dataclass(frozen=True)
class PhotoIssue:
    """A photo whose label may be wrong.

    Args:
        reviewed: The photo.
        suggested: The class it probably belongs to, by its current name.
        likely: Whether its probability reaches the mean of the photos with that label.
        given: In a multi-label project, whether the photo has the class, which is probably wrong;
            otherwise it probably lacks it.
        prob: There, the probability of the class.
    """

    reviewed: ReviewedPhoto
    suggested: projects.Class
    likely: bool
    given: bool = False
    prob: float = 0.0


@dataclass(frozen=True)
class Review:
    """A version of a project's committee, joined with the current state of the project.

    Args:
        bundle: The version.
        predictions: Its out-of-fold predictions; ``None`` in bundles of older versions of
            Triptych.
        project: Today's classes.
        photos: Today's photos by digest, including excluded ones.
        confirmed: Digests of photos whose label a person called right.
    """

    bundle: bundles.Bundle
    predictions: OOFPredictions | None
    project: projects.Project
    photos: Mapping[str, projects.ProjectPhoto]
    confirmed: frozenset[str] = frozenset()

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes, in the order of the outputs."""
        return tuple(label.name for label in self.bundle.labels)

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """Figures of its evaluation; empty if there was none."""
        return self.bundle.metrics

    @functools.cached_property
    def digests(self) -> list[str]:
        """Digests of its predicted photos, in order."""
        return self.predictions.keys if self.predictions else []

    @functools.cached_property
    def current_classes(self) -> tuple[projects.Class | None, ...]:
        """What each of its classes is in the project today.

        A renamed class is recognised by its photos.
        """
        named = {each.name: each for each in self.project.classes}
        free = {each.id: each for each in self.project.classes if each.name not in self.labels}
        homes: list[Counter[int | None]] = [Counter() for _ in self.labels]
        if self.predictions is not None:
            for digest, label in zip(self.digests, self.predictions.targets, strict=True):
                if photo := self.photos.get(digest):
                    homes[label][photo.class_id] += 1
        classes = []
        for name, home in zip(self.labels, homes, strict=True):
            most = home.most_common(1)[0][0] if home else None
            classes.append(named.get(name) or free.get(most or 0))
        return tuple(classes)

    def answers(self, positions: Sequence[int]) -> list[frozenset[int]]:
        """The classes predicted for photos, as current ones; -1 for those that were removed."""
        if self.predictions is None or not positions:
            return []
        ids = [each.id if each else -1 for each in self.current_classes]
        best = self.predictions.probs[list(positions)].argmax(axis=1)
        return [frozenset([ids[index]]) for index in best]

    def cell(
        self,
        label: str | None,
        answer: str | None,
        *,
        held_out_only: bool = True,
        wrong_only: bool = False,
    ) -> list[ReviewedPhoto]:
        """The photos behind a cell of the confusion matrix, the most confident predictions first.

        Args:
            label: Their label when it was trained; ``None`` for any.
            answer: The predicted class; ``None`` for any.
            held_out_only: Whether to include only held-out photos, or also training photos, each
                predicted out of fold.
            wrong_only: Whether to include only photos that were predicted wrongly.

        Raises:
            errors.UnknownName: The version has no such class.
        """
        if self.predictions is None:
            return []
        predicted = self.predictions.probs.argmax(axis=1)
        mask = self.predictions.held_out | (not held_out_only)
        mask = mask & ((predicted != self.predictions.targets) | (not wrong_only))
        for name, indices in ((label, self.predictions.targets), (answer, predicted)):
            if name is not None:
                mask = mask & (indices == self._index(name))
        (rows,) = np.nonzero(mask)
        surest = np.argsort(-self.predictions.probs[rows].max(axis=1), kind="stable")
        return self.photos_at(rows[surest])

    def _index(self, name: str) -> int:
        if name not in self.labels:
            raise errors.UnknownName(
                text(
                    "This version has no class {name!r}; expected one of: {labels}.",
                    name=name,
                    labels=", ".join(self.labels),
                )
            )
        return self.labels.index(name)

    def mistakes(self, most: int = MISTAKES) -> list[ReviewedPhoto]:
        """The wrong predictions of the evaluation with the highest probability."""
        if self.predictions is None:
            return []
        (rows,) = np.nonzero(self.predictions.held_out)
        if not len(rows):
            return []
        probs, targets = self.predictions.probs[rows], self.predictions.targets[rows]
        return self.photos_at(rows[metrics.most_confident_mistakes(probs, targets, most)])

    def label_issues(self) -> list[PhotoIssue]:
        """Photos whose label may be wrong, the likeliest first.

        Labels are today's, so that a corrected photo is no longer listed. Left out are photos whose
        label a person confirmed, excluded ones, and those whose label the committee predicts.
        """
        if self.predictions is None:
            return []
        predicted = self.predictions.probs.argmax(axis=1)
        indices = {each.id: index for index, each in enumerate(self.current_classes) if each}
        current = np.full(len(self.digests), -1, np.intp)  # -1 for photos that do not count
        for row, digest in enumerate(self.digests):
            photo = self.photos.get(digest)
            if photo and not photo.excluded:
                current[row] = indices.get(photo.class_id or 0, -1)
        issues = []
        for issue in label_issues.rank(self.predictions.probs, current):
            suggested, digest = self.current_classes[issue.suggested], self.digests[issue.photo]
            if suggested and predicted[issue.photo] != issue.given and digest not in self.confirmed:
                issues.append(PhotoIssue(self.photos_at([issue.photo])[0], suggested, issue.likely))
        return issues

    def photos_at(self, positions: Iterable[int]) -> list[ReviewedPhoto]:
        """The photos at positions among its predictions, in that order."""
        photos: list[ReviewedPhoto] = []
        if self.predictions is None:
            return photos
        for position in positions:
            row, digest = self.predictions.probs[position], self.digests[position]
            photo = self.photos.get(digest)
            label = self.labels[int(self.predictions.targets[position])]
            photos.append(
                ReviewedPhoto(
                    digest=digest,
                    name=photo.name if photo else str(self.predictions.sources[position]),
                    label=label,
                    answer=self.labels[int(row.argmax())],
                    prob=float(row.max()),
                    photo=photo,
                    labels=(label,),
                    held_out=bool(self.predictions.held_out[position]),
                )
            )
        return photos

    def current_class(self, label: str) -> projects.Class | None:
        """What one of its classes is in the project today."""
        return self.current_classes[self._index(label)]

    def advice(self) -> str | None:
        """Which class more photos would help most, in words; ``None`` where nothing is
        significant."""
        if self.predictions is None or len(self.labels) < 2:
            return None
        suggestion = advice.advise(
            self.labels,
            self.predictions.probs,
            self.predictions.targets,
            self.metrics.get("learning_curve", ()),
        )
        return suggestion.message if suggestion else None

    def status_of(self, photo: projects.ProjectPhoto | None) -> str:
        """The current status of a photo, in words."""
        return status_of(photo, self.project, confirmed=self.confirmed)

    @functools.cached_property
    def changes(self) -> int:
        """How many photos were moved, excluded, added or removed since it was trained."""
        if self.predictions is None:
            return 0
        ids = [each.id if each else None for each in self.current_classes]
        trained = {
            digest: ids[int(label)]
            for digest, label in zip(self.digests, self.predictions.targets, strict=True)
        }
        now = {
            digest: photo.class_id
            for digest, photo in self.photos.items()
            if photo.class_id is not None and not photo.excluded
        }
        return sum(trained.get(digest) != now.get(digest) for digest in {*trained, *now})


def status_of(
    photo: projects.ProjectPhoto | None, project: projects.Project, *, confirmed: Iterable[str] = ()
) -> str:
    """The status of a photo in its project, in words.

    Args:
        photo: ``None`` if it is no longer there.
        project: Its project.
        confirmed: Digests of photos whose label a person called right.
    """
    if photo is None:
        return "no longer in the project"
    if photo.excluded:
        return "excluded"
    names = {each.id: each.name for each in project.classes}
    home = ", ".join(names[each] for each in photo.class_ids or () if each in names)
    if photo.class_ids == ():
        home = text("none of the classes")
    if not home:
        return "in no class"
    return f"{home}, confirmed" if photo.digest in confirmed else home
