"""The photos on a project's page: some of each class, and the findings."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from triptych import data
from triptych.studio.projects import ALL
from triptych.studio.projects import NO_CLASS
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import Project
from triptych.studio.projects import ProjectPhoto
from triptych.studio.projects import Projects
from triptych.utils.text import text
from triptych.web.studio import decisions

# The group of excluded photos, in place of a class's number.
EXCLUDED = -2
FIRST = 24
MORE = 96
MOST = 10_000
SHOWN_PER_SET = 12
_SHOWN = re.compile(r"(-?\d{1,9}):(\d{1,9})", re.ASCII)

# Badges on photos with findings.
BADGES = {
    "label_conflict": text("in two classes"),
    "exact_duplicate": text("copy"),
    "near_duplicate": text("near copy"),
    "odd_format": text("odd name"),
    "guessed_depth": text("brightness guessed"),
    "blank": text("blank"),
    "dark": text("nearly black"),
    "bright": text("nearly white"),
    "blurred": text("blurred"),
    "tiny": text("tiny"),
}


@dataclass(frozen=True)
class PhotoGroup:
    """Photos of one class, or of none.

    Args:
        id: The class; `UNSORTED` or `EXCLUDED`.
        name: For people.
        total: How many there are.
        photos: The photos to show, the newest first.
    """

    id: int
    name: str
    total: int
    photos: list[ProjectPhoto]

    @property
    def more(self) -> str | None:
        """The text for `shown_of` to show more of them; ``None`` if all are shown."""
        if len(self.photos) >= self.total:
            return None
        return f"{self.id}:{len(self.photos) + MORE}"


@dataclass(frozen=True)
class FindingGroup:
    """The findings of one kind.

    Args:
        kind: As in `data.Finding`.
        message: For people.
        sets: Some of the sets of photos that belong together.
        others: How many more sets there are.
        photos: How many photos all sets have.
    """

    kind: str
    message: str
    sets: list[list[ProjectPhoto]]
    others: int
    photos: int


@dataclass(frozen=True)
class Gallery:
    """All that the page shows about photos.

    Args:
        groups: In order.
        notices: The most serious first.
        badges: Badges by digest.
        names: Of the classes, by number.
        undoable: The latest batch of decisions that can be undone.
        wall: In a multi-label project, the photos of the chosen group; those in `groups` are not
            shown, as a photo is in all of its classes.
        filters: All groups that the wall can show.
    """

    groups: list[PhotoGroup]
    notices: list[FindingGroup]
    badges: dict[str, list[str]]
    names: dict[int, str]
    undoable: decisions.Batch | None
    wall: PhotoGroup | None = None
    filters: Sequence[PhotoGroup] = ()


def shown_of(texts: Iterable[str]) -> dict[int, int]:
    """How many photos of each group to show, from a query string.

    Example:
        >>> shown_of(["3:120", "nonsense"])
        {3: 120}
    """
    matches = filter(None, map(_SHOWN.fullmatch, texts))
    return {int(match[1]): int(match[2]) for match in matches}


def build(
    projects: Projects, project: Project, limits: Mapping[int, int], only: int = ALL
) -> Gallery:
    """Collect the content of a project's page.

    Args:
        projects: The store.
        project: The project.
        limits: How many photos of a group to show, by its number; else `FIRST`.
        only: Number of the group that the wall of a multi-label project shows.
    """
    # A class without photos is marked in its place on the page.
    findings = [each for each in projects.findings(project.key) if each.kind != "empty_class"]
    groups = [(label.id, label.name, label.photos) for label in project.classes]
    wall, filters = None, list[PhotoGroup]()
    if project.multilabel:
        others = [
            (ALL, text("All photos"), project.photos - project.excluded),
            (UNSORTED, text("To review"), project.unsorted),
            (NO_CLASS, text("None of the classes"), project.without_class),
            (EXCLUDED, text("Excluded"), project.excluded),
        ]
        filters = [PhotoGroup(*group, []) for group in [*others[:2], *groups, *others[2:]]]
        chosen = next((group for group in filters if group.id == only), filters[0])
        wall = _group(projects, project.key, chosen.id, chosen.name, chosen.total, limits)
        groups.insert(0, (UNSORTED, text("Photos to review"), project.unsorted))
        limits = dict.fromkeys([number for number, *_ in groups], 0)
    elif project.unsorted:
        groups.append((UNSORTED, text("Without a class"), project.unsorted))
    if project.excluded and not project.multilabel:
        groups.append((EXCLUDED, text("Excluded"), project.excluded))
    badges: defaultdict[str, list[str]] = defaultdict(list)
    for finding in findings:
        if badge := BADGES.get(finding.kind):
            for digest in finding.sources:
                badges[digest].append(badge)
    return Gallery(
        groups=[_group(projects, project.key, *group, limits) for group in groups],
        notices=_notices(projects, project, findings),
        badges=dict(badges),
        names={label.id: label.name for label in project.classes},
        undoable=decisions.undoable(projects, project.key),
        wall=wall,
        filters=filters,
    )


def _group(
    projects: Projects, key: str, number: int, name: str, total: int, limits: Mapping[int, int]
) -> PhotoGroup:
    limit = min(limits.get(number, FIRST), MOST)
    photos = projects.photos(
        key,
        class_id=ALL if number == EXCLUDED else number,
        excluded=number == EXCLUDED,
        offset=max(0, total - limit),
        limit=limit,
    )
    return PhotoGroup(number, name, total, photos[::-1])


def _notices(
    projects: Projects, project: Project, findings: Sequence[data.Finding]
) -> list[FindingGroup]:
    """Findings grouped by kind, with their photos."""
    photos: dict[str, ProjectPhoto] = {}
    if any(finding.sources for finding in findings):
        every = projects.photos(project.key, excluded=None, limit=project.photos)
        photos = {photo.digest: photo for photo in every}
    notices = []
    kinds = itertools.groupby(findings, lambda finding: (finding.kind, finding.message))
    for (kind, message), alike in kinds:
        sets = [[photos[d] for d in finding.sources if d in photos] for finding in alike]
        sets = [each for each in sets if each]
        first_sets = [each[:SHOWN_PER_SET] for each in sets[:SHOWN_PER_SET]]
        total = sum(map(len, sets))
        notices.append(FindingGroup(kind, message, first_sets, len(sets[SHOWN_PER_SET:]), total))
    return notices
