"""What is left of a heap today: the photos in order, groups, and those that can be accepted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych.engines.options import INT8
from triptych.results import SURE
from triptych.studio import review
from triptych.studio.bundle_jobs import BundleJob
from triptych.studio.bundle_jobs import BundleJobs
from triptych.studio.bundle_jobs import Run
from triptych.studio.projects import Class
from triptych.studio.projects import Project
from triptych.studio.projects import Projects
from triptych.studio.review import Review
from triptych.studio.sorting import plan
from triptych.studio.sorting.plan import Answer
from triptych.studio.sorting.plan import Plan
from triptych.training import learning_curve
from triptych.training.feature_set import VALIDATION_SHARE
from triptych.training.learning_curve import CurvePoint

WORKER = "triptych.studio.sorting.worker"
# The accuracy that is good enough.
GOAL = 0.95


@dataclass(frozen=True)
class HeapPhoto:
    """A photo that waits for a class.

    Args:
        digest: SHA-256 of its bytes, in hex.
        name: Name of its file.
        status: What the committee says; see `triptych.results.Verdict`. ``None`` where it was not
            asked, or can promise nothing.
        suggested: The most probable class, by its current name.
        prob: Its probability, in [0, 1].
        strangeness: How strange the photo is in that class, from 0.
        is_offered: Whether it can be accepted together with the others of its class.
    """

    digest: str
    name: str
    status: str | None = None
    suggested: Class | None = None
    prob: float = 0.0
    strangeness: float = 0.0
    is_offered: bool = False


@dataclass(frozen=True)
class Proposal:
    """The photos that can be accepted together as those of one class.

    Args:
        suggested: The class.
        photos: The strangest first.
        tested: How many labelled photos the committee called this class as surely, without having
            been trained on them; 0 where they are not offered because it is sure.
        right: How many of those were of this class.
    """

    suggested: Class
    photos: list[HeapPhoto]
    tested: int = 0
    right: int = 0


@dataclass(frozen=True)
class LabelsLeft:
    """How many more labels the committee needs to be good enough.

    Args:
        accuracy: Its accuracy on photos that it was not trained on.
        photos: On how many.
        more: The estimate; ``None`` if labels alone will hardly do.
        low: The lower end of the interval.
        high: Its upper end; ``None`` if it is open.
        limit: The accuracy with many times the labels, as the curve goes on.
    """

    accuracy: float
    photos: int
    more: int | None
    low: int | None
    high: int | None
    limit: float


@dataclass(frozen=True)
class Heap:
    """A heap today.

    Args:
        project: With the classes.
        source: `plan.PROJECT` or `plan.INBOX`.
        total: How many photos wait.
        photos: Those to label by hand, in order.
        groups: Those of `photos` that are alike, without what was sorted since.
        is_closed: Whether all photos are of the project's classes, as a person says.
        proposals: By class, the largest first.
        version: Of the committee that was asked; ``None`` for none.
        newest: Of the project's newest committee; ``None`` if it was not taught yet.
        promise: The share of sure answers that is promised to be right, in (0, 1).
        missing_promise: Why no answer is called sure, for people.
        new: How many photos came since the plan was made.
        is_outdated: Whether there is a newer committee, or no plan.
        changes: How many labels the project's newest committee does not know of.
        left: How many labels are left to be good enough; ``None`` where that cannot be known.
    """

    project: Project
    source: str
    total: int
    photos: list[HeapPhoto] = field(repr=False)
    groups: list[list[HeapPhoto]] = field(repr=False)
    is_closed: bool
    proposals: list[Proposal] = field(repr=False)
    version: int | None
    newest: int | None
    promise: float | None
    missing_promise: str | None
    new: int
    is_outdated: bool
    changes: int
    left: LabelsLeft | None

    @property
    def named(self) -> int:
        """How many classes have photos."""
        return sum(each.photos > 0 for each in self.project.classes)

    @property
    def needs_plan(self) -> bool:
        """Whether a plan should be made."""
        return bool(self.total) and (self.is_outdated or self.new > 0)


@dataclass(frozen=True)
class SortingJob(BundleJob):
    """A plan that is made.

    Args:
        source: `plan.PROJECT` or `plan.INBOX`.
    """

    source: str


class Sorting:
    """The heaps of a studio.

    Args:
        home: Home folder.
        options: Fields of an `EngineOptions` by which networks run.

    Example:
        >>> Sorting(Path("home")).latest("garden") is None
        True
    """

    def __init__(self, home: Path, options: Mapping[str, Any] = {}) -> None:
        self._home = home
        self._options = dict(options)
        if options.get("precision") == INT8:  # what is promised was fitted unquantized
            self._options["precision"] = "auto"
        self._jobs: BundleJobs[SortingJob] = BundleJobs(home)

    def start(self, key: str, source: str) -> SortingJob:
        """Start to make a plan, in a process of its own.

        Args:
            key: Of the project.
            source: `plan.PROJECT` or `plan.INBOX`.

        Raises:
            errors.Busy: Another plan is being made.
        """
        return self._jobs.start(SortingJob(key, 0, source), self._make)

    def stop(self, key: str) -> None:
        """Stop the job of a project; what the networks have computed is kept."""
        self._jobs.stop(key)

    def latest(self, key: str) -> SortingJob | None:
        """The latest job of a project since the studio was started, as it is now."""
        return self._jobs.latest(key)

    def close(self) -> None:
        """Stop what is under way, and wait for its end."""
        self._jobs.close()

    def _make(self, run: Run[SortingJob]) -> str:
        task = {"home": str(self._home), "key": run.job.bundle, "source": run.job.source}
        run.in_child(WORKER, {**task, "options": self._options})
        return ""


def heap_of(
    projects: Projects, home: Path, key: str, source: str, *, is_closed: bool = False
) -> Heap:
    """A heap as it is today.

    Args:
        projects: The projects.
        home: Home folder.
        key: Of the project.
        source: `plan.PROJECT` or `plan.INBOX`.
        is_closed: Whether all photos are of the project's classes, as a person says: then those are
            offered that the committee is sure of, and else those that the plan selected.

    Raises:
        errors.UnknownName: There is no such project.
        errors.BundleError: Its newest committee is damaged.
    """
    project, waiting = projects.find(key), plan.photos_of(projects, key, source)
    newest = review.open(projects, home, key) if bundles.versions(home, key) else None
    version = newest.bundle.version if newest else None
    made = Plan.read(home, key, source)
    current = made if made and made.version == version else None
    asked = newest if current else None  # an older plan still says which photos are alike
    answers = current.answers if current else {}
    photos = {
        digest: _photo(digest, name, answers.get(digest), asked, is_closed)
        for digest, name in waiting
    }
    known = made or Plan(None)
    to_name = {digest: photo for digest, photo in photos.items() if not photo.is_offered}
    by_hand = [digest for digest in known.order if digest in to_name]
    ordered = {*by_hand}
    by_hand += [digest for digest in to_name if digest not in ordered]
    groups = [[to_name[each] for each in group if each in to_name] for group in known.groups]
    params = newest.bundle.params.rule(newest.bundle.about["rule"]) if newest else None
    precision = newest.bundle.params.provenance.get("precision") if newest else None
    proposals = _proposals([photo for photo in photos.values() if photo.is_offered])
    if is_closed and asked and params:
        proposals = [_with_test(proposal, asked, params.sure) for proposal in proposals]
    return Heap(
        project=project,
        source=source,
        total=len(photos),
        photos=[photos[digest] for digest in by_hand],
        groups=[group for group in groups if len(group) > 1],
        is_closed=is_closed,
        proposals=proposals,
        version=current.version if current else None,
        newest=version,
        promise=precision if params and params.is_fitted and params.sure <= 1 else None,
        missing_promise=newest.bundle.missing_promise if newest else None,
        new=len(photos.keys() - known.digests),
        is_outdated=current is None,
        changes=newest.changes if newest else 0,
        left=labels_left(newest) if newest else None,
    )


def _photo(
    digest: str, name: str, answer: Answer | None, asked: Review | None, is_closed: bool
) -> HeapPhoto:
    if answer is None or asked is None or answer.status == "unreadable":
        return HeapPhoto(digest, name)
    suggested = asked.current_classes[answer.label]
    is_offered = answer.status == SURE if is_closed else answer.is_selected
    return HeapPhoto(
        digest,
        name,
        answer.status,
        suggested,
        answer.prob,
        answer.strangeness,
        is_offered and suggested is not None,
    )


def _proposals(offered: list[HeapPhoto]) -> list[Proposal]:
    by_class: dict[Class, list[HeapPhoto]] = {}
    for photo in sorted(offered, key=lambda photo: (-photo.strangeness, photo.prob)):
        if photo.suggested:
            by_class.setdefault(photo.suggested, []).append(photo)
    proposals = [Proposal(suggested, photos) for suggested, photos in by_class.items()]
    return sorted(proposals, key=lambda proposal: -len(proposal.photos))


def _with_test(proposal: Proposal, asked: Review, sure: float) -> Proposal:
    """A proposal, and how often answers as sure were right when the committee was tested."""
    if asked.predictions is None:
        return proposal
    probs, targets = asked.predictions.probs, asked.predictions.targets
    label = asked.current_classes.index(proposal.suggested)
    same = (probs.argmax(axis=1) == label) & (probs.max(axis=1) >= sure)
    tested, right = int(same.sum()), int((targets[same] == label).sum())
    return dataclasses.replace(proposal, tested=tested, right=right)


def labels_left(newest: Review, goal: float = GOAL) -> LabelsLeft | None:
    """How many more labels a committee needs to be good enough, from its learning curve.

    Args:
        newest: The committee.
        goal: The accuracy that is good enough, in (0, 1).

    Returns:
        ``None`` where it cannot be known: it was not evaluated, or with too few photos for a curve.
    """
    figures, predictions = newest.metrics, newest.predictions
    if not figures or predictions is None:
        return None
    trained = np.bincount(predictions.targets[~predictions.held_out], minlength=1)
    accuracy, photos = figures["committee"]["top1"], figures["images"]
    points = [
        CurvePoint(point["images_per_class"], tuple(point["top1"]))
        for point in figures.get("learning_curve", ())
    ]
    if not points or points[-1].per_class < trained.max():
        points.append(CurvePoint(int(trained.max()), (accuracy,)))  # with all photos
    needed = learning_curve.extrapolate(points, goal, photos=photos)
    if needed is None:
        return None
    counts = [each.photos for each in newest.project.classes]

    def more(per_class: float | None) -> int | None:
        if per_class is None:
            return None
        # Of the labelled photos, a part is held out.
        wanted = per_class / (1 - VALIDATION_SHARE)
        return sum(max(0, math.ceil(wanted) - count) for count in counts)

    return LabelsLeft(
        accuracy=accuracy,
        photos=photos,
        more=more(needed.per_class),
        low=more(needed.low),
        high=more(needed.high),
        limit=needed.limit,
    )
