"""The versions of a bundle, as pages show them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import bundles
from triptych import errors
from triptych.evaluation import figures


@dataclass(frozen=True)
class HeldOutAccuracy:
    """How often a committee is right on photos that it had not learned.

    Args:
        top1: From 0 to 1.
        low: Lower end of the 95 % interval.
        high: Upper end.
        photos: On how many.
    """

    top1: float
    low: float
    high: float
    photos: int

    @property
    def right(self) -> int:
        """How many of the photos it was right on."""
        return round(self.top1 * self.photos)

    @property
    def few(self) -> bool:
        """Whether there are so few photos that the interval says more than the share."""
        return self.photos < figures.SHARE_FROM


@dataclass(frozen=True)
class Version:
    """One version of a bundle.

    Args:
        number: Counts from 1.
        created: The day it was made; empty where that is not known.
        classes: Names of its classes.
        members: Names of its members.
        photos: How many it was taught on; ``None`` where that is not known.
        accuracy: ``None`` where it was not evaluated.
        damage: What is wrong with it; empty if nothing is.
    """

    number: int
    created: str = ""
    classes: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    photos: int | None = None
    accuracy: HeldOutAccuracy | None = None
    damage: str = ""


@dataclass(frozen=True)
class BundleVersions:
    """All versions of a bundle.

    Args:
        name: Of the bundle.
        versions: The newest first.
        active: The number of the one that is served; ``None`` if none is.
        words: What people say of it.
    """

    name: str
    versions: tuple[Version, ...]
    active: int | None
    words: dict[str, str]

    @property
    def served(self) -> Version | None:
        """The one that is served."""
        return self.find(str(self.active))

    def find(self, number: str) -> Version | None:
        """The one with this number."""
        return next((one for one in self.versions if str(one.number) == number), None)

    @property
    def newest(self) -> Version:
        """The one with the highest number."""
        return self.versions[0]


def find(home: Path, name: str) -> BundleVersions | None:
    """All versions of a bundle; ``None`` if there is no such bundle.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.

    Raises:
        errors.BundleError: What people say of it is damaged.
    """
    active, numbers = bundles.active(home, name), bundles.versions(home, name)
    if not numbers:
        return None
    versions = tuple(_version(home, name, number) for number in reversed(numbers))
    return BundleVersions(name, versions, active, bundles.card_texts(home, name))


def find_all(home: Path) -> list[BundleVersions]:
    """All bundles, by name; those that cannot be read are left out."""
    listed = []
    for name in bundles.names(home):
        with contextlib.suppress(errors.BundleError):
            if bundle := find(home, name):
                listed.append(bundle)
    return listed


def _version(home: Path, name: str, number: int) -> Version:
    try:
        bundle = bundles.find(home, f"{name}@{number}")
        about, metrics = bundle.about, bundle.metrics
    except (errors.BundleError, errors.UnknownName) as error:
        return Version(number, damage=error.message)
    try:
        photos = int(about["data"]["train"])
    except (KeyError, TypeError, ValueError):  # an imported model, or a bundle made elsewhere
        photos = None
    return Version(
        number,
        created=str(about.get("created", ""))[:10],
        classes=tuple(row["name"] for row in about["labels"]),
        members=tuple(row["name"] for row in about["members"]),
        photos=photos,
        accuracy=accuracy_of(metrics),
    )


def accuracy_of(metrics: dict[str, Any]) -> HeldOutAccuracy | None:
    """The accuracy in ``metrics.json``; ``None`` where there is none."""
    try:
        whole = metrics["committee"]
        low, high = map(float, whole["interval"])
        return HeldOutAccuracy(float(whole["top1"]), low, high, int(metrics["images"]))
    except (KeyError, TypeError, ValueError):
        return None
