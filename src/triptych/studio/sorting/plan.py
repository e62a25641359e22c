"""A plan for sorting a heap: what the committee answers, which photos come first, which together.

    home/studio/sorting/garden/project.json    of the photos without a class
    home/studio/sorting/garden/inbox.json      of the inbox, for the classes of that project

The file can be made again at any time, which is quick where features and answers are stored.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np

from triptych import bundles
from triptych import errors
from triptych import features
from triptych.bundles import loading
from triptych.bundles.reading import Bundle
from triptych.data import near
from triptych.engines.options import EngineOptions
from triptych.inference.classifier import ClassifyOptions
from triptych.models import zoo
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE
from triptych.results import Failure
from triptych.results import Verdict
from triptych.studio import review
from triptych.studio.projects import SORTING
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import Projects
from triptych.training import active_learning
from triptych.training import open_set
from triptych.typing import Float32Array
from triptych.utils import files

PROJECT, INBOX = "project", "inbox"
SOURCES = (PROJECT, INBOX)
# The network that photos are compared by: embedded, quick, and part of the default committee, so
# that its features are not computed for this alone.
BACKBONE = "lite0"
# Of the photos that are offered, so many may be expected to be wrong.
WRONG_SHARE = 0.1
# A photo as strange as half of the labelled ones would be without their class is probably of a
# class that nobody has named.
NEW = 0.5
# Strangeness is stored up to this, as JSON has no infinity.
MOST_STRANGE = 10.0
# Answers are stored so many at a time, which is what a kill loses at most.
BATCH = 16
# A vector of the store begins with the index of the status.
STATUSES = (None, SURE, UNSURE, NONE, "unreadable")
COMPARING, ASKING, ORDERING = "comparing", "asking", "ordering"

Progress = Callable[[str, int, int], None]


class Answer(NamedTuple):
    """What a committee answers about a photo.

    Args:
        status: As in `triptych.results.Verdict`; ``"unreadable"`` where it could not be decoded.
        label: Index of the most probable class.
        prob: Its probability, in [0, 1].
        strangeness: How strange the photo is in that class; see `open_set.strangeness`.
        is_selected: Whether it is among photos of which at most `WRONG_SHARE` are expected to be
            wrong, be it that some are of a class that nobody has named.
    """

    status: str | None
    label: int
    prob: float
    strangeness: float = 0.0
    is_selected: bool = False


@dataclass(frozen=True)
class Plan:
    """What was found out about a heap.

    Args:
        version: Of the committee that was asked; ``None`` if the project had none.
        answers: By digest; empty without a committee.
        order: Digests of the photos to label by hand, those whose labels are worth most first.
        groups: Digests of photos that are so alike that they probably belong to one class.
        digests: All photos of the heap when the plan was made.
    """

    version: int | None
    answers: dict[str, Answer] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=list)
    digests: frozenset[str] = frozenset()

    def write(self, home: Path, key: str, source: str) -> None:
        """Write it in the place of the one before."""
        file = path(home, key, source)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {**dataclasses.asdict(self), "digests": sorted(self.digests)}
        with files.atomic_file(file) as new:
            new.write_text(json.dumps(content, allow_nan=False))

    @classmethod
    def read(cls, home: Path, key: str, source: str) -> Plan | None:
        """Read it; ``None`` if there is none, or it is damaged: it can be made again."""
        try:
            content = json.loads(path(home, key, source).read_text())
            answers = {digest: Answer(*row) for digest, row in content["answers"].items()}
            digests = frozenset(content["digests"])
            return cls(content["version"], answers, content["order"], content["groups"], digests)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def path(home: Path, key: str, source: str) -> Path:
    """The file of a plan."""
    return home / "studio" / SORTING / key / f"{source}.json"


@dataclass(frozen=True)
class _Photo:
    """A stored photo."""

    digest: bytes
    load: Callable[[str], bytes] = field(repr=False)

    def read(self) -> bytes:
        return self.load(self.digest.hex())


def photos_of(projects: Projects, key: str, source: str) -> list[tuple[str, str]]:
    """Digest and name of each photo of a heap, in the order they came.

    Raises:
        errors.UnknownName: There is no such project.
    """
    if source == INBOX:
        return [(photo.digest, photo.name) for photo in reversed(projects.inbox(limit=-1))]
    unsorted = projects.photos(key, class_id=UNSORTED, limit=-1)
    return [(photo.digest, photo.name) for photo in unsorted]


def make(
    projects: Projects, key: str, source: str, options: EngineOptions, progress: Progress
) -> Plan:
    """Make a plan; photos that were computed before are not computed again.

    Args:
        projects: The projects.
        key: Of the project.
        source: `PROJECT` or `INBOX`.
        options: How networks run, and the home folder.
        progress: Called with the stage, the steps done and all steps.

    Raises:
        errors.UnknownName: There is no such project.
        errors.TriptychError: The committee cannot be loaded.
    """
    digests = [digest for digest, _ in photos_of(projects, key, source)]
    known, versions = frozenset(digests), bundles.versions(options.home, key)
    if not digests:
        return Plan(versions[-1] if versions else None)
    labelled = {
        photo.digest: photo.class_id
        for photo in projects.photos(key, limit=-1)
        if photo.class_id is not None and photo.digest not in known
    }
    pool, others = (
        [_Photo(bytes.fromhex(digest), projects.read) for digest in each]
        for each in (digests, labelled)
    )
    store = features.FeatureStore(options.home / "features.sqlite")
    extractors = features.open_extractors([zoo.find(BACKBONE)], options)
    (vectors,) = features.extract(
        [*pool, *others], extractors, store, progress=functools.partial(progress, COMPARING)
    )
    pool_vectors, labelled_vectors = vectors[: len(pool)], vectors[len(pool) :]
    version, answers = None, {}
    weights, classes = np.ones(len(pool)), np.zeros(len(pool), np.intp)
    if versions:
        asked = review.open(projects, options.home, key, versions[-1])
        version = asked.bundle.version
        rows = _ask(asked.bundle, pool, store, options, progress)
        classes = rows[:, 1:].argmax(axis=1)
        ids = np.array([each.id if each else 0 for each in asked.current_classes])
        strange, wrong = open_set.strangeness(
            pool_vectors, ids[classes], labelled_vectors, np.array([*labelled.values()])
        )
        p_values = open_set.p_values(strange, wrong)
        selected = open_set.select(p_values, WRONG_SHARE)
        answers = dict(zip(digests, map(_answer_of, rows, strange, selected), strict=True))
        # A label teaches most where a photo is like none of the labelled ones.
        is_new = (rows[:, 0] == STATUSES.index(NONE)) | (len(wrong) > 0 and p_values > NEW)
        weights = np.where(is_new, 1.0, active_learning.uncertainty(rows[:, 1:]))
    progress(ORDERING, 0, 0)
    # What is offered is not labelled by hand.
    by_hand = np.array(
        [n for n, each in enumerate(digests) if not (answers and answers[each].is_selected)], int
    )
    if not len(by_hand):
        return Plan(version, answers, digests=known)
    by_hand_vectors = pool_vectors[by_hand]
    order = active_learning.order(by_hand_vectors, labelled_vectors, weights=weights[by_hand])
    names = [digests[number] for number in by_hand]
    copies = near.groups(projects.sketches(names))
    groups = active_learning.groups(
        by_hand_vectors, centres=order, classes=classes[by_hand], copies=copies
    )
    return Plan(
        version,
        answers,
        [names[position] for position in order],
        [[names[position] for position in group] for group in groups],
        known,
    )


def _ask(
    bundle: Bundle,
    pool: Sequence[_Photo],
    store: features.FeatureStore,
    options: EngineOptions,
    progress: Progress,
) -> Float32Array:
    """The answers to N photos, from the store or the committee: status and probabilities.

    Returns:
        Shape (N, 1 + C).
    """
    content = hashlib.sha256(
        json.dumps(bundle.about, sort_keys=True, allow_nan=False).encode()
    ).hexdigest()
    how = f"{options.precision} on {options.device}"
    space = f"answers of {bundle.name}@{bundle.version} {content[:16]}, {how}"
    rows = store.get(space, [photo.digest for photo in pool])
    lacking = list({each.digest: each for each in pool if each.digest not in rows}.values())
    progress(ASKING, 0, len(lacking))
    classes = len(bundle.labels)
    if lacking:
        classifier = loading.load_classifier(bundle, options)
        answers = classifier.classify_many(_bytes_of(lacking), ClassifyOptions(top=classes))
        batch: dict[bytes, Float32Array] = {}
        for number, (photo, answer) in enumerate(zip(lacking, answers, strict=True), 1):
            batch[photo.digest] = _row_of(answer, classes)
            if len(batch) == BATCH or number == len(lacking):
                store.put(space, batch)
                rows.update(batch)
                batch = {}
                progress(ASKING, number, len(lacking))
    return np.stack([rows[photo.digest] for photo in pool])


def _bytes_of(photos: Sequence[_Photo]) -> Iterator[tuple[str, Any]]:
    for photo in photos:
        try:
            yield photo.digest.hex(), photo.read()
        except errors.UnknownName:  # removed meanwhile
            yield photo.digest.hex(), b""


def _row_of(answer: Verdict | Failure, classes: int) -> Float32Array:
    """An answer as a vector of the store."""
    row = np.full(1 + classes, 1 / classes, np.float32)
    row[0] = STATUSES.index("unreadable")
    if isinstance(answer, Verdict):
        row[0] = STATUSES.index(answer.status)
        for guess in answer.top:
            row[1 + guess.label.index] = guess.prob
    return row


def _answer_of(row: Float32Array, strangeness: float, is_selected: np.bool_) -> Answer:
    status, label = STATUSES[int(row[0])], int(row[1:].argmax())
    return Answer(
        status,
        label,
        round(float(row[1 + label]), 6),
        round(min(float(strangeness), MOST_STRANGE), 6),
        bool(is_selected) and status not in (NONE, "unreadable"),
    )
